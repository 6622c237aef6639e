"""A demo that is interrupted while it makes something removes that too."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path

import pytest

from intelshare.demo.interrupt import interruptible
from intelshare.demo.play import play
from intelshare.demo.scenario import Scenario
from intelshare.errors import TrustError


def test_a_signal_while_the_folder_is_made_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tempfile.mkdtemp

    def interrupted(prefix: str) -> str:
        signal.raise_signal(signal.SIGHUP)
        return made(prefix=prefix, dir=tmp_path)

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        play(Scenario("", "", (), ()), keep=None, pause=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [None, TrustError("INPUT_INVALID", "is not signed")])
def test_a_signal_that_a_library_takes_for_its_own_failure_is_an_interruption(
    failure: Exception | None,
) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        _interrupted_in_a_library(failure)


def test_without_a_signal_an_error_stays_what_it_is() -> None:
    with pytest.raises(TrustError), interruptible():
        raise TrustError("INPUT_INVALID", "is not signed")


def _interrupted_in_a_library(failure: Exception | None) -> None:
    """Act as `is_signature_valid` does when the signal comes while it calls Python."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    if failure is not None:
        raise failure
