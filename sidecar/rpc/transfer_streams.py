"""Payloads as streams of messages: a download's header, chunks and end; an import's header, chunks.

The bytes themselves are `sidecar.transfers`' matter. A reader that takes nothing for a minute is
cut off: what it downloads lies in the spool meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from perdure.control.v1 import transfer_pb2
from sidecar.rpc.fields import (
    Collection,
    full_name,
    read_name,
    read_optional_name,
    read_request_id,
    refuse,
)
from sidecar.usecases import DownloadSnapshot, ImportSnapshot, TransferUseCases

SILENCE_SECONDS = 60.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORMS = {
    transfer_pb2.PAYLOAD_FORM_UNSPECIFIED: False,
    transfer_pb2.PAYLOAD_FORM_RAW: False,
    transfer_pb2.PAYLOAD_FORM_STORED: True,
}


def read_download(request: transfer_pb2.DownloadSnapshotRequest) -> DownloadSnapshot:
    """Return what is to be downloaded."""
    if request.form not in _FORMS:
        raise refuse("form", f"form {request.form} is not known", "take PAYLOAD_FORM_RAW")
    if request.offset < 0:
        raise refuse("offset", "offset is negative", "send the number of bytes that you have")
    return DownloadSnapshot(
        snapshot_id=read_name(Collection.SNAPSHOTS, request.name),
        backend=read_optional_name(Collection.BACKENDS, request.backend, "backend"),
        is_stored=_FORMS[request.form],
        offset=request.offset,
    )


async def stream_download(
    transfers: TransferUseCases, request: transfer_pb2.DownloadSnapshotRequest
) -> AsyncIterator[transfer_pb2.DownloadSnapshotResponse]:
    """Give the messages of a download: header, chunks, end."""
    wanted, answer = read_download(request), transfer_pb2.DownloadSnapshotResponse
    async with transfers.download(wanted) as found:
        is_stored = wanted.is_stored
        header = transfer_pb2.DownloadHeader(
            backend=full_name(Collection.BACKENDS, found.backend),
            form=transfer_pb2.PAYLOAD_FORM_STORED if is_stored else transfer_pb2.PAYLOAD_FORM_RAW,
            size_bytes=found.size_bytes,
            offset=wanted.offset,
        )
        yield answer(header=header)
        async for chunk in found.chunks:
            yield answer(chunk=chunk)
        yield answer(end=transfer_pb2.DownloadEnd(size_bytes=found.size_bytes, sha256=found.sha256))


def read_import(message: transfer_pb2.ImportSnapshotRequest | None) -> tuple[ImportSnapshot, str]:
    """Return what the first message of an import announces, and its request_id as it came."""
    if message is None or message.WhichOneof("part") != "header":
        raise refuse("header", "the first message is no header", "send the header first")
    header = message.header
    if header.size_bytes <= 0:
        raise refuse("size_bytes", "size_bytes is missing", "announce the size of the file")
    if not _SHA256.fullmatch(header.sha256):
        raise refuse(
            "sha256", "sha256 is no digest", "announce the SHA-256, 64 lower-case hex digits"
        )
    backends = tuple(read_name(Collection.BACKENDS, name, "backends") for name in header.backends)
    read_request_id(header.request_id)
    return ImportSnapshot(header.size_bytes, header.sha256, backends), header.request_id


async def read_import_chunks(
    messages: AsyncIterator[transfer_pb2.ImportSnapshotRequest],
) -> AsyncIterator[bytes]:
    """Give the bytes of the messages behind the header."""
    async for message in messages:
        if message.WhichOneof("part") != "chunk":
            raise refuse("chunk", "a second header came", "send chunks behind the header")
        yield message.chunk


async def heed_silence(
    messages: AsyncIterator[transfer_pb2.DownloadSnapshotResponse],
) -> AsyncIterator[transfer_pb2.DownloadSnapshotResponse]:
    """Give the messages; end the call when one is not taken for too long."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    async for message in messages:
        timer = loop.call_later(SILENCE_SECONDS, task.cancel) if task else None
        try:
            yield message
        finally:
            if timer is not None:
                timer.cancel()
