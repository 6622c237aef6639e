"""Make tests/vectors/bundles.json: ``python tests/vectors/make_bundles.py``. Other bytes each time, for HPKE
and ML-DSA draw their own randomness; ``test_bundle_vectors.py`` reads what is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from make_envelope import plain
from statement_world import FRA, INCARNATION, NOW, SEED, SUITES, USA, h

from envelope_world import stream_of
from intelshare.audit.path import LogAsk
from intelshare.broker.kernel.frame import Ack, Acks, Carried, Frame, Gap, Outbound
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Kind, Recall, StreamHead
from intelshare.crypto.suites import Signer
from intelshare.envelope import padded_length, stream_start
from intelshare.envelope.bundle import CHUNK, FLOOR, MAGIC, BundleWriter
from intelshare.ids import Incarnation, MemberCode, ReleaseNumber
from intelshare.instant import DAY, HOUR, Instant
from intelshare.statement import Leaf, sign_batch
from intelshare.trust import HelloPayload
from intelshare.trust.courier import BundleHead, SignedHead, head_message, own_documents, sign_head
from intelshare.wire import link_message
from trust_world import TestMember, documents, member, view_of

PATH = Path(__file__).with_name("bundles.json")
DEU = MemberCode("DEU")


def make() -> dict[str, Any]:
    """All of the file."""
    fra, usa, deu = member(FRA), member(USA), member(DEU)
    signer = fra.signer(KeyUse.SIGNING)
    sealing = usa.key(KeyUse.SEALING)
    head = BundleHead(USA, hello(fra))
    count = iter(range(1000))

    def bundle(
        messages: Sequence[bytes],
        *,
        to: MemberCode = USA,
        said: BundleHead = head,
        by: Signer = signer,
        of: TestMember = fra,
        signed: bytes | None = None,
    ) -> bytes:
        writer = BundleWriter(
            to, (key_id(sealing.record), sealing.record), SUITES, stream_of(f"{SEED}/bundle {next(count)}")
        )
        prefix = writer.prefix if signed is None else signed
        first = sign_head(prefix, of.founded.node.uri, own_documents(view_of(of)), said, by)
        parts = [writer.prefix, writer.add(first), *map(writer.add, messages), writer.finish()]
        return b"".join(parts)

    inside = contents(fra, signer)
    genuine = bundle(inside)
    prefix = genuine[: len(MAGIC) + 2 + SUITES[1].encapsulation + 32 + 24]
    first = sign_head(prefix, fra.founded.node.uri, own_documents(view_of(fra)), head, signer)
    end = len(prefix)
    late = Instant(NOW + 400 * DAY)
    zeros = padded_length(len(first) + 8, FLOOR) - len(first) - 4
    refused: list[dict[str, Any]] = [
        {"id": "nothing", "cut": 0, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "cut in the prefix", "cut": end - 1, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "cut behind the prefix", "cut": end, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "cut in the first chunk", "cut": end + 9, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "cut between chunks", "cut": end + CHUNK, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "cut in the second", "cut": end + CHUNK + 1, "error": "BUNDLE_INCOMPLETE", "whole": 3},
        {"id": "without its last byte", "cut": len(genuine) - 1, "error": "BUNDLE_INCOMPLETE", "whole": 3},
        {"id": "a byte behind it", "add": "00", "error": "BUNDLE_INCOMPLETE", "whole": 3},
        {"id": "another magic", "flip": 0, "error": "ENVELOPE_MALFORMED", "whole": 0},
        {"id": "another suite", "flip": len(MAGIC) + 1, "error": "SUITE_UNKNOWN", "whole": 0},
        {"id": "the sealed key", "flip": len(MAGIC) + 2, "error": "BUNDLE_NOT_OURS", "whole": 0},
        {"id": "the header of the stream", "flip": end - 1, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "a bit of the first chunk", "flip": end, "error": "BUNDLE_INCOMPLETE", "whole": 0},
        {"id": "a bit of the last", "flip": len(genuine) - 1, "error": "BUNDLE_INCOMPLETE", "whole": 3},
        {"id": "read by another member", "own": DEU, "error": "BUNDLE_NOT_OURS", "whole": 0},
        {"id": "before it was signed", "read_at": NOW - HOUR, "error": "CLOCK_SKEW", "whole": 5},
    ]
    changed = [
        ("sealed for another member", bundle((), to=DEU), "BUNDLE_NOT_OURS", 0),
        ("its head is for another", bundle((), said=replace(head, to=DEU)), "WRONG_RECIPIENT", 1),
        ("its head is of another bundle", bundle((), signed=b"another prefix"), "SIGNATURE_INVALID", 1),
        ("signed by another member's key", bundle((), by=deu.signer(KeyUse.SIGNING)),
         "PEER_IDENTITY_MISMATCH", 1),
        ("signed by a key of no node", bundle((), by=fra.signer(KeyUse.DIRECTORY)),
         "PEER_IDENTITY_MISMATCH", 1),
        ("signed when the key had ended",
         bundle((), said=replace(head, hello=replace(head.hello, time=late))), "SIGNER_NOT_VALID", 1),
        ("of the own member", bundle((), by=usa.signer(KeyUse.SIGNING), of=usa), "NOT_AUTHORISED", 1),
        ("its head is none", plainly([b"no head"]), "ENVELOPE_MALFORMED", 1),
        ("a byte behind the head", plainly([first + b"\0"]), "ENVELOPE_MALFORMED", 1),
        ("a message that is too long", plainly([first], b"\x00\x10\x00\x01"), "ENVELOPE_MALFORMED", 1),
        ("padding that is not zero", plainly([first], bytes(zeros - 1) + b"\1"), "ENVELOPE_MALFORMED", 1),
        ("padding of another length", plainly([first], bytes(5)), "ENVELOPE_MALFORMED", 1),
        ("it ends in a message", plainly([first], b"\0\0\0\2a"), "ENVELOPE_MALFORMED", 1),
    ]  # fmt: skip
    for name, data, code, whole in changed:
        case: dict[str, Any] = {"id": name, "bundle": data.hex(), "error": code, "whole": whole}
        refused.append(case | ({"read_at": late} if code == "SIGNER_NOT_VALID" else {}))
    signed = decode(SignedHead, first)
    return {
        "courier bundle": {
            "own": USA,
            "held": [raw.hex() for raw in documents(fra, usa, deu)],
            "sealing": [{"key": encode(KeyRecord, sealing.record).hex(), "secret": sealing.secret.hex()}],
            "read_at": NOW,
            "bundle": genuine.hex(),
            "member": FRA,
            "node": fra.founded.node.uri,
            "key": signed.key.hex(),
            "prefix": prefix.hex(),
            "hello": plain(head.hello),
            "message": head_message(1, signed.key, prefix, signed.signed_at, signed.head).hex(),
            "messages": [*[message.hex() for message in messages_of(genuine, sealing.record)]],
            "refused": refused,
        }
    }


def plainly(messages: Sequence[bytes], then: bytes = b"") -> bytes:
    """A bundle whose inside is these messages, and then just this, without what belongs at the end."""
    usa = member(USA)
    sealing = usa.key(KeyUse.SEALING)
    writer = BundleWriter(
        USA, (key_id(sealing.record), sealing.record), SUITES, stream_of(f"{SEED}/plainly {then.hex()}")
    )
    parts = [writer.prefix, *map(writer.add, messages), writer._put(then)]
    if not then:
        return b"".join([*parts, writer.finish()])
    return b"".join([*parts, writer._cipher.seal(bytes(writer._waiting), last=True)])


def messages_of(data: bytes, record: KeyRecord) -> list[bytes]:
    """What a genuine bundle holds."""
    from intelshare.envelope import SealingKeyHeld
    from intelshare.envelope.bundle import BundleReader

    key = member(USA).key(KeyUse.SEALING)
    held = SealingKeyHeld(record, SUITES[1].load_sealing(key.secret))
    reader = BundleReader(USA, {key_id(record): held}, SUITES)
    return [*reader.feed(data), *reader.finish()]


def hello(fra: TestMember) -> HelloPayload:
    uri = fra.founded.node.uri
    start = stream_start(uri, INCARNATION, USA)
    first = StreamHead(USA, INCARNATION, Incarnation(0), ReleaseNumber(0), start, ())
    return HelloPayload(NOW, (1,), (), INCARNATION, (first,), ())


def contents(fra: TestMember, signer: Signer) -> list[bytes]:
    """An acknowledgement and a rejection; a frame with a recall, which crosses chunks; two requests."""
    recall = Recall(USA, h("a bulletin"), "it was wrong")
    batch = sign_batch(
        [Leaf(Kind.RECALL, h("nonce")[:16], encode(Recall, recall))], signer, NOW, stream_of(f"{SEED}/recall")
    )
    (said,) = batch.statements
    carried = Carried(said.kind, said.nonce, said.data, said.proof, bytes(60_000))
    frame = Outbound(USA, 0, Frame(batch.batch, b"", (carried,)), (batch.leaves[0],))
    uri = fra.founded.node.uri
    acks = Acks((Ack(h("taken"), "", NOW), Ack(h("rejected"), "TRUST_EXPIRED", NOW)))
    asks = LogAsk(uri, Incarnation(9), 4, Incarnation(9), 7)
    messages = [acks, Gap(uri, 9, ((1, 1), (4, 6))), frame, asks]
    return [link_message(message, NOW) for message in messages]  # type: ignore[arg-type]


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", "utf-8")
