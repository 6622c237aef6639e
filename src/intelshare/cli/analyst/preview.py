"""The preview for a releasing officer, before a held bulletin is released or refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from intelshare.cli.shared.confirm import confirm
from intelshare.text import visible

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


def show_held(client: Client, bulletin: str, member: str, what: str) -> bytes:
    """Show on stderr what an officer decides about, and ask; the log entry of the decision that was shown.

    Raises ConfigError USAGE, NOT_CONFIRMED, and what the calls raise.
    """
    from intelshare.cli.analyst.read import text_of_portion

    stays = f"it is still held for {member}"
    if not sys.stdin.isatty():
        # Nothing is opened for somebody who cannot answer.
        confirm(what, yes=False, otherwise=stays)
    found = client.why(bulletin, member)
    entry = client.outbox(bulletin).entries[0]
    opened = client.read(entry.bulletin.hex(), originator=client.profile.member)
    texts = [text_of_portion(portion) for portion in opened.portions]
    for line in _lines(entry, found, texts):
        sys.stderr.write(visible(line, lines=True) + "\n")
    confirm(
        f"{what} for {member}?",
        yes=False,
        otherwise=stays,
        hint=f"intelshare outbox refuse {entry.bulletin.hex()[:8]} --member {member} --reason ... ends it",
    )
    return found.log_entry


def _lines(entry: pb.OutboxEntry, found: pb.WhyResponse, texts: Sequence[str]) -> list[str]:
    """The text on which a releasing officer decides: author, recipient, and each portion with its hold."""
    from intelshare.cli.shared.tables import grounds, precedence, short_time

    decision = found.decision
    outcomes = {portion.position: portion for portion in decision.portions}
    lines = [
        f"bulletin {entry.bulletin.hex()}  {entry.banner}",
        f"{precedence(entry.precedence)}  by {entry.author}, {short_time(entry.created_at)}",
        f"for {decision.recipient}: {decision.word}",
    ]
    for place, text in enumerate(texts):
        mark = found.marks[place] if place < len(found.marks) else ""
        lines += ["", f"[{place + 1}] {mark}"]
        one = outcomes.get(place)
        if one is None:
            lines.append(f"    not for {decision.recipient}")
            continue
        outcome, basis, where = grounds(one)
        under = f" under {' '.join((one.basis, ', '.join(one.articles))).strip()}" if one.basis else ""
        if outcome == "deny":
            lines.append(f"    is withheld: {basis}{f'  ({where})' if where else ''}")
        elif one.holds:
            lines.append(f"    would go{under}; held by {', '.join(one.holds)}")
        else:
            lines.append(f"    would go{under}")
        lines += [f"    | {line}" for line in text.splitlines()]
    return [*lines, ""]
