"""The check of an evidence file: does it prove that a node contradicted itself?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from intelshare.errors import TrustError
from intelshare.verifier.exhibits import Exhibit, contradiction
from intelshare.verifier.files import EvidenceText, read_text, unwrap
from intelshare.verifier.forks import directory_fork
from intelshare.verifier.logs import named, show_log
from intelshare.verifier.members import Given, Member, members_of
from intelshare.verifier.seeing import seen_in
from intelshare.verifier.statements import revoked, verify
from intelshare.verifier.verdict import Convicting, Proven


def check_evidence(
    text: bytes, source: str, given: Sequence[Given] = (), fingerprints: Collection[str] = ()
) -> Proven:
    """Check an evidence file. ``given`` and ``fingerprints`` are what the reader has of members.

    Raises TrustError EVIDENCE_INCONCLUSIVE if everything is genuine but proves nothing, INPUT_INVALID,
    LOG_INCONSISTENT; CryptoError, EnvelopeError for a statement that no known member signed; SIGNER_REVOKED
    for one whose key was revoked before anybody else is shown to have seen the statement.
    """
    file = read_text(EvidenceText, "intelshare/evidence/1", text, source)
    members = members_of(file.documents, given, source, fingerprints)
    exhibit = unwrap(Exhibit, file.exhibit, source)
    if file.code == "TRUST_FORK":
        return directory_fork(exhibit.raw, members)
    said = [verify(signed, members) for signed in exhibit.statements]
    found = contradiction(said, exhibit.paths)
    if found is None:
        raise TrustError(
            "EVIDENCE_INCONCLUSIVE",
            "this proves nothing to third parties: it shows no node that contradicts itself",
            hint="the member that kept it may know more; the statements themselves are genuine",
        )
    logs = [show_log(log, members, source) for log in file.seen]
    convicting, vouching = [], list[Member]()
    for one in found.statements:
        seen = [(member, by) for log in logs for member, by in seen_in(one, log)]
        in_time = [member for member, by in seen if one.revoked_from is None or by.at < one.revoked_from]
        if one.revoked_from is not None and not in_time:
            raise revoked(one, "nobody else is shown to have seen this statement before that")
        vouching += [member for member, _ in seen]
        rows = tuple(by for _, by in seen)
        convicting.append(Convicting(one.kind.name, one.signed_at, one.revoked_from is not None, rows))
    accused = found.statements[0]
    return Proven(
        accused.member.code,
        accused.node,
        accused.member.fingerprint,
        found.code,
        found.what,
        tuple(convicting),
        named(accused.member, vouching),
    )
