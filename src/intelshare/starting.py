"""The command line that starts the node of a data folder, as every message proposes it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from intelshare.errors import VaultError


def start_command(folder: Path, replica: str = "") -> str:
    """Return the command line that the folder needs: one for development starts with ``--dev`` alone."""
    # Imported only now: a command of a user proposes it if it fails, and loads no vault otherwise.
    from intelshare.node.folder import Folder
    from intelshare.vault import is_development

    try:
        development = is_development(Folder(folder).vault)
    except (VaultError, OSError):
        development = False  # a start says what is wrong with the vault
    return (
        f"intelshare node run --folder {quote(str(folder))}"
        f"{f' --replica {quote(replica)}' if replica else ''}{' --dev' if development else ''}"
    )
