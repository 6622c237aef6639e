"""``send --batch``: one bulletin for each line of a file, stored together, and none of them stored twice.

Every line is read and checked, and its idempotency key is on disk, before the first is sent. Whatever breaks,
running the same command again returns the missing answers and stores only what is not stored yet.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from intelshare.cli.analyst.compose import Composition, request_of
from intelshare.cli.shared.beside import NodeRegistry
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.interrupts import interrupts_wait
from intelshare.cli.shared.output import Out, Progress, Table
from intelshare.client import (
    Draft,
    Spooled,
    answering_batch,
    content_digest,
    digest_key,
    parse_key,
    remember_batch,
    show_key,
)
from intelshare.errors import ConfigError, DeliveryError, IntelshareError, Place
from intelshare.instant import Instant

if TYPE_CHECKING:
    from intelshare.client import Client, DraftOutcome
    from intelshare.wire.v1 import user_pb2 as pb

MAX_LINES = 100_000
MAX_BYTES = 256 * 1024 * 1024
"""The bound on a batch with the files that its lines name: all of it is held in memory while it is sent."""

_FIELDS = "`intelshare send --help` lists the fields of a line"


class _Portion(msgspec.Struct, forbid_unknown_fields=True):
    """A further portion of a line."""

    file: str
    label: str


class _Line(msgspec.Struct, forbid_unknown_fields=True, rename={"in_reply_to_from": "from"}):
    """One line of a batch file."""

    to: tuple[str, ...]
    category: str
    label: str | None = None
    text: str | None = None
    file: str | None = None
    title: str | None = None
    title_label: str | None = None
    portions: tuple[_Portion, ...] = ()
    precedence: Literal["ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH"] = "ROUTINE"
    grade: str = ""
    valid_until: str | None = None
    flags: tuple[str, ...] = ()
    supersedes: str = ""
    in_reply_to: str = ""
    in_reply_to_from: str = ""
    from_bulletin: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One bulletin of a batch: the line it comes from, and its request, which has no key yet."""

    line: int
    request: pb.SubmitRequest
    key: bytes | None


@dataclass(slots=True)
class _Report:
    """The outcomes so far, line by line."""

    items: Sequence[Item]
    entries: Sequence[Spooled]
    out: Out
    stored: int = 0
    refused: int = 0
    withheld: int = 0
    """The number of bulletins stored but withheld from every recipient."""
    before: int = 0
    """The number of bulletins that an earlier run had stored."""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    """The seconds to wait before sending again, for each line that is worth sending again."""

    def add(self, outcome: DraftOutcome) -> Spooled:
        """Record the outcome of the next line; return what the client remembers of it."""
        place = len(self.rows)
        line, entry = self.items[place].line, self.entries[place]
        if isinstance(outcome.result, IntelshareError):
            self._refused(line, entry, outcome.result)
        else:
            self._stored(line, entry, outcome.result)
        return entry

    def _refused(self, line: int, entry: Spooled, error: IntelshareError) -> None:
        self.refused += 1
        self.rows.append((str(line), "", f"refused {error.code}: {error.message}"))
        if error.retry_after is not None:
            # One note for all of them: a full queue refuses by the thousand.
            self.later.append(error.retry_after)
        elif error.hint:
            self.hints.append(f"line {line}: {error.hint}")
        refusal = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "retry_after_seconds": error.retry_after,
        }
        self._event(line, entry, refused=refusal)

    def _stored(self, line: int, entry: Spooled, answer: pb.SubmitResponse) -> None:
        from intelshare.cli.shared.plain import plain

        earlier = entry.bulletin == answer.bulletin.hex()
        self.stored += 1
        self.before += earlier
        self.withheld += all(pair.word == "withheld" for pair in answer.pairs)
        words = ", ".join(map(_told, answer.pairs))
        self.rows.append((str(line), answer.bulletin.hex(), words))
        self._event(line, entry, before=earlier, stored=plain(answer))

    def _event(
        self,
        line: int,
        entry: Spooled,
        *,
        before: bool = False,
        stored: dict[str, Any] | None = None,
        refused: dict[str, Any] | None = None,
    ) -> None:
        about = {"line": line, "key": show_key(entry.key), "before": before}
        self.out.event("batch-line", {**about, "stored": stored, "refused": refused})

    def print(self) -> None:
        """Print a line for each bulletin, then what to do about those that were refused."""
        self.out.table(Table(("line", "bulletin", "result"), self.rows))
        for hint in self.hints:
            self.out.note(hint)
        if self.later:
            self.out.note(
                f"{len(self.later)} of {len(self.items)} found no room; send the same batch again in "
                f"{max(self.later)} s: "
                "that stores those, and none twice"
            )
        if self.before:
            self.out.note(
                f"{self.before} of {len(self.items)} had been stored by an earlier run and were not stored "
                "again; --again sends a second copy"
            )

    def exit_code(self) -> int:
        """Return the exit code of the whole batch."""
        if self.refused:
            return Exit.PARTLY if self.stored else Exit.FAILED
        return Exit.DENIED if self.withheld == len(self.items) else Exit.DONE


def _told(pair: pb.PairDecision) -> str:
    """Return how a pair stands, with the reasons why a portion of it is withheld."""
    codes = dict.fromkeys(reason.code for portion in pair.portions for reason in portion.reasons[:1])
    why = f" ({', '.join(codes)})" if codes else ""
    return f"{pair.recipient} {pair.word}{why}"


def send_batch(client: Client, out: Out, path: str, *, again: bool) -> int:
    """Send every line of the file (``-`` is standard input) and return the exit code.

    Raises ConfigError for a line that cannot be sent: then nothing was sent; DeliveryError OUTCOME_UNKNOWN.
    """
    now = Instant(time.time_ns() // 1000)
    items = read_items(path, now, NodeRegistry(client))
    own = digest_key(client.profile.key.parent)
    drafts = [Draft(content_digest(own, item.request), item.key) for item in items]
    source = path if path == "-" else str(Path(path).resolve())
    entries = remember_batch(client.profile.spool, source, drafts, now, os.urandom, again=again)
    for item, entry in zip(items, entries, strict=True):
        item.request.key = entry.key
    report = _Report(items, entries, out)
    try:
        with (
            Progress(out, "bulletins are answered") as progress,
            answering_batch(client.profile.spool, source) as note,
        ):
            for outcome in _outcomes(client, items):
                with interrupts_wait():
                    entry = report.add(outcome)
                    if not isinstance(outcome.result, IntelshareError):
                        note(outcome.key, outcome.result.bulletin)
                    elif entry.made == now:
                        # Under a key of an earlier run something may be stored whose answer was lost.
                        note(outcome.key, None)
                progress.at(len(report.rows), len(items))
    except (KeyboardInterrupt, BrokenPipeError, IntelshareError) as error:
        report.print()
        raise _interrupted(error, report, path) from None
    report.print()
    return report.exit_code()


def _outcomes(client: Client, items: Sequence[Item]) -> Iterator[DraftOutcome]:
    """Yield the outcome of each item, in order: of several replicas the next one is sent what one leaves
    undone, because it is drained for instance. Raises what the last one raises.
    """
    from intelshare.client import NOT_HERE

    done = 0
    for others in reversed(range(client.profile.address.count(",") + 1)):
        try:
            for outcome in client.submit_many(item.request for item in items[done:]):
                done += 1
                yield outcome
        except IntelshareError as error:
            if error.code not in NOT_HERE or not others:
                raise
            client.try_another()
        else:
            return


def _interrupted(
    error: KeyboardInterrupt | BrokenPipeError | IntelshareError, report: _Report, path: str
) -> BaseException:
    """Return the error with a hint to run the same command again."""
    from shlex import quote

    command = f"intelshare send --batch {quote(path)}"
    following = f"{command}  (with the same lines on standard input)" if path == "-" else command
    known = f"{report.stored} of {len(report.items)} bulletins are stored for certain"
    hint = f"run again: {following}; this stores the others, and none twice"
    if not isinstance(error, IntelshareError):
        report.out.note(f"{known}; {hint}")
        return error
    if error.code == "OUTCOME_UNKNOWN":
        return DeliveryError(
            error.code, f"the connection broke: {known}, others may be", place=error.place, hint=hint
        )
    return error


def read_items(path: str, now: Instant, words: NodeRegistry) -> list[Item]:
    """Return every line as a request. Raises ConfigError naming the line and the field: nothing was sent
    then.
    """
    name = "standard input" if path == "-" else path
    items: list[Item] = []
    size = 0
    for number, item in read_lines(path, now, words):
        if isinstance(item, IntelshareError):
            raise item
        size += item.request.ByteSize()
        if size > MAX_BYTES or len(items) >= MAX_LINES:
            raise ConfigError(
                "TOO_LARGE",
                f"a batch has at most {MAX_LINES} lines and {MAX_BYTES >> 20} MiB with the files it names",
                place=Place(name, number),
                hint="split it into several files; nothing was sent",
            )
        items.append(item)
    if not items:
        raise ConfigError("INPUT_INVALID", "the file has no lines", place=Place(name), hint=_FIELDS)
    return items


def read_lines(path: str, now: Instant, words: NodeRegistry) -> Iterator[tuple[int, Item | IntelshareError]]:
    """Every line with its number, as a request or as what is wrong with it. Raises ConfigError NOT_FOUND."""
    name = "standard input" if path == "-" else path
    for number, line in _lines(path):
        try:
            yield number, _item(line, name, number, now, words)
        except ConfigError as error:
            yield number, error


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers, without empty ones. Raises ConfigError NOT_FOUND."""
    try:
        with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        from intelshare.cli.shared.files import unreadable

        raise unreadable(path, error) from None


def _item(line: bytes, name: str, number: int, now: Instant, words: NodeRegistry) -> Item:
    try:
        read = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise _malformed(str(error), name, number) from None
    given = {one: getattr(read, one) for one in _COMPOSED}
    portions = tuple([(portion.file, portion.label) for portion in read.portions])
    try:
        _check_line(read)
        return Item(
            number,
            request_of(Composition(portions=portions, **given), now, words),
            None if read.key is None else parse_key(read.key),
        )
    except IntelshareError as error:
        raise _placed(error, name, number) from None


_COMPOSED = tuple(one for one in _Line.__struct_fields__ if one not in ("portions", "key"))


def _check_line(line: _Line) -> None:
    if line.text is not None and line.file is not None:
        raise ConfigError("INPUT_INVALID", "a line has either text or file, not both", place=Place("--text"))
    if line.file == "-" or any(portion.file == "-" for portion in line.portions):
        raise ConfigError("INPUT_INVALID", "a line cannot read standard input", place=Place("--file"))
    if line.valid_until is not None and line.valid_until[-1:] in ("m", "h", "d"):
        raise ConfigError(
            "INPUT_INVALID",
            "give a date or time instead of a span, so that the batch means the same when it is run again",
            place=Place("--valid-until"),
            hint="2026-12-24 or 2026-12-24T18:00:00+01:00",
        )


def _malformed(message: str, name: str, number: int) -> ConfigError:
    """Translate msgspec's message, such as "Object missing required field `to` - at `$.portions[0]`"."""
    said, _, where = message.partition(" - at `$")
    return ConfigError(
        "INPUT_INVALID",
        f"this line is not a bulletin: {said[:1].lower()}{said[1:]}",
        place=Place(name, number, field=where.rstrip("`").lstrip(".") or None),
        hint=f"{_FIELDS}; nothing was sent",
    )


def _placed(error: IntelshareError, name: str, number: int) -> ConfigError:
    """Return the error of an option or a file as an error of the corresponding field of this line."""
    place, message, at = error.place, error.message, Place(name, number)
    if place is not None and place.source.startswith("--"):
        words = place.source[2:].replace("-", "_")
        at = Place(name, number, field=words, excerpt=place.excerpt, width=place.width)
    elif place is not None:
        message = f"{place.source}: {message}"
    hint = f"{error.hint}; nothing was sent" if error.hint else "nothing was sent"
    return ConfigError(error.code, message, place=at, hint=hint)
