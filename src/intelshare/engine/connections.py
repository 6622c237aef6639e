"""Connections: who may hold one to a port, decided before TLS: how many, from where, how fast, how long.

A stranger costs at most one slot until its time to prove its identity is over, and a member that has proved
its identity is never turned out for a stranger. Rows 80 to 82 of the attacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from intelshare.instant import SECOND, Instant

Address = IPv4Address | IPv6Address

_ADDRESSES: Final = 4096
"""The most addresses whose pace is remembered; beyond that, those idle the longest are forgotten."""

_SITE: Final = 64
"""The bits of an IPv6 address that are one customer's network, which has all addresses below."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The bounds of one port."""

    connections: int = 256
    """The most connections at once."""
    unknown: int = 64
    """The most of those that have not proved their identity yet."""
    of_address: int = 64
    """The most from one address, or from one /64 network of IPv6."""
    of_one: int = 32
    """The most of one peer node or one user; a further one ends the oldest."""
    each_second: int = 64
    """New unproved connections per second from one address; twice as many in a burst."""
    prove: int = 10 * SECOND
    """The time for a connection to finish TLS and make a call with a valid certificate."""
    silence: int = 90 * SECOND
    """The longest time without a byte either way; an open link sends something every 15 seconds."""


class Reason(StrEnum):
    """The reason why a connection was turned away, or ended."""

    FULL = "full"
    """The port has as many connections as it may, all of them proved."""
    OF_ADDRESS = "of_address"
    OF_ONE = "of_one"
    PACE = "pace"
    CROWDED_OUT = "crowded_out"
    """It had not proved its identity, and another connection came."""
    UNPROVED = "unproved"
    SILENT = "silent"
    NO_TLS = "no_tls"
    """Its first byte does not start a TLS handshake."""
    NO_DESCRIPTOR = "no_descriptor"
    """The process or the system has no descriptor, memory or socket left."""


@dataclass(slots=True)
class _Visitor:
    site: Address
    came: Instant
    heard: Instant
    who: str = ""
    """Empty: not proved yet."""


class Connections:
    """The connections of one port. Every method takes the present monotonic time, which never goes back."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.ended: Counter[Reason] = Counter()
        """The number of connections turned away or ended since the start, by reason."""
        self._inside: dict[int, _Visitor] = {}
        self._of_site: Counter[Address] = Counter()
        self._pace: dict[Address, tuple[float, Instant]] = {}
        self._unknown: dict[int, None] = {}
        self._of_one: dict[str, dict[int, None]] = {}
        self._last = 0

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._inside)

    @property
    def unknown(self) -> int:
        """The number of open connections without proof."""
        return len(self._unknown)

    def arrive(self, address: Address, now: Instant) -> tuple[int, tuple[int, ...]] | Reason:
        """Admit a connection: return its number and those that must end for it, or why it is turned away."""
        site = _site(address)
        if not self._in_time(site, now):
            return self._turned_away(Reason.PACE)
        if self._of_site[site] >= self.limits.of_address:
            return self._turned_away(Reason.OF_ADDRESS)
        ending: tuple[int, ...] = ()
        if self.unknown >= self.limits.unknown or self.open >= self.limits.connections:
            if not self._unknown:
                return self._turned_away(Reason.FULL)
            ending = (self._most_crowded(),)
            self.end(ending[0], Reason.CROWDED_OUT)
        self._last += 1
        self._inside[self._last] = _Visitor(site, now, now)
        self._unknown[self._last] = None
        self._of_site[site] += 1
        return self._last, ending

    def turn_away(self, reason: Reason) -> None:
        """Count a connection that was never admitted."""
        self.ended[reason] += 1

    def proved(self, number: int, who: str) -> tuple[int, ...]:
        """Note that this connection proved to be ``who``; return those that must end for it."""
        if number not in self._unknown:
            return ()
        del self._unknown[number]
        visitor = self._inside[number]
        visitor.who = who
        self._give_back(visitor.site)
        theirs = self._of_one.setdefault(who, {})
        theirs[number] = None
        if len(theirs) <= self.limits.of_one:
            return ()
        oldest = next(iter(theirs))
        self.end(oldest, Reason.OF_ONE)
        return (oldest,)

    def heard(self, number: int, now: Instant) -> None:
        """Note that bytes came or went."""
        visitor = self._inside.get(number)
        if visitor is not None:
            visitor.heard = now

    def end(self, number: int, reason: Reason | None = None) -> None:
        """Note that the connection is over; ``reason`` if this side ended it."""
        visitor = self._inside.pop(number, None)
        if visitor is None:
            return
        self._unknown.pop(number, None)
        if (theirs := self._of_one.get(visitor.who)) is not None:
            theirs.pop(number, None)
            if not theirs:
                del self._of_one[visitor.who]
        self._of_site[visitor.site] -= 1
        if not self._of_site[visitor.site]:
            del self._of_site[visitor.site]
        if reason is not None:
            self.ended[reason] += 1

    def due(self, now: Instant) -> tuple[tuple[int, Reason], ...]:
        """End and return the connections whose time is over."""
        over = tuple(self._over(now))
        for number, reason in over:
            self.end(number, reason)
        return over

    def _over(self, now: Instant) -> Iterator[tuple[int, Reason]]:
        for number, visitor in self._inside.items():
            if not visitor.who and now - visitor.came >= self.limits.prove:
                yield number, Reason.UNPROVED
            elif now - visitor.heard >= self.limits.silence:
                yield number, Reason.SILENT

    def _turned_away(self, reason: Reason) -> Reason:
        self.turn_away(reason)
        return reason

    def _in_time(self, site: Address, now: Instant) -> bool:
        """Take one of the site's tokens, of which ``each_second`` come back per second."""
        most = 2.0 * self.limits.each_second
        tokens, then = self._pace.pop(site, (most, now))
        tokens = min(most, tokens + (now - then) / SECOND * self.limits.each_second)
        while len(self._pace) >= _ADDRESSES:
            del self._pace[next(iter(self._pace))]
        self._pace[site] = (tokens - 1 if tokens >= 1 else tokens), now
        return tokens >= 1

    def _give_back(self, site: Address) -> None:
        """Return a token: a site that has proved its identity may come as often as it likes."""
        if site in self._pace:
            tokens, then = self._pace[site]
            self._pace[site] = tokens + 1, then

    def _most_crowded(self) -> int:
        """Return the oldest unproved connection from the site that has most of them."""
        sites = Counter(self._inside[number].site for number in self._unknown)
        most = max(sites.values())
        return next(n for n in self._unknown if sites[self._inside[n].site] == most)


def _site(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv6Address(int(address) >> (128 - _SITE) << (128 - _SITE))
