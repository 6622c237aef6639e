"""Trees over what lies on the disk, and paths that compute both roots: RFC 9162 beside a plain reading."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelshare.audit.log import EMPTY_ROOT, LogHead, append, entry_hash
from intelshare.audit.path import Hop, LogAsk, LogPath, Verdict, check_path
from intelshare.audit.proofs import (
    check_inclusion,
    consistency_proof,
    fold,
    inclusion_proof,
    prefix_path,
    root_over,
)
from intelshare.audit.records import EntryType, Start
from intelshare.audit.tree import PAGE, Fetch, Tree
from intelshare.audit.work import Work, finish
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Cosigned
from intelshare.errors import IntelshareError, TrustError
from intelshare.ids import Digest, Incarnation, NodeUri
from intelshare.instant import Instant

NODE = NodeUri("intelshare://usa.intelshare.internal/node/one")


def entries_of(count: int, name: str = "") -> list[bytes]:
    return [entry_hash(2, Instant(n), bytes(32), name.encode()) for n in range(count)]


def over(entries: list[bytes]) -> Fetch:
    """Reads them as a disk does."""

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        return entries[low:high]

    return fetch


def started(previous: int, size: int, root: bytes) -> tuple[Hop, bytes]:
    """Entry 0 of a log, as a hop without its proof, and its hash."""
    record = encode(Start, Start("1", Incarnation(previous), size, root))
    salt = bytes(31) + b"s"
    return Hop(Instant(7), salt, record, ()), entry_hash(EntryType.START, Instant(7), salt, record)


def at(incarnation: int, entries: list[bytes]) -> Cosigned:
    return Cosigned(NODE, Incarnation(incarnation), len(entries), Digest(root_over(entries)))


def path(earlier: Cosigned, later: Cosigned, proof: list[bytes], *hops: Hop) -> LogPath:
    ask = LogAsk(NODE, earlier.incarnation, earlier.size, later.incarnation, later.size)
    return LogPath(ask, hops, tuple(proof), ())


def prefix(entries: list[bytes], earlier: int) -> list[bytes]:
    return prefix_path(lambda low, high: root_over(entries[low:high]), earlier, len(entries))


def test_a_proof_with_its_first_hash_computes_both_roots_for_every_pair_of_sizes() -> None:
    entries = entries_of(40)
    for later in range(1, 41):
        for earlier in range(1, later + 1):
            proof = prefix(entries[:later], earlier)
            assert fold(earlier, later, proof) == (root_over(entries[:earlier]), root_over(entries[:later]))
            whole = earlier & (earlier - 1) == 0
            if earlier < later:
                assert consistency_proof(entries[:later], earlier) == (proof[1:] if whole else proof)
            for wrong in (proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]]):
                with pytest.raises(TrustError):
                    check(earlier, later, wrong, entries)


def check(earlier: int, later: int, proof: list[bytes], entries: list[bytes]) -> None:
    if fold(earlier, later, proof)[1] != root_over(entries[:later]):
        raise TrustError("LOG_INCONSISTENT", "it leads to another root")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5 * PAGE + 3), st.data())
def test_a_tree_over_pages_gives_the_proofs_of_the_tree_over_all_entries(
    size: int, data: st.DataObject
) -> None:
    entries = entries_of(size)
    tree = Tree()
    fetched: list[int] = []

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        fetched.append(high - low)
        return entries[low:high]

    for grown in data.draw(st.lists(st.integers(0, size), max_size=3)):
        tree.learn(grown, append(LogHead(Incarnation(1), 0, b""), entries[:grown]).frontier)
    index, earlier = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert finish(tree.inclusion(fetch, index, size)) == inclusion_proof(entries, index)
    assert finish(tree.prefix(fetch, earlier, size)) == prefix(entries, earlier)
    fetched.clear()
    finish(tree.prefix(fetch, earlier, size))
    assert sum(fetched) <= 4 * PAGE, "a second proof reads no more than the pages at its ends"


def test_what_heads_of_the_log_name_is_not_read_again() -> None:
    """Another replica appends, 100 entries in each commit."""
    entries, tree, read = entries_of(17 * PAGE + 50), Tree(), list[int]()
    head = LogHead(Incarnation(1), 0, b"")
    for low in range(0, len(entries), 100):
        head = append(head, entries[low : low + 100])
        tree.learn(head.size, head.frontier)

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        read.append(high - low)
        return entries[low:high]

    assert finish(tree.prefix(fetch, PAGE + 15, len(entries))) == prefix(entries, PAGE + 15)
    assert sum(read) <= 5 * PAGE, "of 16 pages: the first, and one for each level on the right of it"


def test_missing_entries_give_no_proof() -> None:
    entries = entries_of(2 * PAGE)
    fetch = over([e for e in entries if e != entries[300]])
    with pytest.raises(TrustError, match="LOG_INCONSISTENT"):
        finish(Tree().prefix(fetch, 5, len(entries)))


@pytest.mark.parametrize("earlier", [1, 2, 3, 7, 8, 12])
def test_within_a_log_a_path_shows_growth_or_a_rewriting_and_never_both(earlier: int) -> None:
    old = entries_of(12)
    held = at(5, old[:earlier])
    for changed in range(13):
        new = [*old, *entries_of(5, "more")]
        if changed < 12:
            new[changed] = bytes(32)
        later = at(5, new)
        found = check_path(held, later, path(held, later, prefix(new, earlier)))
        assert found.verdict is (Verdict.REWRITTEN if changed < earlier else Verdict.GREW)


def test_over_a_restart_a_path_shows_growth_amnesia_and_rewriting() -> None:
    old = entries_of(9)
    held = at(5, old[:6])
    for log, verdict, forgot in (
        (old, Verdict.GREW, 0),
        (old[:6], Verdict.GREW, 0),
        (old[:4], Verdict.FORGOT, 2),
        ([bytes(32), *old[1:]], Verdict.REWRITTEN, 0),
    ):
        hop, first = started(5, len(log), root_over(log))
        new = [first, *entries_of(3, "new")]
        later = at(6, new)
        hop = replace(hop, proof=tuple(inclusion_proof(new, 0)))
        proof = prefix(log, 6) if len(log) >= 6 else []
        found = check_path(held, later, path(held, later, proof, hop))
        assert (found.verdict, found.forgot) == (verdict, forgot)
        # The same START under a root that was never signed leads nowhere.
        with pytest.raises(IntelshareError):
            check_path(held, replace(later, root=Digest(bytes(32))), path(held, later, proof, hop))


def test_a_log_that_knows_of_no_log_before_it_has_forgotten_that_whole_log() -> None:
    hop, first = started(0, 0, bytes(32))
    new = [first]
    later = at(6, new)
    found = check_path(at(5, entries_of(9)), later, path(at(5, entries_of(9)), later, [], hop))
    assert (found.verdict, found.forgot, found.end.size) == (Verdict.FORGOT, 9, 0)


def test_what_leads_nowhere_proves_nothing() -> None:
    old = entries_of(9)
    held, later = at(5, old[:6]), at(5, old)
    good = prefix(old, 6)
    hop, _ = started(5, 9, root_over(old))
    for wrong in (
        path(held, later, []),
        path(held, later, good[:-1]),
        path(held, later, [bytes(32), *good[1:]]),
        path(held, later, good, hop),
    ):
        with pytest.raises(IntelshareError):
            check_path(held, later, wrong)
    with pytest.raises(IntelshareError):
        check_path(held, at(6, old), path(held, at(6, old), good))
    with pytest.raises(IntelshareError):
        check_path(at(5, old), at(5, old[:6]), path(at(5, old), at(5, old[:6]), good))


def test_an_empty_log_has_the_root_of_rfc_9162() -> None:
    assert root_over([]) == EMPTY_ROOT
    entries = entries_of(1)
    check_inclusion(entries[0], 0, 1, [], root_over(entries))


@pytest.mark.parametrize("page", range(6))
def test_a_question_in_the_middle_of_another_spoils_no_proof(page: int) -> None:
    """The second asks the whole of its question while the first fetches a page."""
    entries, size = entries_of(9 * PAGE + 7), 6 * PAGE + 83
    tree, proof = Tree(), prefix(entries[:size], 5 * PAGE + 15)
    meanwhile: list[list[bytes]] = []

    def fetch(low: int, high: int) -> Work[list[bytes]]:
        yield
        if low == page * PAGE and not meanwhile:
            meanwhile.append([])
            meanwhile[0] = yield from tree.prefix(fetch, 5 * PAGE + 15, size)
        return entries[low:high]

    assert finish(tree.prefix(fetch, 5 * PAGE + 15, size)) == proof == meanwhile[0]
    later = finish(tree.prefix(fetch, 5 * PAGE + 15, len(entries)))
    assert later == prefix(entries, 5 * PAGE + 15), "and none after the log has grown"


@pytest.mark.parametrize("page", range(6))
def test_a_question_that_ends_at_a_page_spoils_no_later_proof(page: int) -> None:
    entries = entries_of(6 * PAGE + 83)
    tree = Tree()

    def ends(low: int, high: int) -> Work[list[bytes]]:
        yield
        if low == page * PAGE:
            raise InterruptedError
        return entries[low:high]

    with pytest.raises(InterruptedError):
        finish(tree.prefix(ends, 5 * PAGE + 15, len(entries)))
    proof = finish(tree.prefix(over(entries), 5 * PAGE + 15, len(entries)))
    assert proof == prefix(entries, 5 * PAGE + 15)
