"""Faults of processes: nodes that are killed, stopped, started twice or copied (F1, F21, F29, F34)."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from pathlib import Path

from e2e.nodes import PROGRAM, intelshare, let_in, log_of, ok, wait_for_links, wait_until
from fault_pair import Load, Member, Watched, check, inbox, sending, two, until_ok
from fault_world import NotHere
from processes import clean_environment, finished


def killed(cycles: int) -> str:
    """F1: SIGKILL of a random node every second to three under load, and its restart."""
    chance = random.Random(cycles)
    caught_up: list[float] = []
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        watched = Watched(usa.folder / "users" / "ana")
        began = time.monotonic()
        with sending(load):
            for _ in range(cycles):
                time.sleep(chance.uniform(1, 3))
                chosen = chance.choice((fra, usa))
                chosen.kill()
                chosen.start()
                served, owed = time.monotonic(), set(load.had_ok)
                wait_until(lambda owed=owed: owed <= watched.look().keys(), "all from before to arrive")
                caught_up.append(time.monotonic() - served)
        rate = len(load.had_ok) / (time.monotonic() - began)
        figures = check(load, watched.look)
        for member in (fra, usa):
            ok("audit", "verify", "--folder", member.folder)
    slowest = sorted(caught_up)[-1 - len(caught_up) // 100]
    # A percentile of a few says nothing.
    assert cycles < 100 or slowest < 5, f"caught up after {slowest:.1f} s: {figures}"
    return f"{cycles} kills at {rate:.0f}/s; {figures}; caught up p99 {slowest:.1f} s"


def stopped(cycles: int) -> str:
    """F29: a stop in order at each end in turn under load; the next start serves."""
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        watched = Watched(usa.folder / "users" / "ana")
        with sending(load):
            for _ in range(cycles):
                for member in (fra, usa):
                    until_ok(load, 5)
                    code = member.stop()
                    assert code == 0, f"{member.folder.name} ended with {code}"
                    member.start()
        figures = check(load, watched.look)
        said = log_of(fra.folder).read_text() + log_of(usa.folder).read_text()
    assert "STORE_FORGOT" not in said
    return f"{cycles} stops at each end under 30/s, {cycles} of {cycles} starts served; {figures}"


def cloned(_: int) -> str:
    """F34: a copy of a stopped folder runs beside the original for half a minute."""
    with two() as (fra, usa):
        load = Load(fra.folder, "USA")
        load.batch(5)
        check(load, lambda: inbox(usa.folder))
        usa.stop()
        time.sleep(1.5)  # a copy within a second of the stop is not noticed before it runs
        copy = Member(usa.folder.parent / "copy" / "usa")
        shutil.copytree(usa.folder, copy.folder)
        usa.start()
        wait_for_links(fra.folder)
        refused = intelshare("node", "run", "--dev", "--folder", copy.folder)
        assert "STORE_FORGOT" in refused.err, refused
        try:
            copy.start("--accept-loss")
            let_in(copy.folder)
            before = len(fra.log("link.opened"))
            wait_until(lambda: _two_instances(fra.folder), "the peer to show TWO_INSTANCES")
            wait_until(
                lambda: _two_instances(usa.folder) or _two_instances(copy.folder), "one of the two to show it"
            )
            time.sleep(30)
            opened = len(fra.log("link.opened")) - before
        finally:
            copy.stop()
        # The runbook: stop the one that started later, and start the other one again.
        usa.stop()
        usa.start()
        load.batch(5)
        figures = check(load, lambda: inbox(usa.folder))
    assert opened <= 3, f"{opened} links in half a minute: a fight over the link"
    return f"named as two live instances; {opened} links opened in 30 s; after the copy was stopped {figures}"


def _two_instances(folder: Path) -> bool:
    return "TWO_INSTANCES" in ok("node", "peers", "--folder", folder).out


def locked(_: int) -> str:
    """F21: a second node on the folder: the same user, another user, another namespace."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        raise NotHere("another user and another namespace need root, unshare and setpriv")
    with two() as (fra, _):
        words = (*PROGRAM, "node", "run", "--dev", "--folder", fra.folder)
        holder = f"process {fra.process.pid} "
        for prefix in ((), ("unshare", "--pid", "--fork", "--mount-proc")):
            done = finished((*prefix, *words), env=clean_environment())
            assert done.code, done
            assert "error[DATA_LOCKED]" in done.err, done
            assert holder in done.err, done
        fra.folder.parent.chmod(0o755)
        other = finished(
            ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words), env=clean_environment()
        )
        assert other.code, other
        assert str(fra.folder) in other.err, other
        assert "Traceback" not in other.err
        code = re.findall(r"error\[(\w+)\]", other.err)[0]
        fra.kill()
        fra.start()
    return f"the holder's pid is named to the same user and in another namespace; another user: {code}"
