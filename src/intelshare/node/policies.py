"""Reads the policy files of the data folder at the start, and again when they have changed (promise P17).

A file that does not load never replaces the last good world. That world stays in use for reading and
reception, but nothing is released (POLICY_UNAVAILABLE) until the file is repaired.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from intelshare.broker.kernel.tables import LawRow
from intelshare.broker.treaty.policy_files import LawFile, files_in_force, take_files
from intelshare.builtin import OWN_FOLDERS, extended_registry
from intelshare.crypto.pae import sha256
from intelshare.errors import PASSING, ConfigError, Place, PolicyFileError, StoreError
from intelshare.ids import Digest
from intelshare.node.events import Event
from intelshare.node.folder import Folder
from intelshare.node.runtime import Runtime
from intelshare.node.settings import Settings
from intelshare.policy import World, compile_world, parse_overlay, parse_treaty
from intelshare.ports import View
from intelshare.private_files import make_private_folder, passing, read_trusted, sync_folder, write_private
from intelshare.toml import MAX_FILE_BYTES, decoded

UNAVAILABLE = "POLICY_UNAVAILABLE"

_KINDS = (*OWN_FOLDERS, "treaties", "overlays")
_BEGUN, _DONE, _GONE = ".law.begun", ".law.done", "gone"

_Stamps = dict[Path, tuple[int, ...]]
"""The times, size, inode and mode of each file, which differ if it has changed, or who may write it; the
owner and mode of each folder.
"""


class PolicyFiles:
    """The policy files as they were last read, so that unchanged ones are not read again."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._seen: _Stamps | None = _stamps(runtime.folder)
        self._told: tuple[str, str] | None = None
        """The code and file of the last failure, which is logged only once while it lasts."""

    async def begin(self) -> None:
        """Record in the log under which files this start decides."""
        runtime, world = self._runtime, self._runtime.node.world
        await self._take(world, law_files(runtime.law, world, runtime.settings))
        if await asyncio.to_thread(law_texts, runtime.folder) != runtime.law:
            self._seen = None  # They have changed since this start read them.
        runtime.law = {}

    async def follow(self) -> bool:
        """Look again; return true if there is a new world."""
        runtime = self._runtime
        seen, self._seen = self._seen, None
        try:
            stamps = await asyncio.to_thread(_stamps, runtime.folder)
            self._seen = stamps
            if stamps == seen:
                runtime.lacks("policy")
                return False
            texts = await asyncio.to_thread(law_texts, runtime.folder)
            world = await asyncio.to_thread(world_of, texts, runtime.settings)
        except PolicyFileError as error:
            self._failed(error)
            return False
        except OSError as error:
            # A system without descriptors or room says nothing about the files: the world stays as it is.
            lacks = passing(error)
            if lacks is not None:
                runtime.lacks("policy", lacks)
            else:
                runtime.health.set(UNAVAILABLE)
            code = lacks or "NOT_FOUND"
            runtime.log.error(Event.POLICY_FAILED, code=code, path=Path(error.filename or "").name)
            self._seen = None
            return False
        runtime.lacks("policy")
        if not runtime.leads:
            self._wait_for_leader(texts)
            return False
        try:
            await self._take(world, law_files(texts, world, runtime.settings))
        except PolicyFileError as error:
            # The fault is not in the files that exist: a member may be defined in one that is gone. So it is
            # retried.
            self._seen = None
            self._failed(error, taken_away(runtime.store.ask_now(files_in_force), texts))
            return False
        except StoreError as error:
            self._seen = None
            if error.code not in PASSING:
                raise
            return False  # Nothing can be released in the meantime; it is tried again.
        self._told = None
        runtime.health.clear(UNAVAILABLE)
        runtime.log.info(Event.POLICY_LOADED, count=len(texts))
        return True

    def _wait_for_leader(self, texts: Mapping[Path, bytes]) -> None:
        """Release nothing while the law is not known: the replica that leads takes the files."""
        if lost := taken_away(self._runtime.store.ask_now(files_in_force), texts):
            self._seen = None
            self._failed(PolicyFileError("NOT_FOUND", f"{lost} is not as it was taken"), lost)
        else:
            self._told = None
            if not self._runtime.outdated:
                self._runtime.health.clear(UNAVAILABLE)

    def _failed(self, error: PolicyFileError, file: str = "") -> None:
        """Keep the last good world, and release nothing."""
        runtime = self._runtime
        runtime.health.set(UNAVAILABLE)
        place = error.place.source if error.place is not None else file
        told = error.code, Path(place).name
        if told != self._told:
            self._told = told
            runtime.log.error(Event.POLICY_FAILED, code=error.code, path=told[1])

    async def _take(self, world: World, files: tuple[LawFile, ...]) -> None:
        """Decide by these files from now on, and log each file that has changed. Raises StoreError."""
        done = await self._runtime.step(take_files, world, files)
        for file, became in done.value.changes:
            self._runtime.log.info(Event.POLICY_CHANGED, path=file, status=became.value)


def check_in_force(files: Iterable[LawFile], view: View) -> None:
    """Raise PolicyFileError unless these are the files by which the node decides, as its rows say."""
    now = {one.file: one.digest for one in files}
    held = {row.file: row.digest for row in files_in_force(view)}
    differ = sorted(file for file in now | held if now.get(file) != held.get(file))
    if differ:
        raise PolicyFileError(
            UNAVAILABLE,
            f"{differ[0]} of this folder is not the one by which the replica that leads decides",
            hint="all replicas share one folder; on a network file system changes may take a while to show",
        )


def taken_away(held: Iterable[LawRow], texts: Mapping[Path, bytes]) -> str:
    """Return the first ladder, group or word of the law in force that is missing or changed in these files,
    so that its members are no longer known; empty if there is none.
    """
    now = {f"{path.parent.name}/{path.name}": Digest(sha256(data)) for path, data in texts.items()}
    lost = (row.file for row in held if row.about in OWN_FOLDERS and now.get(row.file) != row.digest)
    return next(lost, "")


def world_of(texts: Mapping[Path, bytes], settings: Settings) -> World:
    """Return the world of these files. Raises PolicyFileError with file and line."""
    own = {path: data for path, data in texts.items() if path.parent.name in OWN_FOLDERS}
    registry = extended_registry(
        {
            name: decoded(data, name)
            for path, data in own.items()
            if (name := f"{path.parent.name}/{path.name}")
        }
    )
    treaties, overlays = [], []
    for path, data in texts.items():
        if path in own:
            continue
        if path.parent.name == "treaties":
            treaties.append(parse_treaty(decoded(data, path.name), path.name, registry))
        else:
            overlays.append(parse_overlay(decoded(data, path.name), path.name, registry, settings.member))
    return compile_world(registry, (settings.member,), treaties, overlays)


def law_files(texts: Mapping[Path, bytes], world: World, settings: Settings) -> tuple[LawFile, ...]:
    """Return what was read, file by file; ``world`` was made from it."""
    treaties = {one.place.source: one.id for one in world.files if one.place is not None}
    return tuple(
        LawFile(
            f"{path.parent.name}/{path.name}",
            _about(path, treaties, settings),
            Digest(sha256(data)),
        )
        for path, data in texts.items()
    )


def _about(path: Path, treaties: Mapping[str, str], settings: Settings) -> str:
    """Return the treaty's id, the member of an overlay, or the kind of any other file."""
    kind = path.parent.name
    return (
        treaties.get(path.name, "") if kind == "treaties" else settings.member if kind == "overlays" else kind
    )


def read_law(folder: Folder, settings: Settings) -> tuple[World, tuple[LawFile, ...]]:
    """Return the folder's world and files. Raises PolicyFileError with file and line."""
    texts = law_texts(folder)
    world = world_of(texts, settings)
    return world, law_files(texts, world, settings)


@contextmanager
def while_it_lies_still(folder: Folder, *, change: bool = False) -> Iterator[None]:
    """Hold a lock: nobody else reads the folder's law while this changes it, and nobody changes it while this
    reads.
    """
    descriptor = os.open(folder.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if change else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _files(folder: Folder) -> list[Path]:
    """Return the policy files. Raises PolicyFileError NOT_FOUND for a missing folder: all its rules would be
    gone at once.
    """
    for kind in (folder.treaties, folder.overlays):
        if not kind.is_dir():
            raise PolicyFileError(
                "NOT_FOUND",
                f"the folder {kind.name}/ is missing",
                place=Place(kind.name),
                hint="put it back, empty if there are none: without your member's law more would be released",
            )
    treaties = [path for path in folder.treaties.glob("*.toml") if not path.name.endswith("_test.toml")]
    own = [path for name in OWN_FOLDERS for path in sorted((folder.root / name).glob("*.toml"))]
    return [*own, *sorted(treaties), *sorted(folder.overlays.glob("*.toml"))]


def law_texts(folder: Folder) -> dict[Path, bytes]:
    """Return the policy files of the folder, after completing an interrupted ``policy apply``.

    Raises PolicyFileError NOT_FOUND for a missing folder, UNSAFE_FILE, TOO_LARGE; OSError.
    """
    with while_it_lies_still(folder):
        if not _next(folder).is_dir():
            return texts_as_they_lie(folder)
    with while_it_lies_still(folder, change=True):
        finish_law(folder)
        return texts_as_they_lie(folder)


def texts_as_they_lie(folder: Folder) -> dict[Path, bytes]:
    """Return the same, for a caller that holds the lock and knows that no change is unfinished."""
    return {path: _read(path) for path in _files(folder)}


def _read(path: Path) -> bytes:
    try:
        return read_trusted(path, MAX_FILE_BYTES)
    except ConfigError as error:
        raise PolicyFileError(error.code, error.message, place=Place(path.name), hint=error.hint) from None


def write_files(folder: Folder, written: Mapping[Path, bytes], gone: Iterable[Path]) -> None:
    """Write and remove files of the law while nobody reads them: all of it, whatever interrupts this, or
    nothing.

    The files are written into a separate folder; its name tells whether it is complete. From then on, whoever
    reads the law completes the change.
    """
    beside = folder.root / _BEGUN
    shutil.rmtree(beside, ignore_errors=True)
    make_private_folder(beside)
    for path, data in written.items():
        make_private_folder(beside / path.parent.name)
        write_private(beside / path.parent.name / path.name, data)
    write_private(beside / _GONE, "\0".join(f"{path.parent.name}/{path.name}" for path in gone).encode())
    beside.rename(_next(folder))
    sync_folder(folder.root)
    finish_law(folder)


def finish_law(folder: Folder) -> None:
    """Put the files of an unfinished ``write_files`` in place, while nobody reads."""
    pending = _next(folder)
    if not pending.is_dir():
        return
    changed = set()
    for kind in _KINDS:
        for path in (pending / kind).glob("*.toml"):
            make_private_folder(folder.root / kind)
            path.replace(folder.root / kind / path.name)
            changed.add(folder.root / kind)
    for name in (pending / _GONE).read_bytes().decode().split("\0"):
        kind, _, file = name.partition("/")
        if kind in _KINDS and file.endswith(".toml") and "/" not in file:
            (folder.root / kind / file).unlink(missing_ok=True)
            changed.add(folder.root / kind)
    for place in changed:
        sync_folder(place)
    shutil.rmtree(folder.root / _DONE, ignore_errors=True)
    pending.rename(folder.root / _DONE)
    shutil.rmtree(folder.root / _DONE, ignore_errors=True)


def _next(folder: Folder) -> Path:
    return folder.root / "law.next"


def _stamps(folder: Folder) -> _Stamps:
    found: _Stamps = {}
    for path in (*_files(folder), _next(folder)):
        with suppress(FileNotFoundError):  # removed since it was listed
            state, around = path.stat(), path.parent.stat()
            found[path] = state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino, state.st_mode
            found[path.parent] = around.st_uid, around.st_mode
    return found
