"""The settings of a gateway, from one TOML file that its operator owns."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intelshare.toml import Table, read_table

MAX_CONSUMERS: Final = 64
_DIGEST_LETTERS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files for TLS."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on requests of one consumer, and of all together."""

    page: int = 500
    """The objects in one answer."""
    page_bytes: int = 8 << 20
    """The bytes of objects in one answer; a single object is sent whatever its size."""
    requests: int = 300
    """The requests of one consumer per minute; refused logins of all consumers together have the same
    limit.
    """
    connections: int = 128


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """A tool that logs in with a token, and what it may have."""

    name: str
    token_sha256: str
    """64 hexadecimal digits: the digest of a token with at least 128 random bits, such as `gateway token`
    makes.
    """
    clearance: str
    nationality: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All settings of a gateway."""

    host: str
    port: int
    """0: any free port."""
    url: str
    """The address that tools use: scheme, host and port; empty: the address on which the gateway listens."""
    tls: Tls | None
    state: Path
    """A folder for the dates under which bulletins were given out, and nothing else about them."""
    consumers: tuple[ConsumerSettings, ...]
    limits: Limits


def parse_settings(text: str, name: str, here: Path) -> GatewaySettings:
    """Return the settings in a file; its paths are relative to ``here``.

    Raises PolicyFileError with the place of what is wrong.
    """
    top = read_table(text, name)
    host = top.text_or("host", "127.0.0.1")
    tls = None
    if top.has("tls"):
        table = top.table("tls")
        tls = Tls(here / table.text("certificate"), here / table.text("key"))
        table.close()
    if tls is None and not is_loopback(host):
        top.fail(
            "FIELD_RANGE",
            "tokens would cross the network in the clear: give [tls] or listen on 127.0.0.1",
            "host",
        )
    settings = GatewaySettings(
        host=host,
        port=_within(top, "port", 6380, 0, 65535),
        url=top.text_or("url", "").rstrip("/"),
        tls=tls,
        state=here / top.text_or("state", "gateway-state"),
        consumers=_consumers(top),
        limits=_limits(top),
    )
    top.close()
    return settings


def is_loopback(host: str) -> bool:
    """Return true if a host or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _consumers(top: Table) -> tuple[ConsumerSettings, ...]:
    found: list[ConsumerSettings] = []
    for row in top.tables("consumer"):
        digest = row.text("token_sha256")
        if len(digest) != 64 or not _DIGEST_LETTERS.issuperset(digest):
            row.fail("FIELD_RANGE", "must be 64 lower-case hexadecimal digits", "token_sha256")
        one = ConsumerSettings(
            row.text("name"),
            digest,
            row.text_or("clearance", ""),
            row.text_or("nationality", ""),
            row.texts("categories"),
        )
        if one.name in [other.name for other in found] or digest in [other.token_sha256 for other in found]:
            row.fail("FIELD_RANGE", "another consumer has this name or this token", "name")
        row.close()
        found.append(one)
    if not 1 <= len(found) <= MAX_CONSUMERS:
        top.fail("FIELD_RANGE", f"there must be 1 to {MAX_CONSUMERS} consumers: [[consumer]]")
    return tuple(found)


def _limits(top: Table) -> Limits:
    if not top.has("limits"):
        return Limits()
    table = top.table("limits")
    limits = Limits(
        page=_within(table, "page", 500, 1, 5000),
        page_bytes=_within(table, "page_bytes", 8 << 20, 1 << 16, 64 << 20),
        requests=_within(table, "requests", 300, 1, 100_000),
        connections=_within(table, "connections", 128, 1, 10_000),
    )
    table.close()
    return limits


def _within(table: Table, name: str, usual: int, least: int, most: int) -> int:
    value = table.integer_or(name, usual)
    if not least <= value <= most:
        table.fail("FIELD_RANGE", f"must be {least} to {most}", name)
    return value
