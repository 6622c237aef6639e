"""A claim that a witness saw another log lasts only until that log's node is convicted (attack 64, I6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from intelshare.broker.kernel.tables import EVIDENCE
from intelshare.broker.transparency.checkpoint import own
from intelshare.broker.transparency.evidence import SETTLED
from intelshare.broker.transparency.witness import prove
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Batch
from line_world import arrive, met, rows, say_hello, stolen
from log_world import Logs, answer, forged

SPLIT = "LOG_FORK"


@pytest.fixture(name="logs")
def _logs() -> Logs:
    """FRA has shown USA one log, and KEN another."""
    logs = Logs(met())
    logs.show("FRA", "USA")
    assert logs.bring("FRA", "KEN", other(logs, "to KEN")) == [""]
    return logs


def other(logs: Logs, seed: str) -> Any:
    """What KEN was shown, as FRA may sign it again."""
    return forged(logs, "FRA", b"\1" * 32, logs.held("USA", "FRA")[0], seed)


def witness(logs: Logs) -> Any:
    """KEN tells USA what it saw, and the answer to the question that follows is lost: the questions."""
    (said,) = [outbound.frame for outbound in logs.say("KEN").outbound if outbound.peer == "USA"]
    taken = arrive(logs.members["USA"], logs.members["KEN"], said, at=logs.tick())
    assert [ack.code for ack in taken.acks] == [""]
    return taken.effects.asks


def accused(logs: Logs) -> list[tuple[str, str]]:
    return [(row.member, row.code) for row in logs.alarms("USA")]


def test_nobody_is_accused_for_having_seen_another_log_of_a_convicted_node(logs: Logs) -> None:
    assert logs.bring("FRA", "USA", other(logs, "to USA")) == [SPLIT]
    assert not witness(logs), "there is nothing to ask"
    assert accused(logs) == [("FRA", SPLIT)]


def test_a_claim_ends_when_the_node_itself_shows_what_the_witness_saw(logs: Logs) -> None:
    witness(logs)
    assert accused(logs) == [("KEN", SPLIT)]
    assert logs.bring("FRA", "USA", other(logs, "to USA")) == [SPLIT]
    assert accused(logs) == [("FRA", SPLIT)]
    assert [row.member for row in rows(logs.members["USA"], EVIDENCE) if row.shelf == SETTLED] == ["KEN"]


def test_a_claim_whose_answer_was_lost_is_asked_about_at_the_next_hello(logs: Logs) -> None:
    asked = witness(logs)
    told = say_hello(logs.members["KEN"], logs.members["USA"], logs.tick())
    assert set(asked) <= set(told.effects.asks)
    logs.follow("USA", told.effects)
    assert accused(logs) == [("FRA", SPLIT)]
    told = say_hello(logs.members["KEN"], logs.members["USA"], logs.tick())
    assert not set(asked) & set(told.effects.asks), "it is settled"


def heard(logs: Logs) -> list[tuple[Any, ...]]:
    """FRA has shown KEN a longer log than USA, and then shows USA its own: what USA is answered about it."""
    logs.act("FRA", 2)
    logs.show("FRA", "USA")
    longer = forged(logs, "FRA", b"\1" * 32, logs.held("USA", "FRA")[0] + 2, "to KEN")
    logs.bring("FRA", "KEN", longer)
    witness(logs)
    logs.act("FRA", 3)
    fra, usa = logs.members["FRA"], logs.members["USA"]
    (said,) = [outbound.frame for outbound in logs.say("FRA").outbound if outbound.peer == "USA"]
    asks = arrive(usa, fra, said, at=logs.tick()).effects.asks
    return [("FRA", fra.node.uri, answer(fra.node, fra.store, ask)) for _, ask in asks]


def test_a_split_view_of_two_sizes_is_asked_about_again_too() -> None:
    logs = Logs(met())
    for answered in heard(logs):
        logs.members["USA"].do(prove, *answered, at=logs.tick())
    assert accused(logs) == [("KEN", SPLIT)]
    logs.follow("USA", say_hello(logs.members["KEN"], logs.members["USA"], logs.tick()).effects)
    assert accused(logs) == [("FRA", SPLIT)]


def test_nobody_is_accused_for_having_seen_a_shorter_log_of_a_convicted_node() -> None:
    logs = Logs(met())
    answers = heard(logs)
    fra = own(logs.members["FRA"].node, logs.members["FRA"].store)
    assert logs.bring("FRA", "USA", forged(logs, "FRA", b"\2" * 32, fra.size, "to USA")) == [SPLIT]
    for answered in answers:
        logs.members["USA"].do(prove, *answered, at=logs.tick())
    assert accused(logs) == [("FRA", SPLIT)]


def test_what_a_key_signed_that_was_revoked_since_clears_the_witness_and_convicts_nobody(logs: Logs) -> None:
    asked = witness(logs)
    stolen(logs.members, told=("USA", "KEN"))
    for member, ask in asked:
        ken = logs.members[member]
        shown = answer(ken.node, ken.store, ask)
        logs.members["USA"].do(prove, member, ken.node.uri, shown, at=logs.tick())
    assert not accused(logs)


@pytest.mark.parametrize("revoked", [False, True])
def test_what_nobody_signed_clears_no_witness(logs: Logs, *, revoked: bool) -> None:
    asked = witness(logs)
    if revoked:
        stolen(logs.members, told=("USA", "KEN"))
    for member, ask in asked:
        ken = logs.members[member]
        shown = answer(ken.node, ken.store, ask)
        assert shown is not None
        (said,) = shown.signed
        batch = decode(Batch, said.batch)
        forgery = replace(batch, signature=bytes(len(batch.signature)))
        lie = replace(shown, signed=(replace(said, batch=encode(Batch, forgery)),))
        logs.members["USA"].do(prove, member, ken.node.uri, lie, at=logs.tick())
    assert accused(logs) == [("KEN", SPLIT)]
