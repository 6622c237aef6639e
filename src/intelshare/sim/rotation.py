"""The rotation of a machine's keys, as ``node.renewal`` does it when they are due or one was compromised."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse, Trust
from intelshare.errors import PASSING, CryptoError, IntelshareError
from intelshare.ids import KeyId, MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.trust import (
    DirectoryDocument,
    Revocation,
    Revoked,
    Why,
    due,
    new_key,
    renew_directory,
    without_ahead,
)

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.process import Process


def rotate(process: Process, *, signing: bool, destroy: bool, stolen: bool = False) -> None:
    """Rotate as ``node.renewal`` does: the new key goes into the vault, the directory that names it becomes
    durable, and then it is sent. A renewal begins when the one before is over.

    ``destroy``: an older sealing key was compromised, and is destroyed at once, without its overlap.
    ``stolen``: so was the signing key, and nothing counts that only it has signed.
    """
    _in_turn(process, lambda: _rotate(process, signing=signing, destroy=destroy, stolen=stolen))


def _rotate(process: Process, *, signing: bool, destroy: bool, stolen: bool) -> None:
    node, keys, now = process.node, process.machine.keys, process.now()
    directory = without_ahead(_directory(process), now) if process.clock.read().believed else None
    signing |= due(directory or _directory(process), node.uri, keys.suite.number, now).signing
    drop = tuple(node.sealing) if destroy else ()
    gone = drop if process.machine.bug.keeps_old_keys else tuple(node.sealing)
    # Before it is durable: a crash may come between that and whatever follows.
    if stolen:
        process.machine.stolen.add(node.signer.key_id)
    uses = (KeyUse.SEALING, KeyUse.SIGNING) if signing else (KeyUse.SEALING,)
    revoke = _compromised(process) if stolen else ()
    signed = _renewed(process, uses, drop, revoke=revoke, directory=directory)

    def adopted(_: object) -> None:
        keys.retire(key for key in gone if key in keys.sealing())
        _go_on(process, now)
        _announce(process)
        _next(process)

    process.perform("adopt", signed, then=adopted, refused=lambda error: _refused(process, error))


def renew_if_due(process: Process) -> None:
    """Renew the directory if that is due, and send it, as ``node.renewal`` does once a minute while the clock
    is believed: with new keys instead of those that a clock that was ahead has made.
    """
    _in_turn(process, lambda: _renew_if_due(process))


def _renew_if_due(process: Process) -> None:
    node, keys, now = process.node, process.machine.keys, process.now()
    newest = _directory(process)
    left = without_ahead(newest, now)
    what = due(left, node.uri, keys.suite.number, now)
    if not what.directory and left is newest:
        _next(process)
        return
    uses = [use for use, is_due in ((KeyUse.SEALING, what.sealing), (KeyUse.SIGNING, what.signing)) if is_due]

    def adopted(_: object) -> None:
        newest = process.node.trust.signing_key(process.node.uri, now)
        process.node = replace(process.node, sealing=keys.sealing(), signer=keys.signer(newest))
        _announce(process)
        _next(process)

    signed = _renewed(process, uses, directory=left)
    process.perform("adopt", signed, then=adopted, refused=lambda error: _refused(process, error))


def _in_turn(process: Process, renewal: Callable[[], None]) -> None:
    process.renewals.append(renewal)
    if len(process.renewals) == 1:
        renewal()


def _next(process: Process) -> None:
    process.renewals.popleft()
    if process.renewals:
        process.renewals[0]()


def _refused(process: Process, error: IntelshareError) -> None:
    _need_passing(error)
    _next(process)


def _announce(process: Process) -> None:
    """Send this member's directory; once there is room, if the disk is full."""

    def later(error: IntelshareError) -> None:
        _need_passing(error)
        process.heap.after(SECOND, lambda: _announce(process))

    process.perform("announce", process.node.trust.partners, then=process.carry_out, refused=later)


def import_directories(machine: Machine) -> None:
    """Let an operator import the directories of members that had a signing key stolen, from their files: who
    had no link meanwhile knows no other key of them, and cannot be told by a link.
    """
    process = machine.process
    if process is None or not process.serving:
        return
    for name, other in machine.others.items():
        theirs = other.process.node.trust.members[MemberCode(name)] if other.process is not None else None
        held = process.node.trust.members.get(MemberCode(name))
        if not other.stolen or theirs is None or theirs.directory is None or theirs.directory_signed is None:
            continue
        if held is None or held.directory is None or held.directory.version < theirs.directory.version:
            process.perform("adopt", theirs.directory_signed, then=lambda _: None, refused=_need_later)


def lacking_keys(process: Process) -> tuple[KeyId, ...]:
    """Return the sealing keys that this member's directory names and its vault lacks."""
    held = process.machine.keys.sealing()
    return tuple(
        key_id(key)
        for key in _directory(process).keys
        if key.use is KeyUse.SEALING and key_id(key) not in held
    )


def forgot_keys(process: Process) -> bool:
    """Return True if a start must renew the keys: the vault lacks some, or the disk has forgotten that the
    signing key was stolen.
    """
    return bool(lacking_keys(process) or _compromised(process))


def renew_after_loss(process: Process, forgot: Instant | None, then: Callable[[], None]) -> None:
    """Renew the directory after the disk forgot, as ``node.renewal`` does at a start: with sealing keys
    instead of those that the vault lacks, and under a version that nobody can have seen. A stolen key that
    signs again is revoked again by the operator: peers still refuse it (decision 78). If the clock went so
    far ahead meanwhile that no key is valid, the start is refused.
    """
    try:
        process.node.trust.signing_key(process.node.uri, process.now())
    except CryptoError as error:
        process.machine.refuse_start(error)
        return
    lacking, stolen, now = lacking_keys(process), _compromised(process), process.now()
    uses = [KeyUse.SEALING] * bool(lacking) + [KeyUse.SIGNING] * bool(stolen)
    signed = _renewed(process, uses, lacking, stolen, since=forgot)

    def adopted(_: object) -> None:
        _go_on(process, now)
        process.machine.lost = process.machine.copied = False
        then()

    process.perform("adopt", signed, then=adopted, refused=process.machine.refuse_start)


def _go_on(process: Process, now: Instant) -> None:
    """Continue with the keys that the durable directory names, by the time at which it was made."""
    keys, node = process.machine.keys, process.node
    newest = node.trust.signing_key(node.uri, now)
    process.node = replace(node, sealing=keys.sealing(), retired=keys.retired, signer=keys.signer(newest))


def _compromised(process: Process) -> tuple[Revocation, ...]:
    """Return the revocation of the key that signs now, if it was stolen."""
    key = process.node.signer.key_id
    if key not in process.machine.stolen:
        return ()
    return (Revocation(Revoked.KEY, key, Why.COMPROMISED, process.now()),)


def _need_passing(error: IntelshareError) -> None:
    """Accept only a disk or a database that lacks something for now as the reason why a directory is not
    stored. Raises any other error.
    """
    if error.code not in PASSING:
        raise error


def _need_later(error: IntelshareError) -> None:
    """Accept besides that a directory is from a clock that was ahead: its node makes it again. Raises any
    other error.
    """
    if error.code != "CLOCK_SKEW":
        _need_passing(error)


def _directory(process: Process) -> DirectoryDocument:
    directory = process.node.trust.members[process.node.member].directory
    assert directory is not None  # noqa: S101 - every member of the simulation has one
    return directory


def _renewed(
    process: Process,
    uses: Iterable[KeyUse],
    drop: Collection[KeyId] = (),
    revoke: Collection[Revocation] = (),
    directory: DirectoryDocument | None = None,
    since: Instant | None = None,
) -> Trust:
    """Return the next directory, with a new key of each of these uses, which the vault has already.

    ``directory``: the one that it follows, if not the one held.
    """
    node, keys, now = process.node, process.machine.keys, process.now()
    directory = directory or _directory(process)
    made = [
        new_key(
            keys.suite,
            use,
            node.member,
            now,
            process.random,
            node=node.uri if use is KeyUse.SIGNING else None,
            among=directory.keys,
        )
        for use in uses
    ]
    for key in made:
        keys.put(key)
    return renew_directory(
        directory,
        keys.directory_signer(),
        now,
        add_keys=[key.record for key in made],
        drop_keys=drop,
        revoke=revoke,
        since=since,
    )
