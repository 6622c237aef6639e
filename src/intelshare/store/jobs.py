"""Steps that wait for the writer; their callers are woken with one call into each event loop per group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intelshare.ports import Durable, Plan, View, durable_after_commit

MAX_GROUP: Final = 256
"""The most steps that share one commit."""

MAX_WRITES: Final = 4096
"""The writes after which a group ends, so that its memory is bounded."""

MAX_TIME: Final = 0.05
"""The seconds of processor after which no further step joins a group: each waits for the commit of all."""


@dataclass(slots=True)
class Job:
    """One step and its waiting caller."""

    step: Callable[[View], Plan[Any]]
    then: Callable[[Any], None] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Durable[Any]]
    shred: bool = False
    """True to clear the WAL after the commit; the answer tells whether it could be cleared."""
    last: bool = False
    """True if the step's plan ends the group (ports.Plan)."""
    answer: Any = None
    error: BaseException | None = None
    ahead: Any = None
    """The plan and reads of a step that ran ahead of the turn to write (``postgres.ahead.Made``), or None."""


def resolve(group: Sequence[Job]) -> None:
    """Wake the callers, with one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in group:
        loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(durable_after_commit(job.answer))
