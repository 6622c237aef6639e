"""Domains, key derivation, suites, and encryption at rest."""

from __future__ import annotations

import ast
import hashlib
import hmac
from collections import defaultdict
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import intelshare
from envelope_world import FRA, make_key, make_signer, make_world, stream_of, text_portion
from intelshare.crypto.pae import Domain, kdf, key_id, pae
from intelshare.crypto.records import KeyUse
from intelshare.crypto.rest import open_at_rest, open_group, seal_at_rest, seal_group
from intelshare.crypto.suites import SUITE_1, SUITE_2, Context, Suite, verify_signature
from intelshare.errors import CryptoError
from intelshare.sim.fake_suite import FAKE_SUITE
from source_files import nodes_with

SOURCE = Path(intelshare.__file__).parent
P384_ORDER = 2**384 - int("389cb27e0bc8d220a7e5f24db74f58851313e695333ad68d", 16)

SUITES_TRIED = pytest.mark.parametrize("suite", [SUITE_1, SUITE_2, FAKE_SUITE], ids=lambda suite: suite.name)


def uses_of(owner: str) -> dict[str, list[str]]:
    """Where ``owner.NAME`` is written in the source, by NAME. The judge reads all of it a second time."""
    found = defaultdict(list)
    for path, node in nodes_with(SOURCE, f"{owner}."):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name == owner:
                if path.parent.name != "verifier":
                    found[attr].append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    return found


BATCH_LOOPS = ("envelope/heads.py:", "statement/batch.py:")
"""The same constructions for batches: tests/property/test_batch_agreement.py holds them to the others."""


def test_each_domain_is_used_by_one_construction_only() -> None:
    for name, places in uses_of("Domain").items():
        in_loops = [place for place in places if place.startswith(BATCH_LOOPS)]
        assert len(in_loops) <= 1, (name, in_loops)
        assert len(places) - len(in_loops) == 1, (name, places)


def test_only_hand_over_clears_a_bulletin_for_a_recipient() -> None:
    makers = {
        str(path.relative_to(SOURCE))
        for path, node in nodes_with(SOURCE, "Cleared")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Cleared"
    }
    assert makers <= {"broker/line/handover.py"}


def test_only_crypto_imports_cryptography_and_nacl() -> None:
    importers = set()
    for path, node in nodes_with(SOURCE, "cryptography", "nacl"):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {name.split(".")[0] for name in names} & {"cryptography", "nacl"}:
            importers.add(path.relative_to(SOURCE).parts[0])
    assert importers == {"crypto"}


def test_pae_of_different_parts_never_shares_bytes() -> None:
    made = [pae(Domain.BODY), pae(Domain.BODY, b""), pae(Domain.BODY, b"", b""), pae(Domain.BODY, b"ab", b"")]
    made += [pae(Domain.BODY, b"a", b"b"), pae(Domain.BODY, b"", b"ab"), pae(Domain.LEAF, b"a", b"b")]
    made += [pae(Domain.SEALED, *[b"x"] * count) for count in (14, 15, 16, 17, 300)]
    assert len(set(made)) == len(made)
    assert pae(Domain.SEALED, *[b"x"] * 300).startswith(b"intelshare/v1" + (301).to_bytes(8, "big"))
    assert pae(Domain.BODY, bytes(5000))[-5008:-5000] == (5000).to_bytes(8, "big")


def test_kdf_is_hkdf_expand() -> None:
    key = stream_of("prk")(32)
    expected = HKDFExpand(hashes.SHA256(), 32, pae(Domain.BODY_KEY, b"a", b"bc")).derive(key)
    assert kdf(key, Domain.BODY_KEY, b"a", b"bc") == expected


def test_a_group_at_rest_is_aes_gcm_under_a_key_of_its_own_place_and_opens_nowhere_else() -> None:
    key, salt = stream_of("storage")(32), stream_of("salt")(32)
    sealed = seal_group(key, salt, b"rows", what=b"journal", place=7, epoch=3)
    info = pae(Domain.REST_GROUP, b"journal", salt, (7).to_bytes(8, "big"), (3).to_bytes(8, "big"))
    derived = HKDFExpand(hashes.SHA256(), 32, info).derive(key)
    assert sealed == salt + AESGCM(derived).encrypt(bytes(12), b"rows", b"")
    right = {"what": b"journal", "place": 7, "epoch": 3}
    assert open_group(key, sealed, **right) == b"rows"  # type: ignore[arg-type]
    spoilt = [bytes((*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :])) for at in range(len(sealed))]
    for wrong in ({"what": b"chunk"}, {"place": 8}, {"epoch": 4}):
        with pytest.raises(CryptoError, match="OPEN_FAILED"):
            open_group(key, sealed, **{**right, **wrong})  # type: ignore[arg-type]
    for other in (*spoilt, sealed[:-1], sealed[:40], b""):
        with pytest.raises(CryptoError, match="OPEN_FAILED"):
            open_group(key, other, **right)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="32 bytes"):
        seal_group(key, salt[:-1], b"rows", what=b"journal", place=7)


@SUITES_TRIED
def test_keys_signatures_and_seals_have_the_lengths_of_their_suite(suite: Suite) -> None:
    for use in KeyUse:
        record, known_as, secret = make_key("lengths", FRA, use, suite)
        assert len(record.public) == suite.public_length(use)
        assert known_as == key_id(record)
        assert make_key("lengths", FRA, use, suite)[2] == secret, (
            "all of a key comes from the randomness given"
        )
    signer = make_signer("lengths", FRA, suite=suite)
    signature = signer.sign(b"message", Context.BATCH)
    assert len(signature) == suite.signature == {1: 64 + 3309, 2: 96 + 4627}[suite.number]
    verify_signature(suite, signer.record.public, Context.BATCH, b"message", signature)


@SUITES_TRIED
def test_sealed_key_opens_under_its_own_info_only(suite: Suite) -> None:
    record, _, secret = make_key("seal", FRA, KeyUse.SEALING, suite)
    sealed = suite.seal(record.public, b"info", bytes(32))
    assert len(sealed) == suite.encapsulation + 32 == {1: 1168, 2: 1713}[suite.number]
    key = suite.load_sealing(secret)
    assert key.open(b"info", sealed) == bytes(32)
    for info, spoilt in (
        (b"other", sealed),
        (b"info", sealed[:-1]),
        (b"info", b""),
        (b"info", sealed + b"x"),
    ):
        with pytest.raises(CryptoError) as caught:
            key.open(info, spoilt)
        assert caught.value.code == "OPEN_FAILED"


@SUITES_TRIED
@pytest.mark.parametrize("change", ["message", "context", "key", "first half", "second half", "length"])
def test_signature_holds_for_nothing_else(suite: Suite, change: str) -> None:
    signer, other = make_signer("one", FRA, suite=suite), make_signer("two", FRA, suite=suite)
    signature = signer.sign(b"message", Context.BATCH)
    public = other.record.public if change == "key" else signer.record.public
    cut = {1: 64, 2: 96}[suite.number]
    spoilt = {
        "first half": bytes(cut) + signature[cut:],
        "second half": signature[:cut] + bytes(len(signature) - cut),
        "length": signature[:-1],
    }.get(change, signature)
    with pytest.raises(CryptoError) as caught:
        verify_signature(
            suite,
            public,
            Context.ROOT if change == "context" else Context.BATCH,
            b"other" if change == "message" else b"message",
            spoilt,
        )
    assert caught.value.code == "SIGNATURE_INVALID"


def test_ed25519_forgery_under_a_small_order_key_is_refused() -> None:
    signer = make_signer("small", FRA)
    signature = signer.sign(b"message", Context.BATCH)
    identity = b"\x01" + bytes(31)
    forged = identity + bytes(32) + signature[64:]
    with pytest.raises(CryptoError) as caught:
        verify_signature(SUITE_1, identity + signer.record.public[32:], Context.BATCH, b"message", forged)
    assert caught.value.code == "SIGNATURE_INVALID"


@pytest.mark.parametrize("suite", [SUITE_1, SUITE_2], ids=lambda suite: suite.name)
@pytest.mark.parametrize("use", [KeyUse.SIGNING, KeyUse.SEALING])
def test_secret_of_a_wrong_length_is_a_damaged_vault(suite: Suite, use: KeyUse) -> None:
    load = suite.load_sealing if use is KeyUse.SEALING else suite.load_signing
    with pytest.raises(CryptoError) as caught:
        load(bytes(suite.secret_length(use) - 1))
    assert caught.value.code == "KEYSTORE_CORRUPT"


@pytest.mark.parametrize(
    ("suite", "curve"),
    [
        (SUITE_1, bytes(32)),
        (SUITE_2, bytes(97)),
        (SUITE_2, b"\x04" + bytes(96)),
        (SUITE_2, b"\x02" + bytes(48)),
    ],
)
def test_public_sealing_key_whose_point_is_none_is_refused(suite: Suite, curve: bytes) -> None:
    record, _, _ = make_key("low", FRA, KeyUse.SEALING, suite)
    with pytest.raises(CryptoError) as caught:
        suite.seal(record.public[: suite.sealing_split] + curve, b"info", bytes(32))
    assert caught.value.code == "KEM_KEY_UNKNOWN"


def test_an_ecdsa_signature_has_one_encoding() -> None:
    """(r, n - s) holds in every library; here only the smaller s does, and the signer makes that one."""
    order = P384_ORDER
    signer = make_signer("low s", FRA, suite=SUITE_2)
    for number in range(8):
        message = bytes([number])
        signature = signer.sign(message, Context.BATCH)
        verify_signature(SUITE_2, signer.record.public, Context.BATCH, message, signature)
        assert int.from_bytes(signature[48:96]) <= order // 2
        other = (order - int.from_bytes(signature[48:96])).to_bytes(48)
        with pytest.raises(CryptoError, match="ECDSA"):
            verify_signature(
                SUITE_2,
                signer.record.public,
                Context.BATCH,
                message,
                signature[:48] + other + signature[96:],
            )
    secret = make_key("low s", FRA, KeyUse.SIGNING, SUITE_2)[2]
    scalar = int.from_bytes(secret[:56]) % (order - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP384R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert signer.record.public[:97] == point


def test_hpke_of_suite_2_by_the_words_of_its_draft() -> None:
    """RFC 9180 base mode over MLKEM1024-P384 (0x0051), spelled out over the two component algorithms."""
    record, _, secret = make_key("hpke", FRA, KeyUse.SEALING, SUITE_2)
    sealed = SUITE_2.seal(record.public, b"info", b"a batch key")
    enc, ct = sealed[:1665], sealed[1665:]
    order = P384_ORDER
    curve = ec.derive_private_key(int.from_bytes(secret[64:]) % (order - 1) + 1, ec.SECP384R1())
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), enc[1568:])
    shared = hashlib.sha3_256(
        mlkem.MLKEM1024PrivateKey.from_seed_bytes(secret[:64]).decapsulate(enc[:1568])
        + curve.exchange(ec.ECDH(), other)
        + enc[1568:]
        + record.public[1568:]
        + b"MLKEM1024-P384"
    ).digest()
    suite_id = b"HPKE" + bytes.fromhex("005100020002")

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite_id + label + ikm, "sha384")

    def expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        return hmac.digest(
            prk, length.to_bytes(2) + b"HPKE-v1" + suite_id + label + info + b"\x01", "sha384"
        )[:length]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"info")
    prk = extract(shared, b"secret", b"")
    key, nonce = expand(prk, b"key", context, 32), expand(prk, b"base_nonce", context, 12)
    assert AESGCM(key).decrypt(nonce, ct, b"") == b"a batch key"


def test_stored_row_opens_only_in_its_own_place() -> None:
    key, nonce = stream_of("rest")(32), stream_of("nonce")(24)
    sealed = seal_at_rest(key, nonce, b"secret", table="secrets", row=b"1", slot=0)
    assert open_at_rest(key, sealed, table="secrets", row=b"1", slot=0) == b"secret"
    places = [("claims", b"1", 0), ("secrets", b"2", 0), ("secrets", b"1", 1)]
    spoilt = [(key, sealed, *place) for place in places]
    spoilt += [(bytes(32), sealed, "secrets", b"1", 0), (key, sealed[:-1], "secrets", b"1", 0)]
    spoilt += [(key, b"short", "secrets", b"1", 0)]
    for storage_key, data, table, row, slot in spoilt:
        with pytest.raises(CryptoError) as caught:
            open_at_rest(storage_key, data, table=table, row=row, slot=slot)
        assert caught.value.code == "OPEN_FAILED"


@pytest.mark.parametrize("beside", [b"", b"another draft", b"the draf", b"the draft "])
def test_what_is_sealed_beside_other_bytes_opens_beside_the_same_only(beside: bytes) -> None:
    key, nonce, at = (
        stream_of("rest")(32),
        stream_of("nonce")(24),
        {"table": "submission", "row": b"1", "slot": 0},
    )
    sealed = seal_at_rest(key, nonce, b"answer", beside=b"the draft", **at)
    assert open_at_rest(key, sealed, beside=b"the draft", **at) == b"answer"
    with pytest.raises(CryptoError):
        open_at_rest(key, sealed, beside=beside, **at)
    with pytest.raises(CryptoError):
        open_at_rest(key, seal_at_rest(key, nonce, b"answer", **at), beside=b"the draft", **at)


def test_same_seed_gives_the_same_bytes_under_the_stand_in_suite() -> None:
    first, second = (make_world(FAKE_SUITE) for _ in range(2))
    bulletins = [world.encrypt(text_portion("x")) for world in (first, second)]
    sealed = [w.seal(w.clear(b)) for w, b in zip((first, second), bulletins, strict=True)]
    assert sealed[0] == sealed[1]


def test_secrets_are_not_shown_by_repr() -> None:
    world = make_world(FAKE_SUITE)
    bulletin = world.encrypt(text_portion("x"))
    shown = repr((bulletin, world.clear(bulletin), make_signer("repr", FRA)))
    assert repr(bulletin.portions[0].secret)[2:-1] not in shown
