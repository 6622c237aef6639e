"""The parser and a second, plain reading of label texts (``plain_labels.py``) agree on random texts."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_labels
from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import parse_label
from intelshare.policy.vectors import label_to_json

pytestmark = pytest.mark.timeout(120)

ERRORS = (
    "CONTROL_CHARACTER",
    "UNKNOWN_MEMBER",
    "UNKNOWN_LEVEL",
    "DUPLICATE_CODE",
    "JOINT_NEEDS_TWO",
    "UNKNOWN_CONTROL",
    "COMPARTMENT_NOT_CARRIED",
    "EMPTY_REL_TO",
    "EMPTY_DISPLAY_ONLY",
    "DUPLICATE_CONTROL",
    "NOFORN_WITH_REL_TO",
    "CONTROLS_CONFLICT",
    "REL_TO_WITHOUT_AUTHORITY",
)
LEVELS = sorted(set(plain_labels.all_levels()))
AUTHORITIES = [*sorted({authority for authority, _ in LEVELS}), "USA", "USA", "USA", "JOINT", "JOINT", "NATO"]
STATES = ["USA", "FRA", "GBR", "DEU", "KEN", "POL", "TUR"]
CODES = [*STATES, "NATO", "EU", "FVEY", "UN", "ZZZ", "QQ", "ſWE", "", "FRA GBR"]
CONTROLS = [
    *plain_labels.CONTROLS, *plain_labels.CONTROLS, "REL TO", "REL TO ", "NOFORM", "", " ",
    "RELEASABLE TO USA",
    "DISPLAY ONLY", "DISPLAY ONLY AFG", "DISPLAY ONLY AFG, FRA", "FGI", "FGI DEU  GBR", "FGI DEU DEU",
    "FGI NATO", "FGI USA", "FGI FVEY", "SI", "SI-G ABCD", "TK", "SIGNED", "SAR-BP", "RD-SIGMA 2", "EXDIS",
    "REL", "RSEN",
]  # fmt: skip
TLP = ["RED", "RED", "AMBER", "CLEAR", "GREEN", "WHITE", "AMBER+STRICT", "PURPLE", "", "clear", " GREEN "]
SEPARATORS = ["//", "/", " // ", " / "]
NOISE = ["ſ", "ı", "é", "é", "İ", "\u200b", "\u00a0", "\t", "/", "//", "(", ")", ",", ":", " ", "ß"]


def classification(dice):
    authority = dice.choice(AUTHORITIES)
    level = dice.choice([text for owner, text in LEVELS if owner == authority])
    if dice.random() < 0.1:
        level = dice.choice(
            ["SECRETE", "", "UNMARKED", "TOP  SECRET", "TLP:RED", "R3", *plain_labels.ENGLISH]
        )
    if dice.random() < 0.12:
        return f"TLP:{dice.choice(TLP)}"
    if authority == "JOINT":
        owners = dice.sample(STATES, dice.choice([1, 2, 2, 2])) + dice.choices(
            ["", "FRA", "ZZZ", "NATO"], [8, 2, 1, 1]
        )
        return f"//JOINT {level} {' '.join(owner for owner in owners if owner)}"
    if authority in plain_labels.ORGANISATIONS:
        prose = f" RELEASABLE TO {', '.join(codes(dice))}" if dice.random() < 0.2 else ""
        named = f"{authority} {level}" if level == "UNMARKED" else level
        return dice.choice(["", "//"]) + named + prose
    if authority == "USA" and dice.random() < 0.8:
        return level
    return f"//{dice.choice([authority] * 30 + ['ZZZ', 'usa', 'FR'])} {level}"


def codes(dice):
    return dice.sample(CODES[:5], dice.randint(0, 3)) + dice.choices(
        [*CODES[5:], "USA"], k=dice.choice([0, 0, 1, 2])
    )


def make_text(dice):
    """Mostly what a person would write, with what a person gets wrong."""
    head = classification(dice)
    pieces = []
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        kind = dice.random()
        if kind < 0.45:
            own = dice.choice([head.removeprefix("//")[:3], "USA", "NATO", "EU"])
            pieces.append("REL TO " + dice.choice([", ", ",", " , "]).join([own, *codes(dice)]))
        elif kind < 0.5:
            pieces.append("DISPLAY ONLY " + ", ".join([*codes(dice), "AFG"]))
        elif kind < 0.85:
            pieces.append(dice.choice(CONTROLS))
        else:
            pieces.append(f"TLP{dice.choice([':', ' : '])}{dice.choice(TLP)}")
    text = head
    for number, piece in enumerate(pieces):
        text += dice.choice(["//", " // "] if number == 0 and dice.random() < 0.95 else SEPARATORS) + piece
    if dice.random() < 0.3:
        text = f"({text})"
    if dice.random() < 0.3:
        text = dice.choice([str.lower, str.title, str.swapcase])(text)
    if dice.random() < 0.15:
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice(NOISE) + text[at + dice.randint(0, 1) :]
    return text.replace(" ", "  ") if dice.random() < 0.1 else text


def parsed(text):
    try:
        label = parse_label(text, builtin_registry())
    except LabelError as error:
        return {"error": error.code}
    return label_to_json(label)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_parser_and_plain_reading_agree(dice):
    text = make_text(dice)
    assert parsed(text) == plain_labels.read(text), text


def test_they_agree_on_thousands_of_texts_and_every_error_comes_up():
    seen = Counter()
    for number in range(10_000):
        text = make_text(Random(number))
        expected = plain_labels.read(text)
        assert parsed(text) == expected, text
        seen[expected.get("error", "label")] += 1
    rare = [code for code in (*ERRORS, "label") if seen[code] < 20]
    assert not rare
