"""statements.json, read a second time: records by the tables of docs/format.md, the rest by its words.

Shares nothing with ``src/`` but the suite's signatures; ``intelshare conformance`` is the first reading
(``tests/unit/conformance/test_conformance.py``).
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

import pytest
from make_statements import PATH, make
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt_at_rest

import format_page as page
from intelshare.crypto.suites import SUITE_1, Context

VECTORS: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
SIGNED: dict[str, Any] = VECTORS["all_kinds"]
LOG: dict[str, Any] = VECTORS["log"]

b = bytes.fromhex


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def spelled_pae(domain: str, *parts: bytes) -> bytes:
    made = b"intelshare/v1" + (len(parts) + 1).to_bytes(8, "big")
    for part in (domain.encode(), *parts):
        made += len(part).to_bytes(8, "big") + part
    return made


def names(cases: list[dict[str, Any]], name: str) -> list[str]:
    return [f"{place}-{case[name]}" for place, case in enumerate(cases)]


def test_made_again_the_file_is_the_same() -> None:
    """Signatures apart, which are kept as long as they hold, everything is a function of one seed."""
    assert make(VECTORS) == VECTORS


def test_all_kinds_enum_values_and_entry_types_are_there() -> None:
    told = [(one["kind"], one["record"]) for one in SIGNED["statements"]]
    assert {kind for kind, _ in told} == {name.upper().replace("-", "_") for name, _ in page.KINDS.values()}
    said = {(kind, name): {one[name] for k, one in told if k == kind} for kind, name in (
        ("RECEIPT", "status"), ("TREATY_ACT", "act"), ("TRUST", "type"),
    )}  # fmt: skip
    for (kind, name), values in said.items():
        row = "TreatyAct" if kind == "TREATY_ACT" else kind.title()
        listed = dict(page.fields(page.RECORDS[row]))[name].names
        assert values == {word.upper().replace("-", "_") for word in listed}
    assert [entry["type"] for entry in VECTORS["log_entries"]] == [
        one for one, _ in sorted(page.ENTRIES.items(), key=lambda item: _place(item[1][0]))
    ]


def _place(name: str) -> int:
    return [entry["entry"] for entry in VECTORS["log_entries"]].index(name)


RECORD_OF = {
    "RELEASE": "Release", "RECEIPT": "Receipt", "RECALL": "Recall", "STREAM_HEAD": "StreamHead",
    "CONSENT": "Consent", "TREATY_ACT": "TreatyAct", "TRUST": "Trust", "CHECKPOINT": "Checkpoint",
}  # fmt: skip


@pytest.mark.parametrize("told", SIGNED["statements"], ids=names(SIGNED["statements"], "kind"))
def test_a_statement_by_the_words_of_the_page(told: dict[str, Any]) -> None:
    data, nonce, proof = b(told["data"]), b(told["nonce"]), b(told["proof"])
    assert page.read(RECORD_OF[told["kind"]], data) == told["record"]
    number = next(n for n, (name, _) in page.KINDS.items() if name.upper().replace("-", "_") == told["kind"])
    assert spelled_pae("leaf", bytes([number]), nonce, data) == b(told["leaf_pae"])
    running = h(b"\0" + b(told["leaf_pae"]))
    assert running == b(told["leaf_id"])
    assert len(proof) == 257
    for level in range(8):
        sibling = proof[1 + 32 * level : 33 + 32 * level]
        running = h(b"\1" + (sibling + running if proof[0] >> level & 1 else running + sibling))
    assert running.hex() == page.read("Batch", b(SIGNED["batch"]))["root"]


def test_the_signature_by_the_words_of_the_page() -> None:
    signer, batch = page.read("KeyRecord", b(SIGNED["signer"])), page.read("Batch", b(SIGNED["batch"]))
    key = h(spelled_pae("key", b(SIGNED["signer"])))
    assert batch["key"] == key.hex()
    message = spelled_pae("batch", b"\0\1", key, b(batch["root"]), batch["signed_at"].to_bytes(8, "big"))
    assert message == b(SIGNED["message"])
    assert len(b(batch["signature"])) == 64 + 3309
    SUITE_1.verify(b(signer["public"]), Context.BATCH, message, b(batch["signature"]))


def test_chains_in_the_batch() -> None:
    """Release 2 names release 1, act n names act n - 1, the first of each what the page says."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for told in SIGNED["statements"]:
        by_kind.setdefault(told["kind"], []).append(told)
    start = VECTORS["stream"]
    spelled = spelled_pae(
        "stream", start["origin"].encode(), int(start["incarnation"]).to_bytes(8, "big"), b"USA"
    )
    assert h(spelled).hex() == start["stream_start"] == by_kind["STREAM_HEAD"][0]["record"]["head"]
    first, second = by_kind["RELEASE"]
    assert first["record"]["prev"] == start["stream_start"]
    assert second["record"]["prev"] == first["leaf_id"]
    acts = by_kind["TREATY_ACT"]
    assert acts[0]["record"]["previous"] == bytes(32).hex()
    assert [act["record"]["previous"] for act in acts[1:]] == [act["leaf_id"] for act in acts[:-1]]
    assert max(len(b(release["data"])) for release in by_kind["RELEASE"]) <= 1000


@pytest.mark.parametrize("case", VECTORS["records"], ids=names(VECTORS["records"], "layout"))
def test_a_record_by_the_tables_of_the_page(case: dict[str, Any]) -> None:
    if "error" not in case:
        assert page.read(case["layout"], b(case["bytes"])) == case["record"]
    elif case["layout"] in ("Release", "TreatyAct"):
        with suppress(page.MalformedError):
            read = page.read(case["layout"], b(case["bytes"]))
            # The layout holds; what the words below the table ask does not.
            assert len(b(case["bytes"])) > 1000 if case["layout"] == "Release" else not _act_holds(read)
    else:
        with pytest.raises(page.MalformedError):
            page.read(case["layout"], b(case["bytes"]))


def _act_holds(act: dict[str, Any]) -> bool:
    wanted = {"RESERVE": (1,), "REINSTATE": (0, 1)}.get(act["act"], (0,))
    chained = act["n"] > 0 and (act["n"] == 1) == (act["previous"] == bytes(32).hex())
    return chained and len(act["reservation"]) in wanted


@pytest.mark.parametrize("case", VECTORS["documents"], ids=["root", "directory"])
def test_a_document_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    trust = page.read("Trust", b(case["trust"]))
    domain = trust["type"].lower()
    assert page.read(f"{domain.title()}Document", b(trust["document"])) == case["document"]
    assert trust["document"] == case["bytes"]
    (key,) = case["by"]
    (signature,) = trust["signatures"]
    known = h(spelled_pae("key", b(key)))
    message = spelled_pae(domain, b"\0\1", known, b(trust["document"]))
    assert (signature["key"], message.hex()) == (known.hex(), case["messages"][0])
    public = b(page.read("KeyRecord", b(key))["public"])
    SUITE_1.verify(public, Context[trust["type"]], message, b(signature["signature"]))
    if domain == "root":
        bits = int.from_bytes(h(b(trust["document"]))[:25], "big")
        digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        text = "".join(digits[bits >> 195 - 5 * place & 31] for place in range(40))
        assert "-".join(text[place : place + 5] for place in range(0, 40, 5)) == case["fingerprint"]


@pytest.mark.parametrize(("name", "role"), [("answer", 2), ("confirmation", 1)])
def test_a_hello_by_the_words_of_the_page(name: str, role: int) -> None:
    hello = VECTORS["hello"]
    told, proof = hello[name], page.read("Proof", b(hello[name]["proof"]))
    assert page.read("HelloPayload", b(told["payload_bytes"])) == told["payload"]
    assert proof["payload"] == told["payload_bytes"]
    nonce_a = page.read("Opening", b(hello["opening"]))["nonce"]
    nonce_b = page.read("Proof", b(hello["answer"]["proof"]))["nonce"]
    assert proof["nonce"] == (nonce_b if name == "answer" else nonce_a)
    nodes = [hello[side]["node"].encode() for side in ("dialler", "acceptor")]
    message = spelled_pae(
        "hello", b"\0\1", b(proof["key"]), bytes([role]), b(nonce_a), b(nonce_b), *nodes, b(hello["leaf"]),
        b(proof["payload"]),
    )  # fmt: skip
    assert message.hex() == told["message"]
    keys = [
        key
        for held in hello["held"]
        if (trust := page.read("Trust", b(held)))["type"] == "DIRECTORY"
        for key in page.read("DirectoryDocument", b(trust["document"]))["keys"]
    ]
    (public,) = [key["public"] for key in keys if key["node"] == nodes[role - 1].decode()]
    SUITE_1.verify(b(public), Context.HELLO, message, b(proof["signature"]))


@pytest.mark.parametrize("case", VECTORS["log_entries"], ids=names(VECTORS["log_entries"], "entry"))
def test_a_log_entry_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    name, row = page.ENTRIES[case["type"]]
    assert name == case["entry"]
    assert page.read_row(row, b(case["bytes"])) == case["record"]
    time = case["time"].to_bytes(8, "big")
    entry = h(spelled_pae("log-entry", bytes([case["type"]]), time, b(case["salt"]), b(case["bytes"])))
    assert (entry.hex(), h(b"\0" + entry).hex()) == (case["hash"], case["leaf"])


@pytest.mark.parametrize("case", [case for case in VECTORS["decisions"] if "error" not in case])
def test_a_decision_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    kept = page.read("DecisionKept", b(case["kept"]))
    assert kept == case["record"]
    made = page.read_row(page.ENTRIES[3][1], b(case["committed"]))
    slots = [portion["slot"] for portion in kept["portions"]]
    count = next(count for count in (16, 64, 256) if max(slots) < count)
    stream = hashlib.shake_256(spelled_pae("decision-salts", b(kept["seed"]))).digest(64 * count)
    pieces = [stream[32 * n : 32 * n + 32] for n in range(2 * count)]
    expected = pieces[count:]
    for one in case["opened"]:
        assert b(one["salt"]) == pieces[one["slot"]]
        slot = one["slot"].to_bytes(4, "big")
        expected[one["slot"]] = h(spelled_pae("decided-portion", b(one["salt"]), slot, b(one["decision"])))
    assert made["portions"] == [piece.hex() for piece in expected]
    assert [page.read("LoggedDecision", b(one["decision"])) for one in case["opened"]] == [
        portion["decision"] for portion in kept["portions"]
    ]


def mth(entries: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word by word."""
    if not entries:
        return h(b"")
    if len(entries) == 1:
        return h(b"\0" + entries[0])
    split = 1
    while 2 * split < len(entries):
        split *= 2
    return h(b"\1" + mth(entries[:split]) + mth(entries[split:]))


def path(index: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(entries) == 1:
        return []
    split = 1
    while 2 * split < len(entries):
        split *= 2
    if index < split:
        return [*path(index, entries[:split]), mth(entries[split:])]
    return [*path(index - split, entries[split:]), mth(entries[:split])]


def subproof(earlier: int, entries: list[bytes], whole: bool, first: bool) -> list[bytes]:
    """RFC 9162, 2.1.4.1; ``first``: with the hash that it leaves out."""
    if earlier == len(entries):
        return [] if whole and not first else [mth(entries)]
    split = 1
    while 2 * split < len(entries):
        split *= 2
    if earlier <= split:
        return [*subproof(earlier, entries[:split], whole, first), mth(entries[split:])]
    return [*subproof(earlier - split, entries[split:], False, first), mth(entries[:split])]


def test_the_tree_and_its_proofs_by_the_words_of_the_rfc() -> None:
    entries = [b(entry) for entry in LOG["hashes"]]
    assert [mth(entries[:size]).hex() for size in range(len(entries) + 1)] == LOG["roots"]
    for told in LOG["inclusion"]:
        made = [part.hex() for part in path(told["index"], entries[: told["size"]])]
        assert (made == told["proof"]) is ("error" not in told)
    for name, first in (("consistency", False), ("paths", True)):
        for told in LOG[name]:
            made = [part.hex() for part in subproof(told["earlier"], entries[: told["later"]], True, first)]
            assert (made == told["proof"]) is ("error" not in told)


def test_entry_0_of_a_following_log_names_the_log_before_it() -> None:
    case = next(case for case in VECTORS["paths"] if case["note"] == "over a start")
    read = page.read("LogPath", b(case["path"]))
    (hop,) = read["hops"]
    start = page.read_row(page.ENTRIES[1][1], b(hop["record"]))
    assert str(start["previous"]) == str(case["earlier"]["incarnation"])
    entry = h(spelled_pae("log-entry", b"\1", hop["at"].to_bytes(8, "big"), b(hop["salt"]), b(hop["record"])))
    running, size = h(b"\0" + entry), case["later"]["size"]
    for sibling in hop["proof"]:
        running = h(b"\1" + running + b(sibling))
    assert (running.hex(), size) == (case["later"]["root"], 3)
    # "One of 6 is within one of 9": whoever adds the last three entries arrives at the root that START names.
    six = next(one for one in VECTORS["paths"] if one["note"] == "the same size")
    assert six["earlier"]["root"] == case["earlier"]["root"]
    assert start["size"] == 9


@pytest.mark.parametrize("name", ["path", "exhibit"])
def test_paths_and_exhibits_by_the_tables_of_the_page(name: str) -> None:
    told = [case for case in VECTORS[f"{name}s"] if "error" not in case]
    row = {"path": "LogPath", "exhibit": "Exhibit"}[name]
    assert [page.read(row, b(case[name])) for case in told] == [case["record"] for case in told]


@pytest.mark.parametrize("case", [case for case in VECTORS["rest"] if "error" not in case])
def test_a_row_at_rest_by_the_words_of_the_page(case: dict[str, Any]) -> None:
    nonce = b(case["sealed"])[:24]
    bound = spelled_pae("rest", case["table"].encode(), b(case["row"]), case["slot"].to_bytes(4, "big"))
    made = encrypt_at_rest(b(case["plaintext"]), bound, nonce, b(case["storage_key"]))
    assert nonce + made == b(case["sealed"])
