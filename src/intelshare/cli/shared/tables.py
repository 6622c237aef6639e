"""The tables of bulletins and tasks that commands print, built from the wire's messages; the demo prints its
scenes with the same ones. ``operator_tables`` has those about the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from intelshare.cli.shared.output import Table
from intelshare.instant import NEVER, Instant, show

if TYPE_CHECKING:
    from intelshare.wire.v1 import user_pb2 as pb

PRECEDENCES = ("ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH")
SHORT_ID = 8
"""The hexadecimal digits of an id that lists show."""

_OUTCOMES = {"allow": "released", "hold": "held", "deny": "withheld"}
_MAX_CELL = 120


def precedence(number: int) -> str:
    """Return the word for a precedence, 1 to 4."""
    return PRECEDENCES[number - 1] if 1 <= number <= len(PRECEDENCES) else str(number)


def short_id(bulletin: bytes) -> str:
    """Return the first digits of an id, enough to name it in commands."""
    return bulletin.hex()[:SHORT_ID]


def clock_words(now: int, expected: int, until: int) -> str:
    """Describe a clock that is not believed. All arguments are microseconds since 1970."""
    return (
        f"the clock shows {short_time(now)}, but {short_time(expected)} was expected; "
        f"releases wait until {short_time(until)}"
    )


def clock_line(clock: pb.ClockState) -> str:
    """Describe a clock: whether releases go by it, and whether what ends by it is destroyed."""
    if not clock.believed:
        return clock_words(clock.now, clock.expected, clock.until)
    shown = f"the clock shows {short_time(clock.now)} and is believed"
    if clock.confirmed:
        return shown
    return f"{shown}; nothing is destroyed by it until linked peers agree, or you run `node clock --believe`"


def short_time(instant: int) -> str:
    """Return the time to the second, in UTC; empty for 0."""
    return show(Instant(instant - instant % 1_000_000)) if instant else ""


def duration(microseconds: int) -> str:
    """Return a text such as ``41 ms``, ``3.2 s`` or ``5 min``; empty for 0."""
    if not microseconds:
        return ""
    if microseconds < 1_000_000:
        return f"{max(microseconds // 1000, 1)} ms"
    seconds = microseconds / 1_000_000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def recipient_table(
    pairs: Iterable[pb.PairDecision], states: Mapping[str, pb.OutboxPair] | None = None
) -> Table:
    """Return one row per recipient and outcome: how many portions, on what basis or why not, state and time.

    ``states``: each recipient's pair as the outbox has it now; if absent, the answer's status is shown.
    """
    rows: list[Sequence[str]] = []
    for pair in pairs:
        state = (states or {}).get(pair.recipient)
        word = pair.word if state is None else state.word
        granted = sum(portion.outcome != "deny" for portion in pair.portions)
        for number, (outcome, basis, place) in enumerate(_groups(pair)):
            first = number == 0
            where = f"({place})" if place else ""
            rows.append(
                (
                    pair.recipient if first else "",
                    f"{granted} of {len(pair.portions)}" if first else "",
                    _OUTCOMES.get(outcome, outcome),
                    basis,
                    word if first else where,
                    (duration(state.took) if state is not None and granted else where) if first else "",
                )
            )
    whole = Table(("recipient", "portions", "decision", "basis", "state", "time"), rows)
    without_time = without_empty(whole.columns, rows, "time")
    return without_empty(without_time.columns, without_time.rows, "state")


def _groups(pair: pb.PairDecision) -> list[tuple[str, str, str]]:
    """Return the different outcomes of a pair with their bases, allowed ones first."""
    order = ("allow", "hold", "deny")
    portions = sorted(pair.portions, key=lambda p: order.index(p.outcome) if p.outcome in order else 3)
    return list(dict.fromkeys(grounds(portion) for portion in portions))


def grounds(portion: pb.PortionDecision) -> tuple[str, str, str]:
    if portion.outcome == "deny":
        reason = portion.reasons[0] if portion.reasons else None
        if reason is None:
            return portion.outcome, "", ""
        detail = f": {reason.detail}" if reason.detail else ""
        return portion.outcome, f"{reason.code}{detail}", reason.place
    basis = " ".join((portion.basis, ", ".join(portion.articles))).strip()
    if portion.holds:
        basis += f" (held: {', '.join(portion.holds)})"
    return portion.outcome, basis, ""


def explanation(pairs: Iterable[pb.PairDecision], marks: Sequence[str]) -> list[str]:
    """Describe every portion of every recipient: outcome, basis, obligations, all reasons with file
    and line.
    """
    lines: list[str] = []
    for pair in pairs:
        why = f"  ({', '.join(pair.codes)})" if pair.codes else ""
        lines.append(f"{pair.recipient}: {pair.word}{why}")
        for portion in pair.portions:
            mark = marks[portion.position] if portion.position < len(marks) else ""
            lines.append(
                f"  portion {portion.position + 1}  {mark}  {_OUTCOMES.get(portion.outcome, portion.outcome)}"
            )
            if portion.outcome != "deny":
                lines.append(
                    f"    basis        {' '.join((portion.basis, ', '.join(portion.articles))).strip()}"
                )
            if portion.obligations:
                lines.append(f"    obligations  {', '.join(portion.obligations)}")
            if portion.holds:
                lines.append(f"    held by      {', '.join(portion.holds)}")
            for reason in portion.reasons:
                detail = f": {reason.detail}" if reason.detail else ""
                place = f"   ({reason.place})" if reason.place else ""
                lines.append(f"    because      {reason.code}{detail}{place}")
    return lines


def inbox_table(entries: Iterable[pb.InboxEntry]) -> Table:
    """Return the inbox, newest first; ``*`` marks what the reader has not opened."""
    rows = [
        (
            "" if entry.read else "*",
            short_id(entry.bulletin),
            entry.originator,
            precedence(entry.precedence),
            short_time(entry.received_at),
            _title(entry),
            ", ".join(around(entry)),
            entry.banner,
        )
        for entry in entries
    ]
    return without_empty(("", "id", "from", "precedence", "received", "title", "note", "banner"), rows)


def _title(entry: pb.InboxEntry) -> str:
    if entry.destroyed:
        why = " ".join(part for part in (entry.destroyed, entry.reason) if part)
        return _cut(f"destroyed {short_time(entry.destroyed_at)}: {why}")
    return _cut(entry.title) or ("(1 portion)" if entry.portions == 1 else f"({entry.portions} portions)")


def around(entry: pb.InboxEntry | pb.ReadResponse | pb.OutboxEntry) -> list[str]:
    """Return what a reader must know about the bulletins related to this one."""
    named = (
        ("superseded by", entry.superseded_by),
        ("supersedes", entry.supersedes),
        ("in reply to", entry.reply_to),
    )
    return [f"{words} {short_id(bulletin)}" for words, bulletin in named if bulletin]


def without_empty(columns: tuple[str, ...], rows: Sequence[Sequence[str]], column: str = "note") -> Table:
    """Return the table without this column if it is empty in every row."""
    place = columns.index(column)
    if any(row[place] for row in rows):
        return Table(columns, rows)
    return Table(
        (*columns[:place], *columns[place + 1 :]), [[*row[:place], *row[place + 1 :]] for row in rows]
    )


def outbox_table(entries: Iterable[pb.OutboxEntry]) -> Table:
    """Return one row per bulletin, with the status for each recipient, or its damaged record."""
    rows = [
        (
            short_id(entry.bulletin),
            precedence(entry.precedence),
            short_time(entry.created_at),
            _cut(entry.title),
            ", ".join([*(f"{pair.recipient} {pair_word(pair)}" for pair in entry.pairs), *entry.damaged]),
            ", ".join(_notes(entry)),
            entry.banner,
        )
        for entry in entries
    ]
    return without_empty(("id", "precedence", "created", "title", "recipients", "note", "banner"), rows)


def _notes(entry: pb.OutboxEntry) -> list[str]:
    """Return what a list says beside a bulletin."""
    gone = (("recalled", entry.recalled_at), ("content purged", entry.purged_at))
    return [*(word for word, at in gone if at), *around(entry)]


def pair_word(pair: pb.OutboxPair) -> str:
    """Return the status of a pair, and whether a recall is still unanswered."""
    return f"{pair.word} (recall requested)" if pair.recall_requested else pair.word


_EFFECTS = {
    "stopped": "stops here, was not delivered",
    "asked": "will be asked to destroy it",
    "none": "nothing to do",
}


def recall_table(pairs: Iterable[pb.RecallPair]) -> Table:
    """Return one row per recipient: its state, and what the recall does there, or did."""

    def effect(pair: pb.RecallPair) -> str:
        if pair.effect == "asked" and pair.word == "destroyed":
            return "has destroyed it"
        return _EFFECTS.get(pair.effect, pair.effect)

    rows = [(pair.recipient, pair.word, effect(pair)) for pair in pairs]
    return Table(("recipient", "state", "recall"), rows)


def receipt_table(receipts: Iterable[pb.SignedReceipt]) -> Table:
    """Return one row per signed receipt, oldest first."""
    rows = [
        (
            receipt.recipient,
            receipt.status,
            " ".join(receipt.codes),
            short_time(receipt.decided_at),
            short_time(receipt.received_at),
            short_id(receipt.digest),
            receipt.flaw or "holds",
        )
        for receipt in receipts
    ]
    return Table(("recipient", "receipt", "codes", "decided", "received", "digest", "signature"), rows)


def pair_table(entry: pb.OutboxEntry) -> Table:
    """Return one row per recipient of one bulletin, or damaged record of one."""
    rows: list[Sequence[str]] = [
        (
            pair.recipient,
            f"{pair.granted} of {pair.portions}",
            pair_word(pair),
            " ".join(pair.codes) or pair.basis,
            str(pair.sequence) if pair.sequence else "",
            short_time(pair.changed_at),
            duration(pair.took),
        )
        for pair in entry.pairs
    ]
    rows += [(name, "", "", "RECORD_CORRUPT", "", "", "") for name in entry.damaged]
    return Table(("recipient", "portions", "state", "basis or reason", "number", "since", "time"), rows)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def consent_table(entries: Iterable[pb.ConsentEntry]) -> Table:
    """Return one row per request for consent: of whom, for whom, and its state."""
    rows = [
        (
            short_id(entry.bulletin),
            f"we asked {entry.member}" if entry.own else f"{entry.member} asks us",
            entry.recipient,
            str(entry.portions),
            entry.state,
            "as long as it is valid" if entry.until == NEVER else short_time(entry.until),
            short_time(entry.asked_at),
        )
        for entry in entries
    ]
    return Table(("bulletin", "request", "for", "portions", "state", "until", "asked"), rows)


def request_table(entries: Iterable[pb.RequestEntry]) -> Table:
    """Return one row per request and member: direction, state, deadline."""
    rows = [
        (
            short_id(entry.bulletin),
            f"to {entry.member}" if entry.own else f"from {entry.member}",
            f"{entry.state}, overdue" if entry.overdue else entry.state,
            _due(entry.due),
            entry.title,
            short_id(entry.reply) if entry.reply else "",
        )
        for entry in entries
    ]
    return Table(("request", "member", "state", "due", "about", "reply"), rows)


def obligation_table(entries: Iterable[pb.ObligationEntry]) -> Table:
    """Return one row per obligation: its bulletin, its deadline, whether it is met."""
    rows = [
        (
            short_id(entry.bulletin),
            entry.originator,
            entry.obligation,
            _due(entry.due),
            f"met {short_time(entry.done_at)}" if entry.done_at else "overdue" if entry.overdue else "open",
            entry.title,
        )
        for entry in entries
    ]
    return Table(("bulletin", "from", "obligation", "due", "state", "title"), rows)


def _due(instant: int) -> str:
    return "" if instant == NEVER else short_time(instant)
