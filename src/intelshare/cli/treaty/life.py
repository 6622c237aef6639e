"""``treaty timeline``: draws the life of a treaty, and lists its events."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table, align
from intelshare.cli.shared.paths import treaty_paths_argument
from intelshare.cli.shared.times import moment
from intelshare.cli.treaty.live import live_option, treaties_of
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.policy import Treaty
    from intelshare.policy_tools import Drawing, Span

_NAMES = 3
"""The most codes that a lane or an event of several members names."""
_ALL_EVENTS = 12
"""The most parties for which the events of each are listed."""
_HEAD, _TAIL = 17, 22
"""The characters before a lane (more for long articles) and around it: margins and the longest state."""
_HARD = "\u00a0"
"""A space at which no line is broken."""


@click.command(
    epilog=examples(
        "intelshare treaty timeline paris",
        "intelshare treaty timeline jcpoa --member USA --member IRN --as-of 2021-01-01",
    )
)
@treaty_paths_argument
@click.option(
    "--as-of", metavar="TIME", help="Date or time of the mark and of the states shown. Default: now."
)
@click.option(
    "--member", "members", multiple=True, metavar="MEMBER", help="Show only these parties, each in full."
)
@live_option
@printing
def timeline(
    paths: tuple[Path, ...], as_of: str | None, members: tuple[str, ...], profile: str | None, out: Out
) -> None:
    """Draw the life of each treaty of PATHS: lanes of its parties and articles, then its events.

    Parties with the same history share a lane. If there are many parties, the events of those that joined and
    stayed are left out; --member shows them.
    """
    (found, _), now = treaties_of(paths, profile), moment(as_of, "--as-of")
    for each in found:
        missing = sorted(set(members) - {party.member for party in each.parties})
        if missing:
            message = f"{missing[0]} is not a party to {each.id}"
            raise ConfigError(
                "NOT_FOUND", message, place=Place("--member"), hint=f"see: treaty show {each.id}"
            )
    out.document("treaty-timeline", _lives(found, now, members))
    if out.json:
        return
    for number, each in enumerate(found):
        if number:
            out.line()
        _draw(each, now, members, out)


def _draw(each: Treaty, now: Instant, members: tuple[str, ...], out: Out) -> None:
    from intelshare.policy_tools import (
        LEGEND,
        MAX_LANE,
        MIN_LANE,
        article_spans,
        came_and_stayed,
        describe,
        draw,
        events,
    )

    chosen = members or None
    width = get_terminal_size().columns
    head = max(_HEAD, *(len(one.article) for one in each.provisions if len(article_spans(one)) > 1), 0)
    drawing = draw(each, now, max(MIN_LANE, min(width - head - _TAIL, MAX_LANE)), chosen)
    out.line(f"{each.id}: {each.title}")
    for line in _lines(drawing, f"now {describe(now)[:10]}"):
        out.line(f"  {line}".rstrip())
    used = "".join(lane.strip for lane in (*drawing.parties, *drawing.articles))
    legend = [f"{sign} {words}".replace(" ", _HARD) for sign, words in LEGEND.items() if sign in used]
    for line in textwrap.wrap("   ".join(legend), width - 2):
        out.line(f"  {line.replace(_HARD, ' ')}")
    listed: Sequence[str] | None = chosen
    if listed is None and len(each.parties) > _ALL_EVENTS:
        listed = [party.member for party in each.parties if not came_and_stayed(party)]
        out.note(
            f"{each.id}: events of {len(each.parties) - len(listed)} parties that joined and stayed are left "
            f"out; see --member"
        )
    codes = {party.member for party in each.parties}
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for event in events(each, listed):
        # Names of articles are long: only members share a row.
        alone = "" if event.who in codes else event.who
        grouped.setdefault((describe(event.at), event.what, alone), []).append(event.who)
    rows = [(at, _shortened(who), what) for (at, what, _), who in grouped.items()]
    out.table(Table(("when", "who", "what"), rows), indent=2)


def _lines(drawing: Drawing, mark: str) -> list[str]:
    """Return the years, the mark, and the lanes with their members and their state at the mark."""
    lanes = (*drawing.parties, *drawing.articles)
    if not lanes:
        return []
    at = drawing.mark
    fits = at + len(mark) + 2 <= len(lanes[0].strip)
    marked = f"{'':{at}}v {mark}" if fits else f"{mark:>{max(at - 1, 0)}} v"
    rows = [(_shortened(lane.names), lane.strip, _plain(lane.state)) for lane in lanes]
    return align([("", drawing.years, ""), ("", marked, ""), *rows])


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES])} +{more}"


def _plain(state: str) -> str:
    """Return a state's code in words."""
    return state.removeprefix("PROVISION_").lower().replace("_", " ")


def _lives(found: list[Treaty], now: Instant, members: tuple[str, ...]) -> dict[str, object]:
    from intelshare.labels import when
    from intelshare.policy_tools import article_spans, events, party_spans, state_at

    return {
        "as_of": when(now),
        "treaties": {
            each.id: {
                "title": each.title,
                "parties": [
                    {
                        "member": party.member,
                        "state": state_at(each, party, now),
                        "states": [_span(span) for span in party_spans(each, party)],
                    }
                    for party in each.parties
                    if not members or party.member in members
                ],
                "articles": [
                    {"article": one.article, "states": [_span(span) for span in article_spans(one)]}
                    for one in each.provisions
                ],
                "events": [
                    {"at": when(event.at), "who": event.who, "what": event.what}
                    for event in events(each, members or None)
                ],
            }
            for each in found
        },
    }


def _span(span: Span) -> dict[str, str | None]:
    from intelshare.instant import NEVER
    from intelshare.labels import BEGINNING, when

    return {
        "from": None if span.start == BEGINNING else when(span.start),
        "until": None if span.until == NEVER else when(span.until),
        "state": span.state,
    }
