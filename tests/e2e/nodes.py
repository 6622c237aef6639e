"""Nodes as people run them: the real command line in real processes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import forked
import waits
from intelshare.cli.shared.documents import DIALECT, document_names, schema_of
from intelshare.client import Credentials
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import issue_user, to_pem
from intelshare.instant import DAY, Instant
from intelshare.node.folder import Folder
from intelshare.node.settings_file import read_settings
from intelshare.store.sidecar import STARTED, mark_start, read_sidecar, write_sidecar
from intelshare.trust import domain_of, user_uri
from intelshare.vault import USER_AUTHORITY, open_vault
from processes import Ended, clean_environment, finished, process

PROGRAM = forked.PROGRAM
"""What runs the command line. Its processes are forked where that makes no difference."""

EXECUTABLE = (str(Path(sys.executable).with_name("intelshare")),)
"""What runs it for users: for tests of what only a process that was started has."""

ROWS_AT = "INTELSHARE_TEST_ROWS_AT"
"""The variable that names a PostgreSQL; then every member that ``found`` makes has its rows there."""

_serving: list[Path] = []
"""Data folders of the nodes that run now."""

_said: list[str] = []
"""The last command and how it ended, for who waits in vain."""


@dataclass(frozen=True)
class Done(Ended):
    """How a command ended."""

    @property
    def json(self) -> dict[str, Any]:
        """Its one document, which is as its schema says."""
        (document,) = documents_of(self.out)
        wrong = list(unlike_schema(document))
        assert not wrong, wrong
        return document


def expired_certificate(folder: Path, name: str) -> Credentials:
    """A certificate of a user of a development folder that ended nine days ago, with its key."""
    domain = domain_of(read_settings(Folder(folder).settings).node)
    phrase = (folder / "passphrase").read_bytes().strip()
    vault = open_vault(Folder(folder).vault, phrase, suites=SUITES, random=os.urandom, allow_development=True)
    authority, before = vault.certified(USER_AUTHORITY), Instant(time.time_ns() // 1000 - 10 * DAY)
    made = issue_user(authority, user_uri(domain, name), before, os.urandom, lifetime=DAY)
    return Credentials(to_pem([made.certificate]), to_pem([authority.certificate]), made.key)


FILES = frozenset(("compliance-report", "evidence", "log-proof", "release"))
"""What stands in files for others (docs/format.md); some commands print it."""


def documents_of(out: str) -> list[dict[str, Any]]:
    """The one document that a command printed, or those of a stream."""
    try:
        return [json.loads(out)]
    except ValueError:
        return [json.loads(line) for line in out.splitlines()]


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(name))


def unlike_schema(document: dict[str, Any]) -> Iterator[str]:
    """Where a document is not as its schema says."""
    schema = document.get("schema", document.get("$schema"))
    if schema == DIALECT:
        return
    name = str(schema).split("/")[1] if "/" in str(schema) else ""
    if name in FILES:
        return
    if name not in document_names():
        yield f"no schema {schema}"
        return
    for error in _validator(name).iter_errors(document):
        yield f"{schema} {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def pair_to(sent: dict[str, Any], recipient: str) -> dict[str, Any]:
    """The pair of a recipient in what ``send --json`` printed."""
    (found,) = [pair for pair in sent["pairs"] if pair["recipient"] == recipient]
    pair: dict[str, Any] = found
    return pair


def word_of(sent: dict[str, Any], recipient: str) -> str:
    """How that pair stood."""
    return str(pair_to(sent, recipient)["word"])


def intelshare(*words: str | Path, stdin: str = "", cwd: Path | None = None) -> Done:
    """Run one command to its end."""
    done = finished([*PROGRAM, *words], stdin=stdin, cwd=cwd, env=clean_environment())
    _said[:] = [f"last command: {' '.join(map(str, words))}: {done}"]
    return Done(done.code, done.out, done.err)


def ok(*words: str | Path, stdin: str = "") -> Done:
    """Run one command that must succeed."""
    done = intelshare(*words, stdin=stdin)
    assert done.code == 0, (words, done)
    return done


@contextlib.contextmanager
def running(
    folder: Path, program: Sequence[str] = PROGRAM, words: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """The node of a folder, serving; stopped at the end, however that comes.

    ``words``: more of ``node run``.
    """
    with (
        log_of(folder).open("ab") as log,
        process([*program, "node", "run", "--dev", "--folder", folder, *words], stderr=log) as started,
    ):
        _serving.append(folder)
        try:
            wait_until(lambda: serves_as(folder, started), f"{folder.name} to serve")
            yield started
        finally:
            _serving.remove(folder)


def log_of(folder: Path) -> Path:
    """What the node of a folder says on standard error."""
    return folder.parent / f"{folder.name}.log"


def serves_as(folder: Path, started: subprocess.Popen[bytes]) -> bool:
    """Whether this very process has written where it listens."""
    assert started.poll() is None, log_of(folder).read_text()
    try:
        return bool(json.loads((folder / "run.json").read_text())["pid"] == started.pid)
    except (FileNotFoundError, ValueError):
        return False


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is true, tried again when a running node has committed or logged; its value."""
    return waits.wait_until(condition, what, signs=_signs, seen=_seen)


def wait_for_links(folder: Path, count: int = 1) -> None:
    """Wait until a node has so many open links."""

    def linked() -> bool:
        # Not what people read: the notes below the table speak of links too.
        done = intelshare("node", "status", "--folder", folder, "--json")
        peers = done.json.get("peers", []) if done.out else []
        return [peer["state"] for peer in peers].count("linked") == count

    wait_until(linked, f"{folder.name} to have {count} links")


def let_in(folder: Path) -> None:
    """The operator's word after a loss of memory: users and members come in again."""
    ok("node", "confirm-access", "--folder", folder, "--reason", "nobody was revoked", "--yes")


def _signs() -> list[tuple[int, int]]:
    """What changes on the disk when a running node commits or logs."""
    files = (path for folder in _serving for path in (log_of(folder), folder / "intelshare.db-wal"))
    found = []
    for path in (*files, *(folder / "run.json" for folder in _serving)):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size))
    return found


def _seen() -> list[str]:
    """The last command, and the ends of the logs of the nodes that run."""
    return [
        *_said,
        *(line for folder in _serving for line in waits.tail(folder.name, log_of(folder).read_text())),
    ]


def found(folder: Path, member: str, *words: str) -> Path:
    """A development member with an analyst and a releasing officer; ``words`` are for ``init``.

    The commands run once for each kind of member; every further folder is a copy, with the same keys. A
    folder that no node has run on yet may be copied: nothing in it says where it lies.
    """
    made = _made(member, words)
    copied(made, folder)
    if server := os.environ.get(ROWS_AT):
        ok("node", "move", "--folder", folder, "--to", server, "--schema", f"t{os.urandom(8).hex()}")
    return folder


def copied(made: Path, folder: Path) -> None:
    """Copy the folder of a member, or of several, as if their nodes had written the copy."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    for path in folder.rglob("sidecar"):
        kept = read_sidecar(path)
        assert kept is not None
        write_sidecar(path, kept)
    for path in folder.rglob(STARTED):
        mark_start(path.parent)


@functools.cache
def _made(member: str, words: Sequence[str]) -> Path:
    """A member's folder to copy from."""
    folder = Path(_originals().name) / "-".join((member, *words))
    ok("init", member, folder, "--dev", *words)
    for name, role in (("ana", "analyst"), ("rel", "releasing-officer")):
        ok("user", "add", name, "--folder", folder, "--role", role, "--clearance", "R3", "--category", "*")
    return folder


@functools.cache
def _originals() -> tempfile.TemporaryDirectory[str]:
    """Where the folders lie that are copied; gone when this process ends."""
    return tempfile.TemporaryDirectory(prefix="intelshare-originals-")


def introduce(one: Path, other: Path) -> None:
    """Exchange member files and fingerprints, both ways."""
    for giver, taker in ((one, other), (other, one)):
        file = giver.parent / f"{giver.name}.member"
        print_ = ok("member", "export", "--folder", giver, "--out", file, "--json").json["fingerprint"]
        ok("member", "import", file, "--folder", taker, "--fingerprint", print_)


def remembered(folder: Path) -> bool:
    """Whether both memories outside the database hold all of a node's log: its sidecar and its one peer."""
    head = ok("audit", "head", "--folder", folder, "--json").json
    seen = [int(one["size"]) for one in head["witnesses"]]
    noted = int(json.loads((folder / "sidecar").read_text())["size"])
    return seen == [int(head["entries"])] == [noted]
