"""The engine's rules of when: limits, order, what waits for what, and what is nobody else's trouble."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from builders import NOW, draft, text
from engine_world import Rig
from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.documents import adopt
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Ack, Acks, Frame, Gap, Hello, Outbound
from intelshare.broker.lifecycle.destroy import Marked
from intelshare.crypto.records import Kind, Precedence, Trust
from intelshare.engine import Limits, Query, Rate, Step
from intelshare.engine.actions import (
    AskLogs,
    Close,
    Drain,
    LogSaid,
    RunChore,
    RunQuery,
    RunStep,
    Send,
    SetHealth,
    SetReading,
    Shred,
    Stopped,
    Tell,
    WriteSidecar,
)
from intelshare.engine.budgets import Passing
from intelshare.engine.events import (
    ChoreDone,
    Drained,
    LogsAsked,
    PolicyAvailable,
    QueryDone,
    QueuedAgain,
    Ready,
    SayLog,
    SidecarWritten,
    Started,
    StepDone,
    Stop,
    TimerDue,
    Unreadable,
)
from intelshare.engine.values import Chore, Notice
from intelshare.errors import StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import DAY, MINUTE, SECOND
from intelshare.ports import durable_after_commit
from line_world import TO_BOTH, next_directory, send

USA, KEN = MemberCode("USA"), MemberCode("KEN")
FULL = StoreError("DISK_FULL", "no room")
MARKED = Marked((ManifestDigest(b"\x01" * 32),))
DAMAGED = StoreError("RECORD_CORRUPT", "a record does not match its digest")


def page_of(*, more):
    """One page of a chore that goes on page by page."""
    after = ("a pair",) if more else ()
    return durable_after_commit(SimpleNamespace(after=after, more=more, effects=Effects()))


def submit(rig, to="USA", key="key", precedence=Precedence.ROUTINE):
    send(rig.fra, draft(text(TO_BOTH), to=(to,), precedence=precedence), key=key)
    rig.feed(Ready((MemberCode(to),)))


def frames(rig, link, kind=Kind.RELEASE):
    return [out for out in rig.sent(link, Outbound) if out.frame.statements[0].kind == kind]


def test_what_is_ready_goes_when_there_is_a_link():
    rig = Rig()
    link = rig.link()
    assert frames(rig, link) == []
    submit(rig)
    assert len(frames(rig, link)) == 1


def test_what_was_ready_before_the_link_goes_when_it_opens():
    rig = Rig()
    submit(rig)
    assert rig.steps(Step.HANDOVER) == []
    link = rig.link()
    assert len(frames(rig, link)) == 1


def test_a_link_begins_with_a_hello_and_has_no_second_one():
    rig = Rig()
    link = rig.call()
    rig.say(link, Gap.of_acts(1))
    assert rig.closed(link) == "ENVELOPE_MALFORMED"
    link = rig.link()
    rig.say(link, Hello(b""))
    assert rig.closed(link) == "ENVELOPE_MALFORMED"


def test_what_a_hello_of_an_ended_link_queued_again_goes_over_the_link_that_there_is():
    rig = Rig()
    rig.hold = {Step.ACCEPT_HELLO}
    rig.drop(rig.link(incarnation=7))
    rig.hold = set()
    rig.link()
    before = rig.steps(Step.RESEND)
    rig.carry_out(rig.held.pop())
    assert len(rig.steps(Step.RESEND)) == len(before) + 1


def test_what_the_peer_has_acknowledged_is_not_sent_again_though_it_is_not_struck_off_yet():
    rig = Rig()
    link = rig.link()
    submit(rig)
    (sent,) = frames(rig, link)
    rig.hold = {Step.ACKNOWLEDGE}
    rig.say(link, Acks((Ack(sent.leaves[0], "", NOW),)))
    rig.feed(QueuedAgain(USA))
    assert rig.steps(Step.RESEND)
    assert frames(rig, link) == [sent]


def test_a_hello_that_takes_too_long_is_cut():
    rig = Rig()
    link = rig.call()
    rig.wait(5 * SECOND - 1)
    assert rig.closed(link) is None
    rig.wait(1)
    assert rig.closed(link) == "RATE"


def test_a_new_link_ends_the_old_one_before_its_hello_is_answered():
    rig = Rig()
    old, new = rig.link(), rig.call()
    assert rig.closed(old) == ""
    assert rig.closed(new) is None


def test_two_copies_of_one_folder_are_named_and_the_newer_one_keeps_its_link():
    rig = Rig()
    usa = rig.members["USA"].node.uri
    older = rig.link(incarnation=7)
    newer = rig.link(incarnation=8)
    assert rig.closed(older) == ""
    assert rig.engine.state(usa, rig.now()).error == ""
    assert rig.closed(rig.link(incarnation=7)) == "TWO_INSTANCES"
    newer = rig.link(incarnation=8)
    for _ in range(5):
        assert rig.closed(rig.link(incarnation=7)) == "TWO_INSTANCES"
    assert rig.closed(newer) is None
    assert rig.engine.state(usa, rig.now()).error == "TWO_INSTANCES"
    rig.drop(newer)
    assert rig.closed(rig.link(incarnation=9)) is None, "a restart of either is the newest again"
    rig.wait(31 * MINUTE)
    assert rig.engine.state(usa, rig.now()).error == ""


def test_a_peer_node_has_so_many_streams():
    rig = Rig(Limits(streams=2))
    assert [rig.closed(rig.call()) for _ in range(3)] == [None, None, "RATE"]


@pytest.mark.parametrize(
    "message", [Gap("", 0, (), 1), LogAsk("x", 1, 1, 1, 2)], ids=["gap requests", "about logs"]
)
def test_requests_of_a_peer_are_counted_for_a_minute(message):
    rig = Rig(Limits(budgets={Passing.GAPS: Rate(3, MINUTE), Passing.LOGS: Rate(3, MINUTE)}))
    link = rig.link()
    for _ in range(3):
        rig.say(link, message)
    assert rig.closed(link) is None
    rig.wait(60 * SECOND)
    rig.say(link, message)
    assert rig.closed(link) is None
    for _ in range(3):
        rig.say(link, message)
    assert rig.closed(link) == "RATE"


def test_unreadable_messages_are_answered_and_then_too_many():
    rig = Rig(Limits(budgets={Passing.UNREADABLE: Rate(2, MINUTE)}))
    link = rig.link()
    for _ in range(2):
        rig.feed(Unreadable(link, b"\x01" * 32, "TOO_LARGE", 9))
    assert [ack.code for acks in rig.sent(link, Acks) for ack in acks.acks] == ["TOO_LARGE"] * 2
    rig.feed(Unreadable(link, b"\x01" * 32, "TOO_LARGE", 9))
    assert rig.closed(link) == "RATE"


def test_while_so_many_frames_wait_for_the_store_nothing_more_is_read():
    rig = Rig(Limits(at_work=2))
    link = rig.link()
    rig.hold = {Step.RECEIVE}
    before = len(rig.actions(SetReading))
    for _ in range(2):
        rig.say(link, Frame(b"", b"", ()))
    rig.release()
    assert [one.on for one in rig.actions(SetReading)[before:]] == [False, True]


def test_answers_that_the_peer_does_not_read_stop_the_reading():
    rig = Rig(Limits(control=2))
    link = rig.link()
    rig.hold = {Send}
    before = len(rig.actions(SetReading))
    for _ in range(4):
        rig.say(link, Frame(b"", b"", ()))
    rig.release()
    assert [one.on for one in rig.actions(SetReading)[before:]] == [False, True]


def test_what_is_more_urgent_goes_before_what_is_sent_again():
    rig = Rig()
    submit(rig)
    first = rig.link()
    rig.drop(first)
    submit(rig, key="flash", precedence=Precedence.FLASH)
    second = rig.link()
    # What waits is a routine release that is to be sent again, and a fresh FLASH.
    ranks = [out.rank for out in frames(rig, second)]
    assert ranks == sorted(ranks)
    assert len(ranks) == 2


def test_while_the_clock_is_not_believed_releases_wait_and_the_rest_goes():
    rig = Rig()
    link = rig.link()
    rig.believed = False
    submit(rig)
    rig.wait(5 * SECOND)
    assert frames(rig, link) == []
    rig.believed = True
    rig.feed(Ready())
    assert len(frames(rig, link)) == 1
    assert rig.actions(SetHealth) == [SetHealth("CLOCK", True), SetHealth("CLOCK", False)]


def test_what_is_no_release_is_sent_again_while_the_clock_is_not_believed():
    rig = Rig()
    rig.believed = False
    rig.link()
    assert rig.steps(Step.RESEND, Step.RESEND_BUT_RELEASES) == [Step.RESEND_BUT_RELEASES]


def test_releases_that_wait_for_the_clock_are_looked_for_once_and_sent_again_when_it_is_believed():
    rig = Rig()
    rig.believed = False
    rig.link()
    rig.wait(60 * SECOND)
    assert rig.steps(Step.RESEND, Step.RESEND_BUT_RELEASES) == [Step.RESEND_BUT_RELEASES]
    rig.believed = True
    rig.feed(Ready())
    assert rig.steps(Step.RESEND, Step.RESEND_BUT_RELEASES) == [Step.RESEND_BUT_RELEASES, Step.RESEND]


def test_what_may_not_go_for_a_moment_goes_when_it_may_again():
    rig = Rig()
    submit(rig)
    rig.drop(rig.link())
    allowed = rig.fra.node
    rig.fra.node = replace(allowed, world=replace(allowed.world, treaties=()))
    link = rig.link()
    assert frames(rig, link) == []
    rig.fra.node = allowed
    rig.wait(2 * SECOND)
    assert len(frames(rig, link)) == 1


def learns_of_a_newer_directory(rig):
    """FRA learns of a directory that USA's node does not know: a copy of its folder has signed it."""
    usa = rig.members["USA"]
    before = usa.node
    rig.fra.do(adopt, next_directory(usa))
    usa.node = before


@pytest.mark.parametrize("answered", [True, False])
def test_a_peer_is_shown_a_newer_directory_of_its_own_and_its_next_one_is_waited_for(answered):
    rig = Rig()
    learns_of_a_newer_directory(rig)
    submit(rig)
    link = rig.link()
    shown = rig.sent(link, Trust)
    assert shown == [rig.fra.node.trust.members["USA"].directory_signed]
    rig.wait(5 * SECOND)
    assert frames(rig, link) == []
    if answered:
        usa = rig.members["USA"]
        usa.do(adopt, shown[0])
        rig.fra.do(adopt, next_directory(usa))
        rig.feed(Ready())
    else:
        rig.wait(6 * SECOND)
    assert len(frames(rig, link)) == 1


def test_without_a_policy_nothing_is_released():
    rig = Rig()
    link = rig.link()
    rig.feed(PolicyAvailable(False))
    submit(rig)
    rig.wait(5 * SECOND)
    assert frames(rig, link) == []
    rig.feed(PolicyAvailable(True))
    assert len(frames(rig, link)) == 1


def test_a_full_disk_is_waited_out():
    rig = Rig()
    link = rig.link()
    rig.seen.clear()
    rig.fails[Step.HANDOVER] = FULL
    submit(rig)
    assert len(rig.steps(Step.HANDOVER)) == 1
    rig.wait(SECOND - 1)
    assert len(rig.steps(Step.HANDOVER)) == 1
    del rig.fails[Step.HANDOVER]
    rig.wait(1)
    assert len(frames(rig, link)) == 1


@pytest.mark.parametrize("error", [FULL, DAMAGED])
def test_what_prevents_asking_what_goes_first_ends_no_link_and_is_tried_again(error):
    rig = Rig()
    link = rig.link()
    rig.hold = {Step.RESEND, Query.FRESH_FIRST}
    rig.feed(QueuedAgain(USA))
    submit(rig)
    rig.feed(QueuedAgain(USA))
    rig.release(Step.RESEND)
    rig.wait(SECOND)
    (asked,) = rig.held
    rig.feed(QueryDone(asked, error))
    assert rig.closed(link) is None
    assert (Tell(Notice.STEP_FAILED, code="RECORD_CORRUPT") in rig.seen) is (error is DAMAGED)
    assert len(rig.held) == 1
    rig.hold.clear()
    rig.wait(3 * SECOND)
    assert len(frames(rig, link)) == 1


def test_a_damaged_record_of_one_peer_is_nobody_elses():
    """A hand-over that fails is tried again for each destination alone, and less and less often."""
    rig = Rig()
    usa, ken = rig.link("USA"), rig.link("KEN")
    rig.hold = {Step.HANDOVER}
    submit(rig, "USA")
    submit(rig, "USA", key="second")
    submit(rig, "KEN", key="ken")
    rig.fails[Step.HANDOVER] = DAMAGED
    rig.release()
    del rig.fails[Step.HANDOVER]
    assert Tell(Notice.STEP_FAILED, code="RECORD_CORRUPT") in rig.seen
    rig.wait(3 * SECOND)
    assert len(frames(rig, usa)) == 1
    assert len(frames(rig, ken)) == 1
    assert rig.closed(usa) is None


def test_a_step_that_fails_for_a_link_ends_that_link_and_no_other():
    rig = Rig()
    usa, ken = rig.link("USA"), rig.link("KEN")
    rig.fails[Step.RECEIVE] = DAMAGED
    rig.say(usa, Frame(b"", b"", ()))
    assert (rig.closed(usa), rig.closed(ken)) == ("RECORD_CORRUPT", None)


def test_questions_about_logs_are_asked_one_at_a_time_also_when_their_link_has_ended():
    rig = Rig()
    usa, ken = rig.link("USA"), rig.link("KEN")
    rig.hold = {Query.ANSWER, AskLogs}
    rig.say(usa, LogAsk(rig.fra.node.uri, 1, 1, rig.fra.node.incarnation, 1))
    rig.say(ken, LogAsk(rig.fra.node.uri, 1, 1, rig.fra.node.incarnation, 2))
    rig.say(usa, LogAsk(rig.fra.node.uri, 1, 1, rig.fra.node.incarnation, 3))
    rig.ask_as_user(7)
    rig.drop(usa)
    assert len(rig.held) == 1, "the thread that answers USA has not returned"
    rig.feed(QueryDone(rig.held[0], None))
    assert [run.link for run in rig.held[1:]] == [ken]
    rig.feed(QueryDone(rig.held[1], None))
    assert rig.held[2:] == [AskLogs(7)], "what USA asked second has no turn any more"
    rig.feed(LogsAsked(7))
    assert len(rig.held) == 3


def test_what_is_marked_while_the_files_are_shredded_waits_for_the_next_round():
    rig = Rig()
    rig.hold = {Query.MARKED, Shred, Step.FINISH}
    rig.feed(Started())
    looked = rig.held[0]
    rig.feed(QueryDone(looked, MARKED))
    assert rig.actions(Shred) == [Shred()]
    rig.release(Shred)
    assert rig.held[-1].event == (MARKED,)
    rig.release(Step.FINISH)
    asked = [run for run in rig.actions(RunQuery) if run.query is Query.MARKED]
    assert len(asked) == 2


def test_a_checkpoint_is_sent_only_when_a_file_that_was_begun_after_it_is_written():
    rig = Rig()
    link = rig.link()
    rig.hold = {WriteSidecar}
    rig.feed(Started())
    rig.wait(SECOND)
    rig.feed(SayLog(1))
    (older,) = rig.actions(WriteSidecar)
    rig.held = []
    rig.feed(SidecarWritten(older))
    assert frames(rig, link, Kind.CHECKPOINT) == [], "that file does not know of it"
    rig.cover()
    rig.feed(SidecarWritten(rig.actions(WriteSidecar)[1]))
    assert len(frames(rig, link, Kind.CHECKPOINT)) == 1
    assert rig.actions(LogSaid) == [], "what was asked for meanwhile is signed anew"
    rig.feed(SidecarWritten(rig.actions(WriteSidecar)[2]))
    assert rig.actions(LogSaid) == [LogSaid(1)]


def test_a_link_that_comes_up_in_between_does_not_send_a_checkpoint_before_the_file_has_it():
    rig = Rig()
    rig.hold = {WriteSidecar}
    rig.feed(Started())
    rig.wait(SECOND)
    rig.feed(SayLog(1))
    link = rig.link()
    rig.wait(3 * SECOND)
    assert frames(rig, link, Kind.CHECKPOINT) == [], "it is stored, and would be loaded to be sent again"
    rig.release(WriteSidecar)
    rig.wait(3 * SECOND)
    assert len(frames(rig, link, Kind.CHECKPOINT)) == 1
    assert rig.actions(LogSaid) == [LogSaid(1)]


def test_nothing_is_signed_anew_with_a_key_that_counts_only_later():
    rig = Rig()

    def asked() -> list[RunQuery]:
        return [run for run in rig.actions(RunQuery) if run.query is Query.SIGNED_AHEAD]

    rig.ahead = -DAY
    rig.feed(Started())
    rig.wait(2 * SECOND)
    assert not asked()
    rig.ahead = 0
    rig.wait(2 * SECOND)
    assert asked()


@pytest.mark.parametrize("code", ["CLOCK_SKEW", "SIGNER_REVOKED", "SIGNER_UNKNOWN"])
def test_what_a_peer_rejects_for_its_signature_is_looked_at_again(code):
    rig = Rig()
    rig.feed(Started())
    submit(rig)
    link = rig.link()
    rig.wait(2 * SECOND)
    assert not rig.steps(Step.SIGN_ANEW)
    leaf = next(one for one in rig.sent(link, Outbound)[-1].leaves)
    rejected = Acks((Ack(leaf, code, NOW),))
    rig.believed = False
    rig.say(link, rejected)
    rig.wait(2 * SECOND)
    assert not rig.steps(Step.SIGN_ANEW), "nothing is signed by a clock that may be wrong"
    rig.believed = True
    rig.wait(2 * SECOND)
    assert rig.steps(Step.SIGN_ANEW) == [Step.SIGN_ANEW]


def test_a_stop_says_the_last_word_drains_and_only_then_marks():
    rig = Rig()
    rig.link()
    rig.feed(Started())
    rig.seen.clear()
    rig.feed(Stop())
    order = (Step.CHECKPOINT, WriteSidecar(), Close, Drain, WriteSidecar(clean=True), Stopped)

    def reached():
        kinds = [getattr(one, "step", None) or one for one in rig.seen]
        return [want for want in order if any(want == one or want is type(one) for one in kinds)]

    assert reached() == list(order[:2]), "the peer has not taken it yet"
    rig.wait(SECOND)
    assert reached() == list(order[:4]), "steps still run"
    rig.feed(Drained())
    assert reached() == list(order)
    assert rig.closed(rig.call()) == "RATE"
    rig.wait(10 * SECOND)
    assert rig.seen[-1] != WriteSidecar()


@pytest.mark.parametrize(("step", "event"), [(Step.REVIEW, ((),)), (Step.SIGN_ANEW, ((),)), (Step.PURGE, ())])
def test_what_is_done_page_by_page_ends_with_the_page_during_which_a_stop_begins(step, event):
    rig = Rig()
    rig.hold = {step}
    run = RunStep(step, event)
    rig.feed(StepDone(run, page_of(more=True)))
    assert rig.steps(step) == [step], "the check could fail"
    rig.feed(Stop())
    rig.feed(StepDone(run, page_of(more=True)))
    assert rig.steps(step) == [step]


@pytest.mark.parametrize(
    ("query", "step"),
    [
        (Query.ANYTHING_OVER, Step.EXPIRE),
        (Query.ANYTHING_TO_PURGE, Step.PURGE),
        (Query.SIGNED_AHEAD, Step.SIGN_ANEW),
    ],
)
def test_a_stop_leaves_what_a_chore_has_just_asked_about(query, step):
    rig = Rig()
    rig.hold = {query, step}
    rig.feed(QueryDone(RunQuery(query), answer=True))
    assert rig.steps(step) == [step], "the check could fail"
    rig.feed(Stop())
    rig.feed(QueryDone(RunQuery(query), answer=True))
    assert rig.steps(step) == [step]


@pytest.mark.parametrize("asked", [True, False])
def test_a_stop_leaves_destruction_to_the_next_start(asked):
    rig = Rig()
    rig.hold = {Query.MARKED, Shred, Step.FINISH}
    rig.feed(Started())
    (looked,) = rig.held
    if asked:
        rig.feed(Stop())
    rig.feed(QueryDone(looked, MARKED))
    assert len(rig.actions(Shred)) == (0 if asked else 1)
    rig.feed(Stop())
    rig.release(Shred)
    assert not rig.steps(Step.FINISH)


def test_a_stop_while_the_disk_is_full_comes_to_its_end():
    rig = Rig()
    rig.hold = {WriteSidecar}
    rig.feed(Stop())
    rig.feed(SidecarWritten(WriteSidecar(), FULL))
    rig.wait(SECOND)
    rig.feed(Drained())
    rig.feed(SidecarWritten(WriteSidecar(clean=True), FULL))
    assert rig.actions(Stopped) == [Stopped()]


def test_a_sidecar_that_finds_no_room_is_tried_again_in_a_second():
    rig = Rig()
    rig.hold = {WriteSidecar}
    rig.feed(SayLog(1))
    rig.feed(SidecarWritten(WriteSidecar(), FULL))
    assert len(rig.actions(WriteSidecar)) == 1
    rig.wait(SECOND)
    assert len(rig.actions(WriteSidecar)) == 2
    assert rig.actions(LogSaid) == []


def test_a_chore_that_still_runs_is_not_begun_again_and_a_new_policy_renews_at_once():
    rig = Rig()
    rig.feed(Started())
    rig.wait(10 * SECOND)
    assert rig.actions(RunChore).count(RunChore(Chore.POLICY)) == 1
    assert RunChore(Chore.RENEW) not in rig.seen
    rig.feed(ChoreDone(Chore.POLICY, changed=True))
    assert RunChore(Chore.RENEW) in rig.seen
    rig.wait(2 * SECOND)
    assert rig.actions(RunChore).count(RunChore(Chore.POLICY)) == 2


def test_a_timer_that_comes_too_soon_is_set_again():
    rig = Rig()
    rig.feed(Started())
    assert rig.timer is not None
    due, rig.timer = rig.timer, None
    rig.wait(0)
    rig.feed(TimerDue())
    assert rig.timer == due
