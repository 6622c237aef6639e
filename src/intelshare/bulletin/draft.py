"""A draft: its portions, recipients, precedence and times; its bounds, and what makes two the same."""

from __future__ import annotations

from typing import Annotated, Final

from intelshare.crypto.codec import Count, Text, record
from intelshare.crypto.records import End, Member, Portion, Precedence
from intelshare.envelope import MAX_CONTENT, MAX_PORTIONS
from intelshare.errors import DeliveryError

MAX_RECIPIENTS: Final = 512

MAX_ID: Final = 32
"""The hexadecimal digits of a bulletin's id."""

MAX_MARKS: Final = 4096
"""The most bytes of a portion's label, category, flags, grade and media type together."""


@record
class Draft:
    """A bulletin to be submitted.

    Encoded only for comparison: the same key with the same bytes is the same act.
    """

    to: Annotated[tuple[Member, ...], Count()]
    precedence: Precedence
    valid_until: End
    """Half open; NEVER means no end."""
    deliver_by: End
    """Half open; NEVER means no end."""
    portions: Annotated[tuple[Portion, ...], Count()]
    """The portions in reading order; a title is a portion too."""
    supersedes: Text = ""
    """The start of the id of an earlier bulletin of this member; empty: none."""
    in_reply_to: Text = ""
    """The start of the id of a bulletin of this member or a received one; empty: none."""
    in_reply_to_from: Text = ""
    """The originator of ``in_reply_to``; empty: any, if only one has a bulletin with that id."""
    from_bulletin: Text = ""
    """The start of the id of the received bulletin that portions under foreign labels come from; or empty."""


def check_draft(draft: Draft) -> Draft:
    """Return the draft if it is within bounds.

    Raises DeliveryError TOO_LARGE (more than 64 portions, 512 KiB of content, 4 KiB of marks at one portion
    or 512 recipients) or INPUT_INVALID (nothing to send, nobody to send to, a recipient named twice,
    something that is not an id).
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
            f"{size} bytes of content are more than the allowed {MAX_CONTENT}",
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
                hint="a label is one line, such as `//FRA SECRET//REL TO FRA, USA`",
            )
    if max(len(draft.supersedes), len(draft.in_reply_to), len(draft.from_bulletin)) > MAX_ID:
        raise DeliveryError("INPUT_INVALID", "a bulletin's id has at most 32 hexadecimal digits")
    if draft.in_reply_to_from and not draft.in_reply_to:
        raise DeliveryError(
            "INPUT_INVALID",
            "an originator is named, but no bulletin",
            hint="name the bulletin with --in-reply-to, or leave --from out",
        )
    if not draft.portions:
        raise DeliveryError(
            "INPUT_INVALID", "a bulletin needs a portion", hint="add a text, a file or a title"
        )
    if not draft.to:
        raise DeliveryError("INPUT_INVALID", "a bulletin needs a recipient", hint="name members with --to")
    if len(set(draft.to)) != len(draft.to):
        raise DeliveryError("INPUT_INVALID", "a recipient is named twice", hint="name each member once")
    return draft
