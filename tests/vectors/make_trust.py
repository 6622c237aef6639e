"""The trust documents, their successions and the hello of statements.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from make_envelope import plain
from statement_world import DEU, FRA, INCARNATION, NOW, SEED, SUITES, USA, World, flip, h, next_directory

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import Cancelled as Range
from intelshare.crypto.records import (
    Cosigned,
    KeyRecord,
    KeyUse,
    StreamHead,
    Trust,
)
from intelshare.crypto.suites import SUITE_1, Signer
from intelshare.ids import Incarnation, NodeUri
from intelshare.instant import DAY, SECOND, Instant
from intelshare.trust import (
    Channel,
    DocumentVersions,
    HelloPayload,
    answer_hello,
    check_answer,
    confirm_hello,
    fingerprint,
    open_hello,
    renew_root,
    sign_directory,
    sign_root,
)
from intelshare.trust.documents import (
    DirectoryDocument,
    Revocation,
    Revoked,
    RootDocument,
    Why,
    document_message,
    signatures_by,
)
from intelshare.trust.hello import Proof, Role, hello_message
from intelshare.trust.keys import new_key
from trust_world import TestMember, documents, member, view_of


def document_vectors(world: World) -> list[dict[str, Any]]:
    fra = world.fra
    made = []
    for trust, use in ((fra.founded.root, KeyUse.ROOT), (fra.founded.directory, KeyUse.DIRECTORY)):
        signer = world.of(fra, use)
        document = fra.root if use is KeyUse.ROOT else fra.directory
        made.append(
            {
                "trust": encode(Trust, trust).hex(),
                "by": [encode(KeyRecord, signer.record).hex()],
                "document": plain(document),
                "bytes": trust.document.hex(),
                "messages": [document_message(trust.type, 1, signer.key_id, trust.document).hex()],
                "signed_by": signatures_by(trust, [signer.record], SUITES),
                "fingerprint": fingerprint(trust.document) if use is KeyUse.ROOT else "",
            }
        )
    return made


def succession_vector(world: World) -> dict[str, Any]:
    fra = world.fra
    old_root, directory = world.of(fra, KeyUse.ROOT), world.of(fra, KeyUse.DIRECTORY)
    fresh = new_key(SUITE_1, KeyUse.ROOT, FRA, NOW, stream_of(f"{SEED}/root 2"))
    thief = new_key(SUITE_1, KeyUse.DIRECTORY, FRA, NOW, stream_of(f"{SEED}/thief"))
    new_root = world.signer(fresh)
    second = renew_root(fra.root, [old_root, new_root], keys=[fresh.record])
    following = next_directory(fra.directory, directory)
    held = fra.directory
    older = next_directory(replace(held, version=0), directory)
    other = next_directory(replace(held, version=held.version - 1), directory, ratified=())
    late = Instant(NOW + 8 * DAY)
    end = decode(DirectoryDocument, following.document).expires
    third = renew_root(decode(RootDocument, second.document), [old_root, new_root])
    renamed = sign_root(replace(fra.root, name="Another name"), [old_root])
    taken = sign_root(replace(fra.root, version=2, domain=world.usa.root.domain), [old_root])
    node, *_ = held.nodes
    deu = member(DEU)
    deu_root = sign_root(deu.root, [world.of(deu, KeyUse.ROOT)])

    def outside(**changes: Any) -> Trust:
        return sign_directory(replace(held, version=held.version + 1, **changes), directory)

    foreign = NodeUri(world.usa.founded.node.uri)
    away = replace(node, uri=foreign, dns=world.usa.founded.node.dns)
    stray = new_key(SUITE_1, KeyUse.SIGNING, FRA, NOW, stream_of(f"{SEED}/stray"), node=foreign)
    given = [
        ("the root held", fra.founded.root, NOW, (1, 2)),
        ("root 2, signed by both", second, NOW, (2, 2)),
        (
            "root 2 without the old key",
            replace(second, signatures=second.signatures[1:]),
            NOW,
            "TRUST_THRESHOLD",
        ),
        (
            "root 2 without the new key",
            replace(second, signatures=second.signatures[:1]),
            NOW,
            "TRUST_THRESHOLD",
        ),
        ("the directory held", fra.founded.directory, NOW, (1, 2)),
        ("the next directory", following, NOW, (1, 3)),
        ("an older directory", older, NOW, "TRUST_ROLLBACK"),
        ("another content for the version held", other, NOW, "TRUST_FORK"),
        ("signed by another key", next_directory(held, world.signer(thief)), NOW, "TRUST_THRESHOLD"),
        ("expired", following, late, "TRUST_EXPIRED"),
        ("more than 300 s ahead", following, NOW - 300 * SECOND - 1, "CLOCK_SKEW"),
        ("at its expiry", following, end, "TRUST_EXPIRED"),
        ("a moment before its expiry", following, end - 1, (1, 3)),
        ("handed over by another member", following, NOW, "NOT_AUTHORISED", USA),
        ("of a member never met", deu_root, NOW, "TRUST_FINGERPRINT", DEU),
        ("another root 1, signed like the one held", renamed, NOW, "TRUST_FORK"),
        ("another root 1, signed by nobody", replace(renamed, signatures=()), NOW, "TRUST_THRESHOLD"),
        ("root 3 before root 2", third, NOW, "TRUST_THRESHOLD"),
        ("root 2 with the domain of another", taken, NOW, "NOT_AUTHORISED"),
        ("a node outside its domain", outside(nodes=(away,)), NOW, "NOT_AUTHORISED"),
        (
            "a key of a node outside its domain",
            outside(keys=(*held.keys, stray.record)),
            NOW,
            "NOT_AUTHORISED",
        ),
        (
            "root 2, whose keys count in more than 300 s",
            second,
            fresh.record.not_before - 300 * SECOND - 1,
            "CLOCK_SKEW",
        ),
        ("root 2, whose keys count in 300 s", second, fresh.record.not_before - 300 * SECOND, (2, 2)),
    ]
    return _successions(world, documents(fra, world.usa), given)


def later_succession_vector(world: World) -> dict[str, Any]:
    """To one who holds root 2 already."""
    old_root, fresh = (
        world.of(world.fra, KeyUse.ROOT),
        new_key(SUITE_1, KeyUse.ROOT, FRA, NOW, stream_of(f"{SEED}/root 2")),
    )
    second = renew_root(world.fra.root, [old_root, world.signer(fresh)], keys=[fresh.record])
    held = [encode(Trust, second), *documents(world.fra, world.usa)]
    given = [
        ("root 1 again", world.fra.founded.root, NOW, "TRUST_ROLLBACK"),
        ("root 2 again", second, NOW, (2, 2)),
    ]
    return _successions(world, held, given)


def forgetting_succession_vector(world: World) -> dict[str, Any]:
    """To one who holds a directory in which the signing key is revoked."""
    fra, directory = world.fra, world.of(world.fra, KeyUse.DIRECTORY)
    old_root = world.of(fra, KeyUse.ROOT)
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, FRA, NOW, stream_of(f"{SEED}/directory key 2"))
    key = world.of(fra, KeyUse.SIGNING).key_id
    begun = fra.directory

    def revoking(version: int, *rows: Revocation, by: Signer = directory) -> Trust:
        return sign_directory(replace(begun, version=version, revocations=rows), by)

    rotated, later = (Revocation(Revoked.KEY, key, Why.ROTATED, Instant(NOW + n * DAY)) for n in (1, 2))
    # To leave a key out is to end it, here earlier than was said.
    rest = tuple(one for one in begun.keys if key_id(one) != key)
    without = sign_directory(replace(begun, version=begun.version + 2, keys=rest), directory)
    ended = Revocation(Revoked.KEY, key, Why.ROTATED, begun.issued)
    node = Revocation(Revoked.NODE, fra.founded.node.uri.encode(), Why.COMPROMISED, NOW)
    roots = [
        renew_root(fra.root, [old_root], directory=[*keys, fresh.record])
        for keys in ((directory.record,), ())
    ]
    held = [encode(Trust, one) for one in (fra.founded.root, revoking(begun.version + 1, rotated, node))]
    held += documents(world.usa)
    stated = [plain(rotated), plain(node)]
    here = begun.version + 1
    given = [
        ("a directory that forgot the revocations", revoking(here + 1), NOW, (1, here + 1, [plain(rotated)])),
        ("one that moves the end to later", revoking(here + 1, later), NOW, (1, here + 1, [plain(rotated)])),
        ("one that leaves the key out", without, NOW, (1, here + 1, [plain(ended)])),
        ("a root with a second directory key", roots[0], NOW, (2, here, stated)),
        ("a root with another directory key", roots[1], NOW, (2, here, stated)),
    ]
    return _successions(world, held, given)


def _successions(world: World, held: Sequence[bytes], given: Sequence[Any]) -> dict[str, Any]:
    return {
        "own": world.usa.code,
        "held": [raw.hex() for raw in held],
        "given": [
            {
                "id": name,
                "trust": encode(Trust, trust).hex(),
                "peer": peer,
                "at": at,
                **(
                    {"error": verdict}
                    if isinstance(verdict, str)
                    else dict(zip(("root", "directory", "revoked"), (*verdict, [])[:3], strict=True))
                ),
            }
            for name, trust, at, verdict, peer in [(*row, FRA)[:5] for row in given]
        ],
    }


def hello_vector(world: World) -> dict[str, Any]:
    fra, usa = world.fra, world.usa
    uris = {"dialler": fra.founded.node.uri, "acceptor": usa.founded.node.uri}
    channel = Channel(uris["dialler"], uris["acceptor"], h("TLS leaf"))
    signers = {who.code: world.of(who, KeyUse.SIGNING) for who in (fra, usa)}
    opening, nonce_a = open_hello(stream_of(f"{SEED}/nonce A"))
    head = StreamHead(FRA, Incarnation(9), Incarnation(0), 4, h("release 4"), (Range(2, 2),))
    versions = tuple(DocumentVersions(code, 1, 2) for code in (USA, FRA))
    seen = Cosigned(uris["dialler"], INCARNATION, 9, h("root of FRA"))
    payload_b = HelloPayload(NOW, (1,), versions, Incarnation(9), (head,), (seen,))
    payload_a = HelloPayload(Instant(NOW + SECOND), (1, 2), versions[::-1], INCARNATION, (), ())
    answer, _ = answer_hello(opening, channel, signers[USA], payload_b, random=stream_of(f"{SEED}/nonce B"))
    _, pending = check_answer(answer, channel, nonce_a, NOW, view=view_of(fra, usa))
    confirmation = confirm_hello(pending, signers[FRA], payload_a)

    def told(raw: bytes, role: Role, payload: HelloPayload, code: str) -> dict[str, Any]:
        proof = decode(Proof, raw)
        return {
            "proof": raw.hex(),
            "at": NOW,
            "member": code,
            "key": proof.key.hex(),
            "nonce": proof.nonce.hex(),
            "payload": plain(payload),
            "payload_bytes": proof.payload.hex(),
            "message": hello_message(role, pending, 1, proof.key, proof.payload).hex(),
        }

    theirs = decode(Proof, answer)
    mine = decode(Proof, confirmation)
    unknown, year = replace(theirs, key=h("no key")), NOW + 400 * DAY
    short = world.of(usa, KeyUse.DIRECTORY)

    def other(who: TestMember, **changes: Any) -> TestMember:
        signed = sign_directory(replace(who.directory, version=3, **changes), world.of(who, KeyUse.DIRECTORY))
        return TestMember(replace(who.founded, directory=signed))

    floored, nowhere = other(fra, suites=(1, 2), floor=2), other(usa, nodes=())
    refused = [
        ("a byte after the end", "answer", answer + b"\0", {}, "ENVELOPE_MALFORMED"),
        ("the own proof reflected", "answer", confirmation, {}, "PEER_IDENTITY_MISMATCH"),
        ("a key in no directory", "answer", encode(Proof, unknown), {}, "SIGNER_UNKNOWN"),
        (
            "a key of no node",
            "answer",
            encode(Proof, replace(theirs, key=short.key_id)),
            {},
            "PEER_IDENTITY_MISMATCH",
        ),
        ("a year later", "answer", answer, {"at": year}, "SIGNER_NOT_VALID"),
        (
            "before the key's time",
            "answer",
            answer,
            {"at": int(signers[USA].record.not_before) - 1},
            "SIGNER_NOT_VALID",
        ),
        (
            "of a suite below our floor",
            "answer",
            answer,
            {"held": [raw.hex() for raw in documents(floored, usa)]},
            "SUITE_BELOW_FLOOR",
        ),
        (
            "of a node that its directory does not name",
            "answer",
            answer,
            {"held": [raw.hex() for raw in documents(fra, nowhere)]},
            "PEER_IDENTITY_MISMATCH",
        ),
        ("under another TLS leaf", "answer", answer, {"leaf": h("another leaf").hex()}, "SIGNATURE_INVALID"),
        (
            "one bit of the payload",
            "answer",
            encode(Proof, replace(theirs, payload=flip(theirs.payload, 7))),
            {},
            "SIGNATURE_INVALID",
        ),
        (
            "of another connection",
            "confirmation",
            encode(Proof, replace(mine, nonce=h("another nonce"))),
            {},
            "SIGNATURE_INVALID",
        ),
        (
            "under another TLS leaf, too",
            "confirmation",
            confirmation,
            {"leaf": h("another leaf").hex()},
            "SIGNATURE_INVALID",
        ),
    ]
    return {
        "held": [raw.hex() for raw in documents(fra, usa)],
        "dialler": {"member": FRA, "node": uris["dialler"]},
        "acceptor": {"member": USA, "node": uris["acceptor"]},
        "leaf": channel.leaf.hex(),
        "opening": opening.hex(),
        "answer": told(answer, Role.ACCEPTOR, payload_b, USA),
        "confirmation": told(confirmation, Role.DIALLER, payload_a, FRA),
        "refused": [
            {"id": name, "is": which, "proof": raw.hex(), **changes, "error": code}
            for name, which, raw, changes, code in refused
        ],
    }
