"""The law by which a node decides, in words: its files, since when, and texts that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intelshare.client import Client
    from intelshare.policy import PartyAct
    from intelshare.wire.v1 import user_pb2 as pb

_HEX = 12
"""The digits of a hash that are shown for a person to compare."""


def policy_line(policy: pb.PolicyState) -> str:
    """Return the line about the law in force for ``status``."""
    from intelshare.cli.shared.tables import short_time

    if not policy.since:
        return "policy  not read yet"
    laws = sum(one.file.startswith("overlays/") for one in policy.files)
    treaties = sum(one.file.startswith("treaties/") for one in policy.files)
    own = len(policy.files) - laws - treaties
    counted = f"{_count(treaties, 'treaty', 'treaties')}, {_count(laws, 'overlay', 'overlays')}"
    if own:
        counted += f", {_count(own, 'file', 'files')} of ladders, groups and words"
    return (
        f"policy  {counted}  in force since {short_time(policy.since)}  sha256:{policy.digest.hex()[:_HEX]}"
    )


def mismatch_words(mismatch: pb.TextMismatch) -> str:
    """Return which member adopted another text, and which text."""
    adopted = short_hash(mismatch.adopted) if mismatch.adopted else "no text"
    return f"{mismatch.member} adopted {adopted}; this node has {short_hash(mismatch.text)}"


def short_hash(text: str) -> str:
    """Return ``sha256:`` and as many digits as a person compares."""
    kind, _, digits = text.partition(":")
    return f"{kind}:{digits[:_HEX]}"


def every_act(client: Client) -> Sequence[pb.ActEntry]:
    """Return all acts that a node holds. Raises ConfigError TOO_LARGE, and what ``Client`` raises."""
    from intelshare.errors import ConfigError
    from intelshare.wire.v1 import user_pb2 as pb

    found = client.treat("ListActs", pb.ListActsRequest())
    if found.left_out:
        raise ConfigError(
            "TOO_LARGE",
            f"the node holds {found.left_out} acts more than one answer has room for",
            hint="`intelshare treaty state` shows how the node itself applies them",
        )
    acts: Sequence[pb.ActEntry] = found.acts
    return acts


def act_of(given: pb.ActEntry) -> PartyAct:
    """Return an act as the node reports it."""
    from intelshare.instant import NEVER, Instant
    from intelshare.labels import BEGINNING, Interval
    from intelshare.policy import ActKind, PartyAct, Reservation

    terms = given.reservation
    reservation = Reservation(
        frozenset(terms.categories) or None,
        terms.level_at_least or None,
        frozenset(terms.counterparties) or None,
        Interval(Instant(getattr(terms, "from")) or BEGINNING, Instant(terms.until or NEVER)),
    )
    return PartyAct(
        given.member,
        given.n,
        given.treaty,
        given.text,
        ActKind[given.kind.upper().replace("-", "_")],
        Instant(given.at),
        Instant(given.since),
        reservation if given.HasField("reservation") else None,
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
