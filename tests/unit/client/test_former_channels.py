"""An ``AsyncClient`` that turns to another replica keeps a former channel only while somebody waits there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from test_cut_calls import Broken

from intelshare.client import AsyncClient, Profile
from intelshare.client.profile import Credentials
from intelshare.errors import IntelshareError
from intelshare.wire.v1 import user_pb2 as pb

BESIDE = Broken(grpc.StatusCode.UNAVAILABLE, "", (("intelshare-code", "POLICY_UNAVAILABLE"),))


class Channel:
    """A channel to a replica that has not read its law; but it answers ``Inbox``, once it is told to."""

    def __init__(self, answers: asyncio.Event) -> None:
        self._answers = answers
        self.closed = False

    def unary_unary(self, path: str, *_: object, **__: object) -> Callable[..., Any]:
        async def call(_: object, *, timeout: float) -> pb.InboxResponse:
            del timeout
            if not path.endswith("/Inbox"):
                raise BESIDE
            await self._answers.wait()
            assert not self.closed, "somebody waited here"
            return pb.InboxResponse()

        return call

    stream_stream = unary_stream = stream_unary = unary_unary

    async def close(self) -> None:
        self.closed = True


async def test_a_former_channel_is_closed_once_its_calls_are_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two replicas that do nothing left one open at each call, until the client was closed."""
    made: list[Channel] = []
    answers = asyncio.Event()

    def opened(*_: object, **__: object) -> Channel:
        made.append(Channel(answers))
        return made[-1]

    where = "intelshare.client.asynchronous"
    monkeypatch.setattr(grpc.aio, "secure_channel", opened)
    monkeypatch.setattr(f"{where}.read_credentials", lambda _: Credentials(b"", b"", b""))
    monkeypatch.setattr(f"{where}.credentials_of", lambda _: None)
    profile = Profile(tmp_path, "FRA", "a", "127.0.0.1:1,127.0.0.1:2", "", "x")
    async with AsyncClient(profile) as client:
        for _ in range(5):
            with pytest.raises(IntelshareError, match="POLICY_UNAVAILABLE"):
                await client.ask("WhoAmI", pb.WhoAmIRequest())
        assert [one.closed for one in made] == [True] * 5 + [False]
        waiting = asyncio.ensure_future(client.ask("Inbox", pb.InboxRequest()))
        await asyncio.sleep(0)
        with pytest.raises(IntelshareError, match="POLICY_UNAVAILABLE"):
            await client.ask("WhoAmI", pb.WhoAmIRequest())
        assert [one.closed for one in made[-2:]] == [False, False], "one is waited for"
        answers.set()
        await waiting
        assert [one.closed for one in made[-2:]] == [True, False]
    assert all(one.closed for one in made)
