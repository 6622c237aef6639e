"""Completion knows members, treaties and ids, and asks no node."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from intelshare.cli.shared.completion import MAX_SEEN, see, seen
from intelshare.client import Credentials, Profile, write_profile


def profile(folder: Path) -> Profile:
    made = Profile(folder, "FRA", "m.durand", "127.0.0.1:1", "", "one.fra.intelshare.internal")
    write_profile(made, Credentials(b"c", b"a", b"k"))
    return made


def completions(*words: str, at: Path) -> list[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("INTELSHARE_")},
        "_INTELSHARE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["intelshare", *words]),
        "COMP_CWORD": str(len(words)),
        "INTELSHARE_PROFILE": str(at),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from intelshare.cli import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_members_are_completed_also_in_a_list(tmp_path: Path) -> None:
    assert "FRA" in completions("send", "--to", "FR", at=tmp_path)
    assert "USA,NATO" in completions("send", "--to", "USA,NA", at=tmp_path)


def test_treaties_of_acts_are_completed(tmp_path: Path) -> None:
    assert completions("treaty", "suspend", "par", at=tmp_path) == ["paris"]


def test_ids_are_those_that_this_profile_has_seen(tmp_path: Path) -> None:
    one, other = profile(tmp_path / "one"), profile(tmp_path / "other")
    see(one, ["3f9a1c22" + "0" * 24, "3f000000" + "0" * 24])
    assert completions("read", "3f9", at=one.folder) == ["3f9a1c22"]
    assert completions("read", "3f", at=other.folder) == []
    assert completions("read", "3f", at=tmp_path / "nowhere") == []


def test_what_is_remembered_is_bounded_private_and_kept_once(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    ids = [f"{number:032x}" for number in range(MAX_SEEN + 10)]
    see(one, ids)
    see(one, ids[:5])
    assert len(seen(one)) == MAX_SEEN
    assert (one.folder / "seen").stat().st_mode & 0o777 == 0o600
    (one.folder / "seen").write_bytes(b"\xff")
    assert seen(one) == []


def test_members_of_an_own_group_are_completed_where_its_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "own.toml").write_text('source = "invented"\n[state]\nXAT = "Atlantis"\n')
    words = ["label", "convert", "x"]
    assert completions(*words, "--folder", str(tmp_path), "--to", "XA", at=tmp_path) == ["XAT"]
    assert completions(*words, "--to", "XA", at=tmp_path) == []


def test_words_of_a_node_on_this_machine_are_completed(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "own.toml").write_text('[[category]]\nname = "tide"\nmeans = "Water levels."\n')
    made = Profile(tmp_path / "users" / "m", "FRA", "m.durand", "", "../..", "one.fra.intelshare.internal")
    made.folder.parent.mkdir()
    write_profile(made, Credentials(b"c", b"a", b"k"))
    assert completions("send", "--category", "tid", at=made.folder) == ["tide"]
    assert completions("send", "--as", str(made.folder), "--category", "tid", at=tmp_path) == ["tide"]
    (tmp_path / "words" / "own.toml").write_text("nonsense")
    assert completions("send", "--category", "cybe", at=made.folder) == ["cyber"]
