"""``rfi`` and ``obligations``: requests for information, and the duties that come with bulletins."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.analyst.compose import PRECEDENCES, Composition
from intelshare.cli.shared.completion import bulletins, categories, labels, members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


_FEWEST_DIGITS = 4
"""The fewest digits of an id that are accepted, here and by the node."""


@click.group(cls=CommandGroup)
def rfi() -> None:
    """Ask members for information; answer, decline and close requests.

    Each of these is a bulletin in reply to the one before: decided, encrypted and proved like any other.
    """


def _sending(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ``send`` that make sense here, without those for texts."""
    for option in reversed(_SEND_OPTIONS):
        function = option(function)
    return function


_SEND_OPTIONS = (
    click.option("--label", required=True, shell_complete=labels, help="Label of FILE."),
    click.option("--title", help="Title of the bulletin; it is a portion too."),
    click.option(
        "--precedence",
        type=click.Choice(PRECEDENCES, case_sensitive=False),
        default=PRECEDENCES[0],
        show_default=True,
        help="Priority when messages have to queue.",
    ),
    click.option(
        "--wait", type=click.Choice(["accepted", "read"]), help="Wait until every recipient has it."
    ),
    click.option("--yes", is_flag=True, help="Do not ask for confirmation when a portion is withheld."),
)


@rfi.command(
    epilog=examples('intelshare rfi ask question.txt --to USA --due 7d --category cyber --label "//FRA NP"')
)
@click.argument("file")
@click.option(
    "--to", multiple=True, required=True, metavar="CODES", shell_complete=members, help="Who is asked."
)
@click.option(
    "--category", required=True, shell_complete=categories, help="Subject category, as named in treaties."
)
@click.option("--due", metavar="TIME", help="When the answer is needed: date, time, 36h or 7d.")
@_sending
@printing
@talking
def ask(client: Client, out: Out, wait: str | None, yes: bool, **composed: Any) -> int:
    """Ask members the question in FILE (- for standard input)."""
    return _send(client, out, Composition(rfi="ask", **composed), wait=wait, yes=yes)


@rfi.command(
    epilog=examples('intelshare rfi answer 3f9a1c22 answer.txt --label "//FRA SECRET//REL TO FRA, USA"')
)
@click.argument("request", metavar="ID", shell_complete=bulletins)
@click.argument("file")
@originator(of="the request")
@_sending
@printing
@talking
def answer(
    client: Client, out: Out, request: str, originator: str, wait: str | None, yes: bool, **composed: Any
) -> int:
    """Answer the request ID with FILE; the answer goes to the member that asked."""
    asked = _received(client, out, request, originator)
    return _send(client, out, replace(_reply(asked, "answer"), **composed), wait=wait, yes=yes)


@rfi.command(epilog=examples("intelshare rfi decline 3f9a1c22"))
@click.argument("request", metavar="ID", shell_complete=bulletins)
@click.option("--reason", default="", help="The reason; it needs --label.")
@click.option(
    "--label",
    shell_complete=labels,
    help="Label of the reason. Without a reason, the lowest level of your member's ladder is used.",
)
@originator(of="the request")
@printing
@talking
def decline(client: Client, out: Out, request: str, reason: str, label: str | None, originator: str) -> int:
    """Tell the member that asked that the request ID will not be answered, so that it does not wait."""
    if reason and label is None:
        raise click.UsageError("a reason needs a --label")
    reply = _reply(_received(client, out, request, originator), "decline")
    return _send_text(client, out, reply, reason or "declined", label)


@rfi.command(epilog=examples("intelshare rfi close 3f9a1c22"))
@click.argument("request", metavar="ID", shell_complete=bulletins)
@printing
@talking
def close(client: Client, out: Out, request: str) -> int:
    """Tell everybody you asked that the request ID no longer needs an answer."""
    rows = [row for row in _starting(client, out, request) if row.own]
    if not rows:
        raise _no_request(request)
    if len({row.bulletin for row in rows}) > 1:
        raise _several(request, "give more digits of the id")
    to = tuple(sorted({row.member for row in rows}))
    closing = replace(_reply(rows[0], "close"), to=to, in_reply_to_from=client.profile.member)
    return _send_text(client, out, closing, "closed", None)


@rfi.command("list", epilog=examples("intelshare rfi list --open"))
@click.option("--open", "waiting", is_flag=True, help="List only requests that wait for an answer.")
@printing
@talking
def list_(client: Client, out: Out, waiting: bool) -> None:
    """List requests for information that your member has made or received, newest first."""
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import request_table

    found = client.requests()
    if waiting:
        kept = [entry for entry in found.entries if entry.state == "open"]
        del found.entries[:]
        found.entries.extend(kept)
    out.document("requests", plain(found))
    if found.entries:
        out.table(request_table(found.entries))
    else:
        out.note("nothing here")
    note_damaged(out, found.damaged)


@click.group(cls=CommandGroup)
def obligations() -> None:
    """List obligations to report that came with bulletins, and mark them as met.

    Obligations that only forbid something are shown with the bulletin; retention ends by itself.
    """


@obligations.command("list", epilog=examples("intelshare obligations list --all"))
@click.option("--all", "everything", is_flag=True, help="Also list obligations that have been met.")
@printing
@talking
def list_obligations(client: Client, out: Out, everything: bool) -> None:
    """List obligations, the earliest due first."""
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import obligation_table

    found = client.obligations(everything=everything)
    out.document("obligations", plain(found))
    if found.entries:
        out.table(obligation_table(found.entries))
    else:
        out.note("nothing to do")
    note_damaged(out, found.damaged)


@obligations.command(epilog=examples("intelshare obligations met 3f9a1c22 report-use-30d"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.argument("obligation")
@originator()
@printing
@talking
def met(client: Client, out: Out, bulletin: str, obligation: str, originator: str) -> None:
    """Record that OBLIGATION of the bulletin ID is met; the log keeps that you said so."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time

    done = client.meet(bulletin, obligation, originator=originator)
    out.document("obligation", plain(done))
    out.line(f"{done.obligation} of {done.bulletin.hex()[:8]} met {short_time(done.done_at)}")


def _send(client: Client, out: Out, composition: Composition, *, wait: str | None, yes: bool) -> int:
    from intelshare.cli.analyst.send import Sending, deliver

    return deliver(client, out, composition, Sending(wait=wait, yes=yes))


def _send_text(client: Client, out: Out, composition: Composition, text: str, label: str | None) -> int:
    """Send a text of ours instead of a file; it is never written to the disk in the clear."""
    labelled = replace(composition, text=text, label=label or _lowest(client))
    return _send(client, out, labelled, wait=None, yes=True)


def _lowest(client: Client) -> str:
    """Return a label of the lowest level of your member, which anybody may have."""
    from intelshare.cli.shared.beside import NodeRegistry
    from intelshare.instant import Instant
    from intelshare.labels import Label, format_banner

    registry, member = NodeRegistry(client).whole(), client.profile.member
    levels = registry.ladder(member).at(Instant(time.time_ns() // 1000)).levels
    return format_banner(Label(member, levels[0].name), registry)


def _reply(asked: pb.RequestEntry, word: str) -> Composition:
    """Compose the bulletin that answers or ends a peer's request: its recipient, category and reference."""
    return Composition(
        to=(asked.member,),
        category=asked.category,
        in_reply_to=asked.bulletin.hex(),
        in_reply_to_from=asked.member,
        rfi=word,
    )


def _received(client: Client, out: Out, given: str, originator: str) -> pb.RequestEntry:
    """Return the one request of a peer whose id begins with ``given``. Raises DeliveryError NOT_FOUND,
    INPUT_INVALID.
    """
    rows = [row for row in _starting(client, out, given) if not row.own and originator in ("", row.member)]
    if not rows:
        raise _no_request(given)
    if len(rows) > 1:
        asking = ", ".join(sorted({row.member for row in rows}))
        raise _several(
            given, f"give more digits of the id, or name the member that asks with --from: {asking}"
        )
    return rows[0]


def _starting(client: Client, out: Out, given: str) -> list[pb.RequestEntry]:
    """Return the requests of either side whose id begins with at least four given digits.

    What is left out is named: it may be the one that is meant, or another member that was asked.
    """
    from intelshare.cli.shared.output import note_damaged

    if len(given) < _FEWEST_DIGITS:
        raise _no_request(given)
    found = client.requests()
    note_damaged(out, found.damaged)
    return [row for row in found.entries if row.bulletin.hex().startswith(given.lower())]


def _no_request(given: str) -> DeliveryError:
    return DeliveryError(
        "NOT_FOUND", f"no request has the id {given}", hint="`intelshare rfi list` shows them"
    )


def _several(given: str, hint: str) -> DeliveryError:
    return DeliveryError("INPUT_INVALID", f"several requests have ids that begin with {given}", hint=hint)
