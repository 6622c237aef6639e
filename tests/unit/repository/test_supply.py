"""What the project is built from and what it is built into: rows 85 to 87 of attacks.md."""

from __future__ import annotations

import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import supply
from intelshare.console.pages import SERVED
from processes import clean_environment, finished


def test_what_is_installed_is_what_the_lock_has_under_licences_that_are_allowed() -> None:
    assert not supply.wrong(supply.runtime(supply.EXTRAS), supply.locked(supply.LOCK.read_text("utf-8")))


def test_row_87_the_bill_of_materials_is_that_of_the_lock() -> None:
    kept = supply.SBOM.read_text("utf-8")
    assert kept == supply.bill(), "make sbom writes it"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(kept) is None


def test_another_version_another_licence_and_a_package_that_the_lock_lacks_are_named() -> None:
    packages = supply.runtime()
    lock = supply.locked(supply.LOCK.read_text("utf-8"))
    changed = packages | {
        "click": replace(packages["click"], version="8.9"),
        "rich": replace(packages["rich"], licence="GPL-3.0-only"),
        "grpcio": replace(packages["grpcio"], licence="GPL-3.0-only OR MIT"),
        "cffi": replace(packages["cffi"], licence="MIT AND SSPL-1.0"),
        "leftpad": supply.Package("leftpad", "1.0", "MIT", ()),
    }
    assert [line.split(":")[0] for line in supply.wrong(changed, lock)] == [
        "cffi", "click 8.9", "rich", "leftpad 1.0",
    ]  # fmt: skip
    assert supply.sbom(changed) != supply.sbom(packages)


def test_every_line_of_the_lock_has_a_hash_and_none_an_address() -> None:
    text = supply.LOCK.read_text("utf-8")
    for entry in text.replace("\\\n", " ").splitlines():
        assert "==" not in entry or "--hash=sha256:" in entry, entry
    assert "://" not in text


def test_row_85_ci_installs_by_hash_and_asks_whether_all_fits() -> None:
    """What is installed by CI is what the lock names, byte for byte, and every package has what it needs."""
    steps = (supply.REPOSITORY / ".ci" / "run").read_text("utf-8")
    assert "pip install -q --disable-pip-version-check --require-hashes -r requirements.lock" in steps
    assert "pip check" in steps
    for lock in supply.REPOSITORY.glob("*.lock"):
        for entry in lock.read_text("utf-8").replace("\\\n", " ").splitlines():
            assert "==" not in entry or "--hash=sha256:" in entry, (lock.name, entry)


@pytest.mark.timeout(300)
def test_row_86_two_builds_give_the_same_wheel_and_so_does_the_source_archive(tmp_path: Path) -> None:
    tracked = finished(["git", "ls-files", "-z"], cwd=supply.REPOSITORY, check=True).out.split("\0")[:-1]
    made = []
    for number, name in enumerate(("one", "another-place")):
        tree = tmp_path / name
        for file in tracked:
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            # The second has other times, and other rights for group and others.
            copy = shutil.copy if number else shutil.copy2
            if (supply.REPOSITORY / file).is_file():
                copy(supply.REPOSITORY / file, tree / file)
        made.append(_build(tree, tmp_path / f"built-{name}", "wheel", "sdist"))
    (wheel, archive), (again, archive_again) = made
    assert (wheel.name, archive.name) == (again.name, archive_again.name)
    assert wheel.read_bytes() == again.read_bytes()
    assert archive.read_bytes() == archive_again.read_bytes()
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    (from_source,) = _build(unpacked, tmp_path / "built-from-source", "wheel")
    assert wheel.read_bytes() == from_source.read_bytes()
    inside = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in inside} == {"intelshare"}
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert {f"intelshare/console/static/{name}" for name in SERVED.values()} <= set(inside)


def _build(tree: Path, out: Path, *targets: str) -> list[Path]:
    """What hatchling makes of a tree, with what is installed and nothing from the net."""
    for target in targets:
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out]
        unreachable = "http://127.0.0.1:9"
        env = clean_environment(
            SOURCE_DATE_EPOCH="1767225600", HTTPS_PROXY=unreachable, HTTP_PROXY=unreachable
        )
        finished(command, cwd=tree, env=env, check=True, seconds=120)
    return [next(out.glob("*.whl" if target == "wheel" else "*.tar.gz")) for target in targets]
