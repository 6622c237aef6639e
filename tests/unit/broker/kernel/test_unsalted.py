"""No hash of plaintext without a key or a salt leaves a node or outlives a recall (docs/format.md).

Found without knowing where such hashes could stand: two worlds of other keys and other randomness, in which
the same is written, and a third in which something else is written. A value that depends on what was
written and on nothing random is in the first two and not in the third.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import builders
from builders import actor, draft, text
from intelshare.audit.portable import plain, write
from intelshare.audit.records import STORED, EntryType
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.tables import LOG, PAIR, TABLES
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.queries.report import report
from intelshare.broker.transparency.proving import ProofQuery, prove_entries
from intelshare.crypto.codec import decode
from intelshare.crypto.pae import sha256
from intelshare.instant import DAY, Instant
from intelshare.trust import documents_of
from line_world import arrive, hand_over, met, rows, send
from log_world import Logs

DIGEST = 32
WRITTEN = ("Phishing kit against grid operators.", "The source is BLUE HERON.", "//FRA SECRET//REL TO FRA")
OTHER = ("Floods are expected in the delta.", "The source is GREY OWL.", "//FRA SECRET//NOFORN")


def world(
    monkeypatch: pytest.MonkeyPatch, seed: str, written: tuple[str, str, str], *, recalled: bool
) -> Any:
    """FRA sends USA one portion and withholds another; what both hold and what FRA hands to others."""
    plain_seed = builders.seeded

    def seeded(name: str) -> Any:
        return plain_seed(f"{seed}/{name}")

    with monkeypatch.context() as patch:
        patch.setattr(builders, "seeded", seeded)
        members = met(("FRA", "USA", "KEN"))
        shown, hidden, label = written
        portions = [
            text("//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN", shown),
            text(label, hidden),
        ]
        sent = send(members["FRA"], draft(*portions, to=["USA"]))
        for outbound in hand_over(members["FRA"], "USA"):
            for receipt in arrive(members["USA"], members["FRA"], outbound.frame).effects.outbound:
                arrive(members["FRA"], members["USA"], receipt.frame)
        if recalled:
            command = RecallCommand(actor("FRA", "a"), sent.bulletin.hex(), "a mistake")
            members["FRA"].do(recall, command)
        logs = Logs(members)
        logs.show("FRA", "USA")
        logs.show("USA", "FRA")
    return members, sent


def exported(members: Any, sent: Any) -> Iterator[str]:
    """The files that FRA makes for others of this bulletin."""
    fra = members["FRA"]
    documents = {code: documents_of(held) for code, held in fra.node.trust.members.items()}
    wanted = ProofQuery(fra.node.incarnation, 0, bulletin=sent.bulletin.hex())
    yield write(prove_entries(fra.node, fra.store, wanted, documents))
    until = Instant(builders.NOW + DAY)
    yield write(report(fra.node, fra.store, "", Instant(0), until, until))


def bytes_in(value: Any) -> Iterator[bytes]:
    """All byte strings of a row or record, of a text also those that it spells in hexadecimal or base64."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        yield from (bytes.fromhex(found) for found in re.findall(r"\b(?:[0-9a-f]{2}){16,}\b", value))
        if re.fullmatch(r"(?:[A-Za-z0-9+/]{4}){40,}(?:[A-Za-z0-9+/]{2,3}={1,2})?", value):
            yield b64decode(value)
    elif isinstance(value, dict):
        # The bytes of an opened entry are its fields, and these stand beside them ("says").
        yield from (one for name, inner in value.items() if name != "record" for one in bytes_in(inner))
    elif isinstance(value, list | tuple):
        yield from (one for inner in value for one in bytes_in(inner))
    elif is_dataclass(value):
        yield from (one for field in fields(value) for one in bytes_in(getattr(value, field.name)))


def windows(members: Any, sent: Any) -> set[bytes]:
    """Every 32 bytes in a row that stand anywhere in both databases, opened log entries or exported files."""
    found: set[bytes] = set()

    def take(value: Any) -> None:
        for raw in bytes_in(value):
            found.update(raw[place : place + DIGEST] for place in range(len(raw) - DIGEST + 1))

    for code in ("FRA", "USA"):
        member = members[code]
        for table in TABLES:
            for row in rows(member, table):
                take(row)
        for row in rows(member, LOG):
            for entry in open_row(member.node, row):
                take(plain(decode(STORED[EntryType(entry.type)], entry.record)))
    for file in exported(members, sent):
        take(json.loads(file))
    return found


@pytest.mark.parametrize("recalled", [False, True])
def test_no_stored_or_exported_value_follows_from_what_was_written_alone(
    monkeypatch: pytest.MonkeyPatch, recalled: bool
) -> None:
    one, same, other = (
        windows(*world(monkeypatch, seed, written, recalled=recalled))
        for seed, written in (("one", WRITTEN), ("two", WRITTEN), ("one", OTHER))
    )
    assert len(one) > 10_000
    assert not [raw.hex() for raw in telling(one, same, other)]


def telling(one: set[bytes], same: set[bytes], other: set[bytes]) -> list[bytes]:
    """What follows from what was written alone: both halves of a hash do."""
    # Where a digest of something else ends before random bytes, the first of these is the same now and then.
    halves = {half for raw in other for half in (raw[: DIGEST // 2], raw[DIGEST // 2 :])}
    # What stands in clear by its own words is no hash: it is searched for by other tests.
    return [
        raw
        for raw in (one & same) - other
        if not _is_text(raw) and raw[: DIGEST // 2] not in halves and raw[DIGEST // 2 :] not in halves
    ]


def _is_text(raw: bytes) -> bool:
    return sum(byte < 32 or byte > 126 for byte in raw) < 8


def test_the_walk_finds_a_digest_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above can fail: the digest of a draft, written behind what is sealed beside it, is
    found."""
    seal = Transaction.seal

    def with_digest(
        tx: Transaction, table: str, row: bytes, slot: int, plaintext: bytes, beside: bytes = b""
    ) -> bytes:
        sealed = seal(tx, table, row, slot, plaintext, beside)
        return sealed + sha256(beside) if beside else sealed

    monkeypatch.setattr(Transaction, "seal", with_digest)
    one, same, other = (
        windows(*world(monkeypatch, seed, written, recalled=True))
        for seed, written in (("one", WRITTEN), ("two", WRITTEN), ("one", OTHER))
    )
    assert len(telling(one, same, other)) == 1


def test_two_nodes_that_decide_the_same_hold_different_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    for seed in ("one", "two"):
        members, _ = world(monkeypatch, seed, WRITTEN, recalled=False)
        held.append(rows(members["FRA"], PAIR)[0].gist)
    assert held[0] != held[1]
