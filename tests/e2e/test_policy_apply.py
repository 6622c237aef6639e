"""``policy plan`` and ``policy apply``: the effect, the question, the files, since when."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.nodes import expired_certificate, found, intelshare, ok, running, wait_until
from intelshare.client import read_profile, replace_credentials

LAW = """
[[forbid]]
id = "FRA-cyber"
source = "invented for this test"
when = { categories = ["cyber"] }
"""
PENDING = 12


@pytest.fixture(scope="module")
def fra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found(tmp_path_factory.mktemp("apply") / "fra", "FRA")


@pytest.fixture
def law(tmp_path: Path) -> Path:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "fra.toml").write_text(LAW)
    (tmp_path / "overlays" / "deu.toml").write_text(LAW.replace("FRA", "DEU"))
    return tmp_path


def test_a_plan_shows_the_effect_and_writes_nothing(fra: Path, law: Path) -> None:
    done = intelshare("policy", "plan", law, "--folder", fra)
    assert done.code == PENDING
    assert "new      overlays/fra.toml" in done.out
    assert "deu.toml: the law of DEU, not applied to a node of FRA" in done.out
    assert "the node is not running here" in done.out
    assert "NATIONAL_LAW_FORBIDS" in done.out
    assert not list((fra / "overlays").iterdir())


def test_without_an_answer_nothing_is_written_and_the_exit_says_that_changes_are_pending(
    fra: Path, law: Path
) -> None:
    done = intelshare("policy", "apply", law, "--folder", fra, "--json")
    assert done.code == PENDING
    assert done.json["applied"] is False
    assert done.json["files"] == [{"file": "overlays/fra.toml", "change": "new"}]
    assert done.json["effects"]
    assert not list((fra / "overlays").iterdir())


def test_a_file_that_is_wrong_is_never_written(fra: Path, law: Path) -> None:
    (law / "overlays" / "fra.toml").write_text(LAW.replace("when =", "whn ="))
    done = intelshare("policy", "apply", law, "--folder", fra, "--yes")
    assert done.code == 1
    assert "FIELD_UNKNOWN" in done.out
    assert not list((fra / "overlays").iterdir())


def test_files_that_are_applied_hold_at_once_and_status_says_since_when(fra: Path, law: Path) -> None:
    operator = fra / "users" / "operator"
    with running(fra):
        before = ok("status", "--as", operator, "--json").json["policy"]
        done = ok("policy", "apply", law, "--folder", fra, "--yes", "--json").json
        assert (done["applied"], done["compared_with"]) == (True, "the running node")
        after = ok("status", "--as", operator, "--json").json["policy"]
        assert after["since"] == done["since"]
        assert after["since"] > before["since"]
        assert {one["file"]: one["since"] for one in after["files"]}["overlays/fra.toml"] == after["since"]
        assert ok("policy", "apply", law, "--folder", fra, "--yes").out.startswith("nothing to do")
        # A file that is dropped into the folder takes effect too, and its log says when.
        (fra / "overlays" / "fra.toml").unlink()
        wait_until(
            lambda: ok("status", "--as", operator, "--json").json["policy"]["digest"] == before["digest"],
            "the node to read its files",
        )
        log = (fra.parent / "fra.log").read_text()
        assert '"path": "overlays/fra.toml", "status": "gone"' in log


def test_whoever_has_the_folder_applies_a_law_though_the_operators_certificate_has_expired(
    tmp_path_factory: pytest.TempPathFactory, law: Path
) -> None:
    fra = found(tmp_path_factory.mktemp("expired") / "fra", "FRA")
    operator = read_profile(fra / "users" / "operator")
    with running(fra):
        replace_credentials(operator, expired_certificate(fra, "operator"))
        planned = intelshare("policy", "plan", law, "--folder", fra, "--json")
        assert (planned.code, planned.json["compared_with"]) == (PENDING, "the running node"), planned
        done = ok("policy", "apply", law, "--folder", fra, "--yes", "--json").json
        assert done["applied"]
        assert done["since"], "it was waited until the node decides by it"
        # Whoever names a profile asks as that user, and as nobody else.
        named = intelshare("policy", "plan", law, "--folder", fra, "--as", operator.folder)
        assert "TLS_REFUSED" in named.err


def test_prune_removes_what_is_not_among_the_paths(fra: Path, law: Path) -> None:
    held = sorted(path.name for path in (fra / "treaties").iterdir())
    kept = ok("policy", "apply", law, "--folder", fra, "--yes", "--json").json
    assert kept["left"] == [f"treaties/{name}" for name in held]
    gone = ok("policy", "apply", law, "--folder", fra, "--prune", "--yes", "--json").json
    assert [one["change"] for one in gone["files"]] == ["gone"] * len(held)
    assert not list((fra / "treaties").iterdir())
