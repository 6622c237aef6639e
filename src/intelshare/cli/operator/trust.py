"""``trust``: who may sign for a member, and what depends on a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.operator.key_life import impact
from intelshare.cli.shared.files import write_file
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import on_folder, passphrase, printing
from intelshare.cli.shared.output import Out
from intelshare.errors import ConfigError, Place
from intelshare.starting import start_command

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder, Passphrase
    from intelshare.trust import RootProposal

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=CommandGroup)
def trust() -> None:
    """Replace your member's root; show what depends on a key."""


@trust.group(cls=CommandGroup)
def root() -> None:
    """Take the next root from the node to the holders of root keys, and back."""


trust.add_command(impact)


@root.command(epilog=examples("intelshare trust root key FRA second-holder --passphrase-file swe.passphrase"))
@click.argument("member")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--suite", type=click.Choice(["1", "2"]), default="1", show_default=True, help="As for init.")
@passphrase
@printing
def key(out: Out, member: str, folder: Path, suite: str, passphrase: Passphrase) -> None:
    """Make a root key of MEMBER in the new folder FOLDER, and FOLDER.pub for the operator who proposes the
    next root.

    Run this on the holder's machine: no node is needed. Only FOLDER.pub leaves the machine.
    """
    import os
    import time

    from intelshare.crypto.records import KeyUse
    from intelshare.crypto.suites import SUITES
    from intelshare.ids import MemberCode
    from intelshare.instant import Instant
    from intelshare.trust import new_key, write_root_key
    from intelshare.vault import create_vault

    if folder.exists():
        raise ConfigError(
            "ID_CONFLICT", "it already exists", place=Place(str(folder)), hint="name a new folder"
        )
    now = Instant(time.time_ns() // 1000)
    made = new_key(SUITES[int(suite)], KeyUse.ROOT, MemberCode(member.upper()), now, os.urandom)
    create_vault(
        folder / "vault",
        passphrase(new=True),
        keys=(made,),
        certified={},
        storage_key=None,
        suites=SUITES,
        random=os.urandom,
    )
    public = folder.with_name(f"{folder.name}.pub")
    write_file(public, write_root_key(made.record))
    out.document("root-key", {"key": made.key_id.hex(), "folder": str(folder), "public": str(public)})
    out.line(f"root key {made.key_id.hex()[:16]} of {member.upper()} in {folder}; hand out only {public}")


@root.command(
    epilog=examples("intelshare trust root new --new-directory-key --folder fra --out fra-root.json")
)
@click.option("--key", "add", multiple=True, type=_FILE, help="Public file of a root key to add; repeatable.")
@click.option(
    "--drop", multiple=True, metavar="KEY", help="Beginning of the id of a root key to remove; repeatable."
)
@click.option(
    "--threshold", type=click.IntRange(1, 32), help="Number of keys that must sign. Default: unchanged."
)
@click.option(
    "--new-directory-key", is_flag=True, help="Replace the keys that sign directories with a new one."
)
@click.option(
    "--out", "target", type=_FILE, required=True, help="Write the file for the holders of root keys here."
)
@printing
@on_folder
def new(
    node: NodeFolder,
    out: Out,
    add: tuple[Path, ...],
    drop: tuple[str, ...],
    threshold: int | None,
    new_directory_key: bool,
    target: Path,
) -> None:
    """Write your member's next root, unsigned, for the holders of its root keys to sign."""
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate(
        "ProposeRoot",
        pb.ProposeRootRequest(
            add=[_read(path).decode("utf-8", "replace") for path in add],
            drop=[one.lower() for one in drop],
            threshold=threshold or 0,
            new_directory_key=new_directory_key,
        ),
    )
    write_file(target, found.text)
    _show(out, _proposal(target))
    out.note(f"next, each holder: intelshare trust root sign {target} --vault FILE")


@root.command(epilog=examples("intelshare trust root sign fra-root.json --vault fra/root-keys/vault --yes"))
@click.argument("file", type=_FILE)
@click.option("--vault", type=_FILE, required=True, help="Vault file that contains your root key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@passphrase
@printing
def sign(out: Out, file: Path, vault: Path, yes: bool, passphrase: Passphrase) -> None:
    """Sign the next root in FILE with the root keys of a vault, on the holder's machine, without a node.

    Compare the fingerprint with the other holders before you sign.
    """
    import os

    from intelshare.cli.shared.confirm import confirm
    from intelshare.crypto.records import KeyUse
    from intelshare.crypto.suites import SUITES
    from intelshare.trust import sign_proposal, write_proposal
    from intelshare.vault import open_vault

    proposal = _proposal(file)
    _show(out, proposal, quiet=out.json)
    confirm(f"Sign root {proposal.following.version} of {proposal.following.member}?", yes=yes)
    opened = open_vault(
        vault, _secret(vault, passphrase), suites=SUITES, random=os.urandom, allow_development=True
    )
    for held in opened.held_keys():
        if held.record.use is KeyUse.ROOT and not held.retired:
            proposal = sign_proposal(proposal, opened.signer(held.key_id))
    write_file(file, write_proposal(proposal))
    _state(out, proposal)


@root.command(epilog=examples("intelshare trust root publish fra-root.json --folder fra"))
@click.argument("file", type=_FILE)
@printing
@on_folder
def publish(node: NodeFolder, out: Out, file: Path) -> None:
    """Put the root in FILE into force and tell every member, if enough of the old and of the new keys signed
    it.
    """
    if node.waits_for_root:
        _finish(node, out, file)
        return
    from intelshare.wire.v1 import user_pb2 as pb

    done = node.operate("PublishRoot", pb.PublishRootRequest(text=_read(file).decode("utf-8", "replace")))
    _published(out, done.version, done.fingerprint)


def _finish(node: NodeFolder, out: Out, file: Path) -> None:
    """Put the root in force with which a member is founded again, on the folder that `init` has made."""
    import asyncio
    import time

    from intelshare.crypto.suites import SUITES
    from intelshare.instant import Instant
    from intelshare.node.establish import finish_again
    from intelshare.node.folder import Folder

    now = Instant(time.time_ns() // 1000)
    proposal = _proposal(file)
    proposal.check_signed(SUITES)
    asyncio.run(finish_again(Folder(node.folder), node.passphrase(), proposal.signed, now))
    _published(out, proposal.following.version, proposal.fingerprint)
    out.note(f"next: {start_command(node.folder)}; then every partner imports your member file")


def _published(out: Out, version: int, fingerprint: str) -> None:
    out.document("root-published", {"version": str(version), "fingerprint": fingerprint})
    out.line(f"root {version} holds")


@root.command(
    epilog=examples("intelshare trust root show --folder fra", "intelshare trust root show fra-root.json")
)
@click.argument("file", type=_FILE, required=False)
@printing
@on_folder
def show(node: NodeFolder, out: Out, file: Path | None) -> None:
    """Show the root in force, or the next one in FILE beside the root that it succeeds."""
    if file is not None:
        proposal = _proposal(file)
        _show(out, proposal)
        return
    from intelshare.cli.shared.operator_tables import root_table
    from intelshare.crypto.suites import SUITES
    from intelshare.trust import read_member_file, read_root
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.operate("ExportMember", pb.ExportMemberRequest())
    present = read_root(read_member_file(found.text.encode(), "member file").roots[-1], SUITES)
    out.document("root", _plain(present))
    out.line(
        f"root {present.version} of {present.member}: {present.threshold} of {len(present.keys)} keys sign"
    )
    out.table(root_table(None, present, frozenset()))


def _show(out: Out, proposal: RootProposal, *, quiet: bool = False) -> None:
    from intelshare.cli.shared.operator_tables import root_table

    signed = frozenset(one.key for one in proposal.signed.signatures)
    if not quiet:
        out.document(
            "root-proposal",
            {
                "fingerprint": proposal.fingerprint,
                "present": _plain(proposal.present),
                "next": _plain(proposal.following),
                "signed": sorted(key.hex() for key in signed),
            },
        )
    before, after = proposal.present, proposal.following
    out.line(
        f"root {after.version} of {after.member}, after root {before.version}; "
        f"fingerprint {proposal.fingerprint}"
    )
    out.line(
        f"threshold {before.threshold} of {len(before.keys)}, then {after.threshold} of {len(after.keys)}"
    )
    out.table(root_table(before, after, signed))
    if not quiet and not out.json:
        _missing(out, proposal)


def _state(out: Out, proposal: RootProposal) -> None:
    from intelshare.crypto.suites import SUITES

    present, own = proposal.missing(SUITES)
    out.document(
        "root-signed",
        {"fingerprint": proposal.fingerprint, "missing_of_present": present, "missing_of_next": own},
    )
    _missing(out, proposal)


def _missing(out: Out, proposal: RootProposal) -> None:
    from intelshare.crypto.suites import SUITES

    present, own = proposal.missing(SUITES)
    if present or own:
        out.line(f"signatures missing: {present} of the current keys, {own} of the next ones")
    else:
        out.line("enough keys have signed: intelshare trust root publish FILE")


def _plain(document: object) -> dict[str, object]:
    from intelshare.crypto.pae import key_id
    from intelshare.trust import RootDocument

    assert isinstance(document, RootDocument)  # noqa: S101
    return {
        "member": document.member,
        "version": str(document.version),
        "threshold": document.threshold,
        "keys": [key_id(one).hex() for one in document.keys],
        "directory": [key_id(one).hex() for one in document.directory],
    }


def _proposal(file: Path) -> RootProposal:
    from intelshare.crypto.suites import SUITES
    from intelshare.trust import read_proposal

    return read_proposal(_read(file), str(file), SUITES)


def _secret(vault: Path, passphrase: Passphrase) -> bytes:
    """Return the passphrase; for a vault in a development folder, the folder's passphrase if none was
    named.
    """
    folder = vault.parent.parent
    return passphrase.of(folder)() if not passphrase.given else passphrase()


def _read(file: Path) -> bytes:
    from intelshare.cli.shared.files import read_given
    from intelshare.trust import MAX_ROOT_FILE

    return read_given(file, MAX_ROOT_FILE)
