"""The Treaties service: the state of treaties, this member's acts and their effect, and what an accession
allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from intelshare.broker.exchange import backfill
from intelshare.broker.exchange.backfill import BackfillResult, Offer, OfferQuery, Offers
from intelshare.broker.kernel.actor import Actor
from intelshare.broker.kernel.cursor import open_cursor, seal_cursor
from intelshare.broker.kernel.damage import damaged_records, noting_damage
from intelshare.broker.kernel.decide_pair import banner_of
from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.tables import ActRow
from intelshare.broker.queries.lists import title_of
from intelshare.broker.treaty import act
from intelshare.broker.treaty.act import ActCommand, ActState
from intelshare.broker.treaty.policy_files import files_in_force
from intelshare.crypto.codec import decode
from intelshare.crypto.records import TreatyAct
from intelshare.errors import DeliveryError, PolicyFileError, StoreError
from intelshare.ids import ManifestDigest, MemberCode
from intelshare.instant import NEVER, Instant
from intelshare.labels import BEGINNING, Interval, when
from intelshare.policy import (
    ANY_CATEGORY,
    ActKind,
    PartyAct,
    Reservation,
    Treaty,
    World,
    parse_treaty,
    reference_of,
)
from intelshare.policy_tools import matrix, party_spans
from intelshare.ports import View
from intelshare.services.backend import Backend
from intelshare.services.law import mismatch_messages
from intelshare.services.rpc import (
    ACTORS,
    EVERYBODY,
    OFFICERS,
    OPERATORS,
    AsyncCall,
    CallContext,
    QueryCall,
    Rpc,
    asked_time,
    need_clock,
)
from intelshare.wire.v1 import user_pb2 as pb

MAX_SHOWN: Final = 10_000
"""The most acts and changes in one answer."""

MAX_LISTED: Final = 64
"""The most categories or counterparties of one reservation."""

_KINDS: Final = {kind.name.lower().replace("_", "-"): kind for kind in ActKind}
_STATES: Final = {ActState.COUNTS: "counts", ActState.WAITS: "waits", ActState.CONTRADICTS: "contradicts"}


async def list_treaties(
    backend: Backend, _: Actor, request: pb.ListTreatiesRequest
) -> pb.ListTreatiesResponse:
    """Return the treaties that the node applies, with their parties' states, and their files if asked for."""
    now, world = backend.now(), backend.node.world
    found = [one for one in world.treaties if request.treaty in ("", one.id)]
    if request.treaty and not found:
        raise DeliveryError("NOT_FOUND", f"this node holds no treaty {request.treaty!r}")
    texts = await backend.treaty_texts() if request.files else {}
    files = await asyncio.to_thread(_files, world, texts)
    law = {row.file: row for row in await backend.query(files_in_force)}
    treaties = [_treaty(one, now, files) for one in found]
    for one, shown in zip(found, treaties, strict=True):
        held = law.get(f"treaties/{one.place.source}" if one.place is not None else "")
        if held is not None:
            shown.source, shown.since = held.file, held.since
        shown.mismatches.extend(mismatch_messages(backend.node, one, now))
    return pb.ListTreatiesResponse(treaties=treaties)


def list_own_files(context: CallContext, _: pb.ListOwnFilesRequest) -> pb.ListOwnFilesResponse:
    """Return the files, besides those that ship, with which labels and files are read."""
    own = context.node.world.registry.own
    return pb.ListOwnFilesResponse(files=[pb.OwnFile(name=name, text=own[name]) for name in sorted(own)])


def list_acts(context: CallContext, request: pb.ListActsRequest) -> pb.ListActsResponse:
    """Return every act held, and the numbers of missing acts."""
    rows = act.acts(context.view, *((MemberCode(request.member),) if request.member else ()))
    missing = [
        pb.MissingAct(member=of, n=n)
        for of in sorted({row.member for row in rows})
        if (n := act.missing_acts([row for row in rows if row.member == of])) is not None
    ]
    entries = [_act(row) for row in rows]
    chosen = [entry for entry in entries if request.treaty in ("", entry.treaty)]
    left_out = max(0, len(chosen) - MAX_SHOWN)
    return pb.ListActsResponse(acts=chosen[left_out:], missing=missing, left_out=left_out)


async def preview_act(backend: Backend, actor: Actor, request: pb.ActRequest) -> pb.ActResponse:
    """Return what an act would change. Nothing is signed."""
    node, now = backend.node, backend.now()
    command = _act_command(node, actor, request, now)
    acted, after = await backend.query(lambda view: act.effect_of_act(node, view, command, now))
    return await asyncio.to_thread(_act_response, node, acted.act, after)


async def make_act(backend: Backend, actor: Actor, request: pb.ActRequest) -> pb.ActResponse:
    """Sign an act and send it to every member."""
    need_clock(backend, "an act")
    command = _act_command(backend.node, actor, request, backend.now())
    return _act_response(backend.node, (await backend.perform(act.act, command)).act, None)


async def resume_acts(backend: Backend, actor: Actor, request: pb.ResumeActsRequest) -> pb.ResumeActsResponse:
    """Accept a member's acts that contradict each other."""
    need_clock(backend, "an act")
    resumed = await backend.perform(act.resume, actor, MemberCode(request.member))
    return pb.ResumeActsResponse(n=resumed.act.n)


async def find_backfill(
    backend: Backend, actor: Actor, request: pb.FindBackfillRequest
) -> pb.BackfillResponse:
    """Return a page of bulletins that a treaty now allows a party to have."""
    node, now = backend.node, backend.now()
    wanted = OfferQuery(actor, request.treaty, MemberCode(request.recipient), asked_time(request.since))
    after = _place(node, actor, request.after)
    page = await backend.query(lambda view: backfill.find_offers(node, view, wanted, after, now), slow=True)
    response = await _offered(backend, page)
    response.after = _packed(backend, actor, page.after)
    return response


async def backfill_bulletins(
    backend: Backend, actor: Actor, request: pb.BackfillRequest
) -> pb.BackfillResponse:
    """Address some of them."""
    wanted = OfferQuery(actor, request.treaty, MemberCode(request.recipient), asked_time(request.since))
    named = [ManifestDigest(md) for md in request.bulletins]
    done = await backend.perform(backfill.backfill, wanted, named)
    return await _offered(backend, done)


TREATIES: Final = (
    Rpc("ListTreaties", EVERYBODY, AsyncCall(list_treaties)),
    Rpc("ListOwnFiles", EVERYBODY, QueryCall(list_own_files)),
    Rpc("ListActs", EVERYBODY, QueryCall(list_acts)),
    Rpc("PreviewAct", ACTORS, AsyncCall(preview_act)),
    Rpc("Act", ACTORS, AsyncCall(make_act)),
    Rpc("ResumeActs", OPERATORS, AsyncCall(resume_acts)),
    Rpc("FindBackfill", OFFICERS, AsyncCall(find_backfill)),
    Rpc("Backfill", OFFICERS, AsyncCall(backfill_bulletins)),
)


def _act_command(node: Node, actor: Actor, request: pb.ActRequest, now: Instant) -> ActCommand:
    kind = _KINDS.get(request.kind)
    if kind is None:
        raise DeliveryError(
            "INPUT_INVALID", f"{request.kind!r} is not an act", hint="one of " + ", ".join(_KINDS)
        )
    given = request.reservation if request.HasField("reservation") else None
    reservation = None if given is None else _reservation(node, given, now)
    return ActCommand(actor, request.treaty, kind, asked_time(request.effective), reservation, request.n)


def _reservation(node: Node, given: pb.Reservation, now: Instant) -> Reservation:
    """Return a reservation, checked as in a file: an unknown word is its author's mistake."""
    registry = node.world.registry
    if len(given.categories) > MAX_LISTED or len(given.counterparties) > MAX_LISTED:
        raise DeliveryError("TOO_LARGE", f"a reservation may name at most {MAX_LISTED} categories or parties")
    level = given.level_at_least
    if level and reference_of(level, registry, now) is None:
        raise DeliveryError("INPUT_INVALID", f"{level!r} is neither R0 to R4 nor a level of an organisation")
    for code in given.counterparties:
        if not registry.is_member(code):
            raise DeliveryError("UNKNOWN_MEMBER", f"{code!r} is not a member code")
    during = Interval(
        asked_time(getattr(given, "from"), without=BEGINNING), asked_time(given.until, without=NEVER)
    )
    if during.until <= during.start:
        raise DeliveryError("INPUT_INVALID", "the reservation ends before it begins")
    return Reservation(
        frozenset(given.categories) or None, level or None, frozenset(given.counterparties) or None, during
    )


def _act_response(node: Node, said: PartyAct, after: World | None) -> pb.ActResponse:
    response = pb.ActResponse(
        member=said.member,
        n=said.n,
        treaty=said.treaty,
        kind=_name(said.kind),
        effective=said.since,
        told=node.trust.partners,
    )
    if after is not None:
        start = said.reservation.during.start if said.reservation is not None else said.since
        at = Instant(max(said.since, start))
        response.at = at
        response.changes.extend(_changes(node.world, after, said, at))
    return response


def _changes(before: World, after: World, said: PartyAct, at: Instant) -> Iterator[pb.Changed]:
    """Yield what the act changes at ``at``, for every category and every party with which this node exchanges
    bulletins.
    """
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
    """Return the treaty's categories; if one article covers any category, all that any treaty names."""

    def named(one: Treaty) -> set[str]:
        return {word for provision in one.provisions for word in provision.categories}

    own = named(treaty)
    if ANY_CATEGORY in own:
        own = set().union(*(named(one) for one in all_of_them))
    return sorted(own - {ANY_CATEGORY}) or [ANY_CATEGORY]


def _files(world: World, texts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return name and text of every treaty's file, by id, if it is what the node has read."""
    found = {}
    for name, text in sorted(texts.items()):
        try:
            treaty = parse_treaty(text, name, world.registry)
        except (ValueError, PolicyFileError):
            continue  # a test beside a treaty, or a file that was changed
        if treaty in world.files:
            found[treaty.id] = name, text
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


async def _offered(backend: Backend, found: Offers | BackfillResult) -> pb.BackfillResponse:
    return await backend.query(partial(_offers, backend.node, found=found, now=backend.now()))


def _offers(node: Node, view: View, found: Offers | BackfillResult, now: Instant) -> pb.BackfillResponse:
    """Return the offers with their titles. One without, because that is damaged, is listed: it may be on its
    way.
    """
    damaged: list[StoreError] = []
    entries = [_offer(node, view, offer, now, damaged) for offer in found.offers]
    return pb.BackfillResponse(entries=entries, damaged=[*found.damaged, *damaged_records(damaged)])


def _offer(node: Node, view: View, offer: Offer, now: Instant, damaged: list[StoreError]) -> pb.BackfillEntry:
    row, title = offer.written.row, ""
    with noting_damage(damaged):
        title = title_of(node, view, offer.written)
    return pb.BackfillEntry(
        bulletin=row.bulletin,
        md=row.md,
        created_at=row.created,
        banner=banner_of(node, offer.written.labels, node.member, now),
        title=title,
        granted=len(offer.pair.granted),
        portions=len(offer.pair.portions),
        basis=offer.pair.basis,
        word=offer.status,
    )


_PLACE: Final = 8


def _packed(backend: Backend, actor: Actor, after: tuple[int | str | bytes, ...]) -> bytes:
    """Return a position in the order of bulletins (the negated instant, and the digest), sealed, because the
    officer may not be allowed to see the bulletin that it names.
    """
    if not after:
        return b""
    newest, md = after
    assert isinstance(newest, int)  # noqa: S101 - as ``find_offers`` gives it
    assert isinstance(md, bytes)  # noqa: S101
    place = newest.to_bytes(_PLACE, "big", signed=True) + md
    return seal_cursor(backend.node, actor.user, "backfill", place, backend.random)


def _place(node: Node, actor: Actor, sealed: bytes) -> tuple[int | str | bytes, ...]:
    if not sealed:
        return ()
    packed = open_cursor(node, actor.user, "backfill", sealed)
    return int.from_bytes(packed[:_PLACE], "big", signed=True), packed[_PLACE:]
