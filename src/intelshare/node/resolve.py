"""Looks up the addresses of peers' host names, and checks which of them may be dialled.

Whoever runs the name server of a directory's names controls the answers: look-ups are limited per member,
have a deadline, and run in separate threads that nothing else waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Final

from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.trust import Endpoint

DEADLINE: Final = 5.0
"""The seconds for one name."""

_AT_ONCE: Final = 4
"""The most look-ups of one member at once; one that hangs counts until the system gives up on it."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_METADATA: Final = frozenset(ipaddress.ip_address(text) for text in ("100.100.100.200", "fd00:ec2::254"))
"""The addresses at which clouds give a machine its secrets, besides the link-local 169.254.169.254."""


class Resolver:
    """The look-ups of one node. Used in the event loop."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback
        self._busy: dict[MemberCode, list[threading.Thread]] = {}

    async def target(self, member: MemberCode, endpoint: Endpoint) -> str:
        """Return an address that gRPC does not look up again: the checked address is the one that is dialled.

        Raises OSError if there is none in time; DeliveryError ADDRESS_FORBIDDEN.
        """
        found = await self._addresses(member, endpoint.host)
        if not found:
            raise OSError(f"{endpoint.host} has no address")
        address = found[0]
        if forbidden(address, allow_loopback=self._allow_loopback):
            raise DeliveryError(
                "ADDRESS_FORBIDDEN",
                f"{endpoint.host} is {address}, which a peer may not have",
                hint="to allow peers on this machine, set allow_loopback_peers = true in node.toml",
            )
        return f"ipv{address.version}:{f'[{address}]' if address.version == 6 else address}:{endpoint.port}"

    async def _addresses(self, member: MemberCode, host: str) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        busy = self._busy[member] = [one for one in self._busy.get(member, ()) if one.is_alive()]
        if len(busy) >= _AT_ONCE:
            raise OSError(f"{len(busy)} earlier names of {member} are still being looked up")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Address]] = loop.create_future()

        def tell(found: list[Address] | OSError) -> None:
            if answered.done():
                return
            if isinstance(found, OSError):
                answered.set_exception(found)
            else:
                answered.set_result(found)

        def look_up() -> None:
            found: list[Address] | OSError
            try:
                rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                found = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows]
            except OSError as error:
                found = error
            except ValueError as error:  # such as a label that is too long for a name
                found = OSError(f"{host} is not a name that can be looked up: {error}")
            with contextlib.suppress(RuntimeError):  # The loop is gone, and nobody needs the answer any more.
                loop.call_soon_threadsafe(tell, found)

        # Nobody waits for the thread at the end: a hanging name server must not keep the process alive.
        thread = threading.Thread(target=look_up, name=f"resolve {member}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(f"{host} cannot be looked up: {error}") from None
        busy.append(thread)
        try:
            return await asyncio.wait_for(answered, DEADLINE)
        except TimeoutError:
            raise OSError(f"{host} was not looked up in {DEADLINE:g} s") from None


def forbidden(address: Address, *, allow_loopback: bool) -> bool:
    """Return true if no peer may be there: this machine, its link, nowhere, a cloud's metadata; in any
    encoding.
    """
    address = _unwrapped(address)
    if address.is_loopback:
        return not allow_loopback
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in _METADATA
    )


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for (RFC 4291, 3056, 4380, 6052), or else the
    address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
