"""Which node, as whom: where a profile is found, and what is wrong with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from intelshare.client import (
    Credentials,
    Profile,
    address_of,
    find_profile,
    read_credentials,
    read_profile,
    renew_profile,
    replace_credentials,
    write_profile,
)
from intelshare.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "m.durand"
    profile = Profile(target, "FRA", "m.durand", "127.0.0.1:1", "", "paris-1.fra.intelshare.internal")
    write_profile(profile, Credentials(b"c", b"a", b"k"))
    return target


def test_a_profile_is_read_as_it_was_written(folder: Path) -> None:
    profile = read_profile(folder)
    assert (profile.member, profile.user, profile.address) == ("FRA", "m.durand", "127.0.0.1:1")
    assert profile.key.read_bytes() == b"k"
    assert profile.key.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_flag_wins_over_the_environment_over_the_file_over_xdg(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "work" / "deep"
    here.mkdir(parents=True)
    (tmp_path / "work" / ".intelshare.toml").write_text('profile = "../m.durand"\n')
    config = tmp_path / "config"
    (config / "intelshare").mkdir(parents=True)
    assert find_profile(str(folder), {"INTELSHARE_PROFILE": "/nowhere"}, here).user == "m.durand"
    assert find_profile(None, {"INTELSHARE_PROFILE": str(folder)}, Path("/")).user == "m.durand"
    assert find_profile(None, {}, here).user == "m.durand"
    folder.rename(config / "intelshare2")
    (config / "intelshare").rmdir()
    (config / "intelshare2").rename(config / "intelshare")
    assert find_profile(None, {"XDG_CONFIG_HOME": str(config)}, Path("/")).user == "m.durand"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("member = ", "FILE_SYNTAX"),
        ('member = "FRA"\nuser = "a"\nserver_name = "s"\naddress = "x:1"\nport = 1', "FIELD_UNKNOWN"),
        ("member = 1", "FIELD_TYPE"),
        ('member = "FRA"\nuser = "a"\nserver_name = "s"', "FIELD_RANGE"),
    ],
)
def test_a_wrong_profile_has_code_and_place(folder: Path, text: str, code: str) -> None:
    (folder / "profile.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_profile(folder)
    assert caught.value.code == code
    assert caught.value.place is not None
    assert "profile.toml" in caught.value.place.source


def test_a_key_that_others_can_read_is_refused_with_the_chmod(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        read_profile(folder)
    assert caught.value.code == "UNSAFE_FILE"
    assert caught.value.hint == f"chmod 600 {folder / 'key.pem'}"


def test_no_profile_at_all_says_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_profile(None, {"HOME": str(tmp_path)}, Path("/"))
    assert caught.value.code == "NOT_FOUND"
    assert "intelshare enrol" in (caught.value.hint or "")


@pytest.mark.parametrize(("text", "code"), [('profil = "x"', "FIELD_UNKNOWN"), ("profile = 1", "FIELD_TYPE")])
def test_a_mistyped_setting_of_the_folder_is_said_not_passed_over(
    tmp_path: Path, text: str, code: str
) -> None:
    (tmp_path / ".intelshare.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        find_profile(None, {}, tmp_path)
    assert caught.value.code == code
    assert caught.value.place is not None
    assert ".intelshare.toml" in caught.value.place.source


def test_a_renewed_certificate_leaves_what_was_sent_known(folder: Path) -> None:
    (folder / "spool").mkdir()
    (folder / "spool" / "key").write_text("sent")
    replace_credentials(read_profile(folder), Credentials(b"new", b"a", b"newer"))
    assert (folder / "spool" / "key").read_text() == "sent"
    assert (folder / "cert.pem").read_bytes() == b"new"
    assert (folder / "key.pem").read_bytes() == b"newer"
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert read_profile(folder).address == "127.0.0.1:1"


@pytest.mark.parametrize("done", range(4))
def test_a_renewal_that_is_cut_short_leaves_files_that_fit_together(
    folder: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process has written when it ends, certificate and key are both old or both new."""
    profile, left = read_profile(folder), [done]

    def write(path: Path, data: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        path.write_bytes(data)
        path.chmod(0o600)

    monkeypatch.setattr("intelshare.client.profile.write_private", write)
    new = Credentials(b"new", b"newest", b"newer")
    if done < 3:
        with pytest.raises(KeyboardInterrupt):
            replace_credentials(profile, new)
    else:
        replace_credentials(profile, new)
    assert read_credentials(profile) == (new if done == 3 else Credentials(b"c", b"a", b"k"))


@pytest.mark.parametrize("moved", range(4))
def test_files_that_were_being_moved_into_place_are_moved_by_whoever_reads_next(
    folder: Path, moved: int
) -> None:
    profile = read_profile(folder)
    new = {profile.key: b"newer", profile.authority: b"newest", profile.certificate: b"new"}
    for number, (path, data) in enumerate(new.items()):
        where = path if number < moved else path.with_name(f"{path.stem}.next.pem")
        where.write_bytes(data)
        where.chmod(0o600)
    assert read_credentials(profile) == Credentials(b"new", b"newest", b"newer")


def test_a_profile_that_was_moved_away_from_its_node_says_what_to_write_into_it(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "m", "FRA", "m", "", "../..", "one.fra.intelshare.internal")
    with pytest.raises(ConfigError) as raised:
        address_of(profile)
    assert raised.value.code == "NODE_UNREACHABLE"
    assert raised.value.place is not None
    assert raised.value.place.source == str(profile.folder / "profile.toml")
    assert 'address = "HOST:PORT"' in (raised.value.hint or "")


def test_a_profile_that_is_renewed_finds_its_node_where_the_new_enrolment_does(folder: Path) -> None:
    there, new = read_profile(folder), Credentials(b"c2", b"a2", b"k2")
    moved = replace(there, address="127.0.0.1:2", server_name="paris-2.fra.intelshare.internal")
    said = renew_profile(there, moved, new)
    assert ("127.0.0.1:1" in said, "127.0.0.1:2" in said) == (True, True)
    assert read_profile(folder) == moved
    assert read_credentials(moved) == new


def test_a_profile_of_which_the_node_has_not_moved_stays_as_its_user_wrote_it(folder: Path) -> None:
    by_folder = replace(read_profile(folder), address="", node_folder="..")
    text = (
        (folder / "profile.toml").read_text().replace('address = "127.0.0.1:1"', 'node_folder = ".." # mine')
    )
    (folder / "profile.toml").write_text(text)
    absolute = replace(by_folder, node_folder=str(folder.parent.resolve()))
    assert renew_profile(by_folder, absolute, Credentials(b"c2", b"a2", b"k2")) == ""
    assert (folder / "profile.toml").read_text() == text
