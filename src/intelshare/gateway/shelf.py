"""The shelf of a gateway: the objects of bulletins as each consumer may have them, in the order of their
dates.

An object appears in a list once, however many bulletins contain it: at its newest date and with the strictest
of its markings; an object that never changes (a marking definition, an identity) at its oldest. It is kept
only in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from intelshare.instant import Instant
from intelshare.interop import Json, is_ours
from intelshare.labels import TLP_IDS, TLP_WORDS

_COLLECTIONS: Final = uuid5(NAMESPACE_URL, "urn:intelshare:collection")
_TLP: Final = {marking: TLP_WORDS.index(word) for word, marking in TLP_IDS.items()}


class BulletinKey(NamedTuple):
    """A bulletin, identified by originator and id."""

    originator: str
    bulletin: bytes


@dataclass(frozen=True, slots=True)
class Variant:
    """A bulletin as those consumers see it who may have the same portions."""

    categories: frozenset[str]
    objects: tuple[Json, ...]
    event: Json | None = None
    """The bulletin as a MISP event; None if it was destroyed."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """One bulletin."""

    first: Instant
    """The date of its first object; the others follow by one microsecond each."""
    variants: Mapping[frozenset[int], Variant]
    """The variants by slots."""
    seen: Mapping[str, frozenset[int]]
    """The slots that each consumer may have."""


class Listed(NamedTuple):
    """An object as it appears in a consumer's list."""

    added: Instant
    body: Json
    version: str
    keys: tuple[BulletinKey, ...]
    """The bulletins that contain it."""
    collections: frozenset[str]

    @property
    def id(self) -> str:
        """Return the object's id; its versions share it."""
        return str(self.body["id"])


class Collection(NamedTuple):
    """A collection that a consumer can choose."""

    id: str
    title: str


def collection_of(kind: str, word: str) -> Collection:
    """Return the collection of this kind: category, originator or all."""
    title = "Everything" if kind == "all" else f"{kind.capitalize()} {word}"
    return Collection(str(uuid5(_COLLECTIONS, f"{kind}/{word}")), title)


EVERYTHING: Final = collection_of("all", "")


class Shelf:
    """All bulletins of one gateway. It belongs to one thread."""

    def __init__(self) -> None:
        self._shelved: dict[BulletinKey, Shelved] = {}
        self._lists: dict[str, list[Listed]] = {}

    def put(self, key: BulletinKey, one: Shelved) -> None:
        """Add a bulletin, or replace it."""
        self._shelved[key] = one
        self._lists.clear()

    def remove(self, key: BulletinKey) -> Shelved | None:
        """Remove a bulletin, and return it."""
        self._lists.clear()
        return self._shelved.pop(key, None)

    def clear(self) -> None:
        """Remove everything."""
        self._shelved.clear()
        self._lists.clear()

    def narrow(self, consumer: str, key: BulletinKey, slots: frozenset[int]) -> bool:
        """Record what the node now lets a consumer have; return true if that differs from what is recorded
        here.

        A set of slots without a variant counts as nothing: it comes with the next start.
        """
        one = self._shelved.get(key)
        if one is None or one.seen.get(consumer, frozenset()) == slots:
            return False
        seen = {**one.seen, consumer: slots if slots in one.variants else frozenset()}
        self.put(key, Shelved(one.first, one.variants, seen))
        return True

    def listed(self, consumer: str) -> list[Listed]:
        """Return everything that a consumer may have, by date."""
        if consumer not in self._lists:
            self._lists[consumer] = _merged(self._instances(consumer))
        return self._lists[consumer]

    def collections(self, consumer: str, categories: Iterable[str]) -> list[Collection]:
        """Return the collections: everything, by category (those that exist and those that the consumer has),
        and by originator.
        """
        words = {word for word in categories if word != "*"}
        originators: set[str] = set()
        for key, one in self._shelved.items():
            variant = one.variants.get(one.seen.get(consumer, frozenset()))
            if variant is not None:
                words |= variant.categories
                originators.add(key.originator)
        return [
            EVERYTHING,
            *(collection_of("category", word) for word in sorted(words)),
            *(collection_of("originator", word) for word in sorted(originators)),
        ]

    def events(self, consumer: str) -> list[tuple[BulletinKey, Json]]:
        """Return what a consumer may have as MISP events, by date."""
        found = [
            (one.first, key, variant.event)
            for key, one, variant in self._instances(consumer)
            if variant.event is not None
        ]
        return [(key, event) for _, key, event in sorted(found, key=_date)]

    def _instances(self, consumer: str) -> Iterator[tuple[BulletinKey, Shelved, Variant]]:
        for key, one in self._shelved.items():
            variant = one.variants.get(one.seen.get(consumer, frozenset()))
            if variant is not None:
                yield key, one, variant


def version_of(body: Json) -> str:
    """Return the version of an object: when it was modified, otherwise created; empty if it has neither."""
    return str(body.get("modified") or body.get("created") or "")


def _merged(instances: Iterable[tuple[BulletinKey, Shelved, Variant]]) -> list[Listed]:
    found: dict[tuple[str, str], Listed] = {}
    for key, one, variant in instances:
        within = frozenset((
            EVERYTHING.id,
            collection_of("originator", key.originator).id,
            *(collection_of("category", word).id for word in variant.categories),
        ))  # fmt: skip
        for place, body in enumerate(variant.objects):
            at = (str(body["id"]), version_of(body))
            new = Listed(Instant(one.first + place), body, at[1], (key,), within)
            known = found.get(at)
            found[at] = new if known is None else _both(known, new)
    return sorted(found.values(), key=_added)


def _date(one: tuple[Instant, BulletinKey, Json]) -> Instant:
    return one[0]


def _added(one: Listed) -> Instant:
    return one.added


def _both(one: Listed, other: Listed) -> Listed:
    ours = next((each.body for each in (one, other) if is_ours(each.body)), None)
    newest = max(one, other, key=_added)
    return Listed(
        newest.added if ours is None else min(one.added, other.added),
        _strictest(newest.body, one.body, other.body) if ours is None else ours,
        one.version,
        (*one.keys, *other.keys),
        one.collections | other.collections,
    )


def _strictest(body: Json, *others: Json) -> Json:
    """Return the object with the markings of all: each statement, and the strictest TLP word."""
    refs = list(dict.fromkeys(ref for one in others for ref in one.get("object_marking_refs", ())))
    words = sorted((ref for ref in refs if ref in _TLP), key=_TLP.__getitem__)
    kept: list[Any] = [ref for ref in refs if ref not in words[:-1]]
    if kept == body.get("object_marking_refs", []):
        return body
    # Its parts may be marked below the others' whole: the whole's marking applies to them.
    bare = {name: value for name, value in body.items() if name != "granular_markings"}
    return {**bare, "object_marking_refs": kept}
