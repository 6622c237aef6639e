"""The table of markings: the meaning of other systems' markings here, which an operator owns
(docs/gateways.md).

    [[marking]]
    statement = "ACME internal"      # or: id = "marking-definition--...", tlp = "AMBER", tag = "PAP:RED"
    label = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA"

    [unmarked]
    label = "TLP:AMBER"              # of what nothing is marked; without it such a text is refused

A row adds to a marking's meaning and takes nothing away: a marking that is already a label may have no row,
and a TLP word stays in effect beside its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from intelshare.errors import LabelError, PolicyFileError
from intelshare.labels import TLP_1_IDS, TLP_IDS, TLP_WORDS, Label, Registry, parse_label
from intelshare.toml import Table, read_table

FILE: Final = "markings.toml"
"""The file's usual name, in a profile or beside treaties/."""

_KEYS: Final = ("id", "statement", "tlp", "tag", "distribution")
_DISTRIBUTIONS: Final = ("0", "1", "2", "3", "4")
"""The distributions of MISP: this organisation, this community, connected communities, all, a sharing
group.
"""
_FIXED: Final = frozenset((*TLP_IDS.values(), *TLP_1_IDS.values()))


@dataclass(frozen=True, slots=True)
class MarkingTable:
    """The labels by marking: a pair of the kind of row and its text."""

    rows: Mapping[tuple[str, str], Label] = field(default_factory=lambda: MappingProxyType({}))
    unmarked: Label | None = None

    def find(self, kind: str, text: str) -> Label | None:
        """Return the label of a row of this kind (``id``, ``statement``, ``tlp``, ``tag``,
        ``distribution``).
        """
        return self.rows.get((kind, text))


def parse_marking_table(text: str, name: str, registry: Registry) -> MarkingTable:
    """Return the table in a file. Raises PolicyFileError with the place of what is wrong."""
    top = read_table(text, name)
    rows: dict[tuple[str, str], Label] = {}
    for row in top.tables("marking"):
        key = _key(row, registry)
        if key in rows:
            row.fail("FIELD_RANGE", f"there are two rows for {key[1]!r}", key[0])
        rows[key] = _label(row, registry)
        row.close()
    unmarked = None
    if top.has("unmarked"):
        table = top.table("unmarked")
        unmarked = _label(table, registry)
        table.close()
    top.close()
    return MarkingTable(MappingProxyType(rows), unmarked)


def _key(row: Table, registry: Registry) -> tuple[str, str]:
    named = [name for name in _KEYS if row.has(name)]
    if len(named) != 1:
        row.fail("FIELD_RANGE", f"a row has one of {', '.join(_KEYS)}")
    (kind,) = named
    if kind == "tlp":
        return kind, row.choice(kind, str, TLP_WORDS)
    if kind == "distribution":
        return kind, row.choice(kind, str, _DISTRIBUTIONS)
    value = row.text(kind)
    if kind == "id" and value in _FIXED:
        row.fail("FIELD_RANGE", "this id is a TLP word: write tlp = ...", kind)
    if kind == "statement" and _says_label(value, registry):
        row.fail("FIELD_RANGE", "this statement is already a label, so it needs no row", kind)
    return kind, value


def _says_label(text: str, registry: Registry) -> bool:
    try:
        parse_label(text, registry)
    except LabelError:
        return False
    return True


def _label(row: Table, registry: Registry) -> Label:
    text = row.text("label")
    try:
        return parse_label(text, registry, None, "write")
    except LabelError as error:
        raise PolicyFileError(
            "FIELD_RANGE",
            f"this is not a label: {error.message}",
            place=row.source.place((*row.path, "label"), text),
            hint=error.hint,
        ) from None
