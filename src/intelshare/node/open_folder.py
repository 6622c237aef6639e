"""Opens everything in a data folder that needs no port, in order: what a node and a command on its folder do
alike.

The order: lock and store, vault, what the disk remembers (sidecar), trust, world, a new incarnation (c6).
After a loss, what comes before anything is signed (``begin_after_loss``).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from intelshare import __version__
from intelshare.audit.work import finish
from intelshare.broker.kernel.documents import remembered
from intelshare.broker.kernel.node import Node, with_acts, with_trust
from intelshare.broker.kernel.tables import NODE, TABLES
from intelshare.broker.kernel.transaction import SELF
from intelshare.broker.lifecycle.arrivals import came_again
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.lifecycle.hearing import begin_hearing
from intelshare.broker.lifecycle.restored import forget_received
from intelshare.broker.line.hello import ask_again
from intelshare.broker.treaty.act import counting
from intelshare.broker.treaty.policy_files import files_in_force
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITES
from intelshare.errors import ConfigError, Place, PolicyFileError, StoreError, TrustError
from intelshare.ids import Incarnation, ManifestDigest, MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.labels import LabelReader
from intelshare.node.certificates import Certificates
from intelshare.node.clock import Clock
from intelshare.node.events import Event, Logger
from intelshare.node.folder import Folder
from intelshare.node.mending import known_documents, rebuild_driving
from intelshare.node.policies import law_texts, taken_away, world_of
from intelshare.node.replicas import Trouble, Turn, location
from intelshare.node.reserve import need_room_to_start
from intelshare.node.restore import restored_at
from intelshare.node.running import check_clock
from intelshare.node.runtime import Runtime
from intelshare.node.settings import Settings
from intelshare.node.settings_file import check_named, read_settings
from intelshare.node.sidecar import check_database, check_memory, check_vault, log_position
from intelshare.policy import World
from intelshare.ports import Store
from intelshare.private_files import secrets_folder
from intelshare.statement import VerifiedRoots
from intelshare.store.engines import open_at
from intelshare.store.folder import Locked, lock
from intelshare.store.sidecar import accept_loss, check_shared, mark_start, remember_loss, write_sidecar
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
            f"FILE --folder {quote(str(root))}`",
        )
    locked = lock(root, shared=turn is not None)
    accept_loss = accept_loss or restored_at(root) is not None
    store: Store | None = None
    try:
        settings = read_settings(folder.settings)
        if turn is not None:
            settings = turn.ports.over(settings)
        vault = _opened_vault(folder, settings, passphrase, development=development)
        texts = law_texts(folder)
        world = world_of(texts, settings)
        if not accept_loss and settings.store is None:
            check_database(folder.sidecar, folder.database)
        trouble = Trouble()
        where = replace(location(folder, settings, turn), accept_loss=accept_loss)
        store = open_at(where, TABLES, vault.storage_key(), trouble.tell)
        beside = is_beside(turn)
        if beside:
            check_shared(root)
            check_clock(folder, wall() if wall is not None else Instant(time.time_ns() // 1000))
        else:
            rebuild_driving(store)
        if not accept_loss and not beside:  # the one that leads writes the sidecar at this moment
            store.ask_now(lambda view: check_memory(folder.sidecar, view))
        if not accept_loss:
            check_vault(folder, vault)
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
    except BaseException as error:
        name_folder(error, root)
        if store is not None:
            store.close()
        locked.release()
        raise


def name_folder(error: BaseException, root: Path) -> None:
    """Let an error of the store name its folder: whoever reads it may have several nodes."""
    if isinstance(error, StoreError) and error.place is None:
        error.place = Place(str(root.absolute()))


def is_beside(turn: Turn | None) -> bool:
    """Return true for a replica that starts beside another one, which is the node for its peers."""
    return turn is not None and turn.together and not turn.first


def _opened_vault(
    folder: Folder, settings: Settings, passphrase: Callable[[], bytes], *, development: bool
) -> FileVault:
    """Open the vault, and check that its keys are those of the node that node.toml names."""
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
            node, member = NodeUri(held.record.node), MemberCode(held.record.member)
            check_named(settings, folder.settings, node, member)
    return vault


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
        if is_beside(turn) and me is not None:
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
        leads=not is_beside(turn),
    )
    runtime.law = texts
    return runtime


def _unmark(runtime: Runtime) -> None:
    """Remove the mark of a clean stop before anything can be signed under a new incarnation (c6)."""
    me = runtime.store.ask_now(lambda view: view.get(NODE, SELF))
    previous = me.incarnation if me is not None else Incarnation(0)
    vault = runtime.vault.state
    now = runtime.store.ask_now(lambda view: log_position(view, previous, vault=vault))
    write_sidecar(runtime.folder.sidecar, now)
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


def end_loss(runtime: Runtime) -> None:
    """Note that a start which an operator wanted has completed: its directory, which skips what was
    forgotten, is signed. A disk that loses that too is noticed by the sidecar from here on.
    """
    if runtime.forgot is not None:
        here, vault = runtime.incarnation, runtime.vault.state
        now = runtime.store.ask_now(lambda view: log_position(view, here, vault=vault))
        write_sidecar(runtime.folder.sidecar, now)
    accept_loss(runtime.folder.root)


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
