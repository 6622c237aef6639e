"""The node's own reading of a file for others, by the modules with which it signs, logs and judges.

It is no judge: it exists so that the judge (``intelshare.verifier``), which shares none of these modules, can
be held against it. Files have no revocations here: a node judges those by its own log.
"""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import combinations
from typing import Any

from intelshare.audit.decided import portion_hash
from intelshare.audit.exhibit import Exhibit, contradiction, position
from intelshare.audit.log import entry_hash
from intelshare.audit.path import Hop, follow
from intelshare.audit.portable import EVIDENCE_SCHEMA, PROOF_SCHEMA, EvidenceFile, ProofFile, read, unwrap
from intelshare.audit.proofs import check_inclusion, fold
from intelshare.audit.records import RECORDS, EntryType, LoggedDecision, LoggedPortion
from intelshare.crypto.codec import Encoded, decode
from intelshare.crypto.records import Checkpoint, Evidence, Trust, TrustType
from intelshare.crypto.suites import SUITES
from intelshare.errors import CryptoError, IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.statement import Verified, VerifiedRoots, verify_evidence
from intelshare.trust import TrustView
from intelshare.trust.documents import read_directory, read_root


class RefusedError(Exception):
    """The node's modules do not accept this file."""


def views(documents: dict[str, list[str]]) -> list[TrustView]:
    """One view for each member, of its own documents."""
    found = []
    for code, texts in documents.items():
        raw = [b64decode(text, validate=True) for text in texts]
        order = []
        for one in raw:
            trust = decode(Trust, one)
            told = (read_root if trust.type is TrustType.ROOT else read_directory)(trust, SUITES)
            if told.member != code:
                raise RefusedError("a document of another member")
            order.append((trust.type, told.version))
        if order != sorted(set(order)):
            raise RefusedError("documents out of order")
        view = TrustView.load(MemberCode(code), raw, SUITES)
        if not view.members[MemberCode(code)].supported and len(raw) > 1:
            raise RefusedError("a directory that the root does not support")
        found.append(view)
    return found


def verified(signed: Evidence, known: list[TrustView]) -> Verified:
    """The statement, if one of these signed it."""
    for view in known:
        try:
            return verify_evidence(signed, trust=view, suites=SUITES, roots=VerifiedRoots())
        except CryptoError as error:
            if error.code != "SIGNER_UNKNOWN":
                raise
    raise RefusedError("nobody known signed it")


def checkpoint_by(said: Verified) -> Checkpoint:
    """The checkpoint of the node that signed it."""
    found = said.read(Checkpoint)
    if found.origin != said.signer.node or not found.size:
        raise RefusedError("a checkpoint of another node")
    return found


def read_evidence(text: bytes) -> tuple[str, str, str]:
    """Member, code and words of what an evidence file proves. Raises RefusedError, IntelshareError."""
    file = read(EvidenceFile, EVIDENCE_SCHEMA, text, "file")
    known = views(file.documents)
    exhibit = unwrap(Exhibit, file.exhibit, "file")
    said = [(signed, verified(signed, known)) for signed in exhibit.statements]
    for log in file.seen:
        read_log(log, known)
    for (one, first), (other, second) in combinations(said, 2):
        if (first.signer.member, first.signer.node) != (second.signer.member, second.signer.node):
            continue
        rest = [each for each, by in said if each not in (one, other) and by.signer.node == first.signer.node]
        found = contradiction(Exhibit((one, other), exhibit.paths, b""))
        if found is not None and found.node in (first.signer.node, first.signer.member):
            whole = contradiction(Exhibit((one, other, *rest), exhibit.paths, b""))
            return first.signer.member, found.code, whole.what if whole is not None else found.what
    raise RefusedError("nobody contradicts itself")


def read_proof(text: bytes) -> tuple[str, list[tuple[int, int]], list[tuple[str, int]]]:
    """Member, entries and witnesses of a proof file. Raises RefusedError, IntelshareError."""
    file = read(ProofFile, PROOF_SCHEMA, text, "file")
    return read_log(file, views(file.documents))


def read_log(file: Any, known: list[TrustView]) -> tuple[str, list[tuple[int, int]], list[tuple[str, int]]]:
    own = verified(unwrap(Evidence, file.checkpoint, "file"), known)
    at = position(checkpoint_by(own))
    if at.origin != file.node:
        raise RefusedError("another node")
    witnesses = []
    for given in file.cosigned:
        by = verified(unwrap(Evidence, given.signed, "file"), known)
        if by.signer.member == own.signer.member:
            raise RefusedError("its own witness")
        for row in checkpoint_by(by).cosigned:
            if (row.origin, row.incarnation) == (at.origin, at.incarnation):
                proof = [bytes.fromhex(part) for part in given.proof]
                if fold(row.size, at.size, proof) != (row.root, at.root):
                    raise RefusedError("another log")
                witnesses.append((str(by.signer.member), row.size))
    entries = []
    for entry in file.entries:
        record, salt = bytes.fromhex(entry.record), bytes.fromhex(entry.salt)
        told = decode(RECORDS[EntryType(entry.type)], record)
        for one in entry.opened:
            data = bytes.fromhex(one.decision)
            shown = LoggedPortion(0, one.slot, Encoded(decode(LoggedDecision, data), data))
            if (
                entry.type != EntryType.DECISION
                or portion_hash(bytes.fromhex(one.salt), shown) != told.portions[one.slot]
            ):
                raise RefusedError("another portion")
        hops = tuple(unwrap(Hop, hop, "file") for hop in entry.hops)
        if len(entry.incarnation) != 16:
            raise RefusedError("an incarnation has 16 digits")
        log = follow(at, hops, int(entry.incarnation, 16))
        if log.incarnation != int(entry.incarnation, 16):
            raise RefusedError("no way there")
        hashed = entry_hash(EntryType(entry.type), Instant(entry.time), salt, record)
        proof = [bytes.fromhex(part) for part in entry.proof]
        check_inclusion(hashed, entry.index, log.size, proof, log.root)
        entries.append((int(entry.incarnation, 16), entry.index))
    return str(own.signer.member), entries, witnesses


def outcome(reading: Any, text: bytes) -> Any:
    """What a reading says, or None where it refuses."""
    try:
        json.loads(text)
        return reading(text)
    except (RefusedError, IntelshareError, ValueError, KeyError, OverflowError, RecursionError):
        return None
    except Exception as error:
        # struct.error: the node's modules are given typed values by the node itself.
        if type(error).__name__ != "error":
            raise
        return None
