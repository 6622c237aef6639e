"""Ladders, groups and words of one's own add, and never change what labels mean that were written before."""

from __future__ import annotations

import contextlib
import time

import pytest

from intelshare.builtin import MAX_OWN, builtin_registry, extended_registry
from intelshare.errors import PolicyFileError
from intelshare.instant import Instant
from intelshare.labels import format_banner, parse_label

NOW = Instant(1_800_000_000_000_000)
ATLANTIS = '[state]\nXAT = "Atlantis"\n'
GROUP = '[[group]]\ncode = "{0}"\nname = "n"\nsource = "s"\norganisation = {1}\n'
LADDER = '[[ladder]]\nauthority = "{0}"\nsource = "s"\n[[ladder.row]]\n{1}\n'


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        # Codes that no label could say, or that look like another.
        ('[state]\n"FRА" = "a Cyrillic letter"\n', "FIELD_RANGE", 2),
        ('[state]\n"xat" = "small letters"\n', "FIELD_RANGE", 2),
        ('[state]\n"X, FRA" = "a list"\n', "FIELD_RANGE", 2),
        ('[state]\nFGI = "a marking"\n', "FIELD_RANGE", 2),
        (GROUP.format("A, FRA", "false"), "FIELD_RANGE", 2),
        (GROUP.format("NАTO", "true"), "FIELD_RANGE", 2),
        (GROUP.format("A B", "true"), "FIELD_RANGE", 2),
        # An organisation of that code would make SECRET alone a level of it.
        (GROUP.format("JOINT", "true"), "FIELD_RANGE", 2),
        # One code for two, and codes that ship.
        (ATLANTIS + GROUP.format("XAT", "false"), "DUPLICATE_KEY", 4),
        (GROUP.format("RHINE", "false") * 2, "DUPLICATE_KEY", 7),
        ('[state]\nNATO = "n"\n', "FIELD_RANGE", 2),
        ('[state]\nFRA = "n"\n', "LADDER_CONFLICT", 2),
        (GROUP.format("FVEY", "false"), "LADDER_CONFLICT", 2),
        (GROUP.format("FRA", "false"), "LADDER_CONFLICT", 2),
        (LADDER.format("FRA", 'R3 = { name = "X" }'), "LADDER_CONFLICT", 1),
        # What an organisation's level would take from a label that means something already.
        (
            GROUP.format("OWN", "true") + LADDER.format("OWN", 'R1 = { name = "FRA SECRET" }'),
            "DUPLICATE_KEY",
            7,
        ),
        (GROUP.format("OWN", "true") + LADDER.format("OWN", 'R1 = { name = "JOINT X" }'), "DUPLICATE_KEY", 7),
        (GROUP.format("OWN", "true") + LADDER.format("OWN", 'R1 = { name = "SECRET" }'), "DUPLICATE_KEY", 7),
        (
            GROUP.format("OWN", "true")
            + LADDER.format("OWN", 'R1 = { name = "OWN X", display = "NATO SECRET" }'),
            "DUPLICATE_KEY",
            7,
        ),
        (LADDER.format("LIE", 'R1 = { name = "A//B" }'), "FIELD_RANGE", 5),
        (LADDER.format("LIE", 'R1 = { name = "A" }\nR3 = { name = "A" }'), "DUPLICATE_KEY", 6),
        (LADDER.format("XQQ", 'R1 = { name = "A" }'), "PARTY_UNKNOWN", 2),
        # Words: those that ship have one meaning, and only they say what the node does.
        ('[[obligation]]\nname = "retention-30d"\nmeans = "m"\n', "LADDER_CONFLICT", 2),
        ('[[obligation]]\nname = "tell"\nmeans = "m"\nenforced = "the node tells"\n', "FIELD_RANGE", 4),
        ('[[category]]\nname = "cyber"\nmeans = "m"\n', "LADDER_CONFLICT", 2),
        ('[[category]]\nname = "сyber"\nmeans = "a Cyrillic letter"\n', "FIELD_RANGE", 2),
    ],
)
def test_what_would_change_or_resemble_what_ships_is_refused(text: str, code: str, line: int) -> None:
    with pytest.raises(PolicyFileError) as raised:
        extended_registry({"own.toml": text})
    assert (raised.value.code, raised.value.place and raised.value.place.line) == (code, line)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_files_that_state_the_same_conflict_in_either_order(order: tuple[int, int]) -> None:
    texts = [(f"{name}.toml", GROUP.format("RHINE", "false")) for name in "ab"]
    with pytest.raises(PolicyFileError) as raised:
        extended_registry(dict(texts[place] for place in order))
    assert raised.value.code == "DUPLICATE_KEY"


def test_what_was_a_label_before_reads_the_same_with_own_files() -> None:
    own = {
        "own.toml": ATLANTIS
        + GROUP.format("OWN", "true")
        + LADDER.format("OWN", 'R1 = { name = "OWN LOW" }\nR3 = { name = "OWN HIGH" }')
        + LADDER.format("XAT", 'R1 = { name = "SECRET" }')
    }
    extended = extended_registry(own)
    assert extended.own == own
    for text in ("SECRET//REL TO USA, FRA", "//FRA SECRET", "//NATO SECRET", "//JOINT SECRET GBR USA", "NS"):
        label = parse_label(text, builtin_registry(), NOW)
        assert parse_label(text, extended, NOW) == label
        assert format_banner(label, extended) == format_banner(label, builtin_registry())


def test_own_files_are_bounded_together() -> None:
    texts = {f"{n}.toml": "#" * (MAX_OWN // 3) for n in range(4)}
    with pytest.raises(PolicyFileError) as raised:
        extended_registry(texts)
    assert raised.value.code == "TOO_LARGE"


def _memberships(count: int) -> str:
    months = [(1000 + number // 12, number % 12 + 1) for number in range(count)]
    entry = '[[group.membership]]\nmembers = ["FRA"]\nfrom = {0:04}-{1:02}-01\nuntil = {0:04}-{1:02}-02\n'
    return GROUP.format("TIMES", "false") + "".join(entry.format(*month) for month in months)


def _rows(count: int) -> str:
    row = '[[ladder.row]]\nfrom = {0}-01-01\nuntil = {1}-01-01\nR1 = {{ name = "L{0}" }}\n'
    rows = "".join(row.format(1000 + number, 1001 + number) for number in range(count))
    return '[[ladder]]\nauthority = "LIE"\nsource = "s"\n' + rows


def _spellings(count: int) -> str:
    also = ",".join(f'{{ name = "A{n}", source = "s" }}' for n in range(count))
    return LADDER.format("LIE", f'R1 = {{ name = "L", also = [{also}] }}')


HOSTILE = {
    "one state many times": "[state]\n" + 'XAB = "n"\n' * 4000,
    "one member joins and leaves 4000 times": _memberships(4000),
    "4000 groups": "".join(GROUP.format(f"G{n}", "false") for n in range(4000)),
    "4000 words": "".join(f'[[category]]\nname = "w{n}"\nmeans = "m"\n' for n in range(4000)),
    "2000 rows": _rows(2000),
    "4000 spellings": _spellings(4000),
    "no end of brackets": "x = " + "[" * 500_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_costs_little(text: str) -> None:
    builtin_registry()
    began = time.process_time()
    with contextlib.suppress(PolicyFileError):
        registry = extended_registry({"own.toml": text})
        for code in registry.groups:
            registry.expand(code, NOW)
    assert time.process_time() - began < 2
