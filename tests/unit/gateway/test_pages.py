"""A consumer's list and its pages: nothing lost, nothing twice, the strictest marking; dates."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.errors import PolicyFileError
from intelshare.gateway.config import parse_settings
from intelshare.gateway.dates import FILE, Dates
from intelshare.gateway.shelf import EVERYTHING, BulletinKey, Listed, Shelf, Shelved, Variant
from intelshare.gateway.taxii import choose, read_query
from intelshare.instant import Instant
from intelshare.interop import Json, identity_of, write_report
from intelshare.labels import TLP_IDS
from interop_world import INDICATOR, REGISTRY, bulletin, portion, stix_portion

SLOTS = frozenset((0,))
ALL = frozenset(("cyber",))


def put(shelf: Shelf, number: int, first: int, *objects: Json) -> None:
    key = BulletinKey("FRA", number.to_bytes(16, "big"))
    shelf.put(key, Shelved(Instant(first), {SLOTS: Variant(ALL, objects)}, {"a": SLOTS}))


def walk(shelf: Shelf, limit: int, between: list[object] | None = None) -> list[Listed]:
    """Page after page, as a client does; ``between`` are bulletins that arrive meanwhile."""
    arriving, found, after = list(between or ()), list[Listed](), 0
    while True:
        query = [("limit", str(limit))]
        wanted = read_query(query, 1000)
        page = choose(shelf.listed("a"), EVERYTHING.id, type(wanted)(limit, Instant(after)), 1 << 20)
        found += page.listed
        if not page.more and not arriving:
            return found
        after = page.listed[-1].added if page.listed else after
        if arriving:
            number = len(arriving)
            arriving.pop()
            put(shelf, 1000 + number, 10_000 - number * 10, {"type": "x", "id": f"x--new-{number}"})


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_pages_lose_nothing_and_repeat_nothing_while_bulletins_arrive(limit: int) -> None:
    shelf = Shelf()
    for number in range(20):
        put(shelf, number, 100 * (number + 1), *({"type": "x", "id": f"x--{number}-{n}"} for n in range(3)))
    ids = [one.id for one in walk(shelf, limit, [None] * 9)]
    assert len(ids) == len(set(ids)) == 69


def test_an_object_of_two_bulletins_is_there_once_at_its_newest_date_with_the_strictest_word() -> None:
    shelf = Shelf()
    green, red = ({**INDICATOR, "object_marking_refs": [TLP_IDS[word]]} for word in ("GREEN", "RED"))
    put(shelf, 1, 100, identity_of("FRA"), red)
    put(shelf, 2, 200, identity_of("FRA"), green)
    who, kit = shelf.listed("a")
    assert (who.added, kit.added) == (100, 201)
    assert kit.body["object_marking_refs"] == [TLP_IDS["RED"]]
    assert len(kit.keys) == 2
    assert shelf.listed("b") == []


def test_statements_of_two_bulletins_both_stay_and_no_part_keeps_less() -> None:
    shelf = Shelf()
    one = write_report(bulletin(stix_portion(INDICATOR)), REGISTRY)
    two = write_report(
        bulletin(stix_portion(INDICATOR, label="//FRA DIFFUSION RESTREINTE"), number=8), REGISTRY
    )
    put(shelf, 7, 100, *one)
    put(shelf, 8, 200, *two)
    (kit,) = [each for each in shelf.listed("a") if each.id == INDICATOR["id"]]
    assert len(kit.body["object_marking_refs"]) == 2
    assert "granular_markings" not in kit.body


def test_nobody_takes_the_place_of_a_member() -> None:
    shelf = Shelf()
    put(shelf, 1, 100, identity_of("FRA"))
    put(shelf, 2, 200, {**identity_of("FRA"), "name": "somebody else"})
    assert [one.body["name"] for one in shelf.listed("a")] == ["FRA"]


def test_what_the_node_takes_back_is_gone_from_the_list() -> None:
    shelf = Shelf()
    put(shelf, 1, 100, *write_report(bulletin(portion()), REGISTRY))
    key = BulletinKey("FRA", (1).to_bytes(16, "big"))
    assert not shelf.narrow("a", key, SLOTS)
    assert shelf.narrow("a", key, frozenset())
    assert shelf.listed("a") == []


def test_dates_grow_and_are_the_same_after_a_restart_also_one_that_cut_a_line(tmp_path: Path) -> None:
    dates = Dates(tmp_path / "state")
    given = [dates.give(f"FRA/{n}", Instant(100), 3).first for n in range(4)]
    assert given == [100, 103, 106, 109]
    dates.settle()
    dates.close()
    file = tmp_path / "state" / FILE
    file.write_text(file.read_text() + "FRA/4 11")
    again = Dates(tmp_path / "state")
    assert [again.give(f"FRA/{n}", Instant(1), 3).first for n in (3, 1)] == [109, 103]
    assert again.give("FRA/1", Instant(1), 4).first == 112
    assert again.give("FRA/9", Instant(5), 1).first == 116
    again.close()


HEAD = '[[consumer]]\nname = "a"\ncategories = ["*"]\n'
DIGEST = f'token_sha256 = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('host = "0.0.0.0"\n' + HEAD + DIGEST, "clear"),
        (HEAD + 'token_sha256 = "secret"\n', "hexadecimal"),
        (HEAD + DIGEST + HEAD + DIGEST, "another consumer"),
        ("", "1 to 64"),
        ("port = 70000\n" + HEAD + DIGEST, "65535"),
        (HEAD + DIGEST + "[limits]\npage = 0\n", "1 to 5000"),
        (HEAD + DIGEST + "token = 1\n", "token"),
    ],
)
def test_settings_that_would_be_unsafe_or_mean_nothing_are_refused_with_their_place(
    text: str, word: str
) -> None:
    with pytest.raises(PolicyFileError) as refused:
        parse_settings(text, "gateway.toml", Path())
    assert word in refused.value.message
