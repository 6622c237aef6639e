"""The judge: checks proofs and evidence from their bytes alone, without a node, a store or a policy.

A small separate program for third parties. It shares the codec, the records of statements and the primitives
(``crypto``) with the node, and nothing else; a test gives both thousands of mutants. The rules that it
follows are docs/format.md, "Judging a file". It believes nothing in a file: only keys that lead to a member's
root 1, whose fingerprint the reader compares or has in a member file.

    files        JSON text to bytes                members     the keys that count
    documents    roots and directories             statements  the signatures of statements
    merkle       proofs of RFC 9162                logs        entries under a checkpoint, and witnesses
    entries      the contents of log entries       exhibits    contradictions
    seeing       who else saw a statement          evidence    checks a whole evidence file
    padding      padded records                    releases    a release and its outcome
    notes        checkpoints as c2sp.org has them  verdict     the judge's answers
    contents     compares a file with a proof
"""

from intelshare.verifier.contents import matching_slots
from intelshare.verifier.evidence import check_evidence
from intelshare.verifier.files import GivenMember, read_given, schema_of
from intelshare.verifier.logs import check_proof
from intelshare.verifier.notes import Noted, check_note, is_note
from intelshare.verifier.releases import Released, ShownPortion, check_release
from intelshare.verifier.verdict import (
    Convicting,
    Named,
    Proven,
    Provenance,
    ProvenEntry,
    SeenBy,
    Step,
    Witness,
)

__all__ = [
    "Convicting",
    "GivenMember",
    "Named",
    "Noted",
    "Proven",
    "ProvenEntry",
    "Provenance",
    "Released",
    "SeenBy",
    "ShownPortion",
    "Step",
    "Witness",
    "check_evidence",
    "check_note",
    "check_proof",
    "check_release",
    "is_note",
    "matching_slots",
    "read_given",
    "schema_of",
]
