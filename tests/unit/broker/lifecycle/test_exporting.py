"""A gateway: what it is shown, what its consumers may have, and what the log says of that, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, draft, text, user
from intelshare.audit.records import RECORDS, EntryType
from intelshare.broker.exchange.recall import RecallCommand, recall
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.destroy import finish, marked
from intelshare.broker.line.resend import resend
from intelshare.broker.queries.lists import outbox
from intelshare.crypto.records import PortionKind
from intelshare.errors import DeliveryError
from intelshare.roles import Role
from intelshare.services.dispatch import answer, stream
from intelshare.services.table import SERVICES
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_BOTH, TO_USA, arrive, entries, hand_over, met, send, with_law
from services_world import MemberBackend

SECRET_TITLE = replace(text(TO_USA, "CANARY TITLE"), kind=PortionKind.TITLE)
READ_RECEIPT = (
    '[[oblige]]\nid = "told"\nobligation = "read-receipt"\nwhen = { categories = ["cyber"] }\n'
    'source = "invented"\n'
)
ROWS = SERVICES["Gateways"]
HIGH = pb.Consumer(name="high", clearance="R3", categories=["*"])
LOW = pb.Consumer(name="low", clearance="R2", categories=["*"])
OTHER = pb.Consumer(name="other", clearance="R4", categories=["terrorism"])


class Site:
    """FRA, which sends, and USA with a gateway."""

    def __init__(self, clearance: str = "R3", categories: str = "*") -> None:
        self.fra, self.usa = (members := met(("FRA", "USA")))["FRA"], members["USA"]
        row = UserRow(user("USA", "g"), "g", Role.GATEWAY, clearance, "USA", categories, 0)
        self.usa.do(set_user, SetUserCommand(user("USA", "o"), row))
        self.backend, self.name = MemberBackend(self.usa), "g"

    def deliver(self, *portions: Any, key: str = "key") -> str:
        sent = send(self.fra, draft(*portions, to=["USA"]), key=key)
        self.exchange()
        return sent.bulletin.hex()

    def exchange(self) -> None:
        for outbound in hand_over(self.fra, "USA"):
            for receipt in arrive(self.usa, self.fra, outbound.frame).effects.outbound:
                arrive(self.fra, self.usa, receipt.frame)

    def words(self) -> list[str]:
        """What FRA knows of its pairs once USA's receipts have arrived."""
        for outbound in self.usa.do(resend, "FRA", frozenset(), 1 << 20)[0]:
            arrive(self.fra, self.usa, outbound.frame)
        return [
            pair.status
            for line in self.fra.ask(outbox, actor("FRA", "a"), "", 10, False, NOW)[0]
            for pair in line.pairs
        ]

    def follow(self, *consumers: pb.Consumer, cursor: str = "") -> list[Any]:
        async def all_of() -> list[Any]:
            request = pb.FollowRequest(cursor=cursor, once=True, consumers=consumers)
            return [one async for one in stream(self.backend, ROWS["Follow"], self.actor, request)]

        return asyncio.run(all_of())

    def export(self, consumer: pb.Consumer, *bulletins: str) -> list[list[int]]:
        named = [pb.NamedBulletin(originator="FRA", bulletin=bytes.fromhex(one)) for one in bulletins]
        request = pb.ExportRequest(consumer=consumer, bulletins=named)
        made: Any = asyncio.run(answer(self.backend, ROWS["Export"], self.actor, request))
        return [list(one.slots) for one in made.slots]

    @property
    def actor(self) -> Any:
        return actor("USA", self.name, Role.GATEWAY)

    def logged(self, kind: EntryType) -> list[Any]:
        return entries(self.usa, kind, RECORDS[kind])


def titles(events: list[Any]) -> list[str]:
    """Texts of what was told, in order."""
    return [
        portion.portion.content.decode()
        for event in events
        if event.HasField("opened")
        for portion in event.opened.portions
    ]


def test_a_gateway_is_told_everything_from_the_beginning_and_goes_on_at_its_cursor() -> None:
    site = Site()
    site.deliver(text(TO_USA, "one"), key="1")
    site.deliver(text(TO_USA, "two"), key="2")
    told = site.follow(HIGH)
    assert titles(told) == ["one", "two"]
    site.deliver(text(TO_USA, "three"), key="3")
    assert titles(site.follow(HIGH, cursor=told[-1].cursor)) == ["three"]
    first = next(event for event in told if event.HasField("opened"))
    assert titles(site.follow(HIGH, cursor=first.cursor)) == ["two", "three"]


def test_the_log_says_once_that_the_gateway_was_shown_it_and_once_for_each_consumer() -> None:
    site = Site()
    bulletins = [site.deliver(text(TO_USA, "one"), key=str(n)) for n in range(3)]
    for _ in range(4):
        site.follow(HIGH, LOW)
        site.export(HIGH, *bulletins)
        site.export(replace_name(HIGH, "twin"), bulletins[0])
    assert len(site.logged(EntryType.READ)) == 3
    exported = site.logged(EntryType.EXPORT)
    assert [(one.consumer, one.user) for one in exported] == [("high", user("USA", "g"))] * 3 + [
        ("twin", user("USA", "g"))
    ]


def replace_name(consumer: pb.Consumer, name: str) -> pb.Consumer:
    return pb.Consumer(name=name, clearance=consumer.clearance, categories=consumer.categories)


def test_a_consumer_may_have_what_a_reader_with_its_rights_might_read_and_its_gateway_too() -> None:
    site = Site()
    bulletin = site.deliver(SECRET_TITLE, text(TO_BOTH, "open enough"))
    (event, _) = site.follow(HIGH, LOW, OTHER)
    slots = dict(zip(titles([event]), event.slots, strict=True))
    seen = [list(one.slots) for one in event.visible]
    assert seen == [list(event.slots), [slots["open enough"]], []]
    assert [site.export(one, bulletin) for one in (HIGH, LOW, OTHER)] == [[one] for one in seen]
    low = Site("R2")
    bulletin = low.deliver(SECRET_TITLE, text(TO_BOTH, "open enough"))
    (event, _) = low.follow(HIGH)
    assert titles([event]) == ["open enough"]
    assert low.export(HIGH, bulletin) == [list(event.visible[0].slots)]
    assert "TRES SECRET" not in event.opened.banner
    (exported,) = low.logged(EntryType.EXPORT)
    assert len(exported.slots) == 1


def test_more_portions_are_logged_again_and_fewer_are_not() -> None:
    site = Site()
    bulletin = site.deliver(SECRET_TITLE, text(TO_BOTH, "open enough"))
    for consumer in (LOW, replace_name(HIGH, "low"), LOW):
        site.export(consumer, bulletin)
    assert [len(one.slots) for one in site.logged(EntryType.EXPORT)] == [1, 2]


def test_what_nobody_may_have_or_is_not_there_is_neither_handed_out_nor_logged() -> None:
    site = Site(categories="terrorism")
    bulletin = site.deliver(text(TO_USA))
    assert titles(site.follow(HIGH)) == []
    assert site.export(HIGH, bulletin, "00" * 16) == [[], []]
    assert site.logged(EntryType.EXPORT) == site.logged(EntryType.READ) == []


def test_what_may_only_be_shown_is_handed_to_no_program() -> None:
    site = Site()
    bulletin = site.deliver(text("//FRA SECRET//DISPLAY ONLY USA"))
    assert titles(site.follow(HIGH)) == []
    assert site.export(HIGH, bulletin) == [[]]


def test_a_recall_reaches_whoever_was_shown_the_bulletin_and_nothing_leaves_after_it() -> None:
    site = Site()
    bulletin = site.deliver(text(TO_USA))
    cursor = site.follow(HIGH)[-1].cursor
    recalling = site.fra.do(recall, RecallCommand(actor("FRA", "a"), bulletin, "wrong"))
    for outbound in recalling.effects.outbound:
        arrive(site.usa, site.fra, outbound.frame)
    site.usa.do(finish, site.usa.store.ask_now(marked))
    (gone,) = [one for one in site.follow(HIGH, cursor=cursor) if one.HasField("destroyed")]
    assert (gone.destroyed.originator, gone.destroyed.bulletin.hex(), gone.cause) == (
        "FRA",
        bulletin,
        "RECALLED",
    )
    assert site.export(HIGH, bulletin) == [[]]
    assert site.logged(EntryType.EXPORT) == []
    # Who was not shown it learns of nothing.
    assert not [one for one in site.follow(HIGH) if one.HasField("opened")]
    row = UserRow(user("USA", "h"), "h", Role.GATEWAY, "R3", "USA", "*", 0)
    site.usa.do(set_user, SetUserCommand(user("USA", "o"), row))
    site.name = "h"
    assert not any(one.HasField("destroyed") for one in site.follow(HIGH))


def test_the_originator_hears_that_it_is_read_when_it_leaves_for_a_consumer_and_not_before() -> None:
    site = Site()
    with_law(site.fra, READ_RECEIPT)
    bulletin = site.deliver(text(TO_USA))
    site.follow(HIGH)
    assert "read" not in site.words()
    site.export(HIGH, bulletin)
    site.export(HIGH, bulletin)
    assert site.words() == ["read"]


@pytest.mark.parametrize(
    ("consumer", "code"),
    [
        (pb.Consumer(name="", clearance="R1"), "INPUT_INVALID"),
        (pb.Consumer(name="A b", clearance="R1"), "INPUT_INVALID"),
        (pb.Consumer(name="x" * 65, clearance="R1"), "INPUT_INVALID"),
        (pb.Consumer(name="a", clearance="R9"), "INPUT_INVALID"),
        (pb.Consumer(name="a", nationality="ZZZ"), "INPUT_INVALID"),
        (pb.Consumer(name="a", categories=["cyberr"]), "WORD_UNKNOWN"),
    ],
)
def test_rights_that_nobody_can_hold_are_refused(consumer: pb.Consumer, code: str) -> None:
    site = Site()
    for call in (lambda: site.follow(consumer), lambda: site.export(consumer)):
        with pytest.raises(DeliveryError) as refused:
            call()
        assert refused.value.code == code


def test_bounds_are_named() -> None:
    site = Site()
    with pytest.raises(DeliveryError, match="TOO_LARGE"):
        site.follow(*[replace_name(HIGH, f"c{n}") for n in range(65)])
    with pytest.raises(DeliveryError, match="TOO_LARGE"):
        site.export(HIGH, *["00" * 16] * 129)


def test_a_gateway_may_do_what_everybody_may_and_nothing_else_besides() -> None:
    allowed = {"Gateways/Follow", "Gateways/Export"}
    for service, rows in SERVICES.items():
        for name, row in rows.items():
            everybody = row.roles == frozenset(Role)
            assert (Role.GATEWAY in row.roles) is (everybody or f"{service}/{name}" in allowed), name
    assert SERVICES["Gateways"]["Follow"].roles == {Role.GATEWAY}
