"""A file on the reader's disk against what a release proof shows."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest

from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import PLAIN, PieceCipher, piece_count
from intelshare.crypto.records import Attachment, PortionKind
from intelshare.errors import EnvelopeError
from intelshare.verifier import ShownPortion, matching_slots

SIZES = (0, 1, PLAIN - 1, PLAIN, PLAIN + 1, 2 * PLAIN, 2 * PLAIN + 77)


def attached(content: bytes, slot: int = 3) -> ShownPortion:
    key, header = os.urandom(32), os.urandom(24)
    cipher, count = PieceCipher(key, header), piece_count(len(content))
    pieces = tuple(
        sha256(cipher.seal(content[n * PLAIN : (n + 1) * PLAIN], last=n == count - 1)) for n in range(count)
    )
    record = encode(Attachment, Attachment(len(content), key, header, pieces))
    return ShownPortion(slot, PortionKind.ATTACHMENT, "FRA SECRET", "cyber", "x; name=a", record)


def within(content: bytes, slot: int) -> ShownPortion:
    return ShownPortion(slot, PortionKind.FILE, "FRA SECRET", "cyber", "x; name=a", content)


def slots(content: bytes, *portions: ShownPortion, size: int | None = None) -> tuple[int, ...]:
    read = io.BytesIO(content).read
    # A pipe or a network folder gives less than it was asked for.
    return matching_slots(
        portions, lambda count: read(min(count, 70_001)), len(content) if size is None else size
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_found_and_no_other(size: int) -> None:
    content = os.urandom(size)
    one = attached(content)
    assert slots(content, one) == (3,)
    assert slots(content + b"x", one) == ()
    if size:
        for at in {0, size // 2, size - 1}:
            wrong = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            assert slots(wrong, one) == ()
        assert slots(content[:-1], one) == ()


def test_each_portion_that_it_is_is_named_and_the_others_are_not() -> None:
    content = os.urandom(PLAIN + 5)
    short = b"short"
    portions = [
        attached(content, 1),
        attached(os.urandom(PLAIN + 5), 2),
        attached(content, 4),
        within(short, 7),
    ]
    assert slots(content, *portions) == (1, 4)
    assert slots(short, *portions) == (7,)
    assert slots(b"shorT", *portions) == ()
    assert slots(content) == ()


@pytest.mark.parametrize("change", [b"", b"more"])
def test_a_file_that_changes_while_it_is_read_is_none(change: bytes) -> None:
    """Its size was looked up before: it has ended early, or goes on."""
    content = os.urandom(2 * PLAIN)
    one = attached(content)
    read = content + change if change else content[: PLAIN + 3]
    assert slots(read, one, size=len(content)) == ()


def test_a_record_whose_pieces_are_not_those_of_its_size_is_refused() -> None:
    one = attached(b"annex")
    bad = encode(Attachment, Attachment(5, bytes(32), bytes(24), (bytes(32),) * 2))
    with pytest.raises(EnvelopeError, match="ENVELOPE_MALFORMED"):
        slots(b"annex", replace(one, content=bad))
