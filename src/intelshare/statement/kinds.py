"""The closed table of what one member can state to another. A new kind is one row, a record and a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from intelshare.crypto.records import (
    Checkpoint,
    Consent,
    KeyUse,
    Kind,
    Recall,
    Receipt,
    Release,
    StreamHead,
    TreatyAct,
    Trust,
)


@dataclass(frozen=True, slots=True)
class KindRow:
    """The properties of every statement of a kind."""

    record: type[Any]
    key_use: KeyUse | None
    """The use of the key that must sign it; None: it proves itself by the signatures inside."""
    numbered: bool
    """True if numbered in a stream; the others are idempotent by digest."""


KINDS: Final[Mapping[Kind, KindRow]] = {
    Kind.RELEASE: KindRow(Release, KeyUse.SIGNING, numbered=True),
    Kind.RECEIPT: KindRow(Receipt, KeyUse.SIGNING, numbered=False),
    Kind.RECALL: KindRow(Recall, KeyUse.SIGNING, numbered=False),
    Kind.STREAM_HEAD: KindRow(StreamHead, KeyUse.SIGNING, numbered=False),
    Kind.CONSENT: KindRow(Consent, KeyUse.SIGNING, numbered=False),
    Kind.TREATY_ACT: KindRow(TreatyAct, KeyUse.SIGNING, numbered=False),
    Kind.TRUST: KindRow(Trust, None, numbered=False),
    Kind.CHECKPOINT: KindRow(Checkpoint, KeyUse.SIGNING, numbered=False),
}
