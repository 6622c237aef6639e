"""One engine over a store in memory, driven by hand: what it asks for is seen, done at once, or held back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from builders import NOW, Member, seeded
from intelshare.audit.work import finish
from intelshare.broker.kernel.frame import Hello, Message
from intelshare.broker.kernel.tables import LOG_HEAD
from intelshare.engine import QUERIES, STEPS, Engine, Event, Limits, LinkId, Now, Step
from intelshare.engine.actions import (
    Close,
    OpenPieces,
    ReadSlice,
    RunQuery,
    RunStep,
    Send,
    SetTimer,
    Shred,
    WritePiece,
    WriteSidecar,
)
from intelshare.engine.events import (
    Accepted,
    Closed,
    Covered,
    LogQuestion,
    MessageWritten,
    QueryDone,
    Received,
    Shredded,
    SidecarWritten,
    SliceRead,
    StepDone,
    TimerDue,
)
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation
from intelshare.instant import Instant
from intelshare.ports import Durable
from intelshare.trust import Channel, check_answer, confirm_hello, open_hello
from line_world import met
from piece_files import PieceFiles

A = TypeVar("A")


class Rig:
    """FRA's engine; the other members are played by the test."""

    def __init__(self, limits: Limits | None = None, codes: Iterable[str] = ("FRA", "USA", "KEN")) -> None:
        self.members: dict[str, Member] = met(tuple(codes))
        self.fra = self.members["FRA"]
        self.engine = Engine(
            self.fra.node,
            lambda _: self.fra.node.signer,
            seeded("engine"),
            dials=lambda _: False,
            limits=limits,
        )
        self.steady = 1_000_000
        self.ahead = 0
        """How far the wall clock is ahead."""
        self.believed = self.confirmed = True
        self.seen: list[Any] = []
        """Every action, in order."""
        self.hold: set[Any] = set()
        """Steps, questions and kinds of action that are not carried out."""
        self.held: list[Any] = []
        self.fails: dict[Step, IntelshareError] = {}
        self.pieces = PieceFiles()
        self.timer: Instant | None = None
        self._events: deque[Event] = deque()
        self._feeding = False

    def now(self) -> Now:
        """Both clocks, as the engine is told of them."""
        wall = Instant(NOW + self.steady + self.ahead)
        return Now(wall, Instant(self.steady), self.believed, self.confirmed)

    def feed(self, event: Event) -> None:
        """Hand over an event, and carry out what follows."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        while self._events:
            now = self.now()
            for action in self.engine.handle(self._events.popleft(), self.fra.node, now):
                self.seen.append(action)
                kind = action.step if isinstance(action, RunStep) else None
                kind = action.query if isinstance(action, RunQuery) else kind
                if {kind, type(action)} & self.hold:
                    self.held.append(action)
                else:
                    self.carry_out(action)
        self._feeding = False

    def cover(self) -> None:
        """Say that the sidecar covers the whole log."""
        here = self.fra.node.incarnation
        head = self.fra.store.ask_now(lambda view: view.get(LOG_HEAD, here))
        self.feed(Covered(here, head.size))

    def carry_out(self, action: Any) -> None:
        """Do what an action says."""
        match action:
            case RunStep():
                self.feed(StepDone(action, self.fails.get(action.step) or self._perform(action)))
            case RunQuery():
                answer = self.fra.ask(QUERIES[action.query], *action.event, NOW)
                self.feed(QueryDone(action, finish(answer) if action.beside else answer))
            case Send():
                self.feed(MessageWritten(action.link))
            case WriteSidecar():
                self.cover()
                self.feed(SidecarWritten(action))
            case Shred():
                self.pieces.remove(action.files)
                self.feed(Shredded())
            case OpenPieces():
                self.feed(self.pieces.open(action))
            case WritePiece():
                self.feed(self.pieces.write(action))
            case ReadSlice():
                self.feed(SliceRead(action, self.pieces.read(action)))
            case SetTimer():
                self.timer = action.at

    def release(self, kind: Any = None) -> None:
        """Carry out what was held back: all of it, or the actions of one kind."""
        held, self.held = self.held, []
        self.hold -= {kind} if kind is not None else self.hold
        for action in held:
            if kind in (None, type(action), getattr(action, "step", None), getattr(action, "query", None)):
                self.carry_out(action)
            else:
                self.held.append(action)

    def wait(self, microseconds: int) -> None:
        """Let time pass; timers come when they are due."""
        end = self.steady + microseconds
        while self.timer is not None and self.timer <= end:
            self.steady, self.timer = max(self.steady, self.timer), None
            self.feed(TimerDue())
        self.steady = end

    def link(self, peer: str = "USA", incarnation: int | None = None) -> LinkId:
        """A link that the peer has opened, the hello done; of another start of its node, if one is named."""
        number = self.call(peer)
        node, other = self.fra.node, self.members[peer].node
        opening, nonce = open_hello(seeded(peer))
        self.say(number, Hello(opening))
        answer = self.sent(number, Hello)[-1].payload
        channel = Channel(other.uri, node.uri, bytes(32))
        _, pending = check_answer(answer, channel, nonce, Instant(NOW + self.steady), view=other.trust)
        payload = self.members[peer].ask(QUERIES["greet"], node.member, NOW)  # type: ignore[index]
        if incarnation is not None:
            payload = replace(payload, incarnation=Incarnation(incarnation), heads=())
        self.say(number, Hello(confirm_hello(pending, other.signer, payload)))
        return number

    def call(self, peer: str = "USA") -> LinkId:
        """A stream that the peer has opened."""
        number = self.engine.new_link()
        other = self.members[peer].node
        channel = Channel(other.uri, self.fra.node.uri, bytes(32))
        self.feed(Accepted(number, other.member, other.uri, channel))
        return number

    def say(self, link: LinkId, message: Message) -> None:
        """The peer says something."""
        self.feed(Received(link, message, 100))

    def sent(self, link: LinkId, kind: type[A]) -> list[A]:
        """The messages of one kind that were sent to the peer."""
        sends = self.actions(Send)
        return [send.message for send in sends if send.link == link and isinstance(send.message, kind)]

    def actions(self, kind: type[A]) -> list[A]:
        """All actions of one kind so far."""
        return [action for action in self.seen if isinstance(action, kind)]

    def steps(self, *names: Step) -> list[Step]:
        """Which steps were asked for, of these."""
        return [run.step for run in self.actions(RunStep) if not names or run.step in names]

    def closed(self, link: LinkId) -> str | None:
        """The code with which a link was ended; empty without one, None: it was not."""
        codes = [one.error.code if one.error else "" for one in self.actions(Close) if one.link == link]
        return codes[0] if codes else None

    def drop(self, link: LinkId) -> None:
        """The peer ends a link."""
        self.feed(Closed(link))

    def ask_as_user(self, question: int) -> None:
        """A user asks something about the logs."""
        self.feed(LogQuestion(question))

    def _perform(self, run: RunStep) -> Durable[Any] | IntelshareError:
        node, at = self.fra.node, Instant(NOW + self.steady)
        step: Callable[..., Any] = STEPS[run.step]
        try:
            durable: Durable[Any] = self.fra.store.perform_now(
                lambda view: step(node, view, *run.event, at, seeded(f"{self.fra.store.commits}"))
            )
        except IntelshareError as error:
            return error
        effects = getattr(durable.value, "effects", None)
        if effects is not None and effects.node is not None:
            self.fra.node = effects.node
        return durable
