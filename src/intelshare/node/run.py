"""Starts a node: opens everything in order, and runs the process.

The order: lock and store, vault, what the disk remembers (sidecar), trust, world, a new incarnation (c6),
ports, the directory that names them, links. A disk error ends the process at once, with an exit code other
than 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from intelshare import __version__
from intelshare.audit.work import finish
from intelshare.broker.kernel.documents import remembered
from intelshare.broker.kernel.node import Node, with_acts, with_trust
from intelshare.broker.kernel.tables import NODE, TABLES
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.access import hold_access
from intelshare.broker.lifecycle.arrivals import came_again
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.lifecycle.hearing import begin_hearing
from intelshare.broker.lifecycle.restored import forget_received
from intelshare.broker.line.hello import ask_again, start_incarnation
from intelshare.broker.treaty.act import counting
from intelshare.broker.treaty.policy_files import files_in_force
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITES
from intelshare.errors import ConfigError, Place, PolicyFileError, TrustError
from intelshare.ids import Incarnation, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.labels import LabelReader
from intelshare.node.certificates import Certificates
from intelshare.node.clock import Clock
from intelshare.node.events import Event, Logger, make_logger
from intelshare.node.folder import Folder
from intelshare.node.housekeeping import NodeProcess, endpoints, last_peer_port
from intelshare.node.leaf import show_certificates
from intelshare.node.links import Links
from intelshare.node.mending import known_documents, rebuild_driving
from intelshare.node.policies import PolicyFiles, law_texts, taken_away, world_of
from intelshare.node.renewal import renew
from intelshare.node.replicas import AS_NAMED, OtherPorts, Trouble, Turn, location, wait_for_turn
from intelshare.node.reserve import need_room_to_start
from intelshare.node.restore import restored_at, settle_restore
from intelshare.node.running import check_clock, read_running, show_running
from intelshare.node.runtime import Runtime
from intelshare.node.servers import open_ports
from intelshare.node.settings import Settings
from intelshare.node.settings_file import check_named, read_settings
from intelshare.node.sidecar import check_database, check_memory, log_position
from intelshare.node.stray_lines import catch_stray_lines
from intelshare.node.traces import traces_of
from intelshare.policy import World
from intelshare.ports import Store
from intelshare.private_files import secrets_folder
from intelshare.statement import VerifiedRoots
from intelshare.store.engines import open_at
from intelshare.store.folder import Locked, lock
from intelshare.store.sidecar import accept_loss as confirm_loss
from intelshare.store.sidecar import check_shared, mark_start, remember_loss, write_sidecar
from intelshare.trust import TrustView
from intelshare.vault import (
    FileVault,
    Token,
    TokenPlace,
    open_token,
    open_vault,
    passphrase_from_file,
    passphrase_from_secrets,
    pin_from_prompt,
)


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
        runtime.traces, code = traces_of(os.environ, runtime.node.uri)
        if code:
            log.warning(Event.NO_TRACES, code=code)
        if turn is not None and turn.together and not turn.first:
            return await _serve_beside(runtime, locked)
        node = await _serve(runtime, locked)
        if turn is not None and turn.together:
            node.go_together()
        return node
    except BaseException:
        runtime.close()
        locked.release()
        raise


def open_folder(
    root: Path,
    passphrase: Callable[[], bytes],
    log: Logger,
    *,
    accept_loss: bool = False,
    development: bool = False,
    wall: Callable[[], Instant] | None = None,
    turn: Turn | None = None,
    makes_keys: bool = False,
) -> tuple[Runtime, Locked]:
    """Open and lock everything in a data folder that needs no port. Call it in the event loop; raises as
    ``start_node``. ``makes_keys``: new signing keys are about to be made, so none needs to be valid.
    """
    folder = Folder(root)
    need_room_to_start(root)
    if folder.root_to_sign.exists():
        raise TrustError(
            "TRUST_THRESHOLD",
            f"the holders of the root have not signed {folder.root_to_sign} yet, or it was not published",
            hint="each: `intelshare trust root sign FILE --vault VAULT`; then `intelshare trust root publish "
            f"FILE --folder {root}`",
        )
    locked = lock(root, shared=turn is not None)
    accept_loss = accept_loss or restored_at(root) is not None
    store: Store | None = None
    try:
        settings = read_settings(folder.settings)
        if turn is not None:
            settings = turn.ports.over(settings)
        vault = open_vault(
            folder.vault,
            passphrase(),
            suites=SUITES,
            random=os.urandom,
            allow_development=development,
            token=opened_token(folder, settings.token),
        )
        for held in vault.held_keys():
            if held.record.use is KeyUse.SIGNING:
                check_named(
                    settings, folder.settings, NodeUri(held.record.node), MemberCode(held.record.member)
                )
        texts = law_texts(folder)
        world = world_of(texts, settings)
        if not accept_loss and settings.store is None:
            check_database(folder.sidecar, folder.database)
        trouble = Trouble()
        where = replace(location(folder, settings, turn), accept_loss=accept_loss)
        store = open_at(where, TABLES, vault.storage_key(), trouble.tell)
        beside = turn is not None and turn.together and not turn.first
        if beside:
            check_shared(root)
            check_clock(folder, wall() if wall is not None else Instant(time.time_ns() // 1000))
        else:
            rebuild_driving(store)
        if not accept_loss and not beside:  # the one that leads writes the sidecar at this moment
            store.ask_now(lambda view: check_memory(folder.sidecar, view))
        runtime = _runtime(
            folder, settings, store, vault, world, log, texts, wall, turn, makes_keys=makes_keys
        )
        if accept_loss and not beside:
            me = store.ask_now(lambda view: view.get(NODE, SELF))
            runtime.forgot = me.latest if me is not None else restored_at(root)
        elif not beside:
            _unmark(runtime)
        trouble.listener = runtime.store_told
        runtime.replica = turn.replica if turn is not None else ""
        return runtime, locked
    except BaseException:
        if store is not None:
            store.close()
        locked.release()
        raise


def _runtime(
    folder: Folder,
    settings: Settings,
    store: Store,
    vault: FileVault,
    world: World,
    log: Logger,
    texts: Mapping[Path, bytes],
    wall: Callable[[], Instant] | None,
    turn: Turn | None,
    *,
    makes_keys: bool,
) -> Runtime:
    me = store.ask_now(lambda view: view.get(NODE, SELF))
    latest, confirmed = (me.latest, me.confirmed) if me is not None else (Instant(0), Instant(0))
    clock = Clock(latest, wall, confirmed=confirmed)
    try:
        node = _node(folder, settings, store, vault, world, None if makes_keys else clock.now())
        if turn is not None and turn.together and not turn.first and me is not None:
            node = replace(node, incarnation=me.incarnation)
    except PolicyFileError as error:
        lost = taken_away(store.ask_now(files_in_force), texts)
        if error.place is not None or not lost:
            raise
        hint = f"put {lost} back as it was: it defines a member that this node knows"
        raise PolicyFileError(error.code, error.message, place=Place(lost), hint=hint) from None
    runtime = Runtime(
        folder,
        settings,
        store,
        vault,
        node,
        clock,
        log,
        Certificates(folder, settings, vault, clock.now()),
        leads=turn is None or not turn.together or turn.first,
    )
    runtime.law = texts
    return runtime


def _unmark(runtime: Runtime) -> None:
    """Remove the mark of a clean stop before anything can be signed under a new incarnation (c6)."""
    me = runtime.store.ask_now(lambda view: view.get(NODE, SELF))
    previous = me.incarnation if me is not None else Incarnation(0)
    write_sidecar(runtime.folder.sidecar, runtime.store.ask_now(lambda view: log_position(view, previous)))
    mark_start(runtime.folder.root)


async def begin_after_loss(runtime: Runtime) -> None:
    """If the disk forgot: keep in it what it remembers, and ask for what it does not, before anything new is
    signed. Repeated after every start that did not complete.
    """
    if runtime.forgot is None:
        return
    # Until this is durable, the sidecar also tells the next start that the disk forgot.
    await runtime.step(ask_again)
    runtime.forgot = (await runtime.step(begin_hearing, runtime.forgot)).value
    await forget_lost(runtime)
    # From here on this mark tells it, until the directory is signed that skips what was forgotten.
    remember_loss(runtime.folder.root)
    _unmark(runtime)


async def _serve(runtime: Runtime, locked: Locked) -> NodeProcess:
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
    last = read_running(folder)
    async with contextlib.AsyncExitStack() as undo:
        ports = await open_ports(
            runtime,
            links,
            last_peer_port=last_peer_port(runtime),
            last_user_port=last.user_port if last is not None else 0,
        )
        undo.push_async_callback(ports.close)
        # By a clock that was moved meanwhile no key may be valid: no start makes one then (decision 84).
        node.trust.signing_key(node.uri, runtime.now())
        await renew(runtime, endpoints(runtime, ports))
        settle_restore(folder.root)
        confirm_loss(folder.root)
        await ports.follow()
        show_certificates(runtime)
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
    links = Links(runtime)
    async with contextlib.AsyncExitStack() as undo:
        ports = await open_ports(runtime, links, last_peer_port=0, last_user_port=0)
        undo.push_async_callback(ports.close)
        await ports.follow()
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


def opened_token(folder: Folder, place: TokenPlace | None) -> Token | None:
    """Open the token that node.toml names, if it names one. Raises ConfigError, VaultError."""
    if place is None:
        return None
    name = place.pin_file.removeprefix("secrets:")
    mounted = secrets_folder() if name != place.pin_file else None
    if not place.pin_file:
        pin = pin_from_prompt(place.token)
    elif mounted is not None:
        pin = passphrase_from_secrets(mounted, name)
    else:
        pin = passphrase_from_file(folder.root / name)
    return open_token(place, pin)


async def forget_lost(runtime: Runtime) -> None:
    """Forget received bulletins for which a restored folder has no keys, so that they are asked for again."""
    node = runtime.node
    again = await asyncio.to_thread(runtime.store.ask_now, lambda view: finish(came_again(node, view)))
    after: ManifestDigest | None = ManifestDigest(b"")
    count = 0
    while after is not None:
        done = (await runtime.step(forget_received, after, again)).value
        count, after = count + done.count, done.after
    runtime.log.warning(Event.RECEIVED_FORGOTTEN, count=count)


def _node(
    folder: Folder, settings: Settings, store: Store, vault: FileVault, world: World, now: Instant | None
) -> Node:
    """``now``: when the signing key has to be valid; None: it may have ended."""
    stored = store.ask_now(lambda view: known_documents(folder, settings.member, view, store.damage))
    if not stored:
        raise ConfigError(
            "NOT_FOUND",
            "the store has no documents of this member",
            hint="`intelshare init` makes them; or restore a backup",
        )
    trust = TrustView.load(
        settings.member, stored, SUITES, store.ask_now(exclusions), store.ask_now(remembered)
    )
    incarnation = Incarnation(secrets.randbelow(2**64 - 1) + 1)
    uri = NodeUri(settings.node)
    keys = (trust.last_signing_key(uri),) if now is None else trust.signing_keys(uri, now)
    signer = vault.first_signer(keys)
    node = with_trust(
        Node(
            member=settings.member,
            uri=uri,
            incarnation=incarnation,
            signer=signer,
            sealing=vault.sealing_keys(),
            retired=frozenset(vault.retired()),
            storage_key=vault.storage_key(),
            trust=trust,
            world=world,
            suites=SUITES,
            labels=LabelReader(world.registry),
            roots=VerifiedRoots(),
            version=__version__,
            queues=settings.queues,
            retention=settings.retention,
        ),
        trust,
    )
    return with_acts(node, store.ask_now(counting))


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
