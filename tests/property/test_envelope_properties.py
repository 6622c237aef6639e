"""Padding, tree and round trips for any input."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from envelope_world import make_world, stream_of, text_portion
from intelshare.crypto.draw import draw_distinct
from intelshare.envelope import reopen
from intelshare.envelope.padding import PORTION_FLOOR, check_padding, pad, padded_length
from intelshare.ids import LeafId
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.statement.tree import climb, grow


@given(st.integers(0, 2**40), st.sampled_from([256, 1024]))
def test_padding_adds_at_most_an_eighth_above_the_floor_and_is_stable(length: int, floor: int) -> None:
    padded = padded_length(length, floor)
    assert length <= padded <= max(floor, length + length // 8)
    assert padded_length(padded, floor) == padded


@given(st.binary(max_size=2000))
def test_padded_bytes_pass_their_own_check(data: bytes) -> None:
    check_padding(pad(data, PORTION_FLOOR), len(data), PORTION_FLOOR, "it")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 256), st.text(max_size=5))
def test_every_leaf_of_a_batch_climbs_to_its_root_at_a_place_of_its_own(count: int, seed: str) -> None:
    leaves = [LeafId(stream_of(f"{seed}/{i}")(32)) for i in range(count)]
    root, proofs = grow(leaves, stream_of(seed))
    assert {climb(leaf, proof) for leaf, proof in zip(leaves, proofs, strict=True)} == {root}
    assert len({proof[0] for proof in proofs}) == count


@given(st.sampled_from([16, 64, 256]), st.data())
def test_draws_are_distinct_and_in_range(among: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, among))
    drawn = draw_distinct(count, among, stream_of(str(data.draw(st.integers()))))
    assert len(set(drawn)) == count
    assert all(0 <= number < among for number in drawn)


def test_draws_are_uniform_over_places() -> None:
    random = stream_of("uniform")
    first = [draw_distinct(1, 16, random)[0] for _ in range(3200)]
    assert all(130 < first.count(place) < 270 for place in range(16))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=400), min_size=1, max_size=20))
def test_what_is_sealed_opens_to_the_same_portions_now_and_later(texts: list[str]) -> None:
    world = make_world(FAKE_SUITE)
    portions = [text_portion(text.encode(errors="replace").decode()) for text in texts]
    bulletin = world.encrypt(*portions)
    opened = world.receive(world.deliver(world.seal(world.clear(bulletin)), 0, bulletin))
    assert [verified.portion for verified in opened.portions] == portions
    for verified, portion in zip(opened.portions, bulletin.portions, strict=True):
        assert reopen(bulletin.manifest, portion.slot, portion.secret, portion.body) == verified
