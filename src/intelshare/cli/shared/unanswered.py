"""Words about what was sent and was not answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intelshare.client import Spooled


def unanswered_words(spooled: Sequence[Spooled]) -> tuple[str, str] | None:
    """Return what is not known, and what to do; None if everything was answered.

    One sentence, however many: a batch that was interrupted leaves thousands.
    """
    from intelshare.client import show_key

    keys = [show_key(one.key) for one in spooled if not one.bulletin]
    if not keys:
        return None
    what = "what was sent" if len(keys) == 1 else f"{len(keys)} bulletins that were sent, the first"
    return (
        f"no answer came for {what} under the key {keys[0]}",
        f"send the same again with --key {keys[0]}, or its batch as before: nothing is stored twice",
    )
