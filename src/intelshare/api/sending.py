"""Around a submission: its key is on disk before the call, its answer after it (promise P2)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from intelshare.client import (
    Profile,
    answered,
    content_digest,
    digest_key,
    find_profile,
    forget,
    new_key,
    remember,
)
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.instant import Instant
from intelshare.wire.v1 import user_pb2 as pb


def profile_of(folder: str | Path | None) -> Profile:
    """The profile in a folder, or the one that holds here; renewed if that is due. Raises ConfigError."""
    from intelshare.client.renewal import renew_if_due

    profile = find_profile(None if folder is None else str(folder), os.environ, Path.cwd())
    renew_if_due(profile, _now(), lambda _: None)
    return profile


@dataclass(slots=True)
class Submission:
    """One that is under way."""

    bulletin: bytes = b""
    """Set once the node has answered."""


@contextmanager
def submitting(profile: Profile, request: pb.SubmitRequest, key: bytes | None) -> Iterator[Submission]:
    """Give the request a key, note both, and note the answer.

    Raises DeliveryError OUTCOME_UNKNOWN with the key that asks for the lost answer: ``send(..., key=...)``
    with the same content stores nothing twice.
    """
    request.key = key or new_key(_now(), os.urandom)
    digest = content_digest(digest_key(profile.key.parent), request)
    remember(profile.spool, request.key, digest, _now())
    under_way = Submission()
    try:
        yield under_way
    except IntelshareError as error:
        if error.code == "OUTCOME_UNKNOWN":
            hint = (
                f'send the same again with key=bytes.fromhex("{request.key.hex()}"): it stores nothing twice'
            )
            raise DeliveryError(error.code, error.message, place=error.place, hint=hint) from None
        if key is None:
            forget(profile.spool, request.key)
        raise
    answered(profile.spool, request.key, under_way.bulletin)


def _now() -> Instant:
    return Instant(time.time_ns() // 1000)
