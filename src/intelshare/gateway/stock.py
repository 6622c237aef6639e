"""Puts what the node sends on the shelf, and asks the node before anything leaves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from intelshare.client import Client, shared_of
from intelshare.errors import IntelshareError
from intelshare.gateway.config import ConsumerSettings
from intelshare.gateway.dates import Dates
from intelshare.gateway.shelf import BulletinKey, Listed, Shelf, Shelved, Variant
from intelshare.instant import Instant
from intelshare.interop import Json, stix_time, write_event, write_report
from intelshare.labels import Registry
from intelshare.wire.v1 import user_pb2 as pb

CONFIRMED: Final = 60.0
"""The seconds for which the node's permission for a consumer is reused; a recall ends it at once."""

_TOGETHER: Final = 128
_WAITS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""The seconds between attempts to reach the node."""

_log = logging.getLogger("intelshare.gateway")


@dataclass(frozen=True, slots=True)
class Told:
    """A bulletin made ready: what a consumer may have of it, by the slots that it may see."""

    key: BulletinKey
    at: Instant
    variants: Mapping[frozenset[int], Variant]
    seen: Mapping[str, frozenset[int]]


def consumer_message(one: ConsumerSettings) -> pb.Consumer:
    """Return the consumer as the node is told of it."""
    return pb.Consumer(
        name=one.name, clearance=one.clearance, nationality=one.nationality, categories=one.categories
    )


def read_event(event: pb.FollowEvent, consumers: Sequence[ConsumerSettings], registry: Registry) -> Told:
    """Return the content of an event with an opened bulletin. Raises LabelError if it cannot be expressed in
    STIX.
    """
    opened = event.opened
    key = BulletinKey(opened.originator, opened.bulletin)
    seen = {one.name: frozenset(may.slots) for one, may in zip(consumers, event.visible, strict=True)}
    variants: dict[frozenset[int], Variant] = {}
    for slots in set(seen.values()):
        portions = [one for one, slot in zip(opened.portions, event.slots, strict=True) if slot in slots]
        shared = shared_of(opened, registry, portions) if portions else None
        if shared is not None:
            categories = frozenset(one.category for one in shared.portions)
            objects, event_ = write_report(shared, registry), write_event(shared, registry)
            variants[slots] = Variant(categories, objects, event_)
    return Told(key, Instant(event.at), variants, seen)


def recalled_report(known: Shelved, slots: frozenset[int], at: Instant) -> Json | None:
    """Return what a consumer that had a bulletin gets once it is destroyed: its report, revoked and empty."""
    variant = known.variants.get(slots)
    if variant is None:
        return None
    report = variant.objects[-1]
    kept = ("type", "spec_version", "id", "created_by_ref", "created", "object_marking_refs")
    return {
        **{name: report[name] for name in kept if name in report},
        "modified": stix_time(at),
        "name": "Destroyed",
        "published": report["published"],
        "object_refs": [report["created_by_ref"]],
        "revoked": True,
    }


class Stock:
    """The shelf with its dates and the node's permissions. Its methods are called from several threads."""

    def __init__(self, client: Client, consumers: Sequence[ConsumerSettings], dates: Dates) -> None:
        self._client = client
        self._consumers = {one.name: one for one in consumers}
        self._dates = dates
        self._shelf = Shelf()
        self._confirmed: dict[tuple[str, BulletinKey], float] = {}
        self._lock = threading.Lock()
        self.ready = False
        """True once everything that existed at the start has been received."""

    def add(self, told: Iterable[Told], gone: Iterable[tuple[BulletinKey, Instant]] = ()) -> None:
        """Put bulletins on the shelf, and take destroyed ones off it. Raises OSError of the dates."""
        with self._lock:
            for one in told:
                count = max((len(each.objects) for each in one.variants.values()), default=0)
                given = self._dates.give(_name(one.key), one.at, count)
                if count:
                    self._shelf.put(one.key, Shelved(given.first, one.variants, one.seen))
            for key, at in gone:
                self._destroy(key, at)
            self._dates.settle()

    def _destroy(self, key: BulletinKey, at: Instant) -> None:
        known = self._shelf.remove(key)
        for pair in [pair for pair in self._confirmed if pair[1] == key]:
            del self._confirmed[pair]
        if known is None:
            return
        variants = {}
        for slots, variant in known.variants.items():
            report = recalled_report(known, slots, at)
            if report is not None:
                definitions = tuple(
                    one for one in variant.objects if one["id"] in report.get("object_marking_refs", ())
                )
                variants[slots] = Variant(variant.categories, (*definitions, report))
        count = max((len(each.objects) for each in variants.values()), default=0)
        given = self._dates.give(f"{_name(key)}!", at, count)
        self._shelf.put(key, Shelved(given.first, variants, known.seen))

    def forget(self) -> None:
        """Forget everything: the node no longer admits this gateway, or starts again."""
        with self._lock:
            self._shelf.clear()
            self._confirmed.clear()
            self.ready = False

    def listed(self, consumer: str) -> list[Listed]:
        """Return everything that a consumer may have, as the node said when it sent it."""
        with self._lock:
            return self._shelf.listed(consumer)

    def collections(self, consumer: str) -> list[Any]:
        """Return the collections that a consumer can choose."""
        with self._lock:
            return self._shelf.collections(consumer, self._consumers[consumer].categories)

    def events(self, consumer: str) -> list[tuple[BulletinKey, Json]]:
        """Return what a consumer may have as MISP events."""
        with self._lock:
            return self._shelf.events(consumer)

    def confirm(self, consumer: str, keys: Iterable[BulletinKey]) -> bool:
        """Ask the node whether the consumer may have these now; the node logs it.

        Return false if the consumer may have less than its list contains; the list is then corrected. Raises
        IntelshareError if the node does not answer: then nothing leaves.
        """
        now = time.monotonic()
        with self._lock:
            asked = [
                key
                for key in dict.fromkeys(keys)
                if self._confirmed.get((consumer, key), -CONFIRMED) + CONFIRMED <= now
                and not self._is_gone(key)
            ]
        same = True
        for first in range(0, len(asked), _TOGETHER):
            some = asked[first : first + _TOGETHER]
            named = [pb.NamedBulletin(originator=key.originator, bulletin=key.bulletin) for key in some]
            answer = self._client.export_to(consumer_message(self._consumers[consumer]), named)
            with self._lock:
                for key, slots in zip(some, answer, strict=True):
                    if not self._is_gone(key) and self._shelf.narrow(consumer, key, frozenset(slots)):
                        same = False
                    self._confirmed[consumer, key] = now
        return same

    def _is_gone(self, key: BulletinKey) -> bool:
        """Return true if only the note is left that the bulletin was destroyed, about which the node need not
        be asked.
        """
        return self._dates.known(f"{_name(key)}!")


def _name(key: BulletinKey) -> str:
    return f"{key.originator}/{key.bulletin.hex()}"


class Follower(threading.Thread):
    """Follows the node for as long as the gateway runs, across interruptions and restarts of the node."""

    def __init__(
        self,
        client: Client,
        stock: Stock,
        consumers: Sequence[ConsumerSettings],
        registry: Callable[[], Registry],
        refresh: Callable[[], object],
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self._client, self._stock, self._consumers = client, stock, consumers
        self._registry, self._refresh = registry, refresh
        self._cursor = ""
        self._ending = threading.Event()

    def end(self) -> None:
        """Stop after the current work."""
        self._ending.set()
        self._client.close()

    def run(self) -> None:
        """Run until ``end`` is called."""
        failures = 0
        while not self._ending.is_set():
            try:
                self._follow(once=True)
                self._stock.ready = True
                failures = 0
                self._follow(once=False)
            except IntelshareError as error:
                if self._ending.is_set():
                    return
                _log.warning("node %s", error.code)
                if error.code in ("CURSOR_UNKNOWN", "NOT_AUTHORISED", "PEER_IDENTITY_INVALID"):
                    self._cursor = ""
                    self._stock.forget()
            except Exception:
                if self._ending.is_set():
                    return
                _log.exception("defect")
            self._ending.wait(_WAITS[min(failures, len(_WAITS) - 1)])
            failures += 1
            self._refresh()

    def _follow(self, *, once: bool) -> None:
        registry = self._registry()
        told: list[Told] = []
        gone: list[tuple[BulletinKey, Instant]] = []
        named = [consumer_message(one) for one in self._consumers]
        for event in self._client.follow(named, self._cursor, once=once):
            if event.HasField("opened"):
                try:
                    told.append(read_event(event, self._consumers, registry))
                except IntelshareError as error:
                    # It stays readable at the node; the other bulletins must not be held up by it.
                    _log.warning("left out %s %s", event.opened.bulletin.hex(), error.code)
            elif event.HasField("destroyed"):
                key = BulletinKey(event.destroyed.originator, event.destroyed.bulletin)
                told = [one for one in told if one.key != key]
                gone.append((key, Instant(event.at)))
            else:
                # The end of a page: the dates given are on the disk now, and only then the bulletins go on
                # the shelf.
                if event.left_out:
                    _log.warning("left out %d bulletins RECORD_CORRUPT", event.left_out)
                self._stock.add(told, gone)
                told, gone = [], []
                self._cursor = event.cursor
