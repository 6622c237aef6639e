"""Bundles between members of ``line_world``: the scripts of ``engine.courier`` over stores in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from builders import NOW, Member, actor, seeded
from intelshare.audit.work import finish
from intelshare.engine import QUERIES, STEPS
from intelshare.engine.actions import OpenPieces, ReadSlice, RunQuery, RunStep, WritePiece
from intelshare.engine.courier import Doing, Packed, TakenIn, WriteMessage, log_written, pack
from intelshare.envelope.bundle import BundleReader, BundleWriter
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import durable_after_commit
from intelshare.trust.courier import BundleHead, bundle_key, check_head, own_documents, sign_head
from intelshare.wire import link_message, read_message
from piece_files import PieceFiles

MUCH = 64 << 20


def export(
    member: Member,
    to: str,
    at: Instant = NOW,
    *,
    most: int = MUCH,
    may_release: bool = True,
    seed: str = "",
    files: PieceFiles | None = None,
) -> tuple[bytes, Packed]:
    """A bundle for another member, and what is in it."""
    node, code = member.node, MemberCode(to)
    random = seeded(f"bundle {seed or node.member}")
    writer = BundleWriter(code, bundle_key(node.trust, code, at), node.suites, random)
    hello = member.ask(QUERIES["greet"], code, at)
    head = sign_head(writer.prefix, node.uri, own_documents(node.trust), BundleHead(code, hello), node.signer)
    parts = [writer.prefix, writer.add(head)]

    def put(doing: WriteMessage) -> None:
        parts.append(writer.add(link_message(doing.message, at)))

    packed = drive(member, pack(code, most, lambda: may_release, lambda _: True), at, put, files)
    parts.append(writer.finish())
    by = actor(node.member, "o").user
    done = log_written(by, code, packed, Digest(bytes(32)), sum(map(len, parts)))
    drive(member, iter_one(done), at)
    return b"".join(parts), packed


def take_in(
    member: Member, data: bytes, at: Instant = NOW, *, step: int = 1 << 16, files: PieceFiles | None = None
) -> TakenIn:
    """Take in a bundle that comes in parts of ``step`` bytes. Raises what ends it, what came before as
    ``taken``."""
    reader = BundleReader(member.node.member, member.node.sealing, member.node.suites)
    taken: TakenIn | None = None
    try:
        for message in _messages(reader, data, step):
            if taken is None:
                taken = TakenIn(check_head(message, reader.prefix, at, view=member.node.trust))
                drive(member, taken.begin(None), at)
            else:
                drive(member, taken.take(read_message(message), None, believed=True), at, files=files)
    except IntelshareError as error:
        error.taken = taken  # type: ignore[attr-defined]
        raise
    assert taken is not None
    return taken


def carry(one: Member, other: Member, at: Instant = NOW) -> TakenIn:
    """A bundle from one to the other."""
    return take_in(other, export(one, other.node.member, at)[0], at)


def _messages(reader: BundleReader, data: bytes, step: int) -> Iterable[bytes]:
    for start in range(0, len(data), step):
        yield from reader.feed(data[start : start + step])
    yield from reader.finish()


def iter_one(run: RunStep) -> Generator[Doing, Any, Any]:
    """A script of one step."""
    return (yield run)


def drive(
    member: Member,
    script: Generator[Doing, Any, Any],
    at: Instant,
    put: Any = None,
    files: PieceFiles | None = None,
) -> Any:
    """Do what a script asks for. ``files``: the pieces of the member, if there are any."""
    answer: Any = None
    disk = files or PieceFiles()
    while True:
        try:
            doing = script.send(answer)
        except StopIteration as end:
            return end.value
        answer = None
        if isinstance(doing, WriteMessage):
            put(doing)
        elif isinstance(doing, OpenPieces):
            opened = disk.open(doing)
            answer = opened.error or opened.missing
        elif isinstance(doing, WritePiece):
            answer = disk.write(doing).error
        elif isinstance(doing, ReadSlice):
            answer = disk.read(doing)
        elif isinstance(doing, RunQuery):
            answer = member.ask(QUERIES[doing.query], *doing.event, at)
            answer = finish(answer) if doing.beside else answer
        elif isinstance(doing, RunStep):
            answer = durable_after_commit(member.do(STEPS[doing.step], *doing.event, at=at))
