"""From an empty folder to the last scene: founding, first contact, links, scenes, and nothing left behind."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from intelshare.demo.interrupt import interruptible, undisturbed
from intelshare.demo.scenario import Scenario
from intelshare.demo.scenes import scenes, spelled
from intelshare.demo.stage import Site, Stage, command, report, stop_all, until
from intelshare.errors import ConfigError, IntelshareError, Place

_WIDTH = 68
"""Column at which times stand."""


def play(scenario: Scenario, *, keep: Path | None, pause: float) -> int:
    """Play a scenario; 0, or 1 if anything differs from what it expects.

    ``keep``: the folder that holds everything and stays; else a temporary one. ``pause``: seconds after each
    scene. Raises ConfigError ID_CONFLICT for a folder in use, and what the commands raise.
    """
    began = time.monotonic()
    _print(
        f"intelshare demo: {spelled(len(scenario.members))} sovereign nodes on this machine "
        f"({', '.join(scenario.members)}), keys and certificates made now, nothing leaves loopback"
    )
    with interruptible(), _folder(keep) as folder, _stage(folder, scenario) as stage:
        _found(stage)
        _introduce(stage)
        _link(stage)
        for number, scene in enumerate(parts := scenes(scenario), 1):
            _print(f"\n{number}/{len(parts)} {scene.title}")
            try:
                differences = scene.play(stage)
            except IntelshareError as error:
                differences = [f"{error.code}: {error.message}"]
            if differences:
                for difference in differences:
                    sys.stderr.write(f"scene {number} differs: {difference}\n")
                logs = folder if keep else "--keep DIR keeps the folders"
                sys.stderr.write(f"hint: the nodes' logs say more ({logs})\n")
                return 1
            time.sleep(pause)
        _print()
        _audit(stage)
    _print(f"  {'ok  every scene as expected':<{_WIDTH}} {_seconds(began)}")
    _print()
    _goodbye(scenario, keep)
    return 0


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with undisturbed():
            folder = Path(tempfile.mkdtemp(prefix="intelshare-demo-"))
        try:
            yield folder
        finally:
            with undisturbed():
                shutil.rmtree(folder)
        return
    folder = keep.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("ID_CONFLICT", "something is there already", place=Place(str(keep)))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder


@contextmanager
def _stage(folder: Path, scenario: Scenario) -> Iterator[Stage]:
    stage = Stage(folder, scenario, {code: Site(code, folder / code) for code in scenario.members})
    try:
        yield stage
    finally:
        with undisturbed():
            stop_all(stage.sites.values())


def _found(stage: Stage) -> None:
    """``init`` for every member, all nodes at once, ``user add`` for every analyst."""
    began = time.monotonic()
    for site in stage.sites.values():
        command("init", site.code, str(site.folder), "--dev")
        site.start()
    for site in stage.sites.values():
        site.serving()
    for analyst in stage.scenario.analysts:
        words = [word for category in analyst.categories for word in ("--category", category)]
        folder = str(stage.sites[analyst.member].folder)
        command("user", "add", analyst.name, "--clearance", analyst.clearance, *words, "--folder", folder)
    count = len(stage.sites)
    _ok(f"{count} members, {count} nodes, {len(stage.scenario.analysts)} analysts", began)


def _introduce(stage: Stage) -> None:
    """Each member imports the file of each other, with the fingerprint that was read out."""
    began = time.monotonic()
    for giver in stage.sites.values():
        file = stage.folder / f"{giver.code}.member"
        command("member", "export", "--folder", str(giver.folder), "--out", str(file))
        fingerprint = command("member", "fingerprint", "--folder", str(giver.folder)).strip()
        for taker in stage.sites.values():
            if taker is not giver:
                words = ("--fingerprint", fingerprint, "--folder", str(taker.folder))
                command("member", "import", str(file), *words)
    for site in stage.sites.values():
        members = report("member", "list", "--folder", str(site.folder))["members"]
        ratified = {treaty for entry in members for treaty in entry["treaties"]}
        if {entry["member"] for entry in members} != set(stage.sites) or ratified != stage.scenario.treaties:
            raise ConfigError(
                "INTERNAL", f"{site.code} knows {len(members)} members and {len(ratified)} treaties"
            )
    _ok(f"members exchanged roots and directories, {len(stage.scenario.treaties)} treaties ratified", began)


def _link(stage: Stage) -> None:
    began = time.monotonic()
    for site in stage.sites.values():
        with site.client("operator") as operator:
            until(
                lambda: all(peer.state == "linked" for peer in operator.status().peers),
                f"the links of {site.code}",
            )
    pairs = ", ".join("-".join(pair) for pair in combinations(stage.sites, 2))
    # A node refuses any link below this (TRANSPORT_FLOOR), so "linked" says it.
    _ok(f"links {pairs}: TLS 1.3, X25519MLKEM768", began)


def _audit(stage: Stage) -> None:
    """Every node reads its whole log again."""
    began, entries = time.monotonic(), 0
    for site in stage.sites.values():
        entries += sum(log["size"] for log in report("audit", "verify", "--folder", str(site.folder))["logs"])
    _ok(f"{len(stage.sites)} audit logs verified, {entries} entries", began)


def _goodbye(scenario: Scenario, keep: Path | None) -> None:
    if keep is None:
        _print("play on:  intelshare demo --keep ./play")
        return
    first, reader = scenario.members[0], scenario.reader
    _print(f"kept: {keep}; the nodes are stopped. Play on, each node in a terminal of its own:")
    for code in scenario.members:
        _print(f"  intelshare node run --folder {keep / code}")
    _print(f"  intelshare inbox --as {keep / reader.member / 'users' / reader.name}")
    _print(f"  intelshare outbox --as {keep / first / 'users' / scenario.author.name}")


def _ok(text: str, began: float) -> None:
    _print(f"  {'ok  ' + text:<{_WIDTH}} {_seconds(began)}")


def _seconds(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def _print(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
