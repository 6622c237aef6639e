"""Courier in the simulation: real bundles, written and imported by the scripts of ``engine.courier``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from intelshare.audit.work import finish
from intelshare.broker.kernel.frame import Outbound, Slice
from intelshare.engine import QUERIES, Now
from intelshare.engine.actions import OpenPieces, ReadSlice, RunQuery, RunStep, WritePiece
from intelshare.engine.courier import Doing, Packed, Spend, TakenIn, WriteMessage, led_by, log_written, pack
from intelshare.engine.steps import Query
from intelshare.envelope.bundle import BundleReader, BundleWriter
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import Instant
from intelshare.ports import durable_after_commit
from intelshare.sim.machine import Machine
from intelshare.sim.process import Process
from intelshare.sim.world import user
from intelshare.trust.courier import BundleHead, bundle_key, check_head, own_documents, sign_head
from intelshare.wire import link_message, read_message

MOST = 256 << 10


def export(machine: Machine, to: str, then: Callable[[bytes], None], most: int = MOST) -> None:
    """Write a bundle, and call ``then`` with its bytes once it is complete. Does nothing if the node is down
    or stops.
    """
    process = machine.process
    if process is None or not process.serving:
        return
    node, at, member = process.node, process.now(), MemberCode(to)
    try:
        writer = BundleWriter(member, bundle_key(node.trust, member, at), node.suites, process.random)
        signer = machine.keys.signer(node.trust.hello_key(node.uri, member, at))
    except IntelshareError:
        return
    hello = QUERIES[Query.GREET](node, process.rows(), member, at)
    head = sign_head(writer.prefix, node.uri, own_documents(node.trust), BundleHead(member, hello), signer)
    parts = [writer.prefix, writer.add(head)]

    def put(doing: WriteMessage) -> None:
        if isinstance(doing.message, Outbound):
            process.oracle.sent(process, doing.message)
        elif isinstance(doing.message, Slice):
            process.oracle.sliced(process, member, doing.message)
        parts.append(writer.add(link_message(doing.message, process.now())))

    def may() -> bool:
        return process.driver.engine.may_release(_now(process))

    def packed(done: Packed) -> None:
        parts.append(writer.finish())
        size = sum(map(len, parts))
        run = log_written(user(machine.name, "o"), member, done, Digest(bytes(32)), size)

        def whole(_: Any) -> None:
            machine.heap.note("bundle", machine.name, to, size)
            process.oracle.counts["bundle"] += 1
            then(b"".join(parts))

        _drive(process, member, _one(run), whole)

    covers = partial(process.driver.engine.covers, node.incarnation)
    _drive(process, member, pack(member, most, may, covers), packed, put)


def take_in(machine: Machine, data: bytes) -> None:
    """Import a bundle, or as much of it as opens; a crash ends it in the middle."""
    process = machine.process
    if process is None or not process.serving:
        return
    reader = BundleReader(process.node.member, process.node.sealing, process.node.suites)
    messages = _messages(reader, data)
    counts = process.oracle.counts
    taken: list[TakenIn] = []

    def go_on(_: Any = None) -> None:
        try:
            message = next(messages)
            if taken:
                process.oracle.brought[taken[0].member] += 1
                allowed = process.driver.engine.allowed(taken[0].member, Instant(process.heap.now))
                believed = not process.clock.wrong()
                script = taken[0].take(read_message(message), allowed, believed=believed)
            else:
                head = check_head(message, reader.prefix, process.now(), view=process.node.trust)
                taken.append(TakenIn(head))
                allowed = process.driver.engine.allowed(head.peer.member, Instant(process.heap.now))
                script = taken[0].begin(allowed)
        except StopIteration:
            counts["bundle taken in"] += 1
            over("")
        except IntelshareError as error:
            counts[f"bundle {error.code}"] += 1
            if taken:
                over(error.code)
        else:
            _drive(process, taken[0].member, script, go_on)

    def over(code: str) -> None:
        run = taken[0].log(user(machine.name, "o"), Digest(bytes(32)), len(data), code)
        _drive(process, taken[0].member, _one(run), lambda _: None)

    go_on()


def _messages(reader: BundleReader, data: bytes) -> Iterator[bytes]:
    yield from reader.feed(data)
    yield from reader.finish()


def _one(run: RunStep) -> Generator[Doing, Any, Any]:
    return (yield run)


def _now(process: Process) -> Now:
    read = process.clock.read()
    return Now(read.now, Instant(process.heap.now), read.believed, read.confirmed)


def _drive(
    process: Process,
    member: MemberCode,
    script: Generator[Doing, Any, Any],
    then: Callable[[Any], None],
    put: Callable[[WriteMessage], None] = lambda _: None,
) -> None:
    """Carry out what a script asks for; it ends with its process."""

    def send(answer: Any) -> None:
        while process.alive:
            try:
                doing = script.send(answer)
            except StopIteration as end:
                then(end.value)
                return
            answer = None
            if isinstance(doing, RunStep):
                run = doing

                def done(plain: Any, run: RunStep = run) -> None:
                    durable = durable_after_commit(plain)
                    for event in led_by(run, durable):
                        process.feed(event)
                    send(durable)

                process.perform(run.step, *run.event, then=done, refused=lambda _: script.close())
                return
            if isinstance(doing, WriteMessage):
                put(doing)
            elif isinstance(doing, Spend):
                process.driver.engine.kept(member, doing.spent, Instant(process.heap.now))
            elif isinstance(doing, RunQuery):
                view = process.rows(checked=not doing.beside)
                try:
                    answer = QUERIES[doing.query](process.node, view, *doing.event, process.now())
                except IntelshareError:
                    script.close()
                    return
                answer = finish(answer) if doing.beside else answer
            elif isinstance(doing, ReadSlice):
                answer = process.machine.pieces.read(doing)
            elif isinstance(doing, OpenPieces):
                answer = process.machine.pieces.open(doing).missing
            elif isinstance(doing, WritePiece):
                answer = process.machine.pieces.write(doing).error

    send(None)
