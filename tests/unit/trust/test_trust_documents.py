"""What may replace what, and who may sign now (rows 30, 60, 61, 62, 91, 97 of attacks.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Kind, Trust
from intelshare.crypto.suites import SUITE_1, SUITE_2, SUITES
from intelshare.errors import CryptoError, IntelshareError
from intelshare.ids import NodeUri
from intelshare.instant import DAY, HOUR, MAX_AHEAD, MINUTE, SECOND, Instant, show
from intelshare.statement import Leaf, VerifiedRoots, read_batch, sign_batch, verify
from intelshare.trust import (
    DirectoryDocument,
    DirectoryNode,
    Ratified,
    RootDocument,
    TrustView,
    due,
    fingerprint,
    found_again,
    new_key,
    read_member_file,
    renew_directory,
    renew_root,
    sign_directory,
    sign_proposal,
    sign_root,
    warnings_about,
    write_member_file,
)
from intelshare.trust.documents import MAX_REVOCATIONS, Revocation, Revoked, Why
from intelshare.trust.keys import (
    SEALING_GRACE,
    SEALING_OVERLAP,
    SEALING_PERIOD,
    SIGNING_LIFETIME,
    SIGNING_OVERLAP,
    SIGNING_PERIOD,
    Periods,
    SecretKey,
    ends,
    is_compromised,
    rotated_out,
    spent,
    without_ahead,
)
from trust_world import NOW, TestMember, documents, member, signer, view_of


@pytest.fixture(scope="module")
def fra() -> TestMember:
    return member("FRA")


@pytest.fixture(scope="module")
def deu() -> TestMember:
    return member("DEU", root_keys=3, threshold=2)


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as error:
        act()
    assert error.value.message
    return error.value.code


# --- First contact -----------------------------------------------------------------------------------


def test_a_member_file_is_imported_by_its_fingerprint_however_it_is_typed(
    fra: TestMember, deu: TestMember
) -> None:
    text = write_member_file(view_of(deu).members[deu.code])
    read = read_member_file(text.encode(), "deu.json")
    assert (read.member, read.fingerprint) == ("DEU", deu.fingerprint)
    assert read.directory is not None
    typed = deu.fingerprint.lower().replace("-", "  ").replace("0", "o").replace("1", "l")
    view = view_of(fra).with_member(read.roots, typed).view
    change = view.with_document(read.directory, NOW)
    assert change.changed
    assert change.view.need_fresh(deu.code, NOW) == deu.directory


def test_row_60_a_swapped_member_file_is_not_imported(fra: TestMember, deu: TestMember) -> None:
    impostor = member("DEU", seed="impostor")
    view = view_of(fra)
    for given in (deu.fingerprint, deu.fingerprint[:20], ""):
        assert refused(lambda g=given: view.with_member((impostor.founded.root,), g)) == "TRUST_FINGERPRINT"
    assert view.members.keys() == {"FRA"}


def test_row_60_a_member_already_known_cannot_be_replaced_by_another_first_root(
    fra: TestMember, deu: TestMember
) -> None:
    impostor = member("DEU", seed="impostor")
    view = view_of(fra, deu)
    assert (
        refused(lambda: view.with_member((impostor.founded.root,), impostor.fingerprint))
        == "TRUST_FINGERPRINT"
    )


def test_documents_of_a_member_never_met_wait_for_first_contact(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra)
    for document in (deu.founded.root, deu.founded.directory):
        assert refused(lambda d=document: view.with_document(d, NOW)) == "TRUST_FINGERPRINT"


def test_two_members_cannot_claim_one_domain(fra: TestMember, deu: TestMember) -> None:
    ita = member("ITA")
    greedy = sign_root(replace(ita.root, domain=deu.root.domain), [signer(k) for k in ita.founded.root_keys])
    view = view_of(fra, deu)
    assert refused(lambda: view.with_member((greedy,), fingerprint(greedy.document))) == "NOT_AUTHORISED"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-40],
        lambda text: text.replace('"DEU"', '"ITA"'),
        lambda text: text.replace("intelshare/member/1", "intelshare/member/2"),
        lambda text: text.replace('"name"', '"nmae"'),
        lambda _: '{"schema": ' + "[" * 100_000,
        lambda _: "",
        lambda text: text.replace('"roots": [', '"roots": ["AAAA",'),
    ],
)
def test_what_is_not_a_member_file_is_said_to_be_none(spoil: Callable[[str], str], deu: TestMember) -> None:
    text = spoil(write_member_file(view_of(deu).members[deu.code]))
    assert refused(lambda: read_member_file(text.encode(), "x.json")) == "INPUT_INVALID"
    assert refused(lambda: read_member_file(b" " * (8 * 1024 * 1024 + 1), "x.json")) == "TOO_LARGE"


# --- Directories -------------------------------------------------------------------------------------


def test_row_30_an_expired_directory_heals_when_its_successor_arrives(
    fra: TestMember, deu: TestMember
) -> None:
    view = view_of(fra, deu)
    late = Instant(NOW + 7 * DAY)
    assert view.directory_fresh(deu.code, Instant(late - 1))
    assert not view.directory_fresh(deu.code, late)
    assert refused(lambda: view.sealing_key(deu.code, 1, late)) == "TRUST_EXPIRED"
    assert view.key_record(deu.key(KeyUse.SIGNING).key_id) is not None
    healed = view.with_document(deu.renewed(late), late, deu.code).view
    assert healed.need_fresh(deu.code, late).issued == late
    assert healed.sealing_key(deu.code, 1, late)[0] == deu.key(KeyUse.SEALING).key_id


def test_row_61_an_older_directory_is_a_rollback_also_after_a_restart(
    fra: TestMember, deu: TestMember
) -> None:
    second = deu.renewed(Instant(NOW + HOUR))
    view = view_of(fra, deu).with_document(second, Instant(NOW + HOUR)).view
    reloaded = TrustView.load(fra.code, [*documents(fra, deu), encode(Trust, second)], SUITES)
    for held in (view, reloaded):
        assert held.members[deu.code].directory == view.members[deu.code].directory
        assert refused(lambda h=held: h.with_document(deu.founded.directory, NOW)) == "TRUST_ROLLBACK"


def test_row_61_an_expired_directory_is_not_accepted(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    second = deu.renewed(Instant(NOW + HOUR))
    late = Instant(NOW + HOUR + 7 * DAY)
    assert refused(lambda: view.with_document(second, late)) == "TRUST_EXPIRED"


def test_a_directory_from_the_future_waits(fra: TestMember, deu: TestMember) -> None:
    early = deu.renewed(Instant(NOW + 10 * MINUTE))
    view = view_of(fra, deu)
    assert refused(lambda: view.with_document(early, NOW)) == "CLOCK_SKEW"
    assert view.with_document(early, Instant(NOW + 6 * MINUTE)).changed


def test_two_directories_of_one_version_are_a_fork_and_the_first_stays(
    fra: TestMember, deu: TestMember
) -> None:
    view = view_of(fra, deu)
    other = sign_directory(
        replace(deu.directory, ratified=(Ratified("x", bytes(32)),)),  # type: ignore[arg-type]
        deu.signer(KeyUse.DIRECTORY),
    )
    assert refused(lambda: view.with_document(other, NOW)) == "TRUST_FORK"
    again = sign_directory(deu.directory, deu.signer(KeyUse.DIRECTORY))
    assert not view.with_document(again, NOW).changed


def test_row_62_a_directory_not_signed_by_the_roots_directory_key_is_refused(
    fra: TestMember, deu: TestMember
) -> None:
    view = view_of(fra, deu)
    genuine = deu.renewed(NOW)
    one = genuine.signatures[0]
    flipped = replace(one, signature=one.signature[:-1] + bytes([one.signature[-1] ^ 1]))
    for bad in (
        renew_directory(deu.directory, fra.signer(KeyUse.DIRECTORY), NOW),
        renew_directory(deu.directory, deu.signer(KeyUse.SIGNING), NOW),
        renew_directory(deu.directory, signer(deu.founded.root_keys[0]), NOW),
        replace(genuine, signatures=()),
        replace(genuine, signatures=(flipped,)),
        replace(genuine, document=genuine.document.replace(b"one.deu", b"two.deu")),
    ):
        assert refused(lambda b=bad: view.with_document(b, NOW)) == "TRUST_THRESHOLD"


def test_a_peer_hands_over_only_its_own_documents(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    assert refused(lambda: view.with_document(deu.renewed(NOW), NOW, fra.code)) == "NOT_AUTHORISED"


def test_a_member_vouches_for_nodes_of_its_own_domain_only(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    for node in (
        fra.founded.node,
        replace(deu.founded.node, dns="one.fra.intelshare.internal"),
    ):
        theft = deu.renewed(NOW, nodes=[node])
        assert refused(lambda t=theft: view.with_document(t, NOW)) == "NOT_AUTHORISED"


def test_row_97_listing_anothers_key_is_accepted_with_a_warning_and_harms_nobody(
    fra: TestMember, deu: TestMember
) -> None:
    ita = member("ITA")
    stolen = deu.key(KeyUse.SIGNING).record
    claimed = replace(stolen, member=ita.code, node=ita.founded.node.uri)
    view = view_of(fra, deu, ita)
    for record in (stolen, claimed):
        revoke = [Revocation(Revoked.KEY, key_id(stolen), Why.COMPROMISED, NOW)]
        change = view.with_document(ita.renewed(NOW, add_keys=[record], revoke=revoke), NOW)
        assert change.changed
        (warning,) = warnings_about(change.view, ita.code)
        assert "DEU" in warning
        assert warnings_about(change.view, fra.code) == ()
        assert change.view.key_record(key_id(stolen)) == stolen
        assert change.view.revocation(key_id(stolen)) is None
        signed = statement_by(deu, KeyUse.SIGNING)
        verify(*signed, deu.code, NOW, trust=change.view, suites=SUITES, roots=VerifiedRoots())


# --- Who may sign ------------------------------------------------------------------------------------


def statement_by(of: TestMember, use: KeyUse, at: Instant = NOW):  # type: ignore[no-untyped-def]
    leaf = Leaf(Kind.RECEIPT, bytes(16), b"opaque here")
    batch = sign_batch([leaf], of.signer(use), at, stream_of("batch"))
    return batch.statements[0], read_batch(batch.batch)


def test_row_91_a_directory_key_may_not_sign_statements(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    statement, batch = statement_by(deu, KeyUse.DIRECTORY)
    act = lambda: verify(statement, batch, deu.code, NOW, trust=view, suites=SUITES, roots=VerifiedRoots())  # noqa: E731
    assert refused(act) == "SIGNER_NOT_AUTHORISED"


def test_row_7_a_rotated_key_counts_before_its_end_and_a_compromised_one_never(
    fra: TestMember, deu: TestMember
) -> None:
    key = deu.key(KeyUse.SIGNING).key_id
    statement, batch = statement_by(deu, KeyUse.SIGNING)

    def check(why: Why, effective: Instant) -> None:
        change = deu.renewed(NOW, revoke=[Revocation(Revoked.KEY, key, why, effective)])
        view = view_of(fra, deu).with_document(change, NOW).view
        verify(statement, batch, deu.code, NOW, trust=view, suites=SUITES, roots=VerifiedRoots())

    check(Why.ROTATED, Instant(NOW + 1))
    assert refused(lambda: check(Why.ROTATED, NOW)) == "SIGNER_REVOKED"
    assert refused(lambda: check(Why.COMPROMISED, Instant(NOW + DAY))) == "SIGNER_REVOKED"


def revoking(who: TestMember, version: int, *rows: Revocation, **changes: object) -> Trust:
    return directory_of(who, Instant(NOW + version), version=version, revocations=rows, **changes)


def key_row(who: TestMember, why: Why, effective: Instant, use: KeyUse = KeyUse.SIGNING) -> Revocation:
    return Revocation(Revoked.KEY, who.key(use).key_id, why, effective)


@pytest.mark.parametrize("use", [KeyUse.SIGNING, KeyUse.SEALING])
def test_what_was_once_revoked_stays_so_whatever_later_directories_say(
    use: KeyUse, fra: TestMember, deu: TestMember
) -> None:
    later, key = Instant(NOW + HOUR), deu.key(use)
    stolen = key_row(deu, Why.COMPROMISED, NOW, use)
    mild = key_row(deu, Why.ROTATED, Instant(NOW + DAY), use)
    view = view_of(fra, deu).with_document(revoking(deu, 3, stolen), later).view
    listed = deu.directory.keys
    others = tuple(row for row in listed if row != key.record)
    # Left out, said less harshly, the key not listed for a while: none of it brings the key back.
    for version, rows, keys in (
        (4, (), deu.directory.keys),
        (5, (mild,), others),
        (6, (), deu.directory.keys),
    ):
        view = view.with_document(revoking(deu, version, *rows, keys=keys), later).view
        assert view.keys_of(deu.code, use, later) == ()
    assert view.revocation(key.key_id) == stolen


def test_an_end_that_was_said_does_not_move_to_later(fra: TestMember, deu: TestMember) -> None:
    early, late = (key_row(deu, Why.ROTATED, Instant(NOW + days * DAY)) for days in (1, 9))
    key, at = deu.key(KeyUse.SIGNING).key_id, Instant(NOW + HOUR)
    view = view_of(fra, deu).with_document(revoking(deu, 3, early), at).view
    view = view.with_document(revoking(deu, 4, late), at).view
    assert view.revocation(key) == early
    # Nothing is remembered that the directory held says as harshly.
    view = view.with_document(revoking(deu, 5, early), at).view
    assert view.members[deu.code].remembered == ()


def test_a_revoked_certificate_stays_so_and_of_a_node_the_present_directory_decides(
    fra: TestMember, deu: TestMember
) -> None:
    node, at = deu.founded.node.uri, Instant(NOW + HOUR)
    rows = (
        Revocation(Revoked.CERTIFICATE, bytes(32), Why.COMPROMISED, NOW),
        Revocation(Revoked.NODE, node.encode(), Why.COMPROMISED, NOW),
    )
    view = view_of(fra, deu).with_document(revoking(deu, 3, *rows), at).view
    assert refused(lambda: view.need_node(node, at)) == "PEER_REVOKED"
    view = view.with_document(revoking(deu, 4), at).view
    assert view.members[deu.code].remembered == rows[:1]
    assert view.need_node(node, at)[0] == deu.code


def test_a_root_without_the_directory_key_ends_what_its_thief_has_revoked(
    fra: TestMember, deu: TestMember
) -> None:
    at, stolen = Instant(NOW + HOUR), key_row(deu, Why.COMPROMISED, NOW)
    view = view_of(fra, deu).with_document(revoking(deu, 3, stolen), at).view
    view = view.with_document(revoking(deu, 4), at).view
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, deu.code, NOW, stream_of("fresh"))
    roots = [signer(key) for key in deu.founded.root_keys]
    same = renew_root(deu.root, roots)
    second = view.with_document(same, at).view
    assert second.revocation(stolen.subject) == stolen
    third = renew_root(decode(RootDocument, same.document), roots, directory=[fresh.record])
    view = second.with_document(third, at).view
    assert view.revocation(stolen.subject) is None
    anew = sign_directory(replace(deu.directory, version=1, issued=NOW), signer(fresh))
    assert view.with_document(anew, at).view.keys_of(deu.code, KeyUse.SIGNING, at)


def test_what_is_remembered_of_a_member_has_a_bound(fra: TestMember, deu: TestMember) -> None:
    at = Instant(NOW + HOUR)

    def rows(first: int, count: int) -> tuple[Revocation, ...]:
        names = [number.to_bytes(32, "big") for number in range(first, first + count)]
        return tuple(Revocation(Revoked.KEY, name, Why.COMPROMISED, NOW) for name in names)

    view = view_of(fra, deu).with_document(revoking(deu, 3, *rows(0, 4000)), at).view
    full = view.with_document(revoking(deu, 4, *rows(4000, 96)), at).view
    assert len(full.members[deu.code].revocations) == MAX_REVOCATIONS
    assert refused(lambda: view.with_document(revoking(deu, 4, *rows(4000, 97)), at)) == "ENVELOPE_MALFORMED"


def test_statements_are_signed_with_the_newest_key_and_hellos_with_the_oldest(
    fra: TestMember, deu: TestMember
) -> None:
    at = Instant(NOW + DAY)
    node = deu.founded.node.uri
    added = new_key(SUITE_1, KeyUse.SIGNING, deu.code, at, stream_of("second"), node=node)
    view = view_of(deu).with_document(deu.renewed(at, add_keys=[added.record]), at).view
    assert view.signing_key(node, at) == added.key_id
    assert view.hello_key(node, fra.code, at) == deu.key(KeyUse.SIGNING).key_id
    assert refused(lambda: view.signing_key(node, Instant(NOW + 2 * SIGNING_LIFETIME))) == "SIGNER_NOT_VALID"


def test_a_clock_that_is_behind_the_first_key_is_named_as_what_is_wrong(deu: TestMember) -> None:
    view, node = view_of(deu), deu.founded.node.uri
    early = Instant(deu.key(KeyUse.SIGNING).record.not_before - HOUR)
    with pytest.raises(CryptoError, match="has no signing key that is valid now") as behind:
        view.signing_key(node, early)
    assert show(early) in behind.value.message
    assert show(Instant(early + HOUR)) in behind.value.message
    assert "clock is behind" in behind.value.hint
    assert "vault rotate" not in behind.value.hint
    with pytest.raises(CryptoError, match="the last one was valid until") as ended:
        view.signing_key(node, Instant(NOW + 2 * SIGNING_LIFETIME))
    assert "vault rotate" in ended.value.hint


def directory_of(who: TestMember, at: Instant, **changes: object) -> Trust:
    return sign_directory(
        replace(who.directory, **{"version": 2, "issued": at, **changes}),  # type: ignore[arg-type]
        who.signer(KeyUse.DIRECTORY),
    )


def test_a_floor_of_either_side_stops_what_is_sealed_and_both_are_told(
    fra: TestMember, deu: TestMember
) -> None:
    view = view_of(fra, deu)
    assert view.sealing_key(deu.code, 1, NOW)[1].suite == 1
    strict = view.with_document(directory_of(deu, NOW, suites=(1, 2), floor=2), NOW)
    assert refused(lambda: strict.view.sealing_key(deu.code, 1, NOW)) == "SUITE_BELOW_FLOOR"
    assert strict.view.sealing_key(deu.code, 2, NOW)[1].suite == 1
    assert warnings_about(strict.view, deu.code) == (
        "DEU accepts suite 2 or higher, and FRA signs with a lower one",
    )
    view = view.with_document(directory_of(fra, NOW, suites=(1, 2), floor=2), NOW).view
    assert refused(lambda: view.sealing_key(deu.code, 2, NOW)) == "SUITE_BELOW_FLOOR"
    again = view.with_document(deu.renewed(NOW), NOW)
    assert warnings_about(again.view, deu.code) == (
        "FRA accepts suite 2 or higher, and DEU signs with a lower one",
    )


def test_a_member_that_takes_up_another_suite_signs_and_is_sealed_to_with_it(
    fra: TestMember, deu: TestMember
) -> None:
    at, node = Instant(NOW + DAY), deu.founded.node.uri
    signing = new_key(SUITE_2, KeyUse.SIGNING, deu.code, at, stream_of("signing 2"), node=node)
    sealing = new_key(SUITE_2, KeyUse.SEALING, deu.code, at, stream_of("sealing 2"))
    both = decode(DirectoryDocument, deu.renewed(at, add_keys=[signing.record, sealing.record]).document)
    assert due(deu.directory, node, 2, at).signing
    assert due(deu.directory, node, 2, at).sealing
    for told in (due(both, node, 2, at), due(deu.directory, node, 1, at)):
        assert (told.signing, told.sealing) == (False, False)
    view = view_of(fra, deu)
    view = view.with_document(directory_of(deu, at, keys=both.keys), at).view
    assert view.sealing_key(deu.code, 1, at) == (sealing.key_id, sealing.record)
    assert view.signing_key(node, at) == signing.key_id
    assert view.hello_key(node, fra.code, at) == deu.key(KeyUse.SIGNING).key_id
    view = view.with_document(directory_of(fra, at, suites=(1, 2), floor=2), at).view
    assert view.hello_key(node, fra.code, at) == signing.key_id, "what the floor rules out is passed over"


def test_ratified_texts_are_what_the_directory_names(fra: TestMember, deu: TestMember) -> None:
    row = Ratified("demo-climate", bytes(range(32)))  # type: ignore[arg-type]
    view = view_of(fra, deu).with_document(deu.renewed(NOW, ratified=[row]), NOW).view
    assert dict(view.ratified(deu.code)) == {"demo-climate": row.text}
    assert dict(view.ratified(fra.code)) == {}


# --- Roots -------------------------------------------------------------------------------------------


def new_root_keys(count: int, seed: str):  # type: ignore[no-untyped-def]
    random = stream_of(seed)
    return [new_key(SUITE_1, KeyUse.ROOT, member("DEU").code, NOW, random) for _ in range(count)]


def test_a_root_signed_by_a_threshold_of_old_and_new_keys_is_accepted(
    fra: TestMember, deu: TestMember
) -> None:
    fresh = new_root_keys(2, "fresh")
    signers = [signer(k) for k in (*deu.founded.root_keys[:2], *fresh)]
    second = renew_root(deu.root, signers, keys=[k.record for k in fresh], threshold=2)
    change = view_of(fra, deu).with_document(second, NOW, deu.code)
    assert change.view.members[deu.code].root.version == 2
    assert change.view.directory_fresh(deu.code, NOW)
    assert change.view.members[deu.code].fingerprint == deu.fingerprint
    stored = [*documents(fra, deu), encode(Trust, second)]
    assert TrustView.load(fra.code, reversed(stored), SUITES).members == change.view.members


def test_row_62_a_root_signed_by_new_or_old_keys_only_is_refused(fra: TestMember, deu: TestMember) -> None:
    fresh = new_root_keys(2, "fresh")
    records = [k.record for k in fresh]
    old = [signer(k) for k in deu.founded.root_keys]
    new = [signer(k) for k in fresh]
    view = view_of(fra, deu)
    for signers in (new, old, [*new, old[0]], [*old, new[0]], [*new, old[0], old[0]], []):
        bad = renew_root(deu.root, signers, keys=records, threshold=2)
        assert refused(lambda b=bad: view.with_document(b, NOW)) == "TRUST_THRESHOLD"
    assert view.members[deu.code].root.version == 1


def test_row_61_an_older_root_is_a_rollback_and_another_of_its_version_a_fork(
    fra: TestMember, deu: TestMember
) -> None:
    signers = [signer(k) for k in deu.founded.root_keys]
    second = renew_root(deu.root, signers)
    view = view_of(fra, deu).with_document(second, NOW).view
    assert not view.with_document(second, NOW).changed
    assert refused(lambda: view.with_document(deu.founded.root, NOW)) == "TRUST_ROLLBACK"
    for version in (1, 2):
        other = replace(deu.root, version=version, name="Another")
        assert refused(lambda o=other: view.with_document(sign_root(o, signers), NOW)) == "TRUST_FORK"
        unsigned = sign_root(other, signers[:1])
        assert refused(lambda u=unsigned: view.with_document(u, NOW)) == "TRUST_THRESHOLD"
    gap = sign_root(replace(deu.root, version=4), signers)
    assert refused(lambda: view.with_document(gap, NOW)) == "TRUST_THRESHOLD"


def test_a_new_directory_key_ends_the_old_directory_and_undoes_a_fast_forward(
    fra: TestMember, deu: TestMember
) -> None:
    stolen = sign_directory(replace(deu.directory, version=2**63 - 1), deu.signer(KeyUse.DIRECTORY))
    view = view_of(fra, deu).with_document(stolen, NOW).view
    key = new_key(SUITE_1, KeyUse.DIRECTORY, deu.code, NOW, stream_of("directory 2"))
    second = renew_root(deu.root, [signer(k) for k in deu.founded.root_keys], directory=[key.record])
    view = view.with_document(second, NOW).view
    assert refused(lambda: view.need_fresh(deu.code, NOW)) == "TRUST_EXPIRED"
    assert view.identify(deu.founded.node_leaf.certificate, NOW).member == deu.code
    stored = [*documents(fra), *map(lambda d: encode(Trust, d), (deu.founded.root, second, stolen))]  # noqa: C417
    assert TrustView.load(fra.code, stored, SUITES).members == view.members
    assert refused(lambda: view.with_document(stolen, NOW)) == "TRUST_THRESHOLD"
    healed = renew_directory(deu.directory, signer(key), Instant(NOW + 1))
    view = view.with_document(healed, Instant(NOW + 1)).view
    assert 1 < view.need_fresh(deu.code, NOW).version < 2 * SECOND
    stored.append(encode(Trust, healed))
    assert TrustView.load(fra.code, stored, SUITES).members == view.members


def test_a_node_that_was_put_back_follows_what_it_has_forgotten_and_gives_no_version_twice(
    deu: TestMember,
) -> None:
    held = _directory(deu, Instant(NOW + DAY))
    forgotten = held
    for _ in range(3):
        forgotten = _next_of(deu, forgotten, Instant(forgotten.issued + MINUTE))
    assert _next_of(deu, held, Instant(forgotten.issued + 1)).version > forgotten.version


@pytest.mark.parametrize("behind", [1, SECOND, DAY])
def test_two_directories_that_follow_one_of_a_clock_that_was_ahead_have_two_versions(
    deu: TestMember, behind: int
) -> None:
    ahead = _directory(deu, Instant(NOW + DAY))
    first, second = (_next_of(deu, ahead, Instant(ahead.issued - behind - lag)) for lag in (0, 7))
    assert first.version != second.version
    assert min(first.version, second.version) > ahead.version
    assert max(first.version, second.version) <= ahead.version + SECOND


def test_where_a_clock_was_ahead_what_is_remembered_says_how_much_may_be_forgotten(deu: TestMember) -> None:
    ahead = _directory(deu, Instant(NOW + DAY))
    forgotten = _next_of(deu, _next_of(deu, ahead, Instant(NOW + MINUTE)), Instant(NOW + HOUR))
    again = Instant(NOW + HOUR + SECOND)
    signed = renew_directory(ahead, deu.signer(KeyUse.DIRECTORY), again, since=NOW)
    assert decode(DirectoryDocument, signed.document).version > forgotten.version


def _next_of(deu: TestMember, held: DirectoryDocument, at: Instant) -> DirectoryDocument:
    return decode(DirectoryDocument, renew_directory(held, deu.signer(KeyUse.DIRECTORY), at).document)


def test_a_member_that_lost_its_vault_is_founded_again_under_the_root_that_others_know(
    fra: TestMember, deu: TestMember
) -> None:
    at, later = Instant(NOW + DAY), Instant(NOW + 2 * DAY)
    view = view_of(fra, deu)
    made = member("DEU", seed="again", at=at).founded
    founded, proposal = found_again(made, view.members[deu.code], at, SUITE_1)
    directory = founded.directory
    assert refused(lambda: view.with_document(proposal.signed, later)) == "TRUST_THRESHOLD"
    assert refused(lambda: view.with_document(directory, later)) == "TRUST_THRESHOLD"
    for key in deu.founded.root_keys[:2]:
        proposal = sign_proposal(proposal, signer(key))
    after = view.with_document(proposal.signed, later).view.with_document(directory, later).view
    assert after.members[deu.code].fingerprint == deu.fingerprint
    assert after.authorities(deu.code) == (made.node_authority.certificate,)
    new = {key.record.use: key.key_id for key in made.keys}
    assert after.signing_key(made.node.uri, later) == new[KeyUse.SIGNING]
    assert after.hello_key(made.node.uri, fra.code, later) == new[KeyUse.SIGNING]
    assert after.sealing_key(deu.code, 1, later)[0] == new[KeyUse.SEALING]
    # What the lost key signed stays; who finds it signs nothing, and names no keys.
    statement, batch = statement_by(deu, KeyUse.SIGNING)
    verify(statement, batch, deu.code, later, trust=after, suites=SUITES, roots=VerifiedRoots())
    one, late = statement_by(deu, KeyUse.SIGNING, at)
    with pytest.raises(IntelshareError, match="SIGNER_REVOKED"):
        verify(one, late, deu.code, later, trust=after, suites=SUITES, roots=VerifiedRoots())
    thief = directory_of(deu, at, version=99)
    assert refused(lambda: after.with_document(thief, later)) == "TRUST_THRESHOLD"


def test_a_member_is_not_founded_again_as_another(fra: TestMember, deu: TestMember) -> None:
    held = view_of(fra, deu).members[deu.code]
    assert refused(lambda: found_again(member("KEN").founded, held, NOW, SUITE_1)) == "INPUT_INVALID"


def test_a_store_without_the_own_root_or_with_a_broken_chain_is_not_loaded(
    fra: TestMember, deu: TestMember
) -> None:
    assert refused(lambda: TrustView.load(fra.code, documents(deu), SUITES)) == "TRUST_FINGERPRINT"
    orphan = sign_root(replace(fra.root, version=2), [signer(k) for k in fra.founded.root_keys])
    assert refused(lambda: TrustView.load(fra.code, [encode(Trust, orphan)], SUITES)) == "TRUST_THRESHOLD"


# --- Well-formedness ---------------------------------------------------------------------------------


def short(key: KeyRecord) -> KeyRecord:
    return replace(key, public=key.public[:-1])


BAD_ROOTS: dict[str, Callable[[RootDocument], RootDocument]] = {
    "threshold 0": lambda r: replace(r, threshold=0),
    "threshold above the keys": lambda r: replace(r, threshold=4),
    "version 0": lambda r: replace(r, version=0),
    "domain with a slash": lambda r: replace(r, domain="deu/x"),
    "domain in capitals": lambda r: replace(r, domain="DEU.example"),
    "empty domain": lambda r: replace(r, domain=""),
    "name with an escape": lambda r: replace(r, name="Deu\x1b[2J"),
    "member that is a path": lambda r: replace(r, member="../X"),
    "a key twice": lambda r: replace(r, keys=(r.keys[0], r.keys[0])),
    "a component key twice": lambda r: replace(
        r, keys=(r.keys[0], replace(r.keys[1], public=r.keys[0].public[:32] + r.keys[1].public[32:]))
    ),
    "a root key as directory key": lambda r: replace(
        r, directory=(replace(r.keys[0], use=KeyUse.DIRECTORY),)
    ),
    "key of another use": lambda r: replace(r, keys=(replace(r.keys[0], use=KeyUse.SIGNING),), threshold=1),
    "key of another member": lambda r: replace(r, keys=(replace(r.keys[0], member="ITA"),), threshold=1),
    "short key": lambda r: replace(r, keys=(short(r.keys[0]),), threshold=1),
}


@pytest.mark.parametrize("case", BAD_ROOTS)
def test_a_root_that_breaks_its_own_rules_is_malformed(case: str, fra: TestMember, deu: TestMember) -> None:
    bad = sign_root(
        replace(BAD_ROOTS[case](deu.root), version=0 if case == "version 0" else 2),
        [signer(k) for k in deu.founded.root_keys],
    )
    assert refused(lambda: view_of(fra, deu).with_document(bad, NOW)) == "ENVELOPE_MALFORMED"


BAD_DIRECTORIES: dict[str, Callable[[DirectoryDocument], DirectoryDocument]] = {
    "longer than 7 days": lambda d: replace(d, expires=Instant(d.issued + 7 * DAY + 1)),
    "no life at all": lambda d: replace(d, expires=d.issued),
    "floor above its suites": lambda d: replace(d, floor=2),
    "one URI twice": lambda d: replace(d, nodes=(d.nodes[0], replace(d.nodes[0], dns="x.deu.example"))),
    "one DNS name twice": lambda d: replace(
        d, nodes=(d.nodes[0], replace(d.nodes[0], uri=d.nodes[0].uri + "2"))
    ),
    "a node name with a space": lambda d: replace(
        d, nodes=(DirectoryNode(NodeUri(d.nodes[0].uri + " "), d.nodes[0].dns, ()),)
    ),
    "one treaty twice": lambda d: replace(d, ratified=(Ratified("x", bytes(32)),) * 2),  # type: ignore[arg-type]
    "authority that is none": lambda d: replace(d, authorities=(b"\x30\x00",)),
    "root key listed": lambda d: replace(d, keys=(replace(d.keys[0], use=KeyUse.ROOT, node=NodeUri("")),)),
    "signing key of no node": lambda d: replace(d, keys=(replace(d.keys[0], node=NodeUri("")),)),
    "sealing key of a node": lambda d: replace(d, keys=(replace(d.keys[1], node=d.nodes[0].uri),)),
    "a key twice": lambda d: replace(d, keys=(d.keys[0], d.keys[0])),
    "short key": lambda d: replace(d, keys=(short(d.keys[1]),)),
    "revocation of half a key": lambda d: replace(
        d, revocations=(Revocation(Revoked.KEY, bytes(16), Why.ROTATED, NOW),)
    ),
}


@pytest.mark.parametrize("case", BAD_DIRECTORIES)
def test_a_directory_that_breaks_its_own_rules_is_malformed(
    case: str, fra: TestMember, deu: TestMember
) -> None:
    bad = sign_directory(
        replace(BAD_DIRECTORIES[case](deu.directory), version=2), deu.signer(KeyUse.DIRECTORY)
    )
    assert refused(lambda: view_of(fra, deu).with_document(bad, NOW)) == "ENVELOPE_MALFORMED"


def test_a_component_of_a_root_key_cannot_stand_in_the_directory(fra: TestMember, deu: TestMember) -> None:
    root_key = deu.founded.root_keys[0].record
    reused = replace(root_key, use=KeyUse.SIGNING, node=deu.founded.node.uri)
    bad = deu.renewed(NOW, add_keys=[reused])
    assert refused(lambda: view_of(fra, deu).with_document(bad, NOW)) == "ENVELOPE_MALFORMED"


# --- Renewal and rotation ----------------------------------------------------------------------------


def test_nothing_is_due_at_the_start_and_a_directory_at_half_its_life(deu: TestMember) -> None:
    node = deu.founded.node.uri
    first = due(deu.directory, node, 1, NOW)
    assert (first.directory, first.sealing, first.signing, first.retired) == (False, False, False, ())
    half = Instant(NOW + 7 * DAY // 2)
    assert due(deu.directory, node, 1, half).directory
    assert not due(deu.directory, node, 1, Instant(half - 1)).directory


def test_a_directory_that_no_peer_accepts_yet_is_due_once_the_clock_is_right(deu: TestMember) -> None:
    node = deu.founded.node.uri
    accepted = Instant(deu.directory.issued - MAX_AHEAD)
    assert not due(deu.directory, node, 1, accepted).directory
    assert due(deu.directory, node, 1, Instant(accepted - 1)).directory


def test_sealing_keys_change_weekly_overlap_and_are_destroyed_when_nothing_can_arrive(
    deu: TestMember,
) -> None:
    node, old = deu.founded.node.uri, deu.key(KeyUse.SEALING)
    week = Instant(NOW + SEALING_PERIOD)
    assert due(deu.directory, node, 1, week).sealing
    fresh = new_key(SUITE_1, KeyUse.SEALING, deu.code, week, stream_of("week 2"))
    rotated = decode(DirectoryDocument, deu.renewed(week, add_keys=[fresh.record]).document)
    assert not due(rotated, node, 1, week).sealing
    view = view_of(deu).with_document(deu.renewed(week, add_keys=[fresh.record]), week).view
    assert view.sealing_key(deu.code, 1, week)[0] == fresh.key_id
    assert old.record.not_after == week + SEALING_OVERLAP
    gone = Instant(old.record.not_after + SEALING_GRACE)
    assert due(rotated, node, 1, Instant(gone - 1)).retired == ()
    assert due(rotated, node, 1, gone).retired == (old.key_id,)
    after = renew_directory(rotated, deu.signer(KeyUse.DIRECTORY), gone, drop_keys=[old.key_id])
    assert old.record not in decode(DirectoryDocument, after.document).keys


def test_a_signing_key_is_succeeded_long_before_it_ends(deu: TestMember) -> None:
    node = deu.founded.node.uri
    at = Instant(NOW + SIGNING_LIFETIME - SIGNING_OVERLAP)
    usual = Periods(signing=SIGNING_LIFETIME)
    assert due(deu.directory, node, 1, at, usual).signing
    assert not due(deu.directory, node, 1, Instant(at - 1), usual).signing
    by_schedule = Instant(NOW + SIGNING_PERIOD)
    assert due(deu.directory, node, 1, by_schedule).signing
    assert not due(deu.directory, node, 1, Instant(by_schedule - 1)).signing


def _directory(deu: TestMember, at: Instant, *fresh: SecretKey, **changes: Any) -> DirectoryDocument:
    signed = deu.renewed(at, add_keys=[key.record for key in fresh], **changes)
    return decode(DirectoryDocument, signed.document)


def _fresh(deu: TestMember, use: KeyUse, at: Instant, seed: str) -> SecretKey:
    node = None if use is KeyUse.SEALING else deu.founded.node.uri
    return new_key(SUITE_1, use, deu.code, at, stream_of(seed), node=node, among=deu.directory.keys)


@pytest.mark.parametrize(
    ("use", "overlap"), [(KeyUse.SIGNING, SIGNING_OVERLAP), (KeyUse.SEALING, SEALING_OVERLAP)]
)
def test_a_successor_says_until_when_the_older_key_counts(deu: TestMember, use: KeyUse, overlap: int) -> None:
    at, old = Instant(NOW + DAY), deu.key(use)
    fresh = _fresh(deu, use, at, "fresh")
    said = rotated_out(deu.directory, [fresh.record], at)
    assert [(row.subject, row.why, row.effective) for row in said] == [
        (old.key_id, Why.ROTATED, at + overlap)
    ]
    after = _directory(deu, at, fresh, revoke=said)
    assert ends(old.record, after) == at + overlap
    assert ends(fresh.record, after) == fresh.record.not_after
    assert rotated_out(after, [_fresh(deu, use, at, "another").record], at)[0].subject == fresh.key_id
    view = view_of(deu).with_document(deu.renewed(at, add_keys=[fresh.record], revoke=said), at).view
    assert [key for key, _ in view.keys_of(deu.code, use, at)] == [fresh.key_id, old.key_id]
    assert [key for key, _ in view.keys_of(deu.code, use, Instant(at + overlap))] == [fresh.key_id]


def test_keys_that_a_clock_that_was_ahead_has_made_are_left_out_with_its_directory(deu: TestMember) -> None:
    node, at = deu.founded.node.uri, Instant(NOW + DAY)
    signing, sealing = (_fresh(deu, use, at, use.name) for use in (KeyUse.SIGNING, KeyUse.SEALING))
    made = _directory(deu, at, signing, sealing, drop_keys=[deu.key(KeyUse.SEALING).key_id])
    left = without_ahead(made, NOW)
    assert set(left.keys) == set(deu.directory.keys) - {deu.key(KeyUse.SEALING).record}
    told = due(left, node, 1, NOW)
    assert (told.directory, told.sealing, told.signing) == (True, True, False)
    assert without_ahead(made, Instant(at - MAX_AHEAD)) == made, "peers know it"


@pytest.mark.parametrize("by", [8 * MINUTE, DAY])
def test_keys_of_a_clock_that_was_ahead_are_left_out_of_a_later_directory_of_the_right_time_too(
    deu: TestMember, by: int
) -> None:
    """One was stolen, and replaced before the clock was believed: its successor begins later still. And of
    keys that begin in three minutes nobody is told that they have begun.
    """
    ahead = _fresh(deu, KeyUse.SEALING, Instant(NOW + by), "ahead")
    made = _directory(deu, Instant(NOW + by), ahead, drop_keys=[deu.key(KeyUse.SEALING).key_id])
    after = new_key(SUITE_1, KeyUse.SEALING, deu.code, NOW, stream_of("after"), among=made.keys)
    now = replace(made, issued=NOW, keys=(*made.keys, after.record))
    left = without_ahead(now, NOW)
    assert set(left.keys) == set(deu.directory.keys) - {deu.key(KeyUse.SEALING).record}
    assert due(left, deu.founded.node.uri, 1, NOW).sealing


def test_secrets_end_when_nothing_needs_them(deu: TestMember) -> None:
    signing, sealing = deu.key(KeyUse.SIGNING), deu.key(KeyUse.SEALING)
    held = [key.record for key in deu.founded.keys]
    assert spent(deu.directory, held, NOW) == ()
    at = Instant(NOW + DAY)
    fresh = [_fresh(deu, use, at, use.name) for use in (KeyUse.SIGNING, KeyUse.SEALING)]
    after = _directory(deu, at, *fresh, revoke=rotated_out(deu.directory, [key.record for key in fresh], at))
    opens = Instant(at + SEALING_OVERLAP + SEALING_GRACE)
    assert spent(after, held, Instant(opens - 1)) == ()
    assert spent(after, held, opens) == (sealing.key_id,)
    assert spent(after, held, Instant(at + SIGNING_OVERLAP)) == (signing.key_id, sealing.key_id)


def test_a_compromised_secret_ends_at_once_and_one_that_is_not_yet_said_does_not(deu: TestMember) -> None:
    signing, sealing = deu.key(KeyUse.SIGNING), deu.key(KeyUse.SEALING)
    held = [key.record for key in deu.founded.keys]
    stolen = _directory(deu, NOW, revoke=[Revocation(Revoked.KEY, signing.key_id, Why.COMPROMISED, NOW)])
    assert spent(stolen, held, NOW) == (signing.key_id,)
    unsaid = _fresh(deu, KeyUse.SEALING, Instant(NOW + DAY), "killed before it was said")
    assert spent(deu.directory, [unsaid.record], Instant(NOW + DAY)) == ()
    dropped = _directory(deu, Instant(NOW + DAY), unsaid, drop_keys=[sealing.key_id])
    assert spent(dropped, held, Instant(NOW + DAY)) == (sealing.key_id,)
    assert is_compromised(signing.record, stolen)
    assert not is_compromised(sealing.record, stolen)
