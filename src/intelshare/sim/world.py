"""Who takes part: founded members, their law, what is on their disks at first, what they write."""

from __future__ import annotations

from functools import lru_cache

from intelshare import instant
from intelshare.broker.node import Node, with_trust
from intelshare.broker.tables import TRUST, USER, TrustRow, UserRow
from intelshare.bulletin import Draft
from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyUse, Portion, PortionKind, Precedence, Trust, TrustType
from intelshare.crypto.suites import SUITE_1, Suite, load_signer
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Digest, Incarnation, MemberCode, UserUri
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.labels import LabelReader
from intelshare.packs import builtin_registry
from intelshare.policy import World, compile_world, parse_overlay, parse_treaty
from intelshare.ports import Plan, Put
from intelshare.sim.chance import stream
from intelshare.sim.plan import Act, FaultPlan
from intelshare.sim.standin import STANDIN_SUITE
from intelshare.statement import VerifiedRoots
from intelshare.trust import Founded, Founding, Ratified, TrustView, found, renew_directory, user_uri

BEGIN = instant.parse("2026-11-24T12:00:00Z")
"""Wall time at virtual time 0."""

_PARTIES = ("FRA", "USA", "DEU", "GBR")

_ACCORD = """
id = "sim-accord"
title = "Accord of the simulator"
kind = "multilateral"
in_force = 2020-01-01
source = "invented"
[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R4"
obligations = ["read-receipt"]
[[provision]]
article = "art. 2"
categories = ["terrorism"]
ceiling = "R1"
""" + "".join(f'[[party]]\nmember = "{code}"\nin_force = 2020-01-01\n' for code in _PARTIES)

_OVERLAYS = {
    "FRA": '[[hold]]\nid = "fra-source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n',
    "USA": '[[hold]]\nid = "usa-source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n',
    "GBR": '[[refuse]]\nid = "gbr-personal"\nwhen = { flags = ["personal-data"] }\nsource = "invented"\n',
    "DEU": '[[refuse]]\nid = "deu-personal"\nwhen = { flags = ["personal-data"] }\nsource = "invented"\n',
}
"""Each is known to its own member only: what a recipient refuses, the sender does not foresee."""

_LEVELS = {
    "FRA": ("DIFFUSION RESTREINTE", "SECRET"),
    "USA": ("CONFIDENTIAL", "SECRET"),
    "DEU": ("VS-NUR FUER DEN DIENSTGEBRAUCH", "GEHEIM"),
    "GBR": ("OFFICIAL", "SECRET"),
}

_PORTIONS = (
    # level, category, flags, released to the recipients
    (0, "cyber", (), True),
    (1, "cyber", (), True),
    (1, "cyber", (), True),
    (0, "terrorism", (), True),
    (1, "terrorism", (), True),  # above the ceiling
    (1, "cyber", (), False),  # not released to anybody
    (0, "cyber", ("source-identity",), True),  # held by some
    (1, "cyber", ("personal-data",), True),  # refused by some
)


@lru_cache(maxsize=2)
def _law(member: str) -> World:
    registry = builtin_registry()
    overlay = parse_overlay(_OVERLAYS[member], f"{member.lower()}.toml", registry)
    return compile_world(registry, _PARTIES, [parse_treaty(_ACCORD, "sim-accord.toml", registry)], [overlay])


@lru_cache(maxsize=8)
def _founded(member: str, suite: Suite) -> tuple[Founded, TrustRow, TrustRow, TrustRow]:
    """The member; its root, its directory, and the one after."""
    made = found(
        Founding(MemberCode(member), member.title(), "one"),
        BEGIN,
        stream(0, "founding", member).randbytes,
        suite,
    )
    signer = next(
        load_signer(suite, key.record, key.key_id, key.secret)
        for key in made.keys
        if key.record.use is KeyUse.DIRECTORY
    )
    treaty = parse_treaty(_ACCORD, "sim-accord.toml", builtin_registry())
    ratified = [Ratified(treaty.id, Digest(bytes.fromhex(treaty.text.removeprefix("sha256:"))))]
    suites = {suite.number: suite}
    code = MemberCode(member)
    rows = [TrustRow(code, TrustType.ROOT, 1, encode(Trust, made.root))]
    held = TrustView.load(code, [encode(Trust, made.root), encode(Trust, made.directory)], suites)
    for later in (0, 1):
        directory = held.members[code].directory
        assert directory is not None  # noqa: S101 - it was loaded
        # Certificates have no place in a simulation, and X.509 signatures do not repeat.
        renewed = renew_directory(
            directory, signer, Instant(BEGIN + later * SECOND), ratified=ratified, authorities=()
        )
        held = held.with_document(renewed, Instant(BEGIN + SECOND)).view
        rows.append(TrustRow(code, TrustType.DIRECTORY, 2 + later, encode(Trust, renewed)))
    return made, rows[0], rows[1], rows[2]


def _suite(plan: FaultPlan) -> Suite:
    return SUITE_1 if plan.knobs.real_crypto else STANDIN_SUITE


def first_disk(plan: FaultPlan, member: str) -> Plan[None]:
    """What is on a member's disk before its first start: trust and users."""
    writes = []
    for other in plan.members():
        _, root, older, newer = _founded(other, _suite(plan))
        behind = plan.knobs.fresh_directories and other != member
        writes += [Put(TRUST, root), Put(TRUST, older if behind else newer)]
    for name, role in (("a", "analyst"), ("b", "analyst"), ("r", "releasing-officer")):
        row = UserRow(user(member, name), name, role, "R4", member, "*", 0)
        writes.append(Put(USER, row))
    return Plan(tuple(writes), None)


def start_node(plan: FaultPlan, member: str, incarnation: int, documents: list[bytes]) -> Node:
    """The value of a node that starts with these trust documents."""
    suite = _suite(plan)
    made, *_ = _founded(member, suite)
    secrets = {key.record.use: key for key in made.keys}
    signing, sealing = secrets[KeyUse.SIGNING], secrets[KeyUse.SEALING]
    law = _law(member)
    node = Node(
        member=MemberCode(member),
        uri=made.node.uri,
        incarnation=Incarnation(incarnation),
        signer=load_signer(suite, signing.record, signing.key_id, signing.secret),
        sealing={sealing.key_id: SealingKeyHeld(sealing.record, suite.load_sealing(sealing.secret))},
        retired=frozenset(),
        storage_key=made.storage_key,
        trust=_trust(suite, member, tuple(documents)),
        world=law,
        suites={suite.number: suite},
        labels=LabelReader(law.registry),
        roots=VerifiedRoots(),
    )
    return with_trust(node, node.trust)


@lru_cache(maxsize=64)
def _trust(suite: Suite, member: str, documents: tuple[bytes, ...]) -> TrustView:
    return TrustView.load(MemberCode(member), list(documents), {suite.number: suite})


def user(member: str, name: str) -> UserUri:
    """The URI of a member's user: analysts ``a`` and ``b``, releasing officer ``r``."""
    return user_uri(f"{member.lower()}.intelshare.internal", name)


def draft_of(act: Act, now: Instant) -> Draft:
    """The draft of a submit act: up to three portions, chosen by the digits of ``what``."""
    to = tuple(act.to.split())
    what, portions = act.what, []
    for _ in range(1 + act.what % 3):
        what, choice = divmod(what // 3, len(_PORTIONS))
        portions.append(_portion(act, to, *_PORTIONS[choice]))
    until = Instant(now + act.lasts) if act.lasts else NEVER
    return Draft(
        tuple(MemberCode(code) for code in to),
        Precedence(act.precedence),
        NEVER,
        until,
        tuple(portions),
    )


def _portion(
    act: Act, to: tuple[str, ...], level: int, category: str, flags: tuple[str, ...], released: bool
) -> Portion:
    codes = [act.node, *sorted(to)] if released else [act.node]
    name = _LEVELS[act.node][level]
    banner = name if act.node == "USA" else f"//{act.node} {name}"
    label = (
        f"{banner}//NOFORN" if not released and act.node == "USA" else f"{banner}//REL TO {', '.join(codes)}"
    )
    content = f"{act.node} {act.at} ".encode().ljust(act.size, b".")
    return Portion(PortionKind.TEXT, label, category, flags, "", "text/plain", content)
