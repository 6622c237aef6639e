"""``member``: first contact with other members, by a file and a fingerprint that two people compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.completion import members
from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, IntelshareError, Place

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.wire.v1 import user_pb2 as pb


@click.group(cls=CommandGroup)
def member() -> None:
    """Exchange roots and directories with other members; suspend, resume or remove a member."""


@member.command(
    epilog=examples(
        "intelshare member export --folder fra --out fra.member",
        "intelshare member export --of USA --folder fra --out usa.member",
    )
)
@click.option(
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file. Default: standard output.",
)
@click.option(
    "--of",
    "code",
    default="",
    metavar="MEMBER",
    shell_complete=members,
    help="Write the file of another member, as your node knows it: for its people, if they have lost all.",
)
@printing
@on_folder
def export(node: NodeFolder, out: Out, target: Path | None, code: str) -> None:
    """Write your member file for another member to import. It contains no secrets."""
    from intelshare.trust import read_member_file
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ExportMember", pb.ExportMemberRequest(member=code.upper()))
    if target is not None:
        write_file(target, found.text)
    elif not out.json:
        sys.stdout.write(found.text)
    out.document("member-file", {"text": found.text, "fingerprint": found.fingerprint})
    out.note(f"read this out to them, over a channel other than the file's: {found.fingerprint}")
    if not read_member_file(found.text.encode("utf-8"), "the member file").has_address:
        out.note(
            "no address is in it, so nobody can call its node: export it again after the node's first start "
            "(a node that only dials has none)"
        )


@member.command("import", epilog=examples("intelshare member import usa.member --folder fra"))
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--fingerprint", help="The fingerprint that the other member's people read out to you.")
@click.option("--again", is_flag=True, help="Admit again a member that was removed here.")
@printing
@on_folder
def import_(node: NodeFolder, out: Out, file: Path, fingerprint: str | None, again: bool) -> None:
    """Admit the member of FILE, after its people have read out the fingerprint to you.

    The newer file of a member that your node knows needs none: the root that your node holds proves it.
    """
    from intelshare.cli.shared.files import read_given
    from intelshare.trust import MAX_MEMBER_FILE, read_member_file
    from intelshare.wire.v1 import user_pb2 as pb

    data = read_given(file, MAX_MEMBER_FILE)
    given = read_member_file(data, str(file))
    request = pb.ImportMemberRequest(text=data.decode("utf-8"), fingerprint=fingerprint or "", again=again)
    try:
        answer = node.operate("ImportMember", request)
    except IntelshareError as error:
        if error.code != "TRUST_FINGERPRINT" or fingerprint is not None:
            raise
        request.fingerprint = _asked(given.member)
        answer = node.operate("ImportMember", request)
    out.document("member", {"member": answer.member, "fingerprint": answer.fingerprint})
    out.line(f"{answer.member} {answer.fingerprint}")
    if not given.has_address:
        out.note(
            f"no address is in it: your node cannot call {answer.member}, whose node has to call yours; if "
            "both files are without one, they never link"
        )
    if answer.exclusion:
        out.note(f"{answer.member} is still {answer.exclusion}: intelshare member resume {answer.member}")


@member.command("list", epilog=examples("intelshare member list --folder fra"))
@printing
@on_folder
def list_(node: NodeFolder, out: Out) -> None:
    """List the members whose documents your node holds, including your member."""
    from intelshare.cli.shared.operator_tables import member_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ListMembers", pb.ListMembersRequest())
    out.document("members", plain(found))
    out.table(member_table(found.members))
    for entry in found.members:
        for warning in entry.warnings:
            out.note(warning)


@member.command(epilog=examples("intelshare member suspend USA --folder fra"))
@click.argument("code", metavar="MEMBER", shell_complete=members)
@printing
@on_folder
def suspend(node: NodeFolder, out: Out, code: str) -> None:
    """Stop dealing with MEMBER at once: no link, nothing delivered to it, nothing accepted from it.

    Whatever is queued for it waits, and `intelshare outbox` shows why. What it has sent stays readable. You
    are not asked: `intelshare member resume` takes it back.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    answer = node.operate("SuspendMember", pb.SuspendMemberRequest(member=code.upper()))
    _show_exclusion(out, answer, "was suspended before")


@member.command(epilog=examples("intelshare member resume USA --folder fra"))
@click.argument("code", metavar="MEMBER", shell_complete=members)
@printing
@on_folder
def resume(node: NodeFolder, out: Out, code: str) -> None:
    """Resume dealing with MEMBER, which was suspended: whatever waits on either side is sent."""
    from intelshare.wire.v1 import user_pb2 as pb

    answer = node.operate("ResumeMember", pb.ResumeMemberRequest(member=code.upper()))
    _show_exclusion(out, answer, "was not suspended")


@member.command(epilog=examples("intelshare member remove USA --folder fra --dry-run"))
@click.argument("code", metavar="MEMBER", shell_complete=members)
@click.option("--dry-run", is_flag=True, help="Show what would be stopped; remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def remove(node: NodeFolder, out: Out, code: str, dry_run: bool, yes: bool) -> None:
    """Stop dealing with MEMBER for good: whatever is queued for it becomes undeliverable.

    What it has sent stays readable and provable. `intelshare member import FILE --again` admits it again;
    whatever was stopped does not come back.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.RemoveMemberRequest(member=code.upper(), dry_run=True)
    answer = node.operate("RemoveMember", request)
    if not dry_run and answer.exclusion != "removed":
        confirm(
            f"{answer.member} will be unknown here: {answer.queued} queued bulletins become undeliverable, "
            f"{answer.unacknowledged} statements stay unacknowledged. Remove it?",
            yes=yes,
        )
        answer = node.operate("RemoveMember", pb.RemoveMemberRequest(member=code.upper()))
    _show_exclusion(out, answer, "would be removed" if dry_run else "was removed before")


def _show_exclusion(out: Out, answer: pb.ExclusionResponse, otherwise: str) -> None:
    from intelshare.cli.shared.plain import plain

    out.document("member-exclusion", plain(answer))
    done = answer.exclusion or "dealt with again"
    waiting = f"  queued {answer.queued}, unacknowledged {answer.unacknowledged}"
    out.line(f"{answer.member} {done if answer.changed else otherwise}{waiting}")


@member.command(
    epilog=examples("intelshare member fingerprint --folder fra", "intelshare member fingerprint usa.member")
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@printing
@on_folder
def fingerprint(node: NodeFolder, out: Out, file: Path | None) -> None:
    """Print your member's fingerprint, to be read out; or that of a member FILE, which needs no folder."""
    from intelshare.wire.v1 import user_pb2 as pb

    if file is not None:
        from intelshare.cli.shared.files import read_given
        from intelshare.trust import MAX_MEMBER_FILE, read_member_file

        given = read_member_file(read_given(file, MAX_MEMBER_FILE), str(file))
        who, text = given.member, given.fingerprint
    else:
        from intelshare.node.settings_file import read_settings

        who = read_settings(node.folder / "node.toml").member
        text = node.operate("ExportMember", pb.ExportMemberRequest()).fingerprint
    out.document("fingerprint", {"member": who, "fingerprint": text})
    out.line(text)


def _asked(member: str) -> str:
    """Ask for the fingerprint of a member that is not known. Raises ConfigError if nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "USAGE",
            "a member is admitted only with the fingerprint that its people read out",
            place=Place("--fingerprint"),
            hint="ask them to run `intelshare member fingerprint`; a fingerprint taken from the file "
            "proves nothing",
        )
    return str(click.prompt(f"Fingerprint of {member}, as its people read it out to you", err=True))
