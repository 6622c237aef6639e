"""What says what this program is to do is read only from hands that may: row 107 of the attacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from intelshare.client import (
    Credentials,
    Profile,
    find_profile,
    passed_over,
    read_credentials,
    read_profile,
    write_profile,
)
from intelshare.errors import ConfigError, PolicyFileError, VaultError
from intelshare.node.folder import Folder
from intelshare.node.policies import law_texts
from intelshare.node.settings_file import read_settings
from intelshare.private_files import read_secret, read_trusted
from intelshare.vault import passphrase_from_secrets

Give = Callable[[Path], None]


@pytest.fixture(name="give")
def _give(monkeypatch: pytest.MonkeyPatch) -> Give:
    """Make a file somebody else's."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, 12_345, -1)
        else:
            mine = os.geteuid()
            monkeypatch.setattr("os.geteuid", lambda: mine + 1)

    return give


@pytest.fixture(name="profile")
def _profile(tmp_path: Path) -> Profile:
    made = Profile(tmp_path / "m.durand", "FRA", "m.durand", "127.0.0.1:1", "", "one.fra.intelshare.internal")
    write_profile(made, Credentials(b"c", b"a", b"k"))
    return made


def link(path: Path) -> None:
    path.rename(path.with_name("target"))
    path.symlink_to("target")


def hard_link(path: Path) -> None:
    os.link(path, path.with_name("second"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def group_writes(path: Path) -> None:
    path.chmod(0o660)


def folder_is_shared(path: Path) -> None:
    path.parent.chmod(0o770)


WAYS = (link, hard_link, pipe, group_writes, folder_is_shared)


def refused(read: Callable[[], object]) -> str:
    with pytest.raises((ConfigError, PolicyFileError)) as caught:
        read()
    assert caught.value.hint
    assert caught.value.place is not None
    return caught.value.code


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["profile.toml", "key.pem", "cert.pem", "ca.pem"])
def test_no_file_of_a_profile_is_read_that_others_could_have_put_there(
    profile: Profile, way: Give, name: str
) -> None:
    way(profile.folder / name)

    def use() -> None:
        read_credentials(read_profile(profile.folder))

    assert refused(use) == "UNSAFE_FILE"


@pytest.mark.parametrize("name", ["profile.toml", "key.pem", "cert.pem", "ca.pem"])
def test_a_file_of_somebody_else_is_not_read(profile: Profile, give: Give, name: str) -> None:
    give(profile.folder / name)
    assert refused(lambda: read_credentials(read_profile(profile.folder))) == "UNSAFE_FILE"


@pytest.mark.parametrize("way", WAYS[:-1])
def test_settings_of_the_folder_one_is_in_are_refused_where_they_may_be_somebody_elses(
    profile: Profile, tmp_path: Path, way: Give
) -> None:
    here = tmp_path / "work"
    here.mkdir(0o700)
    (here / ".intelshare.toml").write_text(f'profile = "{profile.folder}"\n')
    assert find_profile(None, {}, here) == profile
    way(here / ".intelshare.toml")
    assert refused(lambda: find_profile(None, {}, here)) == "UNSAFE_FILE"


def test_a_planted_file_in_a_shared_folder_above_is_passed_over(
    profile: Profile, tmp_path: Path, give: Give
) -> None:
    shared = tmp_path / "shared"
    here = shared / "mine" / "deep"
    here.mkdir(parents=True)
    (shared / ".intelshare.toml").write_text(f'profile = "{profile.folder}"\n')
    assert find_profile(None, {}, here) == profile
    assert passed_over({}, here) is None
    shared.chmod(0o1777)
    assert refused_as_missing(here)
    assert passed_over({}, here) == shared / ".intelshare.toml"
    assert passed_over({"INTELSHARE_PROFILE": "x"}, here) is None
    assert passed_over({"HOME": str(shared / "mine")}, here) is None
    shared.chmod(0o755)
    give(shared)
    assert refused_as_missing(here)


def refused_as_missing(here: Path) -> bool:
    with pytest.raises(ConfigError) as caught:
        find_profile(None, {"HOME": "/nonexistent"}, here)
    return caught.value.code == "NOT_FOUND"


def test_the_search_ends_at_the_home_folder(profile: Profile, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    (tmp_path / ".intelshare.toml").write_text(f'profile = "{profile.folder}"\n')
    assert find_profile(None, {"HOME": "/nonexistent"}, home / "work") == profile
    with pytest.raises(ConfigError, match="no profile"):
        find_profile(None, {"HOME": str(home)}, home / "work")


@pytest.mark.parametrize("way", WAYS)
def test_settings_and_law_of_a_node_are_read_in_the_same_way(tmp_path: Path, way: Give) -> None:
    root = tmp_path / "fra"
    for name in ("treaties", "overlays"):
        (root / name).mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    (root / "node.toml").write_text('member = "FRA"\nnode = "intelshare://d/node/one"\n')
    (root / "treaties" / "a.toml").write_text("x = 1\n")
    assert read_settings(root / "node.toml").member == "FRA"
    assert list(law_texts(Folder(root)).values()) == [b"x = 1\n"]
    way(root / "treaties" / "a.toml")
    assert refused(lambda: law_texts(Folder(root))) == "UNSAFE_FILE"
    way(root / "node.toml")
    assert refused(lambda: read_settings(root / "node.toml")) == "UNSAFE_FILE"


def test_more_than_was_expected_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    assert refused(lambda: read_trusted(tmp_path / "large", 10)) == "TOO_LARGE"


# Secrets of a container platform

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(name="secrets")
def _secrets(tmp_path: Path) -> Path:
    """As Kubernetes mounts them: ``passphrase -> ..data/passphrase``, ``..data -> ..2026_01_01``."""
    folder = tmp_path / "secrets"
    (folder / "..2026_01_01").mkdir(parents=True)
    real = folder / "..2026_01_01" / "passphrase"
    real.write_bytes(PASSPHRASE + b"\n")
    real.chmod(0o440)
    (folder / "..data").symlink_to("..2026_01_01")
    (folder / "passphrase").symlink_to("..data/passphrase")
    return folder


def test_links_inside_the_folder_and_a_group_that_reads_are_what_a_platform_mounts(secrets: Path) -> None:
    assert passphrase_from_secrets(secrets) == PASSPHRASE
    (secrets / "passphrase").unlink()
    (secrets / "passphrase").write_bytes(PASSPHRASE)
    (secrets / "passphrase").chmod(0o400)
    assert passphrase_from_secrets(secrets) == PASSPHRASE


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o402])
def test_a_secret_that_everybody_can_read_or_others_can_write_is_refused(secrets: Path, mode: int) -> None:
    (secrets / "passphrase").resolve().chmod(mode)
    assert refused(lambda: passphrase_from_secrets(secrets)) == "UNSAFE_FILE"


def test_a_link_out_of_the_folder_a_pipe_and_a_folder_that_others_write_are_refused(
    secrets: Path, tmp_path: Path, give: Give
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(PASSPHRASE)
    outside.chmod(0o400)
    (secrets / "link").symlink_to(outside)
    (secrets / "up").symlink_to("../outside")
    os.mkfifo(secrets / "pipe", 0o600)
    for name in ("link", "up", "pipe"):
        assert refused(lambda name=name: read_secret(secrets, name)) == "UNSAFE_FILE"  # type: ignore[misc]
    secrets.chmod(0o770)
    assert refused(lambda: passphrase_from_secrets(secrets)) == "UNSAFE_FILE"
    secrets.chmod(0o700)
    give((secrets / "passphrase").resolve())
    assert refused(lambda: passphrase_from_secrets(secrets)) == "UNSAFE_FILE"


def test_no_secret_says_what_the_folder_must_hold(tmp_path: Path) -> None:
    with pytest.raises(VaultError) as caught:
        passphrase_from_secrets(tmp_path)
    assert caught.value.code == "KEYSTORE_PASSWORD"
    assert "INTELSHARE_SECRETS" in str(caught.value.hint)
