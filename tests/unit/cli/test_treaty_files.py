"""``treaty lint``, ``fmt`` and ``new``: one form for all, comments kept, a beginning that passes."""

import errno
import json
import os
import random
import re
import tomllib

import pytest

from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.errors import PolicyFileError
from intelshare.policy import parse_treaty
from intelshare.policy_tools import check_treaty, formatted

UGLY = """\
# Head of the file.

# about the kind
kind   =  'bilateral'   # a word
title="X"


id = 'x'
source='said "so"'
in_force=2020-01-01
[[party]]


in_force = 2020-01-01
# who
member='FRA'
periods_are = "no field"
# behind the last field

# about the next
[[provision]]
categories=['cyber',   'terrorism',]
article=\"\"\"
a # no comment
b\"\"\"
ceiling = "R1"
[[equivalence]]
rows = [ # first
   1,[2,3] # second
]
# the end
"""

CANONICAL = """\
# Head of the file.

id = "x"
title = "X"
# about the kind
kind = "bilateral"      # a word
in_force = 2020-01-01
source = 'said "so"'

[[party]]
# who
member = "FRA"
in_force = 2020-01-01
periods_are = "no field"
# behind the last field

# about the next
[[provision]]
article = \"\"\"
a # no comment
b\"\"\"
categories = ["cyber", "terrorism"]
ceiling = "R1"

[[equivalence]]
rows = [ # first
    1, [2, 3],  # second
]
# the end
"""


def canonical(text):
    return formatted(text, "x.toml", "treaty", builtin_registry())


def test_spaces_quotes_and_order_are_canonical_and_comments_stay():
    assert canonical(UGLY) == CANONICAL
    assert canonical(CANONICAL) == CANONICAL


def test_text_hash_and_words_of_a_shipped_treaty_do_not_change():
    for path in treaty_packs().values():
        text = path.read_text("utf-8")
        made = canonical(text)
        assert (
            parse_treaty(made, "x", builtin_registry()).text
            == parse_treaty(text, "x", builtin_registry()).text
        )
        assert sorted(made.split()) == sorted(text.split())


@pytest.mark.parametrize("seed", range(20))
def test_spaces_and_line_ends_of_the_author_do_not_matter(seed):
    chance = random.Random(seed)
    base = re.sub(r" *#.*", "", treaty_packs()["jcpoa"].read_text("utf-8"))
    messy = "".join(
        line.replace(" = ", chance.choice(("=", "  =", "= "))).rstrip()
        + " " * chance.randrange(3)
        + "\n" * chance.choice((1, 1, 2, 3))
        if "=" in line and "[[" not in line
        else line + "\n"
        for line in base.split("\n")
    )
    made = canonical(messy)
    assert tomllib.loads(made) == tomllib.loads(base)
    assert "".join(made.split()) == "".join(canonical(base).split())
    assert canonical(made) == made
    assert canonical(messy.replace("\n", "\r\n")) == made


def test_what_is_no_toml_is_not_formatted():
    with pytest.raises(PolicyFileError) as caught:
        canonical("id = [\n")
    assert caught.value.code == "FILE_SYNTAX"


def test_shipped_treaties_are_canonical(capsys):
    paths = [str(path) for path in treaty_packs().values()]
    assert run(["treaty", "fmt", "--check", *paths]) == 0, capsys.readouterr().out


def test_fmt_writes_and_check_does_not(tmp_path, capsys):
    path = tmp_path / "x.toml"
    path.write_text(UGLY)
    assert run(["treaty", "fmt", "--check", str(path)]) == 1
    assert path.read_text() == UGLY
    assert f"would change  {path}" in capsys.readouterr().out
    assert run(["treaty", "fmt", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == [str(path)]
    assert path.read_text() == CANONICAL
    assert run(["treaty", "fmt", "--check", str(path)]) == 0


def test_fmt_rewrites_nothing_that_ships(capsys):
    before = {path: path.stat().st_mtime_ns for path in treaty_packs().values()}
    assert run(["treaty", "fmt", "paris"]) == 2
    assert "it ships with intelshare" in capsys.readouterr().err
    assert run(["treaty", "fmt", "--check", "paris"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in treaty_packs().values()}


def test_fmt_puts_a_whole_file_in_place_or_leaves_the_old_one(tmp_path, capsys, monkeypatch):
    path, link = tmp_path / "x.toml", tmp_path / "link.toml"
    path.write_text(UGLY)
    path.chmod(0o640)
    link.symlink_to(path)
    with monkeypatch.context() as broken:
        broken.setattr("os.replace", full)
        assert run(["treaty", "fmt", str(link)]) != 0
    assert "No space left" in capsys.readouterr().err
    assert path.read_text() == UGLY
    assert run(["treaty", "fmt", str(link)]) == 0
    assert path.read_text() == CANONICAL
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, path]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_fmt_leaves_tests_and_knows_overlays(tmp_path):
    overlay = tmp_path / "overlays" / "deu.toml"
    overlay.parent.mkdir()
    overlay.write_text('[[forbid]]\nwhen={}\nsource="s"\nid="a"\n')
    test = tmp_path / "x_test.toml"
    test.write_text("world={}\n")
    assert run(["treaty", "fmt", str(tmp_path)]) == 0
    assert overlay.read_text() == '[[forbid]]\nid = "a"\nsource = "s"\nwhen = {}\n'
    assert test.read_text() == "world={}\n"


def test_fmt_says_where_a_file_cannot_be_read(tmp_path, capsys):
    path = tmp_path / "x.toml"
    path.write_text('id = "a\n')
    assert run(["treaty", "fmt", str(path)]) == 1
    assert "error[FILE_SYNTAX]" in capsys.readouterr().err


def test_lint_finds_what_check_finds_and_the_form(tmp_path, capsys):
    path = tmp_path / "x.toml"
    path.write_text('id = "x"\n')
    assert run(["treaty", "lint", str(path)]) == 1
    errors = capsys.readouterr().out
    assert run(["policy", "check", str(path)]) == 1
    assert capsys.readouterr().out == errors
    assert (
        run(["treaty", "new", "nordic", "--party", "NOR", "--party", "SWE", "--folder", str(tmp_path)]) == 0
    )
    nordic = tmp_path / "nordic.toml"
    nordic.write_text(nordic.read_text().replace('title = "', 'title="'))
    capsys.readouterr()
    assert run(["treaty", "lint", str(nordic)]) == 0
    out = capsys.readouterr().out
    assert f"warning[NOT_FORMATTED]: it is not in the canonical form\n  --> {nordic}:3:1" in out
    assert "TREATY_UNTESTED" not in out
    assert "2 files, 0 errors, 1 warnings" in out


@pytest.mark.parametrize("kind", ["bilateral", "regional", "multilateral", "political-commitment"])
@pytest.mark.parametrize("members", [["NOR", "SWE"], ["POL", "GEO"], ["EU", "USA", "KEN"], ["TCD", "ERI"]])
def test_new_treaty_checks_lints_and_passes_its_test(kind, members, tmp_path, capsys):
    parties = [word for member in members for word in ("--party", member)]
    assert run(["treaty", "new", "begun", "--kind", kind, *parties, "--folder", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(["policy", "check", str(tmp_path)]) == 0
    unreachable = sum(member in ("TCD", "ERI") for member in members)
    out = capsys.readouterr().out
    assert out.count("warning[PARTY_UNREACHABLE]") == unreachable
    assert f"2 files, 0 errors, {unreachable} warnings" in out
    assert run(["policy", "test", str(tmp_path), "--coverage", "--threshold", "100"]) == 0
    assert run(["treaty", "fmt", "--check", str(tmp_path)]) == 0


def test_new_treaty_between_known_ladders_holds_every_rule(tmp_path):
    arguments = ["treaty", "new", "a", "--party", "KEN", "--party", "FRA", "--in-force", "2030-05-01"]
    assert run([*arguments, "--folder", str(tmp_path)]) == 0
    assert "in_force = 2030-05-01" in (tmp_path / "a.toml").read_text()
    assert run(["policy", "test", str(tmp_path), "--mutate"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nordic", "--party", "NOR"], "INPUT_INVALID"),
        (["nordic", "--party", "NOR", "--party", "NOR"], "INPUT_INVALID"),
        (["nordic", "--party", "NO", "--party", "SWE"], "UNKNOWN_MEMBER"),
        (["../nordic", "--party", "NOR", "--party", "SWE"], "INPUT_INVALID"),
        (["Nordic", "--party", "NOR", "--party", "SWE"], "INPUT_INVALID"),
    ],
)
def test_new_refuses_what_no_file_may_say(arguments, code, tmp_path, capsys):
    folder = tmp_path / "there"
    assert run(["treaty", "new", *arguments, "--folder", str(folder)]) != 0
    assert f"error[{code}]" in capsys.readouterr().err
    assert not folder.exists()


def test_new_overwrites_nothing(tmp_path, capsys):
    arguments = ["treaty", "new", "nordic", "--party", "NOR", "--party", "SWE", "--folder", str(tmp_path)]
    (tmp_path / "nordic_test.toml").write_text("mine")
    assert run(arguments) == 1
    assert "error[UNSAFE_NAME]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["nordic_test.toml"]
    assert (tmp_path / "nordic_test.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("notified", "code"),
    [
        ("2020-06-01", None),
        ("[2020-06-01, 2019-01-01]", None),
        ("[2020-06-01, 2022-01-01]", "DATES_OUT_OF_ORDER"),
        ('[2020-06-01, "2020"]', "FIELD_TYPE"),
        ("[inf]", "FIELD_RANGE"),
        ("true", "FIELD_TYPE"),
    ],
)
def test_every_notice_is_a_day_that_a_withdrawal_follows(notified, code):
    text = "\n".join(
        (
            'id = "x"\ntitle = "X"\nkind = "bilateral"\nin_force = 2018-01-01\nsource = "invented"',
            '[[party]]\nmember = "FRA"\nin_force = 2018-01-01',
            '[[party]]\nmember = "USA"\nin_force = 2018-01-01\nwithdrawn = 2021-06-01',
            f"notified = {notified}",
            '[[provision]]\narticle = "art. 1"\ncategories = ["cyber"]\nceiling = "R1"',
        )
    )
    _, found = check_treaty(text, "x.toml", builtin_registry())
    assert [(result.code, result.place.line) for result in found] == ([] if code is None else [(code, 13)])
