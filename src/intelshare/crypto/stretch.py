"""Keys from passphrases: Argon2id with parameters that are written in the file and cannot be lowered
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nacl.pwhash import argon2id

SALT_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Stretching:
    """The amount of work that one guess costs."""

    passes: int
    memory: int
    """In KiB."""

    def at_least(self, floor: Stretching) -> bool:
        """Return True if a guess costs at least as much as under ``floor``, in both passes and memory."""
        return self.passes >= floor.passes and self.memory >= floor.memory


STANDARD: Final = Stretching(passes=3, memory=256 * 1024)
"""The standard cost of a guess, 0.4 s and 256 MiB; vaults with less open only where development is
allowed.
"""

DEVELOPMENT: Final = Stretching(passes=1, memory=8 * 1024)
"""The cost for development, 5 ms and 8 MiB: the floor below which no vault opens."""

CEILING: Final = Stretching(passes=16, memory=1024 * 1024)
"""The highest cost; more is treated as damage, because a file must not be able to ask for all memory."""


def stretch(passphrase: bytes, salt: bytes, cost: Stretching) -> bytes:
    """Derive 32 bytes. The caller checks ``cost`` against floor and ceiling first."""
    return argon2id.kdf(32, passphrase, salt, opslimit=cost.passes, memlimit=cost.memory * 1024)
