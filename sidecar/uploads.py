"""A file that comes from outside, while it comes: its bytes on the disk, and how it ends.

The call that brings the bytes and the operation that wants the file share one `Upload`. Either may
end it, once, and the other one wakes at that instead of after the silence that a dead connection
is given. What is done with the file is `sidecar.transfers`' matter.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from sidecar.errors import ImportBrokenError, PerdureError


class Upload:
    """An import while its bytes come, shared by the call that brings them and the operation.

    One of them ends it, once; the other one wakes at that, also out of its wait for a chunk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_whole = False  # all bytes came: no more than the disk and the digest can break it
        self.gone = asyncio.Event()  # the call holds neither its file nor its room any more
        self._received: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._patience: asyncio.Timeout | None = None  # of the wait for a chunk, if there is one

    @property
    def is_received(self) -> bool:
        """Return whether the file is here, durable and as it was announced."""
        return self._received.done() and self._received.exception() is None

    def accept(self) -> None:
        """Say that the file is here, unless it was ended."""
        if not self._received.done():
            self._received.set_result(None)

    def end(self, error: PerdureError) -> None:
        """Say that it will not be here, unless it has ended or is."""
        if self._received.done():
            return
        self._received.set_exception(error)
        self._received.exception()  # seen: nobody may be waiting for it
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Raise why it was ended, if it was."""
        if self._received.done():
            self._received.result()

    async def received(self) -> None:
        """Wait for the file; raise why it was ended."""
        await asyncio.shield(self._received)

    async def next(self, chunks: AsyncIterator[bytes], silence_seconds: float) -> bytes | None:
        """Wait for a chunk, None at the end; raise at once when it is ended."""
        self.check()
        try:
            async with asyncio.timeout(silence_seconds) as self._patience:
                return await anext(chunks, None)
        except TimeoutError as exc:
            self.check()
            raise ImportBrokenError(f"nothing came for {silence_seconds:g} s") from exc
        finally:
            self._patience = None


class IncomingFile:
    """A file that grows, with its digest. Blocks: called in a thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._file.write(chunk)
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)

    def sha256(self) -> str:
        """Return the digest of what came so far."""
        return self._sha256.hexdigest()

    def sync(self) -> None:
        """Bring it to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
