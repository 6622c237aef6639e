"""``node peers``, ``node queues``, ``node drain``: what waits for whom, and how to empty the queues."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.named_commands import complete
from intelshare.cli.shared.options import on_folder, on_replica, printing
from intelshare.cli.shared.output import Out, waiting

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder
    from intelshare.errors import IntelshareError

_POLL: Final = 0.2
_GONE: Final = 60.0
"""The seconds that a node is given to stop."""


@click.command(
    epilog=examples("intelshare node peers --folder fra", "intelshare node peers --folder fra --wait 30")
)
@click.option(
    "--wait",
    "patience",
    type=click.FloatRange(0, 3600),
    default=0.0,
    help="Wait up to this many seconds until every member is linked that can be.",
)
@printing
@on_replica
def peers(node: NodeFolder, out: Out, patience: float) -> int:
    """List other members' nodes: link, when last seen, clock, what waits for them, which budgets are
    used up.

    With --wait, exits with 10 if a member is still not linked that is neither suspended, removed nor expired.
    """
    from intelshare.cli.shared.operator_tables import peer_notes, peers_table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import duration
    from intelshare.wire.v1 import user_pb2 as pb

    until = time.monotonic() + patience
    found = node.ask_running("Status", pb.StatusRequest())
    while _unlinked(found) and time.monotonic() < until:
        time.sleep(_POLL)
        found = node.ask_running("Status", pb.StatusRequest())
    shown = plain(found)
    out.document("peers", {"peers": shown["peers"], "budgets": shown["budgets"]})
    if not found.peers:
        out.note("no other member is known: intelshare member import")
        return Exit.DONE
    out.table(peers_table(found.peers))
    for line in peer_notes(found.peers):
        out.line(complete(line))
    for spent in found.budgets:
        again = f", takes something again in {duration(spent.again)}" if spent.again else ""
        out.line(f"budget {spent.member} {spent.name}  spent {spent.refused} times{again}  [RATE]")
    return Exit.TIMED_OUT if patience and _unlinked(found) else Exit.DONE


def _unlinked(found: Any) -> bool:
    """Return true if a member's node is not linked, and could be."""
    return any(peer.state in ("dialling", "waiting") for peer in found.peers)


@click.command(epilog=examples("intelshare node queues --folder fra"))
@printing
@on_folder
def queues(node: NodeFolder, out: Out) -> None:
    """List what waits, by recipient and precedence: how much, since when, how many bytes.

    "queued": bulletins that wait for delivery. "unacknowledged": signed statements of any kind that the
    member has not confirmed; they are sent again until it does.
    """
    from intelshare.cli.shared.operator_tables import queue_table
    from intelshare.cli.shared.plain import plain
    from intelshare.wire.v1 import user_pb2 as pb

    found = node.ask_running("Queues", pb.QueuesRequest())
    out.document("queues", plain(found))
    if found.queues:
        out.table(queue_table(found.queues))
    else:
        out.note("nothing waits for delivery; what waits for a releasing officer: intelshare outbox --held")


@click.command(
    epilog=examples(
        "intelshare node drain --folder fra --wait 60",
        "intelshare node drain --folder fra --undo",
        "intelshare node drain --folder fra --replica b",
    )
)
@click.option("--undo", is_flag=True, help="Take bulletins again.")
@click.option(
    "--wait",
    "patience",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    help="Wait up to this many seconds until nothing is queued or unacknowledged.",
)
@click.option("--stop", is_flag=True, help="Then stop the node (on this machine).")
@printing
@on_replica
def drain(node: NodeFolder, out: Out, undo: bool, patience: float, stop: bool) -> int:
    """Accept no new bulletins and deliver what is queued, before an upgrade or a move.

    Everything else continues: reception, receipts, recalls, reading. Health shows DRAINING. Draining ends
    with --undo alone: a node that is started again, by --stop or by whatever else, is still drained. --wait
    goes on over such a start. Exits with 10 if something is still queued.

    Waited for are bulletins, receipts, recalls and whatever else users and operators have said. Not waited
    for are the node's last checkpoint and its documents, which later ones replace: to a member that gets
    courier bundles one is always owed. What waits for such a member ends with a bundle to it, and one back.

    Of several replicas only the one that is asked is drained: the others accept bulletins. If they
    share the links, nothing is waited for: what is queued is that of all, and goes on from the others when
    this one is stopped.
    """
    from intelshare.wire.v1 import user_pb2 as pb

    if undo and (stop or patience):
        raise click.UsageError("--undo cannot be combined with --wait or --stop.")
    found = node.ask_running("Drain", pb.DrainRequest(undo=undo, replica=node.replica))
    replica = found.replica
    if node.replica not in ("", replica):
        raise _reached_another(node.replica, replica)
    end = time.monotonic() + patience
    with waiting("queued bulletins are being delivered"):
        while not undo and _left(found) and time.monotonic() < end:
            time.sleep(_POLL)
            found = _left_now(node, replica, found)
    empty = not _left(found)
    stopped = stop and empty
    if stopped:
        _stop(node.folder, replica)
    out.document(
        "drain",
        {
            "replica": replica or None,
            "draining": not undo,
            "queued": str(found.queued),
            "unacknowledged": str(found.unacknowledged),
            "others_deliver": found.others_deliver,
            "stopped": stopped,
        },
    )
    which = f"replica {replica}" if replica else "the node"
    if undo:
        out.line(f"{which} accepts bulletins again")
        return Exit.DONE
    if replica:
        out.line(f"{which} accepts no new bulletins; the other replicas do")
    waits = f"queued {found.queued}, unacknowledged {found.unacknowledged}"
    if found.others_deliver:
        out.line(f"{waits}: of all replicas; the others deliver it too")
    else:
        out.line("nothing waits" if empty else waits)
    if stopped:
        out.line(f"{which} has stopped")
        again = f" --replica {replica}" if replica else ""
        out.note(f"it accepts no bulletins when it runs again, until `intelshare node drain --undo{again}`")
    elif not empty:
        out.note("the node continues to deliver: `intelshare node queues` shows to whom")
        damaged = node.ask_running("Status", pb.StatusRequest()).damaged
        if damaged:
            out.note(
                f"{damaged} damaged records were met, and what needs one does not end: `intelshare node "
                "repair` says what settles each"
            )
    return Exit.DONE if empty else Exit.TIMED_OUT


def _left_now(node: NodeFolder, replica: str, before: Any) -> Any:
    """Return how much waits now, or what was known before while the node is being restarted."""
    from intelshare.errors import IntelshareError
    from intelshare.wire.v1 import user_pb2 as pb

    try:
        # Whichever answers knows how much waits; none is to be drained besides.
        return node.at("").ask_running("Drain", pb.DrainRequest(replica=replica))
    except IntelshareError as error:
        if error.code != "NODE_UNREACHABLE":
            raise
        return before


def _reached_another(wanted: str, found: str) -> IntelshareError:
    from intelshare.errors import ConfigError

    return ConfigError(
        "NODE_UNREACHABLE",
        f"replica {found} answered in place of {wanted}; neither was changed",
        hint="nobody can choose through a balancer: name the replica's own address in profile.toml, or give "
        "this command with --folder on its machine",
    )


def _left(found: Any) -> int:
    """Return how much waits that nobody delivers if this process is stopped."""
    return 0 if found.others_deliver else int(found.queued + found.unacknowledged)


def _stop(folder: Path, replica: str) -> None:
    """Send SIGTERM to the node, or to one replica, and wait. Raises ConfigError NODE_UNREACHABLE if it does
    not stop, or runs on another machine.
    """
    from intelshare.cli.shared.replica import reported
    from intelshare.errors import ConfigError, Place

    running = reported(folder, replica)
    if running is None:
        return
    which = f"replica {replica}" if replica else "the node"
    if not running.is_here:
        raise ConfigError(
            "NODE_UNREACHABLE",
            f"{which} runs on {running.machine}, and is drained but not stopped",
            place=Place(str(folder)),
            hint="stop its service there",
        )
    # What it says of itself in the folder goes before its last links and rows: the process is waited for.
    process = os.pidfd_open(running.pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], _GONE)
    finally:
        os.close(process)
    if not ended:
        raise ConfigError(
            "NODE_UNREACHABLE",
            f"process {running.pid} was told to stop but is still running",
            place=Place(str(folder / "run.json")),
            hint="check its log",
        )
