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
LANGUAGES = {each["authority"]: each.get("language") for file in FILES for each in file.get("ladder", [])}
REFERENCES = ("R0", "R1", "R2", "R3", "R4")
JOINT = {"U": "UNCLASSIFIED", "R": "RESTRICTED", "C": "CONFIDENTIAL", "S": "SECRET", "TS": "TOP SECRET"}
CONTROLS = {
    "ORCON": "ORCON",
    "OC": "ORCON",
    "NOFORN": "NOFORN",
    "NF": "NOFORN",
    "RELIDO": "RELIDO",
    "EYES ONLY": "EYES ONLY",
    "FOUO": "FOUO",
    "LES": "LES",
    "PROPIN": "PROPIN",
    "PR": "PROPIN",
    "FOR OFFICIAL USE ONLY": "FOUO",
    "LAW ENFORCEMENT SENSITIVE": "LES",
    "CAUTION-PROPRIETARY INFORMATION INVOLVED": "PROPIN",
    "ORIGINATOR CONTROLLED": "ORCON",
    "NOT RELEASABLE TO FOREIGN NATIONALS": "NOFORN",
    "RELEASABLE BY INFORMATION DISCLOSURE OFFICIAL": "RELIDO",
}
ORDER = ["FOUO", "LES", "PROPIN", "ORCON", "NOFORN", "RELIDO", "EYES ONLY"]
# Blocks that no rule here stands for: alone, or followed by a space or hyphen and whatever is inside them.
COMPARTMENTS = [
    *(
        "SI",
        "COMINT",
        "SPECIAL INTELLIGENCE",
        "TK",
        "TALENT KEYHOLE",
        "HCS",
        "HUMINT",
        "RSV",
        "RESERVE",
        "KDK",
    ),
    *("KLONDIKE", "EL", "ENDSEAL", "GAMMA", "BYE", "BYEMAN", "BUR", "SAR", "SAP", "SPECIAL ACCESS REQUIRED"),
    *("RD", "RESTRICTED DATA", "FRD", "FORMERLY RESTRICTED DATA", "TFNI", "CNWDI"),
]
ALONE = [
    *("HVSACO", "TRANSCLASSIFIED FOREIGN NUCLEAR INFORMATION", "CRITICAL NUCLEAR WEAPON DESIGN INFORMATION"),
    *(
        "UCNI",
        "DOD UCNI",
        "DOE UCNI",
        "DUCNI",
        "DCNI",
        "CTSA",
        "NSAT",
        "NCA",
        "CTS-B",
        "ATOMAL",
        "BOHEMIA",
        "BALK",
    ),
    *(f"{who}UNCLASSIFIED CONTROLLED NUCLEAR INFORMATION" for who in ("", "DOD ", "DOE ")),
]
ENGLISH = {
    **{"RESTRICTED": "R1", "R": "R1", "CONFIDENTIAL": "R2", "C": "R2"},
    **{"SECRET": "R3", "S": "R3", "TOP SECRET": "R4", "TS": "R4"},
}
TLP = {word: word for word in ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")} | {"WHITE": "CLEAR"}


class Wrong(Exception):
    """The first error of the text, by its code."""


def levels_of(authority: str) -> dict[str, str]:
    """Every text of every level that the authority ever had, to its canonical name."""
    if authority == "JOINT":
        return JOINT | {name: name for name in JOINT.values()}
    found: dict[str, str] = {}
    rows = LADDERS.get(authority, [])
    for row in rows:
        for reference in REFERENCES:
            level = row.get(reference, {})
            written = [level[field] for field in ("short", "display", "name") if field in level]
            for text in [*written, *(alias["name"] for alias in level.get("also", []))]:
                for cased in cases(text, LANGUAGES[authority]):
                    found[fold(cased)] = level["name"]
    # A ladder that is unknown, or unknown at some time, or without R0, writes it UNMARKED.
    starts = [row.get("from") for row in rows]
    gaps = not rows or None not in starts or all("until" in row for row in rows)
    if gaps or any("R0" not in row for row in rows):
        found["UNMARKED"] = "UNMARKED"
    return found


def cases(text: str, language: str | None) -> list[str]:
    """The text as it stands, and as its own language changes its case where folding would not find it."""
    if language == "tr":
        small = "".join({"I": "ı", "İ": "i"}.get(letter, letter.lower()) for letter in text)
        return [text, small, "".join({"i": "İ", "ı": "I"}.get(letter, letter.upper()) for letter in text)]
    if language == "el":
        return [text, text.translate(str.maketrans("άέήίόύώΆΈΉΊΌΎΏ", "αεηιουωΑΕΗΙΟΥΩ"))]
    return [text]


def is_compartment(text: str) -> bool:
    if text in ALONE or text.startswith(("SIGMA ", "SG ")):
        return True
    if any(text.endswith(f"{mark}{word}") for mark in " -" for word in ("ATOMAL", "BOHEMIA", "BALK")):
        return True
    return any(text == word or text.startswith((f"{word} ", f"{word}-")) for word in COMPARTMENTS)


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
    if named is not None and "NOFORN" in controls:
        raise Wrong("NOFORN_WITH_REL_TO")
    displayed = "displayable_to" in label
    if "NOFORN" in controls and (displayed or "RELIDO" in controls or "EYES ONLY" in controls):
        raise Wrong("CONTROLS_CONFLICT")
    if "RELIDO" in controls and displayed:
        raise Wrong("CONTROLS_CONFLICT")
    if named is not None:
        covered = set(named)
        for code in named:
            for membership in GROUPS.get(code, {}).get("membership", []):
                covered |= set(membership["members"])
        if not set(label.get("owners", [label.get("authority")])) <= covered:
            raise Wrong("REL_TO_WITHOUT_AUTHORITY")
    for field in ("releasable_to", "displayable_to", "fgi"):
        if field in label:
            first = None if field == "fgi" else label["authority"]
            if first == "JOINT" and "USA" in label["owners"]:
                first = "USA"
            order = [(code != first, code in GROUPS, code) for code in label[field]]
            label[field] = [code for *_, code in sorted(order)]
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
            raise Wrong("COMPARTMENT_NOT_CARRIED" if is_compartment(block) else "UNKNOWN_LEVEL")
        return {"authority": "USA", "level": levels_of("USA")[block]}
    code, _, level = block.partition(" ")
    if code == "JOINT":
        return joint(level.split(" "))
    if not (len(code) == 3 and all("A" <= letter <= "Z" for letter in code)):
        raise Wrong("COMPARTMENT_NOT_CARRIED" if is_compartment(block) else "UNKNOWN_LEVEL")
    if code not in STATES:
        raise Wrong("UNKNOWN_MEMBER")
    if level in levels_of(code):
        return {"authority": code, "level": levels_of(code)[level]}
    last = (LADDERS.get(code) or [{}])[-1]
    if level in ENGLISH and ENGLISH[level] in last and code != "USA" and "until" not in last:
        return {"authority": code, "level": last[ENGLISH[level]]["name"]}
    raise Wrong("COMPARTMENT_NOT_CARRIED" if is_compartment(block) else "UNKNOWN_LEVEL")


def joint(words: list[str]) -> dict[str, Any]:
    names = levels_of("JOINT")
    for taken in (2, 1):
        if " ".join(words[:taken]) in names:
            owners = words[taken:]
            break
    else:
        block = " ".join(["JOINT", *words])
        raise Wrong("COMPARTMENT_NOT_CARRIED" if is_compartment(block) else "UNKNOWN_LEVEL")
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
    lists = {
        "REL TO": ("releasable_to", "EMPTY_REL_TO"),
        "AUTHORIZED FOR RELEASE TO": ("releasable_to", "EMPTY_REL_TO"),
        "DISPLAY ONLY": ("displayable_to", "EMPTY_DISPLAY_ONLY"),
    }
    listed = [words for words in lists if piece == words or piece.startswith(f"{words} ")]
    foreign = [
        words for words in ("FGI", "FOREIGN GOVERNMENT INFORMATION") if f"{piece} ".startswith(f"{words} ")
    ]
    if "level" not in label or ("tlp" in label and not is_tlp):
        raise Wrong("UNKNOWN_CONTROL")
    if is_tlp:
        word = tlp_word(piece)
        if "tlp" in label:
            raise Wrong("DUPLICATE_CONTROL")
        label["tlp"] = word
    elif listed:
        field, empty = lists[listed[0]]
        codes = code_list(piece.removeprefix(listed[0]), empty)
        if field in label:
            raise Wrong("DUPLICATE_CONTROL")
        label[field] = codes
    elif foreign and label["authority"] == "USA":
        codes = piece.removeprefix(foreign[0]).split()
        if any(code == "USA" or (code not in STATES and code not in ORGANISATIONS) for code in codes):
            raise Wrong("UNKNOWN_MEMBER")
        if len(set(codes)) < len(codes):
            raise Wrong("DUPLICATE_CODE")
        if "fgi" in label:
            raise Wrong("DUPLICATE_CONTROL")
        label["fgi"] = codes
    elif piece in CONTROLS:
        if CONTROLS[piece] in controls:
            raise Wrong("DUPLICATE_CONTROL")
        controls.append(CONTROLS[piece])
    else:
        raise Wrong("COMPARTMENT_NOT_CARRIED" if is_compartment(piece) else "UNKNOWN_CONTROL")


def code_list(text: str, empty: str = "EMPTY_REL_TO") -> list[str]:
    codes = [tidy(code) for code in text.split(",")]
    if codes == [""]:
        raise Wrong(empty)
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
