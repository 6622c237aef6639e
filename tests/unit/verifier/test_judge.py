"""The judge believes nothing in a file: one source per member, who vouches is shown, and a revocation voids
nothing that was witnessed before it (docs/format.md, "Judging a file")."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from envelope_world import stream_of
from intelshare.audit.records import EntryType, Rejected, Start, Submit, Witnessed
from intelshare.crypto.records import Checkpoint, Cosigned, KeyUse, Kind
from intelshare.crypto.suites import SUITE_1
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, Incarnation, ManifestDigest
from intelshare.instant import HOUR, LATEST, NEVER, SECOND, Instant
from intelshare.statement import leaf_id
from intelshare.trust import new_key, renew_root, sign_directory
from intelshare.trust.documents import Why, sign_root
from intelshare.verifier import check_evidence, check_proof, read_given
from judge_world import (
    LOG,
    Log,
    Party,
    at,
    base64_of,
    evidence_file,
    filed,
    fork,
    party,
    proof_file,
)
from trust_world import NOW, signer

FRA, USA, DEU = party("FRA"), party("USA"), party("DEU")
FAKE_FRA, FAKE_USA = party("FRA", "made up"), party("USA", "made up")


def log() -> Log:
    start = Start("1", Incarnation(0), 0, bytes(32))
    rows: list[Any] = [(EntryType.START, start, at(0))]
    for place in range(1, 6):
        said = Submit(ManifestDigest(bytes([place]) * 32), f"user {place}")
        rows.append((EntryType.SUBMIT, said, at(place)))
    return Log.of(rows)


THE_LOG = log()


def proof(owner: Party = FRA, *cosigners: tuple[Party, int, Instant], **under: Any) -> bytes:
    """Entry 3 of the owner's log, seen by these as far as said."""
    signed = [
        (one.checkpoint(4, bytes(32), when, [THE_LOG.position(owner.node, seen)]), seen)
        for one, seen, when in cosigners
    ]
    documents = filed(*[one for one, _, _ in cosigners], **under)
    return proof_file(THE_LOG.shown(owner, at(100), [3], signed), documents)


def evidence(owner: Party = FRA, **under: Any) -> bytes:
    return evidence_file(fork(owner, at(100)), filed(**under))


def refused(check: Any, text: bytes, *given: Any) -> str:
    with pytest.raises(IntelshareError) as caught:
        check(text, "file", given)
    assert caught.value.code != "INTERNAL"
    return caught.value.code


# One source for each member (P1)

FORGED = {
    "under its own name": ({"FRA": FAKE_FRA.documents}, "SIGNER_UNKNOWN", True),
    "under another's name": ({"AAA": FAKE_FRA.documents}, "INPUT_INVALID", False),
    "behind another's": ({"DEU": [*DEU.documents, *FAKE_FRA.documents]}, "INPUT_INVALID", False),
    "under two names": ({"FRA": FAKE_FRA.documents, "DEU": FAKE_FRA.documents}, "INPUT_INVALID", False),
    "as another root": ({"FRA": [FRA.of.founded.root, *FAKE_FRA.documents]}, "TRUST_THRESHOLD", False),
    "as another directory": (
        {"FRA": [FRA.of.founded.root, FAKE_FRA.of.founded.directory]},
        "TRUST_THRESHOLD",
        False,
    ),
    "nowhere": ({}, "SIGNER_UNKNOWN", False),
}


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize(("check", "make"), [(check_evidence, evidence), (check_proof, proof)])
def test_a_made_up_member_is_refused_wherever_its_documents_stand(how: str, check: Any, make: Any) -> None:
    under, code, alone_it_holds = FORGED[how]
    text = make(FAKE_FRA, **under)
    assert refused(check, text, FRA.given()) in (code, "SIGNER_UNKNOWN")
    if alone_it_holds:
        found = check(text, "file")
        assert not found.confirmed
        assert found.fingerprint == FAKE_FRA.of.fingerprint != FRA.of.fingerprint
    else:
        assert refused(check, text) == code


@pytest.mark.parametrize(("check", "make"), [(check_evidence, evidence), (check_proof, proof)])
def test_the_genuine_file_holds_and_says_whether_the_readers_copy_confirmed_it(check: Any, make: Any) -> None:
    text = make(FRA, FRA=FRA.documents)
    for given, confirmed in (([], False), ([FRA.given()], True), ([USA.given()], False)):
        found = check(text, "file", given)
        assert (found.member, found.fingerprint) == ("FRA", FRA.of.fingerprint)
        assert [(one.member, one.confirmed) for one in found.members] == [("FRA", confirmed)]
        assert found.confirmed is confirmed
    assert check(make(FRA), "file", [FRA.given()]).confirmed


def test_two_files_of_one_member_or_of_two_that_claim_one_domain_are_refused() -> None:
    text = evidence(FRA)
    assert refused(check_evidence, text, FRA.given(), FAKE_FRA.given()) == "INPUT_INVALID"
    thief = party("AAA")
    claims = sign_root(
        replace(thief.of.root, domain=FRA.of.root.domain), [signer(thief.of.founded.root_keys[0])]
    )
    text = evidence(FRA, FRA=FRA.documents, AAA=[claims])
    assert refused(check_evidence, text) == "NOT_AUTHORISED"


def test_a_key_for_a_node_of_another_member_is_refused() -> None:
    thief = new_key(SUITE_1, KeyUse.SIGNING, DEU.of.code, NOW, stream_of("thief"), node=FRA.node)
    stolen = replace(DEU, directories=(DEU.of.renewed(NOW, add_keys=[thief.record]),))
    assert refused(check_evidence, evidence(FRA, DEU=stolen.documents), FRA.given()) == "NOT_AUTHORISED"


def test_the_judge_reads_member_files_by_itself_and_those_that_are_none_are_refused() -> None:
    held = FRA.given()
    told = {
        "schema": "intelshare/member/1", "member": "FRA", "name": "France", "fingerprint": "",
        "roots": [base64_of(one) for one in held.roots], "directory": base64_of(held.directory),
    }  # fmt: skip
    read = read_given(json.dumps(told).encode(), "fra.member")
    assert (read.member, read.roots, read.directory) == ("FRA", held.roots, held.directory)
    assert check_evidence(evidence(FRA), "file", [read]).confirmed
    for changed in ({"schema": "x"}, {"roots": []}, {"roots": ["!"]}, {"directory": 3}, {"other": 1}):
        with pytest.raises(IntelshareError, match="INPUT_INVALID"):
            read_given(json.dumps({**told, **changed}).encode(), "fra.member")
    # The name on the file is not believed.
    posing = read_given(json.dumps({**told, "member": "DEU"}).encode(), "deu.member")
    assert refused(check_evidence, evidence(FRA), posing) == "INPUT_INVALID"


# Witnesses (P3, P9, P10)


def test_a_witness_is_shown_with_time_and_fingerprint_and_marked_if_only_the_file_vouches_for_it() -> None:
    text = proof(FRA, (USA, 5, at(50)))
    found = check_proof(text, "file", [FRA.given()])
    (witness,) = found.witnesses
    assert (witness.member, witness.entries, witness.signed_at, witness.confirmed) == (
        "USA",
        5,
        at(50),
        False,
    )
    assert [(one.member, one.confirmed) for one in found.members] == [("FRA", True), ("USA", False)]
    assert not found.confirmed
    both = check_proof(text, "file", [FRA.given(), USA.given()])
    assert both.confirmed
    assert both.members[1].fingerprint == USA.of.fingerprint


def test_a_made_up_witness_is_never_confirmed() -> None:
    text = proof(FRA, (FAKE_USA, 5, at(50)))
    found = check_proof(text, "file", [FRA.given()])
    assert [(one.fingerprint, one.confirmed) for one in found.members[1:]] == [
        (FAKE_USA.of.fingerprint, False)
    ]
    assert refused(check_proof, text, FRA.given(), USA.given()) == "SIGNER_UNKNOWN"
    moved = json.loads(text)
    moved["documents"]["AAA"] = moved["documents"].pop("USA")
    assert refused(check_proof, json.dumps(moved).encode(), FRA.given(), USA.given()) == "INPUT_INVALID"


def test_nobody_is_a_witness_of_its_own_log_or_in_the_name_of_another_node() -> None:
    assert refused(check_proof, proof(FRA, (FRA, 5, at(50)))) == "SIGNER_NOT_AUTHORISED"
    row = THE_LOG.position(FRA.node, 5)
    posing = USA.signed(Kind.CHECKPOINT, _checkpoint_of(DEU, row), at(50))
    text = proof_file(THE_LOG.shown(FRA, at(100), [3], [(posing, 5)]), filed(FRA, USA))
    assert refused(check_proof, text) == "SIGNER_NOT_AUTHORISED"


def _checkpoint_of(owner: Party, row: Cosigned) -> Any:
    return Checkpoint(owner.node, LOG, 4, Digest(bytes(32)), (row,))


def test_a_witness_that_saw_another_log_refutes_the_file_and_one_of_other_logs_says_nothing() -> None:
    other = replace(THE_LOG.position(FRA.node, 5), root=Digest(bytes(32)))
    elsewhere = replace(other, incarnation=Incarnation(8))
    for row, code in ((other, "LOG_INCONSISTENT"), (elsewhere, None)):
        signed = USA.checkpoint(4, bytes(32), at(50), [row])
        text = proof_file(THE_LOG.shown(FRA, at(100), [3], [(signed, 5)]), filed(FRA, USA))
        if code is None:
            assert check_proof(text, "file").witnesses == ()
        else:
            assert refused(check_proof, text) == code


# Revocation (P4)


def revoked(why: Why, effective: Instant, issued: Instant) -> Party:
    return replace(FRA, directories=(FRA.revoked(why, effective, issued),))


@pytest.mark.parametrize("why", [Why.COMPROMISED, Why.ROTATED])
def test_what_was_witnessed_before_the_key_was_revoked_counts_and_nothing_else_does(why: Why) -> None:
    effective = at(60)
    member = revoked(why, effective, at(200))
    given = [member.given(), USA.given()]

    def judged(*cosigners: tuple[Party, int, Instant]) -> str:
        try:
            found = check_proof(proof(FRA, *cosigners), "file", given)
        except IntelshareError as error:
            return error.code
        assert found.revoked
        return "counts"

    assert judged((USA, 5, at(59))) == "counts"
    assert judged((USA, 4, at(59))) == "counts"
    assert judged((USA, 3, at(59))) == "SIGNER_REVOKED", "entry 3 was not among the first 3"
    assert judged((USA, 5, effective)) == "SIGNER_REVOKED"
    assert judged() == "SIGNER_REVOKED"


def test_a_directory_that_does_not_revoke_yet_holds_its_member_to_it() -> None:
    """The accused dates its revocation back; a directory of its own, issued later, says otherwise."""
    back = revoked(Why.COMPROMISED, Instant(0), at(300))
    text = proof(FRA, (USA, 5, at(59)))
    assert refused(check_proof, text, back.given(), USA.given()) == "SIGNER_REVOKED"
    between = FRA.of.renewed(at(100))
    admitting = proof(FRA, (USA, 5, at(59)), FRA=[FRA.of.founded.root, between])
    assert check_proof(admitting, "file", [back.given(), USA.given()]).revoked
    too_early = proof(FRA, (USA, 5, at(101)), FRA=[FRA.of.founded.root, between])
    assert refused(check_proof, too_early, back.given(), USA.given()) == "SIGNER_REVOKED"
    # One that a stranger signed admits nothing.
    forged = proof(FRA, (USA, 5, at(59)), FRA=[FRA.of.founded.root, FAKE_FRA.of.renewed(at(100))])
    assert refused(check_proof, forged, back.given(), USA.given()) == "SIGNER_REVOKED"


def test_a_later_directory_does_not_take_a_revocation_back() -> None:
    """The reader has a directory that names the key and forgot that an earlier one had revoked it."""
    revoking = FRA.revoked(Why.COMPROMISED, at(60), at(60))
    later = sign_directory(
        replace(FRA.of.directory, version=FRA.of.directory.version + 200 * SECOND, issued=at(200)),
        FRA.of.signer(KeyUse.DIRECTORY),
    )
    given = [replace(FRA, directories=(later,)).given(), USA.given()]
    assert not check_proof(proof(FRA, (USA, 5, at(300))), "file", given).revoked
    roots = [FRA.of.founded.root]
    for documents in ([*roots, revoking], [*roots, revoking, later]):
        shown = proof(FRA, (USA, 5, at(300)), FRA=documents)
        assert refused(check_proof, shown, *given) == "SIGNER_REVOKED"
        # Until then its later word binds it: what was seen before that counts.
        assert check_proof(proof(FRA, (USA, 5, at(199)), FRA=documents), "file", given).revoked
    alone = proof(FRA, (USA, 5, at(300)), FRA=[*roots, revoking, later])
    assert refused(check_proof, alone, USA.given()) == "SIGNER_REVOKED"


@pytest.mark.parametrize("witness", [FRA, USA])
def test_evidence_under_a_revoked_key_counts_if_another_member_logged_it_before(witness: Party) -> None:
    pair = fork(FRA, at(100))
    leaves = [leaf_id(one.kind, one.nonce, one.data) for one in pair]
    for logged, effective, code in ((at(110), at(120), None), (at(130), at(120), "SIGNER_REVOKED")):
        rows: list[Any] = [(EntryType.START, Start("1", Incarnation(0), 0, bytes(32)), at(0))]
        rows.append((EntryType.REJECTED, Rejected(FRA.of.code, Digest(leaves[1]), "LOG_FORK"), logged))
        rows.append((
            EntryType.WITNESSED,
            Witnessed(
                FRA.of.code, FRA.node, LOG, 9, bytes([1]) * 32, Incarnation(0), 0, 0, "",
            ),
            logged,
        ))  # fmt: skip
        shown = Log.of(rows).shown(witness, at(140), [1, 2])
        text = evidence_file(pair, filed(FRA, USA), seen=[shown])
        given = [revoked(Why.COMPROMISED, effective, at(200)).given(), USA.given()]
        if code is None and witness is USA:
            found = check_evidence(text, "file", given)
            assert [one.revoked for one in found.convicting] == [True, True]
            assert [[by.member for by in one.seen] for one in found.convicting] == [["USA"], ["USA"]]
            assert [one.member for one in found.members] == ["FRA", "USA"]
        else:
            assert refused(check_evidence, text, *given) == "SIGNER_REVOKED"


# Roots and directories end (P6, P12)


def test_a_directory_key_that_a_later_root_replaced_proves_nothing() -> None:
    root_key = FRA.of.founded.root_keys[0]
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, FRA.of.code, NOW, stream_of("fresh"))
    second = renew_root(FRA.of.root, [signer(root_key)], directory=[fresh.record])
    thief = new_key(SUITE_1, KeyUse.SIGNING, FRA.of.code, NOW, stream_of("thief"), node=FRA.node)
    stolen = FRA.of.renewed(at(10), add_keys=[thief.record])
    pair = [
        FRA.signed(
            Kind.CHECKPOINT,
            replace(_checkpoint_of(FRA, THE_LOG.position(DEU.node)), size=9, root=Digest(bytes([n]) * 32)),
            at(20),
            signer=signer(thief),
        )
        for n in (1, 2)
    ]
    chain = [FRA.of.founded.root, second]
    assert refused(check_evidence, evidence_file(pair, filed(FRA=[*chain, stolen]))) == "TRUST_THRESHOLD"
    genuine = sign_directory(replace(FRA.of.directory, version=2, issued=at(5)), signer(fresh))
    honest = evidence_file(fork(FRA, at(1)), filed(FRA=[*chain, genuine]))
    assert check_evidence(honest, "file").member == "FRA"


def test_a_directory_key_counts_from_its_beginning_to_its_end() -> None:
    key = FRA.of.key(KeyUse.DIRECTORY)
    record = replace(key.record, not_before=at(10), not_after=at(20))
    short = new_key_of(key, record)
    root = sign_root(replace(FRA.of.root, directory=(record,)), [signer(FRA.of.founded.root_keys[0])])
    for issued, holds in ((9, False), (10, True), (19, True), (20, False)):
        when = at(issued)
        directory = replace(FRA.of.directory, issued=when, expires=Instant(when + HOUR))
        text = evidence_file(fork(FRA, at(1)), filed(FRA=[root, sign_directory(directory, signer(short))]))
        if holds:
            assert check_evidence(text, "file").member == "FRA"
        else:
            assert refused(check_evidence, text) == "TRUST_THRESHOLD"


def new_key_of(key: Any, record: Any) -> Any:
    from intelshare.crypto.pae import key_id

    return replace(key, record=record, key_id=key_id(record))


def test_a_root_key_has_no_end_for_a_root_bears_no_time() -> None:
    key = FRA.of.founded.root_keys[0]
    for end, holds in ((NEVER, True), (LATEST, False), (at(1), False)):
        short = new_key_of(key, replace(key.record, not_after=end))
        root = sign_root(replace(FRA.of.root, keys=(short.record,)), [signer(short)])
        text = evidence_file(fork(FRA, at(1)), filed(FRA=[root, FRA.of.founded.directory]))
        if holds:
            assert check_evidence(text, "file").member == "FRA"
        else:
            assert refused(check_evidence, text) == "ENVELOPE_MALFORMED"


# What is shown, and what is total (P11, P13, P15)


def test_a_statement_of_another_signer_beside_it_hides_no_contradiction() -> None:
    one, other = fork(FRA, at(100))
    for order in (
        (one, DEU.checkpoint(3, bytes(32), at(1)), other),
        (DEU.checkpoint(3, bytes(32), at(1)), one, other),
    ):
        found = check_evidence(evidence_file(order, filed(FRA, DEU)), "file")
        assert (found.member, found.code) == ("FRA", "LOG_FORK")
        assert [one.member for one in found.members] == ["FRA"]


ODD: list[Any] = [
    -1, 0, 2**53 - 1, 2**53, 2**63, 2**64 - 1, 2**64, 2**200, 1.5, True, None, "", "x", "\ud800", "0" * 64,
    "g" * 64, "A" * 64, [], [[]], {}, [""], "0" * 100_000,
]  # fmt: skip


def test_no_value_of_any_member_of_a_file_ends_in_anything_but_a_verdict() -> None:
    files = [
        (check_proof, json.loads(proof(FRA, (USA, 5, at(50)), FRA=FRA.documents))),
        (check_evidence, json.loads(evidence_file(
            fork(FRA, at(100)), filed(FRA, USA), seen=[THE_LOG.shown(USA, at(100), [1])],
        ))),
    ]  # fmt: skip
    tried = refused_count = 0
    for check, whole in files:
        for path in _paths(whole):
            for value in ODD:
                changed = json.loads(json.dumps(whole))
                inside = changed
                for step in path[:-1]:
                    inside = inside[step]
                inside[path[-1]] = value
                tried += 1
                try:
                    check(json.dumps(changed).encode(), "odd")
                except IntelshareError:
                    # Anything outside this tree would be INTERNAL.
                    refused_count += 1
    assert tried > 800
    assert refused_count > tried * 0.7


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Any:
    if path:
        yield path
    if isinstance(node, dict | list):
        for step, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _paths(inner, (*path, step))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"null", b"[" * 100_000, b"\xff", b"0" * (16 * 1024 * 1024 + 1)]
)
@pytest.mark.parametrize("check", [check_proof, check_evidence])
def test_what_is_no_file_is_refused(check: Any, text: bytes) -> None:
    assert refused(check, text) in ("INPUT_INVALID", "TOO_LARGE")


def test_large_numbers_stand_in_a_file_as_text() -> None:
    start = Start("1", Incarnation(2**63 + 1), 5, bytes(32))
    shown = Log.of([(EntryType.START, start, at(0))]).shown(FRA, at(1), [0])
    (entry,) = check_proof(proof_file(shown, filed(FRA)), "file").entries
    assert entry.says["previous"] == str(2**63 + 1)
    assert entry.says["size"] == 5


# A key that is left out


def left_out(issued: Instant) -> Party:
    """FRA, whose newest directory names no signing key at all."""
    keys = tuple(key for key in FRA.of.directory.keys if key.use is not KeyUse.SIGNING)
    changed = replace(FRA.of.directory, version=2, issued=issued, expires=Instant(issued + HOUR), keys=keys)
    return replace(FRA, directories=(sign_directory(changed, FRA.of.signer(KeyUse.DIRECTORY)),))


def test_a_member_that_leaves_a_key_out_does_not_escape_what_it_has_signed() -> None:
    newest = left_out(at(200)).given()
    found = check_evidence(evidence(FRA=FRA.documents), "file", [newest])
    assert (found.code, [one.revoked for one in found.convicting]) == ("LOG_FORK", [False, False])
    both = replace(FRA, directories=(FRA.of.founded.directory, *left_out(at(200)).directories))
    assert check_evidence(evidence(FRA=both.documents), "file").code == "LOG_FORK"
    # A member file shows it too, if its maker had accepted both.
    assert len(both.given().former) == 1
    assert check_evidence(evidence(), "file", [both.given()]).code == "LOG_FORK"


def test_what_is_missing_is_named_where_nobody_has_a_directory_that_lists_the_key() -> None:
    newest = left_out(at(200))
    with pytest.raises(IntelshareError, match="SIGNER_UNKNOWN") as refused_:
        check_evidence(evidence(FRA=newest.documents), "file", [newest.given()])
    assert "a directory that names it is missing" in refused_.value.hint


def test_to_leave_a_key_out_is_to_end_it() -> None:
    newest = left_out(at(50))
    assert refused(check_evidence, evidence(FRA=FRA.documents), newest.given()) == "SIGNER_REVOKED"
