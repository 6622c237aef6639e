"""The last check before bytes leave: is the recipient within the plain reach of this label?

It shares no code with ``decide`` and reads label and groups independently, so that a mistake there does not
become a leak here. It is deliberately coarser: it knows nothing about treaties, consents or law, and can only
stop what ``decide`` let through.
"""

from __future__ import annotations

from collections.abc import Mapping

from intelshare.errors import DeliveryError
from intelshare.instant import Instant
from intelshare.labels import Registry


def check_egress(text: str, recipient: str, originator: str, registry: Registry, at: Instant) -> None:
    """Check that the canonical banner ``text`` plainly reaches ``recipient`` at ``at``.

    ``originator`` is the owner of the information (``Decision.originator``), which may always have it back.
    Raises DeliveryError POLICY_DENIED; the message reveals no content.
    """
    if recipient != originator and not _reaches(text, recipient, registry, at):
        raise DeliveryError("POLICY_DENIED", f"egress: the label does not reach {recipient}")


def _reaches(text: str, recipient: str, registry: Registry, at: Instant) -> bool:
    group = registry.groups.get(recipient)
    if group is not None and not group.organisation:
        return False
    listed: list[str] = []
    displayed: list[str] = []
    words: list[str] = []
    head, *blocks = text.removeprefix("//").split("//")
    for block in blocks or ([head] if head.startswith("TLP:") else []):
        for piece in block.split("/"):
            if piece.startswith("REL TO "):
                listed += _list(piece.removeprefix("REL TO "))
            elif piece.startswith("DISPLAY ONLY "):
                displayed += _list(piece.removeprefix("DISPLAY ONLY "))
            else:
                words.append(piece)
    codes = list(listed)
    # FGI without a list: its owner is not known, so nobody can have consented.
    if "NOFORN" in words or "NF" in words or "FGI" in words:
        return False
    if "TLP:RED" in words and recipient not in codes:
        return False
    if "EYES ONLY" in words:
        return recipient in codes and recipient not in registry.groups
    codes += displayed
    whose = _organisation(head, text, registry)
    if whose is not None:
        codes.append(whose)
    elif not codes:
        return _unclassified(head, text, registry)
    return any(recipient == code or _belongs(recipient, code, registry, at) for code in codes)


def _list(text: str) -> list[str]:
    return [code.strip() for code in text.split(",")]


def _belongs(recipient: str, code: str, registry: Registry, at: Instant) -> bool:
    group = registry.groups.get(code)
    return group is not None and any(start <= at < until for start, until in group.members.get(recipient, ()))


def _organisation(head: str, text: str, registry: Registry) -> str | None:
    """Return the organisation whose label it is: only an organisation's levels stand alone after ``//``."""
    if not text.startswith("//"):
        return None
    for code, group in registry.groups.items():
        if group.organisation and (head == f"{code} UNMARKED" or head in _names(code, registry)):
            return code
    return None


def _unclassified(head: str, text: str, registry: Registry) -> bool:
    """Return True if the level, a state's or TLP's, was never worth more than R0 in any of its rows."""
    if not text.startswith("//"):
        return head.startswith("TLP:") or _names("USA", registry).get(head) == 0
    authority, _, level = head.partition(" ")
    if authority == "JOINT":
        return level.startswith("UNCLASSIFIED ")
    return level == "UNMARKED" or _names(authority, registry).get(level) == 0


def _names(authority: str, registry: Registry) -> Mapping[str, int]:
    """Return every level name of an authority, with the highest reference it ever had."""
    worth: dict[str, int] = {}
    ladder = registry.ladders.get(authority)
    for row in ladder.rows if ladder is not None else ():
        for level in row.levels:
            worth[level.name] = max(int(level.reference), worth.get(level.name, 0))
    return worth
