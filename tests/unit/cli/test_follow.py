"""The cursor of a watch is saved beside the events, never later than the end."""

from __future__ import annotations

import threading

import pytest

from intelshare.cli.shared.follow import saving


def test_while_one_cursor_is_written_only_the_newest_of_the_others_waits() -> None:
    written, begun, go_on = [], threading.Event(), threading.Event()

    def write(cursor: str) -> None:
        written.append(cursor)
        begun.set()
        assert go_on.wait(10)

    with saving(write) as save:
        save("first")
        assert begun.wait(10)
        for number in range(100):
            save(str(number))
        go_on.set()
    assert written == ["first", "99"]


def test_nothing_is_written_without_a_cursor_and_what_fails_is_told() -> None:
    def write(_: str) -> None:
        raise OSError("no disk")

    with saving(write):
        pass
    with pytest.raises(OSError, match="no disk"), saving(write) as save:
        save("a cursor")
