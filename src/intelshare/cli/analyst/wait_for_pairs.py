"""Waits until the recipients of a bulletin have answered: for ``send --wait`` and ``recall --wait``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from intelshare.cli.shared.output import Out, Progress
from intelshare.errors import DeliveryError, IntelshareError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

_POLL = 0.05


def wait_for_pairs(
    client: Client,
    bulletin: bytes,
    recipients: Iterable[str],
    waits: Callable[[pb.OutboxPair], bool],
    *,
    done: str,
    timeout: float,
    out: Out,
) -> Mapping[str, pb.OutboxPair]:
    """Return the pairs of a bulletin by recipient, once ``waits`` is true of none.

    A node that does not answer meanwhile is waited for too, and so is a pair whose record is damaged.
    ``done``: what the progress line and the error say of the bulletin. Raises DeliveryError TIMED_OUT after
    ``timeout`` seconds.
    """
    asked = sorted(recipients)
    end, waiting = time.monotonic() + timeout, dict.fromkeys(asked, "")
    with Progress(out, f"recipients {done}") as progress:
        while True:
            found = _ask(client, bulletin)
            if found is not None:
                pairs = {pair.recipient: pair for entry in found.entries for pair in entry.pairs}
                waiting = {code: pair.word for code, pair in pairs.items() if waits(pair)}
                if found.damaged:
                    # Nobody knows what became of those that the answer lacks.
                    waiting |= {code: "damaged" for code in asked if code not in pairs}
                if not waiting:
                    return pairs
                count = len({*asked, *pairs})
                progress.at(count - len(waiting), count)
            if time.monotonic() > end:
                # What is held, or queued for a member that is away, nobody could answer yet.
                stand = ", ".join(f"{code} {word}".rstrip() for code, word in waiting.items())
                raise DeliveryError(
                    "TIMED_OUT",
                    f"bulletin {bulletin.hex()}: after {timeout:g} s not all recipients {done}: {stand}",
                    hint=f"intelshare outbox {bulletin.hex()[:8]}",
                )
            time.sleep(_POLL)


def _ask(client: Client, bulletin: bytes) -> pb.OutboxResponse | None:
    """Return the bulletin with its pairs, or None while the node does not answer; it has stored them."""
    from intelshare.cli.analyst.attach import BROKEN

    try:
        return client.outbox(bulletin.hex())
    except IntelshareError as error:
        if error.code not in BROKEN:
            raise
        return None
