"""Witnessing: a peer's checkpoints are compared with its earlier ones, and with what others saw.

take      a checkpoint of a peer is kept, and the path is asked for that leads to it from what is held
prove     the path shows: it grew, it forgot (amnesia, never a fork), or its history was rewritten
compare   what a peer says that it saw of others is compared with what they showed here (attacks.md row 64)
remember  at a hello: unproved checkpoints and claims against the peer are asked about again;
          what the peer holds of this node's log

    CLAIMED   signed, not yet proved        PROVED   follows from what was held before; cosigned
    DOUBTED   claimed, and what was answered shows nothing: an alarm without proof, asked about again
    BROKEN    contradicts what was held: its node's further checkpoints are rejected, others' are not
    HEARD     another member says that it saw it        OWN   the last of this node's log

A signed checkpoint counts from its acknowledgement on, proved or not: hellos name it, and a log without it
has forgotten it. A path proves one end only if the other is proved; it convicts whatever the state of the
two. So hellos, checkpoints and paths may come in any order. Contradictions stay as evidence that anybody can
check (docs/format.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from intelshare.audit.exhibit import Exhibit, contradiction, exhibit_of, position
from intelshare.audit.path import LogAsk, LogPath, Verdict, check_path
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Carried
from intelshare.broker.kernel.inbound import Inbound
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import CHECKPOINT, EVIDENCE, LOG_HEAD, CheckpointRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.accusation import (
    claims_of,
    clear,
    convict,
    doubt,
    forgot,
    log_witnessed,
    name_of,
    narrow,
    overrule,
)
from intelshare.broker.transparency.evidence import CONTRADICTIONS, SETTLED, contradict, lost_here
from intelshare.broker.transparency.known_checkpoints import (
    MAX_CLAIMED,
    MAX_COSIGNED,
    MAX_SIZE,
    UNPROVED,
    CheckpointState,
    ask_for,
    bases,
    ends,
    is_broken,
    longer,
    nearest,
    place_of,
    position_of,
    present,
    signed_at,
    thinned,
)
from intelshare.crypto.codec import decode, encode, malformed
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Checkpoint, Cosigned, Evidence, Kind
from intelshare.errors import CryptoError, DeliveryError, IntelshareError, TrustError
from intelshare.ids import Digest, Incarnation, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.ports import Plan, Random, View, changed
from intelshare.statement import Verified, is_revoked, verify_evidence
from intelshare.trust import HelloPayload


def on_checkpoint(inbound: Inbound, verified: Verified, carried: Carried) -> None:
    """Keep a peer's checkpoint, or reject it.

    Raises CryptoError SIGNER_NOT_AUTHORISED, EnvelopeError ENVELOPE_MALFORMED, TrustError LOG_FORK (another
    root for a size that is held), LOG_INCONSISTENT (its log has contradicted itself before), DeliveryError
    RATE (too many unproved ones).
    """
    tx, said = inbound.tx, verified.read(Checkpoint)
    if not said.origin == verified.signer.node == inbound.uri:
        raise CryptoError("SIGNER_NOT_AUTHORISED", "the checkpoint names another node than its signing key")
    sizes = [said.size, *(seen.size for seen in said.cosigned)]
    if not said.size or max(sizes) > MAX_SIZE or len(said.cosigned) > MAX_COSIGNED:
        raise malformed(
            "Checkpoint", "the log is empty or impossibly long, or too many other logs are listed"
        )
    batch = verified.batch
    signed = Evidence(Kind.CHECKPOINT, carried.nonce, carried.data, carried.proof, batch.raw)
    found = tx.get(CHECKPOINT, said.origin, said.incarnation, said.size)
    heard, held = (
        (found, None) if found is not None and found.state == CheckpointState.HEARD else (None, found)
    )
    if held is not None and held.root != said.root:
        _fork(tx, held, inbound.member, signed)
        raise TrustError(
            "LOG_FORK", f"{inbound.member} signed two logs of {said.size} entries under one name"
        )
    if is_broken(tx.view, said.origin):
        raise TrustError(
            "LOG_INCONSISTENT",
            f"the log of {said.origin} has contradicted itself before",
            hint="`intelshare status` shows how; `intelshare audit export` gives the evidence",
        )
    if held is None:
        row = _put(tx, inbound.member, said, signed)
        if heard is not None and heard.root != said.root:
            _split(tx, row, position_of(heard), heard.member, [signed, decode(Evidence, heard.signed)])
    elif batch.record.signed_at > signed_at(held):
        # It is the same log as before, with others that its node has seen since.
        tx.put(CHECKPOINT, changed(held, signed=encode(Evidence, signed)))
    _compare(tx, inbound.member, said, signed)


def _put(tx: Transaction, member: MemberCode, said: Checkpoint, signed: Evidence) -> CheckpointRow:
    rows = tx.view.find(CHECKPOINT, "key", said.origin)
    proved = [row for row in rows if row.state == CheckpointState.PROVED]
    waiting = _make_room(tx, member, said, rows)
    row = CheckpointRow(
        said.origin, said.incarnation, said.size, said.root, member,
        CheckpointState.CLAIMED if proved else CheckpointState.PROVED,
        tx.now, place_of(rows, said.incarnation, tx.now), encode(Evidence, signed),
    )  # fmt: skip
    tx.put(CHECKPOINT, row)
    tx.asks += [(member, ask_for(row, base)) for base in bases(rows, row)]
    if not proved:
        log_witnessed(tx, row, None)
    heard = [
        other for other in rows if other.state == CheckpointState.HEARD and longer([row], other) is not None
    ]
    # Unproved checkpoints are compared with what follows them, and asked about with each new one.
    tx.asks += [(member, ask_for(other, row)) for other in (*heard, *waiting)]
    for old in thinned([*proved, row]):
        tx.delete(CHECKPOINT, old.origin, old.incarnation, old.size)
    return row


def _make_room(
    tx: Transaction, member: MemberCode, said: Checkpoint, rows: Sequence[CheckpointRow]
) -> Sequence[CheckpointRow]:
    """Return the checkpoints that wait for a path, making room for this one. Raises DeliveryError RATE.

    At ``MAX_CLAIMED`` a further checkpoint of a log that is among those waiting is rejected. The first of
    another log is not, for only that can show what became of the logs before: it replaces the newest but one.
    """
    waiting = sorted((row for row in rows if row.state in UNPROVED), key=lambda row: -row.newest)
    if len(waiting) < MAX_CLAIMED:
        return waiting
    if any(row.incarnation == said.incarnation for row in waiting):
        base = nearest(rows, waiting[-1])
        if base is not None:
            tx.asks.append((member, ask_for(waiting[-1], base)))
        raise DeliveryError("RATE", f"{said.origin} has not proved its last {MAX_CLAIMED} checkpoints")
    given_up = waiting.pop(-2)
    clear(tx, given_up)
    tx.delete(CHECKPOINT, given_up.origin, given_up.incarnation, given_up.size)
    return waiting


def prove(
    node: Node, view: View, member: MemberCode, uri: NodeUri, path: LogPath, now: Instant, random: Random
) -> Plan[Effects]:
    """Process a path. One that nobody asked for changes nothing. Nothing that a peer may send raises."""
    tx = Transaction(node, view, now, random)
    if path.signed:
        _shown(tx, path)
        return tx.plan(tx.effects())
    earlier, later = ends(view, path.ask)
    if path.ask.origin != uri or earlier is None or later is None or is_broken(view, uri, but=later):
        return tx.plan(tx.effects())
    try:
        led = check_path(position_of(earlier), position_of(later), path)
    except IntelshareError:
        if (
            CheckpointState.HEARD not in (earlier.state, later.state)
            and later.state != CheckpointState.BROKEN
        ):
            doubt(tx, member, earlier, later)
        return tx.plan(tx.effects())
    if CheckpointState.HEARD in (earlier.state, later.state):
        _heard(tx, earlier, later, path, agrees=led.verdict is not Verdict.REWRITTEN)
    elif led.verdict is Verdict.REWRITTEN:
        convict(tx, member, earlier, later, path)
        _ask_older(tx, member, earlier, later, earlier.size - 1)
    elif led.verdict is Verdict.FORGOT:
        _forgot(tx, member, earlier, later, path, led.forgot)
        known = led.end.size if led.end.incarnation == earlier.incarnation else 0
        _ask_older(tx, member, earlier, later, known)
        _put_behind(tx, earlier, later)
    elif later.state == CheckpointState.BROKEN:
        narrow(tx, earlier, later, path)
    else:
        _grew(tx, member, earlier, later)
        _put_behind(tx, earlier, later)
    return tx.plan(tx.effects())


def _put_behind(tx: Transaction, earlier: CheckpointRow, later: CheckpointRow) -> None:
    """Place the earlier of two logs, as a path shows, behind the later one: a copy may have come last."""
    if earlier.incarnation == later.incarnation:
        return
    for held in tx.view.find(CHECKPOINT, "key", earlier.origin, earlier.incarnation):
        row = tx.get(CHECKPOINT, held.origin, held.incarnation, held.size)
        if row is not None and row.newest <= later.newest:
            tx.put(CHECKPOINT, changed(row, newest=later.newest + 1))


def _grew(tx: Transaction, member: MemberCode, earlier: CheckpointRow, later: CheckpointRow) -> None:
    """Mark either end as proved if the other one is."""
    if earlier.state == CheckpointState.PROVED and later.state in UNPROVED:
        _proved(tx, member, later, earlier)
    elif later.state == CheckpointState.PROVED and earlier.state in UNPROVED:
        _mark_proved(tx, earlier, later)


def _proved(
    tx: Transaction, member: MemberCode, row: CheckpointRow, by: CheckpointRow, *, lost: int = 0
) -> None:
    """Mark a checkpoint as proved, and ask for paths that prove the waiting ones by it."""
    _mark_proved(tx, row, by, lost=lost)
    for other in tx.view.find(CHECKPOINT, "key", row.origin):
        if other.state in UNPROVED and other != row:
            tx.asks.append((member, ask_for(other, row)))


def _mark_proved(tx: Transaction, row: CheckpointRow, by: CheckpointRow, *, lost: int = 0) -> None:
    clear(tx, row)
    tx.put(CHECKPOINT, changed(row, state=CheckpointState.PROVED))
    if lost or row.incarnation != by.incarnation or row.state == CheckpointState.DOUBTED:
        log_witnessed(tx, row, by, forgot=lost)


def _forgot(
    tx: Transaction,
    member: MemberCode,
    earlier: CheckpointRow,
    later: CheckpointRow,
    path: LogPath,
    count: int,
) -> None:
    """Record a loss of memory that the later log admits: it is shown, and never held against it."""
    if earlier.state == CheckpointState.PROVED and later.state in UNPROVED:
        _proved(tx, member, later, earlier, lost=count)
    elif later.state == CheckpointState.PROVED and earlier.state in UNPROVED:
        # Signed, never proved, and now gone: nothing can prove it any more.
        clear(tx, earlier)
        tx.delete(CHECKPOINT, earlier.origin, earlier.incarnation, earlier.size)
        log_witnessed(tx, later, earlier, forgot=count)
    elif (earlier.state, later.state) != (CheckpointState.PROVED, CheckpointState.PROVED):
        return
    forgot(tx, member, earlier, later, path)


def _ask_older(
    tx: Transaction, member: MemberCode, earlier: CheckpointRow, later: CheckpointRow, below: int
) -> None:
    """Ask about an older checkpoint of the same log: the answer tells how far back the log is unchanged."""
    rows = tx.view.find(CHECKPOINT, "key", earlier.origin, earlier.incarnation)
    older = [row for row in rows if row.state == CheckpointState.PROVED and row.size <= below]
    if older:
        tx.asks.append((member, ask_for(older[-1], later)))


def _fork(tx: Transaction, held: CheckpointRow, member: MemberCode, signed: Evidence) -> None:
    """Record two roots for one size, both signed by the same node."""
    if held.state != CheckpointState.BROKEN:
        overrule(tx, held.origin)
        tx.put(CHECKPOINT, changed(held, state=CheckpointState.BROKEN))
        log_witnessed(tx, held, held, code="LOG_FORK")
    _believe(tx, position(decode(Checkpoint, signed.data)))
    exhibit = exhibit_of([decode(Evidence, held.signed), signed])
    contradict(tx, member, "LOG_FORK", exhibit, name_of(held))


def _compare(tx: Transaction, member: MemberCode, said: Checkpoint, signed: Evidence) -> None:
    """Compare what a peer says that it saw with what the same nodes showed here."""
    claims: Counter[tuple[NodeUri, Incarnation]] = Counter()
    for seen in said.cosigned:
        listed = tx.node.trust.node(seen.origin)
        if listed is None or listed[0] in (tx.node.member, member) or not seen.size:
            continue
        if is_broken(tx.view, seen.origin):
            # Its node has shown that it signs different logs: that a witness saw another one is no surprise.
            continue
        held = tx.get(CHECKPOINT, seen.origin, seen.incarnation, seen.size)
        if held is not None:
            if held.root != seen.root and held.state != CheckpointState.HEARD:
                _split(tx, held, seen, member, [decode(Evidence, held.signed), signed])
            continue
        rows = tx.view.find(CHECKPOINT, "key", seen.origin, seen.incarnation)
        # Each witness has this many: one that lies leaves room for what the others saw.
        log = seen.origin, seen.incarnation
        claimed = claims[log] + sum(
            row.state == CheckpointState.HEARD and row.member == member for row in rows
        )
        if rows and claimed < MAX_CLAIMED:
            claims[log] += 1
            row = CheckpointRow(
                seen.origin, seen.incarnation, seen.size, seen.root, member, CheckpointState.HEARD,
                tx.now, min(one.newest for one in rows), encode(Evidence, signed),
            )  # fmt: skip
            tx.put(CHECKPOINT, row)
            above = longer(rows, row)
            if above is not None:
                tx.asks.append((listed[0], ask_for(row, above)))


def _heard(
    tx: Transaction, earlier: CheckpointRow, later: CheckpointRow, path: LogPath, *, agrees: bool
) -> None:
    """Record the comparison of a checkpoint that another member saw with the log that its node shows here."""
    heard, held = (earlier, later) if earlier.state == CheckpointState.HEARD else (later, earlier)
    tx.delete(CHECKPOINT, heard.origin, heard.incarnation, heard.size)
    if not agrees and held.state != CheckpointState.BROKEN:
        statements = [decode(Evidence, row.signed) for row in (held, heard)]
        _split(tx, held, position_of(heard), heard.member, statements, path)


def _split(
    tx: Transaction,
    held: CheckpointRow,
    seen: Cosigned,
    witness: MemberCode,
    statements: Sequence[Evidence],
    path: LogPath | None = None,
) -> None:
    """Record that one log was shown in two ways, or that the witness lies: the signed checkpoint that it saw
    will tell. Until then it is the witness's claim, on the witness's shelf; each hello asks about it again.
    """
    note = f"says that it was shown another log of {seen.origin} at {seen.size} entries"
    contradict(tx, witness, "LOG_FORK", exhibit_of(statements, [path], note.encode()), _seen(seen))
    tx.asks.append((witness, LogAsk(seen.origin, held.incarnation, held.size, seen.incarnation, seen.size)))


def _shown(tx: Transaction, path: LogPath) -> None:
    """Complete the evidence with the checkpoint as another member was shown it.

    A key that was revoked since convicts nobody; but a witness that shows its signature has not lied.
    """
    node, ask, signed = tx.node, path.ask, path.signed[0]
    held = tx.get(CHECKPOINT, ask.origin, ask.incarnation, ask.size)
    try:
        verified = verify_evidence(
            signed, trust=node.trust, suites=node.suites, roots=node.roots, revoked=True
        )
        said = verified.read(Checkpoint)
    except IntelshareError:
        return
    if held is None or said.origin != verified.signer.node or said.origin != ask.origin:
        return
    row = tx.get(EVIDENCE, _claim(position(said)))
    if row is None or row.shelf != CONTRADICTIONS:
        return
    if is_revoked(verified.batch.record, node.trust):
        _believe(tx, position(said))
        return
    before = decode(Exhibit, row.exhibit)
    pair = [decode(Evidence, held.signed), signed]
    if before.paths:
        pair.reverse()
    whole = exhibit_of(pair, before.paths)
    if contradiction(whole) is not None:
        tx.put(EVIDENCE, changed(row, shelf=SETTLED))
        overrule(tx, held.origin)
        contradict(tx, held.member, "LOG_FORK", whole, name_of(held))
        tx.put(CHECKPOINT, changed(held, state=CheckpointState.BROKEN))
        log_witnessed(tx, held, held, code="LOG_FORK")


def _believe(tx: Transaction, seen: Cosigned) -> None:
    """End the claim against a witness that it saw this: its node did sign it."""
    row = tx.get(EVIDENCE, _claim(seen))
    if row is not None and row.shelf == CONTRADICTIONS:
        tx.put(EVIDENCE, changed(row, shelf=SETTLED))


def _claimed(tx: Transaction, member: MemberCode) -> Iterator[LogAsk]:
    """Yield the questions about what a witness claims to have seen: an answer may be lost with its link."""
    for row, shown, witnessed in claims_of(tx, member):
        for seen in witnessed.cosigned:
            if seen.origin == shown.origin and _claim(seen) == row.evidence:
                yield LogAsk(seen.origin, shown.incarnation, shown.size, seen.incarnation, seen.size)


def remember(tx: Transaction, member: MemberCode, uri: NodeUri, said: HelloPayload) -> int:
    """At a hello, ask again about what is not proved.

    Return how many entries of its log this node lost, judging by what the peer holds; 0: none.
    """
    rows = tx.view.find(CHECKPOINT, "key", uri)
    for row in rows:
        others: Sequence[CheckpointRow | None] = ()
        if row.state == CheckpointState.HEARD:
            others = [longer(rows, row)]
        elif row.state in UNPROVED and row.incarnation == said.incarnation:
            others = bases(rows, row)
        elif row.state in UNPROVED:
            # Never backwards: only what follows a log that has ended can tell what became of it.
            others = [present(rows, said.incarnation)]
        tx.asks += [(member, ask_for(row, other)) for other in others if other is not None]
    tx.asks += [(member, ask) for ask in _claimed(tx, member)]
    lost = 0
    for held in said.checkpoint:
        if held.origin == tx.node.uri:
            head = tx.view.get(LOG_HEAD, held.incarnation)
            lost = max(0, held.size - (head.size if head is not None else 0))
            if lost:
                key = lost_here(uri, tx.node.incarnation)
                note = f"{uri} says that it holds {lost} entries that this node no longer has"
                exhibit = exhibit_of((), raw=note.encode())
                contradict(tx, tx.node.member, "LOG_FORGOT", exhibit, key)
    return lost


def _seen(position: Cosigned) -> bytes:
    return sha256(b"seen" + encode(Cosigned, position))


def _claim(seen: Cosigned) -> Digest:
    """Return the id of the claim of a witness that it saw this."""
    return Digest(sha256(b"LOG_FORK" + _seen(seen)))
