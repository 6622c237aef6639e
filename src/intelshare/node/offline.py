"""Carries out one operation on the data folder of a node that is not running: as if it ran, without ports.

It is a start and a clean stop with one call of the Operations service between them: the same function and the
same log entry, under a separate incarnation.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intelshare.broker.line.hello import start_incarnation
from intelshare.errors import StoreError
from intelshare.instant import Instant
from intelshare.node.backend import NodeBackend
from intelshare.node.events import make_logger
from intelshare.node.links import Links
from intelshare.node.open_folder import begin_after_loss, open_folder
from intelshare.node.runtime import Runtime
from intelshare.node.sidecar import log_position
from intelshare.roles import Role
from intelshare.services import FOLDER_OWNER, SERVICES, Rpc, answer, authorise
from intelshare.starting import start_command
from intelshare.store.sidecar import write_sidecar
from intelshare.trust import user_uri


def operate_offline(
    root: Path,
    passphrase: Callable[[], bytes],
    method: str,
    request: Any,
    wall: Callable[[], Instant] | None = None,
) -> Any:
    """Return the answer of one call. ``wall``: a clock other than the machine's.

    Raises StoreError DATA_LOCKED if the node is running, STORE_FORGOT before the first start of a restored
    folder (except for ``Rpc.makes_keys``), and what ``start_node`` raises.
    """
    return asyncio.run(_operate(root, passphrase, method, request, wall))


async def _operate(
    root: Path,
    passphrase: Callable[[], bytes],
    method: str,
    request: Any,
    wall: Callable[[], Instant] | None,
) -> Any:
    row = {**SERVICES["Operations"], **SERVICES["Audit"]}[method]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        runtime, locked = open_folder(
            root, passphrase, make_logger(nowhere), development=True, wall=wall, makes_keys=row.makes_keys
        )
        try:
            if runtime.forgot is not None:
                if not row.makes_keys:
                    raise _not_started(root)
                # Without one that counts it does not start: they are made as its first start would.
                await begin_after_loss(runtime)
            await runtime.step(start_incarnation)
            answered = await _answer(runtime, row, request)
            here, vault = runtime.incarnation, runtime.vault.state
            now = runtime.store.ask_now(lambda view: log_position(view, here, clean=True, vault=vault))
            write_sidecar(runtime.folder.sidecar, now)
            return answered
        finally:
            runtime.close()
            locked.release()


async def _answer(runtime: Runtime, row: Rpc, request: Any) -> Any:
    """Carry out the call, and all that follows from it: what it marked is destroyed before it is answered.

    Raises what the call raises, and what has failed since.
    """
    links = Links(runtime)
    # Nothing is dialled: a new member is contacted when the node starts.
    runtime.on_trust.clear()
    try:
        domain = runtime.node.trust.members[runtime.node.member].root.domain
        actor = authorise(row, user_uri(domain, FOLDER_OWNER), Role.OPERATOR)
        answered = await answer(NodeBackend(runtime, links), row, actor, request)
        await links.settle()
        if runtime.failed.done():
            raise runtime.failed.result()
        return answered
    finally:
        await links.close()


def _not_started(root: Path) -> StoreError:
    """Return the refusal: what the first start after a loss skips and asks for is reckoned from when the disk
    remembers, and a command that came before would move that.
    """
    return StoreError(
        "STORE_FORGOT",
        f"{root} was restored and has not been started since: that comes before every other command",
        hint=f"start it (`{start_command(root)}`), then repeat this command: until then nobody comes in",
    )
