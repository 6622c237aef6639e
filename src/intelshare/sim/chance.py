"""The randomness of a seed: one stream per subsystem, node and link, so that a change in one moves no
other.
"""

from __future__ import annotations

import hashlib
from random import Random as Stream


def stream(seed: int, *names: str) -> Stream:
    """Return the stream of this name. It depends only on its arguments: no global state, no
    PYTHONHASHSEED.
    """
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return Stream(int.from_bytes(digest, "big"))  # noqa: S311 - being repeatable is its purpose
