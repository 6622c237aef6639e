"""Witnesses: what a peer says of its log is held against what was seen. Attacks 63 and 64; P12, P20; I6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from builders import seeded, user
from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.path import Hop, LogAsk, LogPath
from intelshare.audit.records import EntryType, Settled, Witnessed
from intelshare.broker.kernel.log import entry_at, log_row_of, rewritten
from intelshare.broker.kernel.tables import (
    CHECKPOINT,
    EVIDENCE,
    LOG,
    LOG_HEAD,
    PENDING,
    STATEMENT,
    TABLES,
)
from intelshare.broker.line.hello import make_hello, start_incarnation
from intelshare.broker.transparency import evidence, known_checkpoints, witness
from intelshare.broker.transparency.checkpoint import due, own
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.log_reader import verify_logs
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence, Kind
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import HOUR, MINUTE, Instant
from intelshare.ports import Delete, Plan, Put
from intelshare.store.memory import MemoryStore
from intelshare.verifier import check_evidence
from line_world import entries, everything, met, rows, say_hello, signed
from log_world import Logs, answer, forged, rewrite

USA, FRA, KEN = MemberCode("USA"), MemberCode("FRA"), MemberCode("KEN")


@pytest.fixture
def logs() -> Logs:
    return Logs(met())


def said(logs: Logs, code: str) -> str:
    """What a member's operators read."""
    return "; ".join(
        f"{row.member} {row.code}: {describe(row.code, decode(Exhibit, row.exhibit))}"
        for row in logs.alarms(code)
    )


def test_a_log_that_grew_is_proved_kept_and_listed_in_the_witnesss_own_checkpoint(logs: Logs) -> None:
    assert logs.show("USA") == ["", ""]
    logs.act("USA", 3)
    assert logs.show("USA") == ["", ""]
    usa = own(logs.members["USA"].node, logs.members["USA"].store)
    assert logs.held("FRA", "USA") == [usa.size - 3, usa.size]
    logs.show("FRA")
    listed = decode(
        Checkpoint, decode(Evidence, own(logs.members["FRA"].node, logs.members["FRA"].store).signed).data
    )
    assert listed.cosigned[0] == Cosigned(usa.origin, usa.incarnation, usa.size, usa.root)
    assert not logs.alarms("FRA")


def test_every_peer_gets_the_same_bytes_and_an_unacknowledged_older_checkpoint_gives_way(logs: Logs) -> None:
    first = logs.say("USA")
    assert len({outbound.frame for outbound in first.outbound}) == 1
    logs.act("USA")
    second = logs.say("USA")
    usa = logs.members["USA"]
    assert {row.leaf for row in rows(usa, PENDING)} == {second.outbound[0].leaves[0]}
    assert [row.leaf for row in rows(usa, STATEMENT)] == [second.outbound[0].leaves[0]]
    assert {leaf for _, leaf in second.ended} == {first.outbound[0].leaves[0]}


def test_two_idle_nodes_fall_silent(logs: Logs) -> None:
    later = Instant(logs.now + HOUR)
    for _ in range(6):
        for code in ("FRA", "USA", "KEN"):
            logs.show(code)
    assert not any(due(m.node, m.store, later) for m in logs.members.values())


def test_a_checkpoint_is_due_when_the_log_has_grown_and_not_more_often_than_every_five_seconds(
    logs: Logs,
) -> None:
    usa = logs.members["USA"]
    assert due(usa.node, usa.store, logs.now)
    logs.say("USA")
    at = logs.now
    logs.act("USA")
    assert not due(usa.node, usa.store, Instant(at + 4_999_999))
    assert due(usa.node, usa.store, Instant(at + 5_000_000))


def test_row_63_a_rewritten_log_is_caught_by_any_peer_that_holds_an_earlier_checkpoint(logs: Logs) -> None:
    sizes = []
    for _ in range(4):
        logs.act("USA", 3)
        logs.show("USA", "FRA")
        sizes.append(own(logs.members["USA"].node, logs.members["USA"].store).size)
    rewrite(logs.members["USA"], sizes[1] + 1)
    logs.act("USA")
    assert logs.show("USA", "FRA") == [""]
    assert (
        f"USA LOG_INCONSISTENT: history rewritten at entry {sizes[1]} or after it, before entry {sizes[2]}"
        in said(logs, "FRA")
    )
    logs.act("USA")
    assert logs.show("USA", "FRA") == ["LOG_INCONSISTENT"]
    assert not logs.alarms("KEN")
    assert entries(logs.members["FRA"], EntryType.WITNESSED, Witnessed)[-1].code == "LOG_INCONSISTENT"


def test_row_63_a_log_rewritten_while_its_node_was_off_is_caught_over_restarts(logs: Logs) -> None:
    logs.act("USA", 5)
    logs.show("USA", "FRA")
    size = own(logs.members["USA"].node, logs.members["USA"].store).size
    logs.act("USA")
    logs.show("USA", "FRA")
    rewrite(logs.members["USA"], size)
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == f"USA LOG_INCONSISTENT: history rewritten at entry {size}"


def test_a_rewritten_log_is_not_the_one_that_was_signed_as_its_own_node_can_see_too(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.say("USA")
    usa = logs.members["USA"]
    size = own(usa.node, usa.store).size
    for _ in range(3):
        logs.restart("USA")
        logs.say("USA")
    assert not verify_logs(usa.node, usa.store).findings
    first = min(rows(usa, LOG_HEAD), key=lambda row: row.began).incarnation
    rewrite(usa, 2, first)
    findings = verify_logs(usa.node, usa.store).findings
    assert f"its first {size} entries are not those that were signed" in findings[0]


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_row_63_an_entry_edited_without_covering_the_tracks_leaves_the_log_without_a_proof(
    logs: Logs, how: str
) -> None:
    logs.act("USA", 5)
    logs.show("USA", "FRA")
    usa = logs.members["USA"]
    log = usa.node.incarnation
    row, entry = log_row_of(usa.store, log, 2), entry_at(usa.store, log, 2)
    edited = rewritten(row, entry._replace(at=Instant(entry.at + 1)))
    change = Put(LOG, edited) if how == "edited" else Delete(LOG, (log, row.last))
    usa.store.apply(Plan((change,), None))
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert "LOG_INCONSISTENT: no proof that its log still begins with" in said(logs, "FRA")
    with pytest.raises(IntelshareError, match="EVIDENCE_INCONCLUSIVE"):
        check_evidence(logs.export("FRA", logs.alarms("FRA")[0]), "file")


def test_pages_noted_as_a_log_grows_are_those_that_reading_it_gives(logs: Logs) -> None:
    usa = logs.members["USA"]
    logs.act("USA", 700)
    log = usa.node.incarnation
    size = usa.store.get(LOG_HEAD, log).size
    for earlier in (1, 255, 256, 257, 500, 512, 513, size):
        ask = LogAsk(usa.node.uri, log, earlier, log, size)
        noted = answer(usa.node, usa.store, ask)
        read = answer(replace(usa.node, trees={}), usa.store, ask)
        assert noted == read
        assert noted is not None
        assert len(noted.proof) > 0
    noted_pages = [low for low, high in usa.node.trees[log]._whole if high - low == 256]
    assert len(noted_pages) == size // 256


def test_amnesia_is_shown_with_what_was_forgotten_and_never_called_a_fork(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    usa = logs.members["USA"]
    backup = everything(usa)
    logs.act("USA", 4)
    logs.show("USA", "FRA")
    usa.store = MemoryStore(
        [Plan(tuple(Put(_table(name), row) for name in backup for row in backup[name]), None)]
    )
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == "USA LOG_FORGOT: new incarnation, forgot 4 entries"
    logs.act("USA")
    assert logs.show("USA", "FRA") == [""]
    assert entries(logs.members["FRA"], EntryType.WITNESSED, Witnessed)[-1].forgot == 4


def test_a_node_that_forgot_is_told_by_who_holds_more(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    usa, fra = logs.members["USA"], logs.members["FRA"]
    payload = fra.ask(make_hello, USA, logs.now)
    assert [held.size for held in payload.checkpoint] == logs.held("FRA", "USA")
    assert say_hello(fra, usa).lost == 0
    usa.store = MemoryStore()
    usa.node = replace(usa.node, incarnation=usa.node.incarnation + 5)
    usa.do(start_incarnation, at=logs.tick())
    assert say_hello(fra, usa).lost == payload.checkpoint[0].size
    assert "LOG_FORGOT" in said(logs, "USA")


def test_history_rewritten_under_cover_of_amnesia_is_caught_by_an_older_checkpoint(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    usa = logs.members["USA"]
    backup = everything(usa)
    logs.act("USA", 4)
    logs.show("USA", "FRA")
    usa.store = MemoryStore(
        [Plan(tuple(Put(_table(name), row) for name in backup for row in backup[name]), None)]
    )
    rewrite(usa, 1)
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert "LOG_FORGOT" in said(logs, "FRA")
    assert "LOG_INCONSISTENT: history rewritten" in said(logs, "FRA")


def test_a_copy_of_an_old_checkpoint_that_comes_late_is_no_contradiction(logs: Logs) -> None:
    old = logs.say("USA")
    logs.act("USA", 2)
    newer = logs.say("USA")
    logs.restart("USA")
    newest = logs.say("USA")
    for effects in (newest, old, newer):
        logs.deliver("USA", effects, "FRA")
    assert not logs.alarms("FRA")
    assert not logs.held("FRA", "USA", CheckpointState.CLAIMED)
    assert len(logs.held("FRA", "USA")) == 3


def unanswered(logs: Logs, code: str, peer: str) -> list[str]:
    """A checkpoint is acknowledged, and the link ends before its path has come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("log_world.answer", lambda *_: None)
        return logs.show(code, peer)


def meets(logs: Logs) -> Any:
    """USA says hello to FRA, which asks what it wants to ask."""
    met = say_hello(logs.members["USA"], logs.members["FRA"], at=logs.now)
    logs.follow("FRA", met.effects)
    return met


def test_what_was_acknowledged_and_not_proved_is_forgotten_just_as_visibly(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    usa = logs.members["USA"]
    backup = everything(usa)
    logs.act("USA", 4)
    assert unanswered(logs, "USA", "FRA") == [""]
    assert logs.held("FRA", "USA", CheckpointState.CLAIMED)
    rows_kept = [Put(_table(name), row) for name in backup for row in backup[name]]
    usa.store = MemoryStore([Plan(tuple(rows_kept), None)])
    logs.restart("USA")
    assert say_hello(logs.members["FRA"], usa).lost == 4, "the hello of a peer names what it was signed"
    assert "LOG_FORGOT" in said(logs, "USA")
    meets(logs)
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == "USA LOG_FORGOT: new incarnation, forgot 4 entries"
    assert not logs.held("FRA", "USA", CheckpointState.CLAIMED)


def test_the_most_that_was_forgotten_is_shown_once(logs: Logs) -> None:
    usa = logs.members["USA"]
    logs.show("USA", "FRA")
    backup = everything(usa)
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    logs.act("USA", 3)
    unanswered(logs, "USA", "FRA")
    rows_kept = [Put(_table(name), row) for name in backup for row in backup[name]]
    usa.store = MemoryStore([Plan(tuple(rows_kept), None)])
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == "USA LOG_FORGOT: new incarnation, forgot 5 entries"


def test_what_was_forgotten_after_a_clock_had_gone_back_is_shown(logs: Logs) -> None:
    usa = logs.members["USA"]
    logs.show("USA", "FRA")
    right = logs.now
    logs.act("USA")
    logs.now = Instant(right + 2 * MINUTE)
    logs.show("USA", "FRA")
    logs.now = Instant(right + MINUTE)
    backup = everything(usa)
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    rows_kept = [Put(_table(name), row) for name in backup for row in backup[name]]
    usa.store = MemoryStore([Plan(tuple(rows_kept), None)])
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == "USA LOG_FORGOT: new incarnation, forgot 2 entries"


def test_what_was_signed_ahead_of_time_and_forgotten_is_shown_before_its_time_has_come(logs: Logs) -> None:
    usa = logs.members["USA"]
    logs.show("USA", "FRA")
    right, backup = logs.now, everything(usa)
    logs.act("USA", 2)
    logs.now = Instant(right + 4 * MINUTE)
    ahead = logs.say("USA")
    logs.now = Instant(right + MINUTE)
    logs.deliver("USA", ahead, "FRA")
    rows_kept = [Put(_table(name), row) for name in backup for row in backup[name]]
    usa.store = MemoryStore([Plan(tuple(rows_kept), None)])
    logs.restart("USA")
    logs.show("USA", "FRA")
    assert said(logs, "FRA") == "USA LOG_FORGOT: new incarnation, forgot 2 entries"


def test_a_log_signed_while_the_clock_had_gone_back_is_not_forgotten_unseen(logs: Logs) -> None:
    forgets_what_it_signed_back(logs)
    logs.show("USA", "FRA")
    assert "USA LOG_FORGOT: new incarnation, forgot" in said(logs, "FRA")


def forgets(logs: Logs, backup: Any) -> None:
    """USA's disk is put back; a log begins that it has not had yet."""
    usa = logs.members["USA"]
    rows_kept = [Put(_table(name), row) for name in backup for row in backup[name]]
    usa.store = MemoryStore([Plan(tuple(rows_kept), None)])
    usa.node = replace(usa.node, incarnation=usa.node.incarnation + 1)
    logs.restart("USA")


def forgets_what_it_signed_back(logs: Logs) -> None:
    """USA's disk is put back to before a log that it had signed while its clock had gone back."""
    usa = logs.members["USA"]
    logs.show("USA", "FRA")
    right, backup = logs.now, everything(usa)
    logs.now = Instant(right - 2 * MINUTE)
    logs.restart("USA")
    back = logs.say("USA")
    logs.now = Instant(right + MINUTE)
    logs.deliver("USA", back, "FRA")
    forgets(logs, backup)


def test_a_log_is_not_forgotten_unseen_by_a_witness_whose_clock_had_been_ahead(logs: Logs) -> None:
    usa = logs.members["USA"]
    before = logs.say("USA")
    right, backup = logs.now, everything(usa)
    logs.now = Instant(right + 8 * MINUTE)
    logs.deliver("USA", before, "FRA")
    logs.now = Instant(right - MINUTE)
    logs.restart("USA")
    newest = usa.node.incarnation
    back = logs.say("USA")
    logs.now = Instant(right + MINUTE)
    logs.deliver("USA", back, "FRA")
    fra = logs.members["FRA"]
    assert [held.incarnation for held in fra.ask(make_hello, USA, logs.now).checkpoint] == [newest]
    forgets(logs, backup)
    logs.show("USA", "FRA")
    assert "USA LOG_FORGOT: new incarnation, forgot" in said(logs, "FRA")


@pytest.mark.parametrize("answered", [True, False])
def test_a_log_is_not_forgotten_unseen_where_a_copy_of_the_log_before_came_after_it(
    logs: Logs, answered: bool
) -> None:
    usa = logs.members["USA"]
    logs.show("USA", "FRA")
    logs.act("USA")
    late = logs.say("USA")
    right, backup = logs.now, everything(usa)
    logs.now = Instant(right - 2 * MINUTE)
    logs.restart("USA")
    newest = usa.node.incarnation
    if answered:
        logs.show("USA", "FRA")
    else:
        unanswered(logs, "USA", "FRA")
    logs.now = Instant(right + MINUTE)
    logs.deliver("USA", late, "FRA")
    fra = logs.members["FRA"]
    assert [held.incarnation for held in fra.ask(make_hello, USA, logs.now).checkpoint] == [newest]
    forgets(logs, backup)
    logs.show("USA", "FRA")
    assert "USA LOG_FORGOT: new incarnation, forgot" in said(logs, "FRA")


def test_a_log_is_not_forgotten_unseen_where_the_first_answer_of_the_next_one_is_lost(logs: Logs) -> None:
    forgets_what_it_signed_back(logs)
    unanswered(logs, "USA", "FRA")
    meets(logs)
    assert "USA LOG_FORGOT: new incarnation, forgot" in said(logs, "FRA")


def test_a_node_whose_clock_has_gone_back_knows_which_of_its_own_logs_was_the_last(logs: Logs) -> None:
    usa = logs.members["USA"]
    logs.say("USA")
    logs.now = Instant(logs.now - 2 * MINUTE)
    logs.restart("USA")
    newest = usa.node.incarnation
    logs.say("USA")
    logs.restart("USA")
    last = usa.ask(own)
    assert last is not None
    assert last.incarnation == newest


def test_a_hello_asks_nothing_about_a_log_that_ended_until_a_later_one_is_there(logs: Logs) -> None:
    logs.show("USA", "FRA")
    logs.restart("USA")
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    logs.act("USA", 2)
    unanswered(logs, "USA", "FRA")
    rewrite(logs.members["USA"], 2)
    logs.restart("USA")
    assert not meets(logs).effects.asks
    logs.show("USA", "FRA")
    (row,) = logs.alarms("FRA")
    assert "LOG_INCONSISTENT: history rewritten" in said(logs, "FRA")
    assert check_evidence(logs.export("FRA", row), "file").member == "USA"


def empty_once(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """The first answers show nothing; every later one is honest."""
    left = [None] * times

    def answered(node: Any, view: Any, ask: LogAsk) -> LogPath | None:
        return LogPath(ask, (), (), ()) if left and not left.clear() else answer(node, view, ask)

    monkeypatch.setattr("log_world.answer", answered)


def test_an_empty_answer_does_not_choose_the_charge(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    rewrite(logs.members["USA"], 2)
    logs.restart("USA")
    empty_once(monkeypatch)
    logs.show("USA", "FRA")
    (row,) = logs.alarms("FRA")
    assert "LOG_INCONSISTENT: history rewritten" in said(logs, "FRA")
    assert check_evidence(logs.export("FRA", row), "file").member == "USA"


@pytest.mark.parametrize("healed", ["checkpoint", "hello"])
def test_an_honest_node_is_cleared_by_its_next_right_answer(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, healed: str
) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    logs.act("USA")
    monkeypatch.setattr("log_world.answer", lambda _node, _view, ask: LogPath(ask, (), (), ()))
    for _ in range(3):
        logs.act("USA")
        assert logs.show("USA", "FRA") == [""], "what proves nothing stops no log"
    assert len(logs.held("FRA", "USA", CheckpointState.DOUBTED)) == 3
    assert "no proof that its log still begins with" in said(logs, "FRA")
    assert len(logs.alarms("FRA")) == 1, "one alarm for all that is in doubt"
    monkeypatch.undo()
    if healed == "hello":
        meets(logs)
    else:
        logs.act("USA")
        assert logs.show("USA", "FRA") == [""]
    assert not logs.alarms("FRA")
    assert not logs.held("FRA", "USA", CheckpointState.DOUBTED)
    witnessed = entries(logs.members["FRA"], EntryType.WITNESSED, Witnessed)
    assert [one.code for one in witnessed][1:] == ["LOG_INCONSISTENT", "", "", ""], "the log shows both"


def test_a_doubt_about_one_checkpoint_outlives_the_proof_of_another(logs: Logs) -> None:
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0]
    fork = forged(logs, "USA", b"\1" * 32, size + 1, "another log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("log_world.answer", lambda _node, _view, ask: LogPath(ask, (), (), ()))
        logs.bring("USA", "FRA", fork)
        logs.act("USA", 2)
        logs.show("USA", "FRA")
    assert len(logs.held("FRA", "USA", CheckpointState.DOUBTED)) == 2
    logs.act("USA")
    logs.show("USA", "FRA")
    assert "LOG_INCONSISTENT: history rewritten" in said(logs, "FRA"), "the forged one convicts"
    assert len(logs.alarms("FRA")) == 1


def test_what_follows_from_something_unproved_is_not_proved_by_it(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    proved = logs.members["FRA"].store.find(CHECKPOINT, "key", logs.members["USA"].node.uri)[0]
    rewrite(logs.members["USA"], 2)
    logs.restart("USA")

    def evasive(node: Any, view: Any, ask: LogAsk) -> LogPath | None:
        return None if ask.incarnation == proved.incarnation else answer(node, view, ask)

    monkeypatch.setattr("log_world.answer", evasive)
    for _ in range(3):
        logs.act("USA")
        assert logs.show("USA", "FRA") == [""]
    assert logs.held("FRA", "USA") == [proved.size], "nothing leads to it from what was seen"
    monkeypatch.undo()
    meets(logs)
    assert "LOG_INCONSISTENT: history rewritten" in said(logs, "FRA")


def test_logs_that_are_never_proved_do_not_shut_out_the_next_log(logs: Logs) -> None:
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    for _ in range(known_checkpoints.MAX_CLAIMED + 2):
        logs.act("USA")
        assert unanswered(logs, "USA", "FRA") == [""]
        logs.restart("USA")
    assert len(logs.held("FRA", "USA", CheckpointState.CLAIMED)) == known_checkpoints.MAX_CLAIMED
    assert logs.show("USA", "FRA") == [""]
    assert not logs.held("FRA", "USA", CheckpointState.CLAIMED)
    assert not logs.alarms("FRA")


def test_row_64_two_roots_for_one_size_are_a_fork_rejected_and_kept_as_evidence(logs: Logs) -> None:
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0]
    assert logs.bring("USA", "FRA", forged(logs, "USA", bytes(32), size, "fork")) == ["LOG_FORK"]
    (row,) = [row for row in logs.alarms("FRA") if row.code == "LOG_FORK"]
    proven = check_evidence(logs.export("FRA", row, ["USA"]), "file")
    assert (proven.member, proven.code) == ("USA", "LOG_FORK")
    assert logs.bring("USA", "FRA", forged(logs, "USA", bytes(32), size, "again")) == ["LOG_FORK"]
    assert len(logs.alarms("FRA")) == 1


def test_row_64_a_log_shown_differently_to_two_members_is_found_when_they_exchange_what_they_saw(
    logs: Logs,
) -> None:
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0]
    logs.bring("USA", "KEN", forged(logs, "USA", b"\1" * 32, size, "to KEN"))
    assert not logs.alarms("FRA")
    assert not logs.alarms("KEN")
    logs.show("KEN", "FRA")
    (row,) = logs.alarms("FRA")
    assert (row.member, row.code) == ("USA", "LOG_FORK")
    proven = check_evidence(logs.export("FRA", row, ["USA"]), "file")
    assert (proven.member, proven.code) == ("USA", "LOG_FORK")
    assert "LOG_INCONSISTENT" in logs.show("USA", "FRA") or not logs.say("USA").outbound


def test_row_64_a_split_view_is_found_also_where_the_sizes_shown_differ(logs: Logs) -> None:
    logs.act("USA", 2)
    size = logs.members["USA"].store.get(LOG_HEAD, logs.members["USA"].node.incarnation).size
    logs.bring("USA", "KEN", forged(logs, "USA", b"\1" * 32, size, "to KEN"))
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    logs.show("KEN", "FRA")
    (row,) = logs.alarms("FRA")
    assert row.code == "LOG_FORK"
    proven = check_evidence(logs.export("FRA", row, ["USA"]), "file")
    assert (proven.member, proven.code) == ("USA", "LOG_INCONSISTENT")


def test_row_64_and_where_the_other_member_was_shown_more(logs: Logs) -> None:
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0] + 2
    logs.bring("USA", "KEN", forged(logs, "USA", b"\1" * 32, size, "to KEN"))
    logs.show("KEN", "FRA")
    assert not logs.alarms("FRA"), "nothing to hold it against yet"
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    (row,) = logs.alarms("FRA")
    assert (row.member, row.code) == ("USA", "LOG_FORK")
    assert check_evidence(logs.export("FRA", row, ["USA"]), "file").member == "USA"


def test_row_64_a_witness_that_claims_what_nobody_can_check_hides_no_split_view() -> None:
    logs = Logs(met(["DEU", "FRA", "KEN", "USA"]))
    logs.show("USA", "FRA")
    usa = own(logs.members["USA"].node, logs.members["USA"].store)
    lies = tuple(
        Cosigned(usa.origin, usa.incarnation, (1 << 40) + n, Digest(bytes(32)))
        for n in range(known_checkpoints.MAX_CLAIMED + 4)
    )
    logs.bring("DEU", "FRA", forged(logs, "DEU", bytes(32), 9, "lies", lies))
    claimed = [row for row in rows(logs.members["FRA"], CHECKPOINT) if row.state == CheckpointState.HEARD]
    assert len(claimed) == known_checkpoints.MAX_CLAIMED, "what one witness says is bounded"
    size = logs.held("FRA", "USA")[0] + 2
    logs.bring("USA", "KEN", forged(logs, "USA", b"\1" * 32, size, "to KEN"))
    logs.show("KEN", "FRA")
    logs.act("USA", 3)
    logs.show("USA", "FRA")
    assert [(row.member, row.code) for row in logs.alarms("FRA")] == [("USA", "LOG_FORK")]


def test_a_witness_that_lies_accuses_nobody_provably(logs: Logs) -> None:
    logs.show("USA", "FRA")
    usa = own(logs.members["USA"].node, logs.members["USA"].store)
    lie = Cosigned(usa.origin, usa.incarnation, usa.size, Digest(b"\7" * 32))
    logs.bring("KEN", "FRA", forged(logs, "KEN", bytes(32), 9, "lie", (lie,)))
    (row,) = logs.alarms("FRA")
    assert (row.member, row.shelf) == ("KEN", evidence.CONTRADICTIONS), "its word, on its own shelf"
    assert f"says that it was shown another log of {usa.origin} at {usa.size} entries" in said(logs, "FRA")
    with pytest.raises(IntelshareError, match="EVIDENCE_INCONCLUSIVE"):
        check_evidence(logs.export("FRA", row), "file")
    logs.act("USA")
    assert logs.show("USA", "FRA") == [""], "what KEN claims does not stop USA's log"


def test_what_a_witness_says_ends_with_the_proof_that_the_log_was_forked(logs: Logs) -> None:
    """A witness that was put back has forgotten what it was shown, and cannot prove that it did not lie."""
    logs.show("USA", "FRA")
    usa = own(logs.members["USA"].node, logs.members["USA"].store)
    seen = Cosigned(usa.origin, usa.incarnation, usa.size, Digest(b"\7" * 32))
    logs.bring("KEN", "FRA", forged(logs, "KEN", bytes(32), 9, "seen", (seen,)))
    assert [row.member for row in logs.alarms("FRA")] == ["KEN"]
    assert logs.bring("USA", "FRA", forged(logs, "USA", bytes(32), usa.size, "fork")) == ["LOG_FORK"]
    assert [(row.member, row.code) for row in logs.alarms("FRA")] == [("USA", "LOG_FORK")]


def test_a_node_that_shows_no_path_is_bounded_and_its_checkpoints_wait(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.show("USA", "FRA")
    monkeypatch.setattr("log_world.answer", lambda *_: None)
    for _ in range(known_checkpoints.MAX_CLAIMED):
        logs.act("USA")
        assert logs.show("USA", "FRA") == [""]
    logs.act("USA")
    assert logs.show("USA", "FRA") == ["RATE"]
    monkeypatch.undo()
    logs.follow("FRA", say_hello(logs.members["USA"], logs.members["FRA"]).effects)
    assert not logs.held("FRA", "USA", CheckpointState.CLAIMED)
    assert logs.show("USA", "FRA") == [""] or not logs.say("USA").outbound


def test_checkpoints_held_are_bounded_and_thin_out_behind_the_newest(logs: Logs) -> None:
    for _ in range(known_checkpoints.MAX_HELD + 30):
        logs.act("USA")
        logs.show("USA", "FRA")
    sizes = logs.held("FRA", "USA")
    assert len(sizes) == known_checkpoints.MAX_HELD
    assert sizes[-known_checkpoints.RECENT :] == list(
        range(sizes[-1] - known_checkpoints.RECENT + 1, sizes[-1] + 1)
    )
    assert sizes[0] < 10


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda c: replace(c, origin=c.origin.replace("usa", "fra")), "SIGNER_NOT_AUTHORISED"),
        (lambda c: replace(c, size=0), "ENVELOPE_MALFORMED"),
    ],
)
def test_a_checkpoint_that_cannot_be_one_is_rejected(
    logs: Logs, change: Callable[[Checkpoint], Checkpoint], code: str
) -> None:
    usa = logs.members["USA"]
    record = change(Checkpoint(usa.node.uri, usa.node.incarnation, 5, Digest(bytes(32)), ()))
    assert logs.bring("USA", "FRA", signed(usa, Kind.CHECKPOINT, record, at=logs.now)) == [code]
    assert not rows(logs.members["FRA"], CHECKPOINT)


def test_a_path_that_nobody_asked_for_or_of_another_log_changes_nothing(logs: Logs) -> None:
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    before = rows(logs.members["FRA"], CHECKPOINT)
    for path in logs.answers:
        for ask in (replace(path.ask, size=99), replace(path.ask, origin="intelshare://x/node/y")):
            logs.members["FRA"].do(witness.prove, USA, logs.members["USA"].node.uri, replace(path, ask=ask))
        logs.members["FRA"].do(witness.prove, KEN, logs.members["KEN"].node.uri, path)
    assert rows(logs.members["FRA"], CHECKPOINT) == before
    assert not logs.alarms("FRA")


def test_whatever_a_peer_signs_or_answers_each_gets_its_code_and_the_log_of_others_goes_on(
    logs: Logs,
) -> None:
    chance = Random(7)
    usa, ken, fra = (logs.members[code] for code in ("USA", "KEN", "FRA"))
    logs.show("KEN", "FRA")
    origins = [usa.node.uri, ken.node.uri, fra.node.uri, "intelshare://nobody/node/x", ""]
    logs_of = [usa.node.incarnation, ken.node.incarnation, 0, 2**64 - 1]
    known = {"", "LOG_FORK", "LOG_INCONSISTENT", "RATE", "ENVELOPE_MALFORMED", "SIGNER_NOT_AUTHORISED"}

    def position() -> Cosigned:
        root = Digest(bytes([chance.randrange(3)]) * 32)
        return Cosigned(
            chance.choice(origins), chance.choice(logs_of), chance.choice([0, 1, 5, 9, 2**63 - 1]), root
        )

    for turn in range(150):
        here = position()
        cosigned = tuple(position() for _ in range(chance.randrange(4)))
        origin = usa.node.uri if chance.random() < 0.8 else here.origin
        record = Checkpoint(origin, here.incarnation, here.size, here.root, cosigned)
        assert (
            set(logs.bring("USA", "FRA", signed(usa, Kind.CHECKPOINT, record, at=logs.now, seed=str(turn))))
            <= known
        )
        rows_held = rows(fra, CHECKPOINT)
        one, other = (chance.choice(rows_held) for _ in range(2))
        ask = LogAsk(one.origin, one.incarnation, one.size, other.incarnation, other.size)
        hashes = tuple(bytes([chance.randrange(3)]) * 32 for _ in range(chance.randrange(4)))
        hop = Hop(Instant(1), bytes(32), chance.randbytes(chance.randrange(60)), hashes)
        path = LogPath(ask, (hop,) * chance.randrange(2), hashes, ())
        fra.do(witness.prove, USA, usa.node.uri, path, at=logs.tick())
    assert len(rows(fra, CHECKPOINT)) < 100
    logs.act("KEN")
    assert logs.show("KEN", "FRA") == [""]


def test_junk_of_a_peer_pushes_out_neither_its_contradictions_nor_anything_of_others(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_REJECTED", 5)
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0]
    logs.bring("USA", "FRA", forged(logs, "USA", bytes(32), size, "fork"))
    logs.bring("KEN", "FRA", signed(logs.members["KEN"], Kind.CONSENT, b"junk", at=logs.now))
    for n in range(20):
        logs.bring("USA", "FRA", signed(logs.members["USA"], Kind.CONSENT, b"junk %d" % n, at=logs.now))
    kept = rows(logs.members["FRA"], EVIDENCE)
    assert len([row for row in kept if row.member == "USA" and row.shelf == evidence.REJECTED]) == 5
    assert len([row for row in kept if row.member == "KEN"]) == 1
    assert [row.code for row in logs.alarms("FRA")] == ["LOG_FORK"]


def test_an_operator_ends_an_alarm_the_evidence_stays_and_the_log_is_taken_as_it_is_now(logs: Logs) -> None:
    logs.show("USA", "FRA")
    logs.act("USA", 2)
    logs.show("USA", "FRA")
    rewrite(logs.members["USA"], 1)
    logs.act("USA")
    logs.show("USA", "FRA")
    (row,) = logs.alarms("FRA")
    fra = logs.members["FRA"]
    settled = fra.do(evidence.settle_alarm, user("FRA", "o"), row.evidence.hex()[:8], at=logs.tick())
    assert not logs.alarms("FRA")
    assert [kept.evidence for kept in rows(fra, EVIDENCE)] == [row.evidence]
    assert check_evidence(logs.export("FRA", settled), "file").member == "USA"
    assert entries(fra, EntryType.SETTLED, Settled)[0].user == user("FRA", "o")
    logs.act("USA")
    assert logs.show("USA", "FRA") == [""]
    logs.act("USA")
    assert logs.show("USA", "FRA") == [""]
    assert not logs.alarms("FRA")
    with pytest.raises(IntelshareError, match="NOT_FOUND"):
        fra.do(evidence.settle_alarm, user("FRA", "o"), "00112233", at=logs.tick())


def test_evidence_that_was_changed_or_that_somebody_else_signed_proves_nothing(logs: Logs) -> None:
    logs.show("USA", "FRA")
    size = logs.held("FRA", "USA")[0]
    logs.bring("USA", "FRA", forged(logs, "USA", bytes(32), size, "fork"))
    (row,) = logs.alarms("FRA")
    exhibit = decode(Exhibit, row.exhibit)
    random = seeded("flip")
    for place, statement in enumerate(exhibit.statements):
        data = bytearray(statement.data)
        data[random(1)[0] % len(data)] ^= 1
        changed = list(exhibit.statements)
        changed[place] = replace(statement, data=bytes(data))
        broken = row._replace(exhibit=encode(Exhibit, replace(exhibit, statements=tuple(changed))))
        with pytest.raises(IntelshareError):
            check_evidence(logs.export("FRA", broken), "file")
    only_one = row._replace(exhibit=encode(Exhibit, replace(exhibit, statements=exhibit.statements[:1])))
    with pytest.raises(IntelshareError, match="EVIDENCE_INCONCLUSIVE"):
        check_evidence(logs.export("FRA", only_one), "file")
    with pytest.raises(IntelshareError, match="SIGNER_UNKNOWN"):
        check_evidence(logs.export("FRA", row, ["KEN"]), "file")
    with pytest.raises(IntelshareError, match="INPUT_INVALID"):
        check_evidence(b"{}", "file")


def _table(name: str) -> Any:
    return next(table for table in TABLES if table.name == name)
