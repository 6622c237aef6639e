"""Starts a node, and runs its process.

The order: the data folder (``open_folder``), a new incarnation (c6), ports, the directory that names them,
links. A disk error ends the process at once, with an exit code other than 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from intelshare import __version__
from intelshare.broker.lifecycle.access import hold_access
from intelshare.broker.line.hello import start_incarnation
from intelshare.crypto.suites import SUITES
from intelshare.instant import Instant
from intelshare.node.drained import is_drained
from intelshare.node.events import Event, Logger, make_logger
from intelshare.node.folder import Folder
from intelshare.node.housekeeping import NodeProcess, endpoints, last_peer_port
from intelshare.node.last_port import last_user_port, remember_user_port
from intelshare.node.leaf import show_certificates
from intelshare.node.links import Links
from intelshare.node.open_folder import begin_after_loss, end_loss, is_beside, name_folder, open_folder
from intelshare.node.policies import PolicyFiles
from intelshare.node.renewal import renew
from intelshare.node.replicas import AS_NAMED, OtherPorts, Turn, wait_for_turn
from intelshare.node.restore import settle_restore
from intelshare.node.running import show_running
from intelshare.node.runtime import Runtime
from intelshare.node.servers import open_ports
from intelshare.node.stray_lines import catch_stray_lines
from intelshare.node.traces import traces_of
from intelshare.services import DRAINING
from intelshare.store.folder import Locked
from intelshare.store.sidecar import remember_loss
from intelshare.vault import open_vault


async def start_node(
    root: Path,
    passphrase: Callable[[], bytes],
    log: Logger,
    *,
    accept_loss: bool = False,
    development: bool = False,
    wall: Callable[[], Instant] | None = None,
    turn: Turn | None = None,
) -> NodeProcess:
    """Start the node of a data folder. Raises Config-, Vault-, Store-, Trust- and PolicyFileError.

    ``passphrase`` is called after everything that does not need it was checked. ``development``: also accept
    a folder whose vault does not protect the keys. ``wall``: a clock other than the machine's.
    ``turn``: that of a replica.
    """
    runtime, locked = open_folder(
        root, passphrase, log, accept_loss=accept_loss, development=development, wall=wall, turn=turn
    )
    try:
        if is_drained(runtime.folder, runtime.replica):
            runtime.health.set(DRAINING)
        runtime.traces, code = traces_of(os.environ, runtime.node.uri)
        if code:
            log.warning(Event.NO_TRACES, code=code)
        if is_beside(turn):
            return await _serve_beside(runtime, locked)
        # Replicas that take turns are one node after the other, at the same port.
        node = await _serve(runtime, locked, turn.replica if turn is not None and turn.together else "")
        if turn is not None and turn.together:
            node.go_together()
        return node
    except BaseException as error:
        name_folder(error, root)
        runtime.close()
        locked.release()
        raise


async def _serve(runtime: Runtime, locked: Locked, beside: str) -> NodeProcess:
    """``beside``: its name among the replicas that serve users beside it; empty: none does."""
    await begin_after_loss(runtime)
    await runtime.step(start_incarnation)
    if runtime.forgot is not None:
        # Before any port is open: nobody comes in whose access may have been withdrawn since.
        for row in (await runtime.step(hold_access)).value.users:
            runtime.register_changed(row)
    policies = PolicyFiles(runtime)
    await policies.begin()
    links = Links(runtime)
    folder, node = runtime.folder, runtime.node
    async with contextlib.AsyncExitStack() as undo:
        ports = await open_ports(
            runtime,
            links,
            last_peer_port=last_peer_port(runtime),
            last_user_port=last_user_port(folder, beside),
        )
        undo.push_async_callback(ports.close)
        # By a clock that was moved meanwhile no key may be valid: no start makes one then (decision 84).
        node.trust.signing_key(node.uri, runtime.now())
        await renew(runtime, endpoints(runtime, ports))
        settle_restore(folder.root)
        end_loss(runtime)
        await ports.follow()
        show_certificates(runtime)
        remember_user_port(folder, beside, ports.user_port)
        running = show_running(runtime, ports)
        runtime.log.info(
            Event.STARTED,
            node=node.uri,
            peer_port=ports.peer_port,
            user_port=ports.user_port,
            metrics_port=ports.metrics.port,
            incarnation=running.incarnation,
            pid=running.pid,
            version=__version__,
        )
        undo.pop_all()
    return NodeProcess(runtime, links, ports, locked, policies)


async def _serve_beside(runtime: Runtime, locked: Locked) -> NodeProcess:
    """Serve users as a replica of a node that runs."""
    links, last = Links(runtime), last_user_port(runtime.folder, runtime.replica)
    async with contextlib.AsyncExitStack() as undo:
        ports = await open_ports(runtime, links, last_peer_port=0, last_user_port=last)
        undo.push_async_callback(ports.close)
        await ports.follow()
        remember_user_port(runtime.folder, runtime.replica, ports.user_port)
        node = NodeProcess(runtime, links, ports, locked, PolicyFiles(runtime))
        node.go_together()
        undo.pop_all()
    runtime.log.info(
        Event.STARTED,
        node=runtime.node.uri,
        peer_port=0,
        user_port=ports.user_port,
        metrics_port=ports.metrics.port,
        incarnation=f"{runtime.incarnation:016x}",
        pid=os.getpid(),
        version=__version__,
    )
    return node


_SWITCH: Final = 0.001
"""The seconds after which a waiting thread gets the interpreter. The store's writer releases it at every call
of SQLite; at Python's 5 ms, each of these would wait that long for a busy loop (docs/performance.md).
"""


_COLLECTED: Final = (10_000, 10, 20)
"""The ``gc.set_threshold`` of a node. Hundreds of thousands of rows wait in memory for a flush and are not
garbage: with Python's 700, the collector spent a tenth of all processor time on them (docs/performance.md).
"""


def run_node(
    root: Path,
    passphrase: Callable[[], bytes],
    *,
    accept_loss: bool = False,
    development: bool = False,
    log: Logger | None = None,
    replica: str = "",
    together: bool = False,
    ports: OtherPorts = AS_NAMED,
) -> int:
    """Run a node in this process until SIGTERM or SIGINT; return the exit code. Logs to standard error, or
    ``log``.

    On SIGHUP, the log continues in a new file of the same name. ``replica``: the name of this process among
    those that share the folder and take turns (``node.replicas``), or run ``together`` (decision 67);
    ``ports``: of its own on a machine with several. Raises what ``start_node`` raises.
    """
    log = log if log is not None else make_logger(sys.stderr)
    os.umask(0o077)
    _keep_out_of_core_dumps()
    catch_stray_lines(log)
    sys.setswitchinterval(_SWITCH)
    gc.disable()  # until the node has started
    return asyncio.run(
        _run(
            root,
            passphrase,
            log,
            accept_loss=accept_loss,
            development=development,
            turn=(lambda asked: wait_for_turn(root, replica, asked, log, together=together, ports=ports))
            if replica
            else None,
        )
    )


async def _run(
    root: Path,
    passphrase: Callable[[], bytes],
    log: Logger,
    *,
    accept_loss: bool,
    development: bool,
    turn: Callable[[asyncio.Event], Awaitable[Turn | None]] | None,
) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    loop.add_signal_handler(signal.SIGHUP, log.reopen)
    taken: Turn | None = None
    if turn is not None:
        secret = passphrase()  # nobody is there to be asked when its turn comes
        _check_passphrase(root, secret, development=development)
        taken = await turn(asked)
        if taken is None:
            return 0
        passphrase = lambda: secret  # noqa: E731
    node = await start_node(
        root, passphrase, log, accept_loss=accept_loss, development=development, turn=taken
    )
    _collect_from_here_on()
    failed = asyncio.create_task(node.failed())
    stopped = asyncio.create_task(asked.wait())
    await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failed.done():
        error = failed.result()
        log.critical(Event.FATAL, code=error.code)
        if error.code == "STORE_FORGOT":
            remember_loss(root)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(node.stop(), 5)
        return 1
    failed.cancel()
    await node.stop()
    return 1 if node.runtime.failed.done() else 0


def _check_passphrase(root: Path, secret: bytes, *, development: bool) -> None:
    """Raise VaultError now if a replica could not take over: when its turn comes, nobody else is there."""
    vault = Folder(root).vault
    open_vault(vault, secret, suites=SUITES, random=os.urandom, allow_development=development)


def _collect_from_here_on() -> None:
    """Exempt everything loaded so far from garbage collection: it stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED)
    gc.enable()


def _keep_out_of_core_dumps() -> None:
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
