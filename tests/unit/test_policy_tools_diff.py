"""``policy diff`` shows the effect of a change, not its text."""

import json
import subprocess
from pathlib import Path

import pytest

import intelshare
from intelshare.cli.app import run

TREATY = (
    Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties" / "demo-climate.toml"
).read_text()
OVERLAY = '[[{0}]]\nid = "FRA-x"\nsource = "s"\nwhen = {{ flags = ["personal-data"], to = ["KEN"] }}\n'


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """The rows of the effect between two texts of the demo's treaty."""
    monkeypatch.chdir(tmp_path)

    def run_diff(base, head, *options):
        for name, text in (("base", base), ("head", head)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "t.toml").write_text(text)
        code = run(["policy", "diff", "base", "head", "--json", *options])
        return code, json.loads(capsys.readouterr().out)["effects"]

    return run_diff


def test_other_words_and_order_are_no_effect(compare):
    assert compare(TREATY, TREATY.replace("Framework on", "A framework on") + "\n# note\n") == (0, [])


def test_withdrawal_takes_away_from_its_day_on(compare):
    left = 'member = "KEN"\nratified = 2023-11-20\nin_force = 2024-01-01\nwithdrawn = 2027-01-01'
    code, found = compare(TREATY, TREATY.replace(left.rsplit("\n", 1)[0], left))
    assert code == 2
    assert {(row["widens"], row["since"], row["until"], row["after"]) for row in found} == {
        (False, "2027-01-01T00:00:00Z", "never", "WITHDRAWN")
    }
    assert {frozenset((row["from"], row["to"])) for row in found} == {
        frozenset(("FRA", "KEN")),
        frozenset(("USA", "KEN")),
    }


def test_raised_ceiling_widens(compare):
    code, found = compare(TREATY, TREATY.replace('ceiling = "R1"', 'ceiling = "R2"'), "--only-widening")
    assert code == 2
    assert all(row["widens"] and row["before"] == "EXCEEDS_CEILING" for row in found)
    assert {tuple(row["levels"]) for row in found} == {("R2",)}


def test_only_widening_is_content_with_less(compare):
    narrower = TREATY.replace('ceiling = "R1"', 'ceiling = "R0"')
    assert compare(TREATY, narrower, "--only-widening") == (0, [])
    assert compare(TREATY, narrower)[0] == 2


@pytest.mark.parametrize(("kind", "after"), [("forbid", "NATIONAL_LAW_FORBIDS"), ("hold", "hold")])
def test_new_overlay_takes_away_only_what_it_names(compare, tmp_path, kind, after):
    compare(TREATY, TREATY)
    (tmp_path / "head" / "overlays").mkdir()
    (tmp_path / "head" / "overlays" / "fra.toml").write_text(OVERLAY.format(kind))
    _, found = compare(TREATY, TREATY)
    assert {(row["from"], row["to"], row["flag"], row["after"]) for row in found} == {
        ("FRA", "KEN", "personal-data", after)
    }


def test_commits_are_compared_and_markdown_is_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    git("init", "-b", "main")
    for number, text in enumerate((TREATY, TREATY.replace('ceiling = "R1"', 'ceiling = "R3"'))):
        (tmp_path / "t.toml").write_text(text)
        git("add", ".")
        git("commit", "-m", f"c{number}")
    assert run(["policy", "diff", "HEAD~1..HEAD", "--format", "markdown"]) == 2
    out = capsys.readouterr().out
    assert "become releasable, 0 no longer are**" in out
    assert "| + | FRA | KEN | climate-disaster | R3 |" in out
    assert run(["policy", "diff", "HEAD..HEAD"]) == 0
    assert run(["policy", "diff", "HEAD..absent"]) == 8
    assert run(["policy", "diff", "HEAD"]) == 2
