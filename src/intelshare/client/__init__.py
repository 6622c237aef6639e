"""The Python client library: profiles, the connection to the own node, and the spool of what was sent.

``Client`` is imported on first use: grpc takes 70 ms that a command which does not talk need not wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intelshare.client.profile import (
    Profile,
    address_of,
    choose_profile,
    find_profile,
    read_profile,
    renew_profile,
    running_address,
    write_profile,
)
from intelshare.client.spool import Spooled, answered, forget, new_key, parse_key, remember, show_key, spooled

if TYPE_CHECKING:
    from intelshare.client.connection import Client

__all__ = [
    "Client",
    "Profile",
    "Spooled",
    "address_of",
    "answered",
    "choose_profile",
    "find_profile",
    "forget",
    "new_key",
    "parse_key",
    "read_profile",
    "remember",
    "renew_profile",
    "running_address",
    "show_key",
    "spooled",
    "write_profile",
]

_LAZY = ("Client",)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from intelshare.client import connection

        return getattr(connection, name)
    raise AttributeError(name)
