"""An enrolment: the file with which a new user gets a first certificate, for a key that the user makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from intelshare.client.profile import (
    Credentials,
    Profile,
    profile_at,
    read_table,
    renew_profile,
    write_profile,
)
from intelshare.client.renewal import ask_for_certificate, first_use
from intelshare.errors import ConfigError, IntelshareError, Place

_FIELDS = frozenset(
    ("member", "user", "address", "node_folder", "server_name", "expires", "ticket", "authority")
)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A file that lets one user get a first certificate, once."""

    member: str
    user: str
    address: str
    """The ``host:port`` of the user port; empty: as in ``run.json`` of ``node_folder``."""
    node_folder: str
    server_name: str
    expires: str
    """The expiry, for people; the node reads it from the ticket."""
    authority: bytes
    """The PEM certificate of the authority by which the user verifies the node."""
    ticket: bytes = field(repr=False)
    """A certificate and its key in PEM, valid only for fetching a certificate; empty if another authority
    issues them.
    """


def check_place(path: Path, user: str) -> None:
    """Check that the path is free or has an earlier enrolment of this user. Raises ConfigError
    ID_CONFLICT.
    """
    if not (path.exists() or path.is_symlink()):
        return
    try:
        if read_enrolment(path).user == user:
            return
    except IntelshareError:
        pass
    raise _taken(path)


def write_enrolment(path: Path, enrolment: Enrolment) -> None:
    """Write the file, mode 0600, replacing an earlier one of this user. Raises ConfigError ID_CONFLICT;
    OSError.
    """
    check_place(path, enrolment.user)
    path.unlink(missing_ok=True)
    where = (
        f'address = "{enrolment.address}"'
        if enrolment.address
        else f'node_folder = "{enrolment.node_folder}"'
    )
    text = f"""# `intelshare enrol FILE` makes a profile from this file, once, before it expires.
# Until then it is as sensitive as a key: give it to its user over a private channel.
member = "{enrolment.member}"
user = "{enrolment.user}"
{where}
server_name = "{enrolment.server_name}"
expires = "{enrolment.expires}"
authority = \"\"\"
{enrolment.authority.decode()}\"\"\"
ticket = \"\"\"
{enrolment.ticket.decode()}\"\"\"
"""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _taken(path) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def read_enrolment(path: Path) -> Enrolment:
    """Return the enrolment in a file. Raises ConfigError NOT_FOUND, UNSAFE_FILE, FILE_SYNTAX, FIELD_*."""
    try:
        table = read_table(path, _FIELDS, secret=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "NOT_FOUND",
            "there is no such file",
            place=Place(str(path)),
            hint="an operator makes one with `intelshare user add`",
        ) from None
    for name in sorted(_FIELDS - {"address", "node_folder", "ticket"}):
        if not table.get(name):
            raise ConfigError("FIELD_RANGE", f"{name} is missing", place=Place(str(path), field=name))
    return Enrolment(
        member=table["member"],
        user=table["user"],
        address=table.get("address", ""),
        node_folder=table.get("node_folder", ""),
        server_name=table["server_name"],
        expires=table["expires"],
        authority=table["authority"].encode(),
        ticket=table.get("ticket", "").encode(),
    )


def enrol(
    enrolment: Enrolment,
    folder: Path,
    given: Credentials | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Profile:
    """Make a key, get a certificate for it, and put both into the profile in this folder, new or already the
    user's, which then finds the node where this enrolment does.

    ``given``: a certificate of another authority, and its key. ``say`` is told if the node was elsewhere
    before. Raises ConfigError ID_CONFLICT if the folder
    contains something else, ISSUED_ELSEWHERE, NOT_AUTHORISED or TLS_REFUSED if the ticket no longer counts,
    and what a call of ``Client`` raises.
    """
    profile = Profile(
        folder,
        enrolment.member,
        enrolment.user,
        enrolment.address,
        enrolment.node_folder,
        enrolment.server_name,
    )
    there = profile_at(profile)
    credentials = given or _fetched(profile, enrolment)
    if there is None:
        write_profile(profile, credentials)
    elif moved := renew_profile(there, profile, credentials):
        say(moved)
    first_use(profile)
    return profile


def _fetched(profile: Profile, enrolment: Enrolment) -> Credentials:
    from intelshare.client.connection import Client

    if not enrolment.ticket:
        raise ConfigError(
            "ISSUED_ELSEWHERE",
            "another authority issues the certificate",
            hint="give --certificate FILE and --key FILE from that authority",
        )
    ticket = Credentials(enrolment.ticket, enrolment.authority, enrolment.ticket)
    try:
        with Client(profile, credentials=ticket) as client:
            return ask_for_certificate(client)
    except IntelshareError as error:
        # A ticket has no role that anybody could look up, and no profile that `doctor` could check.
        if error.code not in ("NOT_AUTHORISED", "TLS_REFUSED"):
            raise
        raise ConfigError(
            error.code,
            f"the node does not take this enrolment, which counts once, until {enrolment.expires}, and until "
            "another one is made",
            hint=f"ask an operator for another: `intelshare user renew {enrolment.user}`; if this is new, "
            "compare this machine's clock with the node's",
        ) from error


def _taken(path: Path) -> ConfigError:
    return ConfigError(
        "ID_CONFLICT",
        "the file already exists",
        place=Place(str(path)),
        hint="name another file with --out",
    )
