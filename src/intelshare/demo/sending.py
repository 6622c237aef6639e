"""Sends and reads a bulletin: the tables of ``send`` and ``read``, compared with what is expected."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from intelshare.cli.shared.codes import Exit
from intelshare.demo.scenario import Analyst, Expected, Sending
from intelshare.demo.stage import Stage, command, indented, say
from intelshare.wire.v1 import user_pb2 as pb

if TYPE_CHECKING:
    from intelshare.client import Client

_VERDICTS: Final = {"allow": "released", "hold": "held", "deny": "withheld"}


def send(stage: Stage, sending: Sending, *, wait: bool = True) -> list[str]:
    """Send a bulletin; every recipient gets the portions that its treaty permits, and no others.

    ``wait``: wait until all who get something have accepted it, and then compare; otherwise the caller does
    both.
    """
    folder = stage.folder / "bulletins"
    folder.mkdir(mode=0o700, exist_ok=True)
    words = ["send", "--to", ",".join(sending.recipients), "--category", sending.category]
    for portion in sending.portions:
        (folder / portion.file).write_text(portion.text, "utf-8")
        words += ["--portion", f"{folder / portion.file}:{portion.label}"]
    words += ["--precedence", sending.precedence, "--yes", "--as", stage.profile(sending.author)]
    words += ["--wait", "accepted"] if wait else []
    words += ["--from-bulletin", stage.sent[sending.source][:8]] if sending.source else []
    command(*words, out=indented(sys.stdout), ends=(Exit.DONE, Exit.DENIED))
    stage.authors[sending.title] = sending.author
    with stage.client(sending.author) as client:
        stage.sent[sending.title] = client.outbox(limit=1).entries[0].bulletin.hex()
        return compare(client, stage.sent[sending.title], sending.expected) if wait else []


def empty(stage: Stage, reader: Analyst) -> bool:
    """Return true if this reader's inbox is empty; if so, say it."""
    with stage.client(reader) as client:
        nothing = not client.inbox().entries
    if nothing:
        say(f"{reader.name} ({reader.member}): nothing in the inbox")
    return nothing


def compare(client: Client, bulletin: str, expected: Sequence[Expected]) -> list[str]:
    """Return how the pairs of a bulletin, and the decisions now in force, differ from these."""
    entry = client.outbox(bulletin).entries[0]
    states = {pair.recipient: pair.word for pair in entry.pairs}
    return [
        difference
        for row in expected
        for difference in _compare(row, states, client.why(bulletin, row.recipient).decision)
    ]


def read(stage: Stage, sending: Sending, reader: Analyst, granted: Sequence[int]) -> list[str]:
    """Open the bulletin as the reader: the granted portions, complete; of the others not even their
    existence.
    """
    texts = [portion.text for portion in sending.portions]
    withheld = [text for n, text in enumerate(texts) if n not in granted]
    with stage.client(reader) as client:
        entries = client.inbox().entries
        if len(entries) != 1:
            return [f"{reader.member} has {len(entries)} bulletins in its inbox instead of 1"]
        bulletin = entries[0].bulletin.hex()
        command("read", bulletin, "--as", stage.profile(reader), out=indented(sys.stdout))
        opened = client.read(bulletin)
    got = [shown.portion.content.decode("utf-8") for shown in opened.portions]
    wanted = [texts[n] for n in granted]
    differences = []
    if got != wanted or entries[0].portions != len(wanted):
        differences.append(f"{reader.member} reads {len(got)} portions, and not exactly those granted")
    said = opened.SerializeToString() + entries[0].SerializeToString()
    if any(line.encode() in said for text in withheld for line in text.splitlines()):
        differences.append(f"{reader.member} was told something about a portion that was withheld")
    return differences


def _compare(row: Expected, states: dict[str, str], decision: pb.PairDecision) -> Iterator[str]:
    if states.get(row.recipient) != row.state:
        yield f"{row.recipient} is {states.get(row.recipient)} instead of {row.state}"
    found = verdicts(decision.portions)
    for number, (wanted, got) in enumerate(zip(row.portions, found, strict=False), 1):
        if not fits(got, wanted):
            yield f"portion {number} for {row.recipient}: {got} instead of {wanted}"
    if len(found) != len(row.portions):
        yield f"{row.recipient}: {len(found)} portions instead of {len(row.portions)}"


def fits(got: str, wanted: str) -> bool:
    """Return true if a verdict is the expected one; if the expected one has no place, any place fits."""
    return got == wanted or (
        got.startswith(f"{wanted} (") and got.endswith(")") and wanted.startswith("withheld")
    )


def verdicts(portions: Sequence[pb.PortionDecision]) -> list[str]:
    """Return ``released TREATY ARTICLES`` or ``withheld CODE: DETAIL (PLACE)`` for each portion, in reading
    order.
    """
    said = []
    for portion in sorted(portions, key=lambda p: p.position):
        if portion.outcome == "deny" and portion.reasons:
            reason = portion.reasons[0]
            detail = f": {reason.detail}" if reason.detail else ""
            place = f" ({reason.place})" if reason.place else ""
            grounds = f"{reason.code}{detail}{place}"
        else:
            grounds = " ".join((portion.basis, ", ".join(portion.articles)))
        said.append(f"{_VERDICTS.get(portion.outcome, portion.outcome)} {grounds}".rstrip())
    return said
