"""The vectors of suite 2, read by the words of docs/format.md and the drafts that it names.

Shares nothing with ``src/``: hashlib, hmac, and the component algorithms of the library (ML-KEM, ML-DSA,
P-384, X25519). HPKE and both KEMs are spelled out.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from hashlib import sha3_256, sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import format_page as page

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("suites.json").read_text())
RELEASES = {name: case for name, case in VECTORS.items() if name.startswith("release")}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973

b = bytes.fromhex


def spelled_pae(domain: str, *parts: bytes) -> bytes:
    made = b"intelshare/v1" + (len(parts) + 1).to_bytes(8)
    for part in (domain.encode(), *parts):
        made += len(part).to_bytes(8) + part
    return made


def scalar(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """56 bytes: as an integer, modulo n - 1, plus 1."""
    return ec.derive_private_key(int.from_bytes(secret) % (ORDER - 1) + 1, ec.SECP384R1())


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def verify_2(public: bytes, context: bytes, message: bytes, signature: bytes) -> None:
    r, s = int.from_bytes(signature[:48]), int.from_bytes(signature[48:96])
    if not 0 < s <= ORDER // 2:
        raise InvalidSignature
    curve = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), public[:97])
    curve.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))
    mldsa.MLDSA87PublicKey.from_public_bytes(public[97:]).verify(signature[96:], message, context)


def kem_1(secret: bytes, enc: bytes) -> bytes:
    ours = x25519.X25519PrivateKey.from_private_bytes(secret[64:])
    theirs = x25519.X25519PublicKey.from_public_bytes(enc[1088:])
    inner = mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:64]).decapsulate(enc[:1088])
    public = ours.public_key().public_bytes_raw()
    return sha3_256(inner + ours.exchange(theirs) + enc[1088:] + public + b"\\.//^\\").digest()


def kem_2(secret: bytes, enc: bytes) -> bytes:
    ours = scalar(secret[64:])
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), enc[1568:])
    inner = mlkem.MLKEM1024PrivateKey.from_seed_bytes(secret[:64]).decapsulate(enc[:1568])
    shared = ours.exchange(ec.ECDH(), theirs)
    return sha3_256(inner + shared + enc[1568:] + point(ours) + b"MLKEM1024-P384").digest()


Kem = tuple[int, str, str, Callable[[bytes, bytes], bytes]]
KEMS: dict[int, Kem] = {
    1: (1120, "647a00010002", "sha256", kem_1),
    2: (1665, "005100020002", "sha384", kem_2),
}


def hpke_open(suite: int, secret: bytes, info: bytes, sealed: bytes) -> bytes:
    """RFC 9180, base mode, one message, no AAD."""
    length, numbers, name, decapsulate = KEMS[suite]
    suite_id = b"HPKE-v1HPKE" + b(numbers)

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt, suite_id + label + ikm, name)

    def expand(prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        return hmac.digest(prk, size.to_bytes(2) + suite_id + label + context + b"\x01", name)[:size]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    prk = extract(decapsulate(secret, sealed[:length]), b"secret", b"")
    key, nonce = expand(prk, b"key", context, 32), expand(prk, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, sealed[length:], b"")


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["record"]["use"])
def test_a_key_of_suite_2_from_its_secret(case: dict[str, Any]) -> None:
    secret, public = b(case["secret"]), b(page.read("KeyRecord", b(case["bytes"]))["public"])
    if case["record"]["use"] == "SEALING":
        inner = mlkem.MLKEM1024PrivateKey.from_seed_bytes(secret[:64]).public_key()
        made = inner.public_bytes_raw() + point(scalar(secret[64:]))
    elif case["record"]["use"] == "NOTE":
        made = b"".join(
            ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            for seed in (secret[:32], secret[32:])
        )
    else:
        inner_2 = mldsa.MLDSA87PrivateKey.from_seed_bytes(secret[56:]).public_key()
        made = point(scalar(secret[:56])) + inner_2.public_bytes_raw()
    assert made == public
    assert case["key_id"] == sha256(spelled_pae("key", b(case["bytes"]))).hexdigest()


@pytest.mark.parametrize("name", RELEASES)
def test_a_batch_key_sealed_in_either_suite_opens(name: str) -> None:
    case, (signing, sealing) = RELEASES[name], (int(name[8]), int(name[13]))
    told = page.read("Release", b(case["release"]["bytes"]))
    batch = page.read("Batch", b(case["release"]["batch"]))
    kem = page.read("KeyRecord", b(case["kem"]["record"]))
    assert (batch["suite"], kem["suite"]) == (signing, sealing)
    info = spelled_pae(
        "batch-key", signing.to_bytes(2), b(batch["key"]), told["origin"].encode(), b"USA", b(told["kem"])
    )
    assert info == b(case["batch_key"]["info"])
    opened = hpke_open(sealing, b(case["kem"]["secret"]), info, b(case["batch_key"]["sealed"]))
    assert opened == b(case["batch_key"]["opened"])
    key = hmac.digest(
        opened,
        spelled_pae(
            "grant-key",
            signing.to_bytes(2),
            told["origin"].encode(),
            int(told["incarnation"]).to_bytes(8),
            b"USA",
            told["sequence"].to_bytes(8),
            b(case["release"]["nonce"]),
        )
        + b"\x01",
        "sha256",
    )
    assert key == b(case["grant"]["key"])


@pytest.mark.parametrize("name", ["batch_of_2", "release_2_to_1"])
def test_a_signature_of_suite_2_by_its_two_algorithms(name: str) -> None:
    case = VECTORS[name]
    raw = case["batch"] if name == "batch_of_2" else case["release"]["batch"]
    signer, batch = page.read("KeyRecord", b(case["signer"])), page.read("Batch", b(raw))
    known = sha256(spelled_pae("key", b(case["signer"]))).digest()
    message = spelled_pae("batch", b"\0\2", known, b(batch["root"]), batch["signed_at"].to_bytes(8))
    verify_2(b(signer["public"]), b"intelshare/v1/batch", message, b(batch["signature"]))


def test_the_judged_by_the_words_of_the_page() -> None:
    case = VECTORS["judged"]
    keys = {
        sha256(spelled_pae("key", b(key))).hexdigest(): page.read("KeyRecord", b(key)) for key in case["keys"]
    }
    for told in case["judged"]:
        batch = page.read("Batch", b(told["batch"]))
        error = ""
        if batch["suite"] not in (1, 2):
            error = "SUITE_UNKNOWN"
        elif batch["suite"] < told.get("floor", 1):
            error = "SUITE_BELOW_FLOOR"
        elif keys[batch["key"]]["suite"] != batch["suite"]:
            error = "SIGNATURE_INVALID"
        elif batch["suite"] == 2:
            message = spelled_pae(
                "batch", b"\0\2", b(batch["key"]), b(batch["root"]), batch["signed_at"].to_bytes(8)
            )
            try:
                verify_2(
                    b(keys[batch["key"]]["public"]), b"intelshare/v1/batch", message, b(batch["signature"])
                )
            except (InvalidSignature, ValueError):
                error = "SIGNATURE_INVALID"
        assert error == told.get("error", ""), told["id"]


@pytest.mark.parametrize("case", VECTORS["documents"], ids=["root", "directory"])
def test_a_document_of_suite_2(case: dict[str, Any]) -> None:
    trust, domain = page.read("Trust", b(case["trust"])), page.read("Trust", b(case["trust"]))["type"].lower()
    assert page.read(f"{domain.title()}Document", b(trust["document"])) == case["document"]
    (key,), (signature,) = case["by"], trust["signatures"]
    known = sha256(spelled_pae("key", b(key))).digest()
    message = spelled_pae(domain, b"\0\2", known, b(trust["document"]))
    assert message.hex() == case["messages"][0]
    public = b(page.read("KeyRecord", b(key))["public"])
    verify_2(public, f"intelshare/v1/{domain}".encode(), message, b(signature["signature"]))
