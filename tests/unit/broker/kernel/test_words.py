"""Categories, flags and obligations are words with a meaning: a slip is an error wherever one is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builders import NOW, Member, actor, draft, text, user
from intelshare.broker.kernel.node import with_files
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.line.submit import SubmitCommand, dry_run
from intelshare.broker.queries.lists import InboxQuery, inbox
from intelshare.builtin import builtin_registry, demo_treaties, extended_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.errors import IntelshareError, PolicyFileError
from intelshare.instant import NEVER, parse
from intelshare.labels import WordKind, parse_registry
from intelshare.node.policies import world_of
from intelshare.policy import ActKind, Reservation, parse_overlay, parse_treaty
from line_world import TO_USA, does, everything, met, refused, send

REGISTRY = builtin_registry()
TREATY = """id = "t"
title = "t"
kind = "bilateral"
in_force = 2020-01-01
source = "s"
[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R1"
obligations = ["retention-30d"]
[[party]]
member = "FRA"
in_force = 2020-01-01
reservations = [{ categories = ["terrorism"] }]
"""
LAW = '[[oblige]]\nid = "a"\nsource = "s"\nobligation = "attribution"\nwhen = { flags = ["personal-data"] }\n'


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ('"cyber"', '"cybr"'),
        ('"retention-30d"', '"retention-thirty"'),
        ('"terrorism"', '"terrorsim"'),
    ],
)
def test_a_slip_in_a_treaty_is_an_error_where_it_stands(slip: str, meant: str) -> None:
    parse_treaty(TREATY, "t.toml", REGISTRY)
    with pytest.raises(PolicyFileError) as caught:
        parse_treaty(TREATY.replace(slip, meant), "t.toml", REGISTRY)
    assert caught.value.code == "WORD_UNKNOWN"
    place = caught.value.place
    assert place is not None
    assert (place.excerpt or "")[(place.column or 0) - 1 :].startswith(meant[:4])
    assert "did you mean" in (caught.value.hint or "")


@pytest.mark.parametrize(("word", "slip"), [("personal-data", "personl-data"), ("attribution", "atribution")])
def test_a_slip_in_national_law_is_an_error(word: str, slip: str) -> None:
    parse_overlay(LAW, "fra.toml", REGISTRY)
    with pytest.raises(PolicyFileError) as caught:
        parse_overlay(LAW.replace(word, slip), "fra.toml", REGISTRY)
    assert (caught.value.code, caught.value.hint) == ("WORD_UNKNOWN", f'did you mean "{word}"?')


def test_the_number_of_days_stays_in_the_hint() -> None:
    with pytest.raises(PolicyFileError) as caught:
        parse_treaty(TREATY.replace("retention-30d", "retension-7d"), "t.toml", REGISTRY)
    assert caught.value.hint == 'did you mean "retention-7d"?'


@pytest.mark.parametrize("word", ["retention-d", "retention-030d", "retention-36501d", "retention-", "*", ""])
def test_what_only_looks_like_a_word_is_none(word: str) -> None:
    assert REGISTRY.words.wrong(WordKind.OBLIGATION, word)


@pytest.fixture
def members() -> Any:
    return met(["FRA", "USA"])


def code_of(member: Member, ask: Any) -> str:
    before = everything(member)
    with pytest.raises(IntelshareError) as caught:
        ask()
    assert everything(member) == before
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize(
    "changes", [{"category": "cybr"}, {"category": "*"}, {"category": ""}, {"flags": ("personl-data",)}]
)
def test_a_slip_in_a_draft_is_refused_before_anything_is_stored(
    members: Any, changes: dict[str, Any]
) -> None:
    fra, given = members["FRA"], draft(text(TO_USA), to=["USA"])
    given = replace(given, portions=(replace(given.portions[0], **changes),))
    codes = {"WORD_UNKNOWN", "INPUT_INVALID"} if not changes.get("category", "x") else {"WORD_UNKNOWN"}
    assert code_of(fra, lambda: send(fra, given)) in codes
    assert (
        code_of(fra, lambda: fra.ask(dry_run, SubmitCommand(actor("FRA", "a"), bytes(16), given), NOW))
        in codes
    )


def test_a_slip_in_the_register_a_reservation_or_a_filter_is_refused(members: Any) -> None:
    fra = members["FRA"]
    row = UserRow(user("FRA", "n"), "n", "analyst", "R4", "FRA", "cyber terrorsim", 0)
    assert code_of(fra, lambda: fra.do(set_user, SetUserCommand(user("FRA", "o"), row))) == "WORD_UNKNOWN"
    fra.do(set_user, SetUserCommand(user("FRA", "o"), row._replace(categories="cyber *")))
    bad = Reservation(categories=frozenset(("cybr",)))
    assert code_of(fra, lambda: does(fra, ActKind.RESERVE, reservation=bad)) == "WORD_UNKNOWN"
    wanted = InboxQuery(category="cybr")
    assert code_of(fra, lambda: fra.ask(inbox, actor("FRA", "a"), wanted, NOW)) == "WORD_UNKNOWN"


OWN = """[[category]]
name = "fisheries"
means = "Catches."
from = 2026-01-01
until = 2030-01-01
"""


def test_a_file_beside_the_treaties_adds_words_and_dates_them() -> None:
    words = extended_registry({"words/own.toml": OWN}).words
    assert words.wrong(WordKind.CATEGORY, "fisheries") is None
    assert words.wrong(WordKind.CATEGORY, "cyber") is None
    at = [words.wrong(WordKind.CATEGORY, "fisheries", parse(f"{year}-06-01")) for year in (2025, 2026, 2030)]
    assert [one is None for one in at] == [False, True, False]


def test_a_file_beside_the_treaties_changes_nothing_that_ships() -> None:
    with pytest.raises(PolicyFileError) as caught:
        extended_registry({"words/own.toml": OWN.replace("fisheries", "cyber")})
    assert caught.value.code == "LADDER_CONFLICT"


def test_every_word_of_the_packs_and_the_demo_is_stated_with_a_meaning() -> None:
    for kind in WordKind:
        assert REGISTRY.words.of(kind)
        assert all(len(word.means) > 10 for word in REGISTRY.words.of(kind).values())
    texts = {**demo_treaties(), **{path.name: path.read_text("utf-8") for path in treaty_packs().values()}}
    for name, content in texts.items():
        parse_treaty(content, name, REGISTRY)


def test_a_registry_that_states_no_words_checks_none() -> None:
    assert parse_registry({}).words.wrong(WordKind.FLAG, "anything") is None


def test_words_are_listed_with_who_sees_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "words", "obligation"]) == 0
    lines = {
        line.split("  ")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "  " in line
    }
    assert "node" in lines["retention-{days}d"]
    assert "people" in lines["equal-protection"]


def test_groups_are_listed_with_a_hash_that_two_operators_can_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hashes(*words: str) -> dict[str, str]:
        assert run(["policy", "groups", *words, "--json"]) == 0
        return {one["code"]: one["digest"] for one in json.loads(capsys.readouterr().out)["groups"]}

    shipped = hashes()
    assert shipped == {code: group.digest for code, group in REGISTRY.groups.items()}
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "own.toml").write_text(
        '[[group]]\ncode = "RHINE"\nname = "n"\norganisation = false\nsource = "s"\n'
        '[[group.membership]]\nmembers = ["CHE", "DEU"]\n'
    )
    assert hashes("--folder", str(tmp_path)).keys() - shipped.keys() == {"RHINE"}
    assert run(["policy", "groups", "PFP", "--at", "2000-01-01"]) == 0
    shown = capsys.readouterr().out
    assert REGISTRY.groups["PFP"].digest in shown
    assert " SWE " in shown
    assert " POL " not in shown
    assert "unverified" in shown
    assert run(["policy", "groups", "RHIN"]) == 2


def test_a_partner_is_one_until_it_joins_nato() -> None:
    nato = REGISTRY.groups["NATO"].members
    joined = {
        state: spans[-1].until
        for state, spans in REGISTRY.groups["PFP"].members.items()
        if spans[-1].until < NEVER
    }
    assert len(joined) == 16
    assert joined == {state: nato[state][0].start for state in joined}


def test_explain_checks_its_words_and_says_who_sees_to_an_obligation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "policy",
        "explain",
        "nato",
        "--from",
        "FRA",
        "--to",
        "DEU",
        "--label",
        "//FRA S//REL TO FRA, DEU",
    ]
    assert run([*words, "--category", "cybr"]) == 2
    assert 'did you mean "cyber"' in capsys.readouterr().err
    assert run([*words, "--category", "terrorism"]) == 0
    out = capsys.readouterr().out
    assert "equal-protection: for people: " in out
    assert "no-onward-release: a node passes" in out


LIE = """[[ladder]]
authority = "LIE"
source = "invented"
[[ladder.row]]
R3 = { name = "GEHEIM" }
"""


def test_a_node_reads_what_stands_beside_its_treaties(members: Any) -> None:
    """Also while it runs: a draft in a new ladder and of a new category is taken from then on."""
    fra = members["FRA"]
    given = draft(text("//LIE GEHEIM//REL TO LIE, FRA", category="fisheries"), to=["USA"])
    assert refused(fra, lambda: send(fra, given)).code == "UNKNOWN_LEVEL"
    texts = {Path("f/ladders/lie.toml"): LIE.encode(), Path("f/words/own.toml"): OWN.encode()}
    settings: Any = SimpleNamespace(member="FRA")
    fra.node = with_files(fra.node, world_of(texts, settings))
    assert fra.node.labels.read("//LIE GEHEIM").level == "GEHEIM"
    # The label and its words are known; what is left is that it is another state's.
    assert code_of(fra, lambda: send(fra, given)) == "FOREIGN_LABEL"
