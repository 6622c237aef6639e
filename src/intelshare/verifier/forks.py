"""The check for two directories that a member signed under one version. The documents prove it, whoever shows
them.
"""

from __future__ import annotations

from intelshare.crypto.codec import decode, record
from intelshare.crypto.records import KeyUse, Trust, TrustType
from intelshare.errors import TrustError
from intelshare.verifier.documents import DirectoryDocument, read_directory, signers
from intelshare.verifier.logs import named
from intelshare.verifier.members import Member, Members
from intelshare.verifier.verdict import Convicting, Proven


@record
class ForkedDirectories:
    """Two directories of one member and version."""

    first: Trust
    second: Trust


def directory_fork(raw: bytes, members: Members) -> Proven:
    """Return what the two directories of an exhibit prove.

    Raises TrustError EVIDENCE_INCONCLUSIVE for two that do not contradict each other, TRUST_THRESHOLD for one
    that no directory key of the member signed, TRUST_FINGERPRINT; EnvelopeError ENVELOPE_MALFORMED.
    """
    shown = decode(ForkedDirectories, raw)
    first, second = _directory(shown.first), _directory(shown.second)
    if (first.member, first.version) != (second.member, second.version) or first == second:
        raise TrustError("EVIDENCE_INCONCLUSIVE", "these two directories do not contradict each other")
    member = members.by_code.get(first.member)
    if member is None:
        raise TrustError(
            "TRUST_FINGERPRINT",
            f"there is no root of {first.member} to check its directories against",
            hint="give its member file with --member",
        )
    for trust, directory in ((shown.first, first), (shown.second, second)):
        _need_signed(trust, directory, member)
    return Proven(
        member.code,
        f"intelshare://{member.domain}/",
        member.fingerprint,
        "TRUST_FORK",
        f"two directories {first.version}",
        tuple(Convicting("DIRECTORY", one.issued, False, ()) for one in (first, second)),
        named(member, []),
    )


def _directory(trust: Trust) -> DirectoryDocument:
    if trust.type is not TrustType.DIRECTORY:
        raise TrustError("EVIDENCE_INCONCLUSIVE", "a root stands where a directory is expected")
    return read_directory(trust)


def _need_signed(trust: Trust, directory: DirectoryDocument, member: Member) -> None:
    usable = [
        key
        for key in member.keys.values()
        if key.use is KeyUse.DIRECTORY and key.not_before <= directory.issued < key.not_after
    ]
    if not signers(trust, usable):
        raise TrustError(
            "TRUST_THRESHOLD", f"a directory is not signed by a directory key of {member.code}'s latest root"
        )
