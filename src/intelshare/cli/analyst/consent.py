"""``consent``: the sender asks under the third-party rule, and the originator's releasing officer answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.completion import bulletins, members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.instant import NEVER, Instant

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


@click.group(cls=CommandGroup)
def consent() -> None:
    """Ask an originator to let another member have its portion; answer such requests.

    A portion that carries another state's label goes on only with that state's consent, given by name. Until
    the consent arrives, it is withheld with CONSENT_REQUIRED; then it goes by itself.
    """


_until = click.option("--until", metavar="TIME", help="Date, time, 36h or 7d. Default: as long as possible.")
_id = click.argument("bulletin", metavar="ID", shell_complete=bulletins)
_for = click.option(
    "--for",
    "recipient",
    metavar="MEMBER",
    shell_complete=members,
    required=True,
    help="The member that is to have the portions.",
)


@consent.command(epilog=examples("intelshare consent request 3f9a1c22 --for USA --until 7d"))
@_id
@_for
@_until
@printing
@talking
def request(client: Client, out: Out, bulletin: str, recipient: str, until: str | None) -> None:
    """Ask the originators of portions in a bulletin that your member sent to let MEMBER have them.

    Each originator is sent its portions of the bulletin, to see what it is asked about.
    """
    found = client.ask_consent(bulletin, recipient.upper(), until=_instant(until))
    _show(found, out, "consent")
    if not found.entries:
        out.note(
            "the bulletin is held and cannot go to its originator: ask again after `intelshare outbox "
            "approve`"
        )
    for entry in found.entries:
        out.note(f"{entry.member} has been asked; `intelshare consent list` shows the answer")


@consent.command(epilog=examples("intelshare consent grant 3f9a1c22 --for USA"))
@_id
@_for
@_until
@originator()
@printing
@talking
def grant(
    client: Client, out: Out, bulletin: str, recipient: str, until: str | None, originator: str
) -> None:
    """Grant a peer's request about its bulletin ID: MEMBER may have your portions of it."""
    found = client.answer_consent(
        bulletin, recipient.upper(), grant=True, until=_instant(until), originator=originator
    )
    _show(found, out, "consent")


@consent.command(epilog=examples("intelshare consent refuse 3f9a1c22 --for USA"))
@_id
@_for
@originator()
@printing
@talking
def refuse(client: Client, out: Out, bulletin: str, recipient: str, originator: str) -> None:
    """Refuse a peer's request, or withdraw a consent: portions not yet delivered do not go."""
    found = client.answer_consent(bulletin, recipient.upper(), grant=False, originator=originator)
    _show(found, out, "consent")


@consent.command("list", epilog=examples("intelshare consent list --open"))
@click.option("--open", "waiting", is_flag=True, help="List only requests that wait for an answer.")
@printing
@talking
def list_(client: Client, out: Out, waiting: bool) -> None:
    """List requests for consent that your member has received or made, newest first."""
    found = client.consents()
    if waiting:
        kept = [entry for entry in found.entries if entry.state == "asked"]
        del found.entries[:]
        found.entries.extend(kept)
    _show(found, out, "consents")


def _show(found: pb.ConsentResponse, out: Out, schema: str) -> None:
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import consent_table

    out.document(schema, plain(found))
    if found.entries:
        out.table(consent_table(found.entries))
    else:
        out.note("nothing here")
    note_damaged(out, found.damaged)


def _instant(text: str | None) -> int:
    from intelshare.cli.shared.deadlines import until

    found = until(text, Instant(time.time_ns() // 1000))
    return 0 if found == NEVER else found
