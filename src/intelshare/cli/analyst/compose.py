"""The composition of a bulletin, as the options of ``send``, a line of a batch or ``rfi`` state it, and its
request.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intelshare.errors import ConfigError, Place
from intelshare.instant import NEVER, Instant

if TYPE_CHECKING:
    from intelshare.cli.analyst.draft import Piece
    from intelshare.cli.shared.beside import NodeRegistry
    from intelshare.wire.v1 import user_pb2 as pb

PRECEDENCES = ("ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH")

_GRADES = "ABCDEF", "123456"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The options of ``send`` that state the content and the recipients."""

    to: tuple[str, ...]
    category: str
    file: str | None = None
    """The file's name; "-" is standard input."""
    text: str | None = None
    """Text to send instead of the content of a file."""
    label: str | None = None
    title: str | None = None
    title_label: str | None = None
    portions: tuple[tuple[str, str], ...] = ()
    """Further files with their labels."""
    attached: tuple[tuple[str, str | None], ...] = ()
    """Files that go beside the bulletin; one without a label takes the label of ``file``."""
    precedence: str = PRECEDENCES[0]
    grade: str = ""
    valid_until: str | None = None
    flags: tuple[str, ...] = ()
    supersedes: str = ""
    in_reply_to: str = ""
    in_reply_to_from: str = ""
    from_bulletin: str = ""
    rfi: str | None = None
    """The ``bulletin.request.Word`` of a bulletin that belongs to a request for information."""
    due: str | None = None


def request_of(composition: Composition, now: Instant, words: NodeRegistry) -> pb.SubmitRequest:
    """Return the request, without its key. Raises ConfigError or LabelError, whose place is an option or a
    file.
    """
    from intelshare.cli.analyst import draft
    from intelshare.cli.shared.deadlines import until
    from intelshare.wire import precedence_value
    from intelshare.wire.v1 import user_pb2 as pb

    grade = composition.grade.upper()
    if grade and not (len(grade) == 2 and grade[0] in _GRADES[0] and grade[1] in _GRADES[1]):
        raise ConfigError(
            "INPUT_INVALID",
            f'"{grade}" is not a valid grade',
            place=Place("--grade"),
            hint="A to F, then 1 to 6: B2",
        )
    pieces = _pieces(composition, now, words)
    if composition.rfi is not None:
        pieces = draft.marked(pieces, composition.rfi, until(composition.due, now, "--due"))
    draft.check_size([piece for piece, _ in pieces])
    return pb.SubmitRequest(
        to=draft.recipients(composition.to),
        precedence=precedence_value(PRECEDENCES.index(composition.precedence.upper()) + 1),
        valid_until=until(composition.valid_until, now),
        deliver_by=NEVER,
        portions=[
            draft.portion(piece, label, category=composition.category, flags=composition.flags, grade=grade)
            for piece, label in pieces
        ],
        supersedes=composition.supersedes,
        in_reply_to=composition.in_reply_to,
        in_reply_to_from=composition.in_reply_to_from,
        from_bulletin=composition.from_bulletin,
    )


def _pieces(given: Composition, now: Instant, words: NodeRegistry) -> list[tuple[Piece, str]]:
    """Read all pieces and their labels: a mistake is shown before anything is connected."""
    from intelshare.cli.analyst import draft
    from intelshare.cli.analyst.attach import attached_piece

    if (
        given.label
        and given.file is None
        and given.text is None
        and all(own for _, own in given.attached)
        and (given.title is None or given.title_label)
    ):
        raise ConfigError(
            "INPUT_INVALID",
            "this label has nothing to label",
            place=Place("--label"),
            hint="name the file, or - to send standard input too",
        )

    def checked(text: str | None, source: str, option: str) -> str:
        return _checked(text, source, option, now, words)

    pieces: list[tuple[Piece, str]] = []
    if given.title is not None:
        own = given.title_label
        label = checked(own or given.label, "the title", "--title-label" if own else "--label")
        pieces.append((draft.title_piece(given.title), label))
    if given.text is not None:
        label = checked(given.label, "the text", "--label")
        pieces.append((draft.text_piece(given.text.encode(), "text"), label))
    elif given.file is not None:
        pieces.append((draft.read_piece(given.file), checked(given.label, given.file, "--label")))
    for path, label in given.portions:
        pieces.append((draft.read_piece(path), checked(label, path, "--portion")))
    for path, own in given.attached:
        pieces.append(
            (attached_piece(path), checked(own or given.label, path, "--attach" if own else "--label"))
        )
    if not pieces:
        raise ConfigError(
            "INPUT_INVALID",
            "there is nothing to send",
            hint="give FILE, --portion, --attach, or text on stdin",
        )
    return pieces


def _checked(text: str | None, source: str, option: str, now: Instant, words: NodeRegistry) -> str:
    from intelshare.cli.policy.label import read_label

    if text is None:
        raise ConfigError("INPUT_INVALID", f"{source} needs a label", place=Place(option))
    words.reading(lambda registry: read_label(text, option, now, registry, writing=True))
    return text


def with_standard_input(given: Composition) -> Composition:
    """Add standard input where nothing else is to be sent, unless it is a terminal."""
    from dataclasses import replace

    nothing = given.file is None and given.text is None and not given.portions and not given.attached
    if nothing and not sys.stdin.isatty():
        return replace(given, file="-")
    return given


def words_of(given: Composition, request: pb.SubmitRequest) -> list[str]:
    """Return the options that state the same composition, with absolute times."""
    from intelshare.instant import show

    words = [given.file] if given.file is not None else []
    for code in request.to:
        words += ["--to", code]
    for option, value in (
        ("--label", given.label),
        ("--category", given.category),
        ("--title", given.title),
        ("--title-label", given.title_label),
        ("--precedence", given.precedence),
        ("--grade", given.grade),
        ("--supersedes", given.supersedes),
        ("--in-reply-to", given.in_reply_to),
        ("--from", given.in_reply_to_from),
        ("--from-bulletin", given.from_bulletin),
        ("--rfi", given.rfi),
        ("--due", given.due),
        *(("--portion", f"{path}:{label}") for path, label in given.portions),
        *(("--attach", f"{path}:{own}" if own else path) for path, own in given.attached),
        *(("--flag", flag) for flag in given.flags),
    ):
        if value:
            words += [option, value]
    if request.valid_until != NEVER:
        words += ["--valid-until", show(Instant(request.valid_until))]
    return words
