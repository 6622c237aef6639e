"""Two members under load for runs of faults, and the check with which every run ends.

What was lost (had OK, never seen), doubled, or unexpected (seen, and without OK) is asked through the command
line. An answer that nobody heard is asked for again under the same key, until there is one.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.nodes import found, introduce, ok, wait_for_links, wait_until
from fault_member import Member
from intelshare.api import SyncClient
from intelshare.client import new_key
from intelshare.errors import IntelshareError
from intelshare.instant import Instant

LABELS = {"FRA": "//FRA SECRET//REL TO FRA, USA", "USA": "//USA SECRET//REL TO FRA, USA"}

BODY = "Phishing kit. " * 146
"""2 KiB."""

_PAUSE = 0.1
"""Seconds after an answer that was not OK."""


@contextmanager
def two(root: Path | None = None) -> Iterator[tuple[Member, Member]]:
    """FRA and USA, linked and running; their folders below ``root``, or in a new folder."""
    with tempfile.TemporaryDirectory(prefix="intelshare-faults-") as home:
        fra, usa = (Member(found((root or Path(home)) / code.lower(), code)) for code in ("FRA", "USA"))
        os.sync()  # no node has written the copies
        try:
            for member in (fra, usa):
                member.start()
            introduce(fra.folder, usa.folder)
            wait_for_links(fra.folder)
            yield fra, usa
        finally:
            for member in (fra, usa):
                member.stop()


@dataclass
class Load:
    """What one author has sent."""

    folder: Path
    to: str
    at: Path | None = None
    """The author's profile, if it is not in the folder."""
    had_ok: set[str] = field(default_factory=set)
    """The ids."""
    refused: Counter[str] = field(default_factory=Counter[str])
    """How often, by code."""
    resolved: int = 0
    """How many had OK only when they were asked for again."""
    last_ok: float = 0.0
    """The wall time of the last OK, in seconds."""
    ended: BaseException | None = None
    """Why it ended by itself: a fault of the run."""
    _open: bytes | None = None
    """The key whose answer nobody has heard."""

    @property
    def profile(self) -> Path:
        """The author's."""
        return self.at or self.folder / "users" / "ana"

    def send(self, client: SyncClient) -> bool:
        """Send one, or ask again for the last answer; true if it had OK."""
        again = self._open is not None
        key = self._open or new_key(Instant(time.time_ns() // 1000), os.urandom)
        label = LABELS[self.folder.name.upper()]
        try:
            sent = client.send(BODY, to=[self.to], label=label, category="cyber", key=key)
        except IntelshareError as error:
            self.refused[error.code] += 1
            if error.code == "OUTCOME_UNKNOWN":
                self._open = key
            return False
        self._open = None
        self.resolved += again
        self.had_ok.add(sent.id)
        self.last_ok = time.time()
        return True

    def batch(self, count: int) -> None:
        """Send so many at once; all have OK."""
        line = {"to": [self.to], "category": "cyber", "label": LABELS[self.folder.name.upper()], "text": BODY}
        stdin = (json.dumps(line) + "\n") * count
        done = ok("send", "--batch", "-", "--again", "--as", self.profile, "--json", stdin=stdin)
        ids = {str(json.loads(one)["stored"]["bulletin"]) for one in done.out.splitlines()}
        assert len(ids) == count, done.out[:500]
        self.had_ok |= ids

    def settle(self) -> None:
        """Ask for the last answer, if nobody has heard it."""
        with SyncClient.from_profile(self.profile) as client:
            wait_until(lambda: self._open is None or self.send(client), "the last answer")


@contextmanager
def sending(load: Load, *, rate: float = 30) -> Iterator[None]:
    """Send at this rate a second, or as fast as it goes, for as long as the block lasts."""
    ended = threading.Event()

    def run() -> None:
        due = time.monotonic()
        while not ended.is_set():
            try:
                with SyncClient.from_profile(load.profile) as client:
                    while not ended.is_set() and load.send(client):
                        due = max(due + 1 / rate, time.monotonic() - 1)
                        ended.wait(max(0.0, due - time.monotonic()))
            except IntelshareError as error:
                load.refused[error.code] += 1
            except BaseException as error:
                load.ended = error
                return
            ended.wait(_PAUSE)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert load.ended is None, f"the load ended: {load.ended!r}"


def until_ok(load: Load, more: int = 1) -> None:
    """Wait until so many more had OK."""
    wanted = len(load.had_ok) + more
    wait_until(lambda: load.ended or len(load.had_ok) >= wanted, f"{more} more with OK ({load.refused})")
    assert load.ended is None, f"the load ended: {load.ended!r}"


def events(profile: Path) -> list[dict[str, Any]]:
    """What ``watch`` tells since it last told this profile something."""
    done = ok("watch", "--as", profile, "--since", "last", "--once", "--json")
    return [json.loads(line) for line in done.out.splitlines()]


class Watched:
    """What ``watch`` has told at a recipient: each bulletin once, although the nodes are killed meanwhile."""

    def __init__(self, profile: Path) -> None:
        """The node runs. ``profile``: of a user there."""
        self._profile = profile
        ok("watch", "--as", profile, "--once", "--json")
        self.seen: Counter[str] = Counter()

    def look(self) -> Counter[str]:
        """Everything so far, by id."""
        self.seen.update(one["bulletin"] for one in events(self._profile) if one["what"] == "received")
        return self.seen


def inbox(folder: Path) -> Counter[str]:
    """The ids that the inbox lists, at most 1,000."""
    done = ok("inbox", "--as", folder / "users" / "ana", "--limit", "1000", "--json")
    return Counter(str(entry["bulletin"]) for entry in done.json["entries"])


def check(load: Load, look: Callable[[], Counter[str]]) -> str:
    """Wait for the last one; nothing is lost, doubled or unexpected. The figures."""
    load.settle()
    wait_until(lambda: not load.had_ok - look().keys() or None, "all that had OK to arrive")
    seen = look()
    doubled = [one for one, times in seen.items() if times > 1]
    unexpected = sorted(seen.keys() - load.had_ok)
    assert not doubled, f"doubled: {doubled[:5]}"
    assert not unexpected, f"seen, and without OK: {unexpected[:5]}"
    return f"{len(load.had_ok)} with OK: lost 0, doubled 0, unexpected 0 ({load.resolved} asked for again)"
