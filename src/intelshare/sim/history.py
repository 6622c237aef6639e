"""I7: each change of a commit is in the log of the same commit, exactly once, and nothing else is.

``_implied`` reads the rows of a plan and ``_logged`` its log entries; neither asks the steps. Left out are
other nodes' statements about their logs (WITNESSED), and rejections, which are counted in the evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from intelshare.audit.records import STORED, EntryType
from intelshare.broker.kernel.documents import REVOKED
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import (
    ACT,
    BULLETIN,
    CONSENT,
    DUTY,
    EXPORTED,
    INBOX,
    LOG,
    NODE,
    PAIR,
    READER,
    RECEIVED,
    STATEMENT,
    TRUST,
    USER,
)
from intelshare.broker.lifecycle.destroy import Gone
from intelshare.broker.treaty.act import ActState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Consent, Kind
from intelshare.delivery import Cause
from intelshare.ports import Plan, Put, View
from intelshare.sim.heap import Violation

Entry = tuple[EntryType, *tuple[Any, ...]]
"""An entry type, and the fields that say what it is about."""

_ABOUT: Mapping[EntryType, tuple[str, ...]] = {
    EntryType.START: (),
    EntryType.SUBMIT: ("md",),
    EntryType.DECISION: ("md", "recipient"),
    EntryType.APPROVE: ("md", "recipient"),
    EntryType.STOP: ("md", "recipient", "cause"),
    EntryType.HAND_OVER: ("md", "recipient", "leaf"),
    EntryType.RECEIVED: ("leaf",),
    EntryType.RECEIPT: ("leaf",),
    EntryType.READ: ("md", "user"),
    EntryType.EXPORT: ("md", "user", "consumer"),
    EntryType.REGISTER: ("user",),
    EntryType.TRUST: ("member", "type", "version"),
    EntryType.TREATY_ACT: ("leaf",),
    EntryType.RECALL: ("md",),
    EntryType.DESTROYED: ("md",),
    EntryType.CONSENT: ("md", "recipient", "member"),
    EntryType.DUTY: ("md", "obligation"),
}
"""The fields that tell one entry of a type from another."""


def check(node: Node, name: str, view: View, plan: Plan[Any]) -> None:
    """Check the log entries against the rows. Raises Violation I7."""
    logged, implied = list(_logged(node, plan)), list(_implied(name, view, plan))
    if logged == implied:
        return
    said, done = Counter(logged), Counter(implied)
    if said != done:
        missing, extra = done - said, said - done
        what = [f"{count} {entry[0].name} missing" for entry, count in missing.items()]
        what += [f"{count} {entry[0].name} too many" for entry, count in extra.items()]
        raise Violation("I7", f"{node.member}: after {name} the log has " + ", ".join(what))


def _logged(node: Node, plan: Plan[Any]) -> Iterator[Entry]:
    for write in plan.writes:
        if write.table is LOG:
            if not isinstance(write, Put):
                raise Violation("I7", f"{node.member} deletes from its log")
            for entry in open_row(node, write.row):
                kind = EntryType(entry.type)
                fields = _ABOUT.get(kind)
                if fields is not None:
                    record = decode(STORED[kind], entry.record)
                    yield (kind, *(getattr(record, field) for field in fields))


def _implied(name: str, view: View, plan: Plan[Any]) -> Iterator[Entry]:
    for write in plan.writes:
        rule = _RULES.get(write.table.name)
        if rule is not None and isinstance(write, Put):
            old = view.get(write.table, *write.table.key_of(write.row))
            yield from rule(name, old, write.row)


def _bulletin(name: str, old: Any, new: Any) -> Iterator[Entry]:
    if old is None and name == "receive":
        return  # A release came back that the disk had forgotten.
    if old is None:
        yield EntryType.SUBMIT, new.md
    elif new.recalled and not old.recalled:
        yield EntryType.RECALL, new.md


def _pair(name: str, old: Any, new: Any) -> Iterator[Entry]:
    about = new.md, new.recipient
    known_again = old is None and name == "receive"
    if not known_again and (
        old is None or (old.decided_in, old.decided_at) != (new.decided_in, new.decided_at)
    ):
        yield EntryType.DECISION, *about
    if name == "approve" or (name == "backfill" and old is None):
        yield EntryType.APPROVE, *about
    if new.cause not in (Cause.NONE, Cause.NONE if old is None else old.cause):
        yield EntryType.STOP, *about, new.cause
    # One that comes back is logged with its statement, whether its pair is known or not.
    handed_over = old is not None and new.leaf != old.leaf
    if handed_over and name != "receive":
        yield EntryType.HAND_OVER, *about, new.leaf


def _statement(name: str, old: Any, new: Any) -> Iterator[Entry]:
    if name == "receive" and old is None and new.kind == Kind.RELEASE:
        yield EntryType.HAND_OVER, new.md, new.peer, new.leaf


def _received(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    if old is None and new.kind in (Kind.RELEASE, Kind.RECALL):
        yield EntryType.RECEIVED, new.leaf
    elif old is None and new.kind == Kind.RECEIPT:
        yield EntryType.RECEIPT, new.leaf
    elif old is None and new.kind == Kind.CONSENT:
        said = decode(Consent, new.data)
        yield EntryType.CONSENT, said.md, said.recipient, new.member


def _inbox(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    if new.gone == Gone.DESTROYED and (old is None or old.gone != Gone.DESTROYED):
        yield EntryType.DESTROYED, new.md


def _act(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    if new.state == ActState.COUNTS and (old is None or old.state != ActState.COUNTS):
        yield EntryType.TREATY_ACT, new.leaf


def _consent(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del old
    if name != "receive":
        yield EntryType.CONSENT, new.md, new.recipient, new.member


def _duty(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    if new.done and not old.done:
        yield EntryType.DUTY, new.md, new.obligation


def _trust(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    # What is remembered beside a document changes with others.
    if new.type != REVOKED and (old is None or old.record != new.record):
        yield EntryType.TRUST, new.member, new.type, new.version


def _node(name: str, old: Any, new: Any) -> Iterator[Entry]:
    del name
    if old is None or old.incarnation != new.incarnation:
        yield (EntryType.START,)


_RULES: Mapping[str, Callable[[str, Any, Any], Iterator[Entry]]] = {
    BULLETIN.name: _bulletin,
    PAIR.name: _pair,
    RECEIVED.name: _received,
    STATEMENT.name: _statement,
    INBOX.name: _inbox,
    ACT.name: _act,
    CONSENT.name: _consent,
    DUTY.name: _duty,
    NODE.name: _node,
    READER.name: lambda *rows: iter([(EntryType.READ, rows[2].md, rows[2].user)]),
    EXPORTED.name: lambda *rows: iter([(EntryType.EXPORT, rows[2].md, rows[2].user, rows[2].consumer)]),
    USER.name: lambda *rows: iter([(EntryType.REGISTER, rows[2].user)]),
    TRUST.name: _trust,
}
"""By table: (step, row before, row after) -> the entries that the log must have."""
