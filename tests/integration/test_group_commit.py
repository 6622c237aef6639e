"""Steps that wait share a commit in a running node too, but for those that change what the next step sees."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from builders import draft, text
from intelshare.broker.kernel.actor import authorised
from intelshare.broker.kernel.documents import adopt, take_keys
from intelshare.broker.kernel.node import Node
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.ids import UserUri
from intelshare.node.renewal import directory_signer
from intelshare.node.runtime import Runtime
from intelshare.patience import patient
from intelshare.ports import Durable, Plan
from intelshare.roles import Role
from intelshare.trust import renew_directory
from node_world import LABEL, Site

Wait = Awaitable[Durable[Any]]


async def commits_of(runtime: Runtime, ask: Callable[[], list[Wait]]) -> tuple[int, list[Any]]:
    """How many commits steps need that all wait when the writer comes to them, and their answers."""
    held, release = threading.Event(), threading.Event()

    def hold(*_: object) -> Plan[None]:
        held.set()
        assert release.wait(patient(10))
        return Plan((), None, last=True)

    holding = asyncio.ensure_future(runtime.step(hold))
    await asyncio.to_thread(held.wait, 10)
    waiting = [asyncio.ensure_future(one) for one in ask()]
    await asyncio.sleep(0)  # each is in the queue now
    before = runtime.store.commits
    release.set()
    await holding
    answers = await asyncio.gather(*waiting)
    return runtime.store.commits - before - 1, [answer.value for answer in answers]


async def test_256_submits_that_wait_need_at_most_8_commits(pair: tuple[Site, Site]) -> None:
    site, other = pair
    await other.stop()
    runtime = site.running.runtime
    author = authorised(UserUri(site.user_uri("a")), Role.ANALYST)
    wanted = draft(text(LABEL, "x" * 2048), to=["USA"])

    def submits() -> list[Wait]:
        return [runtime.step(submit, SubmitCommand(author, os.urandom(16), wanted)) for _ in range(256)]

    commits, answers = await commits_of(runtime, submits)
    assert len({answer.bulletin for answer in answers}) == 256
    assert commits <= 8


def renewed(runtime: Runtime) -> tuple[Any, ...]:
    directory = runtime.node.trust.members[runtime.node.member].directory
    assert directory is not None
    return adopt, renew_directory(directory, directory_signer(runtime), runtime.now())


def rotated(runtime: Runtime) -> tuple[Any, ...]:
    return take_keys, dict(runtime.node.sealing), [], runtime.node.signer, ()


@pytest.mark.parametrize("change", [renewed, rotated])
async def test_a_step_that_changes_the_node_ends_its_group(
    pair: tuple[Site, Site], change: Callable[[Runtime], tuple[Any, ...]]
) -> None:
    site, other = pair
    await other.stop()
    runtime = site.running.runtime
    seen: list[Node] = []

    def look(node: Node, *_: object) -> Plan[None]:
        seen.append(node)
        return Plan((), None)

    step, *event = change(runtime)
    commits, _ = await commits_of(
        runtime,
        lambda: [
            *(runtime.step(look) for _ in range(10)),
            runtime.step(step, *event),
            *(runtime.step(look) for _ in range(10)),
        ],
    )
    before, after = seen[:10], seen[10:]
    assert len({id(node) for node in before}) == len({id(node) for node in after}) == 1
    assert after[0] is runtime.node
    assert after[0] is not before[0]
    assert commits == 2
