"""The Python client library: profiles, the connection to a user's node, and the spool of what was sent.

``Client`` and ``AsyncClient`` are imported on first use: importing grpc takes 70 ms, which a command that
does not talk to a node can save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intelshare.client.profile import (
    Credentials,
    Profile,
    address_of,
    choose_profile,
    find_profile,
    passed_over,
    profile_at,
    read_credentials,
    read_profile,
    renew_profile,
    replace_credentials,
    running_address,
    usual_profile,
    write_profile,
)
from intelshare.client.spool import (
    Draft,
    Spooled,
    answered,
    answering_batch,
    digest_key,
    forget,
    new_key,
    parse_key,
    remember,
    remember_batch,
    show_key,
    spooled,
)

if TYPE_CHECKING:
    from intelshare.client.asynchronous import AsyncClient
    from intelshare.client.attempts import NOT_HERE
    from intelshare.client.batch import DraftOutcome
    from intelshare.client.connection import Client, content_digest
    from intelshare.client.shared import shared_of

__all__ = [
    "NOT_HERE",
    "AsyncClient",
    "Client",
    "Credentials",
    "Draft",
    "DraftOutcome",
    "Profile",
    "Spooled",
    "address_of",
    "answered",
    "answering_batch",
    "choose_profile",
    "content_digest",
    "digest_key",
    "find_profile",
    "forget",
    "new_key",
    "parse_key",
    "passed_over",
    "profile_at",
    "read_credentials",
    "read_profile",
    "remember",
    "remember_batch",
    "renew_profile",
    "replace_credentials",
    "running_address",
    "shared_of",
    "show_key",
    "spooled",
    "usual_profile",
    "write_profile",
]

_LAZY = {
    "AsyncClient": "asynchronous",
    "Client": "connection",
    "DraftOutcome": "batch",
    "NOT_HERE": "attempts",
    "content_digest": "connection",
    "shared_of": "shared",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"intelshare.client.{_LAZY[name]}"), name)
    raise AttributeError(name)
