"""The tables that commands print, built from the wire's messages; the demo prints its scenes with the same
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from intelshare.cli.shared.output import Table
from intelshare.instant import DAY, NEVER, Instant, show

if TYPE_CHECKING:
    from intelshare.trust import RootDocument
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
    without_time = _without_empty(whole.columns, rows, "time")
    return _without_empty(without_time.columns, without_time.rows, "state")


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
    return _without_empty(("", "id", "from", "precedence", "received", "title", "note", "banner"), rows)


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


def _without_empty(columns: tuple[str, ...], rows: Sequence[Sequence[str]], column: str = "note") -> Table:
    """Return the table without this column if it is empty in every row."""
    place = columns.index(column)
    if any(row[place] for row in rows):
        return Table(columns, rows)
    return Table(
        (*columns[:place], *columns[place + 1 :]), [[*row[:place], *row[place + 1 :]] for row in rows]
    )


def outbox_table(entries: Iterable[pb.OutboxEntry]) -> Table:
    """Return one row per bulletin, with the status for each recipient."""
    rows = [
        (
            short_id(entry.bulletin),
            precedence(entry.precedence),
            short_time(entry.created_at),
            _cut(entry.title),
            ", ".join(f"{pair.recipient} {pair_word(pair)}" for pair in entry.pairs),
            ", ".join([*(["recalled"] if entry.recalled_at else []), *around(entry)]),
            entry.banner,
        )
        for entry in entries
    ]
    return _without_empty(("id", "precedence", "created", "title", "recipients", "note", "banner"), rows)


def pair_word(pair: pb.OutboxPair) -> str:
    """Return the status of a pair, and whether a recall is still unanswered."""
    return f"{pair.word} (recall requested)" if pair.recall_requested else pair.word


_EFFECTS = {
    "stopped": "stops here, was not delivered",
    "asked": "will be asked to destroy it",
    "none": "nothing to do",
}


def recall_table(pairs: Iterable[pb.RecallPair]) -> Table:
    """Return one row per recipient: its state, and what the recall does there."""
    rows = [(pair.recipient, pair.word, _EFFECTS.get(pair.effect, pair.effect)) for pair in pairs]
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
    """Return one row per recipient of one bulletin."""
    rows = [
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
    return Table(("recipient", "portions", "state", "basis or reason", "number", "since", "time"), rows)


def peer_table(peers: Iterable[pb.PeerStatus]) -> Table:
    """Return one row per node of another member."""
    rows = [
        (
            peer.member,
            peer.state,
            short_time(peer.since),
            str(peer.queued or ""),
            str(peer.unacknowledged or ""),
            short_time(peer.directory_expires),
            peer.last_error,
        )
        for peer in peers
    ]
    return Table(
        ("member", "link", "since", "queued", "unacknowledged", "directory until", "last error"), rows
    )


def peers_table(peers: Iterable[pb.PeerStatus]) -> Table:
    """Return one row per node of another member, with the details that an operator asks for next."""
    rows = [
        (
            peer.member,
            peer.node,
            peer.state,
            short_time(peer.last_seen) or "not since the start",
            f"{peer.clock_offset / 1_000_000:+.1f} s" if peer.state == "linked" else "",
            str(peer.queued or ""),
            str(peer.unacknowledged or ""),
            f"{peer.directory_version}, until {short_time(peer.directory_expires)}",
            peer.last_error,
        )
        for peer in peers
    ]
    heads = (
        "member",
        "node",
        "link",
        "last seen",
        "clock",
        "queued",
        "unacknowledged",
        "directory",
        "last error",
    )
    return Table(heads, rows)


def peer_notes(peers: Iterable[pb.PeerStatus]) -> list[str]:
    """Return lines about frozen streams, and about losses of memory on either side."""
    lines = []
    for peer in peers:
        if peer.frozen_streams:
            lines.append(
                f"{peer.member}: {peer.frozen_streams} stream(s) frozen: intelshare node release-stream "
                f"{peer.member}  [SEQUENCE_FORK]"
            )
        if peer.forgot:
            lines.append(
                f"{peer.member} holds {peer.forgot} log entries of this node that it forgot  [LOG_FORGOT]"
            )
        if peer.reading_waits:
            lines.append(
                f"what {peer.member} sent before this node lost memory waits until it was linked for a "
                f"minute: intelshare node allow-reading {peer.member}  [READING_WAITS]"
            )
        if peer.peer_forgot:
            lines.append(f"{peer.member} forgot {peer.peer_forgot} numbers that it had given  [LOG_FORGOT]")
    return lines


def kept_line(kept: pb.KeptKind) -> str:
    """Rows and bytes of one kind, with their bounds."""
    rows = f" of {kept.most_rows}" if kept.most_rows else ""
    size = f" of {kept.most_bytes / 2**20:.0f}" if kept.most_bytes else ""
    return f"kept {kept.kind}  rows {kept.rows}{rows}  {kept.bytes / 2**20:.1f}{size} MiB"


def queue_table(queues: Iterable[pb.Queue]) -> Table:
    """Return one row per recipient and precedence."""
    rows = [
        (
            queue.member,
            precedence(queue.precedence),
            str(queue.queued or ""),
            short_time(queue.oldest_queued),
            str(queue.unacknowledged or ""),
            short_time(queue.oldest_unacknowledged),
            f"{queue.bytes_unacknowledged / 1024:.1f} KiB" if queue.unacknowledged else "",
        )
        for queue in queues
    ]
    heads = ("recipient", "precedence", "queued", "since", "unacknowledged", "oldest", "size")
    return Table(heads, rows)


def user_table(users: Iterable[pb.User]) -> Table:
    """Return the register as a table."""
    rows = [
        (
            user.name,
            user.role,
            user.clearance or "none",
            user.nationality,
            " ".join(user.categories),
            user.person,
            _comes_in(user),
        )
        for user in users
    ]
    columns = ("name", "role", "clearance", "nationality", "categories", "person", "certificate")
    return _without_empty(columns, rows, "person")


def _comes_in(user: pb.User) -> str:
    """Return the first digits of the digest of the valid certificate, or why there is none."""
    if user.revoked:
        return "revoked"
    shown = [user.certificate.hex()[:16]] if user.certificate else []
    shown += ["to be enrolled"] * user.enrolling
    return ", ".join([*shown, *([user.subject] if user.subject else [])])


def member_table(members: Iterable[pb.MemberEntry]) -> Table:
    """Return the members whose documents the node holds."""
    rows = [
        (
            entry.member,
            str(entry.root_version),
            str(entry.directory_version),
            short_time(entry.directory_expires),
            " ".join(entry.nodes),
            " ".join(entry.treaties),
            f"{entry.exclusion} {short_time(entry.excluded_at)}" if entry.exclusion else "",
            entry.fingerprint,
        )
        for entry in members
    ]
    columns = ("member", "root", "directory", "until", "nodes", "treaties", "left out", "fingerprint")
    return _without_empty(columns, rows, "left out")


def root_table(before: RootDocument | None, after: RootDocument, signed: frozenset[bytes]) -> Table:
    """Return the keys of a root beside those of the root that it succeeds."""
    from intelshare.crypto.pae import key_id

    old = () if before is None else (*before.keys, *before.directory)
    now = (*after.keys, *after.directory)
    rows = [
        (
            key_id(key).hex()[:16],
            key.use.name.lower(),
            str(key.suite),
            "" if before is None or (key in old and key in now) else "new" if key in now else "goes",
            "signed" if key_id(key) in signed else "",
        )
        for key in dict.fromkeys((*old, *now))
    ]
    return Table(("key", "use", "suite", "change", "signature"), rows)


def key_table(keys: Iterable[pb.KeyEntry]) -> Table:
    """Return one row per key."""
    rows = [
        (
            key.id.hex()[:16],
            key.use,
            str(key.suite),
            key.state,
            short_time(key.counts_from),
            short_time(key.counts_until) if key.counts_until else "no end",
            short_time(key.due_at) if key.due_at else "",
            short_time(key.destroyed_at) if key.destroyed_at else "",
        )
        for key in keys
    ]
    columns = ("key", "use", "suite", "state", "counts from", "until", "succeeded", "destroyed")
    return Table(columns, rows)


def certificate_table(certificates: Iterable[pb.CertificateEntry], now: int) -> Table:
    """One row per certificate."""
    rows = [
        (
            one.serial[:16],
            one.use,
            one.holder,
            one.state,
            short_time(one.valid_from),
            short_time(one.believed_until or one.valid_until),
            str(max(0, (one.believed_until or one.valid_until) - now) // DAY),
            one.reason,
        )
        for one in certificates
    ]
    return Table(("serial", "use", "of", "state", "from", "until", "days", "reason"), rows)


def impact_table(lines: Iterable[pb.ImpactLine]) -> Table:
    """Return the statements that depend on a key, by member, direction and kind."""
    rows = [
        (
            line.member or "all",
            "sent" if line.sent else "received",
            line.kind,
            str(line.count),
            str(line.alone),
            f"{line.first_number} to {line.last_number}" if line.last_number else "",
            short_time(line.first_at),
            short_time(line.last_at),
        )
        for line in lines
    ]
    return Table(("member", "way", "kind", "count", "alone", "numbers", "first", "last"), rows)


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
