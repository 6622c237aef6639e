"""The Files service: attachments on their way between a user and this node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from intelshare.broker.kernel.actor import Actor
from intelshare.broker.lifecycle.attachments import (
    HERE,
    BeginUpload,
    FinishUpload,
    begin_upload,
    file_of,
    finish_upload,
    lost,
)
from intelshare.broker.lifecycle.read import ReadCommand, read
from intelshare.crypto.codec import encode
from intelshare.crypto.pieces import read_attachment
from intelshare.crypto.records import Attachment, PortionKind
from intelshare.errors import CryptoError, DeliveryError
from intelshare.ids import FilePlace
from intelshare.services.backend import Backend
from intelshare.services.rpc import WRITERS, Rpc, StreamCall
from intelshare.wire.v1 import user_pb2 as pb

MAX_CALLS: Final = 4
"""The most open calls of one user, for each method; it bounds the parts of files in memory."""

MAX_DATA: Final = 1 << 18
"""The most bytes of a file in one answer."""


async def upload_file(
    backend: Backend, actor: Actor, messages: AsyncIterator[pb.UploadRequest]
) -> AsyncIterator[pb.UploadResponse]:
    """Encrypt a file as it arrives. Each part is durable before the next is read."""
    with backend.open_call("Files/Upload", actor.user, MAX_CALLS):
        first = await anext(messages, pb.UploadRequest())
        begun = await backend.perform(begin_upload, BeginUpload(actor, FilePlace(first.id), first.size))
        async with backend.upload(begun) as uploading:
            yield pb.UploadResponse(held=uploading.held)
            async for message in messages:
                await uploading.add(message.data)
            await uploading.add(b"")
            finished = FinishUpload(actor, begun.place, uploading.pieces)
        made = await backend.perform(finish_upload, finished)
        yield pb.UploadResponse(attachment=encode(Attachment, made))


async def download_file(
    backend: Backend, actor: Actor, request: pb.DownloadRequest
) -> AsyncIterator[pb.DownloadResponse]:
    """Return the content of an attachment that is here completely; the reading is logged first.

    Raises what ``read`` raises, and DeliveryError NOT_FOUND, INPUT_INVALID, FILE_INCOMPLETE.
    """
    number = request.portion
    with backend.open_call("Files/Download", actor.user, MAX_CALLS):
        opened = await backend.perform(read, ReadCommand(actor, request.id, request.originator))
        portions = opened.shown.portions
        if not 1 <= number <= len(portions):
            raise DeliveryError("NOT_FOUND", f"there are {len(portions)} portions that you may read")
        shown = portions[number - 1]
        if shown.portion.kind is not PortionKind.ATTACHMENT:
            raise DeliveryError("INPUT_INVALID", f"portion {number} is not an attachment")
        record = read_attachment(shown.portion.content)
        md = opened.shown.row.md
        row = await backend.query(lambda view: file_of(view, md, shown.slot))
        if row is None:
            raise DeliveryError(
                "NOT_FOUND",
                f"the file of portion {number} is no longer kept here",
                hint="it was removed by a recall, or when its time was over",
            )
        if row.state not in HERE:
            raise DeliveryError(
                "FILE_INCOMPLETE",
                f"the file of portion {number} has not arrived yet",
                hint="it is being fetched; try again later",
            )
        yield pb.DownloadResponse(size=record.size)
        try:
            async for part in backend.contents(row.place, record):
                for start in range(0, len(part), MAX_DATA):
                    yield pb.DownloadResponse(data=part[start : start + MAX_DATA])
        except CryptoError as error:
            if error.code != "COMMITMENT_MISMATCH":
                raise
            raise await _lost(backend, row.place, number) from error
        yield pb.DownloadResponse(whole=True)


async def _lost(backend: Backend, place: FilePlace, number: int) -> CryptoError:
    """Return the error for the reader of a file of which the disk has lost a piece; the piece is requested
    again.
    """
    asked = (await backend.perform(lost, place)).member
    return CryptoError(
        "COMMITMENT_MISMATCH",
        f"a piece of the file of portion {number} has changed: the disk has lost it",
        hint=f"it is being fetched again from {asked}; try again later"
        if asked
        else "an operator must check the disk; then attach the file again, or ask for it again",
    )


FILES: Final = (
    Rpc("Upload", WRITERS, StreamCall(upload_file), adds=True),
    Rpc("Download", WRITERS, StreamCall(download_file)),
)
