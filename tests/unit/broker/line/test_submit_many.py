"""Many drafts in one transaction: each is stored whole or not at all, and none changes another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, seeded, text
from intelshare.broker.exchange.rfi import RequestState, requests
from intelshare.broker.kernel.tables import BULLETIN, LOG, PAIR, PORTION, SECRET, SUBMISSION
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.submit import SubmitCommand, submit_many
from intelshare.bulletin import Draft
from intelshare.bulletin.request import Marked, Word, media_of
from intelshare.crypto.codec import encode
from intelshare.errors import IntelshareError
from intelshare.instant import NEVER, Instant
from intelshare.services.submit_many import submit_drafts
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_BOTH, TO_USA, arrive, everything, hand_over, log_of, met, rows, send
from services_world import MemberBackend

GOOD = draft(text(TO_USA), to=["USA"])


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


def submission(key: str, given: Draft = GOOD, by: str = "a") -> SubmitCommand:
    return SubmitCommand(actor("FRA", by), key.encode().ljust(16, b"."), given)


def send_many(member: Any, given: Sequence[SubmitCommand], at: Instant = NOW) -> list[Any]:
    return list(member.do(submit_many, given, at=at))


def codes(answers: Sequence[Any]) -> list[str]:
    return [one.code if isinstance(one, IntelshareError) else "" for one in answers]


def marked(word: Word) -> Any:
    return text(TO_USA, "question", media=media_of(Marked(word, NEVER)))


def test_sixty_four_drafts_are_one_commit_and_each_is_what_it_would_be_alone(fra: Any) -> None:
    commits, steps = fra.store.commits, fra.store.steps
    answers = send_many(fra, [submission(str(n), draft(text(TO_USA, str(n)), to=["USA"])) for n in range(64)])
    assert (fra.store.commits - commits, fra.store.steps - steps) == (1, 1)
    alone = send(fra, GOOD, key="alone")
    for answer in answers:
        assert isinstance(answer, SubmitResult)
        assert (answer.banner, answer.marks, answer.pairs[0].word) == (alone.banner, alone.marks, "queued")
    assert len({answer.bulletin for answer in answers}) == 64
    assert [len(rows(fra, table)) for table in (BULLETIN, PAIR, SUBMISSION)] == [65, 65, 65]


def test_what_goes_to_the_same_recipients_is_stored_side_by_side_and_keeps_its_order(fra: Any) -> None:
    """Rows are packed as they come, and a replica reads the bulletins for its own peers."""
    to = [["USA"], ["KEN"], ["USA", "KEN"]] * 3
    given = [submission(str(n), draft(text(TO_BOTH, str(n)), to=peers)) for n, peers in enumerate(to)]
    plan = fra.store.ask_now(lambda view: submit_many(fra.node, view, given, NOW, seeded("many")))
    place = {answer.md: number for number, answer in enumerate(plan.answer)}
    for table in (BULLETIN, PORTION, SECRET):
        stored = [place[write.row.md] for write in plan.writes if write.table is table]
        assert stored == [1, 4, 7, 0, 3, 6, 2, 5, 8]
    created = {write.row.md: write.row.created for write in plan.writes if write.table is BULLETIN}
    assert created == {answer.md: NOW + number for number, answer in enumerate(plan.answer)}


BAD = {
    "nobody to send to": (draft(text(TO_USA), to=[]), "INPUT_INVALID"),
    "unknown member": (draft(text(TO_USA), to=["DEU"]), "UNKNOWN_MEMBER"),
    "unknown level": (draft(text("//FRA SEKRET//REL TO FRA, USA"), to=["USA"]), "UNKNOWN_LEVEL"),
    "too large": (draft(text(TO_USA, "x" * 600_000), to=["USA"]), "TOO_LARGE"),
    "supersedes nothing": (replace(GOOD, supersedes="00112233"), "NOT_FOUND"),
    "replies to nothing": (replace(GOOD, in_reply_to="00112233"), "NOT_FOUND"),
    "answers no request": (draft(marked(Word.ANSWER), to=["USA"]), "INPUT_INVALID"),
    "closes no request": (draft(marked(Word.CLOSE), to=["USA"]), "INPUT_INVALID"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_refused_draft_writes_nothing_and_changes_no_other(bad: str) -> None:
    given, code = BAD[bad]
    with_it, without = met()["FRA"], met()["FRA"]
    around = [submission("one"), submission("two", draft(text(TO_BOTH), to=["USA", "KEN"]))]
    answers = send_many(with_it, [around[0], submission("bad", given), around[1]])
    assert codes(answers) == ["", code, ""]
    send_many(without, around)
    for table in (BULLETIN, PAIR, SUBMISSION, LOG):
        assert len(rows(with_it, table)) == len(rows(without, table))
    assert log_of(with_it) == log_of(without)


@pytest.mark.parametrize("bad", BAD)
def test_where_every_draft_is_refused_nothing_is_written(fra: Any, bad: str) -> None:
    stored = everything(fra)
    assert codes(send_many(fra, [submission("bad", BAD[bad][0])])) == [BAD[bad][1]]
    assert everything(fra) == stored


def test_the_same_call_again_gives_the_same_answers_byte_for_byte_and_stores_nothing(fra: Any) -> None:
    given = [submission(str(n), draft(text(TO_USA, str(n)), to=["USA"])) for n in range(5)]
    given.insert(2, submission("bad", BAD["unknown member"][0]))
    first = send_many(fra, given)
    stored = everything(fra)
    again = send_many(fra, given, at=Instant(NOW + 10**9))
    assert everything(fra) == stored
    assert codes(again) == codes(first)
    kept = [
        [encode(SubmitResult, one) for one in found if isinstance(one, SubmitResult)]
        for found in (first, again)
    ]
    assert kept[0] == kept[1]


def test_a_call_that_was_stored_in_part_is_completed_by_the_same_call(fra: Any) -> None:
    given = [submission(str(n), draft(text(TO_USA, str(n)), to=["USA"])) for n in range(4)]
    first = send_many(fra, given[:2])
    assert send_many(fra, given)[:2] == first
    assert len(rows(fra, BULLETIN)) == 4


def test_one_key_twice_in_a_call_is_one_bulletin_or_a_conflict(fra: Any) -> None:
    other = draft(text(TO_USA, "other"), to=["USA"])
    answers = send_many(fra, [submission("k"), submission("k"), submission("k", other)])
    assert codes(answers) == ["", "", "ID_CONFLICT"]
    assert answers[0] == answers[1]
    assert len(rows(fra, BULLETIN)) == 1


def test_drafts_are_handed_over_in_the_order_in_which_they_were_given(members: Any) -> None:
    fra, usa = members["FRA"], members["USA"]
    answers = send_many(fra, [submission(str(n), draft(text(TO_USA, str(n)), to=["USA"])) for n in range(20)])
    for out in hand_over(fra, "USA"):
        arrive(usa, fra, out.frame)
    pairs = {row.md: row.sequence for row in rows(fra, PAIR)}
    assert [pairs[answer.md] for answer in answers] == list(range(1, 21))


def test_a_request_closed_twice_in_a_call_keeps_what_closed_it_first(fra: Any) -> None:
    question = send(fra, draft(marked(Word.ASK), to=["USA"]), key="ask").bulletin.hex()
    closing = replace(draft(marked(Word.CLOSE), to=["USA"]), in_reply_to=question)
    first, _ = send_many(fra, [submission("one", closing), submission("two", closing)])
    ((line,), _) = fra.ask(requests, actor("FRA", "a"), NOW)
    assert (line.row.state, line.row.reply) == (RequestState.CLOSED, first.md)


class _Busy(MemberBackend):
    """Counts steps that run at once."""

    running = most = 0

    async def perform(
        self, step: Callable[..., Any], *event: object, then: Callable[[Any], None] | None = None
    ) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return await super().perform(step, *event, then=then)


async def test_calls_at_once_store_one_group_after_the_other(fra: Any) -> None:
    """All in one commit, they would wait for each other at every stage from there to the receipts."""
    portion = pb.Portion(kind=1, label=TO_USA, category="cyber", media="text/plain", content=b"x")

    async def messages(call: int) -> AsyncIterator[pb.SubmitManyRequest]:
        for place in range(2):
            key = f"{call} {place}".encode().ljust(16, b".")
            draft = pb.SubmitRequest(key=key, to=["USA"], precedence=1, portions=[portion])
            yield pb.SubmitManyRequest(drafts=[draft])

    backend = _Busy(fra)

    async def call(number: int) -> int:
        answers = [one async for one in submit_drafts(backend, actor("FRA", "a"), messages(number))]
        return sum(len(one.outcomes) for one in answers)

    assert await asyncio.gather(*[call(number) for number in range(4)]) == [2] * 4
    assert backend.most == 1
