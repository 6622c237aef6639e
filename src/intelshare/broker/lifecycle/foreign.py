"""Foreign labels: a draft with another state's label must name the received bulletin that it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from intelshare.broker.kernel.node import Node
from intelshare.broker.kernel.stored_bulletins import not_found, only_one
from intelshare.broker.kernel.tables import UserRow
from intelshare.broker.lifecycle.read import received
from intelshare.bulletin import Draft
from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels import Label, convert, format_banner
from intelshare.policy import comes_from, foreign_owners
from intelshare.ports import View


def check_foreign(
    node: Node, view: View, draft: Draft, labels: Sequence[Label], user: UserRow, now: Instant
) -> None:
    """Return if every portion with another state's label comes from the bulletin that the draft names.

    Raises LabelError FOREIGN_LABEL with the label that was probably meant; DeliveryError NOT_FOUND if the
    user may see no received bulletin of that id.
    """
    registry = node.world.registry
    foreign = [
        (place, label, owners)
        for place, label in enumerate(labels, 1)
        if (owners := foreign_owners(label, node.member, registry))
    ]
    if not foreign:
        return
    originator, known = _source(node, view, draft, user, now)
    for place, label, owners in foreign:
        if not comes_from(label, originator, known, registry):
            whose = ", ".join(sorted(owners))
            raise LabelError(
                "FOREIGN_LABEL",
                f"{format_banner(label, registry)} is a label of {whose}, so the information would be theirs",
                place=Place(f"portion {place}"),
                hint=_hint(node, label, sorted(owners)[0], draft, now),
            )


def _source(node: Node, view: View, draft: Draft, user: UserRow, now: Instant) -> tuple[str, Sequence[Label]]:
    """Return originator and labels of the bulletin that the draft names; both empty if it names none."""
    if not draft.from_bulletin:
        return "", ()
    found = received(node, view, draft.from_bulletin, user, now)
    if not found:
        raise not_found(draft.from_bulletin)
    shown = only_one(found, draft.from_bulletin)
    return shown.row.originator, [portion.label for portion in shown.portions]


def _hint(node: Node, label: Label, owner: str, draft: Draft, now: Instant) -> str:
    if draft.from_bulletin:
        return "the bulletin of --from-bulletin contains nothing of theirs"
    level = _level_here(node, label.level or "", owner, now)
    head = f"{level}//" if node.member == "USA" else f"//{node.member} {level}//"
    codes = ", ".join(
        [node.member, *(code for code in label.releasable_to or draft.to if code != node.member)]
    )
    return f"write {head}REL TO {codes}; if you received it, name its bulletin with --from-bulletin"


def _level_here(node: Node, level: str, owner: str, now: Instant) -> str:
    """Return this member's name for a level of ``owner``'s ladder; the same name if none is equivalent."""
    try:
        return convert(node.world.registry, owner, level, node.member, now).name
    except LabelError:
        return level
