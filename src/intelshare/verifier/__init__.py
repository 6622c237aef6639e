"""The verifier: checks proofs and evidence from their bytes alone, without a node, a store or a policy.

For third parties. What it believes is the member's own root, by the fingerprint that the reader compares.
"""

from intelshare.verifier.evidence import Proven, check_evidence
from intelshare.verifier.proof import Provenance, ProvenEntry, check_proof
from intelshare.verifier.trusting import Believed, believe

__all__ = [
    "Believed",
    "Proven",
    "ProvenEntry",
    "Provenance",
    "believe",
    "check_evidence",
    "check_proof",
]
