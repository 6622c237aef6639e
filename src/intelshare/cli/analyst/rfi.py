"""``rfi`` and ``obligations``: what members want to know, and what a bulletin obliges one to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.shared.completion import bulletins, members
from intelshare.cli.shared.help import Group, examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


_FEWEST_DIGITS = 4
"""Of an id, as the node wants them too."""


@click.group(cls=Group)
def rfi() -> None:
    """Requests for information: ask, answer, decline, close.

    Each is a bulletin in reply to the one before: decided, encrypted and proved like any other.
    """


def _sending(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``send`` that make sense here, without their texts."""
    for option in reversed(_SEND_OPTIONS):
        function = option(function)
    return function


_SEND_OPTIONS = (
    click.option("--label", required=True, help="Label of FILE."),
    click.option("--title", help="A title; it is a portion too."),
    click.option(
        "--precedence",
        type=click.Choice(["ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH"], case_sensitive=False),
        default="ROUTINE",
        show_default=True,
        help="What goes first when not everything can.",
    ),
    click.option("--wait", type=click.Choice(["accepted", "read"]), help="Wait until it is there."),
    click.option("--yes", is_flag=True, help="Do not ask when something is withheld."),
)


@rfi.command(
    epilog=examples('intelshare rfi ask question.txt --to USA --due 7d --category cyber --label "//FRA NP"')
)
@click.argument("file")
@click.option(
    "--to", multiple=True, required=True, metavar="CODES", shell_complete=members, help="Who is asked."
)
@click.option("--category", required=True, help="Subject category, as treaties name it.")
@click.option("--due", metavar="TIME", help="When the answer is needed: date, time, 36h or 7d.")
@_sending
@printing
@talking
@click.pass_context
def ask(context: click.Context, /, client: Client, out: Out, **given: Any) -> int:
    """Ask members the question in FILE (- for standard input)."""
    return _send(context, client, out, rfi="ask", **given)


@rfi.command(
    epilog=examples('intelshare rfi answer 3f9a1c22 answer.txt --label "//FRA SECRET//REL TO FRA, USA"')
)
@click.argument("request", metavar="ID", shell_complete=bulletins)
@click.argument("file")
@originator(of="the request")
@_sending
@printing
@talking
@click.pass_context
def answer(
    context: click.Context, /, client: Client, out: Out, request: str, originator: str, **given: Any
) -> int:
    """Answer the request ID with FILE; it goes to whoever has asked."""
    asked = _received(client, request, originator)
    return _send(context, client, out, rfi="answer", to=(asked.member,), **_replying(asked), **given)


@rfi.command(epilog=examples("intelshare rfi decline 3f9a1c22"))
@click.argument("request", metavar="ID", shell_complete=bulletins)
@click.option("--reason", default="", help="Why; it needs a label then.")
@click.option("--label", help="Label of the reason; without a reason the lowest of your own.")
@originator(of="the request")
@printing
@talking
@click.pass_context
def decline(
    context: click.Context,
    client: Client,
    out: Out,
    request: str,
    reason: str,
    label: str | None,
    originator: str,
) -> int:
    """Say that the request ID will not be answered, so that nobody waits."""
    if reason and label is None:
        raise click.UsageError("a reason needs a --label")
    asked = _received(client, request, originator)
    return _send_text(
        context,
        client,
        out,
        reason or "declined",
        label,
        rfi="decline",
        to=(asked.member,),
        **_replying(asked),
    )


@rfi.command(epilog=examples("intelshare rfi close 3f9a1c22"))
@click.argument("request", metavar="ID", shell_complete=bulletins)
@printing
@talking
@click.pass_context
def close(context: click.Context, client: Client, out: Out, request: str) -> int:
    """Tell everybody you asked that the request ID needs no answer any more."""
    rows = [row for row in _starting(client, request) if row.own]
    if not rows:
        raise _no_request(request)
    if len({row.bulletin for row in rows}) > 1:
        raise _several(request, "give more digits of the id")
    to = tuple(sorted({row.member for row in rows}))
    own = {**_replying(rows[0]), "in_reply_to_from": client.profile.member}
    return _send_text(context, client, out, "closed", None, rfi="close", to=to, **own)


@rfi.command("list", epilog=examples("intelshare rfi list --open"))
@click.option("--open", "waiting", is_flag=True, help="Only what waits for an answer.")
@printing
@talking
def list_(client: Client, out: Out, waiting: bool) -> None:
    """List requests, yours and others', newest first."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import request_table

    entries = [entry for entry in client.requests().entries if not waiting or entry.state == "open"]
    out.document("requests", {"entries": [plain(entry) for entry in entries]})
    if entries:
        out.table(request_table(entries))
    else:
        out.note("nothing here")


@click.group(cls=Group)
def obligations() -> None:
    """Obligations to report that came with bulletins: list them, say that one is met.

    Those that only forbid are shown with the bulletin, and retention ends by itself.
    """


@obligations.command("list", epilog=examples("intelshare obligations list --all"))
@click.option("--all", "everything", is_flag=True, help="Also those that are met.")
@printing
@talking
def list_obligations(client: Client, out: Out, everything: bool) -> None:
    """List obligations, those due first."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import obligation_table

    found = client.obligations(everything=everything)
    out.document("obligations", plain(found))
    if found.entries:
        out.table(obligation_table(found.entries))
    else:
        out.note("nothing to be done")


@obligations.command(epilog=examples("intelshare obligations met 3f9a1c22 report-use-30d"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.argument("obligation")
@originator()
@printing
@talking
def met(client: Client, out: Out, bulletin: str, obligation: str, originator: str) -> None:
    """Say that OBLIGATION of the bulletin ID is met; the log keeps that you said so."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_time

    done = client.meet(bulletin, obligation, originator=originator)
    out.document("obligation", plain(done))
    out.line(f"{done.obligation} of {done.bulletin.hex()[:8]} met {short_time(done.done_at)}")


def _send(context: click.Context, client: Client, out: Out, **given: Any) -> int:
    """``send`` with these values, the others as its own defaults."""
    from intelshare.cli.analyst.send import deliver, send

    # Resilient: what is required is given below.
    defaults = send.make_context("send", [], parent=context, resilient_parsing=True).params
    return deliver(client, out, {**defaults, **given})


def _send_text(
    context: click.Context,
    client: Client,
    out: Out,
    text: str,
    label: str | None,
    **given: Any,
) -> int:
    """A text of ours instead of a file; it is never written to the disk in the open."""
    return _send(
        context,
        client,
        out,
        file="-",
        text=text,
        label=label or _lowest(client.profile.member),
        yes=True,
        **given,
    )


def _lowest(member: str) -> str:
    """A label of the lowest level of a member, that anybody may have."""
    from intelshare.builtin import builtin_registry
    from intelshare.instant import Instant
    from intelshare.labels import Label, format_banner

    registry = builtin_registry()
    levels = registry.ladder(member).at(Instant(time.time_ns() // 1000)).levels
    return format_banner(Label(member, levels[0].name), registry)


def _replying(asked: pb.RequestEntry) -> dict[str, Any]:
    """What a bulletin says that belongs to a request of a peer: which one, whose, about what."""
    return {
        "category": asked.category,
        "in_reply_to": asked.bulletin.hex(),
        "in_reply_to_from": asked.member,
    }


def _received(client: Client, given: str, originator: str) -> pb.RequestEntry:
    """The one request of a peer whose id starts so. Raises DeliveryError NOT_FOUND, INPUT_INVALID."""
    rows = [row for row in _starting(client, given) if not row.own and originator in ("", row.member)]
    if not rows:
        raise _no_request(given)
    if len(rows) > 1:
        asking = ", ".join(sorted({row.member for row in rows}))
        raise _several(given, f"give more digits of the id, or name who asks with --from: {asking}")
    return rows[0]


def _starting(client: Client, given: str) -> list[pb.RequestEntry]:
    """The requests of both sides whose id starts with at least four digits."""
    if len(given) < _FEWEST_DIGITS:
        raise _no_request(given)
    return [row for row in client.requests().entries if row.bulletin.hex().startswith(given.lower())]


def _no_request(given: str) -> DeliveryError:
    return DeliveryError("NOT_FOUND", f"there is no request {given}", hint="`intelshare rfi list` shows them")


def _several(given: str, hint: str) -> DeliveryError:
    return DeliveryError("INPUT_INVALID", f"several requests start with {given}", hint=hint)
