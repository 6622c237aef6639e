"""The scenes. Each acts, shows what came of it, and returns how that differs from what is expected."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from intelshare.cli.output import draw
from intelshare.cli.tables import duration, inbox_table, peer_table
from intelshare.client import new_key
from intelshare.demo.scenario import Expected, Scenario
from intelshare.demo.stage import Stage, command, indented, until
from intelshare.instant import NEVER, Instant
from intelshare.wire.v1 import user_pb2 as pb

if TYPE_CHECKING:
    from intelshare.client import Client

_ROUTINE: Final = 1
_FLASH: Final = 4
_SENDERS: Final = 4
"""Calls at once while the burst goes out."""
_SHOWN: Final = 8
"""Rows of an inbox that the demo shows."""

_VERDICTS: Final = {"allow": "released", "hold": "held", "deny": "withheld"}


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: its headline, and what is done; the differences that it returns end the demo."""

    title: str
    play: Callable[[Stage], list[str]]


def scenes(scenario: Scenario) -> tuple[Scene, ...]:
    """All scenes of a scenario, in order."""
    author, count = scenario.author, len(scenario.portions)
    granted, dead = len(scenario.granted), scenario.crashing
    return (
        Scene(
            f'{author.name} ({author.member}) sends "{scenario.title}", FLASH, {spelled(count)} portions',
            release,
        ),
        Scene(
            f"the same bulletin, as {scenario.reader.member} reads it: {spelled(granted)} "
            f"{'portion' if granted == 1 else 'portions'}, signatures valid, nothing about the other",
            reading,
        ),
        Scene(
            f"{dead}'s node is killed (SIGKILL) while bulletins are on the way, and comes back",
            crash,
        ),
    )


def release(stage: Stage) -> list[str]:
    """The author sends; every recipient gets the portions that its treaty permits, and no other."""
    scenario = stage.scenario
    folder = stage.folder / "bulletin"
    folder.mkdir(mode=0o700)
    words = ["send", "--to", ",".join(scenario.recipients), "--category", scenario.category]
    for portion in scenario.portions:
        (folder / portion.file).write_text(portion.text, "utf-8")
        words += ["--portion", f"{folder / portion.file}:{portion.label}"]
    words += ["--precedence", "FLASH", "--wait", "accepted", "--yes", "--as", stage.profile(scenario.author)]
    command(*words, out=indented(sys.stdout))
    with stage.client(scenario.author) as client:
        sent = client.outbox().entries[0]
        states = {pair.recipient: pair.word for pair in sent.pairs}
        return [
            difference
            for row in scenario.expected
            for difference in _compare(row, states, client.why(sent.bulletin.hex(), row.recipient).decision)
        ]


def reading(stage: Stage) -> list[str]:
    """The reader opens the bulletin: the granted portions, whole; of the others not even that they exist."""
    scenario = stage.scenario
    texts = [portion.text for portion in scenario.portions]
    withheld = [text for n, text in enumerate(texts) if n not in scenario.granted]
    with stage.client(scenario.reader) as client:
        entries = client.inbox().entries
        if len(entries) != 1:
            return [f"{scenario.reader.member} has {len(entries)} bulletins in its inbox instead of 1"]
        command(
            "read",
            entries[0].bulletin.hex(),
            "--as",
            stage.profile(scenario.reader),
            out=indented(sys.stdout),
        )
        opened = client.read(entries[0].bulletin.hex())
    got = [shown.portion.content.decode("utf-8") for shown in opened.portions]
    wanted = [texts[n] for n in scenario.granted]
    differences = []
    if got != wanted or entries[0].portions != len(wanted):
        differences.append(
            f"{scenario.reader.member} reads {len(got)} portions, and not exactly those granted"
        )
    said = opened.SerializeToString() + entries[0].SerializeToString()
    if any(line.encode() in said for text in withheld for line in text.splitlines()):
        differences.append(f"{scenario.reader.member} was told something of a portion that was withheld")
    return differences


def crash(stage: Stage) -> list[str]:
    """A node dies and comes back: everything that was sent to it arrives, once, FLASH first."""
    scenario, burst = stage.scenario, stage.scenario.burst
    site = stage.sites[scenario.crashing]
    with site.client("operator") as operator:
        lived = operator.status().incarnation
    with stage.client(scenario.author) as client:
        with ThreadPoolExecutor(_SENDERS) as pool:
            answers = [
                pool.submit(client.submit, _bulletin(scenario, number, _ROUTINE))
                for number in range(burst.before)
            ]
            for answered, _ in enumerate(as_completed(answers), 1):
                if answered == burst.kill_after:
                    site.kill()
        sent = {answer.result().bulletin: _ROUTINE for answer in answers}
        before = _count(_words(client, scenario.crashing), "accepted", sent)
        until(lambda: _link(stage, scenario.crashing) != "linked", "the dead link to be noticed")
        for number, precedence in _while_dead(scenario):
            sent[client.submit(_bulletin(scenario, number, precedence)).bulletin] = precedence
        words = _words(client, scenario.crashing)
        waiting = {bulletin for bulletin in sent if words.get(bulletin) == "queued"}
        on_the_way = _count(words, "sent", sent)
        _say(
            f"killed when {before} of {burst.before} were accepted: {on_the_way} on the way, "
            f"{len(waiting)} wait, {burst.total - burst.before} of them sent since"
        )
        with stage.sites[scenario.author.member].client("operator") as operator:
            draw(peer_table(operator.status().peers), sys.stdout, indent=3)
        began = time.monotonic()
        site.start()
        site.serving()
        for member in scenario.recipients:
            until(partial(_all_accepted, client, member, sent), f"{member} to accept all")
        took = int((time.monotonic() - began) * 1_000_000)
    _say(f"started again: {len(sent)} of {len(sent)} accepted, {duration(took)} after its start")
    differences = _arrivals(stage, sent, waiting, lived)
    if before == burst.before:
        differences.insert(0, "nothing was on the way any more when the node was killed")
    return differences


def _arrivals(stage: Stage, sent: dict[bytes, int], waiting: set[bytes], lived: int) -> list[str]:
    """Show the order in which the witness's member took in what had waited, and compare."""
    scenario = stage.scenario
    with stage.client(scenario.witness) as client:
        found = client.inbox(limit=10 * len(sent))
    with stage.sites[scenario.crashing].client("operator") as operator:
        lives = operator.status().incarnation
    times = Counter(entry.bulletin for entry in found.entries if entry.bulletin in sent)
    late = sorted((e for e in found.entries if e.bulletin in waiting), key=lambda entry: entry.sequence)
    _say(f"what had waited, in the order in which {scenario.witness.name} ({scenario.crashing}) got it:")
    draw(inbox_table(late[:_SHOWN]), sys.stdout, indent=3)
    _say(f"... and {len(late) - _SHOWN} more, each once")
    precedences = [entry.precedence for entry in late]
    burst = scenario.burst
    facts = {
        f"{len(sent)} bulletins were sent instead of {burst.total}": len(sent) == burst.total,
        f"{len(sent.keys() - times.keys())} bulletins are missing": times.keys() == sent.keys(),
        "a bulletin came twice": all(count == 1 for count in times.values()),
        "a number of the stream is missing": not found.holes,
        f"only {len(waiting)} bulletins had to wait": len(waiting)
        >= burst.while_dead + burst.flash_while_dead,
        "something overtook a FLASH": precedences == sorted(precedences, reverse=True)
        and precedences[: burst.flash_while_dead] == [_FLASH] * burst.flash_while_dead,
        "the node that came back calls itself the one that died": lives != lived,
    }
    return [difference for difference, holds in facts.items() if not holds]


def _compare(row: Expected, states: dict[str, str], decision: pb.PairDecision) -> Iterator[str]:
    if states.get(row.recipient) != row.state:
        yield f"{row.recipient} is {states.get(row.recipient)} instead of {row.state}"
    found = verdicts(decision.portions)
    for number, (wanted, got) in enumerate(zip(row.portions, found, strict=False), 1):
        if wanted != got:
            yield f"portion {number} for {row.recipient}: {got} instead of {wanted}"
    if len(found) != len(row.portions):
        yield f"{row.recipient}: {len(found)} portions instead of {len(row.portions)}"


def verdicts(portions: Sequence[pb.PortionDecision]) -> list[str]:
    """``released TREATY ARTICLES`` or ``withheld CODE: DETAIL (PLACE)`` of each portion, in reading order."""
    said = []
    for portion in sorted(portions, key=lambda p: p.position):
        if portion.outcome == "deny" and portion.reasons:
            reason = portion.reasons[0]
            grounds = f"{reason.code}: {reason.detail} ({reason.place})"
        else:
            grounds = " ".join((portion.basis, ", ".join(portion.articles)))
        said.append(f"{_VERDICTS.get(portion.outcome, portion.outcome)} {grounds}")
    return said


def _bulletin(scenario: Scenario, number: int, precedence: int) -> pb.SubmitRequest:
    """One of the burst, releasable to everybody."""
    text = f"Scan of grid control systems, report {number + 1}"
    return pb.SubmitRequest(
        key=new_key(Instant(time.time_ns() // 1000), os.urandom),
        to=scenario.recipients,
        precedence=precedence,
        valid_until=NEVER,
        deliver_by=NEVER,
        portions=[
            pb.Portion(
                kind=2,
                label=scenario.portions[scenario.granted[0]].label,
                category=scenario.category,
                media="text/plain",
                content=text.encode(),
            )
        ],
    )


def _while_dead(scenario: Scenario) -> Iterator[tuple[int, int]]:
    """(number, precedence): FLASH is written last, so that only precedence can bring it to the front."""
    burst = scenario.burst
    for number in range(burst.before, burst.total):
        yield number, _ROUTINE if number < burst.before + burst.while_dead else _FLASH


def _words(client: Client, recipient: str) -> dict[bytes, str]:
    """The word of each bulletin's pair with this recipient."""
    entries = client.outbox(limit=1000).entries
    return {
        entry.bulletin: pair.word for entry in entries for pair in entry.pairs if pair.recipient == recipient
    }


def _count(words: dict[bytes, str], word: str, sent: dict[bytes, int]) -> int:
    return sum(words.get(bulletin) == word for bulletin in sent)


def _all_accepted(client: Client, recipient: str, sent: dict[bytes, int]) -> bool:
    return _count(_words(client, recipient), "accepted", sent) == len(sent)


def _link(stage: Stage, member: str) -> str:
    """How the author's node sees its link to a member."""
    with stage.sites[stage.scenario.author.member].client("operator") as operator:
        return next(peer.state for peer in operator.status().peers if peer.member == member)


def _say(text: str) -> None:
    sys.stdout.write(f"   {text}\n")
    sys.stdout.flush()


def spelled(count: int) -> str:
    """A small number as a word."""
    return ("no", "one", "two", "three", "four")[count] if count < 5 else str(count)
