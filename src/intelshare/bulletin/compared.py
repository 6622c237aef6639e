"""Tells if two drafts are the same by the bytes that the codec would write, with shared parts made once.

    draft       L<s> to ‖ u8 precedence ‖ u64 valid-until ‖ u64 deliver-by ‖ L<portion> ‖ four texts
                `--- *1 ---'                                                             `---- *1 ---'
    portion     u8 kind ‖ s label ‖ s category ‖ L<s> flags ‖ s grade ‖ s media ‖ u32 length ‖ content
                `--------------------------- *1 ----------------------------'

*1: the same for many drafts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Final

from intelshare.bulletin.draft import Draft
from intelshare.crypto.codec import Count, Text, encode, record
from intelshare.crypto.records import Member, Portion, PortionKind


@record
class _Recipients:
    to: Annotated[tuple[Member, ...], Count()]


@record
class _Names:
    supersedes: Text
    in_reply_to: Text
    in_reply_to_from: Text
    from_bulletin: Text


_NO_NAMES: Final = encode(_Names, _Names("", "", "", ""))
_numbers: Final = struct.Struct(">BQQH").pack
_length: Final = struct.Struct(">I").pack


def _head(marks: tuple[PortionKind, str, str, tuple[str, ...], str, str]) -> bytes:
    """Encode a portion up to the length of its content."""
    return encode(Portion, Portion(*marks, b""))[:-4]


Remember = Callable[[Hashable, Callable[[], bytes]], bytes]


def encode_draft(draft: Draft, remember: Remember) -> bytes:
    """Return ``encode(Draft, draft)``, with the parts that many drafts share made once.

    ``remember(key, make)`` returns what ``make`` returns, and may have it from an earlier call with that key.
    """
    try:
        parts = [
            remember((Draft, draft.to), lambda: encode(_Recipients, _Recipients(draft.to))),
            _numbers(draft.precedence, draft.valid_until, draft.deliver_by, len(draft.portions)),
        ]
        for portion in draft.portions:
            marks = (
                portion.kind, portion.label, portion.category, portion.flags, portion.grade, portion.media
            )  # fmt: skip
            parts.append(remember((Portion, marks), partial(_head, marks)))
            parts += (_length(len(portion.content)), portion.content)
        names = (draft.supersedes, draft.in_reply_to, draft.in_reply_to_from, draft.from_bulletin)
        parts.append(encode(_Names, _Names(*names)) if any(names) else _NO_NAMES)
        return b"".join(parts)
    except (struct.error, TypeError):
        return encode(Draft, draft)  # which says why
