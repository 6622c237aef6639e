"""Treaty acts between real nodes: from the officer's word to what both ends release, through restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.frame import Frame
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import PENDING
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.review import review
from intelshare.crypto.codec import encode
from intelshare.crypto.records import Act, Kind, TreatyAct
from intelshare.engine import Action, Event
from intelshare.engine.events import PolicyAvailable, Received
from intelshare.errors import StoreError
from intelshare.ids import Digest, LeafId, MemberCode
from intelshare.instant import DAY, SECOND, Instant
from intelshare.node.policies import UNAVAILABLE
from intelshare.ports import Plan, Random, View
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Client, Site, code_of, introduce, make_site, now, until, word

CLIMATE = "demo-climate"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Site, Site]]:
    fra, ken = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "KEN")]
    try:
        await fra.start()
        await ken.start()
        await introduce(fra, ken)
        await until(lambda: _linked(fra) and _linked(ken))
        yield fra, ken
    finally:
        await fra.stop()
        await ken.stop()


def _linked(site: Site) -> bool:
    return bool(site.running.links.engine.linked)


async def warn(site: Site, text: str = "drought") -> tuple[bytes, str, list[str]]:
    """A warning of FRA to KEN: id, word, codes."""
    portion = pb.Portion(
        kind=1,
        label="//FRA DR//REL TO FRA, KEN",
        category="climate-disaster",
        media="text/plain",
        content=text.encode(),
    )
    request = pb.SubmitRequest(
        key=text.encode().ljust(16, b".")[:16], to=["KEN"], precedence=1, portions=[portion]
    )
    async with site.client("a") as client:
        answer = await client.bulletins.Submit(request)
    (one,) = answer.pairs
    return answer.bulletin, one.word, [reason.code for p in one.portions for reason in p.reasons]


async def do(site: Site, kind: str, by: str = "r", **changes: Any) -> pb.ActResponse:
    async with site.client(by) as client:
        answer: pb.ActResponse = await client.treaties.Act(
            pb.ActRequest(treaty=CLIMATE, kind=kind, **changes)
        )
    return answer


async def codes_of(site: Site, bulletin: bytes) -> list[str]:
    async with site.client("a") as client:
        answer = await client.bulletins.Outbox(pb.OutboxRequest(id=bulletin.hex()))
    return list(answer.entries[0].pairs[0].codes)


async def states(site: Site) -> dict[str, str]:
    async with site.client("u") as client:
        answer = await client.treaties.ListTreaties(pb.ListTreatiesRequest(treaty=CLIMATE))
    return {party.member: party.state for party in answer.treaties[0].parties}


async def acts(site: Site) -> list[tuple[str, int, str, str]]:
    async with site.client("u") as client:
        answer = await client.treaties.ListActs(pb.ListActsRequest())
    return [(act.member, act.n, act.kind, act.state) for act in answer.acts]


async def knows(site: Site, count: int) -> None:
    async def enough() -> bool:
        return len(await acts(site)) >= count

    await until(enough)


async def settled(site: Site, bulletin: bytes, wanted: str) -> None:
    async def reached() -> bool:
        return bool(await word(site, bulletin, "KEN") == wanted)

    await until(reached)


async def test_after_a_withdrawal_the_next_bulletin_is_withheld_at_both_ends(pair: tuple[Site, Site]) -> None:
    fra, ken = pair
    first, _, _ = await warn(fra, "before")
    await settled(fra, first, "accepted")
    answer = await do(ken, "withdraw")
    assert (answer.member, answer.n, list(answer.told)) == ("KEN", 1, ["FRA"])
    assert (await states(ken))["KEN"] == "WITHDRAWN"
    await knows(fra, 1)
    assert (await states(fra))["KEN"] == "WITHDRAWN"
    _, shown, codes = await warn(fra, "after")
    assert (shown, codes) == ("withheld", ["WITHDRAWN"])


async def test_what_was_queued_is_withheld_after_queueing(pair: tuple[Site, Site]) -> None:
    fra, ken = pair
    # FRA hands nothing over until the act has come.
    health, links = fra.running.runtime.health, fra.running.links
    health.set(UNAVAILABLE)
    links.feed(PolicyAvailable(False))
    bulletin, shown, _ = await warn(fra)
    assert shown == "queued"
    await do(ken, "suspend")
    await knows(fra, 1)
    assert await word(fra, bulletin, "KEN") == "queued"
    health.clear(UNAVAILABLE)
    links.feed(PolicyAvailable(True))
    await settled(fra, bulletin, "withheld")
    assert await codes_of(fra, bulletin) == ["SUSPENDED"]


async def test_what_waited_for_a_member_that_has_suspended_meanwhile_is_never_accepted(
    pair: tuple[Site, Site],
) -> None:
    fra, ken = pair
    await ken.stop()
    bulletin, shown, _ = await warn(fra)
    assert shown == "queued"
    await fra.stop()
    await ken.start()
    await do(ken, "suspend")
    await fra.start()
    await knows(fra, 1)

    # Whether the act or the release is first on the new link, one of both laws stops it.
    async def ended() -> bool:
        return await word(fra, bulletin, "KEN") in ("withheld", "refused")

    await until(ended)
    assert "SUSPENDED" in await codes_of(fra, bulletin)


async def test_what_is_on_the_way_is_stopped_when_a_date_passes(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, ken = pair
    end = now() + 3 * SECOND
    await do(ken, "give-notice", effective=end)
    await knows(fra, 1)

    # KEN takes frames and never answers them (attacks.md row 45).
    engine = ken.running.links.engine
    handle = engine.handle

    def swallow(event: Event, *rest: Any) -> list[Action]:
        frame = isinstance(event, Received) and isinstance(event.message, Frame)
        return [] if frame else handle(event, *rest)

    monkeypatch.setattr(engine, "handle", swallow)
    bulletin, shown, _ = await warn(fra)
    assert shown == "queued"
    await settled(fra, bulletin, "sent")
    await settled(fra, bulletin, "in doubt")
    assert now() >= end
    assert await codes_of(fra, bulletin) == ["WITHDRAWN"]
    assert (await states(fra))["KEN"] == "WITHDRAWN"


async def test_acts_hold_after_a_restart_and_a_new_member_learns_all_of_them(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    fra, ken = pair
    for kind in ("suspend", "reinstate", "withdraw"):
        await do(ken, kind)
    await knows(fra, 3)
    expected = [("KEN", n, kind, "counts") for n, kind in enumerate(("suspend", "reinstate", "withdraw"), 1)]
    for site in pair:
        await site.stop()
        await site.start()
        assert await acts(site) == expected
        assert (await states(site))["KEN"] == "WITHDRAWN"
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA")
    try:
        await usa.start()
        await introduce(ken, usa)
        await knows(usa, 3)
        assert await acts(usa) == expected
    finally:
        await usa.stop()


async def test_the_effect_is_shown_before_anything_is_signed(pair: tuple[Site, Site]) -> None:
    _, ken = pair
    request = pb.ActRequest(treaty=CLIMATE, kind="withdraw")
    async with ken.client("o") as client:
        shown = await client.treaties.PreviewAct(request)
    assert (shown.n, list(shown.told)) == (1, ["FRA"])
    changes = {(c.category, c.sender, c.recipient): (c.before, c.after) for c in shown.changes}
    assert changes["climate-disaster", "FRA", "KEN"] == ("DIFFUSION RESTREINTE", "")
    assert set(changes) == {
        (category, *way)
        for category in ("climate-disaster", "cyber")
        for way in (("FRA", "KEN"), ("KEN", "FRA"))
    }
    assert await acts(ken) == []
    await do(ken, "suspend")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await do(ken, "withdraw", n=shown.n)
    assert code_of(caught.value) == "ID_CONFLICT"


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        ("NOT_FOUND", pb.ActRequest(treaty="nothing", kind="withdraw")),
        ("INPUT_INVALID", pb.ActRequest(treaty=CLIMATE, kind="annex")),
        ("INPUT_INVALID", pb.ActRequest(treaty=CLIMATE, kind="reserve")),
        ("INPUT_INVALID", pb.ActRequest(treaty=CLIMATE, kind="suspend", effective=1)),
        (
            "INPUT_INVALID",
            pb.ActRequest(
                treaty=CLIMATE, kind="reserve", reservation=pb.Reservation(level_at_least="SO SECRET")
            ),
        ),
        (
            "UNKNOWN_MEMBER",
            pb.ActRequest(treaty=CLIMATE, kind="reserve", reservation=pb.Reservation(counterparties=["XXX"])),
        ),
        (
            "TOO_LARGE",
            pb.ActRequest(
                treaty=CLIMATE, kind="reserve", reservation=pb.Reservation(categories=["cyber"] * 65)
            ),
        ),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    pair: tuple[Site, Site], code: str, request_: pb.ActRequest
) -> None:
    _, ken = pair
    for call in ("PreviewAct", "Act"):
        async with ken.client("r") as client:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(client.treaties, call)(request_)
        assert code_of(caught.value) == code


async def test_a_reservation_goes_and_comes_by_its_own_terms(pair: tuple[Site, Site]) -> None:
    fra, ken = pair
    terms = pb.Reservation(categories=["climate-disaster"], counterparties=["FRA"])
    await do(ken, "reserve", reservation=terms)
    await knows(fra, 1)
    _, shown, codes = await warn(fra, "reserved")
    assert (shown, codes) == ("withheld", ["RESERVATION"])
    await do(ken, "reinstate", reservation=terms)
    await knows(fra, 2)
    bulletin, shown, _ = await warn(fra, "freed")
    assert shown == "queued"
    await settled(fra, bulletin, "accepted")


async def offers(client: Client, **request: Any) -> list[pb.BackfillEntry]:
    found: list[pb.BackfillEntry] = []
    after = b""
    while True:
        page = await client.treaties.FindBackfill(
            pb.FindBackfillRequest(treaty=CLIMATE, recipient="KEN", after=after, **request)
        )
        found += page.entries
        after = page.after
        if not after:
            return found


async def test_backfill_offers_what_accession_allows_and_releases_what_the_officer_names(
    pair: tuple[Site, Site], tmp_path: Path
) -> None:
    fra, ken = pair
    # Written for somebody else, who is never there.
    usa = await asyncio.to_thread(make_site, "USA", tmp_path / "USA")
    await usa.start()
    await introduce(fra, usa)
    await usa.stop()
    texts = [("early", "//FRA DR//REL TO FRA, KEN"), ("secret", "//FRA S//REL TO FRA, KEN")]
    async with fra.client("a") as client:
        for text, label in texts:
            portion = pb.Portion(
                kind=1, label=label, category="climate-disaster", media="text/plain", content=text.encode()
            )
            key = text.encode().ljust(16, b".")
            await client.bulletins.Submit(
                pb.SubmitRequest(key=key, to=["USA"], precedence=1, portions=[portion])
            )
    async with fra.client("r") as client:
        found = await offers(client)
        assert [(one.granted, one.portions, one.basis, one.word) for one in found] == [
            (1, 1, CLIMATE, "queued")
        ]
        assert await offers(client, since=now()) == []
        done = await client.treaties.Backfill(
            pb.BackfillRequest(treaty=CLIMATE, recipient="KEN", bulletins=[found[0].md])
        )
        assert [one.bulletin for one in done.entries] == [found[0].bulletin]
        assert await offers(client) == []
        again = await client.treaties.Backfill(
            pb.BackfillRequest(treaty=CLIMATE, recipient="KEN", bulletins=[found[0].md])
        )
        assert list(again.entries) == []
    await settled(fra, found[0].bulletin, "accepted")
    async with ken.client("a") as client:
        inbox = await client.bulletins.Inbox(pb.InboxRequest())
    assert [entry.bulletin for entry in inbox.entries] == [found[0].bulletin]


async def test_a_full_disk_only_puts_the_review_off(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    fra, ken = pair
    runtime, tried = fra.running.runtime, []
    perform = runtime.step

    async def full(step: Any, *event: Any) -> Any:
        if step is review:
            tried.append(1)
            raise StoreError("DISK_FULL", "no room")
        return await perform(step, *event)

    monkeypatch.setattr(runtime, "step", full)
    await do(ken, "suspend")
    await knows(fra, 1)
    await until(lambda: len(tried) > 1)
    assert not fra.running.runtime.failed.done()


# A malicious peer (attacks.md rows 43, 44, 96), with its genuine key and over its real link.


def say(node: Node, view: View, record: TreatyAct, now: Instant, random: Random) -> Plan[Effects]:
    """A step that signs whatever it is told to."""
    tx = Transaction(node, view, now, random)
    tx.say_to_all([MemberCode("FRA")], Kind.TREATY_ACT, encode(TreatyAct, record), 0)
    return tx.plan(tx.effects())


async def says(site: Site, **changes: Any) -> LeafId:
    """KEN signs and sends an act of its own making; its leaf."""
    record = TreatyAct(
        MemberCode("KEN"), 1, LeafId(bytes(32)), CLIMATE, Digest(bytes(32)), Act.WITHDRAW, now(), ()
    )
    done = await site.running.links.act(say, replace(record, **changes))
    return done.value.outbound[0].leaves[0]


async def told(ken: Site, fra: Site, code: str) -> None:
    """Wait until KEN's link was answered with this code."""
    await until(lambda: ken.running.links.state(fra.running.runtime.node.uri).error == code)


async def test_row_43_an_act_for_another_member_is_rejected_over_the_link(pair: tuple[Site, Site]) -> None:
    fra, ken = pair
    await says(ken, member=MemberCode("FRA"))
    await told(ken, fra, "SIGNER_NOT_AUTHORISED")
    assert await acts(fra) == []
    assert (await states(fra))["FRA"] == "IN_FORCE"


async def test_row_44_an_act_that_is_dated_back_counts_from_its_receipt_and_shows_it(
    pair: tuple[Site, Site],
) -> None:
    fra, ken = pair
    accepted, _, _ = await warn(fra, "before")
    await settled(fra, accepted, "accepted")
    before = now()
    await says(ken, effective=Instant(before - 3650 * DAY))
    await knows(fra, 1)
    async with fra.client("u") as client:
        (shown,) = (await client.treaties.ListActs(pb.ListActsRequest())).acts
    assert shown.effective < before <= shown.since == shown.at
    # What went before it stays as it was.
    assert await word(fra, accepted, "KEN") == "accepted"
    assert (await warn(fra, "after"))[1:] == ("withheld", ["WITHDRAWN"])


async def test_row_96_a_hole_is_shown_and_asked_for_and_a_fork_waits_for_the_operator(
    pair: tuple[Site, Site],
) -> None:
    fra, ken = pair
    first = TreatyAct(
        MemberCode("KEN"), 1, LeafId(bytes(32)), CLIMATE, Digest(bytes(32)), Act.SUSPEND, now(), ()
    )
    # Signed at KEN and kept there, as an act that FRA has never been sent.
    done = await ken.running.runtime.step(say, first)
    one = done.value.outbound[0].leaves[0]
    await ken.running.runtime.step(forget, one)
    await says(ken, n=2, previous=one, act=Act.REINSTATE)
    await knows(fra, 1)
    async with fra.client("o") as client:
        listed = await client.treaties.ListActs(pb.ListActsRequest())
        assert [(hole.member, hole.n) for hole in listed.missing] == [("KEN", 1)]
        assert [(act.n, act.state, act.since) for act in listed.acts] == [(2, "waits", 0)]
        assert (await states(fra))["KEN"] == "IN_FORCE"
        # Another act 1 closes the hole, and what waited names a different one.
        await says(ken, act=Act.SUSPEND)
        await knows(fra, 2)
        assert await acts(fra) == [("KEN", 1, "suspend", "counts"), ("KEN", 2, "reinstate", "contradicts")]
        assert (await states(fra))["KEN"] == "SUSPENDED"
        await says(ken, act=Act.WITHDRAW)
        await told(ken, fra, "SEQUENCE_FORK")
        assert (await states(fra))["KEN"] == "SUSPENDED"
        # The operator asks KEN, and lets all of it count.
        await client.treaties.ResumeActs(pb.ResumeActsRequest(member="KEN"))
    assert {state for *_, state in await acts(fra)} == {"counts"}
    assert (await states(fra))["KEN"] == "WITHDRAWN"


def forget(node: Node, view: View, leaf: LeafId, now: Instant, random: Random) -> Plan[None]:
    """A step that takes a statement from the queue."""
    tx = Transaction(node, view, now, random)
    tx.delete(PENDING, leaf, MemberCode("FRA"))
    return tx.plan(None)
