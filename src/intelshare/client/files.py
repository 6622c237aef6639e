"""Moves files between a user and the user's node: in parts, few of which are in memory at a time."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, BinaryIO, Final

from intelshare.errors import DeliveryError
from intelshare.wire.v1 import user_pb2 as pb

PART: Final = 1 << 18
"""The bytes of a file in one message."""

Told = Callable[[int], object]
"""Called with the number of bytes transferred so far."""


def upload(method: Any, file: BinaryIO, size: int, upload_id: bytes, told: Told) -> bytes:
    """Send a file, from where the node wants it; return the content of the portion that stands for it.

    Raises grpc.RpcError; OSError of the file.
    """
    parts = _Parts(file, size, upload_id, told)
    call = method(iter(parts))
    try:
        answers = iter(call)
        parts.begin(next(answers).held)
        attachment = next(answers).attachment
    finally:
        parts.begin(None)
        call.cancel()
        if parts.error is not None:
            raise parts.error
    return bytes(attachment)


class _Parts:
    """The requests of an upload. A gRPC thread takes them, as fast as the node reads."""

    def __init__(self, file: BinaryIO, size: int, upload_id: bytes, told: Told) -> None:
        self._file = file
        self._first = pb.UploadRequest(id=upload_id, size=size)
        self._told = told
        self._begin: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.error: OSError | None = None

    def begin(self, held: int | None) -> None:
        """Begin after the bytes that the node already has; None if it wants nothing."""
        self._begin.put(held)

    def __iter__(self) -> Iterator[pb.UploadRequest]:
        yield self._first
        at = self._begin.get()
        if at is None:
            return
        try:
            self._file.seek(at)
            while part := self._file.read(PART):
                yield pb.UploadRequest(data=part)
                at += len(part)
                self._told(at)
        except OSError as error:
            self.error = error


def download(call: Any, write: Callable[[bytes], object], told: Told) -> int:
    """Write a file part by part; return its size once the node has confirmed that all of it was verified.

    Raises grpc.RpcError; DeliveryError FILE_INCOMPLETE (it ends early); whatever ``write`` raises.
    """
    size, at, whole = 0, 0, False
    try:
        for answer in call:
            size = size or answer.size
            if answer.data:
                write(answer.data)
                at += len(answer.data)
                told(at)
            whole = answer.whole
    finally:
        call.cancel()
    if not whole or at != size:
        raise DeliveryError(
            "FILE_INCOMPLETE", "the node stopped before the end of the file", hint="try again"
        )
    return size


def export_bundle(call: Any, write: Callable[[bytes], object], told: Told) -> pb.CourierBundle:
    """Write a courier bundle part by part; return its summary once the node has confirmed that it is
    complete.

    Raises grpc.RpcError; DeliveryError BUNDLE_INCOMPLETE (it ends early); whatever ``write`` raises.
    """
    hashed, size = sha256(), 0
    bundle: pb.CourierBundle | None = None
    try:
        for answer in call:
            if answer.data:
                write(answer.data)
                hashed.update(answer.data)
                size += len(answer.data)
                told(size)
            if answer.HasField("bundle"):
                bundle = answer.bundle
    finally:
        call.cancel()
    if bundle is None or (bundle.size, bundle.sha256) != (size, hashed.digest()):
        raise DeliveryError(
            "BUNDLE_INCOMPLETE", "the node stopped before the end of the bundle", hint="try again"
        )
    return bundle


def import_bundle(method: Any, file: BinaryIO, told: Told) -> pb.CourierImportResponse:
    """Send a courier bundle to the node; return the result. Raises grpc.RpcError; OSError of the file."""
    failed: list[OSError] = []

    def parts() -> Iterator[pb.CourierImportRequest]:
        at = 0
        try:
            while part := file.read(PART):
                yield pb.CourierImportRequest(data=part)
                at += len(part)
                told(at)
        except OSError as error:
            failed.append(error)

    call = method(parts())
    try:
        answer: pb.CourierImportResponse = next(iter(call))
    finally:
        call.cancel()
        if failed:
            raise failed[0]
    return answer
