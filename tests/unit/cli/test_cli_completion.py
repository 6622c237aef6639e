"""Completion knows members, treaties and ids, and asks no node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intelshare.cli.shared.completion import MAX_SEEN, MEMBER, TREATY, USER, know, known, see, seen
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


def test_known_members_come_first_and_alone(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, MEMBER, ["USA", "KEN"])
    assert completions("send", "--to", "", at=one.folder) == ["KEN", "USA"]
    assert completions("why", "3f9a1c22", "--member", "U", at=one.folder) == ["USA"]
    assert completions("send", "--to", "NO", at=one.folder) == ["NOR"]


def test_treaties_are_the_nodes(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, TREATY, ["gsa-fra-usa"])
    assert completions("treaty", "withdraw", "", at=one.folder) == ["gsa-fra-usa"]
    node = tmp_path / "node"
    (node / "treaties").mkdir(parents=True)
    for name in ("rhine", "rhine_test"):
        (node / "treaties" / f"{name}.toml").touch()
    (one.folder / "profile.toml").write_text(
        'member = "FRA"\nuser = "m"\nserver_name = "x"\nnode_folder = "../node"\n'
    )
    assert completions("treaty", "withdraw", "", at=one.folder) == ["rhine"]


def test_treaties_that_ship_are_offered_where_files_are_too(tmp_path: Path) -> None:
    assert "paris" in completions("treaty", "show", "", at=tmp_path)


@pytest.mark.parametrize(
    ("words", "among"),
    [
        (("send", "--category", "cyb"), "cyber"),
        (("send", "--flag", "per"), "personal-data"),
        (("send", "--label", "//FRA S"), "'//FRA SECRET'"),
        (("errors", "EXC"), "EXCEEDS_CEILING"),
        (("user", "add", "x", "--clearance", "R"), "R3"),
        (("schema", "out"), "outbox"),
        (("send", "--prece"), "--precedence"),
    ],
)
def test_words_of_closed_sets_are_completed(words: tuple[str, ...], among: str, tmp_path: Path) -> None:
    assert among in completions(*words, at=profile(tmp_path / "one").folder)


def test_users_are_those_of_the_folder_and_those_that_were_listed(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, USER, ["a.petit"])
    (tmp_path / "fra" / "users" / "m.durand").mkdir(parents=True)
    (tmp_path / "fra" / "users" / "c.roux.enrol").touch()
    folder = str(tmp_path / "fra")
    found = completions("user", "revoke", "--folder", folder, "", at=one.folder)
    assert found == ["a.petit", "c.roux", "m.durand"]


def test_outbox_offers_ids_beside_its_commands(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    see(one, ["3f9a1c22" + "0" * 24])
    assert completions("outbox", "3f", at=one.folder) == ["3f9a1c22"]
    assert {"approve", "refuse"} <= set(completions("outbox", "", at=one.folder))


def test_what_is_known_is_kept_once(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, MEMBER, ["USA", "USA"])
    know(one, MEMBER, ["USA", "KEN"])
    know(one, TREATY, ["KEN"])
    assert known(one, MEMBER) == ["USA", "KEN"]


def raw(shell: str, line: str, word: str, at: Path) -> str:
    """What the program tells the script of a shell, by that script's own protocol."""
    words = {"COMP_WORDS": line, "COMP_CWORD": word}
    done = subprocess.run(
        [sys.executable, "-c", "from intelshare.cli import main; main()"],
        env={
            **os.environ,
            **words,
            "_INTELSHARE_COMPLETE": f"{shell}_complete",
            "INTELSHARE_PROFILE": str(at),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_zsh_and_fish_get_values_with_their_meaning(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, MEMBER, ["USA"])
    assert raw("zsh", "intelshare send --to U", "3", one.folder) == "plain\nUSA\nUnited States\n"
    assert raw("fish", "intelshare send --to U", "U", one.folder) == "plain,USA\tUnited States\n"


def test_the_script_of_fish_cuts_at_the_first_comma_only(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "intelshare", "completion", "fish"], capture_output=True, text=True, check=True
    )
    assert 'split -m 1 ","' in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes_by_the_script(tmp_path: Path) -> None:
    one = profile(tmp_path / "one")
    know(one, MEMBER, ["USA"])
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "intelshare").write_text(f'#!/bin/sh\nexec {sys.executable} -m intelshare "$@"\n')
    (folder / "intelshare").chmod(0o700)
    script = (
        'eval "$(intelshare completion bash)"; COMP_WORDS=(intelshare send --to U); COMP_CWORD=3; '
        '_intelshare_completion intelshare; printf "%s\n" "${COMPREPLY[@]}"'
    )
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "INTELSHARE_PROFILE": str(one.folder),
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["USA"]
