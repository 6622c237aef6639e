"""The handling of one event: the node, the time, and the resulting actions. Here the parts meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Gap, Outbound
from intelshare.broker.kernel.node import Node
from intelshare.engine.actions import Action, Tell
from intelshare.engine.limits import Limits
from intelshare.engine.values import Notice, Now
from intelshare.ids import KeyId, MemberCode
from intelshare.ports import Durable, Random

if TYPE_CHECKING:
    from collections.abc import Callable

    from intelshare.crypto.suites import Signer
    from intelshare.engine.acknowledged import Acknowledged
    from intelshare.engine.answers import Answers
    from intelshare.engine.attachments import Fetching
    from intelshare.engine.budgets import Budgets
    from intelshare.engine.destruction import Destruction
    from intelshare.engine.dialling import Dialling
    from intelshare.engine.dividing import Dividing
    from intelshare.engine.hearing import Hearing
    from intelshare.engine.housekeeping import Housekeeping
    from intelshare.engine.links import Links
    from intelshare.engine.log_position import LogPosition
    from intelshare.engine.mending import Mending
    from intelshare.engine.sender import Sender
    from intelshare.engine.space import RoomOnDisk
    from intelshare.engine.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Parts:
    """The state machines of one engine; each owns its rules and its state."""

    limits: Limits
    random: Random
    signer: Callable[[KeyId], Signer]
    """Finds the signer of hellos."""
    links: Links
    acknowledged: Acknowledged
    sender: Sender
    dialling: Dialling
    dividing: Dividing
    housekeeping: Housekeeping
    hearing: Hearing
    log_position: LogPosition
    destruction: Destruction
    answers: Answers
    fetching: Fetching
    stopping: Stopping
    budgets: Budgets
    space: RoomOnDisk
    mending: Mending


@dataclass(slots=True)
class Turn:
    """Created for each event. The ``parts`` are called with it, and add actions."""

    parts: Parts
    node: Node
    now: Now
    actions: list[Action] = field(default_factory=list)

    def do(self, action: Action) -> None:
        """Let the driver do this, after everything before it."""
        self.actions.append(action)

    def tell(self, member: MemberCode, tell: Tell) -> None:
        """Let the driver write a line about a peer, as long as the peer does not cause too many."""
        left_out = self.parts.budgets.line(member, self.now.steady)
        if left_out:
            self.do(Tell(Notice.LEFT_OUT, tell.peer, count=left_out))
        if left_out is not None:
            self.do(tell)

    def ask(self, member: MemberCode, message: Gap | LogAsk) -> None:
        """Ask a member over its link; another replica that has it is told."""
        links = self.parts.links
        link = links.of_member(member)
        if self.parts.dividing.elsewhere(member):
            self.parts.dividing.pass_on(self, member, message)
        elif isinstance(message, LogAsk):
            if link is not None:
                link.ask_about(self, message)
        elif link is not None:
            link.ask(self, [message])
        else:
            links.ask_later(member, message)

    def search(self) -> None:
        """Look again for all that waits: what could not be read was neither sent nor reviewed."""
        self.parts.sender.search(self)
        self.parts.housekeeping.review_again()

    def carry_out(self, led: Durable[Effects]) -> None:
        """Carry out the effects of durable writes: withdraw what has ended, send statements, ask."""
        effects, links = led.value, self.parts.links
        for member, leaf in effects.ended:
            if (link := links.of_member(member)) is not None:
                link.settle(self, leaf)
        outbound = led.part(_outbound)
        for member in sorted({one.peer for one in effects.outbound}):
            if (link := links.of_member(member)) is not None:
                link.hand(self, outbound)
        for member, ask in effects.asks:
            self.ask(member, ask)
        for member, gap in effects.gaps:
            self.ask(member, gap)
        if effects.mended:
            self.search()
        if effects.marked:
            self.parts.destruction.wake(self)
        self.parts.fetching.wake(self, sorted(effects.wanted))
        self.parts.sender.look_at(self, sorted({member for member, _ in effects.ended}))
        self.parts.sender.wake(self, sorted(effects.ready))


def _outbound(effects: Effects) -> tuple[Outbound, ...]:
    return effects.outbound
