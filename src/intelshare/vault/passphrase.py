"""Sources of a passphrase: a private file, a mounted secret, an inherited descriptor or a prompt.

Never an argument or the environment, which others can read.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from intelshare.errors import Place, VaultError
from intelshare.private_files import read_private, read_secret

MOUNTED: Final = "passphrase"
"""The name of the file among mounted secrets."""

MAX_PASSPHRASE: Final = 1024
"""The most bytes of a passphrase."""

MIN_PASSPHRASE: Final = 12
"""The fewest bytes of a new passphrase of a vault that is not for development."""


def passphrase_from_file(path: Path) -> bytes:
    """Return the first line of a 0600 file. Raises VaultError KEYSTORE_PERMISSIONS, KEYSTORE_PASSWORD."""
    try:
        text = read_private(path, VaultError, "KEYSTORE_PERMISSIONS", MAX_PASSPHRASE + 2)
    except FileNotFoundError:
        raise VaultError("KEYSTORE_PASSWORD", "there is no passphrase file", place=Place(str(path))) from None
    return _first_line(text)


def passphrase_from_secrets(folder: Path, name: str = MOUNTED) -> bytes:
    """Return the first line of this secret.

    Raises ConfigError UNSAFE_FILE, VaultError KEYSTORE_PASSWORD.
    """
    try:
        return _first_line(read_secret(folder, name, MAX_PASSPHRASE + 2))
    except OSError as error:
        raise VaultError(
            "KEYSTORE_PASSWORD",
            f"the secret cannot be read: {error.strerror}",
            place=Place(str(folder / name)),
            hint=f"INTELSHARE_SECRETS names the folder; the file in it is called {name}",
        ) from None


def passphrase_from_descriptor(descriptor: int) -> bytes:
    """Return the first line of an open file descriptor (a pipe of a service manager), and close it.

    Raises VaultError KEYSTORE_PASSWORD.
    """
    try:
        with os.fdopen(descriptor, "rb") as file:
            return _first_line(file.read(MAX_PASSPHRASE + 3))
    except OSError:
        raise VaultError("KEYSTORE_PASSWORD", f"descriptor {descriptor} cannot be read") from None


def passphrase_from_prompt(*, new: bool) -> bytes:
    """Prompt without echo, twice for a new passphrase. Raises VaultError KEYSTORE_PASSWORD."""
    first = getpass.getpass("New passphrase of the vault: " if new else "Passphrase of the vault: ").encode()
    if new and getpass.getpass("Repeat the passphrase: ").encode() != first:
        raise VaultError("KEYSTORE_PASSWORD", "the two passphrases differ")
    return _first_line(first)


def pin_from_prompt(token: str) -> bytes:
    """Prompt for the PIN of a token, without echo. Raises VaultError KEYSTORE_PASSWORD."""
    if not sys.stdin.isatty():
        raise VaultError(
            "KEYSTORE_PASSWORD",
            f"the PIN of the token {token} is needed, and there is no terminal to ask at",
            hint="[token] pin_file in node.toml names a file of mode 0600 with it",
        )
    return _first_line(getpass.getpass(f"PIN of the token {token}: ").encode())


def _first_line(text: bytes) -> bytes:
    line = text.split(b"\n", 1)[0].removesuffix(b"\r")
    if not 0 < len(line) <= MAX_PASSPHRASE:
        raise VaultError(
            "KEYSTORE_PASSWORD", f"the passphrase is empty or has more than {MAX_PASSPHRASE} bytes"
        )
    return line
