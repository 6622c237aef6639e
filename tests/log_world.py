"""Members that show each other their logs, and one that edits its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from builders import NOW, Member, user
from intelshare.audit import LogHead, append
from intelshare.audit.exhibit import Exhibit
from intelshare.audit.path import LogAsk, LogPath
from intelshare.audit.portable import EVIDENCE_SCHEMA, EvidenceFile, ShownLog, wrap, write
from intelshare.audit.work import finish
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Frame
from intelshare.broker.kernel.log import entries_of, hash_of, log_row_of, make_row, opened
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import CHECKPOINT, LOG, LOG_HEAD, EvidenceRow, UserRow
from intelshare.broker.line.hello import start_incarnation
from intelshare.broker.transparency import checkpoint as checkpoints
from intelshare.broker.transparency.checkpoint import checkpoint
from intelshare.broker.transparency.evidence import alarms
from intelshare.broker.transparency.known_checkpoints import CheckpointState
from intelshare.broker.transparency.proving import show_seen
from intelshare.broker.transparency.witness import prove
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Checkpoint, Cosigned, Kind
from intelshare.ids import Digest, Incarnation, MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.ports import Plan, Put, View
from intelshare.trust import documents_of
from line_world import arrive, signed


def answer(node: Node, view: View, ask: LogAsk) -> LogPath | None:
    """What a node answers to a question about its log."""
    return finish(checkpoints.answer(node, view, ask))


class Logs:
    """Carries checkpoints, asks and paths between members, as links would."""

    def __init__(self, members: Any) -> None:
        self.members = members
        self.now = NOW
        self.answers: list[Any] = []

    def act(self, code: str, count: int = 1) -> None:
        """Let a member's log grow."""
        member = self.members[code]
        for _ in range(count):
            row = UserRow(user(code, "x"), "x", "analyst", "R1", code, "*", 0)
            member.do(set_user, SetUserCommand(user(code, "o"), row), at=self.tick())

    def tick(self) -> Instant:
        self.now = Instant(self.now + SECOND)
        return self.now

    def say(self, code: str) -> Effects:
        """A member signs where its log stands."""
        effects: Effects = self.members[code].do(checkpoint, at=self.tick())
        return effects

    def show(self, code: str, *to: str) -> list[str]:
        """A member signs, and shows it to some (else all); the codes of their answers."""
        return self.deliver(code, self.say(code), *to)

    def deliver(self, code: str, effects: Effects, *to: str) -> list[str]:
        """Bring what was said to some (else all), with all that follows."""
        found = []
        for outbound in effects.outbound:
            if not to or outbound.peer in to:
                found += self.bring(code, outbound.peer, outbound.frame)
        return found

    def bring(self, code: str, peer: str, frame: Frame) -> list[str]:
        taken = arrive(self.members[peer], self.members[code], frame, at=self.tick())
        self.follow(peer, taken.effects)
        return [ack.code for ack in taken.acks]

    def follow(self, code: str, effects: Effects) -> None:
        """Ask what a member wants to ask, and let it judge the answers."""
        for member, ask in effects.asks:
            other = self.members[member]
            path = answer(other.node, other.store, ask)
            if path is not None:
                self.answers.append(path)
                proved = self.members[code].do(prove, member, other.node.uri, path, at=self.tick())
                self.follow(code, proved)

    def restart(self, code: str) -> None:
        """A new incarnation begins."""
        member = self.members[code]
        fresh = Incarnation(member.node.incarnation + 1)
        member.node = replace(member.node, incarnation=fresh, trees={})
        member.do(start_incarnation, at=self.tick())

    def alarms(self, code: str) -> list[EvidenceRow]:
        found: list[EvidenceRow] = self.members[code].store.ask_now(alarms)
        return found

    def held(self, code: str, of: str, state: CheckpointState = CheckpointState.PROVED) -> list[int]:
        """Sizes that a member holds of another's logs."""
        uri = self.members[of].node.uri
        rows = self.members[code].store.find(CHECKPOINT, "key", uri)
        return [row.size for row in rows if row.state == state]

    def seen(self, code: str, row: EvidenceRow) -> list[ShownLog]:
        """What a member's log says of the statements of this evidence."""
        self.say(code)
        member = self.members[code]
        return show_seen(member.node, member.store, decode(Exhibit, row.exhibit))

    def export(
        self, code: str, row: EvidenceRow, documents: Sequence[str] | None = None, *, seen: bool = False
    ) -> bytes:
        """The evidence file of a member. ``seen``: with what its own log says of the statements."""
        trust = self.members[code].node.trust.members
        codes = documents if documents is not None else list(trust)
        file = EvidenceFile(
            EVIDENCE_SCHEMA, row.code, row.member, code, row.first, "",
            wrap(Exhibit, decode(Exhibit, row.exhibit)), self.seen(code, row) if seen else [],
            {one: documents_of(trust[MemberCode(one)]) for one in codes},
        )  # fmt: skip
        return write(file).encode()


def forged(
    logs: Logs, code: str, root: bytes, size: int, seed: str, cosigned: tuple[Cosigned, ...] = ()
) -> Any:
    """A checkpoint that a member really signed, of a log that is not its own."""
    member = logs.members[code]
    node = member.node
    record = Checkpoint(node.uri, node.incarnation, size, Digest(root), cosigned)
    return signed(member, Kind.CHECKPOINT, record, at=logs.now, seed=seed)


def rewrite(member: Member, place: int, incarnation: Incarnation | None = None) -> None:
    """Change an entry and everything that depends on it, as somebody does who has the machine and the key."""
    log = incarnation or member.node.incarnation
    before = list(opened(member.node, member.store, log))
    old = before[place]
    salt, record = os.urandom(32), old.record[::-1]
    edited = old._replace(salt=salt, record=record)
    before[place] = edited._replace(leaf=hash_of(edited))
    stored = log_row_of(member.store, log, place)
    together = [before[one.place] for one in entries_of(stored)]
    row = make_row(member.node.storage_key, os.urandom(24), together)
    head = member.store.get(LOG_HEAD, log)
    grown = append(LogHead(log, 0, b""), [one.leaf for one in before[: head.size]])
    member.node.trees.clear()
    changes = (Put(LOG, row), Put(LOG_HEAD, head._replace(frontier=grown.frontier)))
    member.store.apply(Plan(changes, None))
