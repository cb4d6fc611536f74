"""The storage contract: what every backend promises, in prose and types. I2 and I3 rest on it.

A backend keeps *blobs*: immutable bytes under a key (`keys.py`). It knows no snapshot, manifest or
tombstone; those are meanings that its caller gives to keys.

**Immutable.** `put` creates and never overwrites: a taken key is refused with BlobExistsError and
the blob stays as it was. With the capability CONDITIONAL_CREATE that holds among any number of
racing writers on any machines; without it, only among the calls on one object.
**All or nothing.** A blob is visible (to `stat`, `open_reader`, `list_blobs`, here and elsewhere)
when all of its bytes are stored, or not at all. When `put` returns, it is durable: a crash or a
power cut later loses nothing. When `put` raises, the blob is absent or whole, never in part; it is
absent for sure after InvalidKeyError, SourceMismatchError, SourceUnreadableError and whatever the
source or the progress callback raised.
**Read your writes.** After `put` or `delete` returned, every later call on any object sees it.
**Order.** `list_blobs` yields keys in ascending order of their ASCII bytes, each once. Blobs put or
deleted meanwhile may or may not appear; all others do.
**Idempotent.** `delete` of a missing blob is a success. `put` is not idempotent, by design.
**Above and below.** Nobody stores both `a` and `a/b`; a backend may refuse it (InvalidKeyError).

**Blocking.** Every method is synchronous, may block for as long as the storage does, and may be
called from several threads at once. Callers run them in worker threads, never on an event loop.
Nothing here limits how long a call takes beyond what a backend's own options say.
**Errors.** Only BackendError (`errors.py`) comes out, classified where it arises, besides what the
caller's own source, callback or destination raised.

Adding a backend? Subclass `Backend`, describe it by a `BackendPlugin` (`registry.py`), and add it
to `tests/contract`: the suite of `contract.py` is this text as code.
"""

from __future__ import annotations

import abc
import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from backends.durable import create_file
from backends.errors import BlobCorruptError, BlobTooLargeError
from backends.source import CHUNK_BYTES, Digest, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta
    from pathlib import Path
    from types import TracebackType


class Capability(enum.Enum):
    """What a backend can do beyond the rest of the contract."""

    CONDITIONAL_CREATE = "conditional_create"
    """Of any number of writers that race for one key, on any machines, one wins."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a backend knows of a blob without reading it.

    Attributes:
        key: Its name.
        size_bytes: Its length.
        modified_at: When the storage says it was put, with a time zone; the clock is the storage's.
    """

    key: str
    size_bytes: int
    modified_at: datetime


class BlobReader(abc.ABC):
    """A blob, or a range of it, open for reading. Close it, or use it in a `with`."""

    size_bytes: int
    """How many bytes `read` yields in all: the length of the range, not of the blob."""

    @abc.abstractmethod
    def read(self, size_bytes: int, /) -> bytes:
        """Return at most `size_bytes` (above 0) of the next bytes, none only at the end. Blocks.

        Raises:
            BlobCorruptError: The storage ended before `size_bytes` of the reader were read.
            BackendError: As for `Backend.open_reader`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of it; idempotent, raises nothing."""

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


class Backend(abc.ABC):
    """One place where blobs live. The module's docstring is the contract."""

    @property
    @abc.abstractmethod
    def location(self) -> str:
        """Where the bytes go, in one line for people, without secrets."""

    @property
    @abc.abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond the rest of the contract; never changes."""

    @abc.abstractmethod
    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        """Store a new blob and return the digest of what was stored. Durable on return.

        Raises:
            BlobExistsError: The key is taken.
            InvalidKeyError: The key is outside the grammar, or above or below another.
            SourceMismatchError: The source is not what it was announced to be.
            SourceUnreadableError: The source could not be read.
            BackendError: The storage is unavailable, full, or refuses.
        """

    @abc.abstractmethod
    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        """Open a blob from `offset_bytes` on, for `length_bytes` or up to its end.

        A length that reaches behind the end is cut there; an offset at the end reads nothing.

        Raises:
            BlobNotFoundError: There is no such blob.
            InvalidRangeError: The offset lies behind the end.
            InvalidKeyError: The key is outside the grammar.
            BackendError: The storage is unavailable, or refuses.
        """

    @abc.abstractmethod
    def stat(self, key: str) -> BlobInfo:
        """Return what is known of a blob.

        Raises:
            BlobNotFoundError: There is no such blob.
            InvalidKeyError: The key is outside the grammar.
            BackendError: The storage is unavailable, or refuses.
        """

    @abc.abstractmethod
    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        """Yield the blobs whose key begins with `prefix` and is greater than `after`, by key.

        The prefix is text, not a folder: `a/b` finds `a/b`, `a/bc` and `a/b/c`. Errors come when
        the iterator is advanced, but for InvalidKeyError, which comes at once.

        Raises:
            InvalidKeyError: No key can begin with the prefix.
            BackendError: The storage is unavailable, or refuses.
        """

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove a blob; a missing one is a success. Durable on return.

        Raises:
            InvalidKeyError: The key is outside the grammar.
            BackendError: The storage is unavailable, or refuses.
        """

    def sweep_unfinished(self, prefix: str, older_than: timedelta) -> int:
        """Remove what interrupted puts have left below `prefix`; return how many there were.

        Nothing that a listing shows is touched. A put that began less than `older_than` ago may
        still run and is left alone. Where a put leaves nothing behind, there is nothing to do.

        Raises:
            BackendError: The storage is unavailable, or refuses; some may be removed then.
        """
        del prefix, older_than
        return 0

    def link_to(self, key: str, path: Path) -> bool:
        """Give the blob's bytes the new name `path` on this machine's disk, without copying them.

        Returns False, and leaves no name, where that cannot be: the bytes are no file here, or on
        another file system. Whoever has the second name must not write through it.

        Raises:
            BlobNotFoundError: There is no such blob.
            InvalidKeyError: The key is outside the grammar.
            BackendError: The storage is unavailable, or refuses.
        """
        del key, path
        return False

    def close(self) -> None:  # noqa: B027 - a backend without connections has nothing to do
        """Let go of connections; idempotent. No other method may be called afterwards."""

    # What follows is built from the methods above and the same for every backend.

    def put_file(
        self,
        key: str,
        path: Path,
        expected: Digest | None = None,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Digest:
        """Store a local file, which must not change meanwhile; otherwise as `put`."""
        return self.put(key, Source.of_file(path, expected), on_progress=on_progress)

    def put_bytes(self, key: str, data: bytes) -> Digest:
        """Store bytes from memory; otherwise as `put`."""
        return self.put(key, Source.of_bytes(data))

    def get_bytes(self, key: str, *, size_bytes_max: int) -> bytes:
        """Return a whole blob.

        Raises:
            BlobTooLargeError: It has more than `size_bytes_max`; nothing was read.
            BackendError: As for `open_reader` and `BlobReader.read`.
        """
        with self.open_reader(key) as reader:
            if reader.size_bytes > size_bytes_max:
                message = f"{key} has {reader.size_bytes} bytes, more than {size_bytes_max}"
                raise BlobTooLargeError(message, key=key)
            return b"".join(_read_whole(reader, key))

    def get_file(
        self,
        key: str,
        path: Path,
        expected: Digest | None = None,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Digest:
        """Fetch a whole blob into the new local file `path`; return its digest.

        The file appears when all of it is there, durable, and as `expected`; or not at all. What
        `on_progress` raises ends the transfer.

        Raises:
            BlobCorruptError: The blob is not as `expected`.
            FileExistsError: The file is there already; it was left as it is.
            OSError: The local file could not be written; never the backend's fault.
            BackendError: As for `open_reader` and `BlobReader.read`.
        """
        sha256 = hashlib.sha256()
        size_bytes = 0

        def read_chunks(reader: BlobReader) -> Iterator[bytes]:
            nonlocal size_bytes
            for chunk in _read_whole(reader, key):
                sha256.update(chunk)
                size_bytes += len(chunk)
                yield chunk
                if on_progress:
                    on_progress(size_bytes)
            digest = Digest(size_bytes, sha256.hexdigest())
            if expected not in {None, digest}:
                message = f"{key} came back as {digest}, not {expected}"
                raise BlobCorruptError(message, key=key)

        with self.open_reader(key) as reader:
            if expected and reader.size_bytes != expected.size_bytes:
                message = f"{key} has {reader.size_bytes} bytes, not {expected.size_bytes}"
                raise BlobCorruptError(message, key=key)
            create_file(path, read_chunks(reader))
        return Digest(size_bytes, sha256.hexdigest())


def _read_whole(reader: BlobReader, key: str) -> Iterator[bytes]:
    """Yield all chunks; a reader that yields fewer bytes than it announced is not believed."""
    size_bytes = 0
    while chunk := reader.read(CHUNK_BYTES):
        size_bytes += len(chunk)
        yield chunk
    if size_bytes != reader.size_bytes:
        message = f"{key} yielded {size_bytes} bytes, not {reader.size_bytes}"
        raise BlobCorruptError(message, key=key)
