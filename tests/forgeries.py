"""Forged files: every way to cheat a judge that we know, each with the code that refuses it.

``make forgeries`` writes them as files and asks the judge about each. A forger may hold keys of its own and
genuine files of its victim; only the accused in its own cause holds the victim's key. The reader has the
victim's member file.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import forged_notes
from envelope_world import stream_of
from export_world import deliver, exported, sent
from intelshare import verifier
from intelshare.audit.log import leaf_hash
from intelshare.audit.path import Hop, LogAsk, LogPath
from intelshare.audit.proofs import inclusion_path, prefix_path, root_over
from intelshare.audit.records import (
    DecisionMade,
    Destroyed,
    EntryType,
    HandOver,
    LoggedDecision,
    Rejected,
    Start,
    Submit,
)
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, digest, key_id, u32
from intelshare.crypto.records import (
    Act,
    Checkpoint,
    Citation,
    Claims,
    Cosigned,
    DocumentSignature,
    Evidence,
    Granted,
    KeyUse,
    Kind,
    Manifest,
    Portion,
    PortionKind,
    Precedence,
    Recall,
    Receipt,
    ReceiptStatus,
    Release,
    TreatyAct,
    Trust,
    TrustType,
)
from intelshare.crypto.suites import SUITE_1, Context, Signer
from intelshare.envelope.construct import commitment, grant_digest, manifest_digest
from intelshare.envelope.padding import pad
from intelshare.errors import IntelshareError
from intelshare.ids import (
    BulletinId,
    Digest,
    Incarnation,
    KeyId,
    LeafId,
    ManifestDigest,
    MemberCode,
    ReleaseNumber,
)
from intelshare.instant import NEVER, Instant
from intelshare.statement import Leaf, leaf_id, sign_batch
from intelshare.trust import (
    ForkedDirectories,
    new_key,
    read_member_file,
    renew_root,
    sign_directory,
    write_member_file,
)
from intelshare.trust.documents import Revocation, Revoked, Why, document_message, sign_root
from judge_world import LOG, Forgery, Log, Party, at, base64_of, evidence_file, filed, fork, party, proof_file
from line_world import met
from trust_world import NOW, signer

FRA, USA, DEU = party("FRA"), party("USA"), party("DEU")
FAKE_FRA, FAKE_USA = party("FRA", "made up"), party("USA", "made up")


def _log() -> Log:
    rows: list[Any] = [(EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0))]
    rows += [
        (EntryType.SUBMIT, Submit(ManifestDigest(bytes([place]) * 32), "user"), at(place))
        for place in range(1, 6)
    ]
    return Log.of(rows)


THE_LOG = _log()
SEEN = THE_LOG.position(FRA.node, 5)


def _proof(owner: Party = FRA, cosigned: Any = (), **under: Any) -> bytes:
    return proof_file(THE_LOG.shown(owner, at(100), [3], cosigned), filed(FRA, USA, **under))


def _changed(text: bytes, change: Callable[[Any], None]) -> bytes:
    whole = json.loads(text)
    change(whole)
    return json.dumps(whole).encode()


def _flip(text: str, place: int) -> str:
    raw = bytearray(b64decode(text))
    raw[place] ^= 1
    return b64encode(bytes(raw)).decode()


def _with_key(of: Party, **changes: Any) -> Party:
    """The member with its signing key under another record."""
    key = of.of.key(KeyUse.SIGNING)
    record = replace(key.record, **changes)
    other = replace(key, record=record, key_id=key_id(record))
    directory = replace(of.of.directory, keys=(record, *of.of.directory.keys[1:]), version=2)
    signed = sign_directory(directory, of.of.signer(KeyUse.DIRECTORY))
    founded = replace(
        of.of.founded,
        keys=tuple(other if one.record.use is KeyUse.SIGNING else one for one in of.of.founded.keys),
    )
    return Party(replace(of.of, founded=founded), (signed,))


def _made_up() -> Iterator[Forgery]:
    """Members that do not exist, in the place of those that do (P1)."""
    pair = fork(FAKE_FRA, at(9))
    own = FAKE_FRA.documents
    for name, documents, code in (
        ("under its own name", {"FRA": own}, "SIGNER_UNKNOWN"),
        ("under another's name", {"AAA": own}, "INPUT_INVALID"),
        ("behind another's documents", {"DEU": [*DEU.documents, *own]}, "INPUT_INVALID"),
        ("before another's documents", {"DEU": [*own, *DEU.documents]}, "INPUT_INVALID"),
        ("under two names", {"FRA": own, "DEU": own}, "INPUT_INVALID"),
        ("nowhere", {}, "SIGNER_UNKNOWN"),
    ):
        yield Forgery(f"made-up FRA {name}: evidence", evidence_file(pair, filed(**documents)), (FRA,), code)
        shown = THE_LOG.shown(FAKE_FRA, at(100), [3])
        yield Forgery(f"made-up FRA {name}: proof", proof_file(shown, filed(**documents)), (FRA,), code)
    alone = [FRA.of.founded.root, *own]
    yield Forgery("two first roots", evidence_file(pair, filed(FRA=alone)), (), "TRUST_THRESHOLD")
    mixed = [FRA.of.founded.root, FAKE_FRA.of.founded.directory]
    yield Forgery(
        "a made-up directory under a genuine root",
        evidence_file(pair, filed(FRA=mixed)),
        (),
        "TRUST_THRESHOLD",
    )
    claims = party("AAA")
    stolen = sign_root(
        replace(claims.of.root, domain=FRA.of.root.domain), [signer(claims.of.founded.root_keys[0])]
    )
    text = evidence_file(fork(FRA, at(9)), filed(FRA, AAA=[stolen]))
    yield Forgery("a member with FRA's domain", text, (FRA,), "NOT_AUTHORISED")
    thief = new_key(SUITE_1, KeyUse.SIGNING, DEU.of.code, NOW, stream_of("thief"), node=FRA.node)
    posing = replace(DEU, directories=(DEU.of.renewed(NOW, add_keys=[thief.record]),))
    yield Forgery(
        "DEU's key for FRA's node", evidence_file(fork(FRA, at(9)), filed(posing)), (FRA,), "NOT_AUTHORISED"
    )
    known = (FRA.given().fingerprint,)
    for name, documents in (("under its own name", {"FRA": own}), ("nowhere", {})):
        text = evidence_file(pair, filed(**documents))
        yield Forgery(f"made-up FRA {name}, fingerprint known", text, (), "TRUST_FINGERPRINT", known)
    yield Forgery(
        "two member files of FRA", evidence_file(fork(FRA, at(9)), {}), (FRA, FAKE_FRA), "INPUT_INVALID"
    )


def _old_keys() -> Iterator[Forgery]:
    """Keys that have ended, were replaced or never may sign this (P6, P12)."""
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, FRA.of.code, NOW, stream_of("fresh"))
    second = renew_root(FRA.of.root, [signer(FRA.of.founded.root_keys[0])], directory=[fresh.record])
    text = evidence_file(fork(FRA, at(9)), filed(FRA=[FRA.of.founded.root, second, FRA.of.founded.directory]))
    yield Forgery("a directory of a replaced key", text, (), "TRUST_THRESHOLD")
    text = evidence_file(
        fork(FRA, at(9)), filed(FRA=[FRA.of.founded.root, FRA.of.renewed(at(5)), FRA.of.founded.directory])
    )
    yield Forgery("directories out of order", text, (), "INPUT_INVALID")
    text = evidence_file(fork(FRA, at(9)), filed(FRA=[second, FRA.of.founded.directory]))
    yield Forgery("a chain without root 1", text, (), "TRUST_THRESHOLD")
    unsigned = replace(FRA.of.founded.root, signatures=())
    text = evidence_file(fork(FRA, at(9)), filed(FRA=[unsigned, FRA.of.founded.directory]))
    yield Forgery("a root that nobody signed", text, (), "TRUST_THRESHOLD")
    ended = _with_key(FRA, not_after=at(9))
    yield Forgery(
        "signed at the key's end", evidence_file(fork(ended, at(9)), filed(ended)), (), "SIGNER_NOT_VALID"
    )
    odd = _with_key(FRA, suite=9)
    key = odd.of.key(KeyUse.SIGNING)
    odd_signer = replace(FRA.of.signer(KeyUse.SIGNING), record=key.record, key_id=key.key_id)
    forked = [
        FRA.signed(
            Kind.CHECKPOINT,
            Checkpoint(FRA.node, LOG, 9, Digest(bytes([n]) * 32), ()),
            at(9),
            signer=odd_signer,
        )
        for n in (1, 2)
    ]
    text = evidence_file(forked, filed(odd))
    yield Forgery("a key of another suite than the batch", text, (), "SIGNATURE_INVALID")
    early = _with_key(FRA, not_before=at(10))
    yield Forgery(
        "signed before the key's time",
        evidence_file(fork(early, at(9)), filed(early)),
        (),
        "SIGNER_NOT_VALID",
    )
    directory = FRA.of.signer(KeyUse.DIRECTORY)
    said = Checkpoint(FRA.node, LOG, 9, Digest(bytes(32)), ())
    wrong = FRA.signed(Kind.CHECKPOINT, said, at(9), signer=directory)
    yield Forgery(
        "signed by a directory key", evidence_file([wrong], filed(FRA)), (FRA,), "SIGNER_NOT_AUTHORISED"
    )
    for why in (Why.COMPROMISED, Why.ROTATED):
        revoked = replace(FRA, directories=(FRA.revoked(why, at(5), at(50)),))
        for name, text in (("evidence", evidence_file(fork(FRA, at(9)), {})), ("proof", _proof())):
            yield Forgery(
                f"{why.name.lower()} key without a witness: {name}", text, (revoked,), "SIGNER_REVOKED"
            )
    late = [(USA.checkpoint(4, bytes(32), at(60), [SEEN]), 5)]
    revoked = replace(FRA, directories=(FRA.revoked(Why.COMPROMISED, at(50), at(60)),))
    yield Forgery("witnessed after the revocation", _proof(FRA, late), (revoked, USA), "SIGNER_REVOKED")
    few = [(USA.checkpoint(4, bytes(32), at(9), [THE_LOG.position(FRA.node, 3)]), 3)]
    yield Forgery("an entry behind what was witnessed", _proof(FRA, few), (revoked, USA), "SIGNER_REVOKED")
    pair = fork(FRA, at(9))
    own = Log.of([
        (EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0)),
        *[
            (EntryType.REJECTED, Rejected(FRA.of.code, Digest(leaf), "X"), at(1))
            for leaf in [leaf_id(one.kind, one.nonce, one.data) for one in pair]
        ],
    ]).shown(FRA, at(100), [1, 2])  # fmt: skip
    yield Forgery(
        "witnessed by the accused alone", evidence_file(pair, {}, seen=[own]), (revoked,), "SIGNER_REVOKED"
    )


def _witnesses() -> Iterator[Forgery]:
    """Witnesses that saw nothing, or not this (P3, P9)."""
    when = at(50)
    yield Forgery(
        "its own witness",
        _proof(FRA, [(FRA.checkpoint(4, bytes(32), when, [SEEN]), 5)]),
        (FRA,),
        "SIGNER_NOT_AUTHORISED",
    )
    made_up = [(FAKE_USA.checkpoint(4, bytes(32), when, [SEEN]), 5)]
    yield Forgery(
        "a made-up witness", _proof(FRA, made_up, USA=FAKE_USA.documents), (FRA, USA), "SIGNER_UNKNOWN"
    )
    posing = [
        (USA.signed(Kind.CHECKPOINT, Checkpoint(DEU.node, LOG, 4, Digest(bytes(32)), (SEEN,)), when), 5)
    ]
    yield Forgery("a witness in the name of DEU", _proof(FRA, posing), (FRA, USA), "SIGNER_NOT_AUTHORISED")
    other = [(USA.checkpoint(4, bytes(32), when, [replace(SEEN, root=Digest(bytes(32)))]), 5)]
    yield Forgery("a witness of another log", _proof(FRA, other), (FRA, USA), "LOG_INCONSISTENT")
    empty = [(USA.checkpoint(4, bytes(32), when, [Cosigned(FRA.node, LOG, 0, Digest(bytes(32)))]), 5)]
    yield Forgery("a witness of nothing", _proof(FRA, empty), (FRA, USA), "LOG_INCONSISTENT")


def _entries() -> Iterator[Forgery]:
    """Entries that are not in the log, or not there."""
    genuine = _proof()
    changes: dict[str, tuple[Callable[[Any], None], str]] = {
        "another record": (lambda e: e.update(record=e["record"].replace("03", "04", 1)), "LOG_INCONSISTENT"),
        "another time": (lambda e: e.update(time=e["time"] + 1), "LOG_INCONSISTENT"),
        "another place": (lambda e: e.update(index=2), "LOG_INCONSISTENT"),
        "a place behind the end": (lambda e: e.update(index=6), "LOG_INCONSISTENT"),
        "another salt": (lambda e: e.update(salt="00" * 32), "LOG_INCONSISTENT"),
        "another type": (lambda e: e.update(type=19), "ENVELOPE_MALFORMED"),
        "a type that does not exist": (lambda e: e.update(type=200), "ENVELOPE_MALFORMED"),
        "something before its proof": (lambda e: e["proof"].insert(0, "00" * 32), "LOG_INCONSISTENT"),
        "another log": (lambda e: e.update(incarnation=f"{8:016x}"), "LOG_INCONSISTENT"),
        "a shorter proof": (lambda e: e["proof"].pop(), "LOG_INCONSISTENT"),
        "a longer proof": (lambda e: e["proof"].append("00" * 32), "LOG_INCONSISTENT"),
        "a time before 1970": (lambda e: e.update(time=-1), "INPUT_INVALID"),
        "a time after all times": (lambda e: e.update(time=2**64), "INPUT_INVALID"),
        "digits that are none": (lambda e: e.update(salt="x" * 64), "INPUT_INVALID"),
    }
    for name, (change, code) in changes.items():
        text = _changed(genuine, lambda whole, change=change: change(whole["entries"][0]))  # type: ignore[misc]
        yield Forgery(f"an entry with {name}", text, (FRA,), code)
    last = proof_file(THE_LOG.shown(FRA, at(100), [5]), filed(FRA, USA))
    text = _changed(last, lambda whole: whole["entries"][0].update(index=6))
    yield Forgery("the last entry, one place further", text, (FRA,), "LOG_INCONSISTENT")
    yield Forgery(
        "a proof for another node",
        _changed(genuine, lambda w: w.update(node=USA.node)),
        (FRA,),
        "SIGNER_NOT_AUTHORISED",
    )
    bad = Checkpoint(FRA.node, LOG, 0, Digest(bytes(32)), ())
    text = _changed(
        genuine, lambda w: w.update(checkpoint=base64_of(FRA.signed(Kind.CHECKPOINT, bad, at(1))))
    )
    yield Forgery("a checkpoint of no entries", text, (FRA,), "ENVELOPE_MALFORMED")
    receipt = FRA.signed(Kind.RECEIPT, b"", at(1))
    text = _changed(genuine, lambda w: w.update(checkpoint=base64_of(receipt)))
    yield Forgery("a receipt as checkpoint", text, (FRA,), "ENVELOPE_MALFORMED")
    said = Checkpoint(FRA.node, LOG, 6, Digest(THE_LOG.root()), ())
    signed = FRA.signed(Kind.RECEIPT, encode(Checkpoint, said), at(100))
    text = _changed(genuine, lambda w: w.update(checkpoint=base64_of(signed)))
    yield Forgery("a checkpoint signed as a receipt", text, (FRA,), "ENVELOPE_MALFORMED")


def _signatures() -> Iterator[Forgery]:
    """Statements that were changed, moved or cut."""
    one, other = fork(FRA, at(9))
    batch = bytearray(one.batch)
    batch[-1] ^= 1
    pair = [replace(one, batch=bytes(batch)), other]
    yield Forgery("a changed signature", evidence_file(pair, {}), (FRA,), "SIGNATURE_INVALID")
    pair = [replace(one, batch=other.batch), other]
    yield Forgery("a statement in another batch", evidence_file(pair, {}), (FRA,), "BATCH_PROOF_INVALID")
    pair = [replace(one, kind=Kind.RECEIPT), other]
    yield Forgery("another kind", evidence_file(pair, {}), (FRA,), "BATCH_PROOF_INVALID")
    pair = [replace(one, batch=b"\0\x03" + one.batch[2:]), other]
    yield Forgery("a suite that does not exist", evidence_file(pair, {}), (FRA,), "SUITE_UNKNOWN")
    twice = b'{"exhibit": "", ' + evidence_file([one, other], {})[1:]
    yield Forgery("an exhibit before the exhibit", twice, (FRA,), "INPUT_INVALID")
    yield Forgery("one statement alone", evidence_file([one], {}), (FRA,), "EVIDENCE_INCONCLUSIVE")
    yield Forgery("one statement twice", evidence_file([one, one], {}), (FRA,), "EVIDENCE_INCONCLUSIVE")
    pair = [one, fork(USA, at(9))[1]]
    yield Forgery("two members' logs", evidence_file(pair, {}), (FRA, USA), "EVIDENCE_INCONCLUSIVE")
    pair = [one, fork(FRA, at(9), log=8)[1]]
    yield Forgery("two logs of two starts", evidence_file(pair, {}), (FRA,), "EVIDENCE_INCONCLUSIVE")
    hashes = THE_LOG.hashes
    proved = prefix_path(lambda low, high: root_over(hashes[low:high]), 4, 6)
    grew = [FRA.checkpoint(size, THE_LOG.root(size), at(9)) for size in (4, 6)]
    ask = LogAsk(FRA.node, LOG, 4, LOG, 6)
    path = LogPath(ask, (), (bytes(32), *proved[1:]), ())
    text = evidence_file(grew, {}, paths=[path])
    yield Forgery("a path that proves nothing", text, (FRA,), "EVIDENCE_INCONCLUSIVE")
    text = _changed(evidence_file([one, other], {}), lambda w: w.update(exhibit=w["exhibit"][:-8]))
    yield Forgery("an exhibit that is cut off", text, (FRA,), "INPUT_INVALID")
    origin = Checkpoint(USA.node, LOG, 9, Digest(bytes(32)), ())
    pair = [FRA.signed(Kind.CHECKPOINT, replace(origin, root=Digest(bytes([n]) * 32)), at(9)) for n in (1, 2)]
    yield Forgery("FRA signs for USA's node", evidence_file(pair, {}), (FRA, USA), "SIGNER_NOT_AUTHORISED")
    for name, text in (
        ("no JSON", b"{"),
        ("another schema", b'{"schema": "x"}'),
        ("deep", b'{"":' * 100_000),
    ):
        yield Forgery(name, text, (FRA,), "INPUT_INVALID")


def _releases() -> Iterator[Forgery]:
    """Parts of releases that do not go together, and answers that nobody gave."""
    members = met(("FRA", "USA"))
    first, second = (sent(members, key) for key in ("one", "two"))
    deliver(members)
    one, other = (json.loads(exported(members, "FRA", name, content=True)) for name in (first, second))
    held = members["FRA"].node.trust.members
    given = tuple(read_member_file(write_member_file(held[code]).encode(), code) for code in ("FRA", "USA"))
    leaf = leaf_id(*_parts(one["release"]))
    granted = one["portions"][0]["slot"]
    mine = Receipt(MemberCode("FRA"), leaf, ReceiptStatus.ACCEPTED, (), NOW)
    stolen = Recall(MemberCode("USA"), ManifestDigest(bytes(32)), "")
    foreign = Recall(MemberCode("USA"), ManifestDigest(_md(one)), "")
    checkpoint = Checkpoint(members["FRA"].node.uri, LOG, 1, Digest(bytes(32)), ())
    spoiled = dict(one["portions"][0], portion=_flip(one["portions"][0]["portion"], 40))
    mixed: dict[str, tuple[dict[str, Any], str]] = {
        "claims of another": ({"claims": other["claims"]}, "COMMITMENT_MISMATCH"),
        "secrets of another": ({"secrets": other["secrets"]}, "COMMITMENT_MISMATCH"),
        "another release": ({"release": other["release"]}, "COMMITMENT_MISMATCH"),
        "a receipt of another": ({"about": other["about"]}, "RECEIPT_UNKNOWN"),
        "a receipt by the sender": (
            {"about": [_by(members["FRA"], Kind.RECEIPT, mine)]}, "SIGNER_NOT_AUTHORISED",
        ),
        "a recall of another": ({"about": [_by(members["FRA"], Kind.RECALL, stolen)]}, "MANIFEST_MISMATCH"),
        "a recall by the recipient": (
            {"about": [_by(members["USA"], Kind.RECALL, foreign)]}, "SIGNER_NOT_AUTHORISED",
        ),
        "a checkpoint about it": (
            {"about": [_by(members["FRA"], Kind.CHECKPOINT, checkpoint)]}, "ENVELOPE_MALFORMED",
        ),
        "a checkpoint in its place": (
            {"release": _by(members["FRA"], Kind.CHECKPOINT, checkpoint)}, "ENVELOPE_MALFORMED",
        ),
        "a changed portion": ({"portions": [spoiled]}, "COMMITMENT_MISMATCH"),
        "a portion that was not granted": (
            {"portions": [dict(one["portions"][0], slot=(granted + 1) % 16)]}, "MANIFEST_MISMATCH",
        ),
        "portions without claims": ({"claims": None}, "ENVELOPE_MALFORMED"),
        "logs of nobody": ({"documents": {"FRA": one["documents"]["USA"]}}, "INPUT_INVALID"),
    }  # fmt: skip
    entry = one["logs"][0]["entries"][0]
    (opened,) = entry["opened"]
    shown: dict[str, tuple[dict[str, Any], str]] = {
        "of another slot": ({"opened": [{**opened, "slot": (opened["slot"] + 1) % 16}]}, "LOG_INCONSISTENT"),
        "of a slot that is none": ({"opened": [{**opened, "slot": 255}]}, "ENVELOPE_MALFORMED"),
        "that was edited": (
            {"opened": [{**opened, "decision": f"02{opened['decision'][2:]}"}]}, "LOG_INCONSISTENT",
        ),
        "with another salt": ({"opened": [{**opened, "salt": "00" * 32}]}, "LOG_INCONSISTENT"),
        "shown twice": ({"opened": [opened, opened]}, "ENVELOPE_MALFORMED"),
    }  # fmt: skip
    for name, (change, code) in shown.items():
        logs = [{**one["logs"][0], "entries": [{**entry, **change}, *one["logs"][0]["entries"][1:]]}]
        yield Forgery(f"a decided portion {name}", json.dumps({**one, "logs": logs}).encode(), given, code)
    later = one["logs"][0]["entries"][1]
    logs = [{**one["logs"][0], "entries": [{**later, "opened": [opened]}]}]
    text = json.dumps({**one, "logs": logs}).encode()
    yield Forgery("a decided portion of what is no decision", text, given, "ENVELOPE_MALFORMED")
    for name, (change, code) in mixed.items():
        believed = () if "documents" in change else given
        yield Forgery(f"a release with {name}", json.dumps({**one, **change}).encode(), believed, code)


def _parts(signed: str) -> tuple[Kind, bytes, bytes]:
    said = decode(Evidence, b64decode(signed))
    return said.kind, said.nonce, said.data


def _md(release: Any) -> bytes:
    return manifest_digest(decode(Claims, b64decode(release["claims"])).manifest)


def _by(member: Any, kind: Kind, record: Any) -> str:
    batch = sign_batch(
        [Leaf(kind, bytes(16), encode(type(record), record))], member.node.signer, NOW, stream_of("x")
    )
    (told,) = batch.statements
    return base64_of(Evidence(told.kind, told.nonce, told.data, told.proof, batch.batch))


SECRET = bytes(range(32))


def _manifest(
    spoil: Callable[[bytes], bytes] = lambda padded: padded, content: str = "text"
) -> tuple[bytes, bytes]:
    """A manifest with one portion, and that portion, padded."""
    bulletin = BulletinId(bytes(16))
    portion = Portion(PortionKind.TEXT, "//FRA SECRET", "cyber", (), "", "text/plain", content.encode())
    padded = spoil(pad(encode(Portion, portion), 256))
    commitments = (commitment(SECRET, bulletin, 0, padded), *[Digest(bytes(32))] * 15)
    manifest = Manifest(1, bulletin, FRA.of.code, NOW, Precedence.FLASH, NEVER, commitments)
    return encode(Manifest, manifest), padded


def _crafted(
    claims: dict[str, Any],
    release: dict[str, Any],
    *,
    spoil: Callable[[bytes], bytes] = lambda padded: padded,
    kind: Kind = Kind.RELEASE,
    content: str = "text",
) -> bytes:
    """A release of FRA to USA as its signer likes it, with one portion shown."""
    manifest, padded = _manifest(spoil, content)
    granted = (Granted(0, (), ()),)
    said = Claims(manifest, USA.of.code, granted, "", (), (), Digest(bytes(32)), ())
    data = encode(Claims, replace(said, **claims))
    secrets = sha256(SECRET).digest()
    zero = bytes(32)
    made = Release(
        FRA.node, LOG, USA.of.code, ReleaseNumber(1), LeafId(zero), Precedence.FLASH, NEVER, KeyId(zero),
        grant_digest(data, secrets), Digest(zero),
    )  # fmt: skip
    return json.dumps({
        "schema": "intelshare/release-proof/1",
        "release": base64_of(FRA.signed(kind, replace(made, **release), at(9))),
        "claims": b64encode(data).decode(), "secrets": secrets.hex(),
        "portions": [{"slot": 0, "secret": SECRET.hex(), "portion": b64encode(padded).decode()}],
        "about": [], "logs": [], "documents": {},
    }).encode()  # fmt: skip


def crafted_with(content: str) -> bytes:
    """A genuine release of FRA to USA with this text."""
    return _crafted({}, {}, content=content)


def _senders() -> Iterator[Forgery]:
    """Releases that FRA signed, and that say what no release may say."""
    twice = (Granted(0, (), ()), Granted(0, (), ()))
    made: dict[str, tuple[bytes, str]] = {
        "for USA's node": (_crafted({}, {"origin": USA.node}), "SIGNER_NOT_AUTHORISED"),
        "to another than its claims say": (_crafted({"recipient": DEU.of.code}, {}), "MANIFEST_MISMATCH"),
        "of another precedence": (_crafted({}, {"precedence": Precedence.ROUTINE}), "MANIFEST_MISMATCH"),
        "of one slot twice": (_crafted({"granted": twice}, {}), "ENVELOPE_MALFORMED"),
        "of a slot out of range": (_crafted({"granted": (Granted(16, (), ()),)}, {}), "ENVELOPE_MALFORMED"),
        "with something in the padding": (
            _crafted({}, {}, spoil=lambda padded: padded[:-1] + b"x"), "ENVELOPE_MALFORMED",
        ),
        "that is signed as a recall": (_crafted({}, {}, kind=Kind.RECALL), "ENVELOPE_MALFORMED"),
        "of more than 1,000 bytes": (_crafted({}, {"recipient": "X" * 900}), "ENVELOPE_MALFORMED"),
    }  # fmt: skip
    for name, (text, code) in made.items():
        yield Forgery(f"a release {name}", text, (FRA, USA), code)
    revoked = replace(FRA, directories=(FRA.revoked(Why.COMPROMISED, at(5), at(50)),))
    yield Forgery("a release under a revoked key", _crafted({}, {}), (revoked, USA), "SIGNER_REVOKED")
    for kind, records in (
        (Kind.TREATY_ACT, [_act(n) for n in (Act.RATIFY, Act.WITHDRAW)]),
        (Kind.RELEASE, [_foreign(n) for n in (1, 2)]),
    ):
        pair = [FRA.signed(kind, one, at(9)) for one in records]
        yield Forgery(
            f"two of FRA's {kind.name} in USA's name",
            evidence_file(pair, {}),
            (FRA, USA),
            "EVIDENCE_INCONCLUSIVE",
        )


def _act(act: Act) -> TreatyAct:
    return TreatyAct(USA.of.code, 1, LeafId(bytes(32)), "gsa", Digest(bytes(32)), act, NOW, ())


def _foreign(seed: int) -> Release:
    zero = bytes(32)
    return Release(
        USA.node, LOG, DEU.of.code, ReleaseNumber(1), LeafId(zero), Precedence.FLASH, NEVER, KeyId(zero),
        Digest(zero), Digest(bytes([seed]) * 32),
    )  # fmt: skip


def _documents() -> Iterator[Forgery]:
    """Documents that their own member signed, and that none may sign."""
    pair, directory = fork(FRA, at(9)), FRA.of.founded.directory
    root_key = FRA.of.founded.root_keys[0]

    def rooted(*keys: Any, threshold: int = 1, **changes: Any) -> bytes:
        root = replace(FRA.of.root, keys=tuple(key.record for key in keys), threshold=threshold, **changes)
        signed = sign_root(root, [signer(key) for key in keys])
        return evidence_file(pair, filed(FRA=[signed, directory]))

    def under(**changes: Any) -> Any:
        record = replace(root_key.record, **changes)
        return replace(root_key, record=record, key_id=key_id(record))

    twice = under(not_before=Instant(1))
    yield Forgery(
        "a threshold of one key twice", rooted(root_key, twice, threshold=2), (), "ENVELOPE_MALFORMED"
    )
    yield Forgery("a root key with an end", rooted(under(not_after=at(1))), (), "ENVELOPE_MALFORMED")
    yield Forgery("a root without a name", rooted(root_key, name=""), (), "ENVELOPE_MALFORMED")
    other = new_key(SUITE_1, KeyUse.ROOT, FRA.of.code, NOW, stream_of("another root"))
    cut = replace(other.record, public=other.record.public[:-1])
    short = replace(other, record=cut, key_id=key_id(cut))
    root = replace(FRA.of.root, keys=(root_key.record, short.record))
    text = evidence_file(pair, filed(FRA=[sign_root(root, [signer(root_key)]), directory]))
    yield Forgery("a root key that is too short", text, (), "ENVELOPE_MALFORMED")
    rows = tuple(
        Revocation(Revoked.NODE, f"{FRA.node}/{n:0200}".encode(), Why.ROTATED, NOW) for n in range(2500)
    )
    large = sign_directory(
        replace(FRA.of.directory, version=2, revocations=rows), FRA.of.signer(KeyUse.DIRECTORY)
    )
    text = evidence_file(pair, filed(FRA=[FRA.of.founded.root, large]))
    yield Forgery("a directory of more than 512 KiB", text, (), "ENVELOPE_MALFORMED")
    text = evidence_file(pair, {}) + b" " * (16 * 1024 * 1024)
    yield Forgery("a file of more than 16 MiB", text, (FRA,), "TOO_LARGE")
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, FRA.of.code, NOW, stream_of("fresh"))
    second = renew_root(FRA.of.root, [signer(root_key)], directory=[fresh.record])
    genuine = sign_directory(replace(FRA.of.directory, version=2, issued=at(5)), signer(fresh))
    yield Forgery(
        "a chain that begins at root 2",
        evidence_file(pair, filed(FRA=[second, genuine])),
        (),
        "TRUST_THRESHOLD",
    )
    yield Forgery(
        "a directory without a root", evidence_file(pair, filed(FRA=[directory])), (), "TRUST_THRESHOLD"
    )
    for name, schema in (("evidence", "intelshare/evidence/2"), ("a proof", "intelshare/log-proof/2")):
        text = _changed(evidence_file(pair, {}), lambda whole, schema=schema: whole.update(schema=schema))  # type: ignore[misc]
        yield Forgery(f"another version of {name}", text, (FRA,), "INPUT_INVALID")


def _two_directories() -> Iterator[Forgery]:
    """Pairs of directories that do not show that FRA signed two of one version."""
    own, other = FRA.of.founded.directory, FAKE_FRA.of.founded.directory
    directory = FRA.of.signer(KeyUse.DIRECTORY)
    second = sign_directory(replace(FRA.of.directory, expires=at(5)), directory)
    as_roots = [_as_root(one, directory) for one in (own, second)]
    for name, first, later, given, code in (
        ("one directory twice", own, own, (FRA,), "EVIDENCE_INCONCLUSIVE"),
        ("two directories in a row", own, FRA.of.renewed(at(5)), (FRA,), "EVIDENCE_INCONCLUSIVE"),
        ("FRA's directory and USA's", own, USA.of.founded.directory, (FRA, USA), "EVIDENCE_INCONCLUSIVE"),
        ("two roots", FRA.of.founded.root, FAKE_FRA.of.founded.root, (FRA,), "EVIDENCE_INCONCLUSIVE"),
        ("two directories that FRA signed as roots", *as_roots, (FRA,), "EVIDENCE_INCONCLUSIVE"),
        ("FRA's directory and a made-up one", own, other, (FRA,), "TRUST_THRESHOLD"),
        ("a made-up directory and FRA's", other, own, (FRA,), "TRUST_THRESHOLD"),
        ("two directories of a member without a root", own, second, (), "TRUST_FINGERPRINT"),
    ):
        raw = encode(ForkedDirectories, ForkedDirectories(first, later))
        text = evidence_file([], {}, code="TRUST_FORK", raw=raw)
        yield Forgery(f"a fork of directories: {name}", text, given, code)


def _as_root(directory: Trust, by: Signer) -> Trust:
    """The directory as a root, with a signature that only its owner can make."""
    message = document_message(TrustType.ROOT, by.record.suite, by.key_id, directory.document)
    signature = DocumentSignature(by.key_id, by.sign(message, Context.ROOT))
    return Trust(TrustType.ROOT, directory.document, (signature,))


def _paths() -> Iterator[Forgery]:
    """Ways to earlier logs that lead nowhere."""
    start = THE_LOG.entries[0]
    over = lambda low, high: root_over(THE_LOG.hashes[low:high])  # noqa: E731
    hop = Hop(start[1], start[2], start[3], tuple(inclusion_path(over, 0, 6)))
    edited = replace(hop, record=encode(Start, Start("1", Incarnation(9), 6, THE_LOG.root())))
    for name, hops, log in (
        ("to a log that never was", [hop], 9),
        ("over a start that was edited", [edited], 9),
        ("behind its end", [hop, hop], 7),
    ):
        change = {"hops": [base64_of(one) for one in hops], "incarnation": f"{log:016x}"}
        text = _changed(_proof(), lambda whole, change=change: whole["entries"][0].update(change))  # type: ignore[misc]
        yield Forgery(f"a way {name}", text, (FRA,), "LOG_INCONSISTENT")
    cosigned = [(USA.checkpoint(4, bytes(32), at(50), [SEEN]), 5)]
    for name, size in (("no entry", 0), ("more entries than there are", 9)):
        row = replace(SEEN, size=size)
        signed = base64_of(USA.checkpoint(4, bytes(32), at(50), [row]))
        text = _changed(
            _proof(FRA, cosigned), lambda whole, signed=signed: whole["cosigned"][0].update(signed=signed)
        )  # type: ignore[misc]
        yield Forgery(f"a witness that saw {name}", text, (FRA, USA), "LOG_INCONSISTENT")
    yield Forgery("a way through a log of the same name", _around(), (FRA,), "LOG_INCONSISTENT")
    text = _changed(_proof(FRA, cosigned), lambda whole: whole["cosigned"][0].update(proof=[]))
    yield Forgery("a cosignature without its proof", text, (FRA, USA), "LOG_INCONSISTENT")
    spaced = json.loads(_proof())
    spaced["entries"][0]["record"] = f" {spaced['entries'][0]['record']}"
    yield Forgery("a space in a record", json.dumps(spaced).encode(), (FRA,), "INPUT_INVALID")


def _around() -> bytes:
    """FRA's present log names its log 7, whose START names a second log 7: an entry of that one."""
    submitted = (EntryType.SUBMIT, Submit(ManifestDigest(bytes([9]) * 32), "user"), at(1))
    hidden = Log.of([(EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0)), submitted], "hidden")
    shown = Log.of([(EntryType.START, Start("1", LOG, 2, Digest(hidden.root())), at(0)), submitted], "shown")
    present = Log.of(
        [(EntryType.START, Start("1", LOG, 2, Digest(shown.root())), at(2)), submitted], "present"
    )
    whole = json.loads(proof_file(hidden.shown(FRA, at(100), [1]), filed(FRA)))
    whole["checkpoint"] = base64_of(FRA.checkpoint(2, present.root(), at(100), log=9))
    hops = [Hop(*log.entries[0][1:], (log.hashes[1],)) for log in (present, shown)]
    hops = [replace(hop, proof=(leaf_hash(hop.proof[0]),)) for hop in hops]
    whole["entries"][0]["hops"] = [base64_of(hop) for hop in hops]
    return json.dumps(whole).encode()


def _decided() -> Iterator[Forgery]:
    """Releases whose claims name an entry that decides something else, or decides it otherwise."""
    citation = Citation("t", Digest(bytes(32)), "1")
    told = LoggedDecision(1, "t", (citation,), ("log",), (), ())
    salt = bytes(range(32))
    md = manifest_digest(_manifest()[0])

    def released(decision: LoggedDecision, slot: int = 0, **changes: Any) -> bytes:
        data = encode(LoggedDecision, decision)
        hashes = [Digest(bytes([n]) * 32) for n in range(16)]
        hashes[slot] = digest(Domain.DECIDED_PORTION, salt, u32(slot), data)
        made = DecisionMade(md, FRA.of.code, USA.of.code, NOW, tuple(hashes))
        rows = [
            (EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0)),
            (EntryType.DECISION, replace(made, **changes), at(1)),
        ]
        log = Log.of(rows)
        granted = (Granted(0, (citation,), ("log",)),)
        text = _crafted({"granted": granted, "decision": Digest(log.hashes[1])}, {})
        shown = log.shown(FRA, at(100), [1])
        shown["entries"][0]["opened"] = [{"slot": slot, "salt": salt.hex(), "decision": data.hex()}]
        return _changed(text, lambda whole: whole.update(logs=[shown]))

    other = ManifestDigest(bytes(32))
    for name, text in (
        ("of another bulletin", released(told, md=other)),
        ("for another recipient", released(told, recipient=DEU.of.code)),
        ("by another sender", released(told, sender=DEU.of.code)),
        ("with a portion that was not granted", released(told, 1)),
        ("with a portion that was denied", released(replace(told, outcome=3))),
        ("under another obligation", released(replace(told, obligations=()))),
        ("under another article", released(replace(told, citations=()))),
    ):
        yield Forgery(f"a release and a decision {name}", text, (FRA, USA), "MANIFEST_MISMATCH")
    text = _crafted({}, {})
    leaf = leaf_id(*_parts(json.loads(text)["release"]))
    for by, kind, record in (
        (
            FRA,
            EntryType.HAND_OVER,
            HandOver(other, USA.of.code, leaf, LOG, ReleaseNumber(1), Digest(bytes(32))),
        ),
        (USA, EntryType.DESTROYED, Destroyed(FRA.of.code, other, leaf, "RECALLED")),
    ):
        log = Log.of(
            [(EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0)), (kind, record, at(1))]
        )
        shown = log.shown(by, at(100), [1])
        text = _changed(_crafted({}, {}), lambda whole, shown=shown: whole.update(logs=[shown]))  # type: ignore[misc]
        yield Forgery(
            f"a release that {by.code} logged of another bulletin", text, (FRA, USA), "MANIFEST_MISMATCH"
        )


KINDS = (
    _decided,
    _made_up,
    _old_keys,
    _witnesses,
    _entries,
    _signatures,
    _releases,
    _senders,
    _documents,
    _paths,
    _two_directories,
    forged_notes.checkpoints,
    forged_notes.proofs,
)


def forgeries() -> list[Forgery]:
    """All of them."""
    return [one for kind in KINDS for one in kind()]


def ask(judge: Any, one: Forgery) -> object:
    """What a judge (the package, or a copy of it) says of a file to its reader. Raises what it raises."""
    given = [file.given() if isinstance(file, Party) else file for file in one.given]
    if judge.is_note(one.text):
        return judge.check_note(one.text, one.name, given)
    checks = {
        "intelshare/log-proof/1": judge.check_proof,
        "intelshare/evidence/1": judge.check_evidence,
        "intelshare/release-proof/1": judge.check_release,
    }
    check = checks.get(judge.schema_of(one.text), judge.check_evidence)
    return check(one.text, one.name, given, one.fingerprints)


def main(folder: Path) -> int:
    """Write them, and ask the judge about each; how many were believed or refused for another reason."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for number, one in enumerate(forgeries()):
        ending = "note" if verifier.is_note(one.text) else "json"
        (folder / f"{number:03}.{ending}").write_bytes(one.text)
        try:
            ask(verifier, one)
            code = "BELIEVED"
        except IntelshareError as error:
            code = error.code
        wrong += code != one.code
        print(f"{number:03}  {code:22}  {one.name}")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1])) else 0)
