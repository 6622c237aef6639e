"""The judged releases, read a second time by the words of docs/format.md: tables, hashlib, hmac and AES-GCM.

Of ``src/`` it uses the signature algorithms and HPKE alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from test_envelope_vectors import b, expand, h, spelled_pae

import format_page as page
from intelshare.crypto.suites import SUITE_1, Context
from intelshare.errors import CryptoError

JUDGED: dict[str, Any] = json.loads(Path(__file__).with_name("releases.json").read_text("utf-8"))["judged"]
KEYS = {h(spelled_pae("key", b(key))): page.read("KeyRecord", b(key)) for key in JUDGED["signers"]}
KEM = b(JUDGED["kem"]["record"])
KEM_ID = h(spelled_pae("key", KEM))


class RefusedError(Exception):
    """The code with which the page refuses."""


def need(holds: bool, code: str) -> None:
    if not holds:
        raise RefusedError(code)


def table(name: str, data: bytes) -> dict[str, Any]:
    """A record by the tables of the page."""
    try:
        return page.read(name, data)
    except (page.MalformedError, ValueError, IndexError, KeyError):
        raise RefusedError("ENVELOPE_MALFORMED") from None


def opened(key: bytes, sealed: bytes, bound: bytes = b"") -> bytes:
    try:
        return AESGCM(key).decrypt(bytes(12), sealed, bound)
    except InvalidTag:
        raise RefusedError("OPEN_FAILED") from None


def padme(length: int) -> int:
    exponent = length.bit_length() - 1
    unit = 1 << exponent - exponent.bit_length()
    return -(-length // unit) * unit


def need_padded(data: bytes, end: int, floor: int) -> None:
    need(end <= len(data), "ENVELOPE_MALFORMED")
    need(len(data) == max(floor, padme(end)) and not any(data[end:]), "ENVELOPE_MALFORMED")


def signed_by(
    kind: int, nonce: bytes, data: bytes, proof: bytes, batch: bytes
) -> tuple[dict[str, Any], bytes]:
    """The key that signed this, and the leaf id."""
    told = table("Batch", batch)
    key = KEYS.get(b(told["key"]))
    if key is None:
        raise RefusedError("SIGNER_UNKNOWN")
    suite, at = told["suite"].to_bytes(2, "big"), int(told["signed_at"]).to_bytes(8, "big")
    message = spelled_pae("batch", suite, b(told["key"]), b(told["root"]), at)
    try:
        SUITE_1.verify(b(key["public"]), Context.BATCH, message, b(told["signature"]))
    except CryptoError:
        raise RefusedError("SIGNATURE_INVALID") from None
    leaf = running = h(b"\0" + spelled_pae("leaf", bytes([kind]), nonce, data))
    for level in range(8):
        sibling = proof[1 + 32 * level : 33 + 32 * level]
        running = h(b"\1" + (sibling + running if proof[0] >> level & 1 else running + sibling))
    need(running == b(told["root"]), "BATCH_PROOF_INVALID")
    return key, leaf


def judge(case: dict[str, Any]) -> dict[str, Any]:
    """Checks 5 to 8 and 10 to 13. Raises RefusedError with the code."""
    data, nonce, batch = b(case["data"]), b(case["nonce"]), b(JUDGED["batch"])
    key, _ = signed_by(1, nonce, data, b(case["proof"]), batch)
    start = page.start("Release", data, ("origin", "incarnation", "recipient"))
    need(start["recipient"] == JUDGED["recipient"], "WRONG_RECIPIENT")
    need(start["origin"] == key["node"], "SIGNER_NOT_AUTHORISED")
    need(len(data) <= 1000, "ENVELOPE_MALFORMED")
    release = table("Release", data)
    grant, bodies = b(case["grant"]), [b(body) for body in case["bodies"]]
    batch_key = b(case.get("batch_key", JUDGED["batch_key"]))
    sealed = h(spelled_pae("sealed", batch_key, grant, *[h(body) for body in bodies]))
    need(sealed.hex() == release["sealed"], "SEALED_HASH_MISMATCH")
    need(JUDGED["at"] < int(release["deliver_by"]), "EXPIRED")
    claims, secrets = open_grant(case, release, batch_key, grant, nonce)
    return portions_of(case, release, key, claims, secrets, bodies)


def open_grant(
    case: dict[str, Any], release: dict[str, Any], batch_key: bytes, grant: bytes, nonce: bytes
) -> tuple[dict[str, Any], bytes]:
    """Check 11, and the layout of the claims."""
    need(release["kem"] == KEM_ID.hex(), "KEM_KEY_UNKNOWN")
    need("retired" not in case, "KEM_KEY_RETIRED")
    origin, recipient = release["origin"].encode(), release["recipient"].encode()
    signer = b(table("Batch", b(JUDGED["batch"]))["key"])
    info = spelled_pae("batch-key", b"\0\1", signer, origin, recipient, KEM_ID)
    try:
        secret = SUITE_1.load_sealing(b(JUDGED["kem"]["secret"])).open(info, batch_key)
    except CryptoError:
        raise RefusedError("OPEN_FAILED") from None
    incarnation, number = (int(release[name]).to_bytes(8, "big") for name in ("incarnation", "sequence"))
    key = expand(secret, "grant-key", b"\0\1", origin, incarnation, recipient, number, nonce)
    framed = opened(key, grant)
    middle = 4 + int.from_bytes(framed[:4], "big")
    end = middle + 4 + int.from_bytes(framed[middle : middle + 4], "big")
    need_padded(framed, end, 1024)
    claims, secrets = framed[4:middle], framed[middle + 4 : end]
    need(h(spelled_pae("grant", claims, h(secrets))).hex() == release["grant_digest"], "COMMITMENT_MISMATCH")
    return table("Claims", claims), secrets


def portions_of(
    case: dict[str, Any],
    release: dict[str, Any],
    key: dict[str, Any],
    claims: dict[str, Any],
    secrets: bytes,
    bodies: list[bytes],
) -> dict[str, Any]:
    """Checks 12 and 13."""
    raw = b(claims["manifest"])
    manifest, md = table("Manifest", raw), h(spelled_pae("manifest", raw))
    slots = [granted["slot"] for granted in claims["granted"]]
    need(len(set(slots)) == len(slots), "ENVELOPE_MALFORMED")
    need(max(slots) < len(manifest["commitments"]), "ENVELOPE_MALFORMED")
    need(len(bodies) == len(slots) and len(secrets) == 32 * len(slots), "ENVELOPE_MALFORMED")
    fits = (claims["recipient"], manifest["precedence"]) == (release["recipient"], release["precedence"])
    need(fits, "MANIFEST_MISMATCH")
    if manifest["originator"] != key["member"]:
        consenting = {consent_by(one, md, key["member"]) for one in claims["consents"]}
        need(manifest["originator"] in consenting, "MANIFEST_MISMATCH")
    need(JUDGED["at"] < int(manifest["expires"]), "EXPIRED")
    need(case.get("held", md.hex()) == md.hex(), "BULLETIN_EQUIVOCATION")
    parts = [secrets[place : place + 32] for place in range(0, len(secrets), 32)]
    numbers, bulletin = [slot.to_bytes(4, "big") for slot in slots], b(manifest["bulletin"])
    texts = [
        opened(expand(part, "body-key", md, slot), body, spelled_pae("body", md, slot))
        for part, slot, body in zip(parts, numbers, bodies, strict=True)
    ]
    for part, slot, place, text in zip(parts, numbers, slots, texts, strict=True):
        salt = expand(part, "portion-salt", bulletin, slot)
        made = h(spelled_pae("portion", bulletin, slot, salt, text))
        need(made.hex() == manifest["commitments"][place], "COMMITMENT_MISMATCH")
    found = []
    for text in texts:
        try:
            portion, end = page.read_start("Portion", text)
        except (page.MalformedError, ValueError, IndexError, KeyError):
            raise RefusedError("ENVELOPE_MALFORMED") from None
        need_padded(text, end, 256)
        found.append(portion)
    return {"md": md.hex(), "portions": found}


def consent_by(evidence: dict[str, Any], md: bytes, sender: str) -> str:
    """Whose consent it is, if it holds for this bulletin of this sender; else nobody's."""
    parts = [b(evidence[name]) for name in ("nonce", "data", "proof", "batch")]
    try:
        key, _ = signed_by(5, *parts)
        said = table("Consent", parts[1])
    except RefusedError:
        return ""
    fits = evidence["kind"] == "CONSENT" and (said["md"], said["to"]) == (md.hex(), sender)
    return str(key["member"]) if fits else ""


@pytest.mark.parametrize("case", JUDGED["releases"], ids=lambda case: case["id"])
def test_a_release_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    if "error" not in case:
        assert judge(case) == {name: case[name] for name in ("md", "portions")}
        return
    with pytest.raises(RefusedError) as caught:
        judge(case)
    assert str(caught.value) == case["error"]
