"""The fingerprint of a member's first root, made to be read aloud by one person and checked by another.

It is the first 200 bits of the SHA-256 of the document (``sha256sum`` shows the same bits), in Crockford's
base 32: no I, L, O, U to mishear, and case does not matter; eight groups of five. With 200 bits, finding two
roots with one fingerprint is out of reach even for a member who makes both (2^100).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from intelshare.errors import TrustError

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", " ": None, "-": None, "\n": None, "\t": None})
_LENGTH: Final = 40
_GROUP: Final = 5


def fingerprint(document: bytes) -> str:
    """Return the fingerprint of the bytes of a root document: ``6XK2M-9T0QA-...``, eight groups of five
    characters.
    """
    number = int.from_bytes(sha256(document).digest()[: _LENGTH * 5 // 8])
    text = "".join(_DIGITS[number >> shift & 31] for shift in range((_LENGTH - 1) * 5, -1, -5))
    return "-".join(text[i : i + _GROUP] for i in range(0, _LENGTH, _GROUP))


def check_fingerprint(document: bytes, given: str) -> None:
    """Check that the document has the fingerprint that a person typed, whatever its spacing or case.

    Raises TrustError TRUST_FINGERPRINT, also for part of a fingerprint.
    """
    if given.upper().translate(_MISREAD) != fingerprint(document).replace("-", ""):
        raise TrustError(
            "TRUST_FINGERPRINT",
            "the member file does not have the fingerprint given",
            hint="the file was swapped or mistyped on its way: read it out again with `intelshare member "
            "fingerprint` on the other side, and do not import it until both agree",
        )
