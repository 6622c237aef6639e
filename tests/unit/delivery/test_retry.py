"""Backoff: 0.5 s, doubled, full jitter, 60 s while there was contact, else 10 min."""

from hypothesis import given
from hypothesis import strategies as st

from intelshare.delivery import Backoff
from intelshare.instant import HOUR, MINUTE, SECOND, Instant

NOW = Instant(1_800_000_000 * SECOND)


def failed(times: int, contact: Instant = NOW) -> Backoff:
    backoff = Backoff(contact=contact)
    for _ in range(times):
        backoff = backoff.failed()
    return backoff


@given(st.integers(0, 200), st.binary(min_size=8, max_size=8), st.integers(0, 3 * HOUR))
def test_every_delay_is_between_nothing_and_its_step(times: int, drawn: bytes, silence: int) -> None:
    delay = failed(times).delay(Instant(NOW + silence), lambda count: drawn[:count])
    cap = MINUTE if silence < HOUR else 10 * MINUTE
    assert 0 <= delay <= min(SECOND // 2 << max(times - 1, 0), cap)


@given(st.integers(1, 100), st.booleans())
def test_the_whole_step_is_used(times: int, silent: bool) -> None:
    now = Instant(NOW + (HOUR if silent else 0))
    step = min(SECOND // 2 << (times - 1), 10 * MINUTE if silent else MINUTE)
    assert failed(times).delay(now, lambda count: step.to_bytes(count, "big")) == step
    assert failed(times).delay(now, lambda count: (step + 1).to_bytes(count, "big")) == 0


def test_a_peer_that_is_heard_begins_anew() -> None:
    later = Instant(NOW + 5 * HOUR)
    assert failed(30).heard(later) == Backoff(0, later)
