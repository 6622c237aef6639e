"""The Merkle log: roots, proofs, and what `audit verify` finds. RFC 6962 and 9162; attacks.md row 63."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import federation
from intelshare.audit import LogHead, append, entry_hash, root
from intelshare.audit.log import leaf_hash, node_hash
from intelshare.audit.proofs import check_consistency, check_inclusion, consistency_proof, inclusion_proof
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.log import entries, log_row_of, rewritten
from intelshare.broker.kernel.log import entries_of as entries_of_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import LOG, LOG_HEAD, LogRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.transparency.log_reader import verify_logs
from intelshare.errors import TrustError
from intelshare.ids import Digest, Incarnation
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put, Random, View
from intelshare.store.memory import MemoryStore

# Certificate Transparency's reference entries and the roots of their prefixes.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(value)
    for value in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
EMPTY = LogHead(Incarnation(1), 0, b"")


def tree(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if len(entries) == 1:
        return leaf_hash(entries[0])
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return node_hash(tree(entries[:split]), tree(entries[split:]))


def entries_of(count: int) -> list[bytes]:
    return [entry_hash(1, Instant(n), bytes(32), b"") for n in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root(append(EMPTY, ENTRIES[:size])) == ROOTS[size]


@given(st.integers(1, 70), st.integers(0, 70))
def test_appending_in_parts_gives_the_root_of_the_whole(size: int, cut: int) -> None:
    entries = entries_of(size)
    head = append(append(EMPTY, entries[:cut]), entries[cut:])
    assert (head.size, root(head)) == (size, tree(entries))
    assert len(head.frontier) == 32 * size.bit_count()


@given(st.integers(1, 70), st.data())
def test_every_entry_is_provable_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    entries = entries_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, whole = inclusion_proof(entries, index), tree(entries)
    check_inclusion(entries[index], index, size, proof, whole)
    wrong: list[Callable[[], None]] = [
        lambda: check_inclusion(bytes(32), index, size, proof, whole),
        lambda: check_inclusion(entries[index], size, size, proof, whole),
        lambda: check_inclusion(entries[index], -1, size, proof, whole),
        lambda: check_inclusion(entries[index], index, size, [*proof, bytes(32)], whole),
        lambda: check_inclusion(entries[index], index, size, [part[:-1] for part in proof] or [b""], whole),
        lambda: check_inclusion(entries[index], index, size, proof, bytes(32)),
    ]
    if proof:
        wrong.append(lambda: check_inclusion(entries[index], index, size, proof[:-1], whole))
        other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
        wrong.append(lambda: check_inclusion(entries[index], other, size, proof, whole))
    for check in wrong:
        with pytest.raises(TrustError, match="LOG_INCONSISTENT"):
            check()


@given(st.integers(0, 70), st.data())
def test_a_log_that_only_grew_is_provable_and_a_changed_one_is_not(size: int, data: st.DataObject) -> None:
    entries = entries_of(size)
    earlier = data.draw(st.integers(0, size))
    proof = consistency_proof(entries, earlier)
    old, new = root(append(EMPTY, entries[:earlier])), root(append(EMPTY, entries))
    check_consistency(earlier, old, size, new, proof)
    wrong: list[Callable[[], None]] = [
        lambda: check_consistency(earlier, bytes(32), size, new, proof),
        lambda: check_consistency(earlier, old, size, new, [*proof, bytes(32)]),
        lambda: check_consistency(size + 1, old, size, new, proof),
        lambda: check_consistency(-1, old, size, new, proof),
    ]
    if earlier:
        wrong.append(lambda: check_consistency(earlier, old, size, bytes(32), proof))
    if proof:
        wrong.append(lambda: check_consistency(earlier, old, size, new, proof[:-1]))
        at = data.draw(st.integers(0, earlier - 1))
        changed = [*entries[:at], bytes(32), *entries[at + 1 :]]
        forked = root(append(EMPTY, changed))
        wrong.append(
            lambda: check_consistency(earlier, old, size, forked, consistency_proof(changed, earlier))
        )
    for check in wrong:
        with pytest.raises(TrustError, match="LOG_INCONSISTENT"):
            check()


def test_proofs_of_what_is_not_there_are_not_made() -> None:
    for impossible in (lambda: inclusion_proof([], 0), lambda: consistency_proof(ENTRIES, 9)):
        with pytest.raises(IndexError):
            impossible()


def test_an_entry_hash_tells_type_time_salt_and_record_apart() -> None:
    base = (1, Instant(2), bytes(32), b"record")
    others = [
        (2, *base[1:]),
        (1, Instant(3), *base[2:]),
        (1, Instant(2), b"\1" * 32, b"record"),
        (*base[:3], b""),
    ]
    assert len({entry_hash(*base), *(entry_hash(*other) for other in others)}) == 5


def edit(row: LogRow) -> list[Put | Delete]:
    (entry,) = entries_of_row(row)
    return [Put(LOG, rewritten(row, entry._replace(at=Instant(entry.at + 1))))]


def edit_leaf(row: LogRow) -> list[Put | Delete]:
    (entry,) = entries_of_row(row)
    return [Put(LOG, rewritten(row, entry._replace(leaf=Digest(bytes(32)))))]


def edit_entry(row: LogRow) -> list[Put | Delete]:
    sealed = row.sealed_entries
    return [Put(LOG, row._replace(sealed_entries=sealed[:-1] + bytes([sealed[-1] ^ 1])))]


def delete(row: LogRow) -> list[Put | Delete]:
    return [Delete(LOG, (row.incarnation, row.last))]


def insert(row: LogRow) -> list[Put | Delete]:
    return [Put(LOG, row._replace(last=row.last + 1))]


@pytest.mark.parametrize("change", [edit, edit_leaf, edit_entry, delete, insert])
def test_one_log_row_edited_deleted_or_inserted_is_named(
    change: Callable[[LogRow], list[Put | Delete]],
) -> None:
    member = federation(["FRA", "USA"], MemoryStore)["FRA"]
    assert verify_logs(member.node, member.store).findings == ()
    incarnation = member.node.incarnation
    size = member.store.get(LOG_HEAD, incarnation).size
    assert size >= 3
    place = 1
    member.store.apply(Plan(tuple(change(log_row_of(member.store, incarnation, place))), None))
    findings = verify_logs(member.node, member.store).findings
    named = place + 1 if change is insert else place
    assert findings
    assert f"entry {named} " in findings[0]


def test_a_log_cut_at_its_end_is_found() -> None:
    member = federation(["FRA", "USA"], MemoryStore)["FRA"]
    head = member.store.get(LOG_HEAD, member.node.incarnation)
    member.store.apply(Plan((Delete(LOG, (head.incarnation, head.size - 1)),), None))
    assert len(verify_logs(member.node, member.store).findings) == 1


@pytest.mark.parametrize(("low", "high", "most"), [(40, 41, 1), (10, 60, 52), (0, 90, 92)])
def test_entries_of_the_log_are_read_with_hardly_a_row_beyond_them(low: int, high: int, most: int) -> None:
    member = federation(["FRA", "USA"], MemoryStore)["FRA"]
    for _ in range(100):
        member.do(_noted)
    read: list[int] = []

    class Counting:
        """Counts the rows that lists have."""

        def find(self, *asked: Any, **how: Any) -> list[Any]:
            found: list[Any] = member.store.find(*asked, **how)
            read.append(len(found))
            return found

    view: Any = Counting()
    places = [entry.place for entry in entries(view, member.node.incarnation, low, high)]
    assert places == list(range(low, high))
    assert sum(read) <= most


def _noted(node: Node, view: View, now: Instant, random: Random) -> Plan[None]:
    """A step that logs one entry."""
    tx = Transaction(node, view, now, random)
    tx.log_encoded(EntryType.SUBMIT, b"")
    return tx.plan(None)
