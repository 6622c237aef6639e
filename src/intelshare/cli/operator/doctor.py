"""``doctor``: checks everything that can be checked from here, with one line for each result and a remedy for
each fault.

It only reads. Each check returns findings; none may stop the others.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import click

from intelshare.cli.shared.codes import Exit, catalogue
from intelshare.cli.shared.findings import DRAINING, OK, WARNING, WRONG, Finding, drain_finding
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.named_commands import complete
from intelshare.cli.shared.options import passphrase, printing
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import UNREAD, IntelshareError
from intelshare.instant import SECOND, Instant
from intelshare.starting import start_command

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import Passphrase
    from intelshare.client import Profile
    from intelshare.node.folder import Folder
    from intelshare.node.running import Running
    from intelshare.node.settings import Settings

_DESCRIPTORS: Final = 1024

_REFUSED: Final = frozenset(("ACCESS_WAITS", "NOT_AUTHORISED", "TLS_REFUSED"))
"""The codes by which a node does not let a user in."""

_KEEP_FROM_STARTING: Final = frozenset(("machine", "folder", "database", "policy", "memory"))
"""The checks of what a start needs: if one finds something wrong, it is refused."""

_MAX_KINDS: Final = 6
"""The most kinds of rows whose size is shown."""


@dataclass(frozen=True, slots=True)
class _Where:
    """The profile and the data folder to examine."""

    profile: str | None
    folder: Path | None
    deep: bool
    passphrase: Passphrase

    @property
    def now(self) -> Instant:
        """Return the time of this moment: on a busy machine the checks take longer than a node's sign of life
        is current.
        """
        return Instant(time.time_ns() // 1000)


@click.command(epilog=examples("intelshare doctor", "intelshare doctor --folder fra --as fra/users/m.durand"))
@click.option("--as", "--profile", "profile", metavar="FOLDER", help="Profile folder to examine.")
@click.option(
    "--folder",
    envvar="INTELSHARE_FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of a node on this machine to examine.",
)
@click.option("--deep", is_flag=True, help="Also read every record of the folder's database again.")
@passphrase
@printing
def doctor(out: Out, profile: str | None, folder: Path | None, deep: bool, passphrase: Passphrase) -> int:
    """Check the installation, profile, node and data folder; report what is wrong and what to do next.

    Changes nothing. Exits with 1 if anything is wrong; with warnings alone, it exits with 0.
    """
    where = _Where(profile, folder, deep, passphrase)
    found = [finding for check in _CHECKS for finding in _safely(check, where)]
    findings = _as_a_start(_once(found), folder)
    out.document(
        "doctor",
        {
            "findings": [
                {
                    "state": f.state,
                    "check": f.check,
                    "found": f.found,
                    "next": complete(f.remedy),
                    "code": f.code,
                }
                for f in findings
            ]
        },
    )
    out.table(
        Table(("state", "check", "found"), [(f.state, f.check, f"{f.found}{_in(f.code)}") for f in findings])
    )
    for finding in findings:
        if finding.remedy:
            out.note(f"{finding.check}: {finding.remedy}")
    wrong = sum(finding.state == WRONG for finding in findings)
    warnings = sum(finding.state == WARNING for finding in findings)
    out.line(f"{wrong} wrong, {warnings} to look at, {len(findings) - wrong - warnings} ok")
    return Exit.FAILED if wrong else Exit.DONE


def _once(findings: list[Finding]) -> list[Finding]:
    """Leave out the node's word of its drain where its process says the same: that names the replica, too."""
    if not any((one.check, one.code) == ("process", DRAINING) for one in findings):
        return findings
    return [one for one in findings if (one.check, one.code) != ("node", DRAINING)]


def _as_a_start(findings: list[Finding], folder: Path | None) -> list[Finding]:
    """Propose no start that would be refused for what another finding says: that comes first."""
    kept = [one for one in findings if one.state == WRONG and one.check in _KEEP_FROM_STARTING]
    bar = next((one for one in kept if UNREAD not in one.remedy), None)  # a page is put right by a start
    if folder is None or bar is None:
        return findings
    # A profile names the folder by its whole path.
    starts, first = (
        {start_command(folder), start_command(folder.resolve())},
        f"not yet: first see {bar.check}",
    )
    return [
        replace(one, remedy=first) if any(start in one.remedy for start in starts) else one
        for one in findings
    ]


def _in(code: str) -> str:
    return f" [{code}]" if code else ""


def _safely(check: Callable[[_Where], Iterator[Finding]], where: _Where) -> Iterator[Finding]:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check(where)
    except IntelshareError as error:
        known = catalogue().get(error.code)
        place = f" ({error.place.source})" if error.place is not None else ""
        remedy = error.hint or (known.next if known is not None else "")
        yield Finding(WRONG, name, f"{error.message}{place}", remedy, error.code)
    except FileNotFoundError as error:
        remedy = "is its disk mounted? If it is lost: intelshare node restore BACKUP FOLDER --replace"
        yield Finding(WRONG, name, f"{error.filename} is not there", remedy, "NOT_FOUND")
    except OSError as error:
        yield Finding(
            WRONG, name, f"{error.filename}: {error.strerror}", "check who owns it", "INPUT_INVALID"
        )


def _installation(_: _Where) -> Iterator[Finding]:
    import apsw
    import grpc

    from intelshare import __version__

    yield Finding(OK, "installation", f"intelshare {__version__}, Python {sys.version.split()[0]}")
    sqlite = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    # facts: earlier ones can reset a WAL that another connection still reads.
    state, remedy = (
        (OK, "") if sqlite >= (3, 51, 3) else (WRONG, "install a newer apsw: it brings its SQLite")
    )
    yield Finding(
        state, "installation", f"SQLite {apsw.sqlite_lib_version()}, gRPC {grpc.__version__}", remedy
    )


def _machine(where: _Where) -> Iterator[Finding]:
    import resource

    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    low = descriptors < _DESCRIPTORS
    yield Finding(
        WARNING if low else OK,
        "machine",
        f"{descriptors} file descriptors",
        f"raise the limit to {_DESCRIPTORS} or more for the node (ulimit -n, LimitNOFILE=)" if low else "",
    )
    if where.folder is not None and where.folder.exists():
        yield _room(where.folder)


def _room(folder: Path) -> Finding:
    from intelshare.node.folder import Folder
    from intelshare.node.reserve import NEW_FILES, TO_START, free_files, held_bytes, read_only
    from intelshare.node.settings_file import read_settings

    try:
        space = read_settings(Folder(folder).settings).space
        # What was given up of the reserve has to be there again before the node resumes.
        need = space.low + space.reserve - held_bytes(folder)
    except IntelshareError:  # another check reports it
        need = TO_START
    if read_only(folder):
        what = "the file system of the data folder is read-only"
        remedy = "look at dmesg: was it the disk? If not: mount it for writing, then start the node"
        return Finding(WRONG, "machine", what, remedy, "DISK_ERROR")
    free, files = shutil.disk_usage(folder).free, free_files(folder)
    if files < NEW_FILES:
        what = "no more files where the data folder is, whatever space is free"
        return Finding(WRONG, "machine", what, "remove files that nobody needs (df -i)", "DISK_FULL")
    what = f"{free // (1024 * 1024)} MiB free where the data folder is"
    if free < TO_START:
        return Finding(WRONG, "machine", what, "free some space: the node cannot start", "DISK_FULL")
    if free < need:
        return Finding(WARNING, "machine", what, f"free some space: {need >> 20} MiB are needed (DISK_FULL)")
    return Finding(OK, "machine", what)


def _profile(where: _Where) -> Iterator[Finding]:
    from intelshare.cli.operator.doctor_profile import profile

    yield from profile(where.profile, where.folder, where.now)


def _users(where: _Where) -> Iterator[Finding]:
    if where.folder is not None:
        from intelshare.cli.operator.doctor_profile import others

        yield from others(where.profile, where.folder, where.now)


def _node_certificate(where: _Where) -> Iterator[Finding]:
    """Check the node's certificate: the files of another authority that node.toml names, otherwise the file
    as the node last wrote it; what it serves then comes from the vault.
    """
    if where.folder is None:
        return
    from intelshare.crypto.x509 import from_pem, validity
    from intelshare.instant import show
    from intelshare.node.certificates import authorities_elsewhere, leaf_elsewhere
    from intelshare.node.folder import Folder
    from intelshare.node.running import read_running
    from intelshare.node.settings_file import read_settings
    from intelshare.private_files import read_trusted

    folder = Folder(where.folder)
    settings = read_settings(folder.settings)
    if settings.user_authority:
        authorities_elsewhere(folder, settings)
    if settings.node_certificate:
        leaf_elsewhere(folder, settings, where.now)
        return
    running, path = read_running(folder), folder.node_certificate
    if running is None or not running.fresh(where.now) or not path.exists():
        return
    end = validity(from_pem(read_trusted(path))).end
    if end <= where.now:
        remedy = f"intelshare pki renew --folder {quote(str(where.folder))}"
        what = f"expired at {show(Instant(end - end % SECOND))}"
        yield Finding(WRONG, "node certificate", what, remedy, "TLS_REFUSED")


def _node(where: _Where) -> Iterator[Finding]:
    from intelshare.cli.operator.doctor_profile import found_profile
    from intelshare.cli.policy.examine import examine, lies_otherwise
    from intelshare.client import Client

    found, status = found_profile(where.profile, where.folder), None
    if found is not None:
        with Client(found) as client:
            try:
                status = client.status()
            except IntelshareError as error:
                if error.code not in _REFUSED:
                    raise
                yield _refused(where, found, error)
    if status is None:
        status = _as_owner(where, "Status")
    if status is None:
        return
    yield from examine(status, where.now)
    if where.folder is not None:
        yield from lies_otherwise(status, _lying(where.folder))


def _refused(where: _Where, profile: Profile, error: IntelshareError) -> Finding:
    """Report that the node does not let the profile's user in, with what helps: what the call proposes
    otherwise is this command.
    """
    from intelshare.cli.operator.doctor_profile import another

    if error.code == "ACCESS_WAITS":
        return Finding(WRONG, "node", error.message, error.hint or "", error.code)
    of_the_node = next((one for one in _safely(_node_certificate, where) if one.state == WRONG), None)
    if of_the_node is not None:
        return Finding(WRONG, "node", error.message, f"first the node's: {of_the_node.remedy}", error.code)
    register = _as_owner(where, "ListUsers")
    # Somebody whom it does not know is told nothing of the register.
    revoked = None if error.code == "NOT_AUTHORISED" else False
    if register is not None:
        revoked = any(user.revoked for user in register.users if user.name == profile.user)
    what = f"{error.message}: {profile.user} was revoked" if revoked else error.message
    return Finding(WRONG, "node", what, another(profile, revoked=revoked), error.code)


def _as_owner(where: _Where, method: str) -> Any:
    """Return the answer to the folder's owner, who needs no profile; None if a profile was named, no node
    runs, or somebody would be asked for the passphrase.
    """
    if where.folder is None or where.profile is not None or not where.passphrase.of(where.folder).unasked:
        return None
    from intelshare.cli.shared.owner import owner_client
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.ListUsersRequest() if method == "ListUsers" else pb.StatusRequest()
    try:
        with owner_client(where.folder, where.passphrase.of(where.folder)) as client:
            return client.operate(method, request)
    except IntelshareError as error:
        if error.code != "NODE_UNREACHABLE":  # another check reports it
            raise
        return None


def _lying(folder: Path) -> bytes:
    """Return the digest of a data folder's policy files, or empty bytes if they do not load, which another
    check reports.
    """
    from intelshare.broker.treaty.policy_files import digest_of
    from intelshare.errors import PolicyFileError
    from intelshare.node.folder import Folder
    from intelshare.node.policies import read_law
    from intelshare.node.settings_file import read_settings

    try:
        return digest_of(read_law(Folder(folder), read_settings(Folder(folder).settings))[1])
    except PolicyFileError:
        return b""


def _folder(where: _Where) -> Iterator[Finding]:
    if where.folder is None:
        return
    from intelshare.errors import StoreError, VaultError
    from intelshare.node.folder import Folder
    from intelshare.node.running import FRESH, all_running
    from intelshare.node.settings_file import read_settings
    from intelshare.private_files import check_private
    from intelshare.store.folder import holder_of
    from intelshare.vault import damaged_of, is_development

    folder = Folder(where.folder)
    settings = read_settings(folder.settings)
    check_private(folder.root, StoreError, "DATA_PERMISSIONS")
    yield from _named(folder, settings)
    if folder.vault.exists():
        check_private(folder.vault, VaultError, "KEYSTORE_PERMISSIONS")
    development = is_development(folder.vault)
    what = "for development: its vault does not protect the keys" if development else "for production"
    yield Finding(OK, "folder", f"{settings.member}, private to its owner, {what}")
    for path in damaged_of(folder.vault):
        what = f"{path.relative_to(folder.root)} is damaged or missing, and the other one of the two is used"
        yield Finding(WARNING, "folder", what, "look at the disk; a running node writes it again")
    if not development:
        yield from _left_over(folder.root, settings)
    if (folder.root / "root-keys").exists() and not development:
        yield Finding(
            WARNING,
            "root keys",
            "are on this machine",
            f"move {folder.root / 'root-keys'} to a medium kept apart from this machine, and a copy to "
            f"another place",
        )
    running = all_running(folder, where.now)
    for one in running:
        yield from _process(one)
    holder = holder_of(folder.root) if not running else ""
    if holder:
        what = f"process {holder} has the folder, and has not said in the last {FRESH} s that it runs"
        remedy = 'it starts, is another command, or hangs: docs/runbook.md, "Node down", step 4'
        yield Finding(WRONG, "process", what, remedy, "DATA_LOCKED")
    elif not running:
        what = f"no node has said in the last {FRESH} s that it runs here"
        yield Finding(WARNING, "process", what, start_command(folder.root))


def _named(folder: Folder, settings: Settings) -> Iterator[Finding]:
    """Check the names in node.toml by what the member publishes about itself, which may be damaged, too."""
    from intelshare.crypto.suites import SUITES
    from intelshare.node.settings_file import check_named
    from intelshare.trust import read_directory, read_member_file

    if not folder.own_member.exists():  # before the first start
        return
    try:
        own = read_member_file(folder.own_member.read_bytes(), folder.own_member.name)
        directory = read_directory(own.directory, SUITES) if own.directory is not None else None
    except IntelshareError as error:
        what = f"{folder.own_member.relative_to(folder.root)} is damaged: {error.message}"
        yield Finding(WARNING, "folder", what, "look at the disk; the next start of the node writes it again")
        return
    if directory is not None and not any(one.uri == settings.node for one in directory.nodes):
        check_named(settings, folder.settings, directory.nodes[0].uri, own.member)
    check_named(settings, folder.settings, settings.node, own.member)


def _process(running: Running) -> Iterator[Finding]:
    """Report what the running node says of itself, also to somebody whom it does not let in."""
    from intelshare.cli.shared.tables import short_time

    what = f"{running.replica or running.pid} runs, {running.health}"
    if not running.codes:
        yield Finding(OK, "process", what)
    waits = running.waits
    if waits is not None:
        what += f", waits since {short_time(waits.since)}: {waits.what}"
    for code in running.codes:
        known = catalogue().get(code)
        helps = waits.next if waits is not None else known.next if known is not None else ""
        if code == DRAINING:
            yield drain_finding("process", what, running.replica)
        else:
            yield Finding(WRONG, "process", what, helps, code)


def _left_over(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Report development settings that are left over in a production folder."""
    from intelshare.cli.shared.node_folder import DEVELOPMENT_FILE

    if (folder / DEVELOPMENT_FILE).exists():
        remedy = f"remove {folder / DEVELOPMENT_FILE}; name your file with --passphrase-file"
        yield Finding(WARNING, "folder", "the folder contains a passphrase", remedy)
    if settings.allow_loopback_peers:
        remedy = (
            f"allow_loopback_peers = false in {folder / 'node.toml'}, unless all members share this machine"
        )
        yield Finding(WARNING, "folder", "peers on this machine are allowed", remedy)


def _database(where: _Where) -> Iterator[Finding]:
    if where.folder is None:
        return
    from intelshare.node.folder import Folder
    from intelshare.node.replicas import location
    from intelshare.node.settings_file import read_settings
    from intelshare.store.examine import measure_at

    folder = Folder(where.folder)
    settings = read_settings(folder.settings)
    found = measure_at(location(folder, settings, None), kinds=where.deep)
    at = f"{_mib(found.database)}, its log {_mib(found.wal)}"
    if settings.store is not None:
        at = f"{_mib(found.database)} in the schema {settings.store.schema} of a PostgreSQL"
    yield Finding(OK, "database", f"{at}; journal: {found.groups} groups, {_mib(found.journal)}")
    for what, remedy in found.remarks:
        yield Finding(WARNING, "database", what, remedy)
    if found.kinds:
        largest = sorted(found.kinds.items(), key=lambda kind: -kind[1])[:_MAX_KINDS]
        yield Finding(OK, "database", ", ".join(f"{name} {_mib(size)}" for name, size in largest))


def _mib(size: int) -> str:
    return f"{size / (1024 * 1024):.1f} MiB"


def _policy(where: _Where) -> Iterator[Finding]:
    if where.folder is None:
        return
    from intelshare.cli.shared.law import short_hash
    from intelshare.node.folder import Folder
    from intelshare.node.policies import read_law
    from intelshare.node.settings_file import read_settings

    folder = Folder(where.folder)
    world, files = read_law(folder, read_settings(folder.settings))
    yield Finding(OK, "policy", f"{len(world.treaties)} treaties, {len(world.overlays)} overlays load")
    texts = {one.place.source: one.text for one in world.treaties if one.place is not None}
    for one in files:
        text = texts.get(Path(one.file).name) if one.file.startswith("treaties/") else None
        yield Finding(
            OK, "policy", f"{one.file}: {one.about}" + (f", text {short_hash(text)}" if text else "")
        )
    if not world.treaties:
        yield Finding(
            WARNING,
            "policy",
            "no treaty binds this member: nothing classified can be shared",
            f"put treaty files into {folder.treaties}",
            "NO_TREATY",
        )


def _memory(where: _Where) -> Iterator[Finding]:
    if where.folder is not None:
        from intelshare.cli.operator.doctor_memory import memory

        yield from memory(where.folder, where.passphrase, where.now)


def _records(where: _Where) -> Iterator[Finding]:
    if where.folder is not None and where.deep:
        from intelshare.cli.operator.doctor_records import records

        yield from records(where.folder, where.passphrase)


_CHECKS: Final = (
    _installation,
    _machine,
    _profile,
    _users,
    _node_certificate,
    _node,
    _folder,
    _database,
    _policy,
    _memory,
    _records,
)
