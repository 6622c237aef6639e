"""A primary and a standby that follows it, for tests: promoted, stopped, cut off, or left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from postgres_server import Cluster, asked, new_cluster
from waits import wait_until

STANDBY = "standby"
"""The name under which a standby follows."""


@dataclass
class Pair:
    """Two servers of one database; the first one that takes writes is the node's."""

    primary: Cluster
    standby: Cluster
    synchronous: bool

    @property
    def url(self) -> str:
        """Both hosts, the standby's first: a client has to look which of them takes writes."""
        return f"postgresql://postgres@/postgres?host={self.standby.root},{self.primary.root}"

    def lost_primary(self, *, keeps: bool = True) -> None:
        """Kill the primary as a machine's end does, and promote the standby; ``keeps``: it had everything."""
        if not keeps:
            self.leave_behind()
        self.primary.stop("immediate")
        self.standby.run("pg_ctl", "-D", str(self.standby.data), "-w", "promote")

    def follow_again(self) -> None:
        """The former primary becomes the standby of the one that was promoted, as a copy of it."""
        former, now = self.primary, self.standby
        shutil.rmtree(former.data)
        former.make_standby(now, STANDBY)
        former.start()
        self.primary, self.standby = now, former
        if self.synchronous:
            now.set("synchronous_standby_names", STANDBY)
        self.wait_for_standby()

    def leave_behind(self) -> None:
        """From now on the standby gets nothing."""
        self.standby.set("primary_conninfo", "")
        end = "SELECT count(*) FROM pg_stat_replication"
        wait_until(lambda: asked(self.primary.url, end) == [(0,)], "the standby to be cut off")

    def wait_for_standby(self) -> None:
        """Wait until the standby has all that the primary has."""
        state = "sync" if self.synchronous else "async"
        ready = "SELECT sync_state FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
        wait_until(lambda: asked(self.primary.url, ready) == [(state,)], "the standby to follow")

    @contextlib.contextmanager
    def silent_standby(self) -> Iterator[None]:
        """The standby takes nothing, and its connection stays: it froze."""
        (found,) = asked(self.standby.url, "SELECT pid FROM pg_stat_wal_receiver")
        pid = int(str(found[0]))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def new_pair(*, synchronous: bool = True) -> Pair:
    """Two servers on this machine. Skips the test where none can be."""
    primary = new_cluster()
    standby = new_cluster(follows=(primary, STANDBY))
    pair = Pair(primary, standby, synchronous)
    if synchronous:
        primary.set("synchronous_standby_names", STANDBY)
    pair.wait_for_standby()
    return pair
