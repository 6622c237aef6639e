"""``user``: who may use the node, and the enrolment or profile through which each user gets access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intelshare.cli.shared.completion import categories, clearances, members, users
from intelshare.cli.shared.confirm import confirm
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out
from intelshare.roles import Role

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.node.settings import Settings
    from intelshare.wire.v1 import user_pb2 as pb

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=CommandGroup)
def user() -> None:
    """Add, change, renew, list, revoke and restore your node's users."""


def _rights(*, new: bool) -> Callable[[F], F]:
    """Add the options for a user's entry in the register; for an existing user, omitted options change
    nothing.
    """

    def options(function: F) -> F:
        usual: dict[str, Any] = {"default": Role.ANALYST.value, "show_default": True} if new else {}
        for option in (
            click.option(
                "--person",
                metavar="ID",
                help="Number of the person in your personnel register. Rules that ask for two persons "
                "count persons. Default: the name.",
            ),
            click.option(
                "--subject",
                metavar="KIND:NAME",
                help="The user's name in certificates of another authority: email:, uri:, dns: or dn:.",
            ),
            click.option(
                "--category",
                "categories",
                multiple=True,
                shell_complete=categories,
                help="Category that the user needs to know; repeatable; * for all.",
            ),
            click.option(
                "--nationality",
                metavar="CODE",
                shell_complete=members,
                help="The user's nationality. Default: the member's." if new else "The user's own.",
            ),
            click.option(
                "--clearance",
                shell_complete=clearances,
                help="The highest level for the user, from the member's ladder or R0 to R4.",
            ),
            click.option(
                "--role",
                type=click.Choice([role.value for role in Role]),
                help="The user's role, which states what they may do.",
                **usual,
            ),
        ):
            function = option(function)
        return function

    return options


@dataclass(frozen=True, slots=True)
class ComingIn:
    """By what a user will come in, and where it is written."""

    here: bool | None
    """A profile on this machine; None: as the folder and the profile say."""
    request: Path | None
    """A certificate request of a key that is elsewhere."""
    target: Path | None
    address: str


def _coming_in(function: F) -> F:
    """The command gets ``coming``: an enrolment for another machine, a profile on this one, or a request."""

    @wraps(function)
    def command(
        *args: Any, here: bool | None, request: Path | None, target: Path | None, address: str, **given: Any
    ) -> Any:
        return function(*args, coming=ComingIn(here, request, target, address), **given)

    for option in (
        click.option(
            "--address",
            default="",
            metavar="HOST:PORT",
            help="Address at which the user will reach the node, if not from this machine. Of several "
            "replicas: all, separated by commas.",
        ),
        click.option(
            "--out",
            "target",
            type=click.Path(path_type=Path),
            help="Write to this file or folder. Default: below FOLDER/users.",
        ),
        click.option(
            "--request",
            "request",
            type=click.Path(dir_okay=False, exists=True, path_type=Path),
            help="Sign this certificate request (PKCS #10, PEM), and write the certificate to --out.",
        ),
        click.option(
            "--here/--elsewhere",
            "here",
            default=None,
            help="Make the key and a profile on this machine, or an enrolment for another machine. Default: "
            "--here for a development folder or if the profile is already on this machine.",
        ),
    ):
        command = option(command)
    return command  # type: ignore[return-value]


@user.command(
    epilog=examples(
        "intelshare user add a.petit --folder fra --clearance SECRET --category cyber --here",
        "intelshare user add c.roux --folder fra --role auditor --elsewhere --out c.roux.enrol",
        "intelshare user add d.vidal --folder fra --request d.vidal.csr --out d.vidal.crt",
    )
)
@click.argument("name")
@_rights(new=True)
@_coming_in
@printing
@on_folder
def add(
    node: NodeFolder,
    out: Out,
    name: str,
    role: str,
    clearance: str | None,
    nationality: str | None,
    categories: tuple[str, ...],
    subject: str | None,
    person: str | None,
    coming: ComingIn,
) -> None:
    """Register NAME (small letters, such as m.durand), and write an enrolment or a profile for this user.

    The user makes the key with `intelshare enrol FILE`, or you make it here for them. A name stands for one
    person: it cannot be added twice.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    member = _settings(node).member
    wanted = pb.NewUser(
        name=name,
        role=role,
        clearance=clearance or "",
        nationality=nationality or _state(member, node.folder),
        categories=categories,
        subject=subject or "",
        person=person or "",
    )
    _let_in(
        node,
        out,
        name,
        lambda request: ("AddUser", pb.AddUserRequest(user=wanted, request=request)),
        coming,
    )


@user.command(
    epilog=examples(
        "intelshare user change a.petit --folder fra --clearance R1 --category '*'",
    )
)
@click.argument("name", shell_complete=users)
@_rights(new=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def change(
    node: NodeFolder,
    out: Out,
    name: str,
    role: str | None,
    clearance: str | None,
    nationality: str | None,
    categories: tuple[str, ...],
    subject: str | None,
    person: str | None,
    yes: bool,
) -> None:
    """Change NAME's entry in the register at once. Whatever you do not give stays as it is, including the
    certificate.
    """
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    known = _known(node, name)
    wanted = pb.NewUser(
        name=name,
        role=role or known.role,
        clearance=known.clearance if clearance is None else clearance,
        nationality=known.nationality if nationality is None else nationality,
        categories=categories or known.categories,
        subject=known.subject if subject is None else subject,
        person=known.person if person is None else person,
    )
    changes, last = _differences(known, wanted), wanted.role != Role.OPERATOR and _is_last(node, name)
    if changes:
        confirm(f"{name}: {', '.join(changes)}.{_NO_OPERATOR * last} Continue?", yes=yes)
        known = node.operate("ChangeUser", pb.ChangeUserRequest(user=wanted))
    out.document("user", plain(known))
    out.line(f"{name}: {', '.join(changes) or 'nothing changed'}")
    if last:
        out.note(f"{_WITHOUT}`intelshare user change {name} --role operator --folder FOLDER`{_OR_ADD}")


@user.command(
    epilog=examples(
        "intelshare user renew m.durand --folder fra", "intelshare user renew operator --folder fra"
    )
)
@click.argument("name", shell_complete=users)
@_coming_in
@printing
@on_folder
def renew(node: NodeFolder, out: Out, name: str, coming: ComingIn) -> None:
    """Give NAME a new certificate or enrolment, and invalidate the previous certificates at once. The entry
    stays.

    Users renew their certificates automatically; use this for a certificate that has expired, was lost or may
    be known to others.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    _let_in(
        node,
        out,
        name,
        lambda request: ("RenewUser", pb.RenewUserRequest(name=name, request=request)),
        coming,
    )


@user.command(epilog=examples("intelshare user restore a.petit --folder fra"))
@click.argument("name", shell_complete=users)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_coming_in
@printing
@on_folder
def restore(node: NodeFolder, out: Out, name: str, yes: bool, coming: ComingIn) -> None:
    """Readmit NAME, who was revoked: the same person, with the same rights and a new certificate."""
    from intelshare.wire.v1 import user_pb2 as pb

    known = _known(node, name)
    rights = (
        f"{known.role}, clearance {known.clearance or 'none'}, {' '.join(known.categories) or 'no category'}"
    )
    confirm(f"Readmit {name} as {rights}?", yes=yes)
    _let_in(
        node,
        out,
        name,
        lambda request: ("RenewUser", pb.RenewUserRequest(name=name, request=request, restore=True)),
        coming,
    )


def _let_in(
    node: NodeFolder,
    out: Out,
    name: str,
    call: Callable[[bytes], tuple[str, Any]],
    coming: ComingIn,
) -> None:
    """Have the node issue a certificate for a key that is made here or elsewhere, or an enrolment ticket."""
    from intelshare.private_files import make_private_folder

    if coming.request is not None:
        _sign_request(node, out, call, coming.request, coming.target)
        return
    profile = coming.target or node.folder / "users" / name
    here = coming.here
    if here is None:
        here = node.is_development or (profile / "profile.toml").exists()
    if here and not _settings(node).user_authority:
        _make_profile(node, out, name, call, profile, coming.address)
    else:
        file = coming.target or profile.with_name(f"{name}.enrol")
        if coming.target is None:
            make_private_folder(file.parent)  # a restored folder has none
        _make_enrolment(node, out, name, call, file, coming.address)


def _sign_request(
    node: NodeFolder, out: Out, call: Callable[[bytes], tuple[str, Any]], request: Path, target: Path | None
) -> None:
    """Write the certificate for a key that the user holds elsewhere, on a smart card for instance."""
    from intelshare.cli.shared.files import write_new_file
    from intelshare.crypto.x509 import request_from_pem
    from intelshare.errors import ConfigError

    if target is None:
        raise ConfigError("USAGE", "a certificate needs a file", hint="--out FILE")
    given = node.operate(*call(request_from_pem(request.read_bytes())))
    write_new_file(target, given.certificate_pem)
    _document(out, given, certificate=target)
    out.line(f"{given.user.uri}  {given.user.role}")
    out.line(f"certificate {target}")


def _make_profile(
    node: NodeFolder,
    out: Out,
    name: str,
    call: Callable[[bytes], tuple[str, Any]],
    folder: Path,
    address: str,
) -> None:
    """Put a key and a certificate into a profile on this machine, new or already this user's."""
    import os

    from intelshare.client import Profile, profile_at, renew_profile, write_profile
    from intelshare.client.renewal import credentials_from
    from intelshare.crypto.x509 import request_key
    from intelshare.trust import dns_of

    settings = _settings(node)
    where = "" if address else os.path.relpath(node.folder.resolve(), folder.resolve())
    profile = Profile(folder, settings.member, name, address, where, dns_of(settings.node))
    there = profile_at(profile)
    made = request_key(os.urandom)
    given = node.operate(*call(made.request))
    credentials = credentials_from(given, made.key)
    moved = ""
    if there is None:
        write_profile(profile, credentials)
    else:
        # An address in it stays, unless another one is given: no folder names it.
        moved = renew_profile(there, there if there.address and not address else profile, credentials)
    _document(out, given, profile=folder)
    out.line(f"{given.user.uri}  {given.user.role}")
    out.line(f"profile {folder}")
    if moved:
        out.note(moved)
    out.note(f"try: intelshare whoami --as {folder}")


def _make_enrolment(
    node: NodeFolder, out: Out, name: str, call: Callable[[bytes], tuple[str, Any]], file: Path, address: str
) -> None:
    """Write a file for the user's machine, where the key will be made."""
    from intelshare.cli.shared.tables import short_time
    from intelshare.client.enrolment import Enrolment, check_place, write_enrolment

    settings = _settings(node)
    check_place(file, name)
    given = node.operate(*call(b""))
    expires = short_time(given.expires) or "never"
    enrolment = Enrolment(
        settings.member,
        given.user.name,
        address,
        "" if address else str(node.folder.resolve()),
        given.server_name,
        expires,
        given.node_authority_pem,
        given.ticket_pem,
    )
    write_enrolment(file, enrolment)
    _document(out, given, enrolment=file)
    out.line(f"{given.user.uri}  {given.user.role}")
    out.line(f"enrolment {file}, valid until {expires}")
    if given.ticket_pem:
        out.note(f"on the user's machine: intelshare enrol {file.name}")
    else:
        out.note(
            "another authority issues the certificate, so run: intelshare enrol FILE --certificate C --key K"
        )
    if not address:
        out.note("it names this machine's folder: for another machine give --address HOST:PORT")


def _document(
    out: Out,
    given: pb.UserCredential,
    *,
    profile: Path | None = None,
    enrolment: Path | None = None,
    certificate: Path | None = None,
) -> None:
    """Whom the register knows now, and what was written for them to come in with."""
    from intelshare.cli.shared.plain import plain, time_text

    written = {"profile": profile, "enrolment": enrolment, "certificate_file": certificate}
    out.document(
        "user-credential",
        {
            **plain(given.user),
            **{what: None if path is None else str(path) for what, path in written.items()},
            "expires": time_text(given.expires),
        },
    )


def _known(node: NodeFolder, name: str) -> pb.User:
    """Return the user's row. Raises ConfigError NOT_FOUND."""
    from intelshare.errors import ConfigError
    from intelshare.wire.v1 import user_pb2 as pb

    for row in node.operate("ListUsers", pb.ListUsersRequest()).users:
        if row.name == name:
            found: pb.User = row
            return found
    raise ConfigError(
        "NOT_FOUND",
        f"the register has no user {name}",
        hint="`intelshare user list` shows the register; `intelshare user add` adds a user",
    )


def _differences(known: pb.User, wanted: pb.NewUser) -> list[str]:
    pairs = [
        (what, getattr(known, what), getattr(wanted, what))
        for what in ("role", "clearance", "nationality", "subject", "person")
    ]
    pairs.append(("categories", " ".join(known.categories), " ".join(wanted.categories)))
    return [f"{what} {old or 'none'} becomes {new or 'none'}" for what, old, new in pairs if old != new]


@user.command("list", epilog=examples("intelshare user list --folder fra"))
@printing
@on_folder
def list_(node: NodeFolder, out: Out) -> None:
    """List the users with role, clearance and need to know."""
    from intelshare.cli.shared.operator_tables import user_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListUsers", pb.ListUsersRequest())
    out.document("users", plain(found))
    out.table(user_table(found.users))


@user.command(epilog=examples("intelshare user revoke a.petit --folder fra"))
@click.argument("name", shell_complete=users)
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def revoke(node: NodeFolder, out: Out, name: str, yes: bool) -> None:
    """Revoke NAME's access at once. The entry stays in the register.

    After the last operator whoever has the folder and the passphrase still gives commands with --folder.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    last = _is_last(node, name)
    what = f"They will no longer be able to read or send anything.{_NO_OPERATOR * last}"
    confirm(f"Revoke {name}? {what}", yes=yes)
    node.operate("RevokeUser", pb.RevokeUserRequest(name=name))
    out.document("revoked", {"name": name})
    out.line(f"{name} revoked")
    if last:
        out.note(f"{_WITHOUT}`intelshare user restore {name} --folder FOLDER`{_OR_ADD}")


_NO_OPERATOR = " No operator is left then."
_WITHOUT = (
    "no operator is left: whoever has the data folder and the vault's passphrase still gives every command "
    "of an operator. For another one: "
)
_OR_ADD = ", or `intelshare user add NAME --role operator --folder FOLDER`"


def _is_last(node: NodeFolder, name: str) -> bool:
    """Return true if nobody else is an operator, and this user is."""
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListUsers", pb.ListUsersRequest()).users
    return [one.name for one in found if one.role == Role.OPERATOR and not one.revoked] == [name]


def _settings(node: NodeFolder) -> Settings:
    from intelshare.node.settings_file import read_settings

    return read_settings(node.folder / "node.toml")


def _state(member: str, folder: Path) -> str:
    """Return the member if it is a state; an organisation's staff have a nationality that must be given."""
    from intelshare.cli.shared.beside import registry_of

    return member if registry_of(folder).is_state(member) else ""
