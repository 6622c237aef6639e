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


KINDS: Final[Mapping[Kind, KindRow]] = {
    Kind.RELEASE: KindRow(Release, KeyUse.SIGNING),
    Kind.RECEIPT: KindRow(Receipt, KeyUse.SIGNING),
    Kind.RECALL: KindRow(Recall, KeyUse.SIGNING),
    Kind.STREAM_HEAD: KindRow(StreamHead, KeyUse.SIGNING),
    Kind.CONSENT: KindRow(Consent, KeyUse.SIGNING),
    Kind.TREATY_ACT: KindRow(TreatyAct, KeyUse.SIGNING),
    Kind.TRUST: KindRow(Trust, None),
    Kind.CHECKPOINT: KindRow(Checkpoint, KeyUse.SIGNING),
}
