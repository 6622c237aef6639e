"""A link is cut in the middle of a burst: a node dies. It comes back, and nothing is lost or doubled."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from intelshare.cli.shared.operator_tables import peer_table
from intelshare.cli.shared.output import draw
from intelshare.cli.shared.tables import duration, inbox_table
from intelshare.client import new_key
from intelshare.demo.scenario import Analyst, unmet
from intelshare.demo.stage import MARGIN, Stage, say, until
from intelshare.instant import NEVER, Instant
from intelshare.wire import precedence_value
from intelshare.wire.v1 import user_pb2 as pb

if TYPE_CHECKING:
    from intelshare.client import Client

_ROUTINE: Final = 1
_FLASH: Final = 4
_SENDERS: Final = 4
"""The calls at once while the burst goes out."""
_SHOWN: Final = 4
"""The rows of an inbox that the demo shows."""
_LOOK: Final = 0.1
"""The seconds between looks at an outbox that is long."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The bulletins that are on their way when a node dies, and those that follow while it is dead."""

    author: Analyst
    member: str
    """The member whose node is killed, and to which everything is sent."""
    witness: Analyst
    """An analyst of that member, who sees what arrived."""
    label: str
    category: str
    before: int
    kill_after: int
    """The node is killed once this many of them have been answered."""
    while_dead: int
    flash_while_dead: int

    @property
    def since(self) -> int:
        """Return how many are sent while the node is dead."""
        return self.while_dead + self.flash_while_dead

    @property
    def total(self) -> int:
        """Return the total."""
        return self.before + self.since


def cut(stage: Stage, story: Cut) -> list[str]:
    """A node dies and comes back: everything that was sent to it arrives, once, FLASH first."""
    site = stage.sites[story.member]
    with site.client("operator") as operator:
        lived = operator.status().incarnation
    with stage.client(story.author) as client, ThreadPoolExecutor(_SENDERS) as pool:
        submit = partial(_submit, client, story)
        answers = [pool.submit(submit, (number, _ROUTINE)) for number in range(story.before)]
        for answered, _ in enumerate(as_completed(answers), 1):
            if answered == story.kill_after:
                site.kill()
        sent = {answer.result(): _ROUTINE for answer in answers}
        before = _count(_words(client, story.member), "accepted", sent)
        until(lambda: _link(stage, story) != "linked", "the dead link to be noticed")
        later = list(_while_dead(story))
        since = dict(zip(pool.map(submit, later), [precedence for _, precedence in later], strict=True))
        sent |= since
        words = _words(client, story.member)
        waiting = {bulletin for bulletin in sent if words.get(bulletin) == "queued"}
        on_the_way = _count(words, "sent", sent)
        say(
            f"killed when {before} of {story.before} were accepted: {on_the_way} on the way, "
            f"{len(waiting)} wait, {story.since} of them sent since"
        )
        with stage.sites[story.author.member].client("operator") as operator:
            draw(peer_table(operator.status().peers), sys.stdout, indent=len(MARGIN))
        began = time.monotonic()
        site.start()
        site.serving()
        until(
            lambda: _count(_words(client, story.member), "accepted", sent) == len(sent),
            f"{story.member} to accept all",
            look=_LOOK,
        )
        took = int((time.monotonic() - began) * 1_000_000)
    say(f"started again: {len(sent)} of {len(sent)} accepted, {duration(took)} after its start")
    differences = _arrivals(stage, story, sent, waiting, lived)
    return differences + unmet(
        {
            "all was accepted before the node was killed": before < story.before,
            "not all that was sent since did wait": since.keys() <= waiting,
        }
    )


def _arrivals(stage: Stage, story: Cut, sent: dict[bytes, int], waiting: set[bytes], lived: int) -> list[str]:
    """Show the order in which the member received what had waited, and compare."""
    with stage.client(story.witness) as client:
        found = client.inbox(limit=1000)
    with stage.sites[story.member].client("operator") as operator:
        lives = operator.status().incarnation
    times = Counter(entry.bulletin for entry in found.entries if entry.bulletin in sent)
    late = sorted((e for e in found.entries if e.bulletin in waiting), key=lambda entry: entry.sequence)
    say(f"what had waited, in the order in which {story.witness.name} ({story.member}) got it:")
    draw(inbox_table(late[:_SHOWN]), sys.stdout, indent=len(MARGIN))
    say(f"... and {len(late) - _SHOWN} more, each once")
    precedences = [entry.precedence for entry in late]
    return unmet(
        {
            f"{len(sent)} bulletins were sent instead of {story.total}": len(sent) == story.total,
            f"{len(sent.keys() - times.keys())} bulletins are missing": times.keys() == sent.keys(),
            "a bulletin came twice": all(count == 1 for count in times.values()),
            "a number of the stream is missing": not found.holes,
            "something overtook a FLASH": precedences == sorted(precedences, reverse=True)
            and precedences[: story.flash_while_dead] == [_FLASH] * story.flash_while_dead,
            "the node that came back calls itself the one that died": lives != lived,
        }
    )


def _submit(client: Client, story: Cut, one: tuple[int, int]) -> bytes:
    """Send bulletin ``number`` with a precedence; return its id."""
    number, precedence = one
    text = f"Scan of grid control systems, report {number + 1}"
    request = pb.SubmitRequest(
        key=new_key(Instant(time.time_ns() // 1000), os.urandom),
        to=[story.member],
        precedence=precedence_value(precedence),
        valid_until=NEVER,
        deliver_by=NEVER,
        portions=[
            pb.Portion(
                kind=pb.PORTION_KIND_TITLE,
                label=story.label,
                category=story.category,
                media="text/plain",
                content=text.encode(),
            )
        ],
    )
    return client.submit(request).bulletin


def _while_dead(story: Cut) -> Iterator[tuple[int, int]]:
    """Yield (number, precedence): FLASH is written last, so that only precedence can bring it to the
    front.
    """
    for number in range(story.before, story.total):
        yield number, _ROUTINE if number < story.before + story.while_dead else _FLASH


def _words(client: Client, recipient: str) -> dict[bytes, str]:
    """Return the status of each bulletin's pair with this recipient."""
    entries = client.outbox(limit=1000).entries
    return {
        entry.bulletin: pair.word for entry in entries for pair in entry.pairs if pair.recipient == recipient
    }


def _count(words: dict[bytes, str], word: str, sent: dict[bytes, int]) -> int:
    return sum(words.get(bulletin) == word for bulletin in sent)


def _link(stage: Stage, story: Cut) -> str:
    """Return how the author's node sees its link to the member."""
    with stage.sites[story.author.member].client("operator") as operator:
        return next(peer.state for peer in operator.status().peers if peer.member == story.member)
