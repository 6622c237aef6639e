"""The door for contributors: what the forges read is well formed, and what the pages name is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PAGES = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "docs/releasing.md",
    "docs/decisions/README.md",
)
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read(path: str) -> Any:
    """A YAML file of the repository. ``on`` of a workflow reads as True, as YAML 1.1 says."""
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def words(value: Any) -> list[str]:
    """Every text anywhere in it."""
    if isinstance(value, dict):
        return [word for each in value.values() for word in words(each)]
    if isinstance(value, list):
        return [word for each in value for word in words(each)]
    return [str(value)]


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yml", ".gitlab-ci.yml", ".github/workflows/release.yml"]
)
def test_each_forge_calls_the_check_that_everybody_can_call(path: str) -> None:
    assert ".ci/run" in words(read(path))


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", ".github/workflows/release.yml"])
def test_a_workflow_may_read_and_nothing_else_and_ends(path: str) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True], "when it runs"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert set(step) <= {"uses", "with", "run"}, "no secret, no environment"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_has_what_the_forge_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert len({field["id"] for field in asked}) == len(asked)
    assert all(field["attributes"]["label"] for field in asked)
    assert any(field.get("validations", {}).get("required") for field in asked)


def test_both_forges_ask_the_same_of_a_change() -> None:
    ours, theirs = (
        ROOT / ".github/PULL_REQUEST_TEMPLATE.md",
        ROOT / ".gitlab/merge_request_templates/Default.md",
    )
    assert ours.read_bytes() == theirs.read_bytes()


def test_every_path_that_has_an_owner_is_there() -> None:
    for line in (ROOT / ".github/CODEOWNERS").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            path, *owners = line.split()
            assert owners, line
            assert path == "*" or (ROOT / path.strip("/")).exists(), line


def test_hooks_before_a_commit_are_local_and_there() -> None:
    for repository in read(".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert hook["entry"].startswith(".venv/bin/"), hook["id"]


def test_targets_of_make_that_the_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for call in re.findall(r"\bmake ([a-z][a-z -]*)`", (ROOT / page).read_text("utf-8"))
        for target in call.split()
    }
    assert "lint" in named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_of_a_page_are_there(page: str) -> None:
    text, folder = (ROOT / page).read_text("utf-8"), (ROOT / page).parent
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (folder / link).exists(), link
    for path in re.findall(r"`((?:src|tests|docs|proto)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
