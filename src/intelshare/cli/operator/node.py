"""``node run``, ``node status`` and ``status``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.operator.access import confirm_access
from intelshare.cli.operator.backup import backup, restore
from intelshare.cli.operator.metrics import metrics
from intelshare.cli.operator.repair import allow_reading, release_stream, repair
from intelshare.cli.operator.server import move, replicas
from intelshare.cli.operator.waiting import drain, peers, queues
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import MEMBER, TREATY, know
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.named_commands import complete
from intelshare.cli.shared.options import (
    folder_option,
    hinting,
    on_folder,
    on_replica,
    passphrase,
    printing,
    talking,
)
from intelshare.cli.shared.output import Out
from intelshare.cli.shared.plain import time_text
from intelshare.errors import ConfigError, Place
from intelshare.starting import start_command

if TYPE_CHECKING:
    from intelshare.cli.shared.node_folder import NodeFolder, Passphrase
    from intelshare.client import Client

_POLL = 0.1

_FOR_AN_OPERATOR = frozenset(("ACCESS_WAITS", "DRAINING"))
"""The codes that nothing but an operator's word ends."""


@click.group(cls=CommandGroup)
def node() -> None:
    """Run a node and show its state."""


@node.command(epilog=examples("intelshare node run --folder fra --dev"))
@folder_option
@passphrase
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Start although the database holds less than it did, or the vault is an older one (STORE_FORGOT).",
)
@click.option(
    "--dev", is_flag=True, help="Accept a folder made by `init --dev`, whose vault does not protect the keys."
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append the log to this file. Default: standard error.",
)
@click.option(
    "--log-level",
    type=click.Choice(["info", "warning", "error", "critical"]),
    default="info",
    show_default=True,
    help="Omit log lines below this level.",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="JSON lines for log collectors, or text for people.",
)
@click.option(
    "--replica",
    default="",
    metavar="NAME",
    help="Share the folder with other replicas: wait until none of them is the node, then take over.",
)
@click.option(
    "--together",
    is_flag=True,
    help="With --replica: all replicas that say so serve users at once, and one of them leads.",
)
@click.option(
    "--user-port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="The port for users instead of the one in node.toml: replicas on one machine need several.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="The port for metrics instead of the one in node.toml: replicas on one machine need several.",
)
@hinting
def run(
    folder: Path,
    passphrase: Passphrase,
    accept_loss: bool,
    dev: bool,
    log_file: Path | None,
    log_level: str,
    log_format: str,
    replica: str,
    together: bool,
    user_port: int,
    metrics_port: int,
) -> int:
    """Run the node of a data folder until it is told to stop (SIGTERM, Ctrl-C).

    After SIGHUP the node opens a log file of the same name again, for log rotation.
    """
    import sys

    from intelshare.node.events import Form, Level, Logger
    from intelshare.node.replicas import OtherPorts
    from intelshare.node.run import run_node

    if (together or user_port or metrics_port) and not replica:
        raise click.UsageError(
            "--together, --user-port and --metrics-port are for a replica: add --replica NAME"
        )
    log = Logger(sys.stderr, file=log_file, level=Level(log_level), form=Form(log_format))
    return run_node(
        folder,
        passphrase.of(folder),
        accept_loss=accept_loss,
        development=dev,
        log=log,
        replica=replica,
        together=together,
        ports=OtherPorts(user_port, metrics_port),
    )


@node.command(
    "status",
    epilog=examples(
        "intelshare node status --folder fra --wait 30", "intelshare node status --folder fra --replica b"
    ),
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=0.0,
    help="Wait this many seconds until the node serves.",
)
@printing
@on_replica
def node_status(node: NodeFolder, out: Out, wait: float) -> int:
    """Show the health, links and queues of the node of a data folder."""
    from intelshare.wire.v1 import user_pb2 as pb

    end = time.monotonic() + wait
    while True:
        try:
            found = node.ask_running("Status", pb.StatusRequest())
        except ConfigError as error:
            if error.code != "NODE_UNREACHABLE" or time.monotonic() > end:
                raise
        else:
            waits = _FOR_AN_OPERATOR.intersection(found.codes)
            if found.health == "SERVING" or waits or time.monotonic() > end:
                return _show(found, out)
        time.sleep(_POLL)


@node.command(epilog=examples("intelshare node health --folder fra"))
@click.option("--replica", default="", metavar="NAME", help="Ask for this replica: 0 also while it waits.")
@folder_option
@printing
def health(folder: Path, out: Out, replica: str) -> int:
    """Show whether the node of a data folder serves, for service managers. Needs no certificate.

    Exits with 0 if it serves, with 1 if it runs but does not serve, with 6 if it does not run.
    """
    from intelshare.cli.shared.replica import reported
    from intelshare.cli.shared.tables import clock_words, short_time
    from intelshare.instant import Instant
    from intelshare.node.running import STANDBY

    found = reported(folder, replica)
    if found is None or not found.fresh(Instant(time.time_ns() // 1000)):
        raise ConfigError(
            "NODE_UNREACHABLE",
            "no node has reported recently that it runs in this folder",
            place=Place(str(folder / "run.json")),
            hint=start_command(folder, replica),
        )
    out.document(
        "health",
        {
            "health": found.health,
            "codes": list(found.codes),
            "node": found.node,
            "pid": found.pid,
            "clock": {
                "now": time_text(found.at),
                "expected": time_text(found.clock_expected),
                "until": time_text(found.clock_until),
            },
            "waits": {
                "what": found.waits.what,
                "next": complete(found.waits.next),
                "since": time_text(found.waits.since),
            }
            if found.waits is not None
            else None,
        },
    )
    out.line(f"{found.health}{' (' + ', '.join(found.codes) + ')' if found.codes else ''}")
    if found.waits is not None:
        out.line(f"waits since {short_time(found.waits.since)}: {found.waits.what}")
        out.note(complete(found.waits.next))
    if found.clock_until:
        out.line(clock_words(found.at, found.clock_expected, found.clock_until))
    return Exit.DONE if found.health in ("SERVING", STANDBY) else Exit.FAILED


@node.command(
    epilog=examples(
        "intelshare node clock --folder fra",
        "intelshare node clock --believe --folder fra",
        'intelshare node clock --believe --reason "set by GPS; USA is wrong" --folder fra',
    )
)
@click.option("--believe", is_flag=True, help="Believe the clock as it is now; releases resume.")
@click.option(
    "--reason",
    default="",
    help="Why your clock is right although linked peers disagree. The reason is logged.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@on_folder
def clock(node: NodeFolder, out: Out, believe: bool, reason: str, yes: bool) -> int:
    """Show whether the node believes its clock; with --believe, make it believe the clock.

    The clocks of all linked peers must agree within five minutes, unless you give a reason. Exits with 1 if
    the clock is not believed.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import clock_line
    from intelshare.wire.v1 import user_pb2 as pb

    if reason and not believe:
        raise click.UsageError("--reason can only be used with --believe")
    found = node.operate("Clock", pb.ClockRequest())
    if believe and not found.clock.confirmed:
        shown = clock_line(found.clock)
        confirm(f"{shown[0].upper()}{shown[1:]}. Believe it now?", yes=yes)
        found = node.operate("Clock", pb.ClockRequest(believe=True, reason=reason))
    out.document("clock", plain(found))
    state = found.clock
    agreed = f"; {', '.join(found.agreed)} agree" if found.agreed else ""
    out.line(f"{clock_line(state)}{agreed}")
    return Exit.DONE if state.believed else Exit.FAILED


@click.command(epilog=examples("intelshare status"))
@printing
@talking
def status(client: Client, out: Out) -> int:
    """Show your node's health, links and queues."""
    found = client.status()
    know(client.profile, MEMBER, [found.member, *(peer.member for peer in found.peers)])
    know(
        client.profile, TREATY, [law.about for law in found.policy.files if law.file.startswith("treaties/")]
    )
    return _show(found, out)


def _show(found: Any, out: Out) -> int:
    from intelshare.cli.shared.law import policy_line
    from intelshare.cli.shared.operator_tables import peer_notes, peer_table
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import clock_line

    out.document("status", plain(found))
    for line in _who(found):
        out.line(line)
    if not found.HasField("log_size"):
        out.note("counts are shown to operators and auditors only")
    for line in (*_stored(found), *_files(found)):
        out.line(line)
    if not found.clock.confirmed:
        out.line(f"{clock_line(found.clock)}{'' if found.clock.believed else '  [CLOCK]'}")
    out.line(policy_line(found.policy))
    if found.peers:
        out.table(peer_table(found.peers))
        for line in peer_notes(found.peers):
            out.line(complete(line))
    else:
        out.note("no other member is known: intelshare member import")
    for line in (*_ports(found), *_limits(found), *_alarms(found)):
        out.line(line)
    return Exit.DONE if found.health == "SERVING" else Exit.FAILED


def _who(found: Any) -> Iterator[str]:
    """Yield which node it is, its health, and its log."""
    from intelshare.cli.shared.tables import short_time

    yield f"{found.member}  {found.node}{f'  replica {found.replica}' if found.replica else ''}"
    codes = f" ({', '.join(found.codes)})" if found.codes else ""
    yield f"{found.health}{codes}  since {short_time(found.started_at)}  version {found.version}"
    entries = f"  log entries {found.log_size}" if found.log_size else ""
    shared = f"  steps per commit {found.steps / found.commits:.1f}" if found.commits else ""
    yield f"incarnation {found.incarnation:016x}{entries}{shared}"


def _stored(found: Any) -> Iterator[str]:
    """Yield what the store holds."""
    from intelshare.cli.shared.operator_tables import kept_line

    if found.HasField("store"):
        store = found.store
        yield (
            f"store  journalled {store.bytes_journalled / 2**20:.1f} MiB  rows moved {store.rows_moved}  "
            f"waiting in memory {store.bytes_waiting / 2**20:.1f} MiB"
        )
    yield from map(kept_line, found.stores)
    if found.damaged:
        yield f"damaged records {found.damaged}: intelshare node repair  [RECORD_CORRUPT]"


def _files(found: Any) -> Iterator[str]:
    """Yield how much room attachments take, and whose."""
    if not found.HasField("files"):
        return
    room = found.files
    yield (
        f"attachments  {room.held / 2**20:.1f} of {room.most >> 20} MiB; "
        f"of one peer at most {room.peer_most >> 20} MiB"
    )
    for peer in found.peers:
        if peer.file_bytes or peer.files_wanted:
            wanted = f", {peer.files_wanted} not complete yet" if peer.files_wanted else ""
            yield f"  of {peer.member} {peer.file_bytes / 2**20:.1f} MiB{wanted}"


def _ports(found: Any) -> Iterator[str]:
    """Yield the connections of each port, and which members cannot connect."""
    for port in found.ports:
        ended = ", ".join(f"{count} {reason}" for reason, count in sorted(port.ended.items()))
        yield (
            f"{port.name} {port.port}  connections {port.connections} of {port.most}"
            f"{f', {port.unknown} not yet proved' if port.unknown else ''}"
            f"{f'  turned away or ended: {ended}' if ended else ''}"
        )
    for member in found.shut_out:
        yield f"{member}: one of its certificate authorities does not load: its nodes cannot connect"


def _limits(found: Any) -> Iterator[str]:
    """Yield the members that have nearly used up what is kept for them, or have spent a budget."""
    from intelshare.cli.policy.examine import is_much
    from intelshare.cli.shared.tables import duration

    for kept in found.kept:
        if is_much(kept):
            yield f"kept for {kept.member}  {kept.rows} rows of {kept.most}  [RATE]"
    for spent in found.budgets:
        again = f", open again in {duration(spent.again)}" if spent.again else ""
        yield f"budget {spent.member} {spent.name}  spent {spent.refused} times{again}  [RATE]"


def _alarms(found: Any) -> Iterator[str]:
    """Yield the treaties of which another member has another text, and the alarms."""
    from intelshare.cli.shared.law import mismatch_words
    from intelshare.cli.shared.tables import short_time

    for mismatch in found.policy.mismatches:
        yield f"{mismatch.treaty}: {mismatch_words(mismatch)}  [TEXT_MISMATCH]"
    for alarm in found.alarms:
        yield (
            f"alarm {alarm.evidence.hex()[:8]}  {alarm.member}: {alarm.what}  [{alarm.code}]  "
            f"since {short_time(alarm.first_at)}"
        )


for _command in (
    peers,
    queues,
    drain,
    backup,
    restore,
    metrics,
    repair,
    release_stream,
    allow_reading,
    confirm_access,
    move,
    replicas,
):
    node.add_command(_command)
