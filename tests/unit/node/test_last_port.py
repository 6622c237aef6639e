"""The port for users that the next start takes, if node.toml names none."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.node.folder import Folder
from intelshare.node.last_port import last_user_port, remember_user_port


def test_each_replica_has_the_port_that_it_had(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for replica, port in (("a", 7001), ("b", 7002), ("", 7000), ("a", 7003)):
        remember_user_port(folder, replica, port)
    assert [last_user_port(folder, replica) for replica in ("a", "b", "", "c")] == [7003, 7002, 7000, 0]


@pytest.mark.parametrize("content", ["", "x", "-1", "65536"])
def test_a_file_that_names_no_port_is_passed_over(tmp_path: Path, content: str) -> None:
    folder = Folder(tmp_path)
    remember_user_port(folder, "", 7000)
    folder.user_port("").write_text(content)
    assert last_user_port(folder, "") == 0


def test_a_disk_that_refuses_the_file_ends_no_start(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.user_port("").parent.write_text("in its place")
    remember_user_port(folder, "", 7000)
    assert last_user_port(folder, "") == 0
