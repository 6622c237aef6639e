"""Accusations: the charges of a witness against a log, with proof or without, in whatever order they come.

doubt     an answer showed nothing: an alarm without a proof; the checkpoint waits, and is asked about again
clear     a right answer came: that doubt ends, and its alarm with it
convict   a path shows that history was rewritten: proved, and every doubt about that log gives way to it
narrow    up to this size the rewritten log is unchanged
forgot    memory was lost: shown with the most that was forgotten, but not an accusation

One alarm stands for all doubts about a node. Of several proofs the one that goes furthest back is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from intelshare.audit.exhibit import Exhibit, exhibit_of, position
from intelshare.audit.path import LogPath, check_path
from intelshare.audit.records import EntryType, Witnessed
from intelshare.broker.kernel.tables import CHECKPOINT, EVIDENCE, CheckpointRow, EvidenceRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.evidence import (
    CONTRADICTIONS,
    SETTLED,
    contradict,
    identity_of,
    withdraw,
)
from intelshare.broker.transparency.known_checkpoints import (
    UNPROVED,
    CheckpointState,
    ask_for,
    both,
    nearest,
    position_of,
    signed_at_of,
)
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence
from intelshare.ids import Digest, Incarnation, MemberCode, NodeUri
from intelshare.ports import changed

_CODE = "LOG_INCONSISTENT"


def doubt(tx: Transaction, member: MemberCode, earlier: CheckpointRow, later: CheckpointRow) -> None:
    """Raise one alarm because nothing shows that one follows from the other, and ask again at once."""
    row, other = (later, earlier) if later.state in UNPROVED else (earlier, later)
    if row.state != CheckpointState.CLAIMED:
        return
    tx.asks.append((member, ask_for(earlier, later)))
    if not _doubted(tx, row.origin):
        log_witnessed(tx, row, other, code=_CODE)
        contradict(tx, member, _CODE, both(earlier, later, None), name_of(row))
    tx.put(CHECKPOINT, changed(row, state=CheckpointState.DOUBTED))


def clear(tx: Transaction, row: CheckpointRow) -> None:
    """End the doubt about this checkpoint. If its node has others in doubt, the alarm goes on for them."""
    if row.state != CheckpointState.DOUBTED or not withdraw(tx, _key(row)):
        return
    rows = tx.view.find(CHECKPOINT, "key", row.origin)
    for other in rows:
        base = nearest(rows, other)
        if other.state == CheckpointState.DOUBTED and name_of(other) != name_of(row) and base is not None:
            contradict(tx, other.member, _CODE, both(base, other, None), name_of(other))
            return


def overrule(tx: Transaction, origin: NodeUri) -> None:
    """Withdraw the alarms of mere doubt about a node: a proof was found. That witnesses say that they were
    shown another log of it needs none any more, and one that has forgotten that log could not give it.
    """
    for row in _doubted(tx, origin):
        withdraw(tx, _key(row))
    for member in tx.node.trust.members:
        for claim, shown, _ in claims_of(tx, member):
            if shown.origin == origin:
                tx.put(EVIDENCE, changed(claim, shelf=SETTLED))


def claims_of(tx: Transaction, witness: MemberCode) -> Iterator[tuple[EvidenceRow, Checkpoint, Checkpoint]]:
    """Yield what this member says without a proof that it was shown of other logs: the log as it was shown
    here, and the checkpoint in which the witness says otherwise.
    """
    for row in tx.view.find(EVIDENCE, "member", witness, CONTRADICTIONS):
        exhibit = decode(Exhibit, row.exhibit)
        if row.code == "LOG_FORK" and exhibit.raw:
            shown, witnessed = (decode(Checkpoint, said.data) for said in exhibit.statements[:2])
            yield row, shown, witnessed


def convict(
    tx: Transaction, member: MemberCode, earlier: CheckpointRow, later: CheckpointRow, path: LogPath
) -> None:
    """Record that the later checkpoint does not follow from the earlier one."""
    overrule(tx, later.origin)
    if later.state != CheckpointState.BROKEN:
        log_witnessed(tx, later, earlier, code=_CODE)
        tx.put(CHECKPOINT, changed(later, state=CheckpointState.BROKEN))
        contradict(tx, member, _CODE, both(earlier, later, path), name_of(later))
        return
    kept, said = _kept(tx, later), decode(Evidence, earlier.signed)
    if kept is None or not _further_back(said, kept.statements[-2]):
        return
    # This path shows that history was rewritten still further back.
    holds, paths = kept.statements[:-2], kept.paths[1:]
    if not all(_begins(held, said) for held in holds):
        holds, paths = (), ()
    _exhibit_again(tx, later, exhibit_of([*holds, said, kept.statements[-1]], [path, *paths]))


def narrow(tx: Transaction, holds: CheckpointRow, later: CheckpointRow, path: LogPath) -> None:
    """Record that up to this size the rewritten log is unchanged; the largest such size is kept."""
    kept, said = _kept(tx, later), decode(Evidence, holds.signed)
    if kept is None or not _begins(said, kept.statements[-2]):
        return
    if not any(_begins(said, held) for held in kept.statements[:-2]):
        _exhibit_again(tx, later, exhibit_of([said, *kept.statements[-2:]], [kept.paths[0], path]))


def forgot(
    tx: Transaction, member: MemberCode, earlier: CheckpointRow, later: CheckpointRow, path: LogPath
) -> None:
    """Record, once for each later log, that it has lost what was signed before it, as the path shows."""
    shown = both(earlier, later, path)
    log = sha256(f"{later.origin} {later.incarnation}".encode())
    identity = identity_of("LOG_FORGOT", shown, log)
    contradict(tx, member, "LOG_FORGOT", shown, log)
    row = tx.get(EVIDENCE, identity)
    if row is not None and _lost(decode(Exhibit, row.exhibit)) < _lost(shown):
        tx.put(EVIDENCE, changed(row, exhibit=encode(Exhibit, shown)))


def _lost(exhibit: Exhibit) -> int:
    earlier, later = (position(decode(Checkpoint, said.data)) for said in exhibit.statements)
    return check_path(earlier, later, exhibit.paths[0]).forgot


def _kept(tx: Transaction, later: CheckpointRow) -> Exhibit | None:
    """Return the proof of a rewriting: perhaps a checkpoint that holds, then the earlier and later ones."""
    row = tx.get(EVIDENCE, _key(later))
    return decode(Exhibit, row.exhibit) if row is not None else None


def _exhibit_again(tx: Transaction, later: CheckpointRow, exhibit: Exhibit) -> None:
    row = tx.get(EVIDENCE, _key(later))
    if row is not None:
        tx.put(EVIDENCE, changed(row, exhibit=encode(Exhibit, exhibit)))


def _begins(one: Evidence, other: Evidence) -> bool:
    """Return True if one covers the beginning of the log that the other covers, or the same."""
    first, second = decode(Checkpoint, one.data), decode(Checkpoint, other.data)
    return first.incarnation == second.incarnation and first.size <= second.size


def _further_back(one: Evidence, other: Evidence) -> bool:
    first, second = decode(Checkpoint, one.data), decode(Checkpoint, other.data)
    if first.incarnation == second.incarnation:
        return first.size < second.size
    return signed_at_of(one) < signed_at_of(other)


def _doubted(tx: Transaction, origin: NodeUri) -> list[CheckpointRow]:
    return tx.view.find(CHECKPOINT, "state", origin, CheckpointState.DOUBTED)


def name_of(row: CheckpointRow) -> bytes:
    """Return a digest that identifies one checkpoint."""
    return sha256(encode(Cosigned, position_of(row)))


def _key(row: CheckpointRow) -> Digest:
    return Digest(sha256(_CODE.encode() + name_of(row)))


def log_witnessed(
    tx: Transaction, row: CheckpointRow, before: CheckpointRow | None, *, forgot: int = 0, code: str = ""
) -> None:
    """Log at this node what was seen of another log."""
    tx.log(
        EntryType.WITNESSED,
        Witnessed(
            row.member, row.origin, row.incarnation, row.size, row.root,
            before.incarnation if before is not None else Incarnation(0),
            before.size if before is not None else 0,
            forgot, code,
        ),
    )  # fmt: skip
