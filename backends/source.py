"""What is to be stored: bytes that can be read once or again, and what they are announced to be.

Every backend stores through `Source.start`, so that the digest is taken of the very bytes that go
out, and a source that is not what was announced ends the transfer before anything is visible.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from backends.errors import SourceMismatchError, SourceUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20


class Readable(Protocol):
    """The part of a binary file that a source needs."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none only at the end."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What identifies bytes: their number and their SHA-256 in lower-case hex."""

    size_bytes: int
    sha256: str

    @classmethod
    def of_bytes(cls, data: bytes) -> Digest:
        """Take the digest of bytes in memory."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to be stored.

    Attributes:
        open: Opens them at their beginning.
        expected: What they are announced to be; None when nobody knows before they have been read.
        is_repeatable: Whether `open` can be called again, so that a failed transfer can be retried.
    """

    open: Callable[[], Readable]
    expected: Digest | None = None
    is_repeatable: bool = True

    @classmethod
    def of_file(cls, path: Path, expected: Digest | None = None) -> Source:
        """Store a local file; it must not change meanwhile."""
        return cls(lambda: path.open("rb", buffering=0), expected)

    @classmethod
    def of_bytes(cls, data: bytes) -> Source:
        """Store bytes in memory."""
        return cls(lambda: io.BytesIO(data), Digest.of_bytes(data))

    @classmethod
    def of_stream(cls, stream: Readable, expected: Digest | None = None) -> Source:
        """Store what a stream still yields; it can be read once and is closed afterwards."""
        return cls(lambda: stream, expected, is_repeatable=False)

    def start(self, on_progress: Callable[[int], None] | None = None) -> SourceTransfer:
        """Begin one transfer; iterate over the result, then take its `digest`.

        `on_progress` gets the number of bytes done after each chunk, in the thread that transfers.
        What it raises ends the transfer and reaches the caller; nothing becomes visible.
        """
        return SourceTransfer(self, on_progress)


class SourceTransfer:
    """One reading of a source, in chunks. The digest is known when the last chunk was taken."""

    def __init__(self, source: Source, on_progress: Callable[[int], None] | None) -> None:
        """Keep what to read; nothing is opened before the first chunk is asked for."""
        self._source = source
        self._on_progress = on_progress
        self._digest: Digest | None = None
        self.has_begun = False
        """Whether the source has been opened; a transfer that has begun cannot begin again."""

    @property
    def digest(self) -> Digest:
        """What was read; a bug to ask before all of it was."""
        if self._digest is None:
            message = "the digest was asked for before the transfer had ended"
            raise RuntimeError(message)
        return self._digest

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks.

        Raises:
            SourceUnreadableError: It could not be opened or read.
            SourceMismatchError: Its bytes are not those that were announced.
        """
        self.has_begun = True
        try:
            stream = self._source.open()
        except OSError as exc:
            message = f"cannot open what is to be stored: {exc}"
            raise SourceUnreadableError(message) from exc
        try:
            yield from self._read_chunks(stream)
        finally:
            stream.close()

    def _read_chunks(self, stream: Readable) -> Iterator[bytes]:
        sha256 = hashlib.sha256()
        size_bytes = 0
        while chunk := _read_chunk(stream):
            sha256.update(chunk)
            size_bytes += len(chunk)
            if self._source.expected and size_bytes > self._source.expected.size_bytes:
                break
            yield chunk
            if self._on_progress:
                self._on_progress(size_bytes)
        self._digest = Digest(size_bytes, sha256.hexdigest())
        if self._source.expected not in {None, self._digest}:
            message = f"what is to be stored is {self._digest}, not {self._source.expected}"
            raise SourceMismatchError(message)


def _read_chunk(stream: Readable) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except OSError as exc:
        message = f"cannot read what is to be stored: {exc}"
        raise SourceUnreadableError(message) from exc
