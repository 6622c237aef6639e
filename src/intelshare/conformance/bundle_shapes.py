"""Vectors of courier bundles (docs/format.md, "Courier bundles")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intelshare.conformance.fields import plain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord
from intelshare.crypto.suites import SUITES
from intelshare.envelope import SealingKeyHeld
from intelshare.envelope.bundle import BundleReader
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.trust import TrustView
from intelshare.trust.courier import SignedHead, check_head, head_message

_bytes = bytes.fromhex


def _read(case: Case, told: Case) -> tuple[TrustView, BundleReader, list[bytes], IntelshareError | None]:
    """Return the messages of a bundle, changed as ``told`` says, and the error that ends it."""
    own = MemberCode(str(told.get("own", case["own"])))
    view = TrustView.load(own, [_bytes(held) for held in case["held"]], SUITES)
    keys = {}
    for held in case["sealing"]:
        record = decode(KeyRecord, _bytes(held["key"]))
        secret = SUITES[record.suite].load_sealing(_bytes(held["secret"]))
        keys[key_id(record)] = SealingKeyHeld(record, secret)
    reader, messages = BundleReader(own, keys, SUITES), []
    try:
        for message in reader.feed(changed(_bytes(str(told.get("bundle", case["bundle"]))), told)):
            messages.append(message)
        for message in reader.finish():
            messages.append(message)
    except IntelshareError as error:
        return view, reader, messages, error
    return view, reader, messages, None


def changed(data: bytes, told: Case) -> bytes:
    """Return the bytes that are left (``cut``), with the lowest bit of one flipped (``flip``), and more
    appended (``add``).
    """
    data = data[: int(told.get("cut", len(data)))]
    if "flip" in told:
        place = int(told["flip"]) % len(data)
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    return data + _bytes(str(told.get("add", "")))


def _bundle(case: Case, _: Setting) -> Iterator[Answer]:
    def judge(told: Case) -> dict[str, Any]:
        view, reader, messages, error = _read(case, told)
        if error is not None:
            raise error
        said = check_head(
            messages[0], reader.prefix, Instant(int(told.get("read_at", case["read_at"]))), view=view
        )
        signed = decode(SignedHead, messages[0])
        signer = view.key_record(signed.key)
        assert signer is not None  # noqa: S101 - the head was checked by it
        return {
            "member": said.peer.member,
            "node": said.peer.node,
            "key": signed.key.hex(),
            "prefix": reader.prefix.hex(),
            "hello": plain(said.peer.payload),
            "message": head_message(
                signer.suite, signed.key, reader.prefix, signed.signed_at, signed.head
            ).hex(),
            "messages": [message.hex() for message in messages],
        }

    yield answer("", case, lambda: judge(case))
    for number, told in enumerate(case["refused"], 1):
        only_known(told, frozenset(("bundle", "cut", "flip", "add", "own", "read_at", "error", "whole")))
        part = str(told.get("id", f"refused {number}"))
        yield answer(part, {"error": told["error"]}, lambda told=told: judge(told))  # type: ignore[misc]
        # Messages that were complete before the error are imported all the same.
        yield Answer(f"{part}: messages", told["whole"], len(_read(case, told)[2]))


BUNDLE_SHAPES = (
    Shape(
        "courier bundle",
        frozenset(("own", "held", "sealing", "bundle", "read_at", "refused")),
        _bundle,
        frozenset(("member", "node", "key", "prefix", "hello", "message", "messages")),
        answered=False,
    ),
)
