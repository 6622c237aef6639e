"""The vectors of logs in statements.json: entries, trees, paths of witnesses, exhibits, rows at rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from make_envelope import plain

from envelope_world import stream_of
from intelshare.audit import RECORDS, EntryType, consistency_proof, entry_hash, inclusion_proof
from intelshare.audit import records as logged
from intelshare.audit.decided import committed, made_of, portion_salts
from intelshare.audit.exhibit import Exhibit
from intelshare.audit.log import leaf_hash
from intelshare.audit.path import Hop, LogAsk, LogPath
from intelshare.audit.proofs import prefix_path, root_over
from intelshare.crypto.codec import encode, encoded
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import (
    Act,
    Checkpoint,
    Citation,
    Cosigned,
    Evidence,
    Kind,
    Precedence,
    Release,
    StreamHead,
    TreatyAct,
)
from intelshare.crypto.rest import seal_at_rest
from intelshare.ids import Incarnation, MemberCode, NodeUri, ReleaseNumber
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.statement import KINDS, leaf_id

SEED = "statements/log"
FRA, USA, DEU = (MemberCode(code) for code in ("FRA", "USA", "DEU"))
USER = "intelshare://fra.intelshare.internal/user/m.durand"
NODE = NodeUri("intelshare://usa.intelshare.internal/node/one")


def h(label: str) -> Any:
    return sha256(f"{SEED}/{label}".encode())


def salt(label: str) -> bytes:
    return stream_of(f"{SEED}/salt/{label}")(32)


def kept_decision(now: Instant, slots: tuple[int, int] = (5, 0)) -> logged.DecisionKept:
    """What a node keeps of one denial and one permission."""
    decided = logged.LoggedDecision(
        3,
        "",
        (Citation("gsa-fra-usa", h("text"), "3.1"),),
        ("no onward",),
        ("NUCLEAR",),
        (logged.LoggedReason("CEILING_EXCEEDED", "R4 over R3", "gsa-fra-usa.toml:12"),),
    )
    allowed = logged.LoggedDecision(1, "gsa-fra-usa", (), (), (), ())
    portions = tuple(
        logged.LoggedPortion(place, slot, encoded(logged.LoggedDecision, decision))
        for place, (slot, decision) in enumerate(zip(slots, (decided, allowed), strict=True))
    )
    return logged.DecisionKept(salt("seed of a decision"), h("md"), FRA, USA, now, portions)


def decision_vectors(now: Instant) -> list[dict[str, Any]]:
    """What is kept of decisions over 16, 64 and 256 slots, and what their entries commit to."""
    made = []
    for slots in ((5, 0), (15, 16), (63, 255)):
        kept = kept_decision(now, slots)
        salts = portion_salts(kept.seed, kept.portions)
        made.append({
            "kept": encode(logged.DecisionKept, kept).hex(),
            "record": plain_kept(kept),
            "committed": committed(EntryType.DECISION, encode(logged.DecisionKept, kept)).hex(),
            "opened": [
                {"slot": one.slot, "salt": salts[one.slot].hex(), "decision": one.decision.data.hex()}
                for one in kept.portions
            ],
        })  # fmt: skip
    missing = replace(kept, portions=(replace(kept.portions[0], slot=256),))
    raw = encode(logged.DecisionKept, missing)
    return [*made, {"kept": raw.hex(), "error": "ENVELOPE_MALFORMED"}]


def plain_kept(kept: logged.DecisionKept) -> Any:
    """As ``plain``, without the memory of a decision's bytes."""
    shown = plain(kept)
    for portion in shown["portions"]:
        portion["decision"] = portion["decision"]["value"]
    return shown


def said(now: Instant) -> dict[EntryType, Any]:
    """One record of every type."""
    md = h("md")
    made = [
        logged.Start("0.9.0", Incarnation(0), 0, bytes(32)),
        logged.Submit(md, USER),
        made_of(kept_decision(now)),
        logged.Approve(md, USA, USER, ("NUCLEAR",)),
        logged.Stop(md, DEU, 1, ("NO_TREATY",)),
        logged.HandOver(md, USA, h("release"), Incarnation(7), 1, h("decision")),
        logged.Received(USA, int(Kind.RELEASE), h("leaf"), h("md of USA"), ("POLICY_DENIED",)),
        logged.Rejected(USA, h("frame"), "ENVELOPE_MALFORMED"),
        logged.ReceiptJoined(USA, h("receipt"), h("release"), 4, ("RECALLED",)),
        logged.Read(md, USER, (0, 5)),
        logged.Register(USER, USER, "analyst R4"),
        logged.TrustAccepted(USA, 2, 7, h("directory")),
        logged.TreatyActed(USA, 3, h("act"), "gsa-fra-usa", int(Act.SUSPEND), now, ""),
        logged.Recalled(md, USER, "wrong village"),
        logged.Destroyed(USA, h("md of USA"), h("leaf"), "RETENTION"),
        logged.ConsentSaid(DEU, md, USA, (0, 5), 2),
        logged.Witnessed(
            USA, NODE, Incarnation(9), 41, h("root"), Incarnation(8), 50, 10, "LOG_INCONSISTENT"
        ),
        logged.DutyDone(h("md of USA"), "report-use", USER),
        logged.PolicyRead(h("files"), 3),
        logged.Settled(h("evidence"), USA, "LOG_FORK", USER),
        logged.ExclusionSet(USA, 2, USER),
        logged.KeyChanged(h("key"), 1, 2, now, USER),
        logged.Courier("USA", 1, USER, h("file"), 4096, 3, ""),
        logged.Exported(h("md"), USER, "opencti", (0, 7)),
        logged.Operated(1, "expected 2026-11-28T00:00:00Z; agreed USA", "the clock was a day ahead", USER),
        logged.Refuse(md, USA, USER, ("FRA-personal-data",), "name the source first"),
        logged.CertificateChanged(h("leaf"), 2, USER, "5a0c77e1", now, "the laptop was stolen", USER),
        logged.BackupMade(h("manifest"), 7, 2026, USER),
    ]
    types = {record: kind for kind, record in RECORDS.items()}
    return {types[type(record)]: record for record in made}


def log_vectors(incarnation: Incarnation, now: Instant) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every entry type; and the log that these entries make, one after the other."""
    del incarnation
    records = said(now)
    entries: list[dict[str, Any]] = []
    for place, kind in enumerate(EntryType.__members__.values()):
        raw = encode(RECORDS[kind], records[kind])
        time, own = Instant(now + place * SECOND), salt(kind.name)
        hashed = entry_hash(kind, time, own, raw)
        entries.append(
            {
                "entry": kind.name,
                "type": int(kind),
                "time": time,
                "salt": own.hex(),
                "record": plain(records[kind]),
                "bytes": raw.hex(),
                "hash": hashed.hex(),
                "leaf": leaf_hash(hashed).hex(),
            }
        )
    hashes = [bytes.fromhex(entry["hash"]) for entry in entries[:11]]
    return entries, tree_vector(hashes)


def tree_vector(hashes: list[bytes]) -> dict[str, Any]:
    count = len(hashes)
    pairs = [(earlier, later) for later in range(1, count + 1) for earlier in range(1, later + 1)]
    inclusion = [
        {"index": index, "size": size, "proof": shown(inclusion_proof(hashes[:size], index))}
        for size in range(1, count + 1)
        for index in range(size)
    ]
    consistency = [
        {"earlier": earlier, "later": later, "proof": shown(consistency_proof(hashes[:later], earlier))}
        for earlier, later in pairs
    ]
    paths = [
        {"earlier": earlier, "later": later, "proof": shown(prefix(hashes, earlier, later))}
        for earlier, later in pairs
    ]
    return {
        "hashes": shown(hashes),
        "roots": [root_over(hashes[:size]).hex() for size in range(count + 1)],
        "inclusion": [*inclusion, *refused(inclusion[-1])],
        "consistency": [*consistency, *refused(consistency[-4])],
        "paths": [*paths, *refused(paths[-4])[1:]],
    }


def refused(good: dict[str, Any]) -> list[dict[str, Any]]:
    """The same proof with one bit of its last hash changed, one hash more, one less."""
    proof = [bytes.fromhex(part) for part in good["proof"]]
    changed = [*proof[:-1], bytes([proof[-1][0] ^ 1]) + proof[-1][1:]]
    return [
        {**good, "proof": shown(bad), "error": "LOG_INCONSISTENT"}
        for bad in (changed, [*proof, bytes(32)], proof[:-1])
    ]


def shown(hashes: Any) -> list[str]:
    return [one.hex() for one in hashes]


def prefix(hashes: list[bytes], earlier: int, later: int) -> list[bytes]:
    return prefix_path(lambda low, high: root_over(hashes[low:high]), earlier, later)


# --- paths -----------------------------------------------------------------------------------------


class Log:
    """A log of some entries behind its START."""

    def __init__(
        self, incarnation: Incarnation, start: logged.Start, count: int, label: str, now: Instant
    ) -> None:
        self.incarnation, self.now, self.salt = incarnation, now, salt(f"{label}/start")
        self.start = encode(logged.Start, start)
        first = entry_hash(EntryType.START, now, self.salt, self.start)
        self.hashes: list[bytes] = [first, *(h(f"{label}/{place}") for place in range(1, count))]

    def at(self, origin: NodeUri, size: int) -> Cosigned:
        return Cosigned(origin, self.incarnation, size, root_over(self.hashes[:size]))  # type: ignore[arg-type]

    def hop(self, size: int) -> Hop:
        return Hop(self.now, self.salt, self.start, tuple(inclusion_proof(self.hashes[:size], 0)))

    def proof(self, earlier: int, later: int) -> tuple[bytes, ...]:
        return tuple(prefix(self.hashes, earlier, later))


def logs(incarnation: Incarnation, now: Instant) -> dict[str, Log]:
    """A first log; what follows it: whole, after a loss, knowing nothing of it; and the first, rewritten."""
    first = Log(incarnation, logged.Start("0.9.0", Incarnation(0), 0, bytes(32)), 9, "first", now)

    def after(size: int, label: str) -> Log:
        start = logged.Start("0.9.1", incarnation, size, root_over(first.hashes[:size]))
        return Log(Incarnation(incarnation + 1), start, 3, label, now)

    rewritten = Log(incarnation, logged.Start("0.9.0", Incarnation(0), 0, bytes(32)), 9, "first", now)
    rewritten.hashes[3] = h("edited")
    return {
        "first": first,
        "next": after(9, "next"),
        "lost": after(5, "lost"),
        "blank": Log(
            Incarnation(incarnation + 1), logged.Start("0.9.1", Incarnation(0), 0, bytes(32)), 3, "blank", now
        ),
        "rewritten": rewritten,
    }


def path_vectors(incarnation: Incarnation, now: Instant, origin: NodeUri) -> list[dict[str, Any]]:
    made = logs(incarnation, now)
    first, following, lost, blank, rewritten = made.values()

    def case(
        note: str,
        earlier: Cosigned,
        later: Cosigned,
        hops: tuple[Hop, ...],
        proof: tuple[bytes, ...],
        **says: Any,
    ) -> dict[str, Any]:
        ask = LogAsk(origin, earlier.incarnation, earlier.size, later.incarnation, later.size)
        path = LogPath(ask, hops, proof, ())
        return {
            "note": note,
            "earlier": plain(earlier),
            "later": plain(later),
            "path": encode(LogPath, path).hex(),
            **({"forgot": 0, "record": plain(path)} if "verdict" in says else {}),
            **says,
        }

    hop, early = following.hop(3), first.at(origin, 6)
    return [
        case("one log", first.at(origin, 4), first.at(origin, 9), (), first.proof(4, 9), verdict="GREW"),
        case("the same size", early, early, (), first.proof(6, 6), verdict="GREW"),
        case("over a start", early, following.at(origin, 3), (hop,), first.proof(6, 9), verdict="GREW"),
        case(
            "four entries lost",
            first.at(origin, 9),
            lost.at(origin, 2),
            (lost.hop(2),),
            (),
            verdict="FORGOT",
            forgot=4,
        ),
        case(
            "the whole log lost", early, blank.at(origin, 3), (blank.hop(3),), (), verdict="FORGOT", forgot=6
        ),
        case(
            "entry 3 edited", early, rewritten.at(origin, 9), (), rewritten.proof(6, 9), verdict="REWRITTEN"
        ),
        case(
            "up to where it holds",
            first.at(origin, 3),
            rewritten.at(origin, 9),
            (),
            rewritten.proof(3, 9),
            verdict="GREW",
        ),
        case(
            "a proof of the log before it was edited",
            early,
            rewritten.at(origin, 9),
            (),
            first.proof(6, 9),
            error="LOG_INCONSISTENT",
        ),
        case("no proof", early, first.at(origin, 9), (), (), error="LOG_INCONSISTENT"),
        case("no hop", early, following.at(origin, 3), (), first.proof(6, 9), error="LOG_INCONSISTENT"),
        case(
            "a hop too many", early, first.at(origin, 9), (hop,), first.proof(6, 9), error="LOG_INCONSISTENT"
        ),
        case(
            "a hop that holds, behind the log that forgot",
            first.at(origin, 9),
            lost.at(origin, 2),
            (lost.hop(2), first.hop(5)),
            (),
            error="LOG_INCONSISTENT",
        ),
        case(
            "a hop of another time",
            early,
            following.at(origin, 3),
            (replace(hop, at=Instant(now + 1)),),
            first.proof(6, 9),
            error="LOG_INCONSISTENT",
        ),
        case(
            "a hop too many after the whole log was lost",
            early,
            blank.at(origin, 3),
            (blank.hop(3), hop),
            (),
            error="LOG_INCONSISTENT",
        ),
        case(
            "four entries lost, and a proof that nobody looks at",
            first.at(origin, 9),
            lost.at(origin, 2),
            (lost.hop(2),),
            first.proof(4, 9),
            verdict="FORGOT",
            forgot=4,
        ),
        case("a shorter log of the same name", first.at(origin, 9), early, (), (), error="LOG_INCONSISTENT"),
    ]


# --- exhibits --------------------------------------------------------------------------------------


def evidence(kind: Kind, record: Any) -> Evidence:
    """A statement without its batch: what an exhibit proves is read from its data alone."""
    return Evidence(kind, h(f"{record}")[:16], encode(KINDS[kind].record, record), bytes(257), b"")


def exhibit_vectors(incarnation: Incarnation, now: Instant, origin: NodeUri) -> list[dict[str, Any]]:
    made = logs(incarnation, now)
    first, rewritten = made["first"], made["rewritten"]

    def checkpoint(log: Log, size: int) -> Evidence:
        at = log.at(origin, size)
        return evidence(Kind.CHECKPOINT, Checkpoint(origin, at.incarnation, size, at.root, ()))

    def release(number: int, prev: Any, label: str) -> Release:
        return Release(
            origin, incarnation, USA, number, prev, Precedence.FLASH, NEVER, h("kem"), h(label), h("sealed")
        )

    one = evidence(Kind.RELEASE, release(4, h("3"), "one"))
    other = evidence(Kind.RELEASE, release(4, h("3"), "other"))
    five = evidence(Kind.RELEASE, release(5, h("another 4"), "five"))
    fits = evidence(Kind.RELEASE, release(5, leaf_id(one.kind, one.nonce, one.data), "five"))
    head = evidence(Kind.STREAM_HEAD, StreamHead(USA, incarnation, Incarnation(0), 4, h("another 4"), ()))
    act = TreatyAct(FRA, 1, bytes(32), "t", h("text"), Act.RATIFY, now, ())  # type: ignore[arg-type]
    acts = [evidence(Kind.TREATY_ACT, said) for said in (act, replace(act, act=Act.WITHDRAW))]
    second = evidence(Kind.TREATY_ACT, replace(act, n=2, previous=h("another act"), act=Act.SUSPEND))
    another = NodeUri(f"{origin}-2")
    to_deu, later, elsewhere = (
        replace(release(4, h("3"), "other"), **change)  # type: ignore[arg-type]
        for change in ({"recipient": DEU}, {"incarnation": Incarnation(99)}, {"origin": another})
    )
    head_of = StreamHead(USA, incarnation, Incarnation(0), ReleaseNumber(4), h("another 4"), ())
    restarted = replace(head_of, incarnation=Incarnation(99))
    of_usa = replace(act, member=USA, act=Act.WITHDRAW)
    at_nine = rewritten.at(origin, 9)
    of_two, started = (
        evidence(Kind.CHECKPOINT, Checkpoint(node, log, 9, at_nine.root, ()))
        for node, log in ((another, at_nine.incarnation), (origin, Incarnation(99)))
    )
    ask = LogAsk(origin, incarnation, 6, incarnation, 9)
    path = LogPath(ask, (), rewritten.proof(6, 9), ())
    forked, edited, broken = (
        {"code": code, "node": origin} for code in ("LOG_FORK", "LOG_INCONSISTENT", "SEQUENCE_FORK")
    )
    by_member = {"code": "SEQUENCE_FORK", "node": FRA}
    cases: list[tuple[str, list[Evidence], tuple[LogPath, ...], Any]] = [
        ("two roots of one size", [checkpoint(first, 9), checkpoint(rewritten, 9)], (), forked),
        ("rewritten, with the path", [checkpoint(first, 6), checkpoint(rewritten, 9)], (path,), edited),
        ("two sizes without a path", [checkpoint(first, 6), checkpoint(rewritten, 9)], (), None),
        ("two releases of one number", [one, other], (), broken),
        ("a release that names another before it", [one, five], (), broken),
        ("a release and the next", [one, fits], (), None),
        ("a head that names another release", [head, one], (), broken),
        ("two acts of one number", acts, (), by_member),
        ("an act that names another before it", [acts[0], second], (), by_member),
        ("the same twice", [one, one], (), None),
        ("two releases of one number to two members", [one, evidence(Kind.RELEASE, to_deu)], (), None),
        ("two releases of one number in two starts", [one, evidence(Kind.RELEASE, later)], (), None),
        ("two releases of one number of two nodes", [one, evidence(Kind.RELEASE, elsewhere)], (), None),
        ("the head of another stream", [evidence(Kind.STREAM_HEAD, replace(head_of, to=DEU)), one], (), None),
        ("the head of another start", [evidence(Kind.STREAM_HEAD, restarted), one], (), None),
        ("acts of one number of two members", [acts[0], evidence(Kind.TREATY_ACT, of_usa)], (), None),
        ("checkpoints of one size of two nodes", [checkpoint(first, 9), of_two], (), None),
        ("checkpoints of one size of two starts", [checkpoint(first, 9), started], (), None),
    ]
    made_of = [(note, Exhibit(tuple(said), paths, b""), found) for note, said, paths, found in cases]
    return [
        {
            "note": note,
            "exhibit": encode(Exhibit, exhibit).hex(),
            "record": plain(exhibit),
            "contradiction": found,
        }
        for note, exhibit, found in made_of
    ]


def rest_vectors() -> list[dict[str, Any]]:
    key, nonce = salt("storage key"), salt("nonce")[:24]
    rows = (("secret", h("md"), 5, h("sigma")), ("log", bytes(7) + b"\x07" + bytes(8), 0, b"salt and record"))
    made = []
    for table, row, slot, text in rows:
        sealed = seal_at_rest(key, nonce, text, table=table, row=row, slot=slot)
        made.append(
            {
                "storage_key": key.hex(),
                "table": table,
                "row": row.hex(),
                "slot": slot,
                "plaintext": text.hex(),
                "sealed": sealed.hex(),
            }
        )
    moved = {name: value for name, value in made[0].items() if name != "plaintext"}
    return [*made, {**moved, "slot": 6, "error": "OPEN_FAILED"}]
