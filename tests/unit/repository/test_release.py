"""``make release``: what it makes, what it refuses, and that a person can check it with tools of others."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

import intelshare
import release
from processes import finished

VERSION = intelshare.__version__
READY = f"# Changelog\n\n## {VERSION} (unreleased)\n"


@pytest.mark.parametrize(
    ("status", "tags", "changelog", "begins"),
    [
        ("", [], READY, []),
        ("", [f"v{VERSION}", "demo"], READY, []),
        (" M README.md", [], READY, ["The tree has changes"]),
        ("", ["v9.9.9"], READY, ["The commit is tagged v9.9.9"]),
        ("", [], READY.replace(VERSION, VERSION + "1"), ["CHANGELOG.md has no section"]),
    ],
)
def test_a_release_is_of_what_is_committed_tagged_and_told(
    status: str, tags: list[str], changelog: str, begins: list[str]
) -> None:
    found = release.obstacles(VERSION, status=status, tags=tags, changelog=changelog)
    assert len(found) == len(begins)
    assert all(line.startswith(start) for line, start in zip(found, begins, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source archive of HEAD, with what is said of them."""
    out = tmp_path_factory.mktemp("dist")
    files = release.built("HEAD", "1767225600", out)
    (out / "how.json").write_text(release.provenance(files, "0" * 40, "1767225600"), "utf-8")
    return out


@pytest.mark.timeout(300)
def test_the_statement_names_what_was_built_by_its_hash(made: Path) -> None:
    said = json.loads((made / "how.json").read_text("utf-8"))
    assert {each["name"]: each["digest"]["sha256"] for each in said["subject"]} == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in made.glob("intelshare-*")
    }
    assert sorted(file.suffix for file in made.glob("intelshare-*")) == [".gz", ".whl"]


def test_a_signed_list_of_hashes_is_checked_by_the_commands_of_the_page(tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    (tmp_path / "a.whl").write_bytes(b"wheel")
    sums.write_text(f"{hashlib.sha256(b'wheel').hexdigest()}  a.whl\n", "utf-8")
    key, signers = tmp_path / "key", tmp_path / "signers"
    finished(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    finished(["ssh-keygen", "-Y", "sign", "-f", key, "-n", "intelshare-release", sums], check=True)
    signers.write_text("release " + key.with_suffix(".pub").read_text("utf-8"), "utf-8")
    check = f"ssh-keygen -Y verify -f {signers} -I release -n intelshare-release -s {sums}.sig < {sums}"
    assert finished(["sh", "-c", check]).code == 0
    sums.write_text(sums.read_text("utf-8").replace("a.whl", "b.whl"), "utf-8")
    assert finished(["sh", "-c", check]).code != 0


@pytest.mark.timeout(300)
def test_the_wheel_has_what_clients_in_other_languages_compile(made: Path) -> None:
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        assert len(names) == len(set(names))
        for proto in (Path(__file__).parents[3] / "proto" / "intelshare" / "v1").iterdir():
            assert opened.read(f"intelshare/wire/v1/{proto.name}").startswith(b"//")
