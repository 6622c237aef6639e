"""Courier bundles: what is cut or changed gives whole messages from its beginning, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW, draft, seeded, text
from courier_world import export, take_in
from intelshare.broker.kernel.tables import INBOX
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import SUITE_1, SUITES
from intelshare.envelope.bundle import CHUNK, FLOOR, MAGIC, BundleReader, BundleWriter
from intelshare.envelope.open import SealingKeyHeld
from intelshare.envelope.padding import padded_length
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import NEVER
from line_world import TO_USA, met, rows, send

USA = MemberCode("USA")
SECRET = seeded("sealing")(SUITE_1.sealing_secret)
RECORD = KeyRecord(1, USA, NodeUri(""), KeyUse.SEALING, SUITE_1.public_of(KeyUse.SEALING, SECRET), NOW, NEVER)
KEYS = {key_id(RECORD): SealingKeyHeld(RECORD, SUITE_1.load_sealing(SECRET))}
OUTSIDE = len(MAGIC) + 2 + SUITE_1.encapsulation + 32 + 24
"""Bytes before the first chunk."""

messages = st.lists(st.binary(min_size=1, max_size=50_000), max_size=6)


def written(contents: list[bytes], to: MemberCode = USA) -> bytes:
    writer = BundleWriter(to, (key_id(RECORD), RECORD), SUITES, seeded("bundle"))
    return b"".join([writer.prefix, *[writer.add(one) for one in contents], writer.finish()])


def read(data: bytes, step: int = CHUNK, member: MemberCode = USA) -> tuple[list[bytes], str]:
    """The messages that came out, and the code that ended it."""
    reader, found = BundleReader(member, KEYS, SUITES), []
    try:
        for start in range(0, len(data), step):
            found += reader.feed(data[start : start + step])
        found += reader.finish()
    except IntelshareError as error:
        return found, error.code
    return found, ""


@given(messages, st.integers(1, 200_000))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_however_it_comes(contents: list[bytes], step: int) -> None:
    data = written(contents)
    assert read(data, step) == (contents, "")
    inside = padded_length(sum(4 + len(one) for one in contents) + 4, FLOOR)
    chunks = -(-inside // (CHUNK - 17))
    assert len(data) == OUTSIDE + inside + 17 * chunks, "its length is its size class"


def test_cut_at_every_length_it_gives_whole_messages_or_nothing_and_says_so() -> None:
    contents = [bytes([n]) * (40 + n) for n in range(20)]
    data = written(contents)
    for cut in range(len(data)):
        found, code = read(data[:cut])
        assert (found, code) == ([], "BUNDLE_INCOMPLETE"), cut


@given(st.integers(0, 250_000))
@settings(max_examples=60, deadline=None)
def test_cut_between_chunks_it_gives_what_lies_whole_before(cut: int) -> None:
    contents = [bytes([n]) * 9_000 for n in range(25)]
    data = written(contents)
    found, code = read(data[:cut])
    assert found == contents[: len(found)]
    assert code == ("" if cut >= len(data) else "BUNDLE_INCOMPLETE")
    # All but the last chunk of what is left can be opened.
    opened = max(0, (min(cut, len(data)) - OUTSIDE - 1) // CHUNK) * (CHUNK - 17)
    assert cut >= len(data) or len(found) == max(0, opened // 9_004)


@given(st.integers(0, 1 << 30), st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_one_bit_changed_gives_nothing_that_was_not_written(place: int, bit: int) -> None:
    contents = [bytes([n]) * 9_000 for n in range(12)]
    data = bytearray(written(contents))
    data[place % len(data)] ^= 1 << bit
    found, code = read(bytes(data))
    assert code in {"ENVELOPE_MALFORMED", "SUITE_UNKNOWN", "BUNDLE_NOT_OURS", "BUNDLE_INCOMPLETE"}
    assert found == contents[: len(found)]


@pytest.mark.parametrize("added", [b"\0", b"more", bytes(CHUNK)])
def test_what_is_longer_than_it_was_is_refused(added: bytes) -> None:
    assert read(written([b"one"]) + added) == ([], "BUNDLE_INCOMPLETE")


def test_chunks_of_another_bundle_of_the_same_writer_do_not_fit() -> None:
    first, second = written([b"a" * 100_000]), written([b"b" * 100_000], MemberCode("KEN"))
    assert read(first[: OUTSIDE + CHUNK] + second[OUTSIDE + CHUNK :])[1] == "BUNDLE_INCOMPLETE"


def test_a_member_that_it_is_not_for_opens_nothing_even_with_the_key() -> None:
    assert read(written([b"one"]), member=MemberCode("KEN")) == ([], "BUNDLE_NOT_OURS")
    assert read(written([b"one"], MemberCode("KEN"))) == ([], "BUNDLE_NOT_OURS")


def test_statements_of_a_cut_bundle_are_judged_whole_or_not_at_all() -> None:
    members = met(("FRA", "USA"))
    fra, usa = members["FRA"], members["USA"]
    for number in range(24):
        send(fra, draft(text(TO_USA, content="x" * 90_000), to=["USA"]), key=f"k{number}")
    data, packed = export(fra, "USA")
    assert packed.releases == 24
    came = 0
    for cut in range(0, len(data), 199_999):
        with pytest.raises(IntelshareError) as caught:
            take_in(usa, data[:cut])
        assert caught.value.code == "BUNDLE_INCOMPLETE"
        assert len(rows(usa, INBOX)) >= came
        came = len(rows(usa, INBOX))
    assert 0 < came < 24
    assert take_in(usa, data).accepted == 24 - came
    assert take_in(usa, data).accepted == 0
    assert len(rows(usa, INBOX)) == 24
