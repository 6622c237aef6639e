"""Names of peers: what may be dialled, and a name server that hangs (row 73, finding S6)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import pytest

from intelshare.errors import DeliveryError
from intelshare.ids import MemberCode
from intelshare.node.resolve import Resolver, forbidden
from intelshare.trust import Endpoint

FRA, USA = MemberCode("FRA"), MemberCode("USA")

FORBIDDEN = [
    "127.0.0.1",
    "127.1.2.3",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fe80::1",
    "100.100.100.200",
    "fd00:ec2::254",
    "0.0.0.0",  # noqa: S104
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "2001:0:7f00:1:0:0:80ff:fffe",
]

ALLOWED = [
    "192.0.2.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "2001:db8::1",
    "2002:a01:203::",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_peer_can_be_there(address: str) -> None:
    assert forbidden(ipaddress.ip_address(address), allow_loopback=False)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_peer_can_be_there(address: str) -> None:
    assert not forbidden(ipaddress.ip_address(address), allow_loopback=False)


def test_loopback_is_for_one_machine_only() -> None:
    assert not forbidden(ipaddress.ip_address("127.0.0.1"), allow_loopback=True)
    assert forbidden(ipaddress.ip_address("169.254.169.254"), allow_loopback=True)


async def test_a_forbidden_address_is_said_with_its_setting() -> None:
    with pytest.raises(DeliveryError) as caught:
        await Resolver(allow_loopback=False).target(FRA, Endpoint("127.0.0.1", 7443))
    assert caught.value.code == "ADDRESS_FORBIDDEN"
    assert await Resolver(allow_loopback=True).target(FRA, Endpoint("::1", 7443)) == "ipv6:[::1]:7443"


async def test_a_name_server_that_hangs_holds_up_its_own_member_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, asked = threading.Event(), []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host.startswith("slow"):
            go.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("intelshare.node.resolve.DEADLINE", 0.1)
    resolver = Resolver(allow_loopback=False)
    try:
        slow = [resolver.target(FRA, Endpoint(f"slow{n}.example", 1)) for n in range(40)]
        ended = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(one, OSError) for one in ended)
        assert len(asked) == 4, "the others did not even get a thread"
        assert await resolver.target(USA, Endpoint("quick.example", 7443)) == "ipv4:192.0.2.7:7443"
        with pytest.raises(OSError, match="still being looked up"):
            await resolver.target(FRA, Endpoint("quick.example", 7443))
    finally:
        go.set()


async def test_a_name_that_is_none_is_an_error_of_its_own_at_once() -> None:
    """In the thread it would be a defect of this node, and the dial would wait for nothing."""
    with pytest.raises(OSError, match="is not a name that can be looked up"):
        await Resolver(allow_loopback=False).target(FRA, Endpoint("a" * 64 + ".example", 7443))


async def test_a_name_without_an_address_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="not known"):
        await Resolver(allow_loopback=False).target(FRA, Endpoint("nobody.example", 1))
