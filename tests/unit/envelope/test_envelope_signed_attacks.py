"""Attacks that the originator itself signed (attacks.md rows 10-15, 32-49): exact codes, nothing shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from attacker import (
    Inside,
    ciphertext_for_two,
    code_of,
    flip,
    signed_again,
    with_payload,
)
from envelope_world import (
    DEU,
    FRA,
    ITA,
    LATER,
    NOW,
    USA,
    Delivery,
    World,
    make_signer,
    make_world,
    stream_of,
    text_portion,
)
from intelshare.crypto.aead import open_once
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, digest
from intelshare.crypto.records import (
    Claims,
    Consent,
    Evidence,
    Kind,
    Manifest,
    Portion,
)
from intelshare.crypto.suites import SUITE_1
from intelshare.envelope import manifest_digest
from intelshare.envelope.construct import (
    body_bound,
    body_key,
    commitment,
)
from intelshare.envelope.padding import pad
from intelshare.envelope.seal import frame_grant
from intelshare.ids import MemberCode
from intelshare.instant import MINUTE, Instant
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement import Leaf, sign_batch


@pytest.fixture(scope="module")
def real() -> World:
    return make_world(SUITE_1)


@pytest.fixture
def world() -> World:
    """Cheap: the stand-in suite, for attacks that are not on the suite's own primitives."""
    return make_world(FAKE_SUITE)


# --- 10-15: what the originator signed ---


def test_row_10_body_appended_or_removed(world: World) -> None:
    delivery = world.send("one", "two")
    bodies = delivery.payload.bodies
    for changed in ((*bodies, bodies[0]), bodies[:1], ()):
        spoilt = with_payload(delivery, bodies=changed)
        assert code_of(lambda spoilt=spoilt: world.receive(spoilt)) == "SEALED_HASH_MISMATCH"  # type: ignore[misc]


def test_row_11_bodies_or_labels_swapped(world: World) -> None:
    inside = Inside(world)
    swapped = inside.honest.payload.bodies[::-1]
    on_the_way = with_payload(inside.honest, bodies=swapped)
    assert code_of(lambda: world.receive(on_the_way)) == "SEALED_HASH_MISMATCH"
    signed = inside.deliver(encode(Claims, inside.claims), bodies=swapped)
    assert code_of(lambda: world.receive(signed)) == "OPEN_FAILED"
    relabelled = pad(encode(Portion, text_portion("second", "(U)")), 256)
    assert code_of(lambda: world.receive(inside.with_portion(relabelled, committed=False))) == (
        "COMMITMENT_MISMATCH"
    )


def test_row_12_manifest_of_another_bulletin(world: World) -> None:
    inside = Inside(world)
    other = world.encrypt(text_portion("first"), text_portion("second"), seed="other")
    assert code_of(lambda: world.receive(inside.claimed(manifest=other.manifest))) == "OPEN_FAILED"


def test_row_13_ciphertext_that_opens_under_two_keys_shows_no_byte(world: World) -> None:
    inside = Inside(world)
    second = inside.bulletin.portions[1]
    other_secret = bytes(32)
    bound = body_bound(inside.bulletin.md, second.slot)
    keys = [body_key(secret, inside.bulletin.md, second.slot) for secret in (second.secret, other_secret)]
    body = ciphertext_for_two(keys[0], keys[1], bound)
    assert open_once(keys[0], body, bound, "it") != open_once(keys[1], body, bound, "it")
    first = inside.bulletin.portions[0]
    delivery = inside.deliver(
        encode(Claims, inside.claims),
        secrets=first.secret + other_secret,
        bodies=[inside.honest.payload.bodies[0], body],
    )
    assert code_of(lambda: world.receive(delivery)) == "COMMITMENT_MISMATCH"


def test_row_14_content_that_differs_from_the_commitment_shows_no_portion_at_all(world: World) -> None:
    changed = pad(encode(Portion, text_portion("other text")), 256)
    assert code_of(lambda: world.receive(Inside(world).with_portion(changed, committed=False))) == (
        "COMMITMENT_MISMATCH"
    )


def test_row_15_malformed_release_behind_the_recipient(world: World) -> None:
    delivery = world.send()
    data = delivery.statement.data
    precedence_at = data.index(USA.encode()) + 3 + 8 + 32
    for spoilt in (
        data[:-1],
        data + b"\x00",
        data + bytes(1000),
        data[:precedence_at] + b"\x00" + data[precedence_at + 1 :],
        data[:precedence_at] + b"\x05" + data[precedence_at + 1 :],
    ):
        signed = world.sign_data(spoilt, delivery.statement.nonce)
        again = Delivery(signed.batch, signed.statements[0], delivery.payload)
        assert code_of(lambda again=again: world.receive(again)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


def test_row_15_malformed_claims_manifest_or_grant(world: World) -> None:
    inside = Inside(world)
    claims, manifest = encode(Claims, inside.claims), inside.bulletin.manifest
    framed = frame_grant(claims, inside.secrets)
    not_text = claims.replace(b"\x00\x03USA", b"\x00\x03U\xffA")
    deliveries = [
        inside.deliver(claims + b"\x00"),
        inside.deliver(claims[:-1]),
        inside.deliver(not_text),
        inside.deliver(claims, secrets=inside.secrets + bytes(1)),
        inside.deliver(claims, secrets=inside.secrets[:-1]),
        inside.deliver(claims, framed=framed[:-1] + b"\x01"),
        inside.deliver(claims, framed=framed + bytes(1)),
        inside.deliver(claims, framed=framed[:900]),
        inside.deliver(claims, framed=b"\xff\xff"),
        inside.deliver(claims, framed=b"\xff" * 1024),
        inside.claimed(manifest=manifest + b"\x00"),
        inside.claimed(manifest=manifest[:-1]),
        inside.claimed(manifest=b"\x00\x02" + manifest[2:]),
        inside.claimed(manifest=manifest.replace(b"\x00\x10", b"\x00\x11", 1) + bytes(32)),
    ]
    for delivery in deliveries:
        assert code_of(lambda delivery=delivery: world.receive(delivery)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


def test_row_15_malformed_portion_or_padding(world: World) -> None:
    record = encode(Portion, text_portion("second"))
    for padded in (
        pad(record, 256)[:-1] + b"\x01",
        pad(record, 256) + bytes(1),
        record,
        pad(b"\x06" + record[1:], 256),
        pad(record.replace(b"climate", b"climat\xff"), 256),
        bytes(256),
        b"",
    ):
        spoilt = Inside(world).with_portion(padded, committed=True)
        assert code_of(lambda spoilt=spoilt: world.receive(spoilt)) == "ENVELOPE_MALFORMED"  # type: ignore[misc]


def test_row_17_expired_or_ahead_of_our_clock(world: World) -> None:
    delivery = world.send()
    passed = signed_again(world, delivery, deliver_by=NOW)
    assert code_of(lambda: world.receive(passed)) == "EXPIRED"
    ahead = Instant(NOW - 5 * MINUTE)
    world.receive(delivery, ahead)
    assert code_of(lambda: world.receive(delivery, Instant(ahead - 1))) == "CLOCK_SKEW"
    inside = Inside(world)
    manifest = replace(decode(Manifest, inside.bulletin.manifest), expires=NOW)
    gone = inside.claimed(manifest=encode(Manifest, manifest))
    assert code_of(lambda: world.receive(gone)) == "EXPIRED"


# --- 32-49: other members ---


def test_row_32_release_of_another_node_or_bulletin_of_another_member(world: World) -> None:
    delivery = world.send()
    other_node = signed_again(world, delivery, origin="intelshare://deu.test/node/one")
    assert code_of(lambda: world.receive(other_node)) == "SIGNER_NOT_AUTHORISED"
    inside = Inside(world)
    manifest = replace(decode(Manifest, inside.bulletin.manifest), originator=DEU)
    assert code_of(lambda: world.receive(inside.claimed(manifest=encode(Manifest, manifest)))) == (
        "MANIFEST_MISMATCH"
    )


def test_row_33_release_for_another_member_even_if_malformed_behind(world: World) -> None:
    delivery = world.send()
    assert code_of(lambda: world.receive(delivery, member=ITA)) == "WRONG_RECIPIENT"
    signed = world.sign_data(delivery.statement.data[:-1], delivery.statement.nonce)
    cut = Delivery(signed.batch, signed.statements[0], delivery.payload)
    assert code_of(lambda: world.receive(cut, member=ITA)) == "WRONG_RECIPIENT"


def test_row_35_one_bulletin_id_with_two_manifests(world: World) -> None:
    bulletin = world.encrypt(text_portion("one"))
    delivery = world.deliver(world.seal(world.clear(bulletin)), 0, bulletin)
    world.receive(delivery, held=bulletin.md)
    other = manifest_digest(b"another")
    assert code_of(lambda: world.receive(delivery, held=other)) == "BULLETIN_EQUIVOCATION"


def consent_evidence(world: World, signer_of: MemberCode, **changes: Any) -> Evidence:
    signer = make_signer(f"consent/{signer_of}", signer_of, suite=FAKE_SUITE)
    world.trust.records[signer.key_id] = signer.record
    consent = replace(Consent(FRA, manifest_digest(b""), (0,), USA, LATER), **changes)
    leaf = Leaf(Kind.CONSENT, bytes(16), encode(Consent, consent))
    signed = sign_batch([leaf], signer, NOW, stream_of("consent"))
    (told,) = signed.statements
    return Evidence(told.kind, told.nonce, told.data, told.proof, signed.batch)


def test_rows_40_and_47_forwarding_needs_the_originators_own_consent(world: World) -> None:
    def forwarded(signer_of: MemberCode, *, spoilt: bool = False, **changes: Any) -> Delivery:
        inside = Inside(world)
        manifest = replace(decode(Manifest, inside.bulletin.manifest), originator=DEU)
        raw = encode(Manifest, manifest)
        evidence = consent_evidence(world, signer_of, **{"md": manifest_digest(raw), **changes})
        if spoilt:
            evidence = replace(evidence, nonce=flip(evidence.nonce, 0))
        inside.claims = replace(inside.claims, consents=(evidence,))
        texts = [pad(encode(Portion, text_portion(text)), 256) for text in ("first", "second")]
        padded = decode(Manifest, raw)
        assert padded.originator == DEU
        return inside.with_manifest(raw, texts)

    opened = world.receive(forwarded(DEU))
    assert [(one.by, one.consent.recipient) for one in opened.claimed.consents] == [(DEU, USA)]
    for refused in (
        forwarded(ITA),
        forwarded(DEU, spoilt=True),
        forwarded(DEU, to=ITA),
        forwarded(DEU, md=manifest_digest(b"another")),
    ):
        assert code_of(lambda refused=refused: world.receive(refused)) == "MANIFEST_MISMATCH"  # type: ignore[misc]
    named_another = world.receive(forwarded(DEU, recipient=ITA)).claimed.consents
    assert [one.consent.recipient for one in named_another] == [ITA], "left to policy: CONSENT_REQUIRED"


def test_row_49_short_text_of_a_withheld_portion_cannot_be_guessed(world: World) -> None:
    bulletin = world.encrypt(text_portion("granted"), text_portion("yes"))
    cleared = world.clear(bulletin)
    granted_only = replace(cleared, portions=cleared.portions[:1])
    shown = replace(bulletin, portions=bulletin.portions[:1])
    opened = world.receive(world.deliver(world.seal(granted_only), 0, shown))
    manifest, withheld = opened.claimed.manifest, bulletin.portions[1]
    guess = pad(encode(Portion, text_portion("yes")), 256)
    right = commitment(withheld.secret, manifest.bulletin, withheld.slot, guess)
    assert right == manifest.commitments[withheld.slot], "the guess is right, with the secret"
    received = [*opened.claimed.secrets, manifest.bulletin, opened.claimed.md, bytes(32)]
    for secret in received:
        assert commitment(secret.ljust(32, b"\0"), manifest.bulletin, withheld.slot, guess) != right
    place = withheld.slot.to_bytes(4, "big")
    for salt in (b"", *received):
        assert digest(Domain.PORTION, manifest.bulletin, place, salt, guess) != right
