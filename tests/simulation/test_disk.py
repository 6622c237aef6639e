"""The simulated disk: a crash keeps a prefix of what was not yet synced."""

from collections import Counter

import pytest

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.tables import READER, RECEIVED, ReaderRow
from intelshare.broker.lifecycle.mend import MendResult
from intelshare.ids import LeafId, ManifestDigest, UserUri
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan, Put
from intelshare.sim.disk import Disk
from intelshare.store.memory import MemoryStore

USER, MD = UserUri("intelshare://fra.intelshare.internal/user/a"), ManifestDigest(b"\x01" * 32)


def written(at):
    return Plan((Put(READER, ReaderRow(USER, MD, Instant(at))),), None)


def shown(disk):
    row = disk.view.get(READER, USER, MD)
    return row.at if row is not None else None


def disk():
    """1 is durable; 2, a deletion, and 3 are not."""
    made = Disk(MemoryStore([written(1)]))
    for plan in (written(2), Plan((Delete(READER, (USER, MD)),), None), written(3)):
        made.apply(plan, lambda: None)
    return made


@pytest.mark.parametrize(("keep", "left"), [(0, 1), (1, 2), (2, None), (3, 3)])
def test_a_crash_keeps_a_prefix(keep, left):
    made = disk()
    assert shown(made) == 3
    made.crash(keep)
    assert shown(made) == left
    assert made.unsynced == 0


def test_what_was_synced_survives_and_its_effects_happen_in_order():
    made, happened = Disk(MemoryStore()), []
    for at in (1, 2, 3):
        made.apply(written(at), lambda at=at: happened.append(at))
    for effect in made.sync(2):
        effect()
    made.crash(0)
    assert (happened, shown(made)) == ([1, 2], 2)


def test_a_snapshot_holds_what_is_durable_and_nothing_else():
    assert shown(Disk(disk().copy())) == 1


def test_what_a_loss_of_power_leaves_at_worst_is_known_before_it_happens():
    made = disk()
    assert made.durable.get(READER, USER, MD).at == 1
    made.sync(1)
    assert made.durable.get(READER, USER, MD).at == 2
    made.crash(0)
    assert (made.durable.get(READER, USER, MD).at, shown(made)) == (2, 2)


def test_a_snapshot_and_the_disk_that_is_made_of_it_do_not_change_each_other():
    first = disk()
    second = Disk(first.copy())
    second.apply(written(9), lambda: None)
    assert (shown(first), shown(second)) == (3, 9)


@pytest.mark.parametrize(("keep", "counted"), [(0, 0), (1, 1)])
def test_what_is_asked_for_again_is_counted_once_durable_although_nobody_hears_of_it(keep, counted):
    mended, leaf = Counter(), LeafId(b"\x02" * 32)
    made = Disk(MemoryStore(), mended=mended)
    made.apply(Plan((Delete(RECEIVED, ("FRA", leaf)),), MendResult((), Effects())), lambda: None)
    made.crash(keep)
    assert mended[leaf] == counted
