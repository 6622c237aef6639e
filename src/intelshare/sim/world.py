"""The participants: members as founded, and the initial contents of their disks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from intelshare import instant
from intelshare.broker.kernel.actor import Actor, authorised
from intelshare.broker.kernel.documents import documents, remembered
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import TRUST, USER, TrustRow, UserRow
from intelshare.broker.lifecycle.exclude import exclusions
from intelshare.broker.treaty.act import counting
from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyUse, Trust, TrustType
from intelshare.crypto.suites import SUITE_1, Suite, load_signer
from intelshare.ids import Incarnation, MemberCode, UserUri
from intelshare.instant import SECOND, Instant
from intelshare.labels import LabelReader
from intelshare.ports import Plan, Put, View
from intelshare.roles import Role
from intelshare.sim.chance import stream
from intelshare.sim.fake_suite import FAKE_SUITE
from intelshare.sim.keys import Keys
from intelshare.sim.law import law, ratified
from intelshare.sim.plan import FaultPlan
from intelshare.statement import VerifiedRoots
from intelshare.store.memory import MemoryStore
from intelshare.trust import (
    Endpoint,
    Exclusion,
    Founded,
    Founding,
    Revocation,
    TrustView,
    create_member,
    new_key,
    read_directory,
    renew_directory,
    user_uri,
)

BEGIN = instant.parse("2026-11-24T12:00:00Z")
"""The wall time at virtual time 0."""

_USERS = (
    ("a", Role.ANALYST),
    ("b", Role.ANALYST),
    ("r", Role.RELEASING_OFFICER),
    ("s", Role.RELEASING_OFFICER),
    ("o", Role.OPERATOR),
)


@lru_cache(maxsize=8)
def _founded(member: str, suite: Suite) -> tuple[Founded, TrustRow, tuple[TrustRow, ...]]:
    """Return the member, its root, and its directories: before its first run, the usual one, the next."""
    random = stream(0, "founding", member).randbytes
    made = create_member(Founding(MemberCode(member), member.title(), "one"), BEGIN, random, suite)
    # A node makes its note key at its first start.
    note = new_key(suite, KeyUse.NOTE, MemberCode(member), BEGIN, random, node=made.node.uri)
    made = replace(made, keys=(*made.keys, note))
    signer = next(
        load_signer(suite, key.record, key.key_id, key.secret)
        for key in made.keys
        if key.record.use is KeyUse.DIRECTORY
    )
    suites = {suite.number: suite}
    code = MemberCode(member)
    root = TrustRow(code, TrustType.ROOT, 1, encode(Trust, made.root))
    rows = []
    held = TrustView.load(code, [encode(Trust, made.root), encode(Trust, made.directory)], suites)
    for place in range(3):
        directory = held.members[code].directory
        assert directory is not None  # noqa: S101 - it was loaded
        # Certificates have no place in a simulation, and X.509 signatures do not repeat.
        nodes = tuple(
            replace(node, endpoints=(Endpoint(node.dns, 1),) if place else ()) for node in directory.nodes
        )
        renewed = renew_directory(
            directory,
            signer,
            Instant(BEGIN + place * SECOND // 2),
            add_keys=() if place else (note.record,),
            nodes=nodes,
            ratified=ratified(),
            authorities=(),
        )
        held = held.with_document(renewed, Instant(BEGIN + SECOND)).view
        version = read_directory(renewed, suites).version
        rows.append(TrustRow(code, TrustType.DIRECTORY, version, encode(Trust, renewed)))
    return made, root, tuple(rows)


def _suite(plan: FaultPlan) -> Suite:
    return SUITE_1 if plan.knobs.real_crypto else FAKE_SUITE


def first_disk(plan: FaultPlan, member: str) -> MemoryStore:
    """Return the contents of a member's disk before its first start: trust and users."""
    writes = []
    for other in plan.members():
        _, root, directories = _founded(other, _suite(plan))
        writes += [Put(TRUST, root), Put(TRUST, directories[_known(plan, member, other)])]
    for name, role in _USERS:
        row = UserRow(user(member, name), name, role, "R4", member, "*", 0)
        writes.append(Put(USER, row))
    return MemoryStore([Plan(tuple(writes), None)])


def _known(plan: FaultPlan, member: str, other: str) -> int:
    """Which directory of another a member begins with: the last, or where the seed says so one of before, so
    that peers differ in what they hold of one."""
    if other == member:
        return 2
    pair = sorted((member, other))
    if plan.knobs.introduced_early and stream(plan.seed, "introduced", *pair).choice(pair) == member:
        return 0
    behind = stream(plan.seed, "directories", member, other).random() < 0.6
    return 1 if plan.knobs.fresh_directories and behind else 2


def first_keys(plan: FaultPlan, member: str) -> Keys:
    """Return the keys with which a member was founded."""
    made, *_ = _founded(member, _suite(plan))
    return Keys(_suite(plan), made.keys, made.storage_key)


def start_node(member: str, incarnation: int, keys: Keys, view: View, now: Instant, variant: int = 0) -> Node:
    """Return the value of a node that starts with these keys and this disk, as ``node.open_folder`` makes it.

    ``variant`` is that of the member's own rules, as their file is now.
    """
    left_out = tuple(sorted(exclusions(view).items()))
    revoked = tuple(sorted(remembered(view).items()))
    trust = _trust(keys.suite, member, tuple(documents(view)), left_out, revoked)
    directory = trust.members[MemberCode(member)].directory
    assert directory is not None  # noqa: S101 - it is on every disk from the beginning
    uri = directory.nodes[0].uri
    world = law(member, tuple(sorted((trust.own, *trust.partners))), tuple(counting(view)), variant)
    return Node(
        member=MemberCode(member),
        uri=uri,
        incarnation=Incarnation(incarnation),
        signer=keys.signer(trust.signing_key(uri, now)),
        sealing=keys.sealing_keys(),
        retired=keys.retired(),
        storage_key=keys.storage_key,
        trust=trust,
        world=world,
        suites={keys.suite.number: keys.suite},
        labels=LabelReader(world.registry),
        roots=VerifiedRoots(),
    )


@lru_cache(maxsize=64)
def _trust(
    suite: Suite,
    member: str,
    documents: tuple[bytes, ...],
    left_out: tuple[tuple[MemberCode, Exclusion], ...],
    revoked: tuple[tuple[MemberCode, tuple[Revocation, ...]], ...],
) -> TrustView:
    suites = {suite.number: suite}
    return TrustView.load(MemberCode(member), list(documents), suites, dict(left_out), dict(revoked))


def user(member: str, name: str) -> UserUri:
    """Return the URI of a member's user: analysts ``a`` and ``b``, releasing officers ``r`` and ``s``,
    operator ``o``.
    """
    return user_uri(f"{member.lower()}.intelshare.internal", name)


def actor(member: str, name: str) -> Actor:
    """Return one of a member's users as an actor: there are no calls here that could be authorised."""
    return authorised(user(member, name), dict(_USERS)[name])
