"""Finds policy files on disk: treaties, overlays and tests, and the files that make up a test's world."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from intelshare.builtin import OWN_FOLDERS
from intelshare.cli.shared.beside import own_files, read_policy, with_own
from intelshare.errors import ConfigError, Place, PolicyFileError
from intelshare.toml import MAX_FILE_BYTES

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Registry
    from intelshare.policy import Overlay, Treaty
    from intelshare.policy_tools import Bench, Result, Suite

TEST_SUFFIX = "_test.toml"
MAX_FILES = 10_000


@dataclass(slots=True)
class Files:
    """Paths by kind, in the order in which they were found."""

    treaties: list[Path] = field(default_factory=list)
    overlays: list[Path] = field(default_factory=list)
    tests: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    """The files of ladders/, groups/ and words/."""
    strays: list[Path] = field(default_factory=list)
    """Files that contain tests but are not named as tests: nothing runs them."""

    def add(self, path: Path) -> None:
        """Add a path to the list of its kind."""
        if path.name.endswith(TEST_SUFFIX):
            self.tests.append(path)
        elif path.parent.name == "overlays":
            self.overlays.append(path)
        elif path.parent.name in OWN_FOLDERS:
            self.own.append(path)
        else:
            self.treaties.append(path)


def find(paths: Iterable[Path]) -> Files:
    """The policy files among the paths and in the folders below them.

    ``*_test.toml`` is a test; a file in a folder ``overlays`` is an overlay (``deu.toml`` is that of DEU);
    files in ``ladders``, ``groups`` and ``words`` define what the others use; any other ``.toml`` is a
    treaty. Of a node's data folder only its law is looked at. A file brings the test beside it. If there is
    no file ``paris``, the name stands for the treaty of that id that ships. Raises ConfigError NOT_FOUND,
    TOO_LARGE.
    """
    files = Files()
    seen: set[Path] = set()
    for path in paths:
        for found in sorted(_below(path)) if path.is_dir() else _with_test(path):
            if _real(found) not in seen:
                seen.add(_real(found))
                if not found.name.endswith(TEST_SUFFIX) and _holds_cases(found):
                    files.strays.append(found)
                else:
                    files.add(found)
    beside = own_files([*files.treaties, *files.overlays, *files.tests])
    files.own += [path for path in beside if _real(path) not in seen]
    return files


_CASES = re.compile(rb"^\s*\[\[\s*(case|matrix)\s*\]\]", re.MULTILINE)


def _holds_cases(path: Path) -> bool:
    """Return true if the file contains tests, whatever its name; a file that cannot be read is reported
    elsewhere.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return _CASES.search(file.read(MAX_FILE_BYTES)) is not None
    except OSError:
        return False


def stray_results(files: Files) -> list[Result]:
    """Return a warning for each test that nothing runs."""
    from intelshare.policy_tools import Result, Severity

    return [
        Result(
            Severity.WARNING,
            str(path),
            "TEST_NOT_RUN",
            f"it contains test cases, but only files named *{TEST_SUFFIX} are run",
            Place(str(path)),
            f"rename it to {path.stem.removeprefix('test_')}{TEST_SUFFIX}",
        )
        for path in files.strays
    ]


def _real(path: Path) -> Path:
    """Return the target of a path; unlike ``resolve``, this also works for circular links."""
    return Path(os.path.realpath(path))


def _with_test(path: Path) -> list[Path]:
    file = path if path.exists() else _shipped(path)
    beside = file.with_name(file.stem + TEST_SUFFIX)
    return [file, beside] if beside.is_file() else [file]


def _shipped(name: Path) -> Path:
    from intelshare.builtin import treaty_packs
    from intelshare.toml import guess

    packs = treaty_packs()
    if str(name) not in packs:
        hint = guess(str(name), packs) or "`intelshare treaty list` shows the treaties that ship"
        message = "there is no such file or folder, and no treaty with this id ships"
        raise ConfigError("NOT_FOUND", message, place=Place(str(name)), hint=hint)
    return packs[str(name)]


def _below(folder: Path) -> Iterator[Path]:
    """Yield the policy files below a folder: of a node's data folder those of its law alone. Its settings
    and the profiles of its users are no policy.
    """
    if not (folder / "node.toml").is_file():
        yield from _walk(folder)
        return
    for name in ("treaties", "overlays", *OWN_FOLDERS):
        yield from _walk(folder / name)


def _walk(folder: Path) -> Iterator[Path]:
    count = 0
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if is_policy(Path(name)):
                count += 1
                if count > MAX_FILES:
                    message = f"there are more than {MAX_FILES} files"
                    raise ConfigError("TOO_LARGE", message, place=Place(str(folder)))
                yield Path(root, name)


def is_policy(path: Path) -> bool:
    """Return true if a path, relative to the folder where it was found, names a policy file."""
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix == ".toml" and not hidden and path.name != "pyproject.toml"


class Shelf:
    """Reads every file once, and keeps the faults found in each."""

    def __init__(self, as_of: Instant) -> None:
        self._as_of = as_of
        self._treaties: dict[Path, tuple[Treaty | None, list[Result]]] = {}
        self._overlays: dict[Path, tuple[Overlay | None, list[Result]]] = {}
        self._registries: dict[tuple[Path, ...], Registry] = {}

    def registry(self, path: Path) -> Registry:
        """Return the registry for reading a file. Raises PolicyFileError."""
        own = tuple(own_files([path]))
        if own not in self._registries:
            self._registries[own] = with_own(own, read_policy)
        return self._registries[own]

    def treaty(self, path: Path) -> tuple[Treaty | None, list[Result]]:
        """Return the treaty or None, and the faults in its file."""
        from intelshare.policy_tools import check_treaty, of_error

        key = _real(path)
        if key not in self._treaties:
            try:
                self._treaties[key] = check_treaty(read_policy(path), str(path), self.registry(path))
            except PolicyFileError as error:
                self._treaties[key] = None, [of_error(error)]
        return self._treaties[key]

    def overlay(self, path: Path) -> tuple[Overlay | None, list[Result]]:
        """Return the overlay or None, and the faults in its file."""
        from intelshare.policy_tools import check_overlay, of_error

        key = _real(path)
        if key not in self._overlays:
            try:
                self._overlays[key] = check_overlay(read_policy(path), str(path), self.registry(path))
            except PolicyFileError as error:
                self._overlays[key] = None, [of_error(error)]
        return self._overlays[key]

    def suite(self, path: Path) -> tuple[Suite | None, list[Result]]:
        """Return the suite of a test file or None, and the faults in it."""
        from intelshare.policy_tools import gather, of_error, read_suite

        try:
            text, registry = read_policy(path), self.registry(path)
        except PolicyFileError as error:
            return None, [of_error(error)]
        suite, errors = gather(text, str(path), registry, lambda top: read_suite(top, registry, self._as_of))
        return suite, [of_error(error) for error in errors]

    def bench(self, path: Path) -> tuple[Bench | None, list[Result]]:
        """Return the suite with the files of its world, or None if any of them is wrong, with the faults."""
        from intelshare.policy_tools import Bench, failed, of_error

        suite, found = self.suite(path)
        if suite is None:
            return None, found
        treaties: list[Treaty] = []
        overlays: list[Overlay] = []
        for name in suite.treaties:
            try:
                treaty, results = self.treaty(_beside(path, name, suite))
            except PolicyFileError as error:
                treaty, results = None, [of_error(error)]
            found += [result for result in results if failed([result])]
            treaties += [] if treaty is None else [treaty]
        for name in suite.overlays:
            try:
                overlay, results = self.overlay(_beside(path, name, suite))
            except PolicyFileError as error:
                overlay, results = None, [of_error(error)]
            found += [result for result in results if failed([result])]
            overlays += [] if overlay is None else [overlay]
        complete = len(treaties) == len(suite.treaties) and len(overlays) == len(suite.overlays)
        if not complete:
            return None, found
        return Bench(suite, tuple(treaties), tuple(overlays), self.registry(path)), found


def _beside(test: Path, name: str, suite: Suite) -> Path:
    """Return the file that a test names, from the test's folder or the nearest folder above that
    contains it.
    """
    for folder in test.resolve().parents:
        candidate = folder / name
        if candidate.is_file():
            if candidate.resolve() == test.resolve():
                message = f"{name!r} is this test itself, not a treaty or overlay"
                raise PolicyFileError("REFERENCE_CYCLE", message, place=suite.place)
            return (
                candidate if not candidate.is_relative_to(Path.cwd()) else candidate.relative_to(Path.cwd())
            )
    raise PolicyFileError(
        "NOT_FOUND",
        f"there is no file {name!r}",
        place=suite.place,
        hint="names are looked up in the test's folder and the folders above it",
    )
