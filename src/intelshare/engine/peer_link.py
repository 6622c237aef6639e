"""One link to a peer node: its hello, what comes in, what goes out, and when it must end.

Its states are those of ``greeting``. Only durable statements are sent (``Durable``). Control messages go
before frames, urgent frames before others; what was given to the driver is never overtaken (``outgoing``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.kernel.frame import Ack, Acks, Frame, Gap, Hello, Message, Outbound, Slice, SliceAsk
from intelshare.broker.lifecycle.attachments import Kept
from intelshare.broker.line.hello import HelloResult
from intelshare.broker.line.receive import Arrival, ReceiveResult, sha256_leaf
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Kind, Trust
from intelshare.delivery import LinkQueue
from intelshare.engine.actions import RunQuery, RunStep, Sendable, SetReading, Tell
from intelshare.engine.attachments import Serving
from intelshare.engine.budgets import Passing
from intelshare.engine.events import SliceRead, Unreadable
from intelshare.engine.gaps import GapRequests
from intelshare.engine.greeting import Greeting, LinkState
from intelshare.engine.limits import Limits
from intelshare.engine.outgoing import CONTROL, SLICES, Outgoing
from intelshare.engine.own_shown import OwnShown
from intelshare.engine.peer_clock import PeerClock
from intelshare.engine.steps import Query, Step
from intelshare.engine.turn import Turn
from intelshare.engine.values import LinkId, Notice, Now
from intelshare.errors import CryptoError, EnvelopeError, TrustError, code_of_peer
from intelshare.ids import Digest, LeafId, MemberCode, NodeUri
from intelshare.instant import EPOCH, SECOND, Instant
from intelshare.ports import Durable
from intelshare.trust import Channel, DirectoriesHeld, HelloPayload, held_of, otherwise

MAX_SHOWN: Final = 4
"""The most directories that are shown at once."""

PARTING: Final = SECOND
"""The time that a peer which was dialled has to read why it is refused."""

_SIGNED_WRONG: Final = frozenset(("SIGNER_REVOKED", "SIGNER_UNKNOWN", "CLOCK_SKEW"))
"""The rejections of what may have been signed with a key, or by a clock, that was wrong."""

SLICES_READY: Final = 2
"""The slices that may wait to be written; at this number none is read."""


class PeerLink:
    """One connection, from the dial or call to its end."""

    def __init__(
        self,
        number: LinkId,
        member: MemberCode,
        node: NodeUri,
        began: Instant,
        limits: Limits,
        *,
        dialled: bool,
    ) -> None:
        """``began``: when it was dialled or called, on the steady clock."""
        self.number = number
        self.member = member
        self.node = node
        self.dialled = dialled
        self.state = LinkState.DIALLING if dialled else LinkState.CALLED
        self.overdue = Instant(began + limits.hello)
        """When its hello has taken too long, on the steady clock."""
        self.since = EPOCH
        """The wall time at which it was opened."""
        self.opened_at = EPOCH
        """The same on the steady clock."""
        self.clock = PeerClock()
        self.loading = False
        """True while a step loads what is to be sent again."""
        self._withdrawn: set[LeafId] = set()
        """Statements that must not leave any more, although that step may have loaded them."""
        self.last_error = ""
        self.queue = LinkQueue()
        self.greeting = Greeting(member, dialled=dialled)
        self.certificate = b""
        self.between: tuple[bytes, ...] = ()
        self.met: Durable[HelloResult] | None = None
        """The result of the hello, until the link is open."""
        self.looking = False
        """True while a query about what is still missing is under way."""
        self._said: tuple[LeafId, tuple[int, int]] | None = None
        """This node's last checkpoint on this link, about whose path the peer has not asked yet."""
        self._limits = limits
        self._out = Outgoing(number)
        self._at_work = 0
        self._reading = True
        self._gaps = GapRequests()
        self._own_shown = OwnShown(member, limits.learning)
        self.lost = (0, 0)
        """Log entries that this node forgot, and numbers that the peer forgot, as its hello shows."""
        self._serving = Serving()
        self._acknowledged: list[Ack] = []
        self._acknowledging = 0
        self._paused = False
        self.refusal: CryptoError | None = None
        """The reason for which the link ends as soon as the peer may have read all that waits."""

    @property
    def open(self) -> bool:
        """True if the hello is over."""
        return self.state is LinkState.OPEN

    def check(self, turn: Turn) -> None:
        """Raise TrustError if the peer must not be heard any more: revoked, expired, unlisted or left out."""
        trust, at = turn.node.trust, turn.now.wall
        trust.need_dealing(self.member)
        if self.certificate:
            trust.identify(self.certificate, at, self.between)
        if self.greeting.peer is not None:
            member, _ = trust.need_node(self.node, at)
            revoked = trust.revocation(self.greeting.peer.key)
            if member != self.member or (revoked is not None and revoked.holds(at)):
                raise TrustError("PEER_REVOKED", f"the key that signed the hello of {self.node} was revoked")

    # The hello

    def connected(self, turn: Turn, channel: Channel) -> None:
        """Start the hello: the dialled stream is open."""
        self.overdue = Instant(turn.now.steady + self._limits.hello)
        self._post(turn, CONTROL, self.greeting.begin(turn, channel))
        self._go(turn, LinkState.HEARING)

    def received(self, turn: Turn, message: Message, size: int) -> None:
        """Process a message of ``size`` bytes. Raises what ends the link."""
        self.check(turn)
        if self.state is LinkState.OPEN and isinstance(message, Frame):
            self._frame(turn, message, size)
        elif self.state is LinkState.OPEN:
            if not _TAKES[type(message)](self, turn, message):
                self._pay(turn, size)
        elif self.state is LinkState.ANSWERED and isinstance(message, Trust):
            # The peer refuses the answer, and shows why first: a directory proves itself.
            self._directory(turn, message)
            self._pay(turn, size)
        elif not isinstance(message, Hello) or self.state not in _HELLO:
            raise EnvelopeError("ENVELOPE_MALFORMED", "a link begins with a hello")
        else:
            _HELLO[self.state](self, turn, message.payload)

    def _called(self, turn: Turn, payload: bytes) -> None:
        self.greeting.called(payload)
        self._ask_what_to_say(turn)

    def _heard(self, turn: Turn, payload: bytes) -> None:
        if self._proved(turn, self.greeting.heard, payload):
            self._meet(turn)

    def _confirmed(self, turn: Turn, payload: bytes) -> None:
        if self._proved(turn, self.greeting.confirmed, payload):
            # The links may have changed since the call.
            turn.parts.links.make_way(turn, self)
            self._meet(turn)

    def _proved(self, turn: Turn, prove: Callable[[Turn, bytes], None], payload: bytes) -> bool:
        """Return True if the peer has proved itself; False if this link parts. Raises what ends it."""
        try:
            prove(turn, payload)
        except CryptoError as refusal:
            if refusal.code != "SIGNER_REVOKED":
                raise
            self._part(turn, refusal)
            return False
        turn.parts.links.check_instance(turn, self, self.greeting.known.payload.incarnation)
        return True

    def _part(self, turn: Turn, refusal: CryptoError) -> None:
        """Refuse a hello whose key was revoked once the peer has been shown what says so. Only a node whose
        certificate counts gets here, and what it is shown its own member has published.
        """
        self.refusal = refusal
        self._show(turn, self._own_shown.known(turn.node.trust))
        self._go(turn, LinkState.PARTING)
        if self.dialled:
            # Whoever cancels its call takes back what the other side has not read yet.
            self.overdue = min(self.overdue, Instant(turn.now.steady + PARTING))
        self._end_if_parted()

    def _end_if_parted(self) -> None:
        if self.refusal is not None and self._out.idle and not self.dialled:
            raise self.refusal

    def _meet(self, turn: Turn) -> None:
        self.clock.measured(self.greeting.known.offset, turn.now)
        allowed = turn.parts.budgets.allowed(self.member, turn.now.steady)
        last = turn.parts.acknowledged.last(self.member)
        turn.do(RunStep(Step.ACCEPT_HELLO, (self.greeting.peer, last, allowed), self.number, self.member))
        self._go(turn, LinkState.MEETING)

    def _ask_what_to_say(self, turn: Turn) -> None:
        turn.do(RunQuery(Query.GREET, (self.member,), self.number))
        self._go(turn, LinkState.GREETING)

    def is_met(self, turn: Turn, met: Durable[HelloResult]) -> None:
        """Go on after the step "accept_hello" is durable."""
        self.met = met
        if self.dialled:
            self._ask_what_to_say(turn)
        else:
            self._open(turn)

    def greets(self, turn: Turn, payload: HelloPayload) -> None:
        """Send this node's part of the hello. Raises CryptoError if no key may sign it."""
        self._post(turn, CONTROL, self.greeting.say(turn, payload))
        if self.dialled:
            self._open(turn)
        else:
            self._go(turn, LinkState.ANSWERED)

    def _open(self, turn: Turn) -> None:
        assert self.met is not None  # noqa: S101 - the table: met before open
        met, self.met = self.met, None
        self.since, self.opened_at = turn.now.wall, turn.now.steady
        self._go(turn, LinkState.OPEN)
        turn.parts.links.opened(turn, self)
        self.tell_directories(turn, turn.node.trust.members)
        self._show(turn, self._own_shown.newer(turn.node.trust, self.greeting.known.payload, turn.now.steady))
        turn.carry_out(met.part(lambda answer: answer.effects))
        self.ask(turn, met.value.gaps)
        for message in turn.parts.links.asked_later(self.member):
            turn.ask(self.member, message)
        self.lost = met.value.lost, met.value.forgot
        for notice, count in ((Notice.PEER_FORGOT, met.value.forgot), (Notice.FORGOT, met.value.lost)):
            if count:
                turn.tell(self.member, Tell(notice, self.node, count=count))

    def _go(self, turn: Turn, state: LinkState) -> None:
        self.state = state
        self._gate(turn)

    def _gate(self, turn: Turn) -> None:
        """Read nothing while the hello or enough messages wait for the store, or the peer does not read."""
        busy = (
            self.state in (LinkState.MEETING, LinkState.GREETING, LinkState.PARTING)
            or self._at_work >= self._limits.at_work
            or self._out.waiting(CONTROL) >= self._limits.control
            or self._paused
        )
        if self._reading == busy:
            self._reading = not busy
            turn.do(SetReading(self.number, self._reading))

    # What comes in

    def _frame(self, turn: Turn, frame: Frame, size: int) -> None:
        budgets, steady = turn.parts.budgets, turn.now.steady
        if not budgets.takes_frame(self.member, size, len(frame.statements), steady):
            told = [Ack(sha256_leaf(carried), "RATE", turn.now.wall) for carried in frame.statements]
            self._post(turn, CONTROL, Acks(tuple(told)))
            self._pause(turn)
            return
        if not self.clock.agrees(turn.now) and any(one.kind == Kind.RELEASE for one in frame.statements):
            # By a clock that may be wrong a bulletin would be refused for good whose time is not over.
            told = [Ack(sha256_leaf(carried), "CLOCK_SKEW", turn.now.wall) for carried in frame.statements]
            self._post(turn, CONTROL, Acks(tuple(told)))
            return
        allowed = budgets.allowed(self.member, steady)
        arrival = Arrival(self.member, self.node, frame, turn.now.believed, allowed)
        self._work(turn, RunStep(Step.RECEIVE, (arrival,), self.number, self.member))

    def _pay(self, turn: Turn, size: int) -> None:
        """Charge a message that is not a frame.

        It has no answer, so a peer that spends too much is read no further.
        """
        budgets, steady = turn.parts.budgets, turn.now.steady
        budgets.charge(self.member, Passing.BYTES, size, steady)
        if budgets.spent(self.member, Passing.BYTES, steady):
            self._pause(turn)

    def _pause(self, turn: Turn) -> None:
        back = turn.parts.budgets.back(self.member, turn.now.steady)
        self._paused = back > turn.now.steady
        if self._paused:
            turn.parts.links.pause(self, back)
        self._gate(turn)

    def resume(self, turn: Turn) -> None:
        """Read on, if the budget is out of debt."""
        self._pause(turn)

    def _gap(self, turn: Turn, gap: Gap) -> None:
        turn.parts.budgets.need(self.member, Passing.GAPS, turn.now.steady)
        if gap.acts:
            turn.do(RunQuery(Query.ACTS_FORGOTTEN, (gap.acts,), self.number))
        if gap.origin == self.node:
            # Its own releases: it has forgotten them, and perhaps the key that signed them.
            if not gap.incarnation:
                self._show(turn, self._own_shown.known(turn.node.trust))
            self._work(turn, RunStep(Step.HAND_BACK, (self.member, self.node, gap), self.number, self.member))
        else:
            self._work(turn, RunStep(Step.ANSWER_GAP, (self.member, gap), self.number, self.member))

    def _log_ask(self, turn: Turn, ask: LogAsk) -> None:
        turn.parts.budgets.need(self.member, Passing.LOGS, turn.now.steady)
        turn.parts.answers.ask(turn, self.number, ask)

    def _log_path(self, turn: Turn, path: LogPath) -> None:
        turn.parts.budgets.need(self.member, Passing.LOGS, turn.now.steady)
        self._work(turn, RunStep(Step.PROVE, (self.member, self.node, path), self.number, self.member))

    def _acks(self, turn: Turn, acks: Acks) -> None:
        now = turn.now
        for ack in acks.acks:
            leaf = LeafId(ack.digest)
            if not self.queue.is_flying(leaf):
                # An answer to a statement that is not on its way has no effect, whatever it says.
                turn.parts.budgets.need(self.member, Passing.ANSWERS, now.steady)
            elif ack.code:
                self.last_error = code = code_of_peer(ack.code)
                if self._said is not None and self._said[0] == leaf:
                    self._said = None
                self.queue.rejected(leaf, now.steady, turn.parts.random)
                if code in _SIGNED_WRONG:
                    turn.parts.housekeeping.doubt(turn)
                turn.tell(self.member, Tell(Notice.REJECTED_BY_PEER, self.node, code))
            else:
                self.queue.acknowledged(leaf, now.steady)
                turn.parts.acknowledged.note(self.member, leaf, now.steady)
                self._acknowledged.append(ack)
        if acks.acks:
            self.clock.measured(acks.acks[0].time - now.wall, now)
        self._acknowledge(turn)
        turn.parts.sender.look_at(turn, [self.member])

    def _directories(self, turn: Turn, told: DirectoriesHeld) -> None:
        """Show the directories held here where the peer holds other content of the same version."""
        turn.parts.budgets.need(self.member, Passing.DIRECTORIES_SHOWN, turn.now.steady)
        self._show(turn, otherwise(turn.node.trust, told.directories)[:MAX_SHOWN])

    def _directory(self, turn: Turn, shown: Trust) -> None:
        turn.parts.budgets.need(self.member, Passing.DIRECTORIES_SHOWN, turn.now.steady)
        self._work(turn, RunStep(Step.JUDGE_DIRECTORY, (self.member, shown), self.number, self.member))

    def judged(self, turn: Turn, forked: MemberCode | None) -> None:
        """Show the peer the other directory if one it has shown was one of two under one version."""
        held = turn.node.trust.members.get(forked) if forked is not None else None
        if held is not None and held.directory_signed is not None:
            self._post(turn, CONTROL, held.directory_signed)

    def waits_until(self, turn: Turn) -> Instant | None:
        """Return until when releases wait for the peer's next directory; see ``OwnShown.waits_until``."""
        return self._own_shown.waits_until(turn.node.trust, turn.now.steady)

    def _show(self, turn: Turn, directories: Iterable[Trust]) -> None:
        for signed in directories:
            self._post(turn, CONTROL, signed)

    def tell_directories(self, turn: Turn, members: Iterable[MemberCode]) -> None:
        """Tell the peer which directories of these members are held here."""
        if held := held_of(turn.node.trust, [one for one in members if one != turn.node.member]):
            self._post(turn, CONTROL, DirectoriesHeld(held))

    def _slice_ask(self, turn: Turn, ask: SliceAsk) -> None:
        self._serving.asked(turn, ask)
        self._serve(turn)

    def _slice(self, turn: Turn, message: Slice) -> bool:
        """Take a slice; one that was requested costs the peer nothing."""
        return turn.parts.fetching.came(turn, self.number, self.member, message)

    def _second_hello(self, turn: Turn, hello: Hello) -> None:
        del self, turn, hello
        raise EnvelopeError("ENVELOPE_MALFORMED", "a second hello on one link")

    def unreadable(self, turn: Turn, message: Unreadable) -> None:
        """Tell the peer the code of a message that could not be read.

        Raises DeliveryError RATE for too many.
        """
        turn.tell(self.member, Tell(Notice.FRAME_REJECTED, self.node, message.code, message.size))
        if not self.open:
            raise EnvelopeError(message.code, "a link begins with a hello")
        turn.parts.budgets.need(self.member, Passing.UNREADABLE, turn.now.steady)
        self._pay(turn, message.size)
        self._post(turn, CONTROL, Acks((Ack(message.digest, message.code, turn.now.wall),)))

    def _work(self, turn: Turn, run: RunStep) -> None:
        self._at_work += 1
        turn.do(run)
        self._gate(turn)

    def worked(self, turn: Turn) -> None:
        """Note that a step that a message has caused is over."""
        self._at_work -= 1
        self._gate(turn)

    def taken(self, turn: Turn, taken: ReceiveResult) -> None:
        """Acknowledge a durable frame, and ask for what it lacks."""
        self._post(turn, CONTROL, Acks(taken.acks))
        self.ask(turn, taken.gaps)
        if taken.again:
            self.queue.more = True

    def _acknowledge(self, turn: Turn) -> None:
        """Forget acknowledged statements; acknowledgements that arrive during one commit share the next."""
        if self._acknowledged and not self._acknowledging:
            self._acknowledging = len(self._acknowledged)
            turn.do(
                RunStep(Step.ACKNOWLEDGE, (self.member, tuple(self._acknowledged)), self.number, self.member)
            )

    def busy(self, now: Now) -> frozenset[LeafId]:
        """Return the statements that must not be sent again now: on their way, rejected and not due, or
        acknowledged and not yet struck off.
        """
        return self.queue.busy(now.steady).union(LeafId(ack.digest) for ack in self._acknowledged)

    def acknowledged(self, turn: Turn) -> None:
        """Go on after the step "acknowledge" is durable."""
        del self._acknowledged[: self._acknowledging]
        self._acknowledging = 0
        self._acknowledge(turn)

    # What goes out

    def hand(self, turn: Turn, said: Durable[Sequence[Outbound]]) -> bool:
        """Put durable statements for this peer on the link; return True if there were any.

        A checkpoint that the sidecar does not cover yet is left, and loaded again.
        """
        if not self.open:
            return False
        handed, log = False, turn.parts.log_position
        for outbound in said.value:
            if outbound.peer != self.member:
                continue
            if not log.covers(turn.node.incarnation, outbound):
                self.queue.more = True
                continue
            handed = True
            statements = zip(outbound.leaves, outbound.frame.statements, strict=True)
            self.queue.sent([(leaf, carried.size) for leaf, carried in statements], turn.now.steady)
            self._post(turn, 1 + outbound.rank, outbound)
            self._note_checkpoint(outbound)
        return handed

    def _note_checkpoint(self, outbound: Outbound) -> None:
        for leaf, carried in zip(outbound.leaves, outbound.frame.statements, strict=True):
            if carried.kind == Kind.CHECKPOINT:
                where = decode(Checkpoint, carried.data)
                self._said = leaf, (where.incarnation, where.size)

    @property
    def settled(self) -> bool:
        """True if the peer has acknowledged everything, and was answered how the last checkpoint follows."""
        return not (self.queue.unacknowledged or self._said) and self._out.idle

    def settle(self, turn: Turn, leaf: LeafId) -> None:
        """Withdraw a statement that must not leave any more.

        Others in the same waiting frame are loaded again.
        """
        if self.loading:
            self._withdrawn.add(leaf)
        self.queue.acknowledged(leaf, turn.now.steady)
        for leaves in self._out.withdraw(leaf):
            self.queue.forget(leaves)

    def hand_loaded(self, turn: Turn, loaded: Durable[Sequence[Outbound]]) -> bool:
        """Put statements that were loaded again on the link, except those withdrawn in the meantime; return
        True if there were any.
        """
        self.loading = False
        withdrawn, self._withdrawn = self._withdrawn, set()
        if withdrawn:
            self.queue.more = True
            loaded = loaded.part(
                lambda frames: [frame for frame in frames if withdrawn.isdisjoint(frame.leaves)]
            )
        return self.hand(turn, loaded)

    def ask(self, turn: Turn, gaps: Iterable[Gap]) -> None:
        """Ask for gaps, each stream no more often than its backoff allows."""
        for gap in self._gaps.due(gaps, turn.now, turn.parts.random):
            self._post(turn, CONTROL, gap)

    def look_for_gaps(self, turn: Turn) -> None:
        """Once a second, ask if what was requested is still missing."""
        streams = self._gaps.streams()
        if streams and not self.looking:
            self.looking = True
            turn.do(RunQuery(Query.STILL_MISSING, (self.member, streams), self.number))

    def still_missing(self, turn: Turn, streams: Sequence[tuple[str, int]], gaps: Sequence[Gap]) -> None:
        """Ask again for what is still missing, and forget the rest."""
        self.looking = False
        self._gaps.keep(streams, gaps)
        self.ask(turn, gaps)

    def ask_about(self, turn: Turn, ask: LogAsk) -> None:
        """Ask how a log follows from what is held of it."""
        if self.open:
            self._post(turn, CONTROL, ask)

    def answer(self, turn: Turn, ask: LogAsk, path: LogPath | None) -> None:
        """Tell the peer how this node's log follows from what it holds; None: there is nothing to tell."""
        if self.open and path is not None:
            self._post(turn, CONTROL, path)
        if self._said is not None and self._said[1] == (ask.until, ask.until_size):
            self._said = None

    def ask_for_slice(self, turn: Turn, ask: SliceAsk) -> None:
        """Request a slice of a file."""
        self._post(turn, SLICES, ask)

    def serves(self, turn: Turn, pieces: Digest, kept: Kept | None) -> None:
        """Note that the peer may have a file, or may not."""
        self._serving.serves(turn, pieces, kept)
        self._serve(turn)

    def slice_read(self, turn: Turn, event: SliceRead) -> None:
        """Send a slice that the peer has requested."""
        self._serving.read()
        self._post(turn, SLICES, Slice(event.run.ask.pieces, event.run.ask.number, event.data))
        self._serve(turn)

    def _serve(self, turn: Turn) -> None:
        while self._out.waiting(SLICES) < SLICES_READY:
            answer = self._serving.go_on(turn, self.number, self.member)
            if answer is None:
                return
            self._post(turn, SLICES, answer)

    def _post(self, turn: Turn, rank: int, message: Sendable) -> None:
        self._out.post(turn, rank, message)
        self._gate(turn)

    def written(self, turn: Turn) -> None:
        """Go on after the driver has written the last message."""
        self._out.written(turn)
        self._end_if_parted()
        self._gate(turn)
        self._serve(turn)


_HELLO: Final[Mapping[LinkState, Callable[[PeerLink, Turn, bytes], None]]] = {
    LinkState.CALLED: PeerLink._called,
    LinkState.HEARING: PeerLink._heard,
    LinkState.ANSWERED: PeerLink._confirmed,
}

_TAKES: Final[Mapping[type[Any], Callable[[PeerLink, Turn, Any], bool | None]]] = {
    Acks: PeerLink._acks,
    Gap: PeerLink._gap,
    LogAsk: PeerLink._log_ask,
    LogPath: PeerLink._log_path,
    SliceAsk: PeerLink._slice_ask,
    Slice: PeerLink._slice,
    DirectoriesHeld: PeerLink._directories,
    Trust: PeerLink._directory,
    Hello: PeerLink._second_hello,
}
