"""A few clear builders: members with keys, nodes in a world of two treaties, users, drafts."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intelshare import instant
from intelshare.broker.kernel.actor import Actor, authorised
from intelshare.broker.kernel.node import Node, with_trust
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.line.hello import start_incarnation
from intelshare.builtin import builtin_registry, demo_treaties
from intelshare.bulletin import Draft
from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyUse, Portion, PortionKind, Precedence, Trust
from intelshare.crypto.suites import SUITE_1, Suite, load_signer
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import Incarnation, MemberCode, UserUri
from intelshare.instant import NEVER, Instant
from intelshare.labels import TLP_IDS, LabelReader
from intelshare.policy import Treaty, World, compile_world, parse_treaty
from intelshare.roles import Role
from intelshare.statement import VerifiedRoots
from intelshare.trust import (
    Founded,
    Founding,
    Ratified,
    TrustView,
    create_member,
    renew_directory,
    user_uri,
)

NOW = instant.parse("2026-11-24T12:00:00Z")


def seeded(seed: str) -> Callable[[int], bytes]:
    """Random bytes that a seed gives."""
    state = {"n": 0}

    def random(count: int) -> bytes:
        state["n"] += 1
        return hashlib.shake_256(f"{seed}/{state['n']}".encode()).digest(count)

    return random


def treaties() -> tuple[Treaty, ...]:
    """gsa-fra-usa and demo-climate, as the demo has them."""
    registry = builtin_registry()
    return tuple(parse_treaty(text, name, registry) for name, text in demo_treaties().items())


@dataclass
class Member:
    """One member's node over a store, driven step by step: ``do`` commits, as the runtime would."""

    node: Node
    store: Any

    def do(self, step: Callable[..., Any], *args: Any, at: Instant = NOW, seed: str = "step") -> Any:
        """Run ``step(node, view, *args, at, random)``, commit, become the node it leads to; the answer."""
        random = seeded(f"{self.node.member}/{seed}/{self.store.commits}")
        durable = self.store.perform_now(lambda view: step(self.node, view, *args, at, random))
        effects = getattr(durable.value, "effects", None)
        if effects is not None and effects.node is not None:
            self.node = effects.node
        return durable.value

    def ask(self, query: Callable[..., Any], *args: Any) -> Any:
        """Run ``query(node, view, *args)`` over what is committed."""
        return self.store.ask_now(lambda view: query(self.node, view, *args))


@functools.cache
def _founded(codes: tuple[str, ...], suite: Suite, at: Instant) -> dict[str, tuple[Founded, TrustView]]:
    """What the members are made of, and how each sees all of them: the same for the same words."""
    ratified = [Ratified(t.id, bytes.fromhex(t.text.removeprefix("sha256:"))) for t in treaties()]
    founded: dict[str, Founded] = {}
    documents: list[bytes] = []
    for code in codes:
        made = create_member(Founding(MemberCode(code), code.title(), "one"), at, seeded(code), suite)
        key = next(key for key in made.keys if key.record.use is KeyUse.DIRECTORY)
        signer = load_signer(suite, key.record, key.key_id, key.secret)
        view = TrustView.load(
            MemberCode(code), [encode(Trust, made.root), encode(Trust, made.directory)], {suite.number: suite}
        )
        directory = view.members[MemberCode(code)].directory
        assert directory is not None
        renewed = renew_directory(directory, signer, at, ratified=ratified)
        documents += [encode(Trust, made.root), encode(Trust, renewed)]
        founded[code] = made
    suites = {suite.number: suite}
    return {
        code: (made, TrustView.load(MemberCode(code), documents, suites)) for code, made in founded.items()
    }


@functools.cache
def _world(codes: tuple[str, ...]) -> World:
    return compile_world(builtin_registry(), codes, treaties())


def federation(
    codes: Sequence[str], store: Callable[[], Any], *, suite: Suite = SUITE_1, at: Instant = NOW
) -> dict[str, Member]:
    """Members that know each other, have ratified both treaties, and have begun an incarnation.

    Each has the analyst ``a`` (cleared for everything), the releasing officer ``r`` and the operator ``o``.
    """
    made_once, world = _founded(tuple(codes), suite, at), _world(tuple(codes))
    members = {}
    for code in codes:
        made, trust = made_once[code]
        secrets = {key.record.use: key for key in made.keys}
        signing, sealing = secrets[KeyUse.SIGNING], secrets[KeyUse.SEALING]
        node = Node(
            member=MemberCode(code),
            uri=made.node.uri,
            incarnation=Incarnation(int.from_bytes(seeded(code)(7), "big") + 1),
            signer=load_signer(suite, signing.record, signing.key_id, signing.secret),
            sealing={sealing.key_id: SealingKeyHeld(sealing.record, suite.load_sealing(sealing.secret))},
            retired=frozenset(),
            storage_key=made.storage_key,
            trust=trust,
            world=world,
            suites={suite.number: suite},
            labels=LabelReader(builtin_registry()),
            roots=VerifiedRoots(),
        )
        member = Member(with_trust(node, node.trust), store())
        member.do(start_incarnation, at=at)
        for name, role in (("a", "analyst"), ("r", "releasing-officer"), ("o", "operator")):
            row = UserRow(user(code, name), name, role, "R4", code if len(code) == 3 else "FRA", "*", 0)
            member.do(set_user, SetUserCommand(user(code, "o"), row), at=at)
        members[code] = member
    return members


def user(member: str, name: str) -> UserUri:
    """The URI of a user of a member."""
    return user_uri(f"{member.lower()}.intelshare.internal", name)


ROLES = {"r": Role.RELEASING_OFFICER, "s": Role.RELEASING_OFFICER, "o": Role.OPERATOR}
"""Of the users of ``federation``, and of a second officer ``s``; all others are analysts."""


def actor(member: str, name: str, role: Role | None = None) -> Actor:
    """A user of a member, as if a call of its own had been authorised."""
    return authorised(user(member, name), role or ROLES.get(name, Role.ANALYST))


def text(label: str, content: str = "text", *, category: str = "cyber", **changes: Any) -> Portion:
    """A text portion."""
    portion = Portion(PortionKind.TEXT, label, category, (), "", "text/plain", content.encode())
    return replace(portion, **changes)


STIX_MEDIA = "application/stix+json;version=2.1"


def marked_red() -> str:
    """A STIX bundle whose one object is TLP:RED by its fixed id."""
    marked = {"type": "indicator", "id": "indicator--1", "object_marking_refs": [TLP_IDS["RED"]]}
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": [marked]})


def draft(*portions: Portion, to: Sequence[str], precedence: Precedence = Precedence.ROUTINE) -> Draft:
    """A draft without an end."""
    return Draft(tuple(MemberCode(code) for code in to), precedence, NEVER, NEVER, portions)
