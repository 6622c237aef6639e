"""The judge and the node's own modules, which share nothing but codec and primitives, agree on every file.

Thousands of mutants: bytes of what was signed, JSON values, statements moved between files. And an innocent
member is never accused, whatever is put side by side of what it honestly signed.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from intelshare.audit.path import LogAsk, LogPath
from intelshare.audit.proofs import MAX_PROOF, check_inclusion, fold, inclusion_path, prefix_path, root_over
from intelshare.audit.records import EntryType, Start, Submit
from intelshare.crypto.records import Act, Kind, Precedence, Release, StreamHead, TreatyAct
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, Incarnation, KeyId, LeafId, ManifestDigest, ReleaseNumber
from intelshare.instant import NEVER
from intelshare.statement import leaf_id
from intelshare.verifier import check_evidence, check_proof
from intelshare.verifier.merkle import both_roots, root_with
from judge_world import LOG, Log, at, evidence_file, filed, fork, party, proof_file
from node_reading import outcome, read_evidence, read_proof

FRA, USA, DEU = party("FRA"), party("USA"), party("DEU")
PARTIES = (FRA, USA, DEU)
MUTANTS = 400
"""Of each genuine file."""


def log_of(seed: str, count: int = 7) -> Log:
    start = Start("1", Incarnation(0), 0, bytes(32))
    rows: list[Any] = [(EntryType.START, start, at(0))]
    for place in range(1, count):
        rows.append(
            (
                EntryType.SUBMIT,
                Submit(ManifestDigest(bytes([place]) * 32), seed),
                at(place),
            )
        )
    return Log.of(rows, seed)


THE_LOG = log_of("log")


def proof() -> bytes:
    signed = [
        (one.checkpoint(4, bytes(32), at(50), [THE_LOG.position(FRA.node, seen)]), seen)
        for one, seen in ((USA, 5), (DEU, 4))
    ]
    return proof_file(THE_LOG.shown(FRA, at(100), [0, 3, 6], signed), filed(*PARTIES))


def rewritten() -> bytes:
    """FRA's later log begins with other entries than its earlier checkpoint says."""
    earlier, later = log_of("before", 4), log_of("after", 7)
    ask = LogAsk(FRA.node, LOG, 4, LOG, 7)
    proved = prefix_path(lambda low, high: root_over(later.hashes[low:high]), 4, 7)
    path = LogPath(ask, (), tuple(proved), ())
    pair = [FRA.checkpoint(len(one.entries), one.root(), at(10)) for one in (earlier, later)]
    return evidence_file(pair, filed(FRA, USA), paths=[path])


GENUINE: dict[str, tuple[bytes, Callable[[bytes], Any], Callable[[bytes], Any]]] = {
    "proof": (proof(), read_proof, lambda text: _proof(check_proof(text, "file"))),
    "fork": (
        evidence_file(fork(FRA, at(9)), filed(*PARTIES), seen=[THE_LOG.shown(USA, at(100), [1])]),
        read_evidence,
        lambda text: _evidence(check_evidence(text, "file")),
    ),
    "rewritten": (rewritten(), read_evidence, lambda text: _evidence(check_evidence(text, "file"))),
}


def _proof(found: Any) -> Any:
    return (
        found.member,
        [(one.incarnation, one.index) for one in found.entries],
        [(one.member, one.entries) for one in found.witnesses],
    )


def _evidence(found: Any) -> Any:
    return found.member, found.code, found.what


@pytest.mark.parametrize("name", GENUINE)
def test_both_accept_what_is_genuine(name: str) -> None:
    text, node, judge = GENUINE[name]
    assert judge(text) == node(text)


@pytest.mark.parametrize("name", GENUINE)
def test_both_say_the_same_of_every_mutant(name: str) -> None:
    text, node, judge = GENUINE[name]
    dice = Random(name)
    whole = json.loads(text)
    accepted = 0
    for number in range(MUTANTS):
        mutant = mutate(json.loads(text), dice)
        raw = json.dumps(mutant).encode()
        said, told = outcome(judge, raw), outcome(node, raw)
        assert said == told, f"mutant {number} of {name}: the judge says {said}, the node {told}"
        accepted += said is not None
    # Some change what is for the eye, or what is not needed; most are refused.
    assert accepted < MUTANTS / 2
    assert whole == json.loads(text)


def mutate(whole: Any, dice: Random) -> Any:
    """One to three changes."""
    for _ in range(dice.choice((1, 1, 2, 3))):
        places = list(_places(whole))
        holder, step = dice.choice(places)
        value = holder[step]
        if isinstance(value, str):
            holder[step] = _text(value, dice)
        elif isinstance(value, int):
            holder[step] = max(0, value + dice.choice((-1, 1, 256, -value, 2**40)))
        elif isinstance(value, list) and value:
            _list(value, dice)
        elif isinstance(value, dict) and value:
            one, other = (dice.choice(list(value)) for _ in range(2))
            value[one], value[other] = value[other], value[one]
    return whole


def _text(value: str, dice: Random) -> str:
    if value and len(value) % 2 == 0 and set(value) <= set("0123456789abcdef"):
        return _flipped(bytes.fromhex(value), dice).hex()
    try:
        return b64encode(_flipped(b64decode(value, validate=True), dice)).decode()
    except ValueError:
        return value[:-1] + "x"


def _flipped(raw: bytes, dice: Random) -> bytes:
    if not raw:
        return b"\0"
    changed = bytearray(raw)
    how, place = dice.randrange(4), dice.randrange(len(raw))
    if how == 0:
        changed[place] ^= 1 << dice.randrange(8)
    elif how == 1:
        del changed[place]
    elif how == 2:
        changed.insert(place, dice.randrange(256))
    else:
        changed[place] = changed[dice.randrange(len(raw))]
    return bytes(changed)


def _list(value: list[Any], dice: Random) -> None:
    how, place = dice.randrange(3), dice.randrange(len(value))
    if how == 0:
        del value[place]
    elif how == 1:
        value.append(value[place])
    else:
        other = dice.randrange(len(value))
        value[place], value[other] = value[other], value[place]


def _places(node: Any) -> Any:
    rows = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, inner in rows:
        if step not in ("says", "what", "holder", "first_seen", "code", "accused"):
            yield node, step
            yield from _places(inner)


# Merkle proofs


def test_both_read_every_merkle_proof_alike_genuine_and_not() -> None:
    hashes = log_of("merkle", 24).hashes
    over = lambda low, high: root_over(hashes[low:high])  # noqa: E731
    dice = Random("merkle")
    for size in range(1, 25):
        for place in range(size):
            proved = inclusion_path(over, place, size)
            assert root_with(hashes[place], place, size, proved) == over(0, size)
            assert both_roots(place + 1, size, prefix_path(over, place + 1, size)) == (
                over(0, place + 1), over(0, size),
            )  # fmt: skip
    for _ in range(4000):
        size, place = dice.randrange(0, 26), dice.randrange(-1, 26)
        proved = [dice.choice(hashes) for _ in range(dice.choice((0, 1, 2, 3, 4, 5, MAX_PROOF + 2)))]
        try:
            root = root_with(hashes[0], place, size, proved)
        except IntelshareError:
            root = None
        try:
            check_inclusion(hashes[0], place, size, proved, root or b"")
            assert root is not None
        except IntelshareError:
            assert root is None
        try:
            both: Any = both_roots(place, size, proved)
        except IntelshareError:
            both = None
        try:
            assert fold(place, size, proved) == both
        except IntelshareError:
            assert both is None


# An innocent member is never accused


def honest(of: Any, dice: Random) -> list[Any]:
    """What an honest node signs: two streams, two logs, heads, acts; each number once."""
    said = []
    for log in (7, 8):
        whole = log_of(f"{of.code}/{log}", 6)
        for size in (2, 4, 6):
            said.append(of.checkpoint(size, whole.root(size), at(size), log=log))
        for to in ("USA", "DEU"):
            previous = bytes(32)
            for number in (1, 2, 3):
                release = Release(
                    of.node, Incarnation(log), to, ReleaseNumber(number), LeafId(previous),
                    Precedence.ROUTINE, NEVER,
                    KeyId(bytes(32)), Digest(bytes(32)), Digest(dice.randbytes(32)),
                )  # fmt: skip
                signed = of.signed(Kind.RELEASE, release, at(number))
                previous = leaf_id(signed.kind, signed.nonce, signed.data)
                said.append(signed)
            head = StreamHead(to, Incarnation(log), Incarnation(0), ReleaseNumber(3), LeafId(previous), ())
            said.append(of.signed(Kind.STREAM_HEAD, head, at(9)))
    previous = bytes(32)
    for number in (1, 2, 3):
        act = TreatyAct(of.of.code, number, LeafId(previous), "gsa", Digest(bytes(32)), Act.RATIFY, at(0), ())
        signed = of.signed(Kind.TREATY_ACT, act, at(number))
        previous = leaf_id(signed.kind, signed.nonce, signed.data)
        said.append(signed)
    return said


def test_an_innocent_pair_is_never_accused_and_a_guilty_one_is_wherever_it_stands() -> None:
    dice = Random("innocent")
    pool = [signed for one in PARTIES for signed in honest(one, dice)]
    documents = filed(*PARTIES)
    whole = log_of("FRA/7", 6)
    proved = prefix_path(lambda low, high: root_over(whole.hashes[low:high]), 2, 6)
    paths = [LogPath(LogAsk(FRA.node, LOG, 2, LOG, 6), (), tuple(proved), ())]
    for _ in range(400):
        statements = dice.sample(pool, dice.randrange(2, 9))
        text = evidence_file(statements, documents, paths=paths if dice.random() < 0.5 else [])
        with pytest.raises(IntelshareError, match="EVIDENCE_INCONCLUSIVE"):
            check_evidence(text, "file")
        assert outcome(read_evidence, text) is None
    for _ in range(50):
        statements = [*dice.sample(pool, dice.randrange(0, 7)), *fork(USA, at(9), log=9)]
        dice.shuffle(statements)
        assert check_evidence(evidence_file(statements, documents), "file").member == "USA"
