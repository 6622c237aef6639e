"""Makes foreign text safe to show, and foreign names safe as file names.

Whatever somebody else wrote (titles, bodies, names, reasons) passes ``visible`` before a person sees it, so
that no text can move the cursor, recolour, reorder or hide anything: such characters are shown as escapes.
"""

from __future__ import annotations

import unicodedata

from intelshare.errors import ConfigError, Place

MAX_MARKS = 4
"""The most combining marks in a row on one letter that are shown as such; living scripts need three."""

MAX_NAME_BYTES = 200
"""The most bytes of a file name: below every file system's limit, with room for a number before it."""

_TAB = 8
_HIDDEN = frozenset(["Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"])
_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that show nothing: not controls to Unicode, but they hide things all the same."""

_DEVICES = frozenset(
    ("CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10)))
)
_FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|%')


def visible(text: str, *, lines: bool = False) -> str:
    """Return the text with every control, format or invisible character as ``\\x1b`` or ``\\u202e``.

    With ``lines``, line ends stay and tabs become spaces; otherwise the result is one line. Floods of
    combining marks are escaped after the fourth. The result holds no control character but, with ``lines``,
    ``\\n``.
    """
    if text.isascii() and text.isprintable():
        return text
    if lines:
        text = text.replace("\r\n", "\n").expandtabs(_TAB)
    shown: list[str] = []
    marks = 0
    for letter in text:
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if letter == "\n" and lines:
            shown.append(letter)
        elif category in _HIDDEN or letter in _BLANK_LETTERS or marks > MAX_MARKS:
            shown.append(_escape(letter))
        else:
            shown.append(letter)
    return "".join(shown)


def width(text: str) -> int:
    """Return the columns that visible text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def safe_name(name: str, *, source: str) -> str:
    """Return the name itself if it is safe as a file name in any folder on any system.

    Raises ConfigError UNSAFE_NAME: paths, devices, controls, percent escapes, a leading dot or dash, a
    trailing dot or space, another normal form than NFC, more than 200 bytes. ``source`` names it in errors.
    """
    problem = _problem(name)
    if problem is None:
        return name
    raise ConfigError(
        "UNSAFE_NAME",
        f'"{visible(name[:80])}" is not used as a file name: it {problem}',
        place=Place(source),
        hint="nothing was written; take the content with --format raw and name the file yourself",
    )


def _problem(name: str) -> str | None:
    if not name or name.strip(".") == "":
        return "is empty or only dots"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"has more than {MAX_NAME_BYTES} bytes"
    if visible(name) != name:
        return "contains characters that are not visible"
    if found := sorted(_FORBIDDEN_IN_NAMES.intersection(name)):
        return f"holds {found[0]}"
    if name[0] in ".-~ " or name[-1] in ". ":
        return "begins or ends with a character that changes its meaning"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode normal form NFC"
    if name.split(".", maxsplit=1)[0].rstrip().upper() in _DEVICES:
        return "is the name of a device"
    return None


def _escape(letter: str) -> str:
    number = ord(letter)
    if letter in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[letter]
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def bracketed(host: str) -> str:
    """Return a host as it stands before ``:port``: an IPv6 address in brackets (RFC 3986)."""
    return f"[{host}]" if ":" in host else host
