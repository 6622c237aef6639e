"""A machine makes new keys, as ``node.renewal`` does when they are due or one was lost to somebody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from intelshare.crypto.records import KeyUse
from intelshare.errors import IntelshareError
from intelshare.instant import SECOND
from intelshare.trust import new_key, renew_directory

if TYPE_CHECKING:
    from intelshare.sim.process import Process


def rotate(process: Process, *, signing: bool, destroy: bool) -> None:
    """As ``node.renewal``: the new key in the vault, the directory that names it durable, and then sent.

    ``destroy``: an older sealing key was lost to somebody, and goes at once, without its overlap.
    """
    node, keys, now = process.node, process.machine.keys, process.now()
    directory = node.trust.members[node.member].directory
    assert directory is not None  # noqa: S101 - every member of the simulation has one
    made = [new_key(keys.suite, KeyUse.SEALING, node.member, now, process.random, among=directory.keys)]
    if signing:
        made.append(
            new_key(
                keys.suite,
                KeyUse.SIGNING,
                node.member,
                now,
                process.random,
                node=node.uri,
                among=directory.keys,
            )
        )
    drop = tuple(node.sealing) if destroy else ()
    gone = drop if process.machine.bug.keeps_old_keys else tuple(node.sealing)
    for key in made:
        keys.put(key)
    signed = renew_directory(
        directory,
        keys.directory_signer(),
        now,
        add_keys=[key.record for key in made],
        drop_keys=drop,
    )

    def adopted(_: object) -> None:
        keys.retire(key for key in gone if key in keys.sealing())
        newest = process.node.trust.signing_key(process.node.uri, process.now())
        process.node = replace(
            process.node, sealing=keys.sealing(), retired=keys.retired, signer=keys.signer(newest)
        )
        announce()

    def announce() -> None:
        process.perform("announce", process.node.trust.partners, then=process.carry_out, refused=later)

    def later(error: IntelshareError) -> None:
        """The disk is full; the directory goes out when there is room."""
        _need_full(error)
        process.heap.after(SECOND, announce)

    process.perform("adopt", signed, then=adopted, refused=_need_full)


def _need_full(error: IntelshareError) -> None:
    """Nothing but a full disk may keep a directory from being taken. Raises any other error."""
    if error.code != "DISK_FULL":
        raise error
