"""pytest runs policy tests: one item per case, red for the wrong reason."""

import subprocess
import sys
from pathlib import Path

import intelshare

TREATIES = Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties"
CASE = """
[[case]]
name = "{0}"
at = 2026-11-24
from = "FRA"
to = "KEN"
label = "//FRA SECRET//REL TO FRA, KEN"
category = "cyber"
expect = "deny"
{1}
"""


def run_pytest(folder):
    # Whether the entry point is installed or not: the plugin is loaded once, by its module.
    arguments = [
        "-p",
        "no:intelshare",
        "-p",
        "intelshare.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-v",
        ".",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_every_case_is_an_item_that_fails_for_the_wrong_reason(tmp_path):
    (tmp_path / "demo-climate.toml").write_text((TREATIES / "demo-climate.toml").read_text())
    cases = [("right", "EXCEEDS_CEILING"), ("wrong", "NO_TREATY")]
    text = "".join(CASE.format(name, f'reason = "{reason}"') for name, reason in cases)
    (tmp_path / "a_test.toml").write_text(
        '[world]\ntreaties = ["demo-climate.toml"]\n' + text + CASE.format("any", "")
    )
    code, out = run_pytest(tmp_path)
    assert code == 1
    assert "a_test.toml::right PASSED" in out
    assert "a_test.toml::wrong FAILED" in out
    assert "denied for the wrong reason: expected NO_TREATY, got EXCEEDS_CEILING" in out
    assert "DeniedWithoutReason" in out
    assert "2 passed, 1 warning" in out.replace("1 failed, ", "")


def test_wrong_file_is_an_error_with_its_line(tmp_path):
    (tmp_path / "a_test.toml").write_text("[world]\ntreatise = []\n")
    code, out = run_pytest(tmp_path)
    assert code == 2
    assert "a_test.toml:2:" in out
    assert "error[FIELD_UNKNOWN]" in out
