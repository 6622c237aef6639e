"""The commands know every word that a node says of a pair or a link."""

from __future__ import annotations

from intelshare.cli.analyst import send
from intelshare.cli.shared.output import WORD_STYLES
from intelshare.delivery import LinkWord, PairStatus


def test_a_pair_that_a_command_waits_for_is_open_or_has_ended() -> None:
    ended = {"withheld", "expired", "recalled", "undeliverable", "refused"}
    received = {"accepted", "read", "destroyed"}
    words = [*send._OPEN, *ended, *received]
    assert sorted(words) == sorted(PairStatus)
    assert {word for reached in send._WAITED.values() for word in reached} == received


def test_every_word_of_a_pair_or_a_link_has_its_colour() -> None:
    assert {*PairStatus, *LinkWord} - {LinkWord.ELSEWHERE} <= {*WORD_STYLES}
