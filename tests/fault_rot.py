"""Rows that rot beside load with real processes (F31): what becomes of the pairs that need none of them."""

from __future__ import annotations

import time

from e2e.nodes import intelshare, log_of, ok, wait_until
from fault_pair import inbox
from fault_runs import database_of, not_put_right, rot_once
from fault_world import SLACK, Federation, Member, Traffic, federation, machine, quantile
from intelshare.errors import RecordError
from rot import KINDS, kinds, spoil

RATE = 10.0
"""Bulletins a second, each for two of three members."""

LAST = -1
"""Which row of a table rots. The last user by name is not the one who sends."""


def spoiled(seconds: int) -> str:
    """F31: a row of each table rots at a recipient, then at the sender; both go on under load for so long.

    Each is named, no node ends, and of what is sent nothing is lost or doubled. The p99 of the pairs with the
    other members is at most twice that after the same restart without rot.
    """
    with federation(4) as world:
        hub, one = world.hub, world.others[0]
        traffic, told, again = Traffic(hub), [], 0
        _after_restart(world, traffic, hub, 10)  # rows in every table, caches, first contacts
        world.look()
        ok("read", next(iter(world.seen[one.code])), "--as", one.user)
        for end, where in ((one, "a recipient"), (hub, "the sender")):
            peace = _after_restart(world, traffic, end, seconds)
            world.look()
            known, rotten = set(world.seen[one.code]), Rotten(end)
            war = _after_restart(world, traffic, end, seconds, rotten)
            world.look()
            # What a disk forgot, and was fetched again, is received and answered anew (P4).
            again += sum(world.seen[one.code][key] - 1 for key in known)
            for key in known:
                world.seen[one.code][key] = world.accepted[key, one.code] = 1
            before, during = (quantile(traffic.took(*span, without=one.code), 0.99) for span in (peace, war))
            told.append(
                f"at {where} {rotten.figure()}, p99 of the others {during * 1e3:.0f} ms, without rot "
                f"{before * 1e3:.0f} ms, processor shared by {hub.starved:.1f}"
            )
            assert during <= 2 * before + SLACK * hub.starved, told
        wait_until(lambda: set(inbox(one.folder)) == set(world.seen[one.code]), "all to be there again")
        checked = world.check(traffic.ids())
    return f"{seconds} s each: {'; '.join(told)}; {again} fetched again; {checked}; {machine()}"


def _after_restart(
    world: Federation, traffic: Traffic, end: Member, seconds: int, rotten: Rotten | None = None
) -> tuple[float, float]:
    """Restart a node, of which rows may rot meanwhile, then send for so long: from when to when."""
    end.stop()
    if rotten is not None:
        rotten.rot()
    end.start()
    with traffic.flowing(world.others, RATE, each=2):
        world.linked()
        began = time.time()
        if rotten is not None:
            rotten.mend()
        time.sleep(max(0.0, began + seconds - time.time()))
        return began, time.time()


class Rotten:
    """The rows of one node that rot."""

    def __init__(self, end: Member) -> None:
        self._end = end
        self._since = log_of(end.folder).stat().st_size
        self._bits: dict[str, RecordError] = {}
        """One bit in a chunk, by what is said of it: it has rows about every member."""
        self._gone: set[str] = set()
        """The tables of which the record of a row was overwritten."""
        self._named: set[str] = set()
        self._left: set[str] = set()
        """The tables of the records that wait for an operator."""

    def rot(self) -> None:
        """One row of each table that has any. The node is stopped."""
        database = database_of(self._end.folder)
        for kind in tuple(kinds(database)):  # while it is open, nobody else may write the whole file
            if KINDS[kind].lasting:
                rot_once(self._end.folder, kind, LAST, self._bits)
            else:
                spoil(database, kind, LAST)
                self._gone.add(kind)

    def mend(self) -> None:
        """Read all, and mend what can be, as an operator does."""
        for _ in range(2):
            done = intelshare("node", "repair", "--folder", self._end.folder, "--scrub", "--fetch", "--json")
            self._left = {record["table"] for record in done.json["records"] if record["remedy"]}

    def figure(self) -> str:
        """What became of them. Raises AssertionError if one was not named, or the node ended."""
        log = log_of(self._end.folder).read_bytes()[self._since :].decode()
        missed = not_put_right(self._end.folder, self._since, self._bits.values())
        missed += sorted(table for table in self._gone if f"a record of {table} does not match" not in log)
        assert not missed, f"not named, or not put right: {missed}"
        assert "node.fatal" not in log, "the node ended"
        assert self._end.runs
        left = ", ".join(sorted(self._left))
        return (
            f"{len(self._bits)} chunks put right and {len(self._gone)} records named that were overwritten "
            f"({left} left to an operator)"
        )
