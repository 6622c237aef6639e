"""Members that have met and release to each other over the real steps, and a malicious FRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from both_receives import check_receive
from both_ways import Recipient
from builders import NOW, Member, actor, draft, federation, seeded, text
from intelshare.audit.records import EntryType
from intelshare.broker.kernel.documents import adopt
from intelshare.broker.kernel.frame import Carried, Frame, Outbound
from intelshare.broker.kernel.log import entries as log_entries
from intelshare.broker.kernel.log import open_row
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import LOG, PAIR, PairRow
from intelshare.broker.line.alike import SubmitResult
from intelshare.broker.line.handover import handover
from intelshare.broker.line.hello import accept_hello, make_hello
from intelshare.broker.line.receive import Arrival, ReceiveResult, receive
from intelshare.broker.line.submit import SubmitCommand, submit
from intelshare.broker.treaty.act import ActCommand, ActResult, act
from intelshare.bulletin import Draft
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Citation, Granted, KeyUse, Kind, Portion, Precedence, Receipt, Trust
from intelshare.crypto.suites import SUITE_1, Suite, load_signer
from intelshare.envelope import Cleared, ClearedPortion, Tip, encrypt_bulletin, first_tip, seal
from intelshare.errors import IntelshareError
from intelshare.ids import Digest, KeyId, MemberCode
from intelshare.instant import HOUR, NEVER, Instant
from intelshare.policy import ActKind, World, compile_world, parse_overlay
from intelshare.statement import MAX_LEAVES, Leaf, sign_batch
from intelshare.store.memory import MemoryStore
from intelshare.trust import (
    Founding,
    PeerHello,
    Revocation,
    Revoked,
    SecretKey,
    Why,
    create_member,
    new_key,
    renew_directory,
)

ROOM = 1 << 20
LATER = Instant(NOW + HOUR)
TO_BOTH = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"
TO_USA = "//FRA SECRET//REL TO FRA, USA"


def met(
    codes: Sequence[str] = ("FRA", "USA", "KEN"),
    store: Callable[[], Any] = MemoryStore,
    suite: Suite = SUITE_1,
) -> Any:
    """Members whose nodes have all said hello to each other."""
    members = federation(codes, store, suite=suite)
    for one in members.values():
        for other in members.values():
            if one is not other:
                say_hello(one, other)
    return members


def say_hello(one: Member, other: Member, at: Instant = NOW) -> Any:
    """``one`` tells ``other`` where its streams stand."""
    payload = one.ask(make_hello, other.node.member, at)
    node = one.node
    return other.do(
        accept_hello, PeerHello(node.member, node.uri, node.signer.key_id, payload, 0), (), None, at=at
    )


def with_law(member: Member, overlay: str) -> None:
    """Give a member's node an overlay of its own."""
    member.node = replace(member.node, world=world_with(member.node, overlay))


def world_with(node: Node, overlay: str = "", *, without: Sequence[str] = ()) -> World:
    """The node's world with an overlay of its member, and without some treaties."""
    old = node.world
    own = parse_overlay(overlay, f"{node.member.lower()}.toml", old.registry)
    treaties = [treaty for treaty in old.treaties if treaty.id not in without]
    return compile_world(old.registry, old.members, treaties, [own], old.texts)


def send(member: Member, given: Draft, key: str = "key", at: Instant = NOW, by: str = "a") -> SubmitResult:
    """Submit as the analyst."""
    command = SubmitCommand(actor(member.node.member, by), key.encode().ljust(16, b"."), given)
    answer: SubmitResult = member.do(submit, command, at=at)
    return answer


def hand_over(member: Member, *to: str, at: Instant = NOW, room: int = ROOM) -> tuple[Outbound, ...]:
    """What leaves for these peers."""
    frames: tuple[Outbound, ...] = member.do(
        handover, {MemberCode(code): room for code in to}, MAX_LEAVES, at=at
    )
    return frames


def arrive(at_member: Member, sender: Member, frame: Frame, at: Instant = NOW) -> ReceiveResult:
    """The frame comes over the sender's link. Its releases are judged by the batch loops too,
    and it is received with the loops and without."""
    node = at_member.node
    if all(carried.kind != Kind.TRUST for carried in frame.statements):
        recipient = Recipient(node.member, node.trust, node.suites, node.sealing, node.retired)
        recipient.check(frame, sender.node.member, at)
    arrival = Arrival(sender.node.member, sender.node.uri, frame)
    check_receive(at_member, arrival, at)
    taken: ReceiveResult = at_member.do(receive, arrival, at=at)
    return taken


def released(members: Any, label: str = TO_USA, to: str = "USA", **changes: Any) -> Frame:
    """One honest release of FRA to a peer."""
    send(members["FRA"], replace(draft(text(label), to=[to]), **changes))
    return hand_over(members["FRA"], to)[0].frame


def codes(taken: ReceiveResult) -> list[str]:
    """The code of each acknowledgement; empty: committed."""
    return [ack.code for ack in taken.acks]


def said(taken: ReceiveResult) -> list[tuple[str, tuple[str, ...]]]:
    """Status and codes of the receipts that answer the frame."""
    receipts = [
        decode(Receipt, carried.data)
        for outbound in taken.effects.outbound
        for carried in outbound.frame.statements
    ]
    return [(receipt.status.name, receipt.codes) for receipt in receipts]


def only(frame: Frame, **changes: Any) -> Frame:
    """The frame with its one statement changed."""
    (carried,) = frame.statements
    return replace(frame, statements=(replace(carried, **changes),))


def rows(member: Member, table: Any, index: str = "key", *prefix: Any) -> list[Any]:
    """All rows of a table."""
    found: list[Any] = member.store.ask_now(lambda view: view.find(table, index, *prefix, limit=100_000))
    return found


def does(member: Member, kind: ActKind, *, by: str = "r", at: Instant = NOW, **changes: Any) -> ActResult:
    """An own act on demo-climate."""
    acting = replace(ActCommand(actor(member.node.member, by), "demo-climate", kind), **changes)
    answer: ActResult = member.do(act, acting, at=at)
    return answer


def tell(member: Member, acted: ActResult, *others: Member, at: Instant = NOW) -> list[Any]:
    """Bring an own act to other members."""
    frames = {outbound.peer: outbound.frame for outbound in acted.effects.outbound}
    return [arrive(other, member, frames[other.node.member], at=at) for other in others]


def pair_of(member: Member, recipient: str = "USA", number: int = 0) -> PairRow:
    """A pair of the member's, by the order of its keys."""
    found: PairRow = [row for row in rows(member, PAIR) if row.recipient == recipient][number]
    return found


def log_of(member: Member) -> list[EntryType]:
    """The types of all entries of the present log."""
    return [EntryType(entry.type) for entry in log_entries(member.store, member.node.incarnation)]


def entries(member: Member, kind: EntryType, record: type[Any]) -> list[Any]:
    """All entries of one type, opened."""
    opened = [entry for row in rows(member, LOG) for entry in open_row(member.node, row)]
    return [decode(record, entry.record) for entry in opened if entry.type == kind]


def refused(member: Member, run: Callable[[], Any]) -> IntelshareError:
    """The error that ``run`` raises; nothing of the member's store changes."""
    before = everything(member)
    with pytest.raises(IntelshareError) as caught:
        run()
    assert everything(member) == before
    return caught.value


def everything(member: Member) -> Any:
    """All rows."""
    from intelshare.broker.kernel.tables import TABLES

    return {table.name: rows(member, table) for table in TABLES}


def next_directory(member: Member, **changes: Any) -> Trust:
    """A member's next directory, with these changes; it holds that now."""
    code = member.node.member
    made = create_member(Founding(code, code.capitalize(), "one"), NOW, seeded(code), SUITE_1)
    (key,) = [key for key in made.keys if key.record.use is KeyUse.DIRECTORY]
    directory = member.node.trust.members[code].directory
    assert directory is not None
    signer = load_signer(SUITE_1, key.record, key.key_id, key.secret)
    signed = renew_directory(directory, signer, NOW, **changes)
    member.do(adopt, signed)
    return signed


def fresh_key(member: Member, at: Instant = NOW) -> SecretKey:
    """A signing key of a member that its directory does not name yet."""
    node, directory = member.node, member.node.trust.members[member.node.member].directory
    assert directory is not None
    random = seeded(f"fresh beside {len(directory.keys)}")
    return new_key(SUITE_1, KeyUse.SIGNING, node.member, at, random, node=node.uri, among=directory.keys)


def signs_with(member: Member, key: SecretKey) -> None:
    """From now on the member signs with this key."""
    member.node = replace(member.node, signer=load_signer(SUITE_1, key.record, key.key_id, key.secret))


def stolen(members: Any, *, told: Sequence[str] = ("USA",)) -> KeyId:
    """FRA's signing key is known to others: it has a new one, and tells these; the old one's id."""
    fra: Member = members["FRA"]
    fresh, old = fresh_key(fra), fra.node.signer.key_id
    why = Revocation(Revoked.KEY, old, Why.COMPROMISED, NOW)
    signed = next_directory(fra, add_keys=[fresh.record], revoke=[why])
    signs_with(fra, fresh)
    for code in told:
        members[code].do(adopt, signed)
    return old


class Forger:
    """FRA with its genuine keys and none of its scruples: seals to USA whatever it is told to."""

    def __init__(self, members: Any, to: str = "USA", signer: str = "FRA") -> None:
        self.members, self.to = members, MemberCode(to)
        self.node = members[signer].node
        self.tip = first_tip(self.node.uri, self.node.incarnation, self.to)

    def frame(
        self,
        *portions: Portion,
        tip: Tip | None = None,
        seed: str = "",
        at: Instant = NOW,
        **what: Any,
    ) -> Frame:
        """One release, sealed and signed at ``at``; ``what`` as ``_clear`` takes it."""
        return self.together([portions], tip=tip, seed=seed, at=at, **what)

    def together(
        self,
        bulletins: Sequence[Sequence[Portion]],
        *,
        tip: Tip | None = None,
        seed: str = "",
        at: Instant = NOW,
        **what: Any,
    ) -> Frame:
        """Several releases of one batch in one frame."""
        random = seeded(f"forger/{seed}/{self.tip.last}")
        made = [self._clear(portions or (text(TO_USA),), random, **what) for portions in bulletins]
        sealed = seal(
            [cleared for cleared, _ in made],
            self.node.signer,
            at,
            random,
            tips={self.to: tip or self.tip},
            suites=self.node.suites,
        )
        if tip is None:
            self.tip = sealed.tips[self.to]
        carried = [
            Carried(
                Kind.RELEASE,
                release.statement.nonce,
                release.statement.data,
                release.statement.proof,
                release.grant,
                bodies,
            )
            for release, (_, bodies) in zip(sealed.releases, made, strict=True)
        ]
        return Frame(sealed.batch, sealed.batch_keys[made[0][0].kem_id], tuple(carried))

    def _clear(
        self,
        portions: Sequence[Portion],
        random: Callable[[int], bytes],
        *,
        cite: str | None = "gsa-fra-usa",
        article: str = "art. 4",
        text_hash: bytes | None = None,
        banner: str = "//FRA TRÈS SECRET",
        originator: str | None = None,
        precedence: Precedence = Precedence.ROUTINE,
        deliver_by: Instant = NEVER,
        expires: Instant = NEVER,
        bulletin_seed: str = "",
    ) -> tuple[Cleared, tuple[bytes, ...]]:
        """Cleared without having been decided, and its bodies; one ``bulletin_seed`` is one bulletin id."""
        made = encrypt_bulletin(
            portions,
            MemberCode(originator or self.node.member),
            seeded(bulletin_seed) if bulletin_seed else random,
            created=NOW,
            precedence=precedence,
            expires=expires,
        )
        citations: tuple[Citation, ...] = ()
        if cite is not None:
            real = bytes.fromhex(self.node.world.texts["FRA"][cite].removeprefix("sha256:"))
            citations = (Citation(cite, Digest(text_hash or real), article),)
        kem_id, kem = self.node.trust.sealing_key(self.to, self.node.signer.suite.number, NOW)
        cleared = Cleared(
            self.to, kem_id, kem, made.manifest, precedence, deliver_by,
            tuple(
                ClearedPortion(Granted(p.slot, citations, ()), p.secret, p.digest) for p in made.portions
            ),
            banner,
            Digest(bytes(32)),
        )  # fmt: skip
        return cleared, tuple(p.body for p in made.portions)


def signed(member: Member, kind: Kind, record: Any, at: Instant = NOW, seed: str = "signed") -> Frame:
    """A genuine statement of a member, whatever it says."""
    data = record if isinstance(record, bytes) else encode(record.__class__, record)
    random = seeded(seed + data.hex()[:64])
    batch = sign_batch([Leaf(kind, random(16), data)], member.node.signer, at, random)
    statement = batch.statements[0]
    carried = Carried(statement.kind, statement.nonce, statement.data, statement.proof)
    return Frame(batch.batch, b"", (carried,))
