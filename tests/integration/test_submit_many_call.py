"""SubmitMany over a real node: what arrives together is one commit; each draft is answered, none repeated."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from intelshare.audit.records import EntryType
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.tables import LOG
from intelshare.client import AsyncClient, Client, Credentials, DraftOutcome, Profile, write_profile
from intelshare.client.batch import in_groups, in_groups_as_they_come
from intelshare.crypto.x509 import to_pem
from intelshare.errors import IntelshareError
from intelshare.services.gather import gathered
from intelshare.wire import MAX_DRAFT_BYTES, MAX_DRAFTS
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, Site, code_of, until, word


def request(text: str, *, key: bytes | None = None, label: str = LABEL, to: str = "USA") -> pb.SubmitRequest:
    portion = pb.Portion(kind=1, label=label, category="cyber", media="text/plain", content=text.encode())
    return pb.SubmitRequest(key=key or os.urandom(16), to=[to], precedence=1, portions=[portion])


def requests(count: int) -> list[pb.SubmitRequest]:
    return [request(f"bulletin {n}") for n in range(count)]


async def each(given: Iterable[pb.SubmitRequest]) -> AsyncIterator[pb.SubmitRequest]:
    for one in given:
        yield one


def profile_of(site: Site, folder: Path) -> Profile:
    leaf = site.leaf("a")
    profile = Profile(
        folder, site.code, "a", f"127.0.0.1:{site.running.user_port}", "", site.founded.node.dns
    )
    write_profile(
        profile,
        Credentials(
            to_pem((leaf.certificate,)), to_pem((site.founded.node_authority.certificate,)), leaf.key
        ),
    )
    return profile


@pytest.fixture(name="client")
async def _client(pair: tuple[Site, Site], tmp_path: Path) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(profile_of(pair[0], tmp_path / "profile")) as client:
        yield client


async def sent(client: AsyncClient, given: Iterable[pb.SubmitRequest]) -> list[DraftOutcome]:
    return [outcome async for outcome in client.submit_many(each(given))]


async def until_error(answers: AsyncIterator[Any]) -> tuple[list[Any], Exception | None]:
    """What came, and the error that ended it."""
    found = []
    try:
        async for answer in answers:
            found.append(answer)
    except Exception as error:
        return found, error
    return found, None


def code(outcome: DraftOutcome) -> str:
    return outcome.result.code if isinstance(outcome.result, IntelshareError) else ""


async def test_a_drain_ends_a_call_that_is_open_and_stores_nothing_more(
    pair: tuple[Site, Site], client: AsyncClient
) -> None:
    """Else `node drain --wait` would never see an empty queue."""
    fra, _ = pair
    outcomes: list[DraftOutcome] = []
    drained = asyncio.Event()

    async def given() -> AsyncIterator[pb.SubmitRequest]:
        yield request("before")
        await drained.wait()
        yield request("after")

    async def send() -> None:
        async for outcome in client.submit_many(given()):
            outcomes.append(outcome)
            async with fra.client("o") as operator:
                await operator.operations.Drain(pb.DrainRequest())
            drained.set()

    with pytest.raises(IntelshareError) as raised:
        await send()
    assert raised.value.code == "DRAINING"
    assert [code(outcome) for outcome in outcomes] == [""]
    assert submissions(fra) == [1]


def submissions(site: Site) -> list[int]:
    """How many bulletins each transaction has stored that stored any: a row of the log is a transaction's
    (decision 17), and the node's other steps, which come when they like, have rows of their own."""
    runtime = site.running.runtime
    rows = runtime.store.ask_now(lambda view: view.find(LOG, "key", limit=100_000))
    counts = [sum(entry.type == EntryType.SUBMIT for entry in open_row(runtime.node, row)) for row in rows]
    return [count for count in counts if count]


async def test_sixty_four_drafts_are_one_step_one_commit_and_sixty_four_answers(
    pair: tuple[Site, Site], client: AsyncClient
) -> None:
    given = requests(64)
    outcomes = await sent(client, given)
    assert submissions(pair[0]) == [64]
    assert [outcome.key for outcome in outcomes] == [one.key for one in given]
    assert len({outcome.stored().bulletin for outcome in outcomes}) == 64


async def test_what_was_sent_many_at_once_is_accepted_by_the_recipient(
    pair: tuple[Site, Site], client: AsyncClient
) -> None:
    outcomes = await sent(client, requests(3))
    for outcome in outcomes:
        bulletin = outcome.stored().bulletin

        async def accepted(bulletin: bytes = bulletin) -> bool:
            return await word(pair[0], bulletin, "USA") == "accepted"

        await until(accepted)


async def test_a_draft_that_is_refused_says_why_and_changes_no_other(
    pair: tuple[Site, Site], client: AsyncClient
) -> None:
    given = [
        request("good"),
        request("bad label", label="//FRA SEKRET"),
        request("no such member", to="DEU"),
        request("short key", key=b"short"),
        request("good too"),
    ]
    outcomes = await sent(client, given)
    assert [code(one) for one in outcomes] == ["", "UNKNOWN_LEVEL", "UNKNOWN_MEMBER", "INPUT_INVALID", ""]
    refused = outcomes[1].result
    assert isinstance(refused, IntelshareError)
    assert "SEKRET" in refused.message
    assert refused.hint
    refusals = [line for line in pair[0].log.getvalue().splitlines() if "SubmitMany" in line]
    assert len(refusals) == 3


async def test_the_same_call_again_gives_the_same_answers_byte_for_byte(
    pair: tuple[Site, Site], client: AsyncClient
) -> None:
    given = [*requests(5), request("bad", to="DEU"), *requests(70)]
    first = await sent(client, given)
    steps = pair[0].running.runtime.store.ask_now(lambda view: view.count(_bulletins(), "newest"))
    again = await sent(client, given)
    assert [_bytes(one) for one in again] == [_bytes(one) for one in first]
    assert pair[0].running.runtime.store.ask_now(lambda view: view.count(_bulletins(), "newest")) == steps


def _bulletins() -> Any:
    from intelshare.broker.kernel.tables import BULLETIN

    return BULLETIN


def _bytes(outcome: DraftOutcome) -> object:
    if isinstance(outcome.result, IntelshareError):
        return outcome.result.code, outcome.result.message
    return outcome.result.SerializeToString(deterministic=True)


async def test_a_request_may_wait_for_the_outcome_of_the_one_before_it(client: AsyncClient) -> None:
    answered: asyncio.Queue[bytes] = asyncio.Queue()

    async def chain() -> AsyncIterator[pb.SubmitRequest]:
        following = request("first")
        for n in range(4):
            yield following
            following = request(f"replaces {n}")
            following.supersedes = (await answered.get()).hex()

    bulletins = []
    async for outcome in client.submit_many(chain()):
        bulletins.append(outcome.stored().bulletin)
        await answered.put(bulletins[-1])
    assert len(set(bulletins)) == 4


async def test_what_the_requests_raise_comes_after_the_outcomes_of_all_before(client: AsyncClient) -> None:
    async def broken() -> AsyncIterator[pb.SubmitRequest]:
        for one in requests(3):
            yield one
        raise ValueError("a file that cannot be read")

    outcomes, error = await until_error(client.submit_many(broken()))
    assert [code(one) for one in outcomes] == ["", "", ""]
    assert isinstance(error, ValueError)


async def test_the_synchronous_client_does_the_same(pair: tuple[Site, Site], tmp_path: Path) -> None:
    profile = profile_of(pair[0], tmp_path / "sync")

    def work() -> tuple[list[DraftOutcome], list[DraftOutcome]]:
        def broken() -> Iterator[pb.SubmitRequest]:
            yield from requests(2)
            raise ValueError("a file that cannot be read")

        with Client(profile) as client:
            whole = list(client.submit_many(requests(130)))
            outcomes = client.submit_many(broken())
            part = [next(outcomes), next(outcomes)]
            with pytest.raises(ValueError, match="cannot be read"):
                next(outcomes)
        return whole, part

    whole, part = await asyncio.to_thread(work)
    assert (len({one.stored().bulletin for one in whole}), [code(one) for one in part]) == (130, ["", ""])


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (pb.SubmitManyRequest(), "INPUT_INVALID"),
        (pb.SubmitManyRequest(drafts=[pb.SubmitRequest()] * (MAX_DRAFTS + 1)), "TOO_LARGE"),
        (pb.SubmitManyRequest(drafts=[request("x" * (MAX_DRAFT_BYTES // 2))] * 2), "TOO_LARGE"),
    ],
)
async def test_a_message_beyond_the_bounds_ends_the_call_after_all_before_it(
    pair: tuple[Site, Site], message: pb.SubmitManyRequest, wanted: str
) -> None:
    async with pair[0].client("a") as client:
        messages = [pb.SubmitManyRequest(drafts=requests(2)), message]
        answers, error = await until_error(client.bulletins.SubmitMany(iter(messages)))
    assert isinstance(error, grpc.aio.AioRpcError)
    assert code_of(error) == wanted
    outcomes = [one.WhichOneof("outcome") for answer in answers for one in answer.outcomes]
    assert outcomes == ["stored", "stored"]


async def test_a_role_that_is_taken_away_ends_a_running_call(pair: tuple[Site, Site]) -> None:
    fra = pair[0]

    async def messages() -> AsyncIterator[pb.SubmitManyRequest]:
        yield pb.SubmitManyRequest(drafts=requests(1))
        await asyncio.Event().wait()

    async with fra.client("a") as client, fra.client("o") as operator:
        answering = aiter(client.bulletins.SubmitMany(messages()))
        answer = await anext(answering)
        assert [one.WhichOneof("outcome") for one in answer.outcomes] == ["stored"]
        await operator.operations.RevokeUser(pb.RevokeUserRequest(name="a"))
        answers, error = await until_error(answering)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert code_of(error) == "NOT_AUTHORISED"
    assert not answers, "it ends by itself, though nothing more is sent"


async def test_one_user_has_eight_open_calls_at_most(pair: tuple[Site, Site]) -> None:
    async with pair[0].client("a") as client:
        calls = [client.bulletins.SubmitMany() for _ in range(8)]
        for call in calls:
            await call.write(pb.SubmitManyRequest(drafts=requests(1)))
            assert (await call.read()).outcomes
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.bulletins.SubmitMany(iter(())).read()
        assert code_of(raised.value) == "RATE"
        await calls[0].done_writing()
        assert await calls[0].read() is grpc.aio.EOF
        assert not [one async for one in client.bulletins.SubmitMany(iter(()))]
        for call in calls:
            call.cancel()


# Packing and gathering, without a node


def test_messages_are_as_full_as_they_may_be_and_no_fuller() -> None:
    small, large = requests(150), [request("x" * 300_000) for _ in range(7)]
    assert [len(one.drafts) for one in in_groups(small)] == [64, 64, 22]
    packed = list(in_groups(large))
    assert [one for message in packed for one in message.drafts] == large
    assert [len(one.drafts) for one in packed] == [3, 3, 1]
    assert all(one.ByteSize() <= MAX_DRAFT_BYTES for one in packed)


async def test_what_is_there_is_packed_together_and_waits_for_nothing() -> None:
    more = asyncio.Event()

    async def source() -> AsyncIterator[pb.SubmitRequest]:
        for one in requests(5):
            yield one
        await more.wait()
        yield request("late")

    messages = in_groups_as_they_come(source())
    assert len((await anext(messages)).drafts) == 5
    more.set()
    assert len((await anext(messages)).drafts) == 1
    assert await anext(messages, None) is None


async def test_while_a_group_is_stored_the_next_one_is_gathered_and_no_more_is_read() -> None:
    read = 0

    async def messages() -> AsyncIterator[pb.SubmitManyRequest]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield pb.SubmitManyRequest(drafts=requests(1))

    sizes = []
    async for drafts in gathered(messages()):
        # What stores them takes its time.
        while read < min(200, sum(sizes) + len(drafts) + MAX_DRAFTS):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert read <= sum(sizes) + len(drafts) + MAX_DRAFTS
        sizes.append(len(drafts))
    assert sum(sizes) == 200
    assert max(sizes) == MAX_DRAFTS
    assert len(sizes) <= 5
