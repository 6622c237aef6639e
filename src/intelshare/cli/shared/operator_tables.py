"""Tables for operators: peers, queues, users, members, keys and certificates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from intelshare.cli.shared.output import Table
from intelshare.cli.shared.tables import precedence, short_time, without_empty
from intelshare.instant import DAY

if TYPE_CHECKING:
    from intelshare.trust import RootDocument
    from intelshare.wire.v1 import user_pb2 as pb


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
            short_time(peer.directory_expires),
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
        "directory until",
        "last error",
    )
    return Table(heads, rows)


def peer_notes(peers: Iterable[pb.PeerStatus]) -> list[str]:
    """Return lines about frozen streams, and about losses of memory on either side."""
    lines = []
    for peer in peers:
        if peer.frozen_streams:
            lines.append(
                f"{peer.member}: {peer.frozen_streams} stream(s) frozen: `intelshare node release-stream "
                f"{peer.member} --reason TEXT`  [SEQUENCE_FORK]"
            )
        if peer.forgot:
            lines.append(
                f"{peer.member} holds {peer.forgot} log entries of this node that it forgot  [LOG_FORGOT]"
            )
        if peer.reading_waits:
            lines.append(
                f"what {peer.member} sent is not read until it was linked for a minute, or `intelshare node "
                f"allow-reading {peer.member} --reason TEXT`: this node lost memory, and {peer.member} may "
                "have recalled some  [READING_WAITS]"
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
    return without_empty(columns, rows, "person")


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
            short_time(entry.directory_expires),
            " ".join(entry.nodes),
            " ".join(entry.treaties),
            f"{entry.exclusion} {short_time(entry.excluded_at)}" if entry.exclusion else "",
            entry.fingerprint,
        )
        for entry in members
    ]
    columns = ("member", "root", "directory until", "nodes", "treaties", "left out", "fingerprint")
    return without_empty(columns, rows, "left out")


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
