"""A console over the services of one member, without a node, and requests as a browser makes them."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, TypeVar

from builders import NOW, Member, actor, draft, text
from intelshare.client import Client, Profile
from intelshare.console.feed import Feed
from intelshare.console.guard import Guard
from intelshare.console.nodes import Nodes
from intelshare.console.pages import read_pages
from intelshare.console.web import Web
from intelshare.crypto.records import PortionKind
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.roles import Role
from intelshare.services.dispatch import answer
from intelshare.services.table import SERVICES
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_BOTH, met, send
from services_world import MemberBackend

T = TypeVar("T")
PORT = 8321
HOST = f"127.0.0.1:{PORT}"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3)) ]]> \u202e&amp;"
SECRET_TO_ALL = "//FRA SECRET//REL TO FRA, USA, KEN"


class Channel:
    """What the client's stubs call: the rows of the services, as one user."""

    def __init__(self, member: Member, name: str, watched: queue.Queue[pb.WatchEvent]) -> None:
        self._member, self._name, self._watched = member, name, watched
        self.calls: list[str] = []

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[..., Any]:
        service, method = path.removeprefix("/intelshare.v1.").split("/")

        def call(request: Any, timeout: float) -> Any:
            del timeout
            self.calls.append(method)
            who, row = actor(self._member.node.member, self._name), SERVICES[service][method]
            assert who.role in row.roles, f"{who.role} calls {method}"
            return asyncio.run(answer(MemberBackend(self._member), row, who, request))

        return call

    def unary_stream(self, *_: Any, **__: Any) -> Callable[..., Any]:
        watched = self._watched

        class Call:
            def __iter__(self) -> Iterator[pb.WatchEvent]:
                while (event := watched.get(timeout=30)).what != "end":
                    yield event

            def cancel(self) -> None:
                return None

        return lambda _: Call()

    stream_unary = stream_stream = unary_stream

    def close(self) -> None:
        return None


@dataclass
class Desk(Nodes):
    """The analyst ``a`` and the operator ``o`` of a member; ``down``: the node does not answer."""

    member: Member
    names: tuple[str, ...] = ("a", "o")
    down: bool = False
    watched: queue.Queue[pb.WatchEvent] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        profile = Profile(Path("profile"), self.member.node.member, "a", "127.0.0.1:1", "", "node")
        self.channels = {name: Channel(self.member, name, self.watched) for name in self.names}
        self._clients = {
            actor(self.member.node.member, name).role: Client(profile, channel=channel)  # type: ignore[arg-type]
            for name, channel in self.channels.items()
        }

    def ask(self, roles: frozenset[Role], question: Callable[[Client], T]) -> T:
        if self.down:
            raise DeliveryError("NODE_UNREACHABLE", "nobody answers", hint="start it")
        for role, client in self._clients.items():
            if role in roles:
                return question(client)
        raise DeliveryError("NOT_AUTHORISED", "nobody here may")

    def may(self, roles: frozenset[Role]) -> bool:
        return bool(roles & self._clients.keys())

    def who(self) -> list[pb.WhoAmIResponse]:
        return [client.whoami() for client in self._clients.values()]


def member() -> Member:
    """FRA with bulletins: all to both, a half to KEN, and one of hostile titles and texts."""
    fra: Member = met()["FRA"]
    send(fra, draft(text(TO_BOTH, "all"), to=["USA", "KEN"]), key="all")
    send(fra, draft(text(TO_BOTH), text(SECRET_TO_ALL, "too high"), to=["USA", "KEN"]), key="half")
    title = text(SECRET_TO_ALL, HOSTILE, kind=PortionKind.TITLE)
    send(fra, draft(title, text(SECRET_TO_ALL, HOSTILE), to=["USA", "KEN"]), key="hostile")
    return fra


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: Message
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Browser:
    """Asks an application with what a browser on this machine would say, and keeps its cookie."""

    def __init__(self, desk: Desk | None = None, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.desk = desk or Desk(member())
        self.guard = Guard("127.0.0.1", PORT, clock)
        self.feed = Feed(self.desk, dict)
        self.web = Web(self.guard, self.desk, self.feed, read_pages())
        self.cookie = ""

    def enter(self) -> Said:
        """Open the address that the console printed."""
        said = self.get(self.guard.address().removeprefix(self.guard.url))
        cookies = SimpleCookie(said.headers["Set-Cookie"])
        self.cookie = "; ".join(f"{name}={one.value}" for name, one in cookies.items())
        return said

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Said:
        """One request; ``headers`` with _ for -."""
        return asyncio.run(self._get(path, method, headers))

    async def _get(self, path: str, method: str, headers: Mapping[str, str]) -> Said:
        given = {"host": HOST} | ({"cookie": self.cookie} if self.cookie else {})
        given |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
        place, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": place,
            "raw_path": place.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def out(message: Any) -> None:
            sent.append(message)

        await self.web(scope, receive, out)
        found = Message()
        for name, value in sent[0]["headers"]:
            found[name.decode()] = value.decode()
        return Said(sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:]))


def event(what: str, number: int, to: str = "USA") -> pb.WatchEvent:
    """As the node's watch tells it."""
    return pb.WatchEvent(what=what, at=NOW + number, cursor=str(number), bulletin=bytes(16), member=to)


__all__ = ["HOST", "HOSTILE", "Browser", "Desk", "IntelshareError", "Said", "event", "member"]
