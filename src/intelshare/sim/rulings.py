"""I4 and I12: whether a portion may go, decided by the oracle from the drafts it saw and the contents of a
disk.

It knows every draft by its manifest digest, and calls ``decide`` in a world that it compiles itself, from the
files and the acts that a disk holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intelshare.broker.kernel.tables import ACT, CONSENT, PAIR, PORTION, RECEIVED, SECRET
from intelshare.broker.kernel.transaction import open_secret
from intelshare.broker.lifecycle.redecide import ConsentState
from intelshare.broker.treaty.act import counting
from intelshare.bulletin import Draft
from intelshare.crypto.codec import decode
from intelshare.crypto.records import Consent, Portion
from intelshare.envelope import body_digest
from intelshare.ids import ManifestDigest
from intelshare.instant import NEVER, Instant
from intelshare.labels import Label, parse_label
from intelshare.policy import Outcome, Request, World, decide, originator_of
from intelshare.ports import Plan, Put, Table, View
from intelshare.sim.law import law, registry
from intelshare.sim.process import Process

FACTS: tuple[Table[Any], ...] = (ACT, CONSENT, PAIR)
"""The tables on which a ruling rests, besides statements, which never change."""


@dataclass(frozen=True, slots=True)
class Content:
    """A bulletin as it was written."""

    originator: str
    expires: Instant
    portions: Mapping[int, tuple[Portion, Label]]
    """The portions and their labels, by slot."""
    slots: Mapping[bytes, int]
    """The slots, by the digest of the body."""
    secrets: Mapping[int, bytes]
    """The secrets that open the portions, by slot."""


class Rulings:
    """Everything that was ever written."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self.contents: dict[ManifestDigest, Content] = {}
        self.variants: dict[str, int] = {}
        """By member, the variant of its own rules by which its node decides now."""
        self._members = tuple(sorted(members))
        self._granted: dict[tuple[ManifestDigest, str, str], set[int]] = {}

    def written(self, process: Process, md: ManifestDigest, draft: Draft, plan: Plan[Any]) -> None:
        """Remember what a submission writes."""
        rows = [write.row for write in plan.writes if isinstance(write, Put) and write.table is PORTION]
        secrets = {
            write.row.slot: open_secret(process.node, SECRET.name, md, write.row.slot, write.row.sealed)
            for write in plan.writes
            if isinstance(write, Put) and write.table is SECRET
        }
        now = process.now()
        portions = {
            row.slot: (
                draft.portions[row.position],
                parse_label(draft.portions[row.position].label, registry(), at=now, use="write"),
            )
            for row in rows
        }
        slots = {bytes(row.body_digest): row.slot for row in rows}
        self.contents[md] = Content(process.name, draft.valid_until, portions, slots, secrets)

    def consented(self, me: str, row: Any) -> None:
        """Note that an originator's officer has granted a consent, which others may hold from now on."""
        self._granted.setdefault((row.md, row.recipient, me), set()).update(row.slots)

    def slots_of(self, md: ManifestDigest, bodies: Iterable[bytes]) -> list[int] | None:
        """Return the slots of these bodies; None if one of them does not belong to this bulletin."""
        known = self.contents[md].slots
        found = [known.get(body_digest(body)) for body in bodies]
        return None if None in found else [slot for slot in found if slot is not None]

    def world(self, member: str, facts: View) -> World:
        """Return the member's world as the acts on a disk make it."""
        return law(member, self._members, tuple(counting(facts)), self.variants.get(member, 0))

    def refusals(
        self,
        member: str,
        facts: View,
        said: View,
        md: ManifestDigest,
        slots: Sequence[int],
        sender: str,
        recipient: str,
        at: Instant,
        *,
        approvals: frozenset[str] = frozenset(),
        holds: bool = True,
    ) -> list[str]:
        """Return the reasons why these portions may not go, as ``member`` decides in the world of ``facts``.

        ``holds``: a hold is a reason. It stops nothing that was handed over.

        ``said`` is the view with the statements on which a consent rests.
        """
        content, world = self.contents[md], self.world(member, facts)
        found = []
        for slot in slots:
            portion, label = content.portions[slot]
            originator = originator_of(world, label, content.originator, at)
            request = Request(
                label=label,
                category=portion.category,
                at=at,
                sender=sender,
                recipient=recipient,
                originator=content.originator,
                flags=frozenset(portion.flags),
                consents=self._agreed(member, facts, said, md, slot, sender, recipient, originator, at),
                approvals=approvals,
                released=member == recipient,
                valid_until=None if content.expires == NEVER else content.expires,
            )
            decision = decide(world, request)
            if decision.outcome is not Outcome.ALLOW:
                found += [*decision.codes, *(decision.holds if holds else ())]
        return found

    def _agreed(
        self,
        member: str,
        facts: View,
        said: View,
        md: ManifestDigest,
        slot: int,
        sender: str,
        recipient: str,
        originator: str,
        at: Instant,
    ) -> frozenset[str]:
        """Return the recipient, if the originator's consent is in force: at the sender, by the sender's
        rows.
        """
        if originator == sender or slot not in self._granted.get((md, recipient, originator), ()):
            return frozenset()
        if member != sender:
            return frozenset((recipient,))
        row = facts.get(CONSENT, md, recipient, originator)
        if row is None or not row.own or row.state != ConsentState.GRANTED or at >= row.until:
            return frozenset()
        kept = said.get(RECEIVED, row.member, row.leaf)
        slots = decode(Consent, kept.data).slots if kept is not None else ()
        return frozenset((recipient,)) if slot in slots else frozenset()
