"""Files in pieces: what is encrypted opens, in order and whole, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelshare.crypto.codec import encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.pieces import (
    MAX_FILE,
    PIECE,
    PLAIN,
    PieceCipher,
    check_piece,
    piece_count,
    piece_span,
    read_attachment,
    sealed_size,
)
from intelshare.crypto.records import MAX_PIECES, Attachment
from intelshare.errors import CryptoError, EnvelopeError

KEY, HEADER = bytes(range(32)), bytes(range(24))

parts = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def sealed(contents: list[bytes]) -> list[bytes]:
    cipher = PieceCipher(KEY, HEADER)
    return [cipher.seal(part, last=n == len(contents) - 1) for n, part in enumerate(contents)]


def opened(pieces: list[bytes]) -> list[bytes]:
    cipher = PieceCipher(KEY, HEADER)
    return [cipher.open(piece, last=n == len(pieces) - 1) for n, piece in enumerate(pieces)]


@given(parts)
def test_what_is_encrypted_opens(contents: list[bytes]) -> None:
    assert opened(sealed(contents)) == contents


@given(parts, st.data())
def test_an_interrupted_encryption_goes_on_from_what_there_is(
    contents: list[bytes], data: st.DataObject
) -> None:
    pieces = sealed(contents)
    cut = data.draw(st.integers(0, len(pieces) - 1))
    cipher = PieceCipher(KEY, HEADER)
    for piece in pieces[:cut]:
        cipher.open(piece, last=False)
    rest = [cipher.seal(part, last=n == len(contents) - 1) for n, part in enumerate(contents) if n >= cut]
    assert pieces[:cut] + rest == pieces


@given(parts, st.data())
def test_changed_cut_or_shuffled_pieces_do_not_open(contents: list[bytes], data: st.DataObject) -> None:
    pieces = sealed(contents)
    wrong = data.draw(
        st.one_of(
            st.permutations(pieces),
            st.integers(0, len(pieces) - 1).map(lambda n: pieces[:n]),
            st.integers(0, len(pieces) - 1).map(lambda n: [*pieces[: n + 1], pieces[n], *pieces[n + 1 :]]),
            st.tuples(st.integers(0, len(pieces) - 1), st.integers(0, 16)).map(
                lambda at: [
                    bytes([*p[: at[1]], p[at[1]] ^ 1, *p[at[1] + 1 :]]) if n == at[0] else p
                    for n, p in enumerate(pieces)
                ]
            ),
        )
    )
    if wrong in ([], pieces):
        return
    with pytest.raises(CryptoError) as error:
        opened(wrong)
    assert error.value.code == "OPEN_FAILED"


@given(st.integers(0, MAX_FILE))
def test_spans_cover_all_pieces_without_a_gap(size: int) -> None:
    count = piece_count(size)
    assert 1 <= count <= MAX_PIECES
    assert piece_span(size, 0)[0] == 0
    assert piece_span(size, count - 1)[1] == sealed_size(size)
    start, end = piece_span(size, count - 1)
    assert 17 <= end - start <= PIECE
    assert all(piece_span(size, n)[1] == piece_span(size, n + 1)[0] for n in range(min(count - 1, 3)))


def test_the_largest_file_has_the_largest_number_of_pieces() -> None:
    assert piece_count(MAX_FILE) == MAX_PIECES
    assert piece_count(PLAIN) == 1


@pytest.mark.parametrize(
    ("size", "count"), [(5, 2), (PLAIN + 1, 1), (MAX_FILE + 1, MAX_PIECES), (2**64 - 1, 1)]
)
def test_an_attachment_of_another_number_of_pieces_is_malformed(size: int, count: int) -> None:
    record = Attachment(size, KEY, HEADER, (bytes(32),) * count)
    with pytest.raises(EnvelopeError) as error:
        read_attachment(encode(Attachment, record))
    assert error.value.code == "ENVELOPE_MALFORMED"


@given(st.binary(max_size=200))
def test_whatever_is_no_attachment_is_malformed(raw: bytes) -> None:
    with pytest.raises(EnvelopeError) as error:
        read_attachment(raw)
    assert error.value.code == "ENVELOPE_MALFORMED"


def test_a_piece_is_checked_against_its_hash() -> None:
    check_piece(b"piece", sha256(b"piece"))
    with pytest.raises(CryptoError) as error:
        check_piece(b"other", sha256(b"piece"))
    assert error.value.code == "COMMITMENT_MISMATCH"
