"""The connections to the node: one for each profile, shared by all pages, renewed after a failure."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from intelshare.client import Client, Profile
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.roles import Role
from intelshare.wire.v1 import user_pb2 as pb

T = TypeVar("T")

READERS: Final = frozenset((Role.ANALYST, Role.RELEASING_OFFICER))
"""The roles that see bulletins."""
OVERSEERS: Final = frozenset((Role.OPERATOR, Role.AUDITOR))
"""The roles that see the log and all counts."""
EVERYBODY: Final = READERS | OVERSEERS

_DOWN: Final = frozenset(("NODE_UNREACHABLE", "TLS_REFUSED"))
"""Errors after which the connection is made again: the node may have another port or key now."""
REFRESH: Final = 600.0
"""Seconds after which certificates are looked at."""


class Nodes(Protocol):
    """The node as documents see it. ``ask`` raises the errors of the client."""

    def ask(self, roles: frozenset[Role], question: Callable[[Client], T]) -> T:
        """Ask as the first user who has one of these roles. Raises DeliveryError NOT_AUTHORISED."""
        ...

    def may(self, roles: frozenset[Role]) -> bool:
        """Return whether a user has one of these roles."""
        ...

    def who(self) -> Sequence[pb.WhoAmIResponse]:
        """Return all users of this console."""
        ...


@dataclass(slots=True)
class _Seat:
    """One profile with its connection; ``who`` is known once the node has answered."""

    profile: Profile
    client: Client | None = None
    who: pb.WhoAmIResponse | None = None
    looked: float = 0.0


class NodeDesk:
    """The node of some profiles, all of one member. Any thread may ask."""

    def __init__(
        self,
        profiles: Sequence[Profile],
        connect: Callable[[Profile], Client],
        refresh: Callable[[Profile], object],
    ) -> None:
        self._seats = [_Seat(profile) for profile in profiles]
        self._connect, self._refresh = connect, refresh
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, roles: frozenset[Role], question: Callable[[Client], T]) -> T:
        """See ``Nodes``."""
        for seat in self._seats:
            if _role(self._known(seat)) in roles:
                return self._answer(seat, question)
        needed = " or ".join(sorted(roles))
        raise DeliveryError("NOT_AUTHORISED", f"this needs the role {needed}")

    def may(self, roles: frozenset[Role]) -> bool:
        """See ``Nodes``."""
        return any(_role(self._known(seat)) in roles for seat in self._seats)

    def who(self) -> Sequence[pb.WhoAmIResponse]:
        """See ``Nodes``."""
        return [self._known(seat) for seat in self._seats]

    def close(self) -> None:
        """Give the connections back."""
        self._closed = True
        for seat in self._seats:
            self._forget(seat)

    def _known(self, seat: _Seat) -> pb.WhoAmIResponse:
        if seat.who is None:
            seat.who = self._answer(seat, lambda client: client.whoami())
        return seat.who

    def _answer(self, seat: _Seat, question: Callable[[Client], T]) -> T:
        try:
            return question(self._client(seat))
        except IntelshareError as error:
            if error.code in _DOWN:
                self._forget(seat)
            raise
        except ValueError:
            # grpc's word for a channel that another thread has just given up.
            raise DeliveryError("NODE_UNREACHABLE", "the connection was given up") from None

    def _client(self, seat: _Seat) -> Client:
        with self._lock:
            if self._closed:
                raise DeliveryError("NODE_UNREACHABLE", "the console is ending")
            now = time.monotonic()
            if seat.client is not None and now - seat.looked > REFRESH:
                seat.looked = now
                # The certificate in use is good for days yet: what does not work now may in ten minutes.
                with contextlib.suppress(IntelshareError):
                    self._refresh(seat.profile)
                    seat.client.reconnect()
            if seat.client is None:
                seat.client, seat.looked = self._connect(seat.profile), now
            return seat.client

    def _forget(self, seat: _Seat) -> None:
        with self._lock:
            client, seat.client, seat.who = seat.client, None, None
        if client is not None:
            client.close()


def _role(who: pb.WhoAmIResponse) -> Any:
    return Role(who.role)
