"""One operation on the data folder of a node that does not run: as if it ran, without ports.

It is a start and a clean stop with one call of the Operations service between them: the same function, the
same log entry, under an incarnation of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from intelshare.broker.hello import begin
from intelshare.node.audits import audits
from intelshare.node.authorisation import OPERATOR
from intelshare.node.door import UserCaller
from intelshare.node.events import make_logger
from intelshare.node.links import Links
from intelshare.node.operations import operations
from intelshare.node.run import open_folder
from intelshare.node.sidecar import standing
from intelshare.store.sidecar import write_sidecar
from intelshare.trust import user_uri

FOLDER_OWNER: Final = "folder-owner"
"""Whom the log names: whoever owns the folder and has the passphrase needs no certificate."""


def operate_offline(root: Path, passphrase: Callable[[], bytes], method: str, request: Any) -> Any:
    """The answer of one call.

    Raises StoreError DATA_LOCKED if the node runs, else what ``start_node`` raises.
    """
    return asyncio.run(_operate(root, passphrase, method, request))


async def _operate(root: Path, passphrase: Callable[[], bytes], method: str, request: Any) -> Any:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        shell, locked = open_folder(root, passphrase, make_logger(nowhere))
        try:
            await shell.step(begin)
            links = Links(shell)
            # Nothing is dialled: a new member is met when the node starts.
            shell.on_trust.clear()
            domain = shell.node.trust.members[shell.node.member].root.domain
            caller = UserCaller(user_uri(domain, FOLDER_OWNER), OPERATOR)
            answer = await {**operations(shell, links), **audits(shell, links)}[method](caller, request)
            write_sidecar(
                shell.folder.sidecar,
                shell.store.ask_now(lambda view: standing(view, shell.incarnation, clean=True)),
            )
            return answer
        finally:
            shell.store.close()
            locked.release()
