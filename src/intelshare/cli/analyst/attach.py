"""Attachments on the command line: ``send --attach`` uploads files to the node before it submits."""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from intelshare.cli.analyst.draft import ATTACHMENT, Piece, split_portion
from intelshare.cli.shared.output import Out, Progress
from intelshare.errors import ConfigError, IntelshareError, Place
from intelshare.patience import patient
from intelshare.text import safe_name

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

PATIENCE: Final = 60.0
"""The seconds for which a broken upload is retried, one second apart; each retry resumes where the last one
stopped.
"""

BROKEN: Final = frozenset(("NODE_UNREACHABLE", "TIMED_OUT", "TLS_REFUSED"))
"""The codes that a call ends with if the node stops in the middle of it; TLS had been accepted by then."""


def split_attached(text: str) -> tuple[str, str | None]:
    """``FILE`` or ``FILE:LABEL``. Raises ConfigError INPUT_INVALID."""
    return split_portion(text, "--attach") if ":" in text else (text, None)


def attached_piece(path: str) -> Piece:
    """Describe a file that goes beside the bulletin, as a placeholder for what the node makes of it.

    Raises ConfigError NOT_FOUND, TOO_LARGE, UNSAFE_NAME, INPUT_INVALID (not a regular file).
    """
    from intelshare.crypto.codec import encode
    from intelshare.crypto.pieces import piece_count
    from intelshare.crypto.records import Attachment

    with _opened(path) as (_, size):
        media = mimetypes.guess_type(path)[0] or "application/octet-stream"
        name = safe_name(Path(path).name, source=path)
        stand_in = Attachment(size, bytes(32), bytes(24), (bytes(32),) * piece_count(size))
        return Piece(ATTACHMENT, f"{media}; name={name}", encode(Attachment, stand_in))


def upload_attached(
    client: Client, out: Out, request: pb.SubmitRequest, paths: Sequence[str], key: bytes
) -> None:
    """Upload the files to the node and put the node's descriptions of them into the request.

    Under the same ``key`` the node keeps the same files: an interrupted upload resumes. Raises
    IntelshareError.
    """
    if not paths:
        return
    client.whoami()
    standing = [portion for portion in request.portions if portion.kind == ATTACHMENT]
    for number, (portion, path) in enumerate(zip(standing, paths, strict=True)):
        upload_id = hashlib.sha256(key + number.to_bytes(4, "big")).digest()[:16]
        with _opened(path) as (file, size), Progress(out, f"MiB of {Path(path).name} sent") as progress:
            portion.content = _upload(client, file, size, upload_id, progress)


def _upload(client: Client, file: BinaryIO, size: int, upload_id: bytes, progress: Progress) -> bytes:
    end = time.monotonic() + patient(PATIENCE)
    while True:
        try:
            return client.upload(file, size, upload_id, told=lambda at: progress.at(at >> 20, size >> 20))
        except IntelshareError as error:
            if error.code not in BROKEN or time.monotonic() > end:
                raise
            time.sleep(1)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open the file; yield it with its size."""
    from intelshare.cli.shared.files import opened_regular
    from intelshare.crypto.pieces import MAX_FILE

    with opened_regular(path) as (file, size):
        if size > MAX_FILE:
            raise ConfigError(
                "TOO_LARGE",
                f"a file has at most {MAX_FILE} bytes, and this one {size}",
                place=Place(path),
                hint="cut it (split -b 2G), and attach the parts",
            )
        yield file, size
