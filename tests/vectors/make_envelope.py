"""Make tests/vectors/envelope.json anew: ``python tests/vectors/make_envelope.py``.

All randomness comes from one stated seed, but for ML-DSA signatures and HPKE encapsulations, which the
library draws itself: the vectors carry those bytes to be verified and opened. Only run it when the format
changes, and that is a new version of the format.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from envelope_world import FRA, NOW, USA, make_key, make_signer, make_world, stream_of, text_portion
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import Domain, kdf, pae, sha256
from intelshare.crypto.pieces import PLAIN, PieceCipher, piece_count, pieces_id
from intelshare.crypto.records import (
    Attachment,
    Claims,
    KeyRecord,
    KeyUse,
    Kind,
    Manifest,
    Portion,
    Receipt,
    ReceiptStatus,
)
from intelshare.crypto.suites import SUITE_1, Suite
from intelshare.envelope.construct import batch_key_info, body_key, commitment, grant_key
from intelshare.envelope.padding import PORTION_FLOOR, pad, padded_length
from intelshare.statement import Leaf, leaf_id, sign_batch

PATH = Path(__file__).with_name("envelope.json")
SEED = "vectors"


def plain(value: Any) -> Any:
    """A record as JSON: bytes in hex, enums by name, integers over 2^53 as text."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, int) and value >= 2**53:
        return str(value)
    return value


def pae_vectors() -> list[dict[str, Any]]:
    cases = [(Domain.BODY, []), (Domain.BODY, [b""]), (Domain.LEAF, [b"\x01", bytes(16), b"abc"])]
    return [
        {"domain": domain.value.decode(), "parts": [p.hex() for p in parts], "pae": pae(domain, *parts).hex()}
        for domain, parts in cases
    ]


def key_vectors(suite: Suite = SUITE_1) -> list[dict[str, Any]]:
    made = []
    for use in KeyUse:
        record, known_as, secret = make_key(SEED, FRA, use, suite)
        made.append(
            {
                "secret": secret.hex(),
                "record": plain(record),
                "bytes": encode(KeyRecord, record).hex(),
                "key_id": known_as.hex(),
            }
        )
    return made


def batch_vector(leaves: list[Leaf], suite: Suite = SUITE_1) -> dict[str, Any]:
    signer = make_signer(SEED, FRA, suite=suite)
    signed = sign_batch(leaves, signer, NOW, stream_of(f"{SEED}/batch"))
    return {
        "signer": encode(KeyRecord, signer.record).hex(),
        "batch": signed.batch.hex(),
        "statements": [
            {
                "kind": told.kind.name,
                "nonce": told.nonce.hex(),
                "data": told.data.hex(),
                "leaf_id": leaf.hex(),
                "proof": told.proof.hex(),
            }
            for told, leaf in zip(signed.statements, signed.leaves, strict=True)
        ],
    }


def receipt_leaf(number: int) -> Leaf:
    receipt = Receipt(USA, leaf_id(Kind.RELEASE, bytes(16), bytes([number])), ReceiptStatus.ACCEPTED, (), NOW)
    return Leaf(Kind.RECEIPT, stream_of(f"{SEED}/nonce/{number}")(16), encode(Receipt, receipt))


def release_vector(suite: Suite = SUITE_1, sealing: Suite = SUITE_1) -> dict[str, Any]:
    """A release signed in one suite and sealed to a key of one that may be another."""
    world = make_world(suite, SEED, sealing)
    portions = (text_portion("Drought in the north.", "(S//REL TO USA)"), text_portion("Title", "(U)"))
    bulletin = world.encrypt(*portions)
    batch = world.seal(world.clear(bulletin))
    (sealed,) = batch.releases
    kem_secret = make_key(f"{SEED}/USA", USA, KeyUse.SEALING, sealing)[2]
    release = sealed.release
    info = batch_key_info(suite.number, world.signer.key_id, release.origin, USA, world.kem_id)
    batch_key = world.opener_keys[world.kem_id].key.open(info, batch.batch_keys[world.kem_id])
    cleared = sealed.cleared
    claims = Claims(
        bulletin.manifest,
        USA,
        tuple(portion.granted for portion in cleared.portions),
        cleared.banner,
        cleared.supersedes,
        cleared.reply,
        cleared.decision,
        cleared.consents,
    )
    secrets = b"".join(portion.secret for portion in bulletin.portions)
    stream = (release.origin, release.incarnation, release.recipient)
    return {
        "signer": encode(KeyRecord, world.signer.record).hex(),
        "kem": {
            "record": encode(KeyRecord, world.kem).hex(),
            "key_id": world.kem_id.hex(),
            "secret": kem_secret.hex(),
        },
        "manifest": {
            "record": plain(decode(Manifest, bulletin.manifest)),
            "bytes": bulletin.manifest.hex(),
            "md": bulletin.md.hex(),
        },
        "portions": [
            {
                "record": plain(portion),
                "padded": pad(encode(Portion, portion), PORTION_FLOOR).hex(),
                "slot": made.slot,
                "secret": made.secret.hex(),
                "salt": kdf(
                    made.secret, Domain.PORTION_SALT, bulletin.bulletin, made.slot.to_bytes(4, "big")
                ).hex(),
                "commitment": commitment(
                    made.secret, bulletin.bulletin, made.slot, pad(encode(Portion, portion), PORTION_FLOOR)
                ).hex(),
                "body_key": body_key(made.secret, bulletin.md, made.slot).hex(),
                "body": made.body.hex(),
            }
            for portion, made in zip(portions, bulletin.portions, strict=True)
        ],
        "batch_key": {
            "info": info.hex(),
            "sealed": batch.batch_keys[world.kem_id].hex(),
            "opened": batch_key.hex(),
        },
        "grant": {
            "claims": plain(claims),
            "claims_bytes": encode(Claims, claims).hex(),
            "secrets_digest": sha256(secrets).hex(),
            "key": grant_key(batch_key, suite.number, stream, release.sequence, sealed.statement.nonce).hex(),
            "ciphertext": sealed.grant.hex(),
        },
        "release": {
            "record": plain(release),
            "bytes": sealed.statement.data.hex(),
            "nonce": sealed.statement.nonce.hex(),
            "leaf_id": sealed.leaf.hex(),
            "proof": sealed.statement.proof.hex(),
            "batch": batch.batch.hex(),
        },
    }


def attachment_vectors() -> list[dict[str, Any]]:
    return [_attachment(size) for size in (0, 1, PLAIN, PLAIN + 1)] + _opened_attachments()


def _attachment(size: int) -> dict[str, Any]:
    draw = stream_of(f"{SEED}/attachment/{size}")
    key, header = draw(32), draw(24)
    cipher, content = PieceCipher(key, header), (bytes(range(251)) * (size // 251 + 1))[:size]
    count = piece_count(size)
    digests = tuple(
        [sha256(cipher.seal(content[n * PLAIN : (n + 1) * PLAIN], last=n == count - 1)) for n in range(count)]
    )
    return {
        "size": size,
        "key": key.hex(),
        "header": header.hex(),
        "attachment": encode(Attachment, Attachment(size, key, header, digests)).hex(),
        "pieces_id": pieces_id(digests).hex(),
    }


def _opened_attachments() -> list[dict[str, Any]]:
    draw = stream_of(f"{SEED}/attachment")
    key, header = draw(32), draw(24)
    whole = PieceCipher(key, header).seal(b"Annex", last=True)
    open_ended = PieceCipher(key, header).seal(b"Annex", last=False)

    def case(piece: bytes, given: bytes, size: int = 5, count: int = 1) -> dict[str, Any]:
        record = Attachment(size, key, header, (sha256(piece),) * count)
        return {"size": size, "attachment": encode(Attachment, record).hex(), "given": [given.hex()]}

    return [
        case(whole, whole) | {"content": b"Annex".hex()},
        case(whole, whole[:-1] + bytes([whole[-1] ^ 1])) | {"error": "COMMITMENT_MISMATCH"},
        case(whole[:-1], whole[:-1]) | {"error": "OPEN_FAILED"},
        case(open_ended, open_ended) | {"note": "it does not end here", "error": "OPEN_FAILED"},
        case(whole, whole, count=2) | {"error": "ENVELOPE_MALFORMED"},
        case(whole, whole, size=PLAIN + 1) | {"error": "ENVELOPE_MALFORMED"},
        case(whole, whole, size=(2 << 30) + 1, count=2049) | {"error": "ENVELOPE_MALFORMED"},
    ]


def main() -> None:
    lengths = [0, 256, 257, 1000, 1023, 1024, 1025, 2100, 70_000]
    vectors = {
        "seed": SEED,
        "at": NOW,
        "pae": pae_vectors(),
        "padding": [[n, padded_length(n, 256), padded_length(n, 1024)] for n in lengths],
        "keys": key_vectors(),
        "batch_of_1": batch_vector([receipt_leaf(1)]),
        "batch_of_3": batch_vector([receipt_leaf(n) for n in (1, 2, 3)]),
        "release": release_vector(),
        "attachments": attachment_vectors(),
    }
    PATH.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
