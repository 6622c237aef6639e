"""The command line that starts a node is made in one place, which knows what its folder needs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import intelshare
import intelshare.vault
from intelshare.client.profile import running_address
from intelshare.errors import ConfigError
from intelshare.starting import start_command
from node_world import make_site


async def test_a_folder_for_development_is_started_as_one_by_whoever_proposes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fra node"
    assert start_command(folder) == f"intelshare node run --folder '{folder}'", "no vault is there"
    await asyncio.to_thread(make_site, "FRA", folder)
    assert start_command(folder) == f"intelshare node run --folder '{folder}' --dev"
    assert start_command(folder, "b") == f"intelshare node run --folder '{folder}' --replica b --dev"
    with pytest.raises(ConfigError) as caught:
        running_address(folder)
    assert caught.value.hint == f"start it: {start_command(folder)}"
    monkeypatch.setattr(intelshare.vault, "is_development", lambda _: False)
    assert start_command(folder) == f"intelshare node run --folder '{folder}'"


def test_nobody_else_makes_that_command_line() -> None:
    made = "intelshare node run --folder {"
    source = Path(intelshare.__file__).parent
    assert [path.name for path in source.rglob("*.py") if made in path.read_text("utf-8")] == ["starting.py"]
