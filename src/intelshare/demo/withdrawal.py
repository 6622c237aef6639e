"""A party gives notice of withdrawal: what waits for it when the notice ends is withheld after queueing.

The clock of a running node cannot be moved, and the product has nothing to let a demo do so. So the notice of
90 days is given and its effect shown as of that day; then the same party names a moment that is seconds away,
and everybody waits for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from intelshare.demo.scenario import Analyst, Expected, Sending, unmet
from intelshare.demo.sending import compare, send
from intelshare.demo.stage import Stage, command, indented, report, say, until
from intelshare.instant import SECOND, Instant, parse, show
from intelshare.patience import patient

if TYPE_CHECKING:
    from intelshare.client import Client

_NOTICE: Final = 6
"""The seconds until the second notice ends, and as many again for each second that the first notice took:
enough to stop a node and to write a bulletin, even on a busy machine.
"""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A member, the treaty that it leaves, and the bulletin that it then does not get."""

    member: str
    treaty: str
    warning: Sending
    """The warning as it is decided before the withdrawal; the leaving member is one of the recipients."""
    missed: Analyst
    """The analyst of the leaving member who would have read it."""


def withdrawal(stage: Stage, story: Withdrawal) -> list[str]:
    """Give notice; send a warning that waits for the leaving member; let the notice end; compare the
    outcome.
    """
    leaving, warning = stage.sites[story.member], story.warning
    words = ("treaty", "withdraw", story.treaty, "--yes", "--as", str(leaving.profile("operator")))
    begun = time.monotonic()
    command(*words, "--effective", "90d", out=indented(sys.stdout))
    notice = round(patient(_NOTICE) * (1 + time.monotonic() - begun))
    end = _whole(time.time() + 1 + notice)
    said = command(*words, "--effective", show(end))
    say(f"no clock is moved here; a second notice is to end {notice} s from now:")
    say(said.splitlines()[0])
    until(lambda: all(_ends(stage, story, code) == end for code in stage.sites), "all to hold both acts")
    leaving.stop()
    say(f"{story.member}'s node is stopped, and {warning.author.name} ({warning.author.member}) sends:")
    send(stage, warning, wait=False)
    if time.time() >= end / SECOND:
        return [f"this machine took more than {notice} s to send a bulletin"]
    with stage.client(warning.author) as client:
        bulletin = stage.sent[warning.title]
        waiting = _with(story, lambda row: replace(row, state="queued"))
        until(lambda: not compare(client, bulletin, waiting), "the others to accept the warning")
        time.sleep(max(0.0, end / SECOND - time.time()))
        leaving.start()
        leaving.serving()
        reason = f"withheld WITHDRAWN: {story.member} since {show(end)}"
        withheld = _with(story, lambda row: Expected(row.recipient, (reason,), "withheld"))
        until(lambda: _settled(client, bulletin, story.member), "the warning to be decided again")
        differences = compare(client, bulletin, withheld)
    say(f"the notice has ended, {story.member}'s node is back, and what was queued is decided again:")
    profile = stage.profile(warning.author)
    command("outbox", bulletin, "--as", profile, out=indented(sys.stdout))
    command("why", bulletin, "--member", story.member, "--as", profile, out=indented(sys.stdout))
    leaving.linked()
    with stage.client(story.missed) as client:
        arrived = [entry for entry in client.inbox().entries if entry.bulletin.hex() == bulletin]
    return differences + unmet({f"{story.member} has the warning that was withheld": not arrived})


def _with(story: Withdrawal, change: Callable[[Expected], Expected]) -> list[Expected]:
    """Return what the warning's recipients get, changed for the one that leaves."""
    return [change(row) if row.recipient == story.member else row for row in story.warning.expected]


def _ends(stage: Stage, story: Withdrawal, code: str) -> int:
    """Return when the leaving member's participation ends, as the node of ``code`` has it by its last act; 0:
    no act yet.
    """
    profile = str(stage.sites[code].profile("operator"))
    acts: list[dict[str, Any]] = report("treaty", "acts", "--member", story.member, "--as", profile)["acts"]
    return parse(acts[-1]["since"]) if acts and acts[-1]["since"] else 0


def _settled(client: Client, bulletin: str, recipient: str) -> bool:
    pairs = client.outbox(bulletin).entries[0].pairs
    return any(pair.recipient == recipient and pair.word != "queued" for pair in pairs)


def _whole(seconds: float) -> Instant:
    """Return a whole second, as it can be written down."""
    return Instant(int(seconds) * SECOND)
