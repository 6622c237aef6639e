"""Whom to believe offline: the member file that the reader has, else the documents that lie in the file.

Either way what counts in the end is the fingerprint of root version 1, which two people compare.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from intelshare.audit.portable import Documents
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Evidence, Trust
from intelshare.crypto.suites import SUITES
from intelshare.errors import CryptoError, IntelshareError, TrustError
from intelshare.ids import MemberCode
from intelshare.statement import Verified, VerifiedRoots, verify_evidence
from intelshare.trust import MemberFile, TrustView


@dataclass(frozen=True, slots=True)
class Believed:
    """The documents of the members whose signatures are checked."""

    views: tuple[TrustView, ...]

    def fingerprint(self, member: MemberCode) -> str:
        """Of the member's root version 1, to be compared."""
        return next(v.members[member].fingerprint for v in self.views if member in v.members)

    def verify(self, signed: Evidence) -> Verified:
        """The statement, if one of the members signed it. Raises what ``verify_evidence`` raises."""
        failed: IntelshareError | None = None
        for view in self.views:
            try:
                return verify_evidence(signed, trust=view, suites=SUITES, roots=VerifiedRoots())
            except CryptoError as error:
                if error.code != "SIGNER_UNKNOWN":
                    raise
                failed = error
        raise (
            failed if failed is not None else CryptoError("SIGNER_UNKNOWN", "no member's documents are there")
        )


def believe(documents: Documents, given: Sequence[MemberFile], source: str) -> Believed:
    """The documents of a file; for a member that is given those, and no others.

    Raises TrustError INPUT_INVALID, TRUST_THRESHOLD for documents that do not hold; EnvelopeError.
    """
    raw: dict[str, list[bytes]] = {}
    for member, texts in documents.items():
        try:
            raw[member] = [b64decode(text, validate=True) for text in texts]
        except ValueError:
            raise TrustError("INPUT_INVALID", f"{source}: the documents of {member} cannot be read") from None
    for file in given:
        kept = [*file.roots, *([file.directory] if file.directory is not None else [])]
        raw[file.member] = [encode(Trust, trust) for trust in kept]
    return Believed(tuple(TrustView.load(MemberCode(member), raw[member], SUITES) for member in sorted(raw)))
