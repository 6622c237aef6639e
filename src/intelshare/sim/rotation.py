"""The renewal of a machine's directory and keys: the decisions are the node's (``trust.next_directory``), and
the order is that of ``node.renewal``. The new keys are in the vault, the directory that names them becomes
durable, and then it is sent. A renewal begins when the one before is over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from intelshare.crypto.records import KeyUse, Trust
from intelshare.errors import PASSING, CryptoError, IntelshareError
from intelshare.ids import KeyId, MemberCode
from intelshare.instant import SECOND, Instant
from intelshare.trust import (
    DirectoryDocument,
    NextDirectory,
    Revocation,
    Revoked,
    Why,
    lacking_keys,
    next_directory,
    renew_directory,
    secrets_to_destroy,
)

if TYPE_CHECKING:
    from intelshare.sim.machine import Machine
    from intelshare.sim.process import Process

_OTHER_CLOCK: Final = frozenset(("CLOCK_SKEW", "TRUST_EXPIRED"))
"""The refusals of a directory that its signer's clock dated too late or too early for the one that judges."""


def rotate(process: Process, *, signing: bool, destroy: bool, stolen: bool = False) -> None:
    """Carry out an operator's order for new keys: a sealing key, and with ``signing`` a signing key.

    ``destroy``: the sealing keys held were compromised. ``stolen``: so was the signing key, and nothing
    counts that only it has signed.
    """
    _in_turn(process, lambda: _rotate(process, signing=signing, destroy=destroy, stolen=stolen))


def _rotate(process: Process, *, signing: bool, destroy: bool, stolen: bool) -> None:
    node = process.node
    # Before it is durable: a crash may come between that and whatever follows.
    if stolen:
        process.machine.stolen.add(node.signer.key_id)
    lost = tuple(_stolen(key, process.now()) for key in node.sealing) if destroy else ()
    compromised = _compromised(process)
    # Also if the order that was given when it was stolen found no database: a node needs one that counts.
    anew = [KeyUse.SIGNING] if signing or compromised else []
    _renew(process, (KeyUse.SEALING, *anew), (*lost, *compromised))


def renew_if_due(process: Process) -> None:
    """Renew the directory if that is due, and send it: a node looks once a minute."""
    _in_turn(process, lambda: _renew(process))


def _renew(process: Process, rotate: Collection[KeyUse] = (), revoke: Sequence[Revocation] = ()) -> None:
    """Do what is due or ordered, send the new directory, and begin the renewal that waits."""
    keys, now = process.machine.keys, process.now()
    following = _following(process, rotate, revoke)
    if not following.due:
        _next(process)
        return
    before = tuple(process.node.sealing)

    def adopted(_: object) -> None:
        _go_on(process, now)
        if rotate and not process.machine.bug.keeps_old_keys:
            keys.retire(key for key in before if key in keys.sealing_keys())
            _go_on(process, now)
        _announce(process)
        _next(process)

    signed = _signed(process, following)
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
    _need_later(error)
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


def forgot_keys(process: Process) -> bool:
    """Return True if a start must renew the keys: the vault lacks some, or the disk has forgotten that the
    signing key was stolen.
    """
    lacking = lacking_keys(_directory(process), process.machine.keys.ids())
    return bool(lacking or _compromised(process))


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
    stolen, now = _compromised(process), process.now()
    following = _following(process, (KeyUse.SIGNING,) * bool(stolen), stolen)

    def adopted(_: object) -> None:
        _go_on(process, now)
        process.remember(over, clean=False)

    def over() -> None:
        # Only now: a disk that lost this directory too must be noticed.
        process.machine.lost = process.machine.copied = False
        then()

    signed = _signed(process, following, since=forgot)
    process.perform("adopt", signed, then=adopted, refused=process.machine.refuse_start)


def _go_on(process: Process, now: Instant) -> None:
    """Destroy what has ended, and continue with the keys that the durable directory names, by the time at
    which it was made.

    A stolen signing key stays. A disk that is put back names it again; a node would then start by the file
    beside it that shows the directories since, which the simulator does not have.
    """
    keys, node = process.machine.keys, process.node
    confirmed = process.clock.read().confirmed
    held, secrets = node.trust.members[node.member], keys.records()
    over = secrets_to_destroy(held, secrets, now if confirmed else None)
    keys.retire(key for key in over if secrets[key].use is KeyUse.SEALING)
    newest = node.trust.signing_key(node.uri, now)
    signer = keys.signer(newest)
    process.node = replace(node, sealing=keys.sealing_keys(), retired=keys.retired(), signer=signer)


def _compromised(process: Process) -> tuple[Revocation, ...]:
    """Return the revocation of the key that signs now, if it was stolen."""
    key = process.node.signer.key_id
    return (_stolen(key, process.now()),) if key in process.machine.stolen else ()


def _stolen(key: KeyId, at: Instant) -> Revocation:
    return Revocation(Revoked.KEY, key, Why.COMPROMISED, at)


def _need_passing(error: IntelshareError) -> None:
    """Accept only a disk or a database that lacks something for now as the reason why a directory is not
    stored. Raises any other error.
    """
    if error.code not in PASSING:
        raise error


def _need_later(error: IntelshareError) -> None:
    """Accept besides that a directory was signed by one clock and judged by another, as happens when a clock
    is moved in between: its node makes it again. Raises any other error.
    """
    if error.code not in _OTHER_CLOCK:
        _need_passing(error)


def _directory(process: Process) -> DirectoryDocument:
    directory = process.node.trust.members[process.node.member].directory
    assert directory is not None  # noqa: S101 - every member of the simulation has one
    return directory


def _following(
    process: Process, rotate: Collection[KeyUse] = (), revoke: Sequence[Revocation] = ()
) -> NextDirectory:
    node, keys, clock = process.node, process.machine.keys, process.clock.read()
    return next_directory(
        node.trust.members[node.member],
        node.uri,
        keys.ids(),
        process.now(),
        suite=keys.suite.number,
        believed=clock.believed,
        confirmed=clock.confirmed,
        rotate=rotate,
        revoke=revoke,
    )


def _signed(process: Process, following: NextDirectory, since: Instant | None = None) -> Trust:
    """Return the next directory, signed, with its new keys, which the vault has already."""
    keys, now = process.machine.keys, process.now()
    made = following.keys(keys.suite, process.node.uri, now, process.random)
    for key in made:
        keys.put(key)
    return renew_directory(
        following.after,
        keys.directory_signer(),
        now,
        add_keys=[key.record for key in made],
        drop_keys=following.drop,
        revoke=following.revoked([key.record for key in made], now),
        since=since,
    )
