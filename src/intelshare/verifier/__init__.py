"""The judge: checks proofs and evidence from their bytes alone, without a node, a store or a policy.

A small program of its own for third parties. It shares the codec, the records of statements and the
primitives (``crypto``) with the node and nothing else; a test gives both thousands of mutants. The rules that
it follows are docs/format.md, "Judging a file". It believes nothing in a file: only keys that lead to a
member's root 1, whose fingerprint the reader compares or has in a member file.

    files        JSON text to bytes                members     whose keys count
    documents    roots and directories             statements  who signed what
    merkle       proofs of RFC 9162                logs        entries under a checkpoint, and witnesses
    entries      what log entries say              exhibits    what contradicts itself
    seeing       who else saw a statement          evidence    all of it for one evidence file
    padding      padded records                    releases    a release and what became of it
    notes        checkpoints as c2sp.org has them  verdict     what the judge answers
    contents     a file against what is proved
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
