"""Loss of power under real nodes: an ext4 in a file, of which a node's folder loses all that was not written
through (F2), and the same with durability switched off in the store, which must fail (F36).

``kill -9`` cannot see a missing fsync: what a process wrote is the kernel's. EXT4_IOC_SHUTDOWN without a
flush of its journal takes the volume away as a cut cable does.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.nodes import PROGRAM, ok
from fault_pair import Load, Member, Watched, check, sending, two, until_ok
from fault_world import NotHere
from processes import finished

_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)."""

_NO_LOG_FLUSH = 2

SIZE = 96 << 20
"""Bytes of a volume."""


class Volume:
    """An ext4 in a file, mounted at ``root``."""

    def __init__(self, image: Path, root: Path) -> None:
        self.image, self.root = image, root
        root.mkdir()
        with image.open("wb") as file:
            file.truncate(SIZE)
        finished(["mkfs.ext4", "-q", image], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount it."""
        finished(["mount", "-o", "loop,errors=remount-ro", self.image, self.root], check=True)

    def unmount(self) -> None:
        """Take it off; no process may use it."""
        finished(["umount", self.root], check=True)

    def cut(self) -> None:
        """Take its power away: what is not on the disk is gone."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def refuse(self) -> None:
        """Become read-only at once, under open files, as after an error of the disk."""
        (device,) = (
            Path(line.split()[0]).name
            for line in Path("/proc/mounts").read_text().splitlines()
            if line.split()[1] == str(self.root)
        )
        (Path("/sys/fs/ext4") / device / "trigger_fs_error").write_text("1")

    def come_back(self) -> None:
        """Check it and mount it, as the start of a machine does."""
        self.unmount()
        checked = finished(["fsck.ext4", "-p", self.image])
        assert checked.code in (0, 1), checked
        self.mount()


@contextmanager
def volumes(*names: str) -> Iterator[list[Volume]]:
    """Volumes that are gone at the end. Raises NotHere without root or the tools."""
    missing = [tool for tool in ("mkfs.ext4", "fsck.ext4", "mount", "umount") if not shutil.which(tool)]
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or missing:
        raise NotHere(f"an ext4 in a file needs root on Linux, and {missing or 'nothing else'}")
    with tempfile.TemporaryDirectory(prefix="intelshare-volumes-") as home:
        made: list[Volume] = []
        try:
            for name in names:
                made.append(Volume(Path(home) / f"{name}.img", Path(home) / name))
            yield made
        finally:
            for volume in made:
                finished(["umount", "--lazy", volume.root])


def _lose_power(member: Member, volume: Volume) -> None:
    """The machine of a node is off, and on again."""
    volume.cut()
    member.kill()
    volume.come_back()
    member.start()


def elsewhere(folder: Path, home: Path) -> Path:
    """The author works at a machine that keeps its power: a profile outside the volume."""
    made = home / "people" / folder.name
    shutil.copytree(folder / "users" / "ana", made)
    text = (made / "profile.toml").read_text()
    where = f'node_folder = "{folder}"'
    (made / "profile.toml").write_text(re.sub(r"node_folder = .*", where, text))
    return made


def power_lost(cycles: int, program: Sequence[str] = PROGRAM) -> str:
    """F2: loss of power of the sender's and then of the recipient's volume, under load."""
    with volumes("fra", "usa") as (f, u), two(f.root.parent) as (fra, usa):
        home = f.root.parent
        load = Load(fra.folder, "USA", elsewhere(fra.folder, home))
        watched = Watched(elsewhere(usa.folder, home))
        for member in (fra, usa):
            member.stop()
            member.program = program
            member.start()
        with sending(load, rate=1000):
            for cycle in range(cycles):
                until_ok(load, 10)
                time.sleep(0.05 * (cycle % 7))
                _lose_power(*((usa, u) if cycle % 2 else (fra, f)))
        figures = check(load, watched.look)
        for member in (fra, usa):
            ok("audit", "verify", "--folder", member.folder)
    return f"{cycles} times without power; {figures}"


def undurable(cycles: int) -> str:
    """F36: the same with durability switched off in the store fails."""
    try:
        survived = power_lost(cycles, (sys.executable, str(Path(__file__).with_name("undurable.py"))))
    except AssertionError as lost:
        text = str(lost)
        told = re.search(r"error\[\w+\]: [^\n]{,90}", text)
        return f"without durability F2 fails: {told[0] if told else text[:90]}"
    raise AssertionError(f"without durability nothing was lost: {survived}")


def first_minutes(_: int) -> str:
    """F2: what `init` and `user add` wrote is durable once they say so."""
    with volumes("disk") as (f,):
        os.sync()
        folder = f.root / "fra"
        for words in (("init", "FRA", folder, "--dev"), ("user", "add", "ana", "--folder", folder)):
            ok(*words)
            before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            f.cut()
            f.come_back()
            lost = [path.name for path, data in before.items() if path.read_bytes() != data]
            assert not lost, f"{words[0]} said OK, and without power lost {lost}"
    return "what init and user add wrote was whole"
