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
    """PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What one consumer, and all together, may ask for."""

    page: int = 500
    """Objects in one answer."""
    page_bytes: int = 8 << 20
    """Bytes of objects in one answer; one object goes whatever it takes."""
    requests: int = 300
    """Of one consumer in a minute; refused logins of all together are counted alike."""
    connections: int = 128


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """A tool that comes in with a token, and what it may have."""

    name: str
    token_sha256: str
    """64 hexadecimal digits: of a token with at least 128 random bits, as `gateway token` makes them."""
    clearance: str
    nationality: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All of it."""

    host: str
    port: int
    """0: any that is free."""
    url: str
    """What tools call it: scheme, host and port; empty: as it listens."""
    tls: Tls | None
    state: Path
    """A folder for the dates under which bulletins were given out, and nothing else of them."""
    consumers: tuple[ConsumerSettings, ...]
    limits: Limits


def parse_settings(text: str, name: str, here: Path) -> GatewaySettings:
    """The settings of a file; paths in it are relative to ``here``.

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
            "tokens would cross the network in clear: give [tls] or listen on 127.0.0.1",
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
    """Whether a host or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _consumers(top: Table) -> tuple[ConsumerSettings, ...]:
    found: list[ConsumerSettings] = []
    for row in top.tables("consumer"):
        digest = row.text("token_sha256")
        if len(digest) != 64 or not _DIGEST_LETTERS.issuperset(digest):
            row.fail("FIELD_RANGE", "64 small hexadecimal digits are expected", "token_sha256")
        one = ConsumerSettings(
            row.text("name"),
            digest,
            row.text_or("clearance", ""),
            row.text_or("nationality", ""),
            row.texts("categories"),
        )
        if one.name in [other.name for other in found] or digest in [other.token_sha256 for other in found]:
            row.fail("FIELD_RANGE", "two consumers have this name or this token", "name")
        row.close()
        found.append(one)
    if not 1 <= len(found) <= MAX_CONSUMERS:
        top.fail("FIELD_RANGE", f"there are 1 to {MAX_CONSUMERS} consumers: [[consumer]]")
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
        table.fail("FIELD_RANGE", f"{least} to {most} is expected", name)
    return value
