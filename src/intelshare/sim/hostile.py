"""A hostile node: an honest one whose outgoing messages are falsified. It holds its member's real keys.

``TRICKS`` lists what it can do, each for the time of a ``hostile`` fault. What it does never depends on what
honest nodes draw, and its disk stays that of an honest node: only what others receive from it is false.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Ack, Acks, Carried, Frame, Gap, Outbound
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Checkpoint, Kind, Receipt
from intelshare.ids import Digest, Incarnation, LeafId, MemberCode
from intelshare.instant import SECOND
from intelshare.sim.chance import stream
from intelshare.sim.plan import Fault, FaultPlan
from intelshare.statement import Leaf, sign_batch
from intelshare.wire import frame_message, link_message

if TYPE_CHECKING:
    from intelshare.sim.process import Process

_KEPT: Final = 48
"""The frames that it keeps for later."""

_FLOOD: Final = 25_000
"""The microseconds between two messages of a flood."""

_REPLAYS: Final = SECOND // 2


class Hostile:
    """The tricks of one member in one run."""

    def __init__(self, name: str, plan: FaultPlan) -> None:
        self._tricks = [fault for fault in plan.faults if fault.kind == "hostile" and fault.node == name]
        self._chance = stream(plan.seed, "hostile", name)
        self._sent: deque[Frame] = deque(maxlen=_KEPT)
        self._heard: deque[Frame] = deque(maxlen=_KEPT)
        self._late: list[tuple[MemberCode, Frame]] = []

    def begin(
        self, now: Callable[[], Process | None], after: Callable[[int, Callable[[], None]], None]
    ) -> None:
        """Schedule what it does without being asked. ``now`` returns the process that runs then."""

        def again(fault: Fault, pause: int, until: int, at: int) -> None:
            process = now()
            if process is not None and process.serving:
                _ACTIVE[fault.window](self, process, MemberCode(fault.peer))
            if at + pause < until:
                after(pause, lambda: again(fault, pause, until, at + pause))

        for fault in self._tricks:
            if pause := _PAUSES.get(fault.window, 0):
                after(fault.at, partial(again, fault, pause, fault.at + fault.lasts, fault.at))
            elif fault.window == "late":
                after(fault.at + fault.lasts, lambda: self._release_late(now()))

    def heard(self, message: object) -> None:
        """Keep a frame that somebody sent to it."""
        if isinstance(message, Frame):
            self._heard.append(message)

    def says(self, process: Process, peer: MemberCode, message: Any) -> list[bytes]:
        """Return the bytes that go to a peer instead of this message."""
        now, messages = process.now(), [message]
        for fault in self._tricks:
            if fault.peer == peer and fault.at <= process.heap.now <= fault.at + fault.lasts:
                change = _CHANGES.get(fault.window)
                if change is not None:
                    messages = [one for old in messages for one in change(self, process, peer, old)]
        for one in messages:
            if isinstance(one, Outbound):
                self._sent.append(one.frame)
        return [frame_message(one) if isinstance(one, Frame) else link_message(one, now) for one in messages]

    # Instead of a message

    def _silent(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        del process, peer
        return [] if isinstance(message, Outbound | Acks) else [message]

    def _withhold(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Send everything but receipts."""
        del process, peer
        return _without(message, lambda carried: carried.kind == Kind.RECEIPT)

    def _hold_back(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Send releases and the heads of their streams later than everything else."""
        del process
        late = (Kind.RELEASE, Kind.STREAM_HEAD)
        if isinstance(message, Outbound):
            kept = tuple(one for one in message.frame.statements if one.kind == Kind.RELEASE)
            if kept:
                self._late.append((peer, replace(message.frame, statements=kept)))
        return _without(message, lambda carried: carried.kind in late)

    def _equivocate(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Sign a second content for every number."""
        del peer
        return [message, *self._signed_again(process, message, Kind.RELEASE, lambda data: data)]

    def _fork(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Sign a second root for every size of the log."""
        del peer

        def other(data: bytes) -> bytes:
            said = decode(Checkpoint, data)
            return encode(Checkpoint, replace(said, root=Digest(self._chance.randbytes(32))))

        again = self._signed_again(process, message, Kind.CHECKPOINT, other)
        return [*again, message] if self._chance.random() < 0.5 else [message, *again]

    def _misquote(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Sign receipts for statements that the peer never made, or made to somebody else."""
        del peer

        def other(data: bytes) -> bytes:
            foreign = [one for frame in self._heard for one in frame.statements if one.kind == Kind.RECEIPT]
            if foreign and self._chance.random() < 0.5:
                return self._chance.choice(foreign).data
            return encode(Receipt, replace(decode(Receipt, data), leaf=LeafId(self._chance.randbytes(32))))

        return [message, *self._signed_again(process, message, Kind.RECEIPT, other)]

    def _garble(self, process: Process, peer: MemberCode, message: Any) -> list[Any]:
        """Flip a bit somewhere in a frame."""
        del process, peer
        if not isinstance(message, Outbound):
            return [message]
        place = self._chance.randrange(len(message.frame.statements))
        one = message.frame.statements[place]
        names = [name for name in ("nonce", "data", "proof", "grant") if getattr(one, name)]
        name = self._chance.choice(names)
        data = bytearray(getattr(one, name))
        data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        changed: dict[str, Any] = {name: bytes(data)}
        statements = list(message.frame.statements)
        statements[place] = replace(one, **changed)
        return [replace(message.frame, statements=tuple(statements))]

    def _signed_again(
        self, process: Process, message: Any, kind: Kind, change: Callable[[bytes], bytes]
    ) -> list[Frame]:
        if not isinstance(message, Outbound):
            return []
        told = [one for one in message.frame.statements if one.kind == kind]
        if not told:
            return []
        leaves = [Leaf(kind, self._chance.randbytes(16), change(one.data)) for one in told]
        signed = sign_batch(leaves, process.node.signer, process.now(), self._chance.randbytes)
        return [
            Frame(
                signed.batch,
                message.frame.batch_key,
                tuple(
                    Carried(kind, made.nonce, made.data, made.proof, one.grant, one.bodies)
                    for one, made in zip(told, signed.statements, strict=True)
                ),
            )
        ]

    # Without being asked

    def _replay(self, process: Process, peer: MemberCode) -> None:
        """Repeat a frame that it has sent, to anybody."""
        if self._sent:
            self._send(process, peer, self._chance.choice(self._sent))

    def _pass_on(self, process: Process, peer: MemberCode) -> None:
        """Send a frame that it got from another member."""
        if self._heard:
            self._send(process, peer, self._chance.choice(self._heard))

    def _flood(self, process: Process, peer: MemberCode) -> None:
        """Send whatever costs the peer most: frames again, requests for numbers and logs, answers."""
        now = process.now()
        choice = self._chance.randrange(5)
        if choice == 0:
            self._replay(process, peer)
        elif choice == 1:
            self._pass_on(process, peer)
        elif choice == 2:
            self._post(process, peer, link_message(Acks((Ack(self._chance.randbytes(32), "", now),)), now))
        elif choice == 3:
            node = process.node.trust.members[peer].directory
            uri = node.nodes[0].uri if node is not None else process.node.uri
            gap = Gap(uri, self._foreign_incarnation(process, peer), ((1, 1 << 20),))
            self._post(process, peer, link_message(gap, now))
        else:
            incarnation = self._foreign_incarnation(process, peer)
            ask = LogAsk(process.node.uri, Incarnation(incarnation), 1, Incarnation(incarnation), 2)
            self._post(process, peer, link_message(ask, now))

    def _foreign_incarnation(self, process: Process, peer: MemberCode) -> int:
        """Return an incarnation of the peer: its streams to others have it too."""
        other = process.machine.others[peer].process
        return other.node.incarnation if other is not None else 1

    def _release_late(self, process: Process | None) -> None:
        late, self._late = self._late, []
        for peer, frame in late if process is not None else ():
            assert process is not None  # noqa: S101 - the loop is empty otherwise
            self._send(process, peer, frame)

    def _send(self, process: Process, peer: MemberCode, frame: Frame) -> None:
        self._post(process, peer, frame_message(frame))

    def _post(self, process: Process, peer: MemberCode, message: bytes) -> None:
        link = process.driver.links.get(peer)
        if link is not None:
            process.oracle.counts["hostile message"] += 1
            link.send(message)


def _without(message: Any, drop: Callable[[Carried], bool]) -> list[Any]:
    if not isinstance(message, Outbound):
        return [message]
    left = tuple(one for one in message.frame.statements if not drop(one))
    return [replace(message.frame, statements=left)] if left else []


_CHANGES: Final[Mapping[str, Callable[[Hostile, Process, MemberCode, Any], list[Any]]]] = {
    "silent": Hostile._silent,
    "withhold": Hostile._withhold,
    "late": Hostile._hold_back,
    "equivocate": Hostile._equivocate,
    "fork": Hostile._fork,
    "misquote": Hostile._misquote,
    "garble": Hostile._garble,
}

_ACTIVE: Final[Mapping[str, Callable[[Hostile, Process, MemberCode], None]]] = {
    "replay": Hostile._replay,
    "pass-on": Hostile._pass_on,
    "flood": Hostile._flood,
}

_PAUSES: Final = {"replay": _REPLAYS, "pass-on": _REPLAYS, "flood": _FLOOD}

TRICKS: Final = (*_CHANGES, *_ACTIVE)
"""All tricks by name: the first change messages, the others send some without being asked."""

ENDS: Final = frozenset((*_ACTIVE, "late"))
"""Those that end with the faults."""
