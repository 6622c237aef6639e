"""Real nodes over real folders, sockets and certificates, in this process; and clients as any user has."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc

import waits
from intelshare.broker.kernel.tables import TABLES, UserRow
from intelshare.broker.lifecycle.access import ConfirmAccessCommand, access_waiting, confirm_access
from intelshare.builtin import demo_treaties
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import CertifiedKey, digest_of, issue_user, to_pem
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import DAY, Instant
from intelshare.node.backup import make_backup
from intelshare.node.establish import first_rows, make_folder
from intelshare.node.events import make_logger
from intelshare.node.folder import Folder
from intelshare.node.restore import restore_backup
from intelshare.node.run import NodeProcess, start_node
from intelshare.node.settings import DEVELOPMENT_SPACE, Settings
from intelshare.store.engines import Location, open_at
from intelshare.trust import Founded, Founding, create_member, user_uri
from intelshare.vault import DEVELOPMENT
from intelshare.wire.v1 import user_pb2 as pb
from intelshare.wire.v1 import user_pb2_grpc as services

LABEL = "//FRA S//REL TO FRA, USA"

PASSPHRASE = b"a passphrase for tests"

ROLES = {"a": "analyst", "r": "releasing-officer", "o": "operator", "u": "auditor"}


def now() -> Instant:
    return Instant(time.time_ns() // 1000)


_running: list[Site] = []
"""Sites whose nodes run in this process now."""


class EventLog(io.StringIO):
    """What a node logs. Who listens is woken by every line, whichever thread writes it."""

    def __init__(self) -> None:
        super().__init__()
        self._listening: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def write(self, text: str, /) -> int:
        for loop, event in self._listening:
            loop.call_soon_threadsafe(event.set)
        return super().write(text)

    @contextmanager
    def waking(self, event: asyncio.Event) -> Iterator[None]:
        """Within the block this event of the running loop is set by every line."""
        one = (asyncio.get_running_loop(), event)
        self._listening.append(one)
        try:
            yield
        finally:
            self._listening.remove(one)


@dataclass(eq=False)
class Site:
    """One member's data folder, and its node while it runs."""

    code: str
    root: Path
    founded: Founded
    leaves: dict[str, CertifiedKey] = field(default_factory=dict)
    """Of the users in the register, those that count."""
    log: EventLog = field(default_factory=EventLog)
    node: NodeProcess | None = None

    @property
    def running(self) -> NodeProcess:
        assert self.node is not None
        return self.node

    async def start(self, **options: Any) -> NodeProcess:
        options.setdefault("development", True)
        self.node = await start_node(self.root, lambda: PASSPHRASE, make_logger(self.log), **options)
        _running.append(self)
        return self.node

    async def stop(self) -> None:
        if self.node is not None:
            _running.remove(self)
            await self.node.stop()
            self.node = None

    async def let_in(self) -> None:
        """The operator's word after a loss of memory: users and members come in again."""
        runtime = self.running.runtime
        users, members = runtime.store.ask_now(lambda view: access_waiting(runtime.node, view))
        names = frozenset(row.name for row in users)
        command = ConfirmAccessCommand(
            UserUri(self.user_uri("o")), names, frozenset(members), "nobody was revoked"
        )
        for row in (await runtime.step(confirm_access, command)).value.users:
            runtime.register_changed(row)

    def user_uri(self, name: str) -> str:
        return user_uri(f"{self.code.lower()}.intelshare.internal", name)

    def leaf(self, name: str) -> CertifiedKey:
        """The certificate that counts; of a name that is in no register one that the authority issued."""
        if name not in self.leaves:
            self.leaves[name] = self.issue(name)
        return self.leaves[name]

    def issue(self, name: str) -> CertifiedKey:
        """A further certificate, of which the register knows nothing."""
        return issue_user(self.founded.user_authority, self.user_uri(name), now(), os.urandom)

    @asynccontextmanager
    async def client(self, name: str, *options: tuple[str, int]) -> AsyncIterator[Client]:
        async with self.channel(self.leaf(name), self.running.user_port, *options) as channel:
            yield Client(channel)

    def channel(self, leaf: CertifiedKey | None, port: int, *more: tuple[str, int]) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            to_pem((self.founded.node_authority.certificate,)),
            leaf.key if leaf else None,
            to_pem((leaf.certificate,)) if leaf else None,
        )
        options = (("grpc.default_authority", self.founded.node.dns), ("grpc.use_local_subchannel_pool", 1))
        return grpc.aio.secure_channel(f"ipv4:127.0.0.1:{port}", credentials, options=(*options, *more))


class Client:
    """The stubs of both services."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.bulletins: Any = services.BulletinsStub(channel)
        self.files: Any = services.FilesStub(channel)
        self.operations: Any = services.OperationsStub(channel)
        self.audit: Any = services.AuditStub(channel)
        self.treaties: Any = services.TreatiesStub(channel)

    async def send(
        self, to: Sequence[str], text: str, *, label: str = LABEL, precedence: int = 1, days: int = 0
    ) -> pb.SubmitResponse:
        """Send a text that is valid for so many days; 0: for ever."""
        portion = pb.Portion(kind=1, label=label, category="cyber", media="text/plain", content=text.encode())
        request = pb.SubmitRequest(
            key=os.urandom(16),
            to=to,
            precedence=precedence,
            portions=[portion],
            valid_until=now() + days * DAY if days else 0,
        )
        answer: pb.SubmitResponse = await self.bulletins.Submit(request)
        return answer

    async def upload(self, content: bytes, upload_id: bytes = b"", part: int = 1 << 18) -> bytes:
        """Bring a file to the node; the content of its portion."""
        call = self.files.Upload()
        await call.write(pb.UploadRequest(id=upload_id or os.urandom(16), size=len(content)))
        answers = aiter(call)
        first = await anext(answers)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for start in range(first.held, len(content), part):
                await call.write(pb.UploadRequest(data=content[start : start + part]))
            await call.done_writing()
        return bytes((await anext(answers)).attachment)

    async def attach(
        self, to: Sequence[str], *records: bytes, text: str = "see the annex", name: str = "annex.bin"
    ) -> pb.SubmitResponse:
        """Send a text with these attachments."""
        portions = [
            pb.Portion(kind=1, label=LABEL, category="cyber", media="text/plain", content=text.encode())
        ]
        portions += [
            pb.Portion(
                kind=5,
                label=LABEL,
                category="cyber",
                media=f"application/octet-stream; name={name}",
                content=record,
            )
            for record in records
        ]
        request = pb.SubmitRequest(key=os.urandom(16), to=to, precedence=1, portions=portions)
        answer: pb.SubmitResponse = await self.bulletins.Submit(request)
        return answer

    async def download(self, bulletin: bytes, portion: int = 2) -> bytes:
        """What an attachment holds."""
        parts, whole = [], False
        async for answer in self.files.Download(pb.DownloadRequest(id=bulletin.hex(), portion=portion)):
            parts.append(answer.data)
            whole = answer.whole
        assert whole
        return b"".join(parts)


def make_site(code: str, root: Path, *, at: Instant | None = None, **settings: Any) -> Site:
    """A data folder with an analyst, a releasing officer, an operator and an auditor, founded now or then."""
    founded = create_member(Founding(MemberCode(code), code.title(), "one"), at or now(), os.urandom)
    site = Site(code, root, founded)
    wanted = replace(
        Settings(MemberCode(code), founded.node.uri, allow_loopback_peers=True, space=DEVELOPMENT_SPACE),
        **settings,
    )
    folder = Folder(root)
    make_folder(folder, wanted, founded, PASSPHRASE, suites=SUITES, random=os.urandom, cost=DEVELOPMENT)
    for name, text in demo_treaties().items():
        (folder.treaties / name).write_text(text)
    users = [
        UserRow(
            UserUri(site.user_uri(name)),
            name,
            role,
            "R4",
            code,
            "*",
            0,
            digest_of(site.leaf(name).certificate),
        )
        for name, role in ROLES.items()
    ]
    store = open_at(Location(folder.database), TABLES, founded.storage_key)
    try:
        asyncio.run(store.perform(lambda _: first_rows(wanted, (founded.root,), founded.directory, users)))
    finally:
        store.close()
    return site


def code_of(error: grpc.aio.AioRpcError) -> str:
    """The code of ours that a call ended with; the gRPC status where none of ours ran."""
    return str(dict(error.trailing_metadata() or ()).get("intelshare-code", error.code().name))


async def word(site: Site, bulletin: bytes, recipient: str) -> str:
    """What ``outbox`` shows of one pair."""
    async with site.client("a") as client:
        answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
    return next(pair.word for pair in answer.entries[0].pairs if pair.recipient == recipient)


async def send_accepted(fra: Site) -> bytes:
    """Send a bulletin to USA, and wait until USA has accepted it; its id."""
    async with fra.client("a") as client:
        bulletin: bytes = (await client.send(["USA"], "from France")).bulletin

    async def accepted() -> bool:
        return await word(fra, bulletin, "USA") == "accepted"

    await until(accepted, "USA to accept it")
    return bulletin


async def introduce(one: Site, other: Site) -> None:
    """Both import each other's member file."""
    await show_member(one, other)
    await show_member(other, one)


async def show_member(giver: Site, taker: Site) -> None:
    """The taker imports the giver's member file, with the fingerprint that people compared."""
    async with giver.client("o") as client:
        said = await client.operations.ExportMember(pb.ExportMemberRequest())
    async with taker.client("o") as client:
        await client.operations.ImportMember(
            pb.ImportMemberRequest(text=said.text, fingerprint=said.fingerprint)
        )


def back_up(site: Site, target: Path) -> None:
    """Write a backup of a site's folder; its node may run, in this process too if a thread calls this."""
    make_backup(site.root, target, lambda: PASSPHRASE, now(), lambda *_: None)


def restore(backup: Path, root: Path, *, replace: bool = False) -> Path | None:
    """Make a folder of a backup; where the one that it replaces is now."""
    return restore_backup(
        backup, root, lambda: PASSPHRASE, replace=replace, now=now(), progress=lambda *_: None
    )[1]


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until a condition (a function, may be async) is true; its value.

    It is tried again whenever a node that runs has committed or logged.
    """
    changed = asyncio.Event()
    telling = [asyncio.create_task(_tell(site, changed)) for site in _running]
    try:
        return await waits.until(condition, changed, seen=_seen, what=what)
    finally:
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)


async def _tell(site: Site, changed: asyncio.Event) -> None:
    with site.log.waking(changed), site.running.runtime.listening() as written:
        while True:
            await written.wait()
            written.clear()
            changed.set()


def _seen() -> Iterator[str]:
    """Health and links of every node that runs, and the end of its log."""
    for site in _running:
        runtime, links = site.running.runtime, site.running.links.engine.linked
        state = f"{site.code}: health {sorted(runtime.health.codes)}, linked to {sorted(links)}"
        yield from waits.tail(state, site.log.getvalue())
