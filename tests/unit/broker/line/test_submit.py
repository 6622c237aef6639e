"""Submit: promises P1 to P3, and what a wrong draft gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, STIX_MEDIA, actor, draft, marked_red, text, user
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.register import revoke_user
from intelshare.broker.kernel.tables import BULLETIN, PAIR, PORTION, SUBMISSION
from intelshare.broker.lifecycle.holds import ApproveCommand, approve
from intelshare.broker.line.submit import SubmitCommand, dry_run, submit
from intelshare.bulletin import Draft, encode_draft
from intelshare.crypto.codec import encode
from intelshare.crypto.records import PortionKind, Precedence
from intelshare.errors import IntelshareError
from intelshare.instant import NEVER, Instant
from line_world import (
    LATER,
    TO_BOTH,
    TO_USA,
    everything,
    log_of,
    met,
    pair_of,
    refused,
    rows,
    send,
    with_law,
    world_with,
)

HOLD = '[[hold]]\nid = "source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n'
HELD = text(TO_USA, flags=("source-identity",))


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


def test_p1_bulletin_decisions_pairs_and_log_entries_are_one_commit(fra: Any) -> None:
    commits, logged = fra.store.commits, len(log_of(fra))
    answer = send(fra, draft(text(TO_USA), text(TO_BOTH), to=["USA", "KEN"]))
    assert fra.store.commits == commits + 1
    assert [len(rows(fra, table)) for table in (BULLETIN, PORTION, PAIR, SUBMISSION)] == [1, 2, 2, 1]
    assert log_of(fra)[logged:] == [EntryType.SUBMIT, EntryType.DECISION, EntryType.DECISION]
    assert [pair.word for pair in answer.pairs] == ["queued", "queued"]


def test_p2_the_same_key_gives_the_first_answer_byte_for_byte_also_in_another_world(fra: Any) -> None:
    given = draft(text(TO_USA), to=["USA"])
    first = send(fra, given)
    stored = everything(fra)
    fra.node = replace(fra.node, world=world_with(fra.node, without=["gsa-fra-usa", "demo-climate"]))
    again = send(fra, given, at=Instant(NOW + 10**15))
    assert encode(type(first), again) == encode(type(first), first)
    assert everything(fra) == stored
    assert [pair.word for pair in send(fra, given, key="other").pairs] == ["withheld"]


def test_p2_row_53_the_same_key_with_other_content_or_by_somebody_else_is_a_conflict(fra: Any) -> None:
    given = draft(text(TO_USA), to=["USA"])
    send(fra, given)
    for other in (
        draft(text(TO_USA, "other"), to=["USA"]),
        draft(text(TO_USA), to=["USA", "KEN"]),
        replace(given, valid_until=LATER),
    ):
        assert refused(fra, lambda other=other: send(fra, other)).code == "ID_CONFLICT"
    assert refused(fra, lambda: send(fra, given, by="r")).code == "ID_CONFLICT"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (draft(text(TO_USA), to=[]), "INPUT_INVALID"),
        (draft(to=["USA"]), "INPUT_INVALID"),
        (draft(text(TO_USA), to=["USA", "USA"]), "INPUT_INVALID"),
        (draft(text(TO_USA), to=["USA", "DEU"]), "UNKNOWN_MEMBER"),
        (draft(text("//FRA SECRET//REL TO FRA, XXZ"), to=["USA"]), "UNKNOWN_MEMBER"),
        (draft(text("//FRA SEKRET//REL TO FRA, USA"), to=["USA"]), "UNKNOWN_LEVEL"),
        (draft(text("//FRA CONFIDENTIEL DÉFENSE//REL TO FRA, USA"), to=["USA"]), "LEVEL_WITHDRAWN"),
        (draft(text("//FRA SECRET\x00//REL TO FRA, USA"), to=["USA"]), "CONTROL_CHARACTER"),
        (draft(text("//FRA SECRET\u202e//REL TO FRA, USA"), to=["USA"]), "CONTROL_CHARACTER"),
        (draft(text(TO_USA), text(TO_USA, "x" * (512 * 1024)), to=["USA"]), "TOO_LARGE"),
        (draft(*([text(TO_USA)] * 65), to=["USA"]), "TOO_LARGE"),
        (draft(*([text(TO_USA)] * 100_000), to=["USA"]), "TOO_LARGE"),
        (draft(text(TO_USA), to=[f"M{n}" for n in range(10_000)]), "TOO_LARGE"),
        (draft(text(TO_USA, '{"not stix": tru', kind=PortionKind.STIX), to=["USA"]), "INPUT_INVALID"),
        (draft(text("TLP:CLEAR", marked_red(), kind=PortionKind.STIX), to=["USA"]), "MARKING_CONFLICT"),
        (
            draft(text(TO_USA), text("TLP:CLEAR", marked_red(), media=STIX_MEDIA), to=["USA"]),
            "MARKING_CONFLICT",
        ),
    ],
)
def test_p3_rows_54_79_bad_input_stores_nothing_and_logs_nothing(fra: Any, given: Any, code: str) -> None:
    assert refused(fra, lambda: send(fra, given)).code == code
    assert refused(fra, lambda: fra.ask(dry_run, _submission(given), NOW)).code == code


def test_row_54_a_label_of_a_megabyte_is_too_large(fra: Any) -> None:
    given = draft(text("//FRA SECRET" + " " * 10**6), to=["USA"])
    assert refused(fra, lambda: send(fra, given)).code == "TOO_LARGE"


def test_a_partly_withheld_bulletin_is_one_release_of_what_is_allowed(fra: Any) -> None:
    answer = send(fra, draft(text(TO_USA), text(TO_BOTH), to=["KEN"]))
    assert [pair.word for pair in answer.pairs] == ["queued"]
    row = pair_of(fra, "KEN")
    assert (row.granted, row.portions) == (1, 2)
    outcomes = {p.position: p.decision.value.outcome for p in answer.pairs[0].portions}
    assert outcomes == {0: 3, 1: 1}


def test_a_bulletin_denied_whole_is_withheld_at_once_with_its_reasons(fra: Any) -> None:
    answer = send(fra, draft(text(TO_USA), to=["KEN"]))
    assert [pair.word for pair in answer.pairs] == ["withheld"]
    assert "NOT_RELEASABLE_TO" in pair_of(fra, "KEN").codes.split()
    assert log_of(fra)[-2:] == [EntryType.DECISION, EntryType.STOP]


def test_a_held_pair_is_released_by_a_second_person_and_nobody_else(fra: Any) -> None:
    with_law(fra, HOLD)
    answer = send(fra, draft(HELD, to=["USA"]), by="r")
    bulletin = answer.bulletin.hex()
    assert [pair.word for pair in answer.pairs] == ["held"]

    def by(name: str, given: str = bulletin, to: str = "USA") -> str:
        command = ApproveCommand(actor("FRA", name), given, to)  # type: ignore[arg-type]
        word: str = fra.do(approve, command)
        return word

    assert refused(fra, lambda: by("r")).code == "NOT_AUTHORISED"
    assert refused(fra, lambda: by("nobody")).code == "NOT_AUTHORISED"
    send(fra, draft(HELD, to=["USA"]), key="by a")
    second = next(row for row in rows(fra, BULLETIN) if row.author == user("FRA", "a")).bulletin.hex()
    assert refused(fra, lambda: by("r", second, "KEN")).code == "NOT_FOUND"
    assert refused(fra, lambda: by("r", "ffffffff")).code == "NOT_FOUND"
    assert by("r", second) == "queued"
    assert log_of(fra)[-1] is EntryType.APPROVE
    assert refused(fra, lambda: by("r", second)).code == "INPUT_INVALID"


def test_only_users_of_the_register_send(fra: Any) -> None:
    given = draft(text(TO_USA), to=["USA"])
    assert refused(fra, lambda: send(fra, given, by="nobody")).code == "NOT_AUTHORISED"


def test_a_revoked_user_sends_nothing_and_learns_nothing_of_earlier_answers(fra: Any) -> None:
    given = draft(text(TO_USA), to=["USA"])
    send(fra, given)
    fra.do(revoke_user, user("FRA", "o"), user("FRA", "a"))
    assert refused(fra, lambda: send(fra, given)).code == "NOT_AUTHORISED"


def test_a_dry_run_answers_as_submit_would_and_stores_nothing(fra: Any) -> None:
    given = draft(text(TO_USA), text(TO_BOTH), to=["USA", "KEN"])
    before = everything(fra)
    dry = fra.ask(dry_run, _submission(given), NOW)
    assert everything(fra) == before
    real = send(fra, given)
    assert (dry.banner, dry.marks) == (real.banner, real.marks)
    assert [(p.recipient, p.word) for p in dry.pairs] == [(p.recipient, p.word) for p in real.pairs]


def test_row_55_labels_titles_and_texts_are_sealed_in_every_row(fra: Any) -> None:
    title = replace(text(TO_USA, "CANARY-TITLE"), kind=PortionKind.TITLE)
    send(fra, draft(title, text(TO_USA, "CANARY-TEXT", category="terrorism"), to=["USA"]))
    for table in (BULLETIN, PORTION, PAIR, SUBMISSION):
        for row in rows(fra, table):
            for word in ("CANARY", "FRA SECRET", "terrorism"):
                assert word.encode() not in repr(row).encode()


def test_an_error_shows_no_control_character_of_the_input(fra: Any) -> None:
    for label in ("//FRA SECRET\x1b[31m//REL TO FRA", "//FRA SE\u202eCRET"):
        with pytest.raises(IntelshareError) as caught:
            send(fra, draft(text(label), to=["USA"]))
        assert "\x1b" not in caught.value.message
        assert "\u202e" not in caught.value.message


def test_a_bulletin_without_an_end_never_expires(fra: Any) -> None:
    send(fra, draft(text(TO_USA), to=["USA"]))
    assert rows(fra, BULLETIN)[0].expires == NEVER


def _submission(given: Any) -> SubmitCommand:
    return SubmitCommand(actor("FRA", "a"), b"dry run".ljust(16), given)


def test_one_key_is_one_step_whatever_the_order_of_arrival(fra: Any) -> None:
    given = draft(text(TO_USA), to=["USA"])
    command = SubmitCommand(actor("FRA", "a"), b"k" * 16, given)
    answers = {encode(type(answer), answer) for answer in [fra.do(submit, command) for _ in range(3)]}
    assert len(answers) == 1
    assert len(rows(fra, BULLETIN)) == 1


def test_a_bulletin_for_the_own_member_is_refused_and_does_not_wait_for_ever(fra: Any) -> None:
    stored = everything(fra)
    with pytest.raises(IntelshareError) as caught:
        send(fra, draft(text(TO_BOTH), to=["USA", "FRA"]))
    assert caught.value.code == "INPUT_INVALID"
    assert everything(fra) == stored


def test_a_list_names_the_treaty_that_lets_the_bulletin_through_not_the_title_that_needs_none(
    fra: Any,
) -> None:
    send(fra, draft(text("//FRA NP"), text(TO_USA), to=["USA"]))
    (row,) = rows(fra, PAIR)
    assert row.basis == "gsa-fra-usa"


@pytest.mark.parametrize(
    "given",
    [
        draft(text(TO_USA), to=["USA"]),
        draft(text(TO_USA, ""), text(TO_USA, "two", flags=("a", "b")), to=["USA", "KEN"]),
        replace(draft(text(TO_USA), to=["USA"]), supersedes="00ff", in_reply_to_from="KEN"),
        replace(draft(text(TO_USA), to=["USA"]), precedence=Precedence.FLASH, valid_until=NEVER),
    ],
)
def test_a_draft_is_compared_by_the_bytes_that_the_codec_writes(given: Draft) -> None:
    known: dict[Any, bytes] = {}

    def remember(key: Any, make: Any) -> bytes:
        return known.setdefault(key, make())

    for _ in range(2):
        assert encode_draft(given, remember) == encode(Draft, given)
