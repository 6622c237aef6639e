"""A node.toml that is damaged is said with its place, and with what loses nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.errors import ConfigError
from intelshare.node.settings_file import read_settings


@pytest.mark.parametrize("text", [b'member = "FRA"\0', b"\xff\xfe", b'member = "FRA'])
def test_a_damaged_file_comes_back_from_a_backup_alone(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        read_settings(path)
    assert raised.value.code == "FILE_SYNTAX"
    assert raised.value.place is not None
    assert raised.value.place.source == str(path)
    assert "BACKUP/folder/node.toml" in str(raised.value.hint)
