"""attacks.md against the real steps: exact code, rejected or refused, nothing else disturbed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from attacker import flip
from builders import NOW, STIX_MEDIA, draft, marked_red, seeded, text
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.kernel.tables import INBOX, INCOMING, PORTION
from intelshare.broker.line.receive import Arrival, receive
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import Batch, Kind, PortionKind, Recall, Receipt, ReceiptStatus, Release
from intelshare.envelope import MAX_RELEASE, stream_start
from intelshare.envelope.construct import body_digest, sealed_digest
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import MINUTE, Instant
from intelshare.policy import compile_world
from intelshare.statement import Leaf, VerifiedRoots, sign_batch
from line_world import (
    LATER,
    TO_BOTH,
    TO_USA,
    Forger,
    arrive,
    codes,
    hand_over,
    log_of,
    met,
    only,
    pair_of,
    released,
    rows,
    said,
    send,
    signed,
    with_law,
    world_with,
)

USA = MemberCode("USA")


@pytest.fixture(name="members")
def _members() -> Any:
    return met()


@pytest.fixture(name="fra")
def _fra(members: Any) -> Any:
    return members["FRA"]


@pytest.fixture(name="usa")
def _usa(members: Any) -> Any:
    return members["USA"]


def rejected(members: Any, frame: Frame, *, by: str = "FRA", to: str = "USA", at: Instant = NOW) -> str:
    """The code; no receipt, nothing kept but evidence and one log entry."""
    member = members[to]
    inbox, logged = rows(member, INBOX), len(log_of(member))
    taken = arrive(member, members[by], frame, at=at)
    assert taken.effects.outbound == ()
    assert rows(member, INBOX) == inbox
    assert log_of(member)[logged:] == [EntryType.REJECTED]
    (code,) = codes(taken)
    return code


def refusal(members: Any, frame: Frame, *, at: Instant = NOW) -> tuple[str, ...]:
    """The codes of the signed refusal; the frame is acknowledged, the content is not kept."""
    usa = members["USA"]
    inbox, portions, logged = rows(usa, INBOX), rows(usa, PORTION), len(log_of(usa))
    taken = arrive(usa, members["FRA"], frame, at=at)
    assert codes(taken) == [""]
    ((status, why),) = said(taken)
    assert status == "REFUSED"
    assert (rows(usa, INBOX), rows(usa, PORTION)) == (inbox, portions)
    assert log_of(usa)[logged:] == [EntryType.RECEIVED]
    return why


def with_batch(frame: Frame, **changes: Any) -> Frame:
    return replace(frame, batch=encode(Batch, replace(decode(Batch, frame.batch), **changes)))


def spoilt(frame: Frame, how: str) -> Frame:
    """One bit or part changed on the way."""
    carried, batch = frame.statements[0], decode(Batch, frame.batch)
    changed = {
        "root": lambda: with_batch(frame, root=flip(batch.root, 0)),
        "signed-at": lambda: with_batch(frame, signed_at=batch.signed_at ^ 1),
        "signature, first half": lambda: replace(frame, batch=flip(frame.batch, -1)),
        "signature, second half": lambda: replace(frame, batch=flip(frame.batch, -3000)),
        "key id": lambda: with_batch(frame, key=flip(batch.key, 3)),
        "suite": lambda: replace(frame, batch=b"\x00\x77" + frame.batch[2:]),
        "release": lambda: only(frame, data=flip(carried.data, -1)),
        "nonce": lambda: only(frame, nonce=flip(carried.nonce, 0)),
        "position": lambda: only(frame, proof=flip(carried.proof, 0)),
        "sibling": lambda: only(frame, proof=flip(carried.proof, 9)),
        "other kind": lambda: only(frame, kind=Kind.RECEIPT),
        "7 siblings": lambda: only(frame, proof=carried.proof[:-32]),
        "9 siblings": lambda: only(frame, proof=carried.proof + bytes(32)),
        "nonce too short": lambda: only(frame, nonce=carried.nonce[:-1]),
        "no such kind": lambda: only(frame, kind=99),
        "batch key": lambda: replace(frame, batch_key=flip(frame.batch_key, 5)),
        "no batch key": lambda: replace(frame, batch_key=b""),
        "grant": lambda: only(frame, grant=flip(carried.grant, 5)),
        "body": lambda: only(frame, bodies=(flip(carried.bodies[0], 5),)),
        "a body more": lambda: only(frame, bodies=(*carried.bodies, b"x")),
        "no body": lambda: only(frame, bodies=()),
    }
    return changed[how]()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("root", "SIGNATURE_INVALID"),
        ("signed-at", "SIGNATURE_INVALID"),
        ("signature, first half", "SIGNATURE_INVALID"),
        ("signature, second half", "SIGNATURE_INVALID"),
        ("key id", "SIGNER_UNKNOWN"),
        ("suite", "SUITE_UNKNOWN"),
        ("release", "BATCH_PROOF_INVALID"),
        ("nonce", "BATCH_PROOF_INVALID"),
        ("position", "BATCH_PROOF_INVALID"),
        ("sibling", "BATCH_PROOF_INVALID"),
        ("other kind", "BATCH_PROOF_INVALID"),
        ("7 siblings", "ENVELOPE_MALFORMED"),
        ("9 siblings", "ENVELOPE_MALFORMED"),
        ("nonce too short", "ENVELOPE_MALFORMED"),
        ("no such kind", "ENVELOPE_MALFORMED"),
        ("batch key", "SEALED_HASH_MISMATCH"),
        ("no batch key", "SEALED_HASH_MISMATCH"),
        ("grant", "SEALED_HASH_MISMATCH"),
        ("body", "SEALED_HASH_MISMATCH"),
        ("a body more", "SEALED_HASH_MISMATCH"),
        ("no body", "SEALED_HASH_MISMATCH"),
    ],
)
def test_rows_1_2_3_8_10_92_93_damage_on_the_way_is_rejected_and_the_honest_copy_then_accepted(
    members: Any, fra: Any, usa: Any, how: str, code: str
) -> None:
    frame = released(members)
    assert rejected(members, spoilt(frame, how)) == code
    assert said(arrive(usa, fra, frame)) == [("ACCEPTED", ())]


@pytest.mark.parametrize(("how", "code"), [("signature, first half", "SIGNATURE_INVALID")])
def test_row_1_also_when_the_genuine_batch_is_known(
    members: Any, fra: Any, usa: Any, how: str, code: str
) -> None:
    for place in range(2):
        send(fra, draft(text(TO_USA, str(place)), to=["USA"]), key=str(place))
    (outbound,) = hand_over(fra, "USA")
    first, second = (replace(outbound.frame, statements=(s,)) for s in outbound.frame.statements)
    assert said(arrive(usa, fra, first)) == [("ACCEPTED", ())]
    assert rejected(members, spoilt(second, how)) == code


def test_row_17_the_clock_of_the_sender_ten_minutes_ahead_heals_with_a_retry(
    members: Any, fra: Any, usa: Any
) -> None:
    frame = Forger(members).frame(at=Instant(NOW + 10 * MINUTE))
    assert rejected(members, frame) == "CLOCK_SKEW"
    assert said(arrive(usa, fra, frame, at=Instant(NOW + 6 * MINUTE))) == [("ACCEPTED", ())]


@pytest.mark.parametrize("field", ["deliver_by", "expires"])
def test_row_17_what_comes_too_late_is_refused(members: Any, field: str) -> None:
    frame = Forger(members).frame(**{field: LATER})
    assert refusal(members, frame, at=LATER) == ("EXPIRED",)


def test_rows_19_31_a_member_hands_over_nobodys_statements_but_its_own(members: Any) -> None:
    frame = released(members)
    assert rejected(members, frame, by="KEN") == "NOT_AUTHORISED"
    receipt = Receipt(MemberCode("FRA"), pair_of(members["FRA"]).leaf, ReceiptStatus.ACCEPTED, (), NOW)
    relayed = signed(members["USA"], Kind.RECEIPT, receipt)
    assert rejected(members, relayed, by="KEN", to="FRA") == "NOT_AUTHORISED"


def test_row_33_a_release_for_another_member_is_rejected_and_nothing_is_signed(members: Any) -> None:
    frame = released(members, TO_BOTH, "KEN")
    assert rejected(members, frame) == "WRONG_RECIPIENT"
    release = decode(Release, frame.statements[0].data)
    data = encode(Release, replace(release, sequence=7)) + b"behind the recipient"
    assert rejected(members, signed(members["FRA"], Kind.RELEASE, data)) == "WRONG_RECIPIENT"


def test_row_32_a_release_that_names_another_node_as_its_origin(members: Any) -> None:
    release = decode(Release, released(members).statements[0].data)
    lying = replace(release, origin=members["KEN"].node.uri)
    assert rejected(members, signed(members["FRA"], Kind.RELEASE, lying)) == "SIGNER_NOT_AUTHORISED"


def test_rows_32_47_a_bulletin_of_another_originator_without_its_consent(members: Any) -> None:
    assert refusal(members, Forger(members).frame(originator="KEN")) == ("MANIFEST_MISMATCH",)


def test_row_15_a_release_that_does_not_parse_behind_its_recipient_is_refused(members: Any) -> None:
    release = decode(Release, released(members).statements[0].data)
    data = encode(Release, release) + b"\x00"
    assert refusal(members, signed(members["FRA"], Kind.RELEASE, data)) == ("ENVELOPE_MALFORMED",)


def test_row_77_a_release_of_more_than_a_kilobyte_is_malformed(members: Any) -> None:
    release = decode(Release, released(members).statements[0].data)
    data = encode(Release, release) + bytes(MAX_RELEASE)
    assert refusal(members, signed(members["FRA"], Kind.RELEASE, data)) == ("ENVELOPE_MALFORMED",)


def test_row_35_one_bulletin_id_with_two_contents(members: Any, fra: Any, usa: Any) -> None:
    forger = Forger(members)
    one = forger.frame(text(TO_USA, "one"), bulletin_seed="same")
    two = forger.frame(text(TO_USA, "two"), bulletin_seed="same")
    assert said(arrive(usa, fra, one)) == [("ACCEPTED", ())]
    assert refusal(members, two) == ("BULLETIN_EQUIVOCATION",)


def test_row_35_also_within_one_frame(members: Any, fra: Any, usa: Any) -> None:
    contents = [[text(TO_USA, "one")], [text(TO_USA, "two")]]
    taken = arrive(usa, fra, Forger(members).together(contents, bulletin_seed="same"))
    assert said(taken) == [("ACCEPTED", ()), ("REFUSED", ("BULLETIN_EQUIVOCATION",))]
    assert len(rows(usa, INBOX)) == 1


REFUSE = '[[refuse]]\nid = "personal"\nwhen = { flags = ["personal-data"] }\nsource = "invented"\n'


def test_row_36_the_recipients_own_law_refuses_with_its_reasons(members: Any, usa: Any) -> None:
    with_law(usa, REFUSE)
    why = refusal(members, Forger(members).frame(text(TO_USA, flags=("personal-data",))))
    assert why == ("POLICY_DENIED", "RECIPIENT_LAW_FORBIDS")


def test_row_36_one_denied_portion_refuses_the_whole_bulletin(members: Any, usa: Any) -> None:
    with_law(usa, REFUSE)
    frame = Forger(members).frame(text(TO_USA, "fine"), text(TO_USA, "not", flags=("personal-data",)))
    assert refusal(members, frame)[0] == "POLICY_DENIED"


def test_row_36_what_the_label_keeps_from_us_is_refused(members: Any) -> None:
    why = refusal(members, Forger(members).frame(text("//FRA SECRET//REL TO FRA, KEN")))
    assert why == ("POLICY_DENIED", "NOT_RELEASABLE_TO")


def test_row_37_a_citation_of_another_text_than_was_ratified(members: Any, usa: Any) -> None:
    world = usa.node.world
    texts = {member: dict(found) for member, found in world.texts.items()}
    texts["USA"]["gsa-fra-usa"] = "sha256:" + "00" * 32
    usa.node = replace(
        usa.node,
        world=compile_world(
            world.registry, world.members, [t for t in world.treaties if t.id == "gsa-fra-usa"], (), texts
        ),
    )
    assert refusal(members, Forger(members).frame()) == ("POLICY_DENIED", "TEXT_MISMATCH")


def test_row_38_a_citation_of_a_treaty_that_no_longer_binds(members: Any, usa: Any) -> None:
    usa.node = replace(usa.node, world=world_with(usa.node, without=["gsa-fra-usa", "demo-climate"]))
    assert refusal(members, Forger(members).frame()) == ("POLICY_DENIED", "NO_TREATY")


@pytest.mark.parametrize(
    "how",
    [{"text_hash": b"\x01" * 32}, {"article": "art. 99"}, {"cite": "demo-climate", "article": "art. 2"}],
)
def test_row_39_allowed_but_on_another_basis_than_the_one_cited(members: Any, how: dict[str, Any]) -> None:
    assert refusal(members, Forger(members).frame(**how)) == ("TREATY_MISMATCH",)


def test_row_39_no_citation_at_all_is_another_basis_too(members: Any) -> None:
    assert refusal(members, Forger(members).frame(cite=None)) == ("TREATY_MISMATCH",)


def test_row_40_a_foreign_label_in_an_own_bulletin_needs_the_originators_consent(members: Any) -> None:
    frame = Forger(members).frame(text("//DEU GEHEIM//REL TO DEU, FRA, USA"))
    assert "CONSENT_REQUIRED" in refusal(members, frame)


@pytest.mark.parametrize(
    ("label", "banner", "why"),
    [
        ("//FRA SECRET\x01//REL TO FRA, USA", "//FRA SECRET", ("LABEL_INVALID",)),
        ("", "//FRA SECRET", ("LABEL_INVALID",)),
        ("//FRA GEHEIMST//REL TO FRA, USA", "//FRA SECRET", ("POLICY_DENIED", "UNKNOWN_LEVEL")),
        ("//FRA SECRET//REL TO FRA, XQZ", "//FRA SECRET", ("POLICY_DENIED", "UNKNOWN_MEMBER")),
        (TO_USA, "//FRA DIFFUSION RESTREINTE", ("BANNER_MISMATCH",)),
        (TO_USA, "no banner", ("BANNER_MISMATCH",)),
    ],
)
def test_row_16_labels_and_banner(members: Any, label: str, banner: str, why: tuple[str, ...]) -> None:
    assert refusal(members, Forger(members).frame(text(label), banner=banner)) == why


@pytest.mark.parametrize(
    ("content", "more", "why"),
    [
        ('{"not stix": tru', {"kind": PortionKind.STIX}, ("INPUT_INVALID",)),
        (marked_red(), {"kind": PortionKind.STIX}, ("MARKING_CONFLICT",)),
        (marked_red(), {"media": STIX_MEDIA}, ("MARKING_CONFLICT",)),
    ],
)
def test_row_71_stix_that_a_sender_did_not_check_is_refused_here(
    members: Any, content: str, more: dict[str, Any], why: tuple[str, ...]
) -> None:
    assert refusal(members, Forger(members).frame(text(TO_USA, content, **more))) == why


def test_row_89_a_grant_under_another_number_or_incarnation(members: Any, fra: Any) -> None:
    forger = Forger(members)
    honest = forger.frame()
    carried = honest.statements[0]
    release = decode(Release, carried.data)
    moved = _resigned(fra, honest, replace(release, sequence=9))
    assert refusal(members, moved) == ("OPEN_FAILED",)


def test_row_4_what_opens_to_nothing_is_refused(members: Any, fra: Any) -> None:
    honest = Forger(members).frame()
    release = decode(Release, honest.statements[0].data)
    grant = flip(honest.statements[0].grant, 3)
    assert refusal(members, _resigned(fra, honest, release, grant=grant)) == ("OPEN_FAILED",)


def test_a_key_that_is_not_ours_is_unknown(members: Any, fra: Any, usa: Any) -> None:
    frame = released(members)
    usa.node = replace(usa.node, sealing={})
    assert refusal(members, frame) == ("KEM_KEY_UNKNOWN",)


def test_row_91_no_other_key_signs_statements(members: Any, fra: Any, usa: Any) -> None:
    known = key_id(usa.node.trust.members[MemberCode("FRA")].root.keys[0])
    assert rejected(members, with_batch(released(members), key=known)) == "SIGNER_NOT_AUTHORISED"


def test_a_refused_number_is_no_hole_and_the_stream_goes_on(members: Any, fra: Any, usa: Any) -> None:
    forger = Forger(members)
    refusal(members, forger.frame(cite=None))
    assert said(arrive(usa, fra, forger.frame())) == [("ACCEPTED", ())]
    (row,) = [row for row in rows(usa, INCOMING) if row.member == "FRA"]
    assert (row.last, row.holes) == (2, b"")


def test_the_first_number_of_a_stream_names_its_start_also_when_it_comes_late(
    members: Any, fra: Any, usa: Any
) -> None:
    forger = Forger(members)
    start = forger.tip
    one = forger.frame(
        tip=replace(start, head=stream_start(fra.node.uri, start.incarnation, MemberCode("KEN")))
    )
    forger.frame()
    two = forger.frame()
    assert said(arrive(usa, fra, two)) == [("ACCEPTED", ())]
    assert rejected(members, one) == "SEQUENCE_FORK"


def test_a_refusal_carries_codes_and_never_text(members: Any, usa: Any) -> None:
    with_law(usa, REFUSE)
    frame = Forger(members).frame(text(TO_USA, "CANARY", flags=("personal-data",)))
    taken = arrive(usa, members["FRA"], frame)
    receipt = decode(Receipt, taken.effects.outbound[0].frame.statements[0].data)
    assert all(code.isupper() for code in receipt.codes)
    assert b"CANARY" not in taken.effects.outbound[0].frame.statements[0].data


def _resigned(fra: Any, frame: Frame, release: Release, **changes: Any) -> Frame:
    """Signed again by FRA, with ``sealed`` over what is sent, under the same nonce."""
    carried = replace(frame.statements[0], **changes)
    sealed = sealed_digest(frame.batch_key, carried.grant, [body_digest(body) for body in carried.bodies])
    data = encode(Release, replace(release, sealed=sealed))
    batch = sign_batch([Leaf(Kind.RELEASE, carried.nonce, data)], fra.node.signer, NOW, seeded("resigned"))
    made = batch.statements[0]
    again = replace(carried, data=made.data, proof=made.proof)
    return replace(frame, batch=batch.batch, statements=(again,))


def test_rows_1_83_a_forged_batch_costs_one_check_and_not_one_for_each_of_its_statements(
    members: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, usa = members["FRA"], members["USA"]
    checks: list[bytes] = []
    module: Any = sys.modules[VerifiedRoots.__module__]
    checked = module.verify_signature

    def count(*given: Any) -> None:
        checks.append(given[-1])
        checked(*given)

    monkeypatch.setattr(module, "verify_signature", count)
    leaves = [
        Leaf(Kind.RECALL, bytes([n]) * 16, encode(Recall, Recall(USA, ManifestDigest(bytes([n]) * 32), "x")))
        for n in range(40)
    ]
    made = sign_batch(leaves, fra.node.signer, NOW, seeded("forged"))
    carried = tuple(Carried(one.kind, one.nonce, one.data, one.proof) for one in made.statements)
    for bit in (1, 2):
        forged = Frame(made.batch[:-1] + bytes([made.batch[-1] ^ bit]), b"", carried)
        taken = usa.do(receive, Arrival(fra.node.member, fra.node.uri, forged))
        assert codes(taken) == ["SIGNATURE_INVALID"] * 40
        assert len(checks) == bit
    honest = usa.do(receive, Arrival(fra.node.member, fra.node.uri, Frame(made.batch, b"", carried)))
    assert codes(honest) == [""] * 40
    assert len(checks) == 3
