"""The code that people are shown for a link that ended: it is one that `intelshare errors` explains."""

from __future__ import annotations

import grpc
import pytest

from intelshare.cli.shared.codes import catalogue
from intelshare.node.links import _code_of

STATUS = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (STATUS.UNAVAILABLE, None, "NODE_UNREACHABLE"),
        (STATUS.INTERNAL, None, "NODE_UNREACHABLE"),
        (STATUS.CANCELLED, None, "NODE_UNREACHABLE"),
        (STATUS.DEADLINE_EXCEEDED, None, "TIMED_OUT"),
        (STATUS.ABORTED, "TWO_INSTANCES", "TWO_INSTANCES"),
        (STATUS.INTERNAL, "INTERNAL", "INTERNAL"),
    ],
)
def test_a_call_that_ended_has_a_code_that_is_explained(
    status: grpc.StatusCode, told: str | None, code: str
) -> None:
    metadata = grpc.aio.Metadata(*(() if told is None else (("intelshare-code", told),)))
    ended = grpc.aio.AioRpcError(status, grpc.aio.Metadata(), metadata, "Received RST_STREAM")
    assert _code_of(ended) == code
    assert code in catalogue()
