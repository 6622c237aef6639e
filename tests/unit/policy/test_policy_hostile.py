"""Policy files by a fool or an enemy: each error has its code, line and caret, and none costs much."""

import json
import os
import subprocess
import sys
from time import process_time

import pytest

from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.cli.shared.output import error_lines
from intelshare.errors import PolicyFileError
from intelshare.labels import parse_registry
from intelshare.policy_tools import check_overlay, check_treaty
from intelshare.toml.reader import MAX_FILE_BYTES

GOOD = """\
id = "nordic"
title = "Nordic Framework"
kind = "regional"
in_force = 2020-01-01
source = "invented"

[[party]]
member = "SWE"
in_force = 2020-01-01

[[party]]
member = "NOR"
periods = [{ from = 2020-01-01, until = 2021-01-01 }, { from = 2022-01-01 }]

[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R3"
"""


def found(text):
    """Code, line, column and what the caret stands under, of all that is wrong."""
    results = check_treaty(text, "nordic.toml", builtin_registry())[1]
    told = []
    for result in results:
        place = result.place
        under = place.excerpt[place.column - 1 :][: place.width]
        lines = error_lines(PolicyFileError(result.code, result.message, place=place, hint=result.hint))
        assert lines[1].startswith(f"  --> nordic.toml:{place.line}:{place.column}")
        assert lines[3].lstrip(" |").rstrip(" ").startswith("^")
        told.append((result.code, place.line, place.column, under))
    return told


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('title = "N', 'titel = 1\ntitle = "N', ("FIELD_UNKNOWN", 2, 1, "titel")),
        ('member = "SWE"', 'member = "SWE"\nmembre = "X"', ("FIELD_UNKNOWN", 9, 1, "membre")),
        ('title = "Nordic Framework"', "title = 3", ("FIELD_TYPE", 2, 9, "3")),
        ('["cyber"]', '"cyber"', ("FIELD_TYPE", 17, 14, '"cyber"')),
        (
            "[{ from = 2020-01-01, until = 2021-01-01 }, { from = 2022-01-01 }]",
            "[3]",
            ("FIELD_TYPE", 13, 11, "[3]"),
        ),
        ("in_force = 2020-01-01\nsource", "in_force = inf\nsource", ("FIELD_RANGE", 4, 12, "inf")),
        ("in_force = 2020-01-01\nsource", "in_force = nan\nsource", ("FIELD_RANGE", 4, 12, "nan")),
        ('title = "Nordic Framework"', "title = -inf", ("FIELD_RANGE", 2, 9, "-inf")),
        ('member = "NOR"', 'member = "SWE"', ("DUPLICATE_KEY", 12, 10, '"SWE"')),
        ("{ from = 2022-01-01 }", "{ from = 2020-06-01 }", ("INTERVAL_OVERLAP", 13, 11, "[{ from")),
    ],
)
def test_error_has_its_code_line_column_and_caret(old, new, expected):
    assert old in GOOD
    (told,) = found(GOOD.replace(old, new, 1))
    assert told[:3] == expected[:3]
    assert told[3].startswith(expected[3])


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('kind = "regional"', 'kind = "regional"\nkind = "regional"', "DUPLICATE_KEY", 4),
        ("[[provision]]", "[party]\n[[provision]]", "DUPLICATE_KEY", 15),
        ("{ from = 2022-01-01 }", "{ from = 2022-01-01, from = 2023-01-01 }", "DUPLICATE_KEY", 13),
        ("in_force = 2020-01-01\nsource", "in_force = 2020-02-30\nsource", "FIELD_RANGE", 4),
        ("until = 2021-01-01", "until = 2021-13-01", "FIELD_RANGE", 13),
        ("in_force = 2020-01-01\nsource", "in_force = 0000-01-01\nsource", "FIELD_RANGE", 4),
        ('title = "N', '\ufefftitle = "N', "FILE_SYNTAX", 2),
        ("\n[[party]]", "\r\n[[party]]", "FILE_SYNTAX", 6),
        ("Nordic Framework", "Nordic\rFramework", "FILE_SYNTAX", 2),
        ('kind = "regional"', "kind = ", "FILE_SYNTAX", 3),
        ('kind = "regional"', f"kind = {'9' * 5000}", "FIELD_RANGE", 3),
        ('kind = "regional"', f"kind = {'[' * 5000}", "TOO_LARGE", 3),
        ('kind = "regional"', f"{'a.' * 50}kind = 1", "TOO_LARGE", 3),
        ('kind = "regional"', f'kind = "regional"\n{"k" * 5000} = 1', "TOO_LARGE", 4),
    ],
)
def test_what_toml_refuses_has_its_code_and_line(old, new, code, line):
    assert old in GOOD
    (told,) = found(GOOD.replace(old, new, 1))
    assert told[:2] == (code, line)


def test_byte_order_mark_is_refused():
    (told,) = found("\ufeff" + GOOD)
    assert told[:3] == ("FILE_SYNTAX", 1, 1)


def test_all_of_it_is_told_at_once():
    wrong = (
        ("\ufeff" + GOOD)
        .replace('title = "Nordic Framework"', 'title = "Nordic Framework"\r')
        .replace('kind = "regional"', 'kind = "regional"\nkind = "regional"\ncolour = 1')
        .replace("in_force = 2020-01-01\nsource", "in_force = 2020-02-30\nsource")
        .replace('source = "invented"', "source = nan")
        .replace('"SWE"', '"SW"')
        .replace("{ from = 2022-01-01 }", "{ from = 2020-06-01 }")
        .replace('["cyber"]', "inf")
        .replace('"R3"', "3")
    )
    assert [told[:2] for told in found(wrong)] == [
        ("FILE_SYNTAX", 1),
        ("FILE_SYNTAX", 2),
        ("DUPLICATE_KEY", 4),
        ("FIELD_UNKNOWN", 5),
        ("FIELD_RANGE", 6),
        ("FIELD_RANGE", 7),
        ("PARTY_UNKNOWN", 10),
        ("INTERVAL_OVERLAP", 15),
        ("FIELD_TYPE", 19),
        ("FIELD_TYPE", 20),
    ]


def test_all_that_is_wrong_in_a_case_is_told_at_once(tmp_path, capsys):
    path = tmp_path / "a_test.toml"
    path.write_text("""[world]
treaties = []
[[case]]
name = "x"
from = "FRX"
to = "UZA"
label = "SECRTE"
category = "cyber"
expect = "dney"
reason = "NOFORN"
colour = 1
""")
    assert run(["policy", "check", str(path), "--json"]) == 1
    told = [(one["code"], one["line"]) for one in json.loads(capsys.readouterr().out)["results"]]
    assert told == [
        ("PARTY_UNKNOWN", 5),
        ("PARTY_UNKNOWN", 6),
        ("UNKNOWN_LEVEL", 7),
        ("FIELD_RANGE", 9),
        ("FIELD_UNKNOWN", 11),
    ]


@pytest.mark.parametrize(
    "line", ["[a{0}.b.c.d.e.f.g.h]", "[a{0}.b.c.d.e]\nb.c.d.e = 1", "a{0}.b.c.d.e.f.g.h = 1"]
)
def test_a_million_small_tables_are_too_large(line):
    text = GOOD + "\n".join(line.format(number) for number in range(30_000))
    start = process_time()
    assert [told[0] for told in found(text)] == ["TOO_LARGE"]
    assert process_time() - start < 1


def test_mended_date_brings_no_second_error():
    wrong = GOOD.replace("until = 2021-01-01", "until = 2021-02-30").replace(
        'member = "SWE"\nin_force = 2020-01-01',
        'member = "SWE"\nin_force = 2020-01-01\nwithdrawn = 2021-02-30',
    )
    assert [told[:2] for told in found(wrong)] == [("FIELD_RANGE", 10), ("FIELD_RANGE", 14)]


def test_groups_that_name_each_other_are_a_circle():
    group = '[[group]]\ncode = "{0}"\nname = "n"\nsource = "s"\n[[group.membership]]\nmembers = ["{1}"]\n'
    texts = {
        f"{one}.toml": group.format(one, other)
        for one, other in (("AAA", "BBB"), ("BBB", "CCC"), ("CCC", "AAA"))
    }
    with pytest.raises(PolicyFileError) as caught:
        parse_registry(texts)
    assert (caught.value.code, caught.value.place.source, caught.value.place.line) == (
        "REFERENCE_CYCLE",
        "AAA.toml",
        1,
    )
    texts["CCC.toml"] = group.format("CCC", "DDD")
    with pytest.raises(PolicyFileError) as caught:
        parse_registry(texts)
    assert caught.value.code == "PARTY_UNKNOWN"


def test_test_that_names_itself_and_link_to_itself_are_circles(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_test.toml").write_text('[world]\ntreaties = ["a_test.toml"]\n')
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    assert run(["policy", "check", "."]) == 1
    out = capsys.readouterr().out
    assert out.count("error[REFERENCE_CYCLE]") == 2
    assert "--> a_test.toml:1" in out
    assert "--> loop.toml" in out


def test_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.toml")
    assert run(["policy", "check", str(tmp_path)]) == 1
    assert "it is not a regular file" in capsys.readouterr().out


PARTY = '[[party]]\nmember = "FRA"\n'
ROWS = '[[provision]]\narticle = "a"\ncategories = ["c"]\nceiling = "R1"\n' * 4000
BIG = {
    "bytes": lambda: GOOD + "#" * 100_000_000,
    "parties": lambda: GOOD + PARTY * 1_000_000,
    "parties-within-the-size": lambda: GOOD + PARTY * 40_000,
    "inline-parties": lambda: GOOD.partition("\n\n")[0] + "\nparty = [" + "{}," * 300_000 + "]\n",
    "nested-lists": lambda: "x = " + "[" * 1_000_000,
    "nested-lists-closed": lambda: "x = " + "[" * 500_000 + "]" * 500_000,
    "nested-tables": lambda: "x = " + "{a=" * 300_000,
    "nested-headers": lambda: "[" + "a." * 500_000 + "a]\n",
    "nested-keys": lambda: "a." * 500_000 + "a = 1\n",
    "string": lambda: GOOD.replace("Nordic Framework", "x" * 1_000_000),
    "escapes": lambda: GOOD.replace("Nordic Framework", "\\u0041" * 170_000),
    "key": lambda: GOOD.replace("\n\n", "\n" + "k" * 1_000_000 + " = 1\n\n", 1),
    "categories": lambda: GOOD.replace('"cyber"', '"c",' * 5000),
}
MEASURED = """
import sys, time
from intelshare.cli.app import run
code = run(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(code, time.process_time(), peak.split()[1], file=sys.stderr)
"""


def measured(path, *command):
    """Output, exit code, seconds of a processor and peak memory in KiB of a command in its own process."""
    arguments = [sys.executable, "-c", MEASURED, *command, str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    code, seconds, peak = done.stderr.split()[-3:]
    return done.stdout, int(code), float(seconds), int(peak)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", BIG)
def test_file_that_is_too_large_costs_little_memory(name, tmp_path):
    seconds_of_large_file(name, tmp_path)


@pytest.mark.timed
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("name", BIG)
def test_file_that_is_too_large_costs_less_than_2_seconds(name, tmp_path):
    assert seconds_of_large_file(name, tmp_path) < 2


def seconds_of_large_file(name, tmp_path):
    path = tmp_path / "big.toml"
    path.write_text(BIG[name]())
    out, code, seconds, peak = measured(path, "policy", "check")
    assert code == 1
    assert out.startswith("error[TOO_LARGE]")
    assert len(out) < 2000
    assert peak < 200 << 10
    return seconds


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
def test_file_of_nothing_but_errors_costs_little_memory(tmp_path):
    seconds_of_errors(tmp_path)


@pytest.mark.timed
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
def test_file_of_nothing_but_errors_costs_less_than_4_seconds(tmp_path):
    assert seconds_of_errors(tmp_path) < 4


def seconds_of_errors(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD + ROWS + '[[party]]\nmember = "XX"\nin_force = 3\n' * 900)
    assert path.stat().st_size < MAX_FILE_BYTES
    out, code, seconds, peak = measured(path, "policy", "check")
    assert (code, peak < 200 << 10) == (1, True)
    assert out.count("error[") > 5
    return seconds


def test_overlay_is_held_to_the_same_bounds():
    (result,) = check_overlay("x = " + "[" * 100_000, "deu.toml", builtin_registry())[1]
    assert result.code == "TOO_LARGE"
