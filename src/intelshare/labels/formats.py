"""Labels as text: the canonical banner and portion mark, and the forms that people are shown."""

from __future__ import annotations

from dataclasses import replace

from intelshare.errors import LabelError
from intelshare.labels.label import NOFORN, ORCON, PROPIN, Label
from intelshare.labels.ladders import JOINT, UNMARKED_NAME, Level
from intelshare.labels.registry import Registry

_SHORT_CONTROLS = {PROPIN: "PR", ORCON: "OC", NOFORN: "NF"}


def format_banner(label: Label, registry: Registry) -> str:
    """Return the canonical text, in ASCII: ``//FRA SECRET//REL TO FRA, USA``. This is what is signed and
    stored.
    """
    return _join(label, registry, label.level or "", label.controls)


def format_portion(label: Label, registry: Registry) -> str:
    """Return the canonical portion mark: ``(//FRA S//REL TO FRA, USA)``; a level without a short form is
    written in full.
    """
    level = _level(label, registry)
    short = label.level if level is None or level.short is None else level.short
    controls = tuple(_SHORT_CONTROLS.get(control, control) for control in label.controls)
    return f"({_join(label, registry, short or '', controls)})"


def show_banner(label: Label, registry: Registry) -> str:
    """Return the banner for people, with level names as their authority writes them (``TRÈS SECRET``)."""
    level = _level(label, registry)
    shown = label.level if level is None or level.display is None else level.display
    return _join(label, registry, shown or "", label.controls)


def format_prose(label: Label, registry: Registry) -> str:
    """Return the label as organisations write it: ``NATO SECRET RELEASABLE TO SWE``; the organisation itself
    is not listed.

    Raises LabelError INPUT_INVALID for a label that is not an organisation's, or that is released to nobody
    else.
    """
    named = [code for code in label.releasable_to or () if code != label.authority]
    if label.authority is None or not registry.is_organisation(label.authority) or not named:
        message = "only an organisation's label that is released to others can be written in prose"
        raise LabelError("INPUT_INVALID", message, hint="use the banner, which can state every label")
    # The level stands before the codes; what else the label says follows as in a banner.
    bare = format_banner(replace(label, releasable_to=None), registry).removeprefix("//")
    level, *rest = bare.split("//")
    return "//".join((f"{level} RELEASABLE TO {', '.join(named)}", *rest))


def _level(label: Label, registry: Registry) -> Level | None:
    if label.authority is None or label.level is None:
        return None
    return registry.ladder(label.authority).read(label.level, None)


def _join(label: Label, registry: Registry, level: str, controls: tuple[str, ...]) -> str:
    blocks = [_classification(label, registry, level)] if label.level is not None else []
    if label.fgi is not None:
        blocks.append(" ".join(("FGI", *label.fgi)))
    handling = list(controls)
    if label.releasable_to is not None:
        handling.append("REL TO " + ", ".join(label.releasable_to))
    if label.displayable_to is not None:
        handling.append("DISPLAY ONLY " + ", ".join(label.displayable_to))
    if handling:
        blocks.append("/".join(handling))
    if label.tlp is not None:
        blocks.append(f"TLP:{label.tlp}")
    return "//".join(blocks)


def _classification(label: Label, registry: Registry, level: str) -> str:
    authority = label.authority
    if authority == "USA":
        return level
    if authority == JOINT:
        return " ".join((f"//{JOINT}", level, *label.owners))
    if authority is not None and registry.is_organisation(authority) and label.level != UNMARKED_NAME:
        return f"//{level}"
    return f"//{authority} {level}"
