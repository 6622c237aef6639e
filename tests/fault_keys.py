"""Keys that are rotated under real nodes with bulletins on the way, and a kill in the middle (F17)."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from e2e.nodes import PROGRAM, ok, wait_for_links, wait_until
from fault_pair import Load, Member, check, inbox, two
from fault_power import volumes
from intelshare.crypto.suites import SUITES
from intelshare.vault import open_vault
from intelshare.vault.format import EntryKind, open_bytes
from processes import clean_environment, process

ON_THE_WAY = 1000


def rotated(cycles: int) -> str:
    """F17: keys of both are rotated while bulletins wait for the recipient, each node killed in the middle.

    The recipient's private keys, called compromised afterwards, are nowhere on the raw disk.
    """
    chance = random.Random(cycles)
    with volumes("usa") as (volume,), two(volume.root.parent) as (fra, usa):
        load = Load(fra.folder, "USA")
        old: dict[bytes, bytes] = {}
        for _ in range(cycles):
            usa.stop()
            load.batch(ON_THE_WAY // cycles)
            _rotate_and_kill(fra, chance.uniform(0.5, 2.5))
            usa.start()
            _rotate_and_kill(usa, chance.uniform(0.5, 2.5))
            old |= _sealing(usa.folder)
            wait_for_links(fra.folder)
        figures = check(load, lambda: inbox(usa.folder))
        some = chance.sample(sorted(load.had_ok), 20)
        for bulletin in some:
            assert "Phishing kit" in ok("read", bulletin, "--as", usa.folder / "users" / "ana").out
        on_disk = _raw(volume.image)
        assert all(sealed in on_disk for sealed in old.values()), "the check could not fail"
        ok("vault", "rotate", "--folder", usa.folder)
        for key in old:
            ok("vault", "revoke", key.hex(), "--compromised", "--yes", "--folder", usa.folder)
        wait_until(lambda: not old.keys() & _sealing(usa.folder).keys(), "the keys to be destroyed")
        usa.stop()
        on_disk = _raw(volume.image)
        left = [key.hex()[:8] for key, sealed in old.items() if sealed in on_disk]
        assert not left, f"{len(left)} of {len(old)} destroyed keys are still on the raw disk"
        usa.start()
    return (
        f"{2 * cycles} rotations cut short; {figures}; {len(some)} read; {len(old)} old keys off the raw disk"
    )


def _rotate_and_kill(member: Member, after: float) -> None:
    """Ask for new keys, and kill the node so many seconds later: before, within or after the change."""
    words = (*PROGRAM, "vault", "rotate", "--folder", member.folder)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with process(words, env=clean_environment(), **quiet) as asking:
        time.sleep(after)
        member.kill()
        asking.wait()
    member.start()


def _sealing(folder: Path) -> dict[bytes, bytes]:
    """The private sealing keys in the vault, as they lie there, by key."""
    phrase = (folder / "passphrase").read_bytes().strip()
    path = folder / "vault" / "keys"
    held = open_vault(path, phrase, suites=SUITES, random=bytes, allow_development=True).sealing_keys()
    opened = open_bytes(path.read_bytes(), phrase, allow_development=True)
    return {
        bytes(entry.name): row.sealed
        for row, entry in opened.entries
        if entry.kind is EntryKind.KEY and entry.name in held
    }


def _raw(image: Path) -> bytes:
    """Every byte of the volume, free blocks too."""
    os.sync()
    return image.read_bytes()
