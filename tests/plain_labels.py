"""A second reading of label texts, slow and obvious: the forms and the order of errors by the guide's words.

It shares no code with ``src/``: states, groups and levels come from the data files themselves, the text
is cut piece by piece and looked up. ``read`` gives the fields of the label or ``{"error": code}``.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "src" / "intelshare" / "labels" / "data"
FILES = [tomllib.loads(path.read_text("utf-8")) for path in sorted(DATA.glob("*.toml"))]
STATES = {code for file in FILES for code in file.get("state", {})}
GROUPS = {group["code"]: group for file in FILES for group in file.get("group", [])}
ORGANISATIONS = {code for code, group in GROUPS.items() if group.get("organisation")}
LADDERS = {ladder["authority"]: ladder["row"] for file in FILES for ladder in file.get("ladder", [])}
REFERENCES = ("R0", "R1", "R2", "R3", "R4")
JOINT = {"U": "UNCLASSIFIED", "R": "RESTRICTED", "C": "CONFIDENTIAL", "S": "SECRET", "TS": "TOP SECRET"}
CONTROLS = {
    "ORCON": "ORCON",
    "OC": "ORCON",
    "NOFORN": "NOFORN",
    "NF": "NOFORN",
    "RELIDO": "RELIDO",
    "EYES ONLY": "EYES ONLY",
    "DISPLAY ONLY": "DISPLAY ONLY",
}
ORDER = ["ORCON", "NOFORN", "RELIDO", "EYES ONLY", "DISPLAY ONLY"]
TLP = {word: word for word in ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")} | {"WHITE": "CLEAR"}


class Wrong(Exception):
    """The first error of the text, by its code."""


def levels_of(authority: str) -> dict[str, str]:
    """Every text of every level that the authority ever had, to its canonical name."""
    if authority == "JOINT":
        return JOINT | {name: name for name in JOINT.values()}
    found: dict[str, str] = {}
    rows = LADDERS.get(authority, [])
    for field in ("short", "display", "name"):
        for row in rows:
            for reference in REFERENCES:
                level = row.get(reference, {})
                if field in level:
                    found[fold(level[field])] = level["name"]
    # A ladder that is unknown, or unknown at some time, or without R0, writes it UNMARKED.
    starts = [row.get("from") for row in rows]
    gaps = not rows or None not in starts or all("until" in row for row in rows)
    if gaps or any("R0" not in row for row in rows):
        found["UNMARKED"] = "UNMARKED"
    return found


def fold(text: str) -> str:
    """Upper case; a non-ASCII letter stays one, and one letter."""
    made = ""
    for letter in text:
        upper = letter.upper()
        if letter.isascii() or (len(upper) == 1 and not upper.isascii()):
            made += upper
        else:
            made += letter
    return made


def tidy(text: str) -> str:
    """Without spaces at the ends, runs of them, and those round separators inside."""
    words = " ".join(word for word in text.split(" ") if word)
    return words.replace(" /", "/").replace("/ ", "/")


def read(text: str) -> dict[str, Any]:
    """The fields of the label, or the code of the first error."""
    try:
        return parse(text)
    except Wrong as wrong:
        return {"error": str(wrong)}


def parse(text: str) -> dict[str, Any]:
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") for letter in text):
        raise Wrong("CONTROL_CHARACTER")
    if not text.replace(" ", "").replace("(", "").replace(")", "").replace("/", ""):
        raise Wrong("EMPTY_LABEL")
    text = fold(unicodedata.normalize("NFC", text)).strip(" ")
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip(" ")
    foreign = text.startswith("//")
    block, *rest = text.removeprefix("//").split("//")
    label = classification(tidy(block), foreign)
    controls: list[str] = []
    for piece in [tidy(piece) for other in rest for piece in other.split("/")]:
        take(piece, label, controls)
    named = label.get("releasable_to")
    if named is not None:
        if "NOFORN" in controls:
            raise Wrong("NOFORN_WITH_REL_TO")
        if not set(label.get("owners", [label.get("authority")])) <= set(named):
            raise Wrong("REL_TO_WITHOUT_AUTHORITY")
        first = label["authority"]
        if first == "JOINT" and "USA" in label["owners"]:
            first = "USA"
        label["releasable_to"] = sorted(named, key=lambda code: (code != first, code in GROUPS, code))
    if controls:
        label["controls"] = sorted(controls, key=ORDER.index)
    return label


def classification(block: str, foreign: bool) -> dict[str, Any]:
    if not foreign and is_tlp_mark(block):
        return {"tlp": tlp_word(block)}
    head, prose, codes = block, False, ""
    if " RELEASABLE TO " in block or block.endswith(" RELEASABLE TO"):
        head, _, codes = (block + " ").partition(" RELEASABLE TO ")
        prose = True
    for code in sorted(ORGANISATIONS):
        names = levels_of(code)
        texts = {text: name for text, name in names.items() if name != "UNMARKED"}
        if "UNMARKED" in names:
            texts[f"{code} UNMARKED"] = "UNMARKED"
        if head in texts:
            label: dict[str, Any] = {"authority": code, "level": texts[head]}
            if prose:
                listed = code_list(codes)
                label["releasable_to"] = listed if code in listed else [*listed, code]
            return label
    if not foreign:
        if block not in levels_of("USA"):
            raise Wrong("UNKNOWN_LEVEL")
        return {"authority": "USA", "level": levels_of("USA")[block]}
    code, _, level = block.partition(" ")
    if code == "JOINT":
        return joint(level.split(" "))
    if not (len(code) == 3 and all("A" <= letter <= "Z" for letter in code)):
        raise Wrong("UNKNOWN_LEVEL")
    if code not in STATES:
        raise Wrong("UNKNOWN_MEMBER")
    if level not in levels_of(code):
        raise Wrong("UNKNOWN_LEVEL")
    return {"authority": code, "level": levels_of(code)[level]}


def joint(words: list[str]) -> dict[str, Any]:
    names = levels_of("JOINT")
    for taken in (2, 1):
        if " ".join(words[:taken]) in names:
            owners = words[taken:]
            break
    else:
        raise Wrong("UNKNOWN_LEVEL")
    if any(owner not in STATES for owner in owners):
        raise Wrong("UNKNOWN_MEMBER")
    if len(set(owners)) < len(owners):
        raise Wrong("DUPLICATE_CODE")
    if len(owners) < 2:
        raise Wrong("JOINT_NEEDS_TWO")
    return {"authority": "JOINT", "level": names[" ".join(words[:taken])], "owners": sorted(owners)}


def take(piece: str, label: dict[str, Any], controls: list[str]) -> None:
    """One piece after the classification."""
    is_tlp = is_tlp_mark(piece)
    is_list = piece == "REL TO" or piece.startswith("REL TO ")
    if "level" not in label or ("tlp" in label and not is_tlp):
        raise Wrong("UNKNOWN_CONTROL")
    if is_tlp:
        word = tlp_word(piece)
        if "tlp" in label:
            raise Wrong("DUPLICATE_CONTROL")
        label["tlp"] = word
    elif is_list:
        codes = code_list(piece.removeprefix("REL TO"))
        if "releasable_to" in label:
            raise Wrong("DUPLICATE_CONTROL")
        label["releasable_to"] = codes
    elif piece in CONTROLS:
        if CONTROLS[piece] in controls:
            raise Wrong("DUPLICATE_CONTROL")
        controls.append(CONTROLS[piece])
    else:
        raise Wrong("UNKNOWN_CONTROL")


def code_list(text: str) -> list[str]:
    codes = [tidy(code) for code in text.split(",")]
    if codes == [""]:
        raise Wrong("EMPTY_REL_TO")
    if any(code not in STATES and code not in GROUPS for code in codes):
        raise Wrong("UNKNOWN_MEMBER")
    if len(set(codes)) < len(codes):
        raise Wrong("DUPLICATE_CODE")
    return codes


def is_tlp_mark(text: str) -> bool:
    return ":" in text and text.partition(":")[0].strip(" ") == "TLP"


def tlp_word(text: str) -> str:
    word = text.partition(":")[2].strip(" ")
    if word not in TLP:
        raise Wrong("UNKNOWN_LEVEL")
    return TLP[word]


def all_levels() -> Iterable[tuple[str, str]]:
    """Authority and text of every level, for whoever makes label texts."""
    for authority in ("USA", "JOINT", *LADDERS, "KEN"):
        for text in levels_of(authority):
            yield authority, text
