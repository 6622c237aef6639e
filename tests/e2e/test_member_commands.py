"""An operator stops dealing with a member by the command line, on the folder of a node that does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.nodes import intelshare, ok, running


@pytest.fixture
def fra(tmp_path: Path) -> Path:
    """FRA's folder, which has admitted USA."""
    for code in ("fra", "usa"):
        ok("init", code, tmp_path / code, "--dev")
    ok("member", "export", "--folder", tmp_path / "usa", "--out", tmp_path / "usa.member")
    admit(tmp_path / "fra")
    return tmp_path / "fra"


def admit(folder: Path, *words: str) -> str:
    file = folder.parent / "usa.member"
    read_out = ok("member", "fingerprint", file).out.strip()
    done = intelshare("member", "import", file, "--fingerprint", read_out, "--folder", folder, *words)
    return done.out + done.err


def exclusion(folder: Path) -> dict[str, object]:
    members = ok("member", "list", "--folder", folder, "--json").json["members"]
    found: dict[str, object] = next(one for one in members if one["member"] == "USA")
    return found


def test_a_file_without_an_address_says_so_at_both_ends(fra: Path) -> None:
    usa = fra.parent / "usa"
    assert "after the node's first start" in ok("member", "export", "--folder", usa).err
    assert "your node cannot call USA" in admit(fra)
    with running(usa):
        assert (
            "address" not in ok("member", "export", "--folder", usa, "--out", fra.parent / "usa.member").err
        )
    assert "address" not in admit(fra)


def test_suspend_and_resume_say_what_they_did_and_the_list_shows_it(fra: Path) -> None:
    assert "USA suspended" in ok("member", "suspend", "usa", "--folder", fra).out
    assert "was suspended before" in ok("member", "suspend", "USA", "--folder", fra).out
    assert exclusion(fra)["exclusion"] == "suspended"
    assert str(exclusion(fra)["excluded_by"]).endswith("/user/folder-owner")
    assert "suspended" in ok("member", "list", "--folder", fra).out
    assert "still suspended" in admit(fra)
    assert "USA dealt with again" in ok("member", "resume", "USA", "--folder", fra).out
    assert "was not suspended" in ok("member", "resume", "USA", "--folder", fra).out
    assert not exclusion(fra).get("exclusion")


def test_a_removal_asks_and_only_an_import_on_purpose_takes_it_back(fra: Path) -> None:
    planned = ok("member", "remove", "USA", "--folder", fra, "--dry-run")
    assert "would be removed" in planned.out
    asked = intelshare("member", "remove", "USA", "--folder", fra)
    assert (asked.code, "USAGE" in asked.err) == (2, True)
    assert not exclusion(fra).get("exclusion")
    assert "USA removed" in ok("member", "remove", "USA", "--folder", fra, "--yes").out
    assert exclusion(fra)["exclusion"] == "removed"
    refused = intelshare("member", "resume", "USA", "--folder", fra)
    assert (refused.code, "MEMBER_REMOVED" in refused.err) == (9, True)
    assert "MEMBER_REMOVED" in admit(fra)
    assert exclusion(fra)["exclusion"] == "removed"
    assert "USA" in admit(fra, "--again")
    assert not exclusion(fra).get("exclusion")


@pytest.mark.parametrize(("code", "why"), [("FRA", "INPUT_INVALID"), ("NOR", "NOT_FOUND")])
def test_nobody_leaves_out_itself_or_whom_it_does_not_know(fra: Path, code: str, why: str) -> None:
    for verb in ("suspend", "resume", "remove"):
        done = intelshare("member", verb, code, "--folder", fra, *(("--yes",) if verb == "remove" else ()))
        assert why in done.err


def test_a_member_that_was_made_again_is_told_from_one_that_is_unknown(fra: Path, tmp_path: Path) -> None:
    ok("init", "usa", tmp_path / "again" / "usa", "--dev")
    ok("member", "export", "--folder", tmp_path / "again" / "usa", "--out", tmp_path / "usa.member", "--json")
    assert "USA is known here by another root" in admit(fra)
