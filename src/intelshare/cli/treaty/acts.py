"""``treaty ratify`` and the other acts: shows the effect, asks, signs, and shows what follows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from intelshare.cli.shared.completion import members, treaties
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import ConfigError, Place
from intelshare.instant import MINUTE, NEVER, Instant

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

_VERBS: Final = {
    "ratify": "ratifies",
    "reserve": "makes a reservation to",
    "suspend": "suspends its participation in",
    "give-notice": "gives notice of withdrawal from",
    "withdraw": "withdraws from",
    "reinstate": "reinstates its participation in",
}

_treaty = click.argument("treaty", shell_complete=treaties)
_effective = click.option(
    "--effective", metavar="TIME", help="When it takes effect: a date, a time, 36h or 90d. Default: now."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a reservation, as the options say them."""

    categories: tuple[str, ...]
    level_at_least: str | None
    parties: tuple[str, ...]
    start: str | None = None
    until: str | None = None


def _terms(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the terms of a reservation."""
    options = (
        click.option("--category", "categories", multiple=True, help="Only this category. Default: all."),
        click.option("--level-at-least", metavar="LEVEL", help="Only this level and above: R0 to R4, or NS."),
        click.option(
            "--counterparty",
            "parties",
            multiple=True,
            metavar="MEMBER",
            shell_complete=members,
            help="Only towards it.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    epilog=examples(
        "intelshare treaty ratify demo-climate", "intelshare treaty ratify demo-climate --effective 30d"
    )
)
@_treaty
@_effective
@_yes
@printing
@talking
def ratify(client: Client, out: Out, treaty: str, effective: str | None, yes: bool) -> None:
    """Bind your member to TREATY: as a party that its file lists without a period, or that left by an act.

    Shows who could then receive what, asks, signs, and tells every member. Releasing officers and operators
    only.
    """
    _act(client, out, "ratify", treaty, effective, yes=yes)


@click.command(
    epilog=examples("intelshare treaty reserve demo-climate --category cyber --counterparty USA --until 90d")
)
@_treaty
@_terms
@click.option(
    "--from", "start", metavar="TIME", help="Start of the reservation. Default: the time of the act."
)
@click.option("--until", metavar="TIME", help="End of the reservation. Default: no end.")
@_effective
@_yes
@printing
@talking
def reserve(client: Client, out: Out, treaty: str, effective: str | None, yes: bool, **terms: Any) -> None:
    """Exclude information from TREATY in both directions.

    The reservation covers information that matches every option; with no option, everything.
    """
    _act(client, out, "reserve", treaty, effective, yes=yes, terms=Terms(**terms))


@click.command(epilog=examples("intelshare treaty suspend demo-climate"))
@_treaty
@_effective
@_yes
@printing
@talking
def suspend(client: Client, out: Out, treaty: str, effective: str | None, yes: bool) -> None:
    """Suspend your member's participation in TREATY until `treaty reinstate`."""
    _act(client, out, "suspend", treaty, effective, yes=yes)


@click.command(
    epilog=examples(
        "intelshare treaty withdraw demo-climate --effective 90d", "intelshare treaty withdraw demo-climate"
    )
)
@_treaty
@_effective
@_yes
@printing
@talking
def withdraw(client: Client, out: Out, treaty: str, effective: str | None, yes: bool) -> None:
    """Withdraw your member from TREATY: at once, or with --effective by a notice that takes effect then."""
    kind = "withdraw" if effective is None else "give-notice"
    _act(client, out, kind, treaty, effective, yes=yes)


@click.command(
    epilog=examples(
        "intelshare treaty reinstate demo-climate",
        "intelshare treaty reinstate demo-climate --category cyber --counterparty USA",
    )
)
@_treaty
@_terms
@_effective
@_yes
@printing
@talking
def reinstate(client: Client, out: Out, treaty: str, effective: str | None, yes: bool, **terms: Any) -> None:
    """End your member's suspension of TREATY, and cancel a withdrawal that has not taken effect yet.

    With the terms of a reservation that was made by an act: end that reservation, and nothing else.
    """
    _act(
        client,
        out,
        "reinstate",
        treaty,
        effective,
        yes=yes,
        terms=Terms(**terms) if any(terms.values()) else None,
    )


@click.command(epilog=examples("intelshare treaty acts", "intelshare treaty acts --member USA"))
@click.option(
    "--member",
    default="",
    metavar="MEMBER",
    shell_complete=members,
    help="List only the acts of this member.",
)
@click.option("--treaty", default="", shell_complete=treaties, help="List only acts about this treaty.")
@printing
@talking
def acts(client: Client, out: Out, member: str, treaty: str) -> None:
    """List the acts that your node holds, including those that wait or contradict another."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = client.treat("ListActs", pb.ListActsRequest(member=member.upper(), treaty=treaty))
    out.document("treaty-acts", plain(found))
    rows = [
        (
            act.member,
            str(act.n),
            act.treaty,
            act.kind,
            short_time(act.since) or "-",
            # An act dated before it arrived (transfer takes a moment) counts from its receipt.
            short_time(act.effective) if 0 < act.effective < act.since - MINUTE else "",
            act.state,
            _worded(act.reservation) if act.HasField("reservation") else "",
        )
        for act in found.acts
    ]
    if rows:
        out.table(Table(("member", "act", "treaty", "what", "holds from", "dated", "state", "terms"), rows))
    else:
        out.note("nothing here")
    if found.left_out:
        out.note(
            f"{found.left_out} more acts are not shown, the first ones: --member or --treaty shows fewer"
        )
    for gap in found.missing:
        out.note(f"act {gap.n} of {gap.member} is missing and has been requested; later ones wait")
    for stuck in sorted({act.member for act in found.acts if act.state == "contradicts"}):
        out.note(
            f"acts of {stuck} contradict each other, and later ones wait: ask that member which one it "
            f"means, then accept them with `intelshare treaty resume {stuck}`"
        )


@click.command(epilog=examples("intelshare treaty state", "intelshare treaty state demo-climate"))
@click.argument("treaty", default="", shell_complete=treaties)
@printing
@talking
def state(client: Client, out: Out, treaty: str) -> None:
    """Show how your node applies TREATY, or all treaties, now: files and acts together.

    Shows which text from which file applies since when, which parties adopted another text (nothing can be
    shared between you and them under it), and the state of each party.
    """
    from intelshare.cli.shared.law import mismatch_words, short_hash
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time
    from intelshare.wire.v1 import user_pb2 as pb

    found = client.treat("ListTreaties", pb.ListTreatiesRequest(treaty=treaty))
    out.document("treaty-state", plain(found))
    law = [(one.id, short_hash(one.text), short_time(one.since) or "-", one.source) for one in found.treaties]
    out.table(Table(("treaty", "text", "in force here since", "file"), law))
    for one in found.treaties:
        for mismatch in one.mismatches:
            out.line(f"{one.id}: {mismatch_words(mismatch)}  [TEXT_MISMATCH]")
    out.line()
    differs = {(one.treaty, one.member) for each in found.treaties for one in each.mismatches}
    rows = [
        (
            one.id,
            party.member,
            "text mismatch" if (one.id, party.member) in differs else party.state.lower().replace("_", " "),
            _day(party.since),
            _day(party.until),
        )
        for one in found.treaties
        for party in one.parties
    ]
    out.table(Table(("treaty", "party", "state", "since", "until"), rows))


@click.command(epilog=examples("intelshare treaty resume USA"))
@click.argument("member", shell_complete=members)
@_yes
@printing
@talking
def resume(client: Client, out: Out, member: str, yes: bool) -> None:
    """Accept MEMBER's contradictory treaty acts and any acts queued behind them. Operators only."""
    from intelshare.cli.shared.confirm import confirm
    from intelshare.wire.v1 import user_pb2 as pb

    code = member.upper()
    confirm(
        f"All acts of {code} that your node holds will count from now on. Has {code} confirmed them?", yes=yes
    )
    found = client.treat("ResumeActs", pb.ResumeActsRequest(member=code))
    out.document("treaty-resumed", {"member": code, "n": str(found.n)})
    out.line(f"{code}: acts up to number {found.n} count")


def _act(
    client: Client,
    out: Out,
    kind: str,
    treaty: str,
    effective: str | None,
    *,
    yes: bool,
    terms: Terms | None = None,
) -> None:
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.output import draw
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    request = pb.ActRequest(treaty=treaty, kind=kind, effective=_time(effective, "--effective"))
    if terms is not None:
        request.reservation.CopyFrom(_reservation(terms))
    shown = client.treat("PreviewAct", request)
    if not yes:
        sys.stderr.write("\n".join(_said(shown, effective, "would hold", "will be told")) + "\n")
        if shown.changes:
            draw(_effect_table(shown), sys.stderr)
        confirm("Sign this act and tell every member?", yes=yes, otherwise="not signed, and nobody was told")
    request.n = shown.n
    done = client.treat("Act", request)
    done.changes.extend(shown.changes)
    done.at = shown.at
    out.document("treaty-act", plain(done))
    for line in _said(done, effective, "holds", "told"):
        out.line(line)
    if done.changes:
        out.table(_effect_table(done))


def _said(act: pb.ActResponse, effective: str | None, holds: str, are_told: str) -> list[str]:
    from intelshare.cli.shared.tables import short_time

    since = "now" if effective is None else short_time(act.effective)
    lines = [f"{act.member} {_VERBS[act.kind]} {act.treaty}: act {act.n}, {holds} from {since}"]
    told = ", ".join(act.told) or "nobody: no other member is known here"
    lines.append(f"{are_told}: {told}")
    if not act.changes:
        lines.append("it changes what no known member can receive")
    return lines


def _effect_table(act: pb.ActResponse) -> Table:
    from intelshare.cli.shared.tables import short_time

    rows = [
        (one.category, one.sender, one.recipient, one.before or "nothing", one.after or "nothing")
        for one in act.changes
    ]
    then = short_time(act.at)
    return Table(("category", "from", "to", f"at {then} without it", "with it"), rows)


def _reservation(terms: Terms) -> pb.Reservation:
    from intelshare.wire.v1 import user_pb2 as pb

    made = pb.Reservation(
        categories=terms.categories,
        level_at_least=(terms.level_at_least or "").upper(),
        counterparties=[code.upper() for code in terms.parties],
        until=_time(terms.until, "--until"),
    )
    setattr(made, "from", _time(terms.start, "--from"))
    return made


def _worded(terms: pb.Reservation) -> str:
    from intelshare.cli.shared.tables import short_time

    start = getattr(terms, "from")
    words = (
        ", ".join(terms.categories),
        f"from {terms.level_at_least} on" if terms.level_at_least else "",
        f"towards {', '.join(terms.counterparties)}" if terms.counterparties else "",
        f"from {short_time(start)}" if start else "",
        f"until {short_time(terms.until)}" if terms.until not in (0, NEVER) else "",
    )
    return "; ".join(word for word in words if word) or "everything"


def _day(text: str) -> str:
    """Return a time, without its hour if that is midnight."""
    return text.removesuffix("T00:00:00Z")


def _time(text: str | None, option: str) -> int:
    """Return the time in microseconds, or 0 for none. Raises ConfigError INPUT_INVALID."""
    from intelshare.cli.shared.deadlines import until

    if text is None:
        return 0
    found = until(text, Instant(time.time_ns() // 1000), option)
    if found <= 0:
        raise ConfigError("INPUT_INVALID", "give a time after 1970", place=Place(option))
    return found


COMMANDS: Final = (ratify, reserve, suspend, withdraw, reinstate, acts, state, resume)
"""The commands for the group ``treaty``."""
