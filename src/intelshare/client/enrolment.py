"""An enrolment: the file by which a new user comes to a first certificate, with a key that the user makes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from intelshare.client.profile import (
    Credentials,
    Profile,
    profile_at,
    read_table,
    replace_credentials,
    write_profile,
)
from intelshare.client.renewal import ask_for_certificate, first_use
from intelshare.errors import ConfigError, IntelshareError, Place

_FIELDS = frozenset(
    ("member", "user", "address", "node_folder", "server_name", "expires", "ticket", "authority")
)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A file that lets one user have a first certificate, once."""

    member: str
    user: str
    address: str
    """``host:port`` of the user port; empty: as ``run.json`` of ``node_folder`` says."""
    node_folder: str
    server_name: str
    expires: str
    """For people; the ticket itself says it to the node."""
    authority: bytes
    """PEM: by what the node is known."""
    ticket: bytes = field(repr=False)
    """PEM of a certificate and its key, good for nothing but this; empty where another authority issues."""


def check_place(path: Path, user: str) -> None:
    """Return if nothing is there but an earlier enrolment of this user. Raises ConfigError ID_CONFLICT."""
    if not (path.exists() or path.is_symlink()):
        return
    try:
        if read_enrolment(path).user == user:
            return
    except IntelshareError:
        pass
    raise _taken(path)


def write_enrolment(path: Path, enrolment: Enrolment) -> None:
    """Write the file, 0600, in the place of an earlier one of this user. ConfigError ID_CONFLICT; OSError."""
    check_place(path, enrolment.user)
    path.unlink(missing_ok=True)
    where = (
        f'address = "{enrolment.address}"'
        if enrolment.address
        else f'node_folder = "{enrolment.node_folder}"'
    )
    text = f"""# `intelshare enrol FILE` makes a profile of it, once, before it expires.
# Until then it is as good as a key: give it to its user by a way that nobody else sees.
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


def read_enrolment(path: Path) -> Enrolment:
    """The enrolment in a file. Raises ConfigError NOT_FOUND, UNSAFE_FILE, FILE_SYNTAX, FIELD_*."""
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


def enrol(enrolment: Enrolment, folder: Path, given: Credentials | None = None) -> Profile:
    """Make a key, have a certificate of it, and put both into the profile of this folder, new or the user's.

    ``given``: a certificate of another authority, and its key. Raises ConfigError ID_CONFLICT if something
    else is there, ISSUED_ELSEWHERE, and what a call of ``Client`` raises.
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
    (replace_credentials if there else write_profile)(profile, credentials)
    first_use(profile)
    return profile


def _fetched(profile: Profile, enrolment: Enrolment) -> Credentials:
    from intelshare.client.connection import Client

    if not enrolment.ticket:
        raise ConfigError(
            "ISSUED_ELSEWHERE",
            "the certificate comes from another authority",
            hint="--certificate FILE and --key FILE, as it issued them",
        )
    ticket = Credentials(enrolment.ticket, enrolment.authority, enrolment.ticket)
    with Client(profile, credentials=ticket) as client:
        return ask_for_certificate(client)


def _taken(path: Path) -> ConfigError:
    return ConfigError(
        "ID_CONFLICT",
        "there is a file already",
        place=Place(str(path)),
        hint="name another with --out",
    )
