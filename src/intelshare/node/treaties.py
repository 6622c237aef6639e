"""The Treaties service: how treaties stand, own acts and their effect, and what accession allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from intelshare.broker.exchange import backfill
from intelshare.broker.exchange.backfill import Offer, OfferQuery
from intelshare.broker.kernel.cursor import open_cursor, seal_cursor
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.tables import ActRow
from intelshare.broker.queries.lists import title_of
from intelshare.broker.treaty import act
from intelshare.broker.treaty.act import ActCommand, ActState
from intelshare.crypto.codec import decode
from intelshare.crypto.records import TreatyAct
from intelshare.errors import DeliveryError, PolicyFileError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Interval, when
from intelshare.node.authn import UserCaller
from intelshare.node.links import Links
from intelshare.node.rpc_gateway import Answer
from intelshare.node.runtime import Runtime
from intelshare.policy import ActKind, PartyAct, Reservation, Treaty, World, parse_treaty
from intelshare.policy.treaty import ANY_CATEGORY, reference_of
from intelshare.policy_tools import matrix, party_spans
from intelshare.wire.v1 import user_pb2 as pb

MAX_SHOWN: Final = 10_000
"""Acts and changes of one answer."""

MAX_LISTED: Final = 64
"""Categories or counterparties of one reservation."""

_KINDS: Final = {kind.name.lower().replace("_", "-"): kind for kind in ActKind}
_STATES: Final = {ActState.COUNTS: "counts", ActState.WAITS: "waits", ActState.CONTRADICTS: "contradicts"}


def treaties(runtime: Runtime, links: Links) -> Mapping[str, Answer]:
    """Method name -> answer."""

    async def list_treaties(_: UserCaller, request: pb.ListTreatiesRequest) -> pb.ListTreatiesResponse:
        now = runtime.now()
        found = [one for one in runtime.node.world.treaties if request.treaty in ("", one.id)]
        if request.treaty and not found:
            raise DeliveryError("NOT_FOUND", f"this node holds no treaty {request.treaty!r}")
        files = await asyncio.to_thread(_files, runtime) if request.files else {}
        return pb.ListTreatiesResponse(treaties=[_treaty(one, now, files) for one in found])

    async def list_acts(_: UserCaller, request: pb.ListActsRequest) -> pb.ListActsResponse:
        member = (MemberCode(request.member),) if request.member else ()
        rows = runtime.store.ask_now(lambda view: act.acts(view, *member))
        missing = [
            pb.MissingAct(member=of, n=n)
            for of in sorted({row.member for row in rows})
            if (n := act.missing_acts([row for row in rows if row.member == of])) is not None
        ]
        entries = [_act(row) for row in rows]
        chosen = [entry for entry in entries if request.treaty in ("", entry.treaty)]
        return pb.ListActsResponse(acts=chosen[-MAX_SHOWN:], missing=missing)

    async def preview(caller: UserCaller, request: pb.ActRequest) -> pb.ActResponse:
        acting, now = _acting(runtime, caller, request), runtime.now()
        acted, after = runtime.store.ask_now(lambda view: act.effect_of_act(runtime.node, view, acting, now))
        return await asyncio.to_thread(_answer, runtime, acted.act, after)

    async def act_(caller: UserCaller, request: pb.ActRequest) -> pb.ActResponse:
        _need_clock(runtime)
        done = await links.act(act.act, _acting(runtime, caller, request))
        return _answer(runtime, done.value.act, None)

    async def resume(caller: UserCaller, request: pb.ResumeActsRequest) -> pb.ResumeActsResponse:
        _need_clock(runtime)
        done = await links.act(act.resume, caller.user, MemberCode(request.member))
        return pb.ResumeActsResponse(n=done.value.act.n)

    async def find(caller: UserCaller, request: pb.BackfillRequest) -> pb.BackfillResponse:
        wanted = _wanted(caller, request)
        after = _place(runtime, caller, request.after)
        page = await asyncio.to_thread(
            runtime.store.ask_now,
            lambda view: backfill.find_offers(runtime.node, view, wanted, after, runtime.now()),
        )
        return pb.BackfillResponse(
            entries=[_offer(runtime, offer) for offer in page.offers],
            after=_packed(runtime, caller, page.after),
        )

    async def backfill_(caller: UserCaller, request: pb.BackfillRequest) -> pb.BackfillResponse:
        named = [ManifestDigest(md) for md in request.bulletins]
        done = await links.act(backfill.backfill, _wanted(caller, request), named)
        return pb.BackfillResponse(entries=[_offer(runtime, offer) for offer in done.value.offers])

    return {
        "ListTreaties": list_treaties,
        "ListActs": list_acts,
        "PreviewAct": preview,
        "Act": act_,
        "ResumeActs": resume,
        "FindBackfill": find,
        "Backfill": backfill_,
    }


def _need_clock(runtime: Runtime) -> None:
    if runtime.clock.wrong():
        raise DeliveryError("CLOCK", "the clock is wrong: an act would be signed at a time that is not")


def _acting(runtime: Runtime, caller: UserCaller, request: pb.ActRequest) -> ActCommand:
    kind = _KINDS.get(request.kind)
    if kind is None:
        raise DeliveryError(
            "INPUT_INVALID", f"{request.kind!r} is no act", hint="one of " + ", ".join(_KINDS)
        )
    reservation = _reservation(runtime, request.reservation) if request.HasField("reservation") else None
    return ActCommand(caller.user, request.treaty, kind, Instant(request.effective), reservation, request.n)


def _reservation(runtime: Runtime, given: pb.Reservation) -> Reservation:
    """Checked as in a file: a word that nobody knows is a slip of the one who writes it."""
    registry = runtime.node.world.registry
    if len(given.categories) > MAX_LISTED or len(given.counterparties) > MAX_LISTED:
        raise DeliveryError("TOO_LARGE", f"a reservation names at most {MAX_LISTED} categories or parties")
    level = given.level_at_least
    if level and reference_of(level, registry, runtime.now()) is None:
        raise DeliveryError("INPUT_INVALID", f"{level!r} is neither R0 to R4 nor a level of an organisation")
    for code in given.counterparties:
        if not registry.is_member(code):
            raise DeliveryError("UNKNOWN_MEMBER", f"{code!r} is not a member code")
    during = Interval(Instant(getattr(given, "from")) or BEGINNING, Instant(given.until or NEVER))
    if during.until <= during.start:
        raise DeliveryError("INPUT_INVALID", "the reservation ends before it begins")
    return Reservation(
        frozenset(given.categories) or None, level or None, frozenset(given.counterparties) or None, during
    )


def _answer(runtime: Runtime, said: PartyAct, after: World | None) -> pb.ActResponse:
    node = runtime.node
    response = pb.ActResponse(
        member=said.member,
        n=said.n,
        treaty=said.treaty,
        kind=_name(said.kind),
        effective=said.since,
        told=sorted(member for member in node.trust.members if member != node.member),
    )
    if after is not None:
        start = said.reservation.during.start if said.reservation is not None else said.since
        at = Instant(max(said.since, start))
        response.at = at
        response.changes.extend(_changes(node.world, after, said, at))
    return response


def _changes(before: World, after: World, said: PartyAct, at: Instant) -> Iterator[pb.Changed]:
    """What the act changes at ``at``, for every category and every party that this node can reach or hear."""
    treaty = next(one for one in after.treaties if one.id == said.treaty)
    others = sorted({p.member for p in treaty.parties} & before.members - {said.member})
    for category in _categories(before.treaties, treaty):
        for other in others:
            then = matrix(after, at, category, (said.member, other))
            for pair, level in matrix(before, at, category, (said.member, other)).items():
                if then[pair] != level:
                    new = then[pair]
                    yield pb.Changed(
                        category=category,
                        sender=pair[0],
                        recipient=pair[1],
                        before="" if level is None else level.name,
                        after="" if new is None else new.name,
                    )


def _categories(all_of_them: Iterable[Treaty], treaty: Treaty) -> list[str]:
    """Those of the treaty; where one article covers any, all that any treaty names."""

    def named(one: Treaty) -> set[str]:
        return {word for provision in one.provisions for word in provision.categories}

    own = named(treaty)
    if ANY_CATEGORY in own:
        own = set().union(*(named(one) for one in all_of_them))
    return sorted(own - {ANY_CATEGORY}) or [ANY_CATEGORY]


def _files(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """Name and text of every treaty's file, by id, as far as it is what the node has read."""
    world, found = runtime.node.world, {}
    for path in sorted(runtime.folder.treaties.glob("*.toml")):
        try:
            text = path.read_text("utf-8")
            treaty = parse_treaty(text, path.name, world.registry)
        except (OSError, ValueError, PolicyFileError):
            continue  # a test beside a treaty, or a file that was changed
        if treaty in world.files:
            found[treaty.id] = path.name, text
    return found


def _treaty(treaty: Treaty, now: Instant, files: Mapping[str, tuple[str, str]]) -> pb.TreatyState:
    parties = []
    for party in sorted(treaty.parties, key=lambda party: party.member):
        span = next(span for span in party_spans(treaty, party) if span.start <= now < span.until)
        parties.append(
            pb.PartyState(
                member=party.member,
                state=span.state,
                since="" if span.start == BEGINNING else when(span.start),
                until="" if span.until == NEVER else when(span.until),
            )
        )
    name, file = files.get(treaty.id, ("", ""))
    return pb.TreatyState(
        id=treaty.id,
        title=treaty.title,
        kind=treaty.kind.value,
        text=treaty.text,
        parties=parties,
        name=name,
        file=file,
    )


def _act(row: ActRow) -> pb.ActEntry:
    said = decode(TreatyAct, row.data)
    entry = pb.ActEntry(
        member=row.member,
        n=row.n,
        statement=row.leaf,
        treaty=said.treaty,
        kind=_name(ActKind(said.act)),
        effective=said.effective,
        since=row.since,
        at=row.at,
        state=_STATES[ActState(row.state)],
        by=row.by,
        text=f"sha256:{said.text.hex()}",
    )
    for given in said.reservation:
        entry.reservation.CopyFrom(
            pb.Reservation(
                categories=given.categories,
                level_at_least=given.level,
                counterparties=given.counterparties,
                until=given.until,
                **{"from": given.start},
            )
        )
    return entry


def _name(kind: ActKind) -> str:
    return kind.name.lower().replace("_", "-")


def _wanted(caller: UserCaller, request: pb.BackfillRequest) -> OfferQuery:
    return OfferQuery(caller.user, request.treaty, MemberCode(request.recipient), Instant(request.since))


def _offer(runtime: Runtime, offer: Offer) -> pb.BackfillEntry:
    node, row = runtime.node, offer.written.row
    return pb.BackfillEntry(
        bulletin=row.bulletin,
        md=row.md,
        created_at=row.created,
        banner=banner_of(node, offer.written.labels, node.member, runtime.now()),
        title=runtime.store.ask_now(lambda view: title_of(node, view, offer.written)),
        granted=len(offer.pair.granted),
        portions=len(offer.pair.portions),
        basis=offer.pair.basis,
        word=offer.word,
    )


_PLACE: Final = 8


def _packed(runtime: Runtime, caller: UserCaller, after: tuple[int | str | bytes, ...]) -> bytes:
    """A place in the order of bulletins (minus the instant, and the digest), sealed: the officer may not see
    the bulletin that it names."""
    if not after:
        return b""
    newest, md = after
    assert isinstance(newest, int)  # noqa: S101 - as ``find_offers`` gives it
    assert isinstance(md, bytes)  # noqa: S101
    place = newest.to_bytes(_PLACE, "big", signed=True) + md
    return seal_cursor(runtime.node, caller.user, "backfill", place, runtime.random)


def _place(runtime: Runtime, caller: UserCaller, sealed: bytes) -> tuple[int | str | bytes, ...]:
    if not sealed:
        return ()
    packed = open_cursor(runtime.node, caller.user, "backfill", sealed)
    return int.from_bytes(packed[:_PLACE], "big", signed=True), packed[_PLACE:]
