"""The Operations service, continued: the life of this node's keys, and what depends on a key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.lifecycle.anew import sign_anew
from intelshare.broker.queries.impact import ImpactLine, find_key, impact_of
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.errors import DeliveryError
from intelshare.ids import KeyId
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.ports import Scalar
from intelshare.services.backend import Backend
from intelshare.services.rpc import (
    OPERATORS,
    OVERSEERS,
    AsyncCall,
    CallContext,
    QueryCall,
    Rpc,
    need_clock,
)
from intelshare.trust import (
    SEALING_GRACE,
    DirectoryDocument,
    Periods,
    Revocation,
    Revoked,
    RootProposal,
    Why,
    ends,
    is_compromised,
    propose_root,
    read_proposal,
    read_root_key,
    write_proposal,
)
from intelshare.wire.v1 import user_pb2 as pb

_ROTATED: Final = frozenset((KeyUse.SIGNING, KeyUse.SEALING, KeyUse.NOTE))
"""The uses of the keys that a node makes itself."""


async def list_keys(backend: Backend, _: Actor, __: pb.ListKeysRequest) -> pb.ListKeysResponse:
    """Return the keys of the vault, with their state in the directory."""
    return pb.ListKeysResponse(keys=_entries(backend))


async def rotate_keys(backend: Backend, actor: Actor, request: pb.RotateKeysRequest) -> pb.ListKeysResponse:
    """Make new keys for these uses now."""
    uses = frozenset(_use(word) for word in request.uses) or _ROTATED - {KeyUse.NOTE}
    need_clock(backend, "a key")
    await backend.renew_keys(actor.user, uses, ())
    return pb.ListKeysResponse(keys=_entries(backend))


async def revoke_key(backend: Backend, actor: Actor, request: pb.RevokeKeyRequest) -> pb.RevokeKeyResponse:
    """Revoke a key of this node; if it was stolen, send again what only this key had signed."""
    key, record = _own_key(backend, request.key)
    if not request.compromised:  # a stolen key counts for nothing, whatever the time is
        need_clock(backend, "its end and its successor")
    now = backend.now()
    since = Instant(request.since or now)
    if request.compromised and since > now + SECOND:
        raise DeliveryError("INPUT_INVALID", "a key cannot become compromised later than now")
    if request.dry_run:
        return pb.RevokeKeyResponse(key=_entry(backend, key, record, destroyed=False))
    why = Why.COMPROMISED if request.compromised else Why.ROTATED
    await backend.renew_keys(
        actor.user, frozenset((record.use,)), (Revocation(Revoked.KEY, key, why, since),)
    )
    anew = await _anew(backend) if request.compromised and record.use is KeyUse.SIGNING else 0
    return pb.RevokeKeyResponse(key=_entry(backend, key, record, destroyed=request.compromised), anew=anew)


def key_impact(context: CallContext, request: pb.KeyImpactRequest) -> pb.KeyImpactResponse:
    """Return what depends on a key, with counts and times."""
    found = impact_of(context.node, context.view, request.key, Instant(request.since))
    return pb.KeyImpactResponse(
        key=found.key,
        member=found.record.member,
        use=found.record.use.name.lower(),
        keys=found.keys,
        signed=_lines(found.signed),
        readable=_lines(found.readable),
        witnessed_until=found.witnessed,
        damaged=found.damaged,
    )


async def propose(backend: Backend, _: Actor, request: pb.ProposeRootRequest) -> pb.RootFileResponse:
    """Return this member's next root, unsigned."""
    held = backend.node.trust.members[backend.node.member]
    add = [read_root_key(text.encode(), "--key") for text in request.add]
    if any(record.member != backend.node.member for record in add):
        raise DeliveryError("INPUT_INVALID", "a root key to be added belongs to another member")
    drop = frozenset(find_key(backend.node, given)[0] for given in request.drop)
    plain = propose_root(
        held.roots[-1], backend.node.suites, add=add, drop=drop, threshold=request.threshold or None
    )
    if request.new_directory_key:
        need_clock(backend, "a key")
        plain = propose_root(
            held.roots[-1],
            backend.node.suites,
            add=add,
            drop=drop,
            threshold=request.threshold or None,
            directory=[backend.make_directory_key()],
        )
    return _root_file(plain)


async def publish(backend: Backend, _: Actor, request: pb.PublishRootRequest) -> pb.RootFileResponse:
    """Put the next root into force, if enough keys have signed it."""
    proposal = read_proposal(request.text.encode(), "the file", backend.node.suites)
    proposal.check_signed(backend.node.suites)
    await backend.adopt_root(proposal.signed)
    return _root_file(proposal)


def _root_file(proposal: RootProposal) -> pb.RootFileResponse:
    return pb.RootFileResponse(
        text=write_proposal(proposal),
        fingerprint=proposal.fingerprint,
        version=proposal.following.version,
    )


KEYS: Final = (
    Rpc("ProposeRoot", OPERATORS, AsyncCall(propose)),
    Rpc("PublishRoot", OPERATORS, AsyncCall(publish)),
    Rpc("ListKeys", OVERSEERS, AsyncCall(list_keys)),
    Rpc("RotateKeys", OPERATORS, AsyncCall(rotate_keys), makes_keys=True),
    Rpc("RevokeKey", OPERATORS, AsyncCall(revoke_key)),
    Rpc("KeyImpact", OVERSEERS, QueryCall(key_impact, slow=True)),
)


def _use(word: str) -> KeyUse:
    found = next((use for use in _ROTATED if use.name.lower() == word), None)
    if found is None:
        raise DeliveryError(
            "INPUT_INVALID",
            f"{word[:40]!r} is not a use of a key that a node makes",
            hint="signing, sealing, note",
        )
    return found


def _own_key(backend: Backend, given: str) -> tuple[KeyId, KeyRecord]:
    key, record = find_key(backend.node, given)
    if record.member != backend.node.member or (record.node and record.node != backend.node.uri):
        raise DeliveryError("NOT_AUTHORISED", "only the node that a key belongs to can revoke it")
    if record.use not in _ROTATED:
        raise DeliveryError(
            "INPUT_INVALID",
            f"a {record.use.name.lower()} key is replaced by a new root, not revoked",
            hint="use `intelshare trust root new`, and sign it on another machine",
        )
    return key, record


async def _anew(backend: Backend) -> int:
    """Sign again what only a stolen key had signed; return how many releases are handed over again."""
    count = 0
    after: tuple[Scalar, ...] = ()
    while True:
        done = await backend.perform(sign_anew, after)
        count += len(done.effects.ended)
        if not done.after:
            return count
        after = done.after


def _entries(backend: Backend) -> list[pb.KeyEntry]:
    """Return the entries, newest first within each use."""
    order = sorted(backend.held_keys(), key=lambda one: (one.record.use, -one.record.not_before))
    return [_entry(backend, one.key, one.record, destroyed=one.destroyed) for one in order]


def _entry(backend: Backend, key: KeyId, record: KeyRecord, *, destroyed: bool) -> pb.KeyEntry:
    directory = backend.node.trust.members[backend.node.member].directory
    until = ends(record, directory) if directory is not None else record.not_after
    newest = directory is not None and _is_newest(record, directory)
    return pb.KeyEntry(
        id=key,
        use=record.use.name.lower(),
        suite=record.suite,
        state=_state(record, directory, until, backend.now(), newest=newest, destroyed=destroyed),
        counts_from=record.not_before,
        counts_until=0 if until == NEVER else until,
        due_at=_due_at(record, backend.key_periods) if newest and not destroyed else 0,
        destroyed_at=_destroyed_at(record, until) if not destroyed else 0,
    )


def _is_newest(record: KeyRecord, directory: DirectoryDocument) -> bool:
    same = [key for key in directory.keys if (key.use, key.node) == (record.use, record.node)]
    return record == max(same, key=lambda key: key.not_before, default=record)


def _state(
    record: KeyRecord,
    directory: DirectoryDocument | None,
    until: Instant,
    now: Instant,
    *,
    newest: bool,
    destroyed: bool,
) -> str:
    if directory is not None and is_compromised(record, directory):
        return "compromised"
    if destroyed:
        return "destroyed"
    if now >= until:
        return "opens only" if record.use is KeyUse.SEALING else "ended"
    return "in use" if newest else "overlaps"


def _due_at(record: KeyRecord, periods: Periods) -> int:
    period = {KeyUse.SIGNING: periods.signing, KeyUse.SEALING: periods.sealing}.get(record.use)
    return 0 if period is None else record.not_before + period


def _destroyed_at(record: KeyRecord, until: Instant) -> int:
    if until == NEVER or record.use not in _ROTATED:
        return 0
    return until + (SEALING_GRACE if record.use is KeyUse.SEALING else 0)


def _lines(lines: Iterable[ImpactLine]) -> list[pb.ImpactLine]:
    return [
        pb.ImpactLine(
            member=line.member,
            sent=line.sent,
            kind=line.kind.name.lower().replace("_", "-"),
            count=line.count,
            alone=line.alone,
            first_number=line.first_number,
            last_number=line.last_number,
            first_at=line.first,
            last_at=line.last,
        )
        for line in lines
    ]
