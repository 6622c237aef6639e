"""The policy repository to copy: its checks run in a copy as its CI files say, and catch what they should."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "policy-repo"
GITHUB = EXAMPLE / ".github" / "workflows" / "policy.yml"
GITLAB = EXAMPLE / ".gitlab-ci.yml"
INSTALL = "pip install intelshare"


def read(path):
    return yaml.safe_load(path.read_text("utf-8"))


def github_commands():
    """The scripts of the one job, in order; installing is left to whoever runs the tests."""
    (job,) = read(GITHUB)["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert scripts[0] == INSTALL
    return scripts[1:]


def gitlab_commands():
    """All lines of all jobs, in order."""
    file = read(GITLAB)
    assert file["default"]["before_script"] == [INSTALL]
    return [line for name, job in file.items() if name != "default" for line in job["script"]]


SYSTEMS = {"github": github_commands, "gitlab": gitlab_commands}


@pytest.fixture
def repository(tmp_path):
    """A copy as a clone whose origin has main; a way to run a command in it; a way to commit a change."""
    shutil.copytree(EXAMPLE, tmp_path / "seed")
    # Beside the interpreter of the tests is the command that they test.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        "PATH": path,
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }

    def git(folder, *arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        command = ["git", *who, "-C", str(tmp_path / folder), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return done.stdout.strip()

    git("seed", "init")
    git("seed", "add", ".")
    git("seed", "commit", "-m", "first")
    git(".", "clone", "seed", "clone")
    git("clone", "switch", "-c", "change")
    environment["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = git("clone", "rev-parse", "HEAD")

    def execute(script):
        # As the runners of both systems do it: the first line that fails ends the step.
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(
            shell, cwd=tmp_path / "clone", env=environment, capture_output=True, text=True, check=False
        )

    def change(file, old, new):
        path = tmp_path / "clone" / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        git("clone", "commit", "-am", "a change")

    return tmp_path / "clone", execute, change


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_command_of_the_ci_file_passes_in_a_copy(repository, system):
    folder, execute, _ = repository
    commands = SYSTEMS[system]()
    assert len(commands) >= 3
    for command in commands:
        done = execute(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    said = {"github": folder.parent / "summary.md", "gitlab": folder / "effect.md"}[system]
    assert said.read_text().strip() == "The effect of the policy is the same."


WRONG = [
    ("treaties/rhine-accord.toml", 'member = "CHE"', 'member = "CH"', "PARTY_UNKNOWN"),
    ("treaties/rhine-accord.toml", 'ceiling = "R1"', 'ceiling = "R2"', "CASE_FAILED"),
    ("treaties/rhine-accord.toml", "until = 2031-01-01", "until = 2032-01-01", "CASE_FAILED"),
    ("overlays/deu.toml", "[[forbid]]", "[[refuse]]", "CASE_FAILED"),
    ("overlays/deu_test.toml", 'flags = ["personal-data"]\n', "", "CASE_FAILED"),
    ("treaties/rhine-accord_test.toml", 'obligations = ["attribution"]\n', "", "MUTANT_LIVES"),
]
"""Changes of a file, and the code that one of the two first commands of a CI file says then."""


def test_both_systems_check_and_test_alike():
    of_output = re.compile(r" --(format|junit) \S+")
    github, gitlab = ([of_output.sub("", line) for line in SYSTEMS[name]()[:2]] for name in SYSTEMS)
    assert github == gitlab


@pytest.mark.parametrize(
    ("system", "file", "old", "new", "word"),
    [("github", *wrong) for wrong in WRONG] + [("gitlab", *WRONG[0]), ("gitlab", *WRONG[-1])],
)
def test_change_that_nobody_wrote_down_is_caught(repository, system, file, old, new, word):
    _, execute, change = repository
    change(file, old, new)
    check, test = SYSTEMS[system]()[:2]
    done = [execute(check), execute(test)]
    assert any(run.returncode and word in run.stdout for run in done)


@pytest.mark.parametrize("system", SYSTEMS)
def test_effect_of_a_change_is_shown_and_is_no_failure(repository, system):
    folder, execute, change = repository
    change("treaties/rhine-accord.toml", 'ceiling = "R1"', 'ceiling = "R2"')
    for command in SYSTEMS[system]()[2:]:
        done = execute(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    said = {"github": folder.parent / "summary.md", "gitlab": folder / "effect.md"}[system].read_text()
    assert "**more becomes releasable between" in said
    assert "| + | DEU | FRA | flood-warning |" in said


@pytest.mark.parametrize("system", SYSTEMS)
def test_effect_that_cannot_be_taken_is_a_failure(repository, system):
    _, execute, change = repository
    change("treaties/rhine-accord.toml", 'kind = "regional"', 'kind = "regoinal"')
    assert any(execute(command).returncode for command in SYSTEMS[system]()[2:])


@pytest.mark.parametrize(("schema", "path"), [("github-workflows", GITHUB), ("gitlab-ci", GITLAB)])
def test_ci_file_is_valid_by_the_schema_of_its_system(schema, path):
    """check-jsonschema carries both schemas; nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hooks_that_the_example_names_are_there_and_run(repository):
    _, execute, change = repository
    hooks = {hook["id"]: hook for hook in read(ROOT / ".pre-commit-hooks.yaml")}
    (source,) = read(EXAMPLE / ".pre-commit-config.yaml")["repos"]
    named = [hook["id"] for hook in source["hooks"]]
    assert set(named) == set(hooks)
    for name in named:
        hook = hooks[name]
        assert {"id", "name", "entry", "language"} <= hook.keys()
        assert (hook["language"], hook["pass_filenames"]) == ("python", False)
        assert execute(" ".join((hook["entry"], *hook["args"]))).returncode == 0
    change("treaties/rhine-accord.toml", 'ceiling = "R1"', 'ceiling = "R9"')
    for name in named:
        assert execute(" ".join((hooks[name]["entry"], *hooks[name]["args"]))).returncode == 1


def test_pytest_runs_the_cases_of_the_copy(repository):
    _, execute, _ = repository
    plugin = "-p no:intelshare -p intelshare.pytest_plugin -p no:cacheprovider -p no:xdist"
    done = execute(f"python -m pytest {plugin} -q .")
    assert done.returncode == 0, done.stdout
    assert "25 passed" in done.stdout


def test_commands_of_the_readme_are_those_of_the_tool(repository):
    _, execute, _ = repository
    text = (EXAMPLE / "README.md").read_text("utf-8")
    block = text.split("```")[1].strip().splitlines()
    assert block[0] == INSTALL
    for line in block[1:]:
        assert execute(line).returncode == 0, line
