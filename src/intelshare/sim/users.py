"""Users and their acts: ``ACTS`` lists the kinds.

Users look only at what their own machine holds. A refused act (not the author, destroyed in the meantime) is
counted, and is otherwise of no concern to the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from intelshare.broker.exchange.backfill import OfferQuery, find_offers
from intelshare.broker.exchange.consent import AnswerConsentCommand, AskConsentCommand
from intelshare.broker.exchange.recall import RecallCommand
from intelshare.broker.exchange.rfi import RequestState as Stand
from intelshare.broker.kernel.tables import (
    ACT,
    BULLETIN,
    CONSENT,
    DUTY,
    EXCLUSION,
    FILE,
    INBOX,
    PAIR,
    REQUEST,
    BulletinRow,
)
from intelshare.broker.lifecycle.attachments import BeginUpload, FileState, FinishUpload, Upload
from intelshare.broker.lifecycle.duties import MeetDutyCommand
from intelshare.broker.lifecycle.exclude import ExcludeCommand
from intelshare.broker.lifecycle.holds import ApproveCommand, RefuseCommand
from intelshare.broker.lifecycle.operator_acts import BelieveCommand, GiveUpCommand
from intelshare.broker.lifecycle.read import ReadCommand
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.broker.treaty.act import ActCommand
from intelshare.bulletin import Draft, Word
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PLAIN, PieceCipher, piece_count
from intelshare.crypto.records import Act as Written
from intelshare.crypto.records import Attachment, PortionKind, TreatyAct
from intelshare.delivery import Cause, Stage
from intelshare.errors import IntelshareError
from intelshare.ids import FilePlace, MemberCode
from intelshare.instant import MINUTE, NEVER, SECOND, Instant
from intelshare.labels import Interval
from intelshare.policy import ActKind, Reservation
from intelshare.ports import View
from intelshare.sim.chance import stream
from intelshare.sim.courier import export, take_in
from intelshare.sim.heap import Heap
from intelshare.sim.law import CANARY, about_request, draft_of, law, law_file, treaties
from intelshare.sim.machine import Machine
from intelshare.sim.oracle import Oracle
from intelshare.sim.plan import Act, FaultPlan
from intelshare.sim.process import Process
from intelshare.sim.rotation import rotate
from intelshare.sim.sending import PATIENCE, SimulatedClient
from intelshare.sim.world import actor
from intelshare.trust import Exclusion

_LATER = 60
"""The number of the newest bulletins that users know."""


def believe_clock(machine: Machine) -> None:
    """Let an operator confirm a clock that is right again, if a node had started while it was wrong."""
    process = machine.process
    if process is None or not process.serving or not machine.misled:
        return
    read = process.clock.read()
    if not read.believed:
        by = actor(machine.name, "o").user
        command = BelieveCommand(by, read.expected, (), "the clock is right now")
        process.perform("believe", command, then=lambda _: process.believe())


@dataclass(frozen=True, slots=True)
class _Doing:
    """One act on its way to a process that serves."""

    act: Act
    key: bytes
    machine: Machine
    process: Process
    heap: Heap
    oracle: Oracle

    @property
    def view(self) -> View:
        return self.machine.disk.view

    def chosen(self, rows: Sequence[Any]) -> Any:
        """Return one of the rows, chosen by the act's number; None if there is none."""
        return rows[self.act.what % len(rows)] if rows else None

    def perform(self, name: str, *event: Any, then: Callable[[Any], None] | None = None) -> None:
        """Run a step, and carry out its effects."""
        self.process.perform(name, *event, then=then or self.process.carry_out, refused=self.refused)

    def refused(self, error: IntelshareError) -> None:
        del error
        self.oracle.counts[f"refused {self.act.kind}"] += 1

    @property
    def author(self) -> str:
        """The user who writes: now and then a releasing officer, who must not release it."""
        return "r" if self.act.what % 7 == 6 else "a"

    def actor(self, name: str) -> Any:
        return actor(self.machine.name, name)

    def send(self, draft: Draft) -> None:
        SimulatedClient(
            self.machine, self.heap, self.oracle, draft, self.key, self.act.again, self.author
        ).ask()

    def draft(self) -> Draft:
        return self.draft_for(self.act)

    def draft_for(self, act: Act) -> Draft:
        """Return a draft; a portion under another member's label comes from a bulletin of that member, if one
        is here.
        """
        held = [row for row in self.view.find(INBOX, "newest", limit=_LATER) if not row.gone]
        source = self.chosen(held)
        if source is None or self.machine.calm:
            return draft_of(act, self.process.now())
        draft = draft_of(act, self.process.now(), source.originator)
        return replace(draft, from_bulletin=source.bulletin.hex())


def _submit(doing: _Doing) -> None:
    doing.send(doing.draft())


def _attach(doing: _Doing) -> None:
    """Send a bulletin whose first portion is a file of ``size`` bytes."""
    place, size = FilePlace(doing.key), doing.act.size
    content = (f"{CANARY} {doing.act.node} {doing.act.at} ".encode() * (size // 8 + 1))[:size]

    def begun(upload: Upload) -> None:
        cipher, count = PieceCipher(upload.key, upload.header), piece_count(size)
        pieces = [
            cipher.seal(content[n * PLAIN : (n + 1) * PLAIN], last=n == count - 1) for n in range(count)
        ]
        doing.machine.pieces.put(place, pieces)
        command = FinishUpload(doing.actor(doing.author), place, tuple([sha256(piece) for piece in pieces]))
        doing.perform("finish_upload", command, then=finished)

    def finished(made: Attachment) -> None:
        draft = draft_of(replace(doing.act, size=0), doing.process.now())
        first, *others = draft.portions
        file = replace(
            first,
            kind=PortionKind.ATTACHMENT,
            media="application/octet-stream; name=annex.bin",
            content=encode(Attachment, made),
        )
        doing.send(replace(draft, portions=(file, *others)))

    doing.perform("begin_upload", BeginUpload(doing.actor(doing.author), place, size), then=begun)


def _download(doing: _Doing) -> None:
    """Let a reader download a file, and notice the pieces that the disk has lost."""
    files = [row for row in doing.view.find(FILE, "key") if row.state == FileState.WHOLE]
    row = doing.chosen(sorted(files, key=lambda row: (row.since, row.place)))
    if row is not None and len(doing.machine.pieces.files.get(row.place, ())) < piece_count(row.size):
        doing.oracle.counts["file lost"] += 1
        doing.perform("lost", row.place)


def _supersede(doing: _Doing) -> None:
    row = _own(doing)
    if row is not None:
        doing.send(replace(doing.draft(), supersedes=row.bulletin.hex()))


def _ask(doing: _Doing) -> None:
    doing.send(about_request(doing.draft(), Word.ASK, doing.process.now()))


def _answer(doing: _Doing) -> None:
    """Answer or decline a peer's request, or close a request of this member."""
    view, act = doing.view, doing.act
    row = doing.chosen([row for row in view.find(REQUEST, "newest") if row.state == Stand.OPEN])
    if row is None:
        return
    asked = view.get(BULLETIN, row.md) if row.own else view.get(INBOX, row.md)
    if asked is None:
        return
    word = Word.CLOSE if row.own else (Word.ANSWER, Word.DECLINE)[act.what // 7 % 2]
    draft = about_request(doing.draft_for(replace(act, to=row.member)), word, Instant(0))
    doing.send(replace(draft, in_reply_to=asked.bulletin.hex()))


def _approve(doing: _Doing) -> None:
    """Let a releasing officer release the oldest held pairs, or now and then refuse them."""
    for row in doing.view.find(PAIR, "stage", Stage.HELD, 1, limit=3):
        bulletin = doing.view.get(BULLETIN, row.md)
        assert bulletin is not None  # noqa: S101 - stored with its pairs
        if doing.act.what % 8 == 3:
            refusal = RefuseCommand(doing.actor("r"), bulletin.bulletin.hex(), row.recipient, "not now")
            doing.perform("refuse", refusal, then=lambda _: None)
            continue
        officer = doing.actor("r" if doing.act.what % 3 else "s")
        command = ApproveCommand(officer, bulletin.bulletin.hex(), row.recipient)

        def done(_: str, peer: MemberCode = row.recipient) -> None:
            doing.process.wake(peer)

        doing.perform("approve", command, then=done)


def _read(doing: _Doing) -> None:
    row = doing.chosen(doing.view.find(INBOX, "newest", limit=6))
    if row is not None:
        command = ReadCommand(doing.actor("b"), row.bulletin.hex(), row.originator)

        def opened(answer: Any) -> None:
            doing.oracle.opened(doing.process, answer.shown.row)
            doing.process.carry_out(answer)

        doing.perform("read", command, then=opened)


def _recall(doing: _Doing) -> None:
    row = _own(doing)
    if row is not None:
        # Of what came back after a loss nobody knows who wrote it.
        author = doing.actor(row.author.rpartition("/")[2] or "r")
        doing.perform("recall", RecallCommand(author, row.bulletin.hex(), "it is wrong"))


def _give_up(doing: _Doing) -> None:
    """Let a releasing officer wait no longer for the recipients of a bulletin that have not answered."""
    row = _own(doing)
    for pair in doing.view.find(PAIR, "key", row.md) if row is not None else ():
        if row is not None and pair.open:
            command = GiveUpCommand(doing.actor("r"), row.bulletin.hex(), pair.recipient, "too late")
            doing.perform("give_up", command)


_TREATY_ACTS = (
    (0, ActKind.SUSPEND),
    (0, ActKind.REINSTATE),
    (0, ActKind.RESERVE),
    (0, ActKind.GIVE_NOTICE),
    (0, ActKind.WITHDRAW),
    (0, ActKind.RATIFY),
    (1, ActKind.RATIFY),
    (1, ActKind.RATIFY),
    (1, ActKind.WITHDRAW),
    (0, ActKind.REINSTATE),
)
"""The treaty, and what is done about it."""


def _treaty(doing: _Doing) -> None:
    process, act = doing.process, doing.act
    if process.clock.wrong():
        return
    place, kind = _TREATY_ACTS[act.what % len(_TREATY_ACTS)]
    since = Instant(process.now() + act.lasts) if act.lasts else Instant(0)
    reservation = None
    if kind is ActKind.RESERVE:
        reservation = Reservation(frozenset(("cyber",)), None, frozenset((act.to,)), Interval(since, NEVER))
    command = ActCommand(doing.actor("r"), treaties()[place].id, kind, since, reservation)
    doing.perform("act", command)


def _reinstate(doing: _Doing) -> None:
    """Take back whatever is suspended or still to come, or ratify again."""
    if doing.process.clock.wrong():
        return
    last = max(doing.view.find(ACT, "key", doing.machine.name), key=lambda row: row.n, default=None)
    if last is not None:
        said = decode(TreatyAct, last.data)
        kind = ActKind.RATIFY if said.act is Written.WITHDRAW else ActKind.REINSTATE
        again = None
        if said.act is Written.RESERVE:
            given = said.reservation[0]
            again = Reservation(
                frozenset(given.categories),
                None,
                frozenset(given.counterparties),
                Interval(given.start, NEVER),
            )
        doing.perform("act", ActCommand(doing.actor("r"), said.treaty, kind, Instant(0), again))


def _law(doing: _Doing) -> None:
    """Change the file of the member's own rules, and let its node read it."""
    machine, process = doing.machine, doing.process
    machine.law = doing.act.what % 2
    files = law(machine.name, tuple(sorted(process.node.world.members)), (), machine.law)
    doing.perform("take_files", files, (law_file(machine.name, machine.law),))


def _resume(doing: _Doing) -> None:
    """Let an operator accept a member's contradictory acts."""
    if any(row.member == doing.act.to for row in doing.view.find(ACT, "key")):
        doing.perform("resume", doing.actor("o"), MemberCode(doing.act.to))


def _consent_ask(doing: _Doing) -> None:
    rows = [
        row
        for row in doing.view.find(PAIR, "key")
        if (row.stage, row.cause) == (Stage.QUEUED, Cause.WITHHELD) and "CONSENT_REQUIRED" in row.codes
    ]
    rows.sort(key=lambda row: (row.created, row.md, row.recipient))
    row = doing.chosen(rows)
    if row is not None:
        bulletin = doing.view.get(BULLETIN, row.md)
        assert bulletin is not None  # noqa: S101 - stored with its pairs
        until = Instant(doing.process.now() + doing.act.lasts) if doing.act.lasts else NEVER
        doing.perform(
            "ask", AskConsentCommand(doing.actor("a"), bulletin.bulletin.hex(), row.recipient, until)
        )


def _consent_answer(doing: _Doing) -> None:
    """Let the originator's officer grant, refuse or take back a consent."""
    row = doing.chosen([row for row in doing.view.find(CONSENT, "newest") if not row.own])
    held = doing.view.get(INBOX, row.md) if row is not None else None
    if row is not None and held is not None:
        grant = row.state == ConsentState.ASKED and doing.act.what // 5 % 4 > 0
        command = AnswerConsentCommand(
            doing.actor("r"), held.bulletin.hex(), row.recipient, grant, NEVER, held.originator
        )
        doing.perform("answer", command)


def _report(doing: _Doing) -> None:
    row = doing.chosen(doing.view.find(DUTY, "due", 0))
    held = doing.view.get(INBOX, row.md) if row is not None else None
    if held is not None:
        command = MeetDutyCommand(doing.actor("b"), held.bulletin.hex(), row.obligation, held.originator)
        doing.perform("report", command, then=lambda _: None)


def _backfill(doing: _Doing) -> None:
    process = doing.process
    treaty = treaties()[doing.act.what % 2].id
    wanted = OfferQuery(doing.actor("r"), treaty, MemberCode(doing.act.to))
    try:
        page = find_offers(process.node, doing.view, wanted, (), process.now())
    except IntelshareError as error:
        doing.refused(error)
        return
    offered = [offer.written.row.md for offer in page.offers[:4]]
    if offered:
        doing.perform("backfill", wanted, offered)


_LOOKS_AGAIN: Final = 5 * SECOND


def _suspend(doing: _Doing) -> None:
    _exclude(doing, Exclusion.SUSPENDED)


def _remove(doing: _Doing) -> None:
    _exclude(doing, Exclusion.REMOVED)


def _exclude(doing: _Doing, how: Exclusion) -> None:
    """Let an operator stop dealing with a member, and resume after ``lasts``, also if the node is down then
    or goes down before that is durable: otherwise nothing could settle.
    """
    member, machine, heap = MemberCode(doing.act.to), doing.machine, doing.heap
    doing.perform("exclude", ExcludeCommand(doing.actor("o"), member, how))

    def go_on() -> None:
        process = machine.process
        if process is None or not process.serving:
            heap.after(PATIENCE, go_on)
            return
        command = ExcludeCommand(doing.actor("o"), member, None, again=True)
        _Doing(doing.act, doing.key, machine, process, heap, doing.oracle).perform("exclude", command)
        heap.after(_LOOKS_AGAIN, look)

    def look() -> None:
        """A disk that is put back may bring it back, and a replica that was frozen with it."""
        if machine.disk.view.get(EXCLUSION, member) is not None:
            go_on()
        elif heap.now < machine.lasts + MINUTE:
            heap.after(_LOOKS_AGAIN, look)

    heap.after(doing.act.lasts, go_on)


def _rotate(doing: _Doing) -> None:
    """Let an operator order new keys. By a clock that is not believed a node makes none (CLOCK)."""
    if doing.process.clock.wrong():
        doing.process.oracle.counts["refused rotate"] += 1
        return
    rotate(doing.process, signing=doing.act.what % 3 == 0, destroy=doing.act.what % 2 == 0)


def _revoke(doing: _Doing) -> None:
    """Let an operator revoke the signing key, which was stolen, and now and then a sealing key with it."""
    rotate(doing.process, signing=True, destroy=doing.act.what % 3 == 0, stolen=True)


def _courier(doing: _Doing) -> None:
    """Send a bundle to another member, which arrives after ``lasts``: whole or cut short, twice, at all
    others too, or never.
    """
    act, way = doing.act, doing.act.what
    others = doing.machine.others

    def written(data: bytes) -> None:
        if way % 5 == 0:
            doing.oracle.counts["bundle lost"] += 1
            return
        carried = data[: len(data) * (way % 97) // 97] if way % 7 == 0 else data
        for member in (act.to, *(sorted(others) if way % 11 == 0 else ())):
            for again in range(1 + (way % 3 == 0)):
                doing.heap.after(act.lasts + again * SECOND, partial(take_in, others[member], carried))

    export(doing.machine, act.to, written)


def _own(doing: _Doing) -> BulletinRow | None:
    row: BulletinRow | None = doing.chosen(doing.view.find(BULLETIN, "newest", limit=_LATER))
    return row


ACTS: Mapping[str, Callable[[_Doing], None]] = {
    "submit": _submit,
    "attach": _attach,
    "download": _download,
    "supersede": _supersede,
    "ask": _ask,
    "answer": _answer,
    "approve": _approve,
    "read": _read,
    "recall": _recall,
    "give-up": _give_up,
    "law": _law,
    "treaty": _treaty,
    "reinstate": _reinstate,
    "resume": _resume,
    "consent-ask": _consent_ask,
    "consent-answer": _consent_answer,
    "report": _report,
    "backfill": _backfill,
    "rotate": _rotate,
    "revoke": _revoke,
    "courier": _courier,
    "suspend-member": _suspend,
    "remove-member": _remove,
}


def schedule(plan: FaultPlan, machines: dict[str, Machine], heap: Heap, oracle: Oracle) -> None:
    """Put all acts of a plan into the heap."""
    keys = stream(plan.seed, "keys")
    for act in plan.acts:
        heap.after(act.at, _when_it_serves(act, keys.randbytes(16), machines[act.node], heap, oracle))


def _when_it_serves(act: Act, key: bytes, machine: Machine, heap: Heap, oracle: Oracle) -> Callable[[], None]:
    """Return a callback that performs the act; while the node is down, its users try again as long as faults
    last.
    """

    def begin() -> None:
        process = machine.asked(act.kind)
        if process is None:
            if heap.now < machine.lasts:
                heap.after(PATIENCE, begin)
            return
        ACTS[act.kind](_Doing(act, key, machine, process, heap, oracle))

    return begin
