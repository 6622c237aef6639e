"""The hello of one link: its states, its messages, and who the peer has proved to be.

    state       dialler                         acceptor                            next
    ---------   -----------------------------   ---------------------------------   ---------
    DIALLING    connected: send the opening                                         HEARING
    CALLED                                      opening: ask what to send           GREETING
    HEARING     answer proved: "accept_hello"                                       MEETING
                its key was revoked: show what says so                              PARTING
    ANSWERED                                    confirmation proved: "accept_hello" MEETING
                                                its key was revoked: show it        PARTING
                                                directory shown: "judge_directory"  ANSWERED
    MEETING     durable: ask what to send                                           GREETING
                                                durable                             OPEN
    GREETING    send the confirmation                                               OPEN
                                                send the answer                     ANSWERED
    OPEN        frames, acknowledgements, gaps, questions about logs                ENDED
    PARTING                                     the refusal is written              ENDED

Whoever meets a peer that signs with a key which its member has revoked shows the peer the directories that
say so before the link ends: a node that was restored has forgotten them (decision 81).
The dialler runs "accept_hello" before it confirms: the peer's streams are known here before the peer can hand
over the first release of one. Whatever is not in the table ends the link, and so does a hello that takes
longer than ``Limits.hello``.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from intelshare.broker.kernel.frame import Hello
from intelshare.engine.turn import Turn
from intelshare.ids import MemberCode
from intelshare.trust import (
    Channel,
    HelloPayload,
    PeerHello,
    answer_hello,
    check_answer,
    check_confirmation,
    confirm_hello,
    open_hello,
)


class LinkState(Enum):
    """The state of a link, as in the table above."""

    DIALLING = auto()
    CALLED = auto()
    HEARING = auto()
    ANSWERED = auto()
    MEETING = auto()
    GREETING = auto()
    OPEN = auto()
    PARTING = auto()


class Greeting:
    """One hello, from the opening to the last message."""

    def __init__(self, member: MemberCode, *, dialled: bool) -> None:
        self._member, self._dialled = member, dialled
        self.channel: Channel | None = None
        """The stream to which the hello is bound, once there is one."""
        self.peer: PeerHello | None = None
        """The peer, once it has proved itself."""
        self._pending: Any = b""
        """The state against which the next message is checked."""

    @property
    def known(self) -> PeerHello:
        """The peer, which has proved itself."""
        assert self.peer is not None  # noqa: S101 - proved before
        return self.peer

    def begin(self, turn: Turn, channel: Channel) -> Hello:
        """Return the opening: the dialled stream is open."""
        self.channel = channel
        opening, self._pending = open_hello(turn.parts.random)
        return Hello(opening)

    def called(self, opening: bytes) -> None:
        """Take the opening of a peer that has called."""
        self._pending = opening

    def heard(self, turn: Turn, answer: bytes) -> None:
        """Check the answer to this node's opening. Raises what ends the link."""
        at, view = turn.now.wall, turn.node.trust
        self.peer, self._pending = check_answer(answer, self._bound(), self._pending, at, view=view)

    def confirmed(self, turn: Turn, confirmation: bytes) -> None:
        """Check the confirmation of this node's answer. Raises what ends the link."""
        self.peer = check_confirmation(confirmation, self._pending, turn.now.wall, view=turn.node.trust)

    def say(self, turn: Turn, payload: HelloPayload) -> Hello:
        """Return this node's part, the confirmation or the answer.

        Raises CryptoError if no key may sign it.
        """
        node = turn.node
        signer = turn.parts.signer(node.trust.hello_key(node.uri, self._member, turn.now.wall))
        if self._dialled:
            return Hello(confirm_hello(self._pending, signer, payload))
        answer, self._pending = answer_hello(
            self._pending, self._bound(), signer, payload, random=turn.parts.random
        )
        return Hello(answer)

    def _bound(self) -> Channel:
        assert self.channel is not None  # noqa: S101 - there is no message before there is a stream
        return self.channel
