"""Turns files and options into the request that is sent: portions with labels, recipients, times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intelshare.errors import ConfigError, Place
from intelshare.instant import Instant
from intelshare.text import safe_name

if TYPE_CHECKING:
    from intelshare.wire.v1 import user_pb2 as pb

MAX_PORTIONS = 64
MAX_CONTENT = 512 * 1024
TEXT, TITLE, FILE, STIX, ATTACHMENT = 1, 2, 3, 4, 5

_TEXT_SUFFIXES = frozenset(("", ".txt", ".md"))


@dataclass(frozen=True, slots=True)
class Piece:
    """One portion before it has a label: its kind and its content."""

    kind: int
    media: str
    content: bytes


def read_piece(path: str) -> Piece:
    """Read a file, or standard input for ``-``.

    Raises ConfigError NOT_FOUND, TOO_LARGE, UNSAFE_NAME (a name that recipients would have to refuse),
    INPUT_INVALID (a text that is not UTF-8).
    """
    from intelshare.cli.shared.files import read_given

    content = read_given(path, MAX_CONTENT)
    if path == "-":
        return text_piece(content, "standard input")
    name = Path(path).name
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if ".stix" in suffixes:
        return Piece(STIX, "application/stix+json;version=2.1", _bounded(content, path))
    if (suffixes[-1] if suffixes else "") in _TEXT_SUFFIXES:
        return text_piece(content, path)
    import mimetypes

    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Piece(FILE, f"{media}; name={safe_name(name, source=path)}", _bounded(content, path))


def title_piece(title: str) -> Piece:
    """Return a title as a piece. Raises ConfigError INPUT_INVALID for a title of several lines."""
    if "\n" in title or not title.strip():
        raise ConfigError("INPUT_INVALID", "a title must be one line of text", place=Place("--title"))
    return Piece(TITLE, "text/plain", title.encode())


def split_portion(text: str, option: str = "--portion") -> tuple[str, str]:
    """Split ``FILE:LABEL``. Raises ConfigError INPUT_INVALID."""
    path, colon, label = text.partition(":")
    if not (path and colon and label):
        raise ConfigError(
            "INPUT_INVALID",
            "a portion needs a file and a label",
            place=Place(option, 1, 1, excerpt=text, width=max(len(text), 1)),
            hint=f'for example {option} annex.txt:"//FRA SECRET//REL TO FRA, USA"',
        )
    return path, label


def recipients(given: tuple[str, ...]) -> list[str]:
    """Return each code of ``--to USA,KEN --to NATO`` once, in order. Raises ConfigError INPUT_INVALID."""
    codes = [code.strip().upper() for text in given for code in text.split(",") if code.strip()]
    if not codes:
        raise ConfigError("INPUT_INVALID", "a bulletin needs a recipient", place=Place("--to"))
    return list(dict.fromkeys(codes))


def portion(piece: Piece, label: str, *, category: str, flags: tuple[str, ...], grade: str) -> pb.Portion:
    """Return the portion as the wire's message."""
    from intelshare.wire import kind_value
    from intelshare.wire.v1 import user_pb2 as pb

    return pb.Portion(
        kind=kind_value(piece.kind),
        label=label,
        category=category,
        flags=flags,
        grade=grade,
        media=piece.media,
        content=piece.content,
    )


def marked(pieces: list[tuple[Piece, str]], word: str, due: Instant) -> list[tuple[Piece, str]]:
    """Mark the first text as a request for information, or as an answer to one.

    Raises ConfigError INPUT_INVALID if there is no text.
    """
    from intelshare.bulletin import Marked, Word, media_of

    for place, (piece, label) in enumerate(pieces):
        if piece.kind == TEXT:
            text = Piece(TEXT, media_of(Marked(Word(word), due)), piece.content)
            return [*pieces[:place], (text, label), *pieces[place + 1 :]]
    raise ConfigError("INPUT_INVALID", "a request and its answer must be text", place=Place("FILE"))


def check_size(pieces: list[Piece]) -> None:
    """Raises ConfigError TOO_LARGE."""
    if len(pieces) > MAX_PORTIONS or sum(len(piece.content) for piece in pieces) > MAX_CONTENT:
        raise ConfigError(
            "TOO_LARGE",
            f"a bulletin has at most {MAX_PORTIONS} portions and {MAX_CONTENT} bytes of content",
            hint="send large files with --attach FILE, or split it into several bulletins",
        )


def text_piece(content: bytes, source: str) -> Piece:
    """Return a text as a piece; ``source`` names it in errors. Raises ConfigError INPUT_INVALID or
    TOO_LARGE.
    """
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            "INPUT_INVALID",
            f"this text is not valid UTF-8 (at byte {error.start})",
            place=Place(source),
            hint="to send it as a file, give it a suffix other than .txt",
        ) from None
    if not content.strip():
        raise ConfigError("INPUT_INVALID", "the text is empty", place=Place(source))
    return Piece(TEXT, "text/plain", _bounded(content, source))


def _bounded(content: bytes, source: str) -> bytes:
    if len(content) > MAX_CONTENT:
        raise ConfigError(
            "TOO_LARGE",
            f"a bulletin has at most {MAX_CONTENT} bytes of content",
            place=Place(source),
            hint="send it beside the bulletin with --attach FILE (up to 2 GiB)",
        )
    return content
