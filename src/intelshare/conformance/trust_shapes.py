"""Vectors of trust documents, of their succession, and of the hello (docs/format.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intelshare.conformance.fields import plain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, Trust, TrustType
from intelshare.crypto.suites import SUITES
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.trust import (
    Channel,
    HelloPayload,
    Opening,
    Pending,
    Proof,
    Role,
    TrustView,
    check_answer,
    check_confirmation,
    document_message,
    fingerprint,
    hello_message,
    read_directory,
    read_root,
    signatures_by,
)

_bytes = bytes.fromhex


def _document(case: Case, _: Setting) -> Iterator[Answer]:
    keys = [decode(KeyRecord, _bytes(key)) for key in case["by"]]
    suite_of = {key_id(key): key.suite for key in keys}

    def compute() -> dict[str, Any]:
        trust = decode(Trust, _bytes(case["trust"]))
        root = trust.type is TrustType.ROOT
        document = (read_root if root else read_directory)(trust, SUITES)
        return {
            "document": plain(document),
            "bytes": encode(type(document), document).hex(),
            "messages": [
                document_message(
                    trust.type, suite_of.get(signature.key, 1), signature.key, trust.document
                ).hex()
                for signature in trust.signatures
            ],
            "signed_by": signatures_by(trust, keys, SUITES),
            "fingerprint": fingerprint(trust.document) if root else "",
        }

    yield answer("", case, compute)


def _succession(case: Case, _: Setting) -> Iterator[Answer]:
    view = TrustView.load(MemberCode(case["own"]), [_bytes(held) for held in case["held"]], SUITES)
    for number, told in enumerate(case["given"], 1):
        only_known(told, frozenset(("trust", "at", "peer", "root", "directory", "revoked", "error")))

        def compute(told: Case = told) -> dict[str, Any]:
            trust = decode(Trust, _bytes(told["trust"]))
            peer = MemberCode(told["peer"])
            after = view.with_document(trust, Instant(int(told["at"])), peer).view.members[peer]
            directory = after.directory.version if after.directory is not None else 0
            revoked = [plain(row) for row in after.revocations]
            return {"root": after.root.version, "directory": directory, "revoked": revoked}

        yield answer(str(told.get("id", f"document {number}")), told, compute)


def _hello(case: Case, _: Setting) -> Iterator[Answer]:
    members = {role: MemberCode(case[role]["member"]) for role in ("dialler", "acceptor")}
    nonce_a = decode(Opening, _bytes(case["opening"])).nonce
    nonce_b = decode(Proof, _bytes(case["answer"]["proof"])).nonce
    channel = Channel(
        NodeUri(case["dialler"]["node"]), NodeUri(case["acceptor"]["node"]), _bytes(case["leaf"])
    )

    def judge(name: str, told: Case) -> dict[str, Any]:
        raw, at = _bytes(told["proof"]), Instant(int(told.get("at", case["answer"]["at"])))
        documents = [_bytes(held) for held in told.get("held", case["held"])]
        views = {role: TrustView.load(member, documents, SUITES) for role, member in members.items()}
        seen = Channel(channel.dialler, channel.acceptor, _bytes(told.get("leaf", case["leaf"])))
        if name == "answer":
            peer = check_answer(raw, seen, nonce_a, at, view=views["dialler"])[0]
        else:
            peer = check_confirmation(raw, Pending(seen, nonce_a, nonce_b), at, view=views["acceptor"])
        proof = decode(Proof, raw)
        role = Role.ACCEPTOR if name == "answer" else Role.DIALLER
        signer = views["dialler"].key_record(peer.key)
        assert signer is not None  # noqa: S101 - the proof was checked by it
        pending = Pending(seen, nonce_a, nonce_b)
        return {
            "member": peer.member,
            "key": proof.key.hex(),
            "nonce": proof.nonce.hex(),
            "payload": plain(peer.payload),
            "payload_bytes": encode(HelloPayload, peer.payload).hex(),
            "message": hello_message(role, pending, signer.suite, proof.key, proof.payload).hex(),
        }

    for name in ("answer", "confirmation"):
        yield answer(name, case[name], lambda name=name: judge(name, case[name]))  # type: ignore[misc]
    for number, told in enumerate(case["refused"], 1):
        only_known(told, frozenset(("is", "proof", "at", "leaf", "held", "error")))
        if told["is"] not in ("answer", "confirmation") or "error" not in told:
            raise ValueError("a refused message is an answer or a confirmation, and has a code")
        part = str(told.get("id", f"refused {number}"))
        yield answer(part, told, lambda told=told: judge(told["is"], told))  # type: ignore[misc]


TRUST_SHAPES = (
    Shape(
        "trust document",
        frozenset(("trust", "by")),
        _document,
        frozenset(("signed_by", "document", "bytes", "fingerprint", "messages")),
        answered=False,
    ),
    Shape("succession", frozenset(("own", "held", "given")), _succession, answered=False),
    Shape(
        "hello",
        frozenset(("held", "dialler", "acceptor", "leaf", "opening", "answer", "confirmation", "refused")),
        _hello,
        answered=False,
    ),
)
