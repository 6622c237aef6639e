"""The cursor of a watch is saved beside the events, never later than the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from intelshare.cli.shared import follow
from intelshare.cli.shared.follow import following, saving
from intelshare.cli.shared.output import Out
from intelshare.errors import DeliveryError
from intelshare.wire.v1 import user_pb2 as pb


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


class Replica:
    """A client whose replica has lost its database when it is asked first."""

    profile: Any = None

    def __init__(self, code: str) -> None:
        self.code, self.asked, self.tried = code, list[str](), 0

    def watch(self, cursor: str, *, once: bool) -> Iterator[pb.WatchEvent]:
        del once
        self.asked.append(cursor)
        yield pb.WatchEvent(cursor=f"c{len(self.asked)}")
        raise DeliveryError(self.code if len(self.asked) == 1 else "NOT_AUTHORISED", "over")

    def try_another(self) -> None:
        self.tried += 1

    def reconnect(self) -> bool:
        return False


PASSES = ["STORE_UNAVAILABLE", "RESOURCES_SHORT", "NODE_UNREACHABLE", "TIMED_OUT", "TLS_REFUSED"]


@pytest.mark.parametrize("code", PASSES)
def test_a_watch_goes_on_at_another_replica_after_what_passes(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended with STORE_UNAVAILABLE, and nobody looked any more."""
    monkeypatch.setattr(follow, "_PAUSES", (0,))
    monkeypatch.setattr(follow, "keep_fresh", lambda _: False)
    client = Replica(code)
    with pytest.raises(DeliveryError, match="NOT_AUTHORISED"):
        for _ in following(client, "", Out(json=False, quiet=True)):  # type: ignore[arg-type]
            pass
    assert (client.asked, client.tried) == (["", "c1"], 1)


class Killed(Replica):
    """A client whose node ends, and is away or killed in a handshake whenever it is tried again."""

    def __init__(self, *codes: str) -> None:
        super().__init__("")
        self.codes = list(codes)

    def watch(self, cursor: str, *, once: bool) -> Iterator[pb.WatchEvent]:
        del once
        self.asked.append(cursor)
        raise DeliveryError(self.codes.pop(0), "over")
        yield


def test_a_watch_ends_only_if_its_certificate_is_refused_twice_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node that was killed at the end of a handshake ended it."""
    monkeypatch.setattr(follow, "_PAUSES", (0,))
    refused, gone = "TLS_REFUSED", "NODE_UNREACHABLE"
    client = Killed(gone, refused, gone, refused, refused)
    with pytest.raises(DeliveryError, match="TLS_REFUSED"):
        list(following(client, "", Out(json=False, quiet=True)))  # type: ignore[arg-type]
    assert client.codes == []
