"""``recall`` and ``receipts``: recall a bulletin, and list the receipts that every recipient has signed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import bulletins
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb


@click.command(
    epilog=examples(
        'intelshare recall 3f9a1c22 --reason "wrong source" --dry-run',
        'intelshare recall 3f9a1c22 --reason "wrong source"',
        'intelshare recall 3f9a1c22 --reason "wrong source" --yes --wait',
    )
)
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.option(
    "--reason",
    required=True,
    help="The reason, shown to every recipient that has the bulletin: nothing classified.",
)
@click.option("--dry-run", is_flag=True, help="Show what a recall would do; recall nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Wait until every recipient that has it has signed.")
@click.option(
    "--timeout", type=click.FloatRange(0, 86400), default=30.0, show_default=True, help="Seconds to wait."
)
@printing
@talking
def recall(
    client: Client, out: Out, bulletin: str, reason: str, dry_run: bool, yes: bool, wait: bool, timeout: float
) -> int:
    """Recall the bulletin whose id begins with ID. Authors and releasing officers only.

    Deliveries that have not happened yet are stopped. Each recipient that has the bulletin is asked to
    destroy it, and signs that it did; until then `intelshare outbox` shows "recall requested". Your member's
    copy stays.

    Exits with 7 if a damaged record hides a recipient: recall again once it is repaired.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.output import draw
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import recall_table

    answer = client.recall(bulletin, reason, dry_run=True)
    if not dry_run:
        if not yes and not answer.before:
            draw(recall_table(answer.pairs), sys.stderr)
            confirm(
                f"Recall bulletin {answer.bulletin.hex()}? This cannot be undone.",
                yes=yes,
                otherwise="not recalled: nothing has changed",
            )
        answer = client.recall(answer.bulletin.hex(), reason)
    if wait and not dry_run:
        out.note(f"bulletin {answer.bulletin.hex()} is recalled")
        _wait(client, answer, timeout, out)
    out.document("recall", plain(answer) | {"dry_run": dry_run})
    about = "was recalled before" if answer.before else "would be recalled" if dry_run else "recalled"
    out.line(f"bulletin {answer.bulletin.hex()} {about}")
    out.table(recall_table(answer.pairs))
    for record in answer.damaged:
        out.note(f"a recipient is not asked: {record}; `intelshare node repair`, then recall again")
    return Exit.NOT_VERIFIED if answer.damaged else Exit.DONE


def _wait(client: Client, answer: pb.RecallResponse, timeout: float, out: Out) -> None:
    """Bring the states in an answer up to date, once nobody is asked any more. Raises DeliveryError
    TIMED_OUT.
    """
    from intelshare.cli.analyst.wait_for_pairs import wait_for_pairs

    now = wait_for_pairs(
        client,
        answer.bulletin,
        [pair.recipient for pair in answer.pairs],
        lambda pair: pair.recall_requested,
        done="have destroyed it",
        timeout=timeout,
        out=out,
    )
    for pair in answer.pairs:
        if pair.recipient in now:  # a user who may not see it any more has waited for nothing
            pair.word = now[pair.recipient].word


@click.command(epilog=examples("intelshare receipts 3f9a1c22"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@printing
@talking
def receipts(client: Client, out: Out, bulletin: str) -> int:
    """List every signed receipt for the bulletin whose id begins with ID, verifying each again.

    Exits with 7 if a receipt does not verify, or is left out because its record is damaged.
    """
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import receipt_table

    found = client.receipts(bulletin)
    out.document("receipts", plain(found))
    if found.receipts:
        out.table(receipt_table(found.receipts))
    elif not found.damaged:
        out.note("nobody has answered yet")
    note_damaged(out, found.damaged)
    flawed = found.damaged or any(receipt.flaw for receipt in found.receipts)
    return Exit.NOT_VERIFIED if flawed else Exit.DONE
