"""A member on the stage: its data folder, the process of its node, and its people at their terminals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar, cast

from intelshare.client import Client, read_profile
from intelshare.demo.interrupt import undisturbed
from intelshare.demo.scenario import Analyst
from intelshare.errors import ConfigError, Place
from intelshare.patience import patient
from intelshare.tethered import tethered

T = TypeVar("T")

PATIENCE: Final = 30.0
"""The seconds after which something that should have happened counts as failed; INTELSHARE_PATIENCE scales
them.
"""

MARGIN: Final = "   "

_LOOK: Final = 0.02
_GRACE: Final = 5.0
"""The seconds that a node has to stop by itself; INTELSHARE_PATIENCE scales them."""


@dataclass(slots=True)
class Site:
    """One member. Its node must be stopped, whatever happens."""

    code: str
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """Return the path of the node's log, beside the data folder."""
        return self.folder.with_name(f"{self.code}.log")

    def profile(self, name: str) -> Path:
        """Return the profile folder of one of its users."""
        return self.folder / "users" / name

    @contextlib.contextmanager
    def client(self, name: str) -> Iterator[Client]:
        """Yield the connection of one of its users."""
        with Client(read_profile(self.profile(name))) as client:
            yield client

    def start(self) -> None:
        """Start the node; return before it serves."""
        words = [sys.executable, "-m", "intelshare", "node", "run", "--dev", "--folder", str(self.folder)]
        with self.log.open("ab") as log, undisturbed():
            # In this process group and tethered: a closed terminal and a kill end the nodes as well.
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and folder
                tethered(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder.parent
            )

    def serving(self) -> None:
        """Wait until the started node serves. Raises ConfigError NODE_UNREACHABLE, TIMED_OUT."""
        until(self._serves, f"{self.code}'s node to serve")

    def kill(self) -> None:
        """Send SIGKILL: no orderly stop, no clean-up."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Send SIGTERM: the node stops in order."""
        if self.process is not None:
            self.process.terminate()
        self.ended()

    def linked(self, *members: str) -> None:
        """Wait until the links to these members, or to all that it knows, are open. Raises TIMED_OUT."""
        with self.client("operator") as operator:
            until(
                lambda: all(
                    peer.state == "linked"
                    for peer in operator.status().peers
                    if not members or peer.member in members
                ),
                f"the links of {self.code}",
            )

    def ended(self) -> None:
        """Wait until the node that was told to stop has stopped, and kill it if it does not."""
        if self.process is None:
            return
        try:
            self.process.wait(patient(_GRACE))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _serves(self) -> bool:
        process = self.process
        if process is None or process.poll() is not None:
            raise ConfigError(
                "NODE_UNREACHABLE",
                f"the node of {self.code} ended by itself",
                place=Place(str(self.log)),
                hint=_last_line(self.log),
            )
        try:
            running = json.loads((self.folder / "run.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        # The file of a killed node is still there.
        return bool(running.get("pid") == process.pid)


@dataclass(frozen=True, slots=True)
class Stage:
    """All members, and what was sent so far."""

    folder: Path
    sites: Mapping[str, Site]
    sent: dict[str, str] = field(default_factory=dict)
    """The ids of bulletins, by the demo's names for them."""
    authors: dict[str, Analyst] = field(default_factory=dict)
    """Authors by title, for the summary."""

    @contextlib.contextmanager
    def client(self, analyst: Analyst) -> Iterator[Client]:
        """Yield the connection of an analyst."""
        with self.sites[analyst.member].client(analyst.name) as client:
            yield client

    def profile(self, analyst: Analyst) -> str:
        """Return the profile folder of an analyst, for ``--as``."""
        return str(self.sites[analyst.member].profile(analyst.name))


def stop_all(sites: Iterable[Site]) -> None:
    """Stop every node, all at once."""
    running = [site for site in sites if site.process is not None]
    for site in running:
        if site.process is not None:
            site.process.terminate()
    for site in running:
        site.ended()


def until(condition: Callable[[], T | None], what: str, *, look: float = _LOOK) -> T:
    """Wait until a condition is true, checked every ``look`` seconds; return its value.

    Raises ConfigError TIMED_OUT.
    """
    limit = patient(PATIENCE)
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise ConfigError(
                "TIMED_OUT", f"waited {limit:g} s for {what}", hint="is this machine very busy?"
            )
        time.sleep(look)
    return value


def command(*words: str, out: TextIO | None = None, ends: Collection[int] = (0,)) -> str:
    """Run a command of ``intelshare`` as if it were typed; return what it printed, unless ``out`` gets it.

    Raises IntelshareError as the command does, and ConfigError USAGE if it ends with a code not in ``ends``.
    """
    from intelshare.cli.app import root

    kept = io.StringIO()
    # The margin makes terminals narrower.
    narrower = environment({"COLUMNS": str(shutil.get_terminal_size().columns - len(MARGIN))})
    with narrower, contextlib.redirect_stdout(out or kept), contextlib.redirect_stderr(io.StringIO()):
        ended = root.main(list(words), prog_name="intelshare", standalone_mode=False, obj={"json": False})
    if int(ended or 0) not in ends:
        raise ConfigError("USAGE", f"`intelshare {' '.join(words[:2])} ...` ended with {int(ended)}")
    return kept.getvalue()


def report(*words: str, ends: Collection[int] = (0,)) -> dict[str, Any]:
    """Return the one document that a command prints with ``--json``. Raises as ``command`` does."""
    document: dict[str, Any] = json.loads(command(*words, "--json", ends=ends))
    return document


def indented(stream: TextIO) -> TextIO:
    """Return the same stream, with a margin before every line."""
    return cast(TextIO, _Indented(stream))


def last_lines(path: Path, count: int) -> list[str]:
    """Return the end of a node's log, or nothing if there is none."""
    if not path.exists():
        return []
    return path.read_text("utf-8", "replace").strip().splitlines()[-count:]


def say(text: str) -> None:
    """Print a line of the demo between the output of commands."""
    sys.stdout.write(f"{MARGIN}{text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set these environment variables within the block; None: unset."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


class _Indented(io.TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fresh = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self._stream.write(MARGIN + line if self._fresh and line.strip() else line)
            self._fresh = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _last_line(path: Path) -> str | None:
    return next(iter(last_lines(path, 1)), None)
