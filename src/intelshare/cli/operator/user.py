"""``user``: who may use the own node, and the profile folder that each of them gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.completion import members
from intelshare.cli.shared.confirm import confirm
from intelshare.cli.shared.help import Group, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out
from intelshare.roles import Role

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.wire.v1 import user_pb2 as pb


@click.group(cls=Group)
def user() -> None:
    """Add, renew, list and revoke users of the own node."""


@user.command(
    epilog=examples(
        "intelshare user add a.petit --folder fra --clearance SECRET --category cyber",
        "intelshare user add c.roux --folder fra --role releasing-officer --clearance SECRET",
    )
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ANALYST.value,
    show_default=True,
    help="What the user may do.",
)
@click.option("--clearance", default="", help="A level of the member's own ladder, or R0 to R4.")
@click.option(
    "--nationality",
    default="",
    metavar="CODE",
    shell_complete=members,
    help="The user's own; else the member's.",
)
@click.option("--category", "categories", multiple=True, help="Need to know; repeatable; * for all.")
@click.option(
    "--address", default="", metavar="HOST:PORT", help="Where the user will call, if not on this machine."
)
@click.option(
    "--out", "target", type=click.Path(path_type=Path), help="The new profile folder; else FOLDER/users/NAME."
)
@printing
@on_folder
def add(
    node: NodeFolder,
    out: Out,
    name: str,
    role: str,
    clearance: str,
    nationality: str,
    categories: tuple[str, ...],
    address: str,
    target: Path | None,
) -> None:
    """Register NAME (small letters, as m.durand) and write a profile folder with certificate and key.

    Of a user who is there already the register keeps what is given now; `user renew` changes nothing in it.
    """
    from intelshare.node.settings import read_settings
    from intelshare.wire.v1 import user_pb2 as pb

    settings = read_settings(node.folder / "node.toml")
    wanted = pb.NewUser(
        name=name,
        role=role,
        clearance=clearance,
        nationality=nationality or _state(settings.member, node.folder),
        categories=categories,
    )
    _issue(node, out, wanted, target, address)


@user.command(epilog=examples("intelshare user renew m.durand --folder fra"))
@click.argument("name")
@click.option(
    "--out", "target", type=click.Path(path_type=Path), help="The profile folder, if not the usual."
)
@printing
@on_folder
def renew(node: NodeFolder, out: Out, name: str, target: Path | None) -> None:
    """Put a new certificate into the profile of NAME. What the register says of NAME stays as it is."""
    from intelshare.errors import ConfigError
    from intelshare.wire.v1 import user_pb2 as pb

    found = {one.name: one for one in node.operate("ListUsers", pb.ListUsersRequest()).users}
    wanted = found.get(name)
    if wanted is None or wanted.revoked:
        raise ConfigError(
            "NOT_FOUND",
            f"{name} was revoked" if wanted is not None else f"the register has no {name}",
            hint="`intelshare user list` shows the register; `intelshare user add` admits",
        )
    same = pb.NewUser(
        name=wanted.name,
        role=wanted.role,
        clearance=wanted.clearance,
        nationality=wanted.nationality,
        categories=wanted.categories,
    )
    _issue(node, out, same, target, "")


def _issue(node: NodeFolder, out: Out, wanted: pb.NewUser, target: Path | None, address: str) -> None:
    """Write the register row, and certificate and key into the profile folder, new or there already."""
    import os

    from intelshare.client import Profile, read_profile, renew_profile, write_profile
    from intelshare.errors import ConfigError, Place
    from intelshare.node.settings import read_settings
    from intelshare.wire.v1 import user_pb2 as pb

    folder = target or node.folder / "users" / wanted.name
    settings = read_settings(node.folder / "node.toml")
    there = read_profile(folder) if (folder / "profile.toml").exists() else None
    if folder.exists() and (there is None or (there.member, there.user) != (settings.member, wanted.name)):
        raise ConfigError(
            "ID_CONFLICT",
            "something else is there already, not this user's profile",
            place=Place(str(folder)),
            hint="name another folder with --out",
        )
    made = node.operate("AddUser", pb.AddUserRequest(user=wanted))
    profile = Profile(
        folder,
        settings.member,
        wanted.name,
        address,
        "" if address else os.path.relpath(node.folder.resolve(), folder.resolve()),
        _server_name(settings.node),
    )
    put = write_profile if there is None else renew_profile
    put(
        there or profile,
        certificate=made.certificate_pem,
        key=made.private_key_pem,
        authority=made.node_authority_pem,
    )
    out.document("user", {"user": made.user.uri, "role": wanted.role, "profile": str(folder)})
    out.line(f"{made.user.uri}  {wanted.role}")
    out.line(f"profile {folder}")
    out.note(f"try: intelshare whoami --as {folder}")


@user.command("list", epilog=examples("intelshare user list --folder fra"))
@printing
@on_folder
def list_(node: NodeFolder, out: Out) -> None:
    """List users with role, clearance and need to know."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import user_table
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListUsers", pb.ListUsersRequest())
    out.document("users", plain(found))
    out.table(user_table(found.users))


@user.command(epilog=examples("intelshare user revoke a.petit --folder fra"))
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def revoke(node: NodeFolder, out: Out, name: str, yes: bool) -> None:
    """Take NAME's access away, at once. The entry stays in the register."""
    from intelshare.wire.v1 import user_pb2 as pb

    confirm(f"{name} will not be able to read or send anything from now on. Go on?", yes=yes)
    node.operate("RevokeUser", pb.RevokeUserRequest(name=name))
    out.document("revoked", {"name": name})
    out.line(f"{name} revoked")


def _state(member: str, folder: Path) -> str:
    """The member if it is a state: an organisation's people have a nationality that must be given."""
    from intelshare.cli.shared.beside import registry_of

    return member if registry_of(folder).is_state(member) else ""


def _server_name(node: str) -> str:
    """The DNS name in the node's certificate: ``intelshare://D/node/N`` is ``N.D`` (trust.create_member)."""
    domain, _, name = node.removeprefix("intelshare://").partition("/node/")
    return f"{name}.{domain}"
