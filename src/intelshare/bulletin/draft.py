"""A draft: the portions, for whom, how urgent and for how long; its bounds, and what makes two the same."""

from __future__ import annotations

from typing import Annotated, Final

from intelshare.crypto.codec import Count, Text, record
from intelshare.crypto.records import End, Member, Portion, Precedence
from intelshare.envelope import MAX_CONTENT, MAX_PORTIONS
from intelshare.errors import DeliveryError

MAX_RECIPIENTS: Final = 512

MAX_ID: Final = 32
"""Hexadecimal digits of a bulletin's id."""

MAX_MARKS: Final = 4096
"""Bytes of a portion's label, category, flags, grade and media type together."""


@record
class Draft:
    """One bulletin to be. Encoded only to be compared: the same key with the same bytes is the same act."""

    to: Annotated[tuple[Member, ...], Count()]
    precedence: Precedence
    valid_until: End
    """Half open; NEVER for no end."""
    deliver_by: End
    """Half open; NEVER for no end."""
    portions: Annotated[tuple[Portion, ...], Count()]
    """In reading order; a title is a portion too."""
    supersedes: Text = ""
    """Beginning of the id of an own earlier bulletin; empty: none."""
    in_reply_to: Text = ""
    """Beginning of the id of an own or received bulletin; empty: none."""
    in_reply_to_from: Text = ""
    """Originator of the bulletin of ``in_reply_to``; empty: whoever has one of that id, if that is one."""
    from_bulletin: Text = ""
    """Beginning of the id of the received bulletin that portions under foreign labels come from; or empty."""


def check_draft(draft: Draft) -> Draft:
    """The draft, if it is within bounds.

    Raises DeliveryError TOO_LARGE (more than 64 portions, 512 KiB of content, 4 KiB of marks at one portion
    or 512 recipients) or INPUT_INVALID (nothing to send, nobody to send to, a recipient named twice,
    what is no id).
    """
    if len(draft.portions) > MAX_PORTIONS or len(draft.to) > MAX_RECIPIENTS:
        raise DeliveryError(
            "TOO_LARGE",
            f"a bulletin has at most {MAX_PORTIONS} portions and {MAX_RECIPIENTS} recipients",
            hint="split it into several bulletins",
        )
    size = sum(len(portion.content) for portion in draft.portions)
    if size > MAX_CONTENT:
        raise DeliveryError(
            "TOO_LARGE",
            f"{size} bytes of content are more than {MAX_CONTENT}",
            hint="send files with --attach, or split it into several bulletins",
        )
    for place, portion in enumerate(draft.portions, 1):
        written = portion.label, portion.category, portion.grade, portion.media
        if 4 * (sum(map(len, written)) + sum(map(len, portion.flags))) <= MAX_MARKS:
            continue  # a character has at most four bytes
        marks = (portion.label, portion.category, *portion.flags, portion.grade, portion.media)
        if sum([len(mark.encode("utf-8", "replace")) for mark in marks]) > MAX_MARKS:
            raise DeliveryError(
                "TOO_LARGE",
                f"label, category and flags of portion {place} are more than {MAX_MARKS} bytes",
                hint="a label is one line, as `//FRA SECRET//REL TO FRA, USA`",
            )
    if max(len(draft.supersedes), len(draft.in_reply_to), len(draft.from_bulletin)) > MAX_ID:
        raise DeliveryError("INPUT_INVALID", "an id of a bulletin has at most 32 hexadecimal digits")
    if draft.in_reply_to_from and not draft.in_reply_to:
        raise DeliveryError(
            "INPUT_INVALID",
            "an originator is named, and no bulletin of it",
            hint="name the bulletin with --in-reply-to, or leave --from out",
        )
    if not draft.portions:
        raise DeliveryError(
            "INPUT_INVALID", "a bulletin needs a portion", hint="give a text, a file or a title"
        )
    if not draft.to:
        raise DeliveryError("INPUT_INVALID", "a bulletin needs a recipient", hint="name members with --to")
    if len(set(draft.to)) != len(draft.to):
        raise DeliveryError("INPUT_INVALID", "a recipient is named twice", hint="name each member once")
    return draft
