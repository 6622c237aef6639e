"""The vectors of notes, read by ``c2sp``, which was written from the texts at c2sp.org alone."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from make_notes import make

import c2sp
import format_page as page

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("notes.json").read_text())


def test_they_are_made_again_to_the_same_bytes() -> None:
    assert make() == VECTORS


def key(record: dict[str, Any], name: str, kind: int) -> c2sp.Vkey:
    half = bytes.fromhex(record["public"])[:32] if kind == 1 else bytes.fromhex(record["public"])[32:]
    identity = sha256(f"{name}\n".encode() + bytes([kind]) + half).digest()[:4]
    return c2sp.Vkey(name, identity, kind, half)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["id"])
def test_a_note_by_the_words_of_the_texts(case: dict[str, Any]) -> None:
    owner, witness = (
        page.read("KeyRecord", bytes.fromhex(case[name])) for name in ("log_key", "witness_key")
    )
    origin = f"{owner['node'].removeprefix('intelshare://')}/1122334455667788"
    keys = [key(owner, origin, 1), key(witness, witness["node"].removeprefix("intelshare://"), 4)]
    try:
        body, signed = c2sp.open_note(case["signed_note"].encode(), keys)
        head = c2sp.checkpoint(body)
        c2sp.need(head.origin == origin and origin in signed and body.count("\n") == 3, "not of this log")
    except c2sp.RefusedError:
        assert "error" in case
        return
    assert (head.size, head.root.hex()) == (case["size"], case["root"])
    assert signed[origin] is None
    assert signed.get(keys[1].name, 0) == case["seen"]
    assert [c2sp.read_vkey(text) for text in case["vkeys"]] == keys
