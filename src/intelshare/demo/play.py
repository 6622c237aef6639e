"""From an empty folder to the last scene: founding, first contact, links, scenes, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from shlex import quote

from intelshare.builtin import demo_treaties, treaty_packs
from intelshare.demo.interrupt import interruptible, undisturbed
from intelshare.demo.scenario import Scenario, Scene
from intelshare.demo.showing import console
from intelshare.demo.stage import Site, Stage, command, environment, last_lines, report, stop_all
from intelshare.demo.summary import summarise
from intelshare.errors import ConfigError, IntelshareError, Place
from intelshare.patience import VARIABLE

_WIDTH = 68
"""The column of the times."""
_LAST = 8
"""The lines of each node's log that are shown with a failed scene."""
_NAMED = 3
"""The links that are named individually."""


def play(scenario: Scenario, *, keep: Path | None, pause: float, shown: bool = False) -> int:
    """Play a scenario; return 0, or 1 if anything differs from what it expects.

    ``keep``: the folder that contains everything and stays; by default a temporary one is used. ``pause``:
    seconds after each scene. ``shown``: in a console too, which stays open at the end until Ctrl-C.

    Raises ConfigError ID_CONFLICT for a folder in use, and what the commands raise.
    """
    began = time.monotonic()
    _print(f"intelshare demo: {scenario.opening}")
    # Settings made for another node do not apply to these; the setting for a slow machine does.
    foreign = (name for name in os.environ if name.startswith("INTELSHARE_") and name != VARIABLE)
    own = environment(dict.fromkeys(foreign))
    with (
        interruptible(),
        own,
        _folder(keep) as folder,
        _stage(folder, scenario) as stage,
        contextlib.ExitStack() as showing,
    ):
        if scenario.analysts:
            _found(stage, scenario)
            _introduce(stage, scenario)
            _link(stage)
        if shown:
            address = showing.enter_context(console(stage, scenario.analysts[0]))
            _print(
                f"\nconsole at {address}\n  open it in a browser on this machine, and watch the scenes there"
            )
            time.sleep(pause)
        for number, scene in enumerate(scenario.scenes, 1):
            if not _scene(stage, scene, f"{number}/{len(scenario.scenes)}", keep):
                return 1
            time.sleep(pause)
        _print("\nIn short")
        summarise(stage, [scene.proved for scene in scenario.scenes if scene.proved])
        if shown:
            _print("\nevery scene as expected; the console stays open until Ctrl-C")
            _until_interrupted()
    _print()
    _ok("every scene as expected", began)
    _print()
    _goodbye(scenario, keep)
    return 0


def _until_interrupted() -> None:
    with contextlib.suppress(KeyboardInterrupt), interruptible():
        while True:
            time.sleep(3600)


def _scene(stage: Stage, scene: Scene, number: str, keep: Path | None) -> bool:
    """Play one scene; return false if it differs from what it expects, and say so on standard error."""
    began = time.monotonic()
    _print(f"\n{number} {scene.title}")
    try:
        differences = scene.play(stage)
    except IntelshareError as error:
        differences = [f"{error.code}: {error.message}", *_log_ends(stage)]
    if not differences:
        _ok("as expected", began)
        return True
    for difference in differences:
        sys.stderr.write(f"scene {number} differs: {difference}\n")
    if stage.sites:
        logs = keep or "--keep DIR keeps the folders"
        sys.stderr.write(f"hint: see the nodes' logs ({logs})\n")
    return False


def _log_ends(stage: Stage) -> list[str]:
    """Return the last log lines of the nodes: their folders may be gone when somebody asks why."""
    return [
        f"{site.code}'s node: {line}" for site in stage.sites.values() for line in last_lines(site.log, _LAST)
    ]


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        # A signal that came meanwhile is raised where the inner block ends: its end is noted by then.
        with ExitStack() as undo:
            with undisturbed():
                folder = Path(tempfile.mkdtemp(prefix="intelshare-demo-"))
                undo.callback(_removed, folder)
            yield folder
        return
    folder = keep.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "ID_CONFLICT", "something is there already", place=Place(str(keep)), hint="name a new folder"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder


def _removed(folder: Path) -> None:
    with undisturbed():
        shutil.rmtree(folder)


@contextmanager
def _stage(folder: Path, scenario: Scenario) -> Iterator[Stage]:
    stage = Stage(folder, {code: Site(code, folder / code) for code in scenario.members})
    try:
        yield stage
    finally:
        with undisturbed():
            stop_all(stage.sites.values())


def _found(stage: Stage, scenario: Scenario) -> None:
    """Run ``init`` for every member, all nodes at once, and ``user add`` for every analyst."""
    began, packs = time.monotonic(), treaty_packs()
    for site in stage.sites.values():
        command("init", site.code, str(site.folder), "--dev")
        for name in scenario.packs:
            shutil.copyfile(packs[name], site.folder / "treaties" / packs[name].name)
        site.start()
    for site in stage.sites.values():
        site.serving()
    for analyst in scenario.analysts:
        words = [word for category in analyst.categories for word in ("--category", category)]
        words += ["--role", analyst.role.value, "--folder", str(stage.sites[analyst.member].folder)]
        command("user", "add", analyst.name, "--clearance", analyst.clearance, *words)
    count = len(stage.sites)
    _ok(f"{count} members, {count} nodes, {len(scenario.analysts)} analysts", began)


def _introduce(stage: Stage, scenario: Scenario) -> None:
    """Have each member import each other's file, with the fingerprint that was read out."""
    began = time.monotonic()
    for giver in stage.sites.values():
        file = stage.folder / f"{giver.code}.member"
        command("member", "export", "--folder", str(giver.folder), "--out", str(file))
        fingerprint = command("member", "fingerprint", "--folder", str(giver.folder)).strip()
        for taker in stage.sites.values():
            if taker is not giver:
                words = ("--fingerprint", fingerprint, "--folder", str(taker.folder))
                command("member", "import", str(file), *words)
    treaties = {name.removesuffix(".toml") for name in demo_treaties()} | set(scenario.packs)
    for site in stage.sites.values():
        members = report("member", "list", "--folder", str(site.folder))["members"]
        ratified = {treaty for entry in members for treaty in entry["treaties"]}
        if {entry["member"] for entry in members} != set(stage.sites) or ratified != treaties:
            raise ConfigError(
                "INTERNAL", f"{site.code} knows {len(members)} members and {len(ratified)} treaties"
            )
    _ok(f"members exchanged roots and directories, {len(treaties)} treaties ratified", began)


def _link(stage: Stage) -> None:
    began = time.monotonic()
    for site in stage.sites.values():
        site.linked()
    pairs = ["-".join(pair) for pair in combinations(stage.sites, 2)]
    named = f"links {', '.join(pairs)}" if len(pairs) <= _NAMED else f"{len(pairs)} links, each with each"
    # A node refuses any link below this (TRANSPORT_FLOOR), so "linked" implies it.
    _ok(f"{named}: TLS 1.3, X25519MLKEM768", began)


def _goodbye(scenario: Scenario, keep: Path | None) -> None:
    if keep is None and scenario.analysts:
        _print(f"continue:   {' '.join(('intelshare demo', scenario.name)).rstrip()} --keep ./play")
        return
    folder = quote(str(keep))
    if keep is not None:
        _print(f"kept: {folder}; the nodes are stopped. Play on, each node in a terminal of its own:")
        for code in scenario.members:
            _print(f"  intelshare node run --dev --folder {folder}/{code}")
    _print("then, for example:" if keep else "see also:")
    for words in scenario.then:
        _print(f"  intelshare {words.format(folder=folder)}")


def _ok(text: str, began: float) -> None:
    _print(f"  {'ok  ' + text:<{_WIDTH}} {_seconds(began)}")


def _seconds(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def _print(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
