"""A submission that ends without a word of the node is told as unknown, never as not stored (promise P2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from intelshare.client import Client, Profile
from intelshare.client.attempts import TIMES
from intelshare.errors import IntelshareError
from intelshare.wire.v1 import user_pb2 as pb

CUT = [
    (grpc.StatusCode.UNKNOWN, "Stream removed"),
    (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
    (grpc.StatusCode.DATA_LOSS, "the end of the stream is missing"),
    (grpc.StatusCode.CANCELLED, "RST_STREAM"),
    (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
]
UNDONE = [
    (grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"),
]
"""What gRPC says, and what it says of a call that it has not given to the node."""


class Broken(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, status: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str], ...]) -> None:
        self._status, self._details, self._metadata = status, details, metadata

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


class Line:
    """A channel to a node that knows its caller, and whose submissions all end in one way."""

    def __init__(self, status: grpc.StatusCode, details: str, *metadata: tuple[str, str]) -> None:
        self._ends = Broken(status, details, metadata)
        self.submitted = 0

    def unary_unary(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        def call(_: object, *, timeout: float) -> pb.WhoAmIResponse:
            del timeout
            if path.endswith("/WhoAmI"):
                return pb.WhoAmIResponse()
            self.submitted += 1
            raise self._ends

        return call

    def stream_stream(self, *_: object, **__: object) -> Callable[..., Any]:
        return lambda _: Stream(self._ends)

    unary_stream = stream_unary = stream_stream

    def close(self) -> None:
        pass


class Stream:
    def __init__(self, ends: Broken) -> None:
        self._ends = ends

    def __iter__(self) -> Iterator[object]:
        raise self._ends

    def cancel(self) -> None:
        pass


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelshare.client.connection.PAUSE", 0.0)


def ended(line: Line, call: Callable[[Client], object]) -> IntelshareError:
    with (
        Client(Profile(Path(), "FRA", "a", "", "", "x"), channel=line) as client,  # type: ignore[arg-type]
        pytest.raises(IntelshareError) as caught,
    ):
        call(client)
    return caught.value


def submission(client: Client) -> object:
    return client.submit(pb.SubmitRequest())


def many(client: Client) -> object:
    return list(client.submit_many([pb.SubmitRequest(key=bytes(16))]))


@pytest.mark.parametrize(("status", "details"), CUT)
def test_a_submission_that_is_cut_is_made_again_and_then_unknown(
    status: grpc.StatusCode, details: str
) -> None:
    """P2: it was told as a defect of the node, and `send` forgot the key."""
    line = Line(status, details)
    assert ended(line, submission).code == "OUTCOME_UNKNOWN"
    assert line.submitted == TIMES, "the next attempt may get the answer"
    assert ended(line, many).code == "OUTCOME_UNKNOWN"


@pytest.mark.parametrize(("status", "details"), UNDONE)
def test_a_submission_that_never_reached_the_node_leaves_no_doubt(
    status: grpc.StatusCode, details: str
) -> None:
    line = Line(status, details)
    assert (ended(line, submission).code, line.submitted) == ("INTERNAL", 1)
    assert ended(line, many).code == "INTERNAL"


def test_what_the_node_itself_says_is_its_answer() -> None:
    line = Line(grpc.StatusCode.INTERNAL, "INTERNAL", ("intelshare-code", "INTERNAL"))
    assert (ended(line, submission).code, line.submitted) == ("INTERNAL", 1)
    assert ended(line, many).code == "INTERNAL"
