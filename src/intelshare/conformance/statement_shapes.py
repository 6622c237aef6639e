"""Vectors of records, signed batches of every kind, and statements to be judged (docs/format.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from intelshare.audit import SealedEntries
from intelshare.audit.exhibit import Exhibit
from intelshare.audit.path import LogAsk, LogPath
from intelshare.broker.treaty.act_record import check
from intelshare.conformance.fields import plain, unplain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import (
    Batch,
    Claims,
    Evidence,
    KeyRecord,
    Kind,
    Manifest,
    Portion,
    Release,
    TreatyAct,
)
from intelshare.crypto.suites import SUITES
from intelshare.envelope import check_size, stream_start
from intelshare.ids import Incarnation, KeyId, MemberCode, NodeUri
from intelshare.instant import NEVER, Instant
from intelshare.statement import (
    KINDS,
    ReceivedBatch,
    VerifiedRoots,
    batch_message,
    leaf_id,
    leaf_message,
    parse_statement,
    prove,
    read_batch,
    verify,
)
from intelshare.trust import DirectoryDocument, HelloPayload, Revocation, RootDocument, hello

_bytes = bytes.fromhex

LAYOUTS: Final[Mapping[str, Any]] = {
    kind.__name__: kind
    for kind in (
        KeyRecord, Portion, Manifest, Claims, Evidence, Batch, RootDocument, DirectoryDocument, HelloPayload,
        hello.Opening, hello.Proof, LogAsk, LogPath, Exhibit, SealedEntries,
        *(row.record for row in KINDS.values()),
    )
}  # fmt: skip

_CHECKS: Final[Mapping[Any, Callable[[Any], None]]] = {
    TreatyAct: check,
    Release: lambda release: check_size(encode(Release, release)),
}
"""The checks of a record beyond its layout."""


def _record(case: Case, _: Setting) -> Iterator[Answer]:
    layout = LAYOUTS[case["layout"]]

    def read() -> dict[str, Any]:
        record = decode(layout, _bytes(case["bytes"]))
        _CHECKS.get(layout, lambda _: None)(record)
        return {"record": plain(record)}

    yield answer("read", case, read)
    if "error" not in case:
        made = partial(unplain, layout, case["record"])
        yield answer("written", case, lambda: {"bytes": encode(layout, made()).hex()})


def _stream(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        start = stream_start(
            NodeUri(case["origin"]), Incarnation(int(case["incarnation"])), MemberCode(case["recipient"])
        )
        return {"stream_start": start.hex()}

    yield answer("", case, compute)


def _signed(case: Case, _: Setting) -> Iterator[Answer]:
    signer = decode(KeyRecord, _bytes(case["signer"]))
    batch = read_batch(_bytes(case["batch"]))
    record = batch.record

    def head() -> dict[str, Any]:
        message = batch_message(record.suite, record.key, record.root, record.signed_at)
        return {"message": message.hex(), "batch": encode(Batch, record).hex()}

    yield answer("batch", case, head)
    for number, told in enumerate(case["statements"], 1):
        only_known(told, frozenset(("kind", "record", "nonce", "data", "proof", "leaf_pae", "leaf_id")))
        given = {**told, "peer": signer.member, "at": record.signed_at}
        yield answer(f"statement {number}", told, partial(_taken, given, batch, [signer]))


def _judged(case: Case, _: Setting) -> Iterator[Answer]:
    shared = {name: case[name] for name in ("batch", "peer", "at")}
    known = frozenset(
        ("kind", "nonce", "data", "proof", "batch", "peer", "at", "floor", "fresh_until", "revoked", "error",
         "leaf_id")
    )  # fmt: skip
    keys = [decode(KeyRecord, _bytes(key)) for key in case["keys"]]
    for number, told in enumerate(case["judged"], 1):
        only_known(told, known)

        def compute(told: Case = told) -> dict[str, Any]:
            given = {**shared, **told}
            return {"leaf_id": _taken(given, read_batch(_bytes(given["batch"])), keys)["leaf_id"]}

        yield answer(str(told.get("id", f"statement {number}")), told, compute)


def _taken(given: Case, batch: ReceivedBatch, keys: list[KeyRecord]) -> dict[str, Any]:
    """Verify the statement as one of this batch, and read its record."""
    kind, nonce, data, proof = given["kind"], *(_bytes(given[name]) for name in ("nonce", "data", "proof"))
    statement = parse_statement(Kind[kind] if isinstance(kind, str) else kind, nonce, data, proof)
    if statement.kind is Kind.TRUST:
        prove(statement, batch)
    else:
        verify(
            statement,
            batch,
            MemberCode(given["peer"]),
            Instant(int(given["at"])),
            trust=_known(given, keys),
            suites=SUITES,
            roots=VerifiedRoots(),
        )
    layout = KINDS[statement.kind].record
    record = decode(layout, data)
    _CHECKS.get(layout, lambda _: None)(record)
    return {
        "record": plain(record),
        "leaf_pae": leaf_message(statement.kind, nonce, data).hex(),
        "leaf_id": leaf_id(statement.kind, nonce, data).hex(),
    }


@dataclass(frozen=True, slots=True)
class _Known:
    """The trust documents of a node that knows some keys, as far as verification needs them."""

    records: Mapping[KeyId, KeyRecord]
    floor: int
    fresh_until: int
    revoked: Revocation | None

    def key_record(self, key_id: KeyId) -> KeyRecord | None:
        return self.records.get(key_id)

    def directory_fresh(self, member: MemberCode, at: Instant) -> bool:  # noqa: ARG002
        return at < self.fresh_until

    def revocation(self, key_id: KeyId) -> Revocation | None:
        return self.revoked if self.revoked and self.revoked.subject == key_id else None


def _known(given: Case, keys: list[KeyRecord]) -> _Known:
    revoked = given.get("revoked")
    return _Known(
        {key_id(key): key for key in keys},
        given.get("floor", 1),
        int(given.get("fresh_until", NEVER)),
        None if revoked is None else unplain(Revocation, revoked),
    )


STATEMENT_SHAPES = (
    Shape("record", frozenset(("layout", "bytes")), _record, frozenset(("record",)), answered=False),
    Shape(
        "stream",
        frozenset(("stream_start", "origin")),
        _stream,
        frozenset(("incarnation", "recipient")),
        answered=False,
    ),
    Shape("signed batch", frozenset(("signer", "batch", "message", "statements")), _signed, answered=False),
    Shape(
        "judged statements",
        frozenset(("keys", "batch", "judged")),
        _judged,
        frozenset(("at", "peer")),
        answered=False,
    ),
)
