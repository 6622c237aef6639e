"""The end of a demo in sentences: what was shared, what was stopped by which rule, what was proved."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from intelshare.demo.stage import Stage, say
from intelshare.errors import IntelshareError

if TYPE_CHECKING:
    from intelshare.wire.v1 import user_pb2 as pb

_WIDTH: Final = 76
_STANDS: Final = {
    "accepted": "has it and has signed for it",
    "read": "has read it and has signed for that",
    "destroyed": "had it, has destroyed it and has signed for that",
    "queued": "is still to be handed it",
    "sent": "was handed it",
}


def summarise(stage: Stage, proved: Sequence[str]) -> None:
    """Say it. ``proved``: what the scenes that went as expected have shown."""
    shared, stopped = [], []
    for title, author in stage.authors.items():
        try:
            with stage.client(author) as client:
                entry = client.outbox(stage.sent[title]).entries[0]
                decisions = [client.why(stage.sent[title], pair.recipient).decision for pair in entry.pairs]
        except IntelshareError:
            # A scene may leave a node stopped: what it knows is then said by its scene alone.
            continue
        shared += [f"{title}: {line}" for one in decisions for line in _shared(one)]
        stopped += [f"{title}: {line}" for one in decisions for line in _stopped(one)]
    for head, lines in (
        ("Shared", shared),
        ("Stopped, and by which rule", stopped),
        ("Proved", proved),
    ):
        if lines:
            say("")
            say(head)
        for line in lines:
            for place, part in enumerate(textwrap.wrap(line, _WIDTH, break_long_words=False)):
                say(f"{'  - ' if not place else '    '}{part}")


def _shared(decision: pb.PairDecision) -> Iterator[str]:
    granted = [one for one in decision.portions if one.outcome != "deny"]
    if not granted or decision.word not in _STANDS:
        return
    rules = dict.fromkeys(" ".join((one.basis, ", ".join(one.articles))).strip() for one in granted)
    count = (
        f"{len(granted)} of {len(decision.portions)} portions" if len(decision.portions) > 1 else "all of it"
    )
    yield f"{decision.recipient} {_STANDS[decision.word]}: {count}, under {' and '.join(rules)}."


def _stopped(decision: pb.PairDecision) -> Iterator[str]:
    denied = [one for one in decision.portions if one.outcome == "deny" and one.reasons]
    reasons = dict.fromkeys(
        (one.reasons[0].code, one.reasons[0].detail, one.reasons[0].place) for one in denied
    )
    for code, detail, place in reasons:
        count = sum(one.reasons[0].code == code for one in denied)
        what = (
            "all of it"
            if count == len(decision.portions)
            else f"{count} of {len(decision.portions)} portions"
        )
        about = f" ({detail})" if detail else ""
        where = f", as {place} says" if place else ""
        yield f"{decision.recipient} did not get {what}: {code}{about}{where}."
