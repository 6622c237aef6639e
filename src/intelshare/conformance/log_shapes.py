"""Vectors of the log: entries, trees and their proofs, paths of witnesses, exhibits, rows at rest."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from intelshare.audit import (
    RECORDS,
    EntryType,
    check_consistency,
    check_inclusion,
    consistency_proof,
    entry_hash,
    inclusion_proof,
)
from intelshare.audit.decided import made_of, portion_salts
from intelshare.audit.exhibit import Exhibit, contradiction
from intelshare.audit.log import leaf_hash
from intelshare.audit.path import LogPath, check_path
from intelshare.audit.proofs import fold, prefix_path, root_over
from intelshare.audit.records import DecisionKept, DecisionMade
from intelshare.conformance.fields import plain, unplain
from intelshare.conformance.shapes import Answer, Case, Setting, Shape, answer, only_known
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Cosigned
from intelshare.crypto.rest import NONCE_LENGTH, open_at_rest, seal_at_rest
from intelshare.instant import Instant

_bytes = bytes.fromhex


def _entry(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        kind = EntryType[case["entry"]]
        layout, raw = RECORDS[kind], _bytes(case["bytes"])
        record = decode(layout, raw)
        hashed = entry_hash(kind, Instant(int(case["time"])), _bytes(case["salt"]), raw)
        return {
            "type": int(kind),
            "record": plain(record),
            "bytes": encode(layout, unplain(layout, case.get("record", plain(record)))).hex(),
            "hash": hashed.hex(),
            "leaf": leaf_hash(hashed).hex(),
        }

    yield answer("", case, compute)


def _log(case: Case, _: Setting) -> Iterator[Answer]:
    entries = [_bytes(entry) for entry in case["hashes"]]
    roots = [root_over(entries[:size]) for size in range(len(entries) + 1)]
    yield answer("roots", case, lambda: {"roots": [root.hex() for root in roots]})
    parts = (("inclusion", _inclusion), ("consistency", _consistency), ("paths", _prefix))
    for name, compute in parts:
        for number, told in enumerate(case[name], 1):
            only_known(told, frozenset(("index", "size", "earlier", "later", "entry", "proof", "error")))
            yield answer(f"{name} {number}", told, partial(compute, entries, roots, told))


def _inclusion(entries: list[bytes], roots: list[bytes], told: Case) -> dict[str, Any]:
    """Check that the stated proof is valid, and that the same proof is made."""
    index, size, proof = told["index"], told["size"], [_bytes(part) for part in told["proof"]]
    check_inclusion(entries[index], index, size, proof, roots[size])
    return {"proof": [part.hex() for part in inclusion_proof(entries[:size], index)]}


def _consistency(entries: list[bytes], roots: list[bytes], told: Case) -> dict[str, Any]:
    earlier, later, proof = told["earlier"], told["later"], [_bytes(part) for part in told["proof"]]
    check_consistency(earlier, roots[earlier], later, roots[later], proof)
    return {"proof": [part.hex() for part in consistency_proof(entries[:later], earlier)]}


def _prefix(entries: list[bytes], roots: list[bytes], told: Case) -> dict[str, Any]:
    earlier, later, proof = told["earlier"], told["later"], [_bytes(part) for part in told["proof"]]
    if fold(earlier, later, proof) != (roots[earlier], roots[later]):
        return {"proof": "leads to other roots"}
    made = prefix_path(lambda low, high: root_over(entries[low:high]), earlier, later)
    return {"proof": [part.hex() for part in made]}


def _path(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        earlier, later = (unplain(Cosigned, case[name]) for name in ("earlier", "later"))
        path = decode(LogPath, _bytes(case["path"]))
        led = check_path(earlier, later, path)
        return {"record": plain(path), "verdict": led.verdict.name, "forgot": led.forgot}

    yield answer("", case, compute)


def _exhibit(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        exhibit = decode(Exhibit, _bytes(case["exhibit"]))
        found = contradiction(exhibit)
        told = None if found is None else {"code": found.code, "node": found.node}
        return {"record": plain(exhibit), "contradiction": told}

    yield answer("", case, compute)


def _rest(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        key, sealed = _bytes(case["storage_key"]), _bytes(case["sealed"])
        table, row, slot = case["table"], _bytes(case["row"]), case["slot"]
        text = open_at_rest(key, sealed, table=table, row=row, slot=slot)
        again = seal_at_rest(key, sealed[:NONCE_LENGTH], text, table=table, row=row, slot=slot)
        return {"plaintext": text.hex(), "sealed": again.hex()}

    yield answer("", case, compute)


def _decision(case: Case, _: Setting) -> Iterator[Answer]:
    def compute() -> dict[str, Any]:
        raw = _bytes(case["kept"])
        kept = decode(DecisionKept, raw)
        made, salts = made_of(kept), portion_salts(kept.seed, kept.portions)
        return {
            "record": plain(kept),
            "kept": encode(DecisionKept, unplain(DecisionKept, case.get("record", plain(kept)))).hex(),
            "committed": encode(DecisionMade, made).hex(),
            "opened": [
                {"slot": one.slot, "salt": salts[one.slot].hex(), "decision": one.decision.data.hex()}
                for one in kept.portions
            ],
        }

    yield answer("", case, compute)


LOG_SHAPES = (
    Shape(
        "log entry",
        frozenset(("entry", "time", "salt", "bytes")),
        _entry,
        frozenset(("type", "record", "hash", "leaf")),
        answered=False,
    ),
    Shape("log", frozenset(("hashes", "roots", "inclusion", "consistency", "paths")), _log, answered=False),
    Shape(
        "path",
        frozenset(("earlier", "later", "path")),
        _path,
        frozenset(("record", "verdict", "forgot")),
        answered=False,
    ),
    Shape(
        "exhibit", frozenset(("exhibit",)), _exhibit, frozenset(("record", "contradiction")), answered=False
    ),
    Shape(
        "decision kept",
        frozenset(("kept",)),
        _decision,
        frozenset(("record", "committed", "opened")),
        answered=False,
    ),
    Shape(
        "row at rest",
        frozenset(("storage_key", "sealed")),
        _rest,
        frozenset(("table", "row", "slot", "plaintext")),
        answered=False,
    ),
)
