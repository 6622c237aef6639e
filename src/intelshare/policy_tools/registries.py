"""The effect on labels and words when an operator's ladders, groups and words change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from intelshare.instant import Instant
from intelshare.labels import Group, Registry, WordKind

_SHOWN = 12
"""The most codes and names that one line lists."""


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """One sentence. ``widens``: more may be permitted, or be written, than before."""

    text: str
    widens: bool


def registry_changes(before: Registry, after: Registry, at: Instant) -> list[RegistryChange]:
    """Return a sentence for each state, group, ladder and word that differs from ``at`` on; empty if none
    does.

    ``effects`` reports the decisions that change under treaties and overlays; only this function reports on
    labels that name a group, and on words that people write.
    """
    if before is after:
        return []
    return [
        *_states(before, after),
        *_groups(before, after, at),
        *_ladders(before, after, at),
        *_words(before, after),
    ]


def changed_groups(before: Registry, after: Registry) -> frozenset[str]:
    """Return the groups whose members differ, or that only one of the two knows."""
    codes = before.groups.keys() | after.groups.keys()
    return frozenset(code for code in codes if _members(before, code) != _members(after, code))


def changed_ladders(before: Registry, after: Registry) -> frozenset[str]:
    """Return the authorities whose levels differ."""
    if before is after:
        return frozenset()
    codes = before.ladders.keys() | after.ladders.keys()
    return frozenset(code for code in codes if before.ladder(code) != after.ladder(code))


def _members(registry: Registry, code: str) -> object:
    group = registry.groups.get(code)
    return None if group is None else (group.organisation, group.members)


def _states(before: Registry, after: Registry) -> Iterator[RegistryChange]:
    for code in sorted(before.states.keys() - after.states.keys()):
        lost = "it receives nothing, and labels of it or naming it can no longer be read"
        yield RegistryChange(f"{code} is no longer a state: {lost}", widens=False)
    for code in sorted(after.states.keys() - before.states.keys()):
        yield RegistryChange(f"{code} is now a state: {after.states[code]}", widens=True)


def _groups(before: Registry, after: Registry, at: Instant) -> Iterator[RegistryChange]:
    for code in sorted(changed_groups(before, after)):
        was, now = before.groups.get(code), after.groups.get(code)
        held, holds = _held(was, at), _held(now, at)
        lost, gained = held - holds, holds - held
        parts = [f"{_list(lost)} lose what labels grant them through that name alone"] * bool(lost)
        parts += [f"{_list(gained)} gain that"] * bool(gained)
        said = "; ".join(parts) or "the same members at different times"
        if now is None:
            yield RegistryChange(f"{code} is no longer a group: {said}", widens=False)
        elif was is None:
            yield RegistryChange(f"{code} is now a group: {_list(holds)}", widens=True)
        else:
            yield RegistryChange(f"{code} has different members: {said}", widens=bool(gained) or not lost)


def _held(group: Group | None, at: Instant) -> frozenset[str]:
    """Return the members that are in it at ``at`` or later."""
    if group is None:
        return frozenset()
    own = {group.code} if group.organisation else set()
    return frozenset(
        own | {state for state, spans in group.members.items() if any(span.until > at for span in spans)}
    )


def _ladders(before: Registry, after: Registry, at: Instant) -> Iterator[RegistryChange]:
    for code in sorted(changed_ladders(before, after)):
        was = {level.name: level.reference for level in before.ladder(code).at(at).levels}
        now = {level.name: level.reference for level in after.ladder(code).at(at).levels}
        lost = [name for name, reference in was.items() if now.get(name) != reference]
        new = [f"{name} ({reference.name})" for name, reference in now.items() if was.get(name) != reference]
        parts = [f"{_list(lost)} no longer mean what they did"] * bool(lost)
        parts += [f"{_list(new)} can be written"] * bool(new)
        if not after.ladder(code).at(at).known:
            parts.append(f"nothing classified reaches {code} any more, unless a treaty states its levels")
        said = "; ".join(parts) or "different spellings or times"
        yield RegistryChange(f"levels of {code}: {said}", widens=bool(new) or not lost)


def _words(before: Registry, after: Registry) -> Iterator[RegistryChange]:
    for kind in WordKind:
        was, now, what = before.words.of(kind), after.words.of(kind), kind.value
        for name in sorted(was.keys() - now.keys()):
            lost = "nobody can write it; what was sent under it stays"
            yield RegistryChange(f"{name} is no longer a {what}: {lost}", widens=False)
        for name in sorted(now.keys() & was.keys()):
            if now[name].during != was[name].during:
                yield RegistryChange(f"the {what} {name} may be written at different times", widens=True)
            elif now[name].means != was[name].means:
                yield RegistryChange(f"the {what} {name} means something else", widens=False)
        for name in sorted(now.keys() - was.keys()):
            yield RegistryChange(f"{name} is a new {what}: {now[name].means}", widens=True)


def _list(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more if shown else "nobody"
