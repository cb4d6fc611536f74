"""A backend that tells what was done with it: for metrics, logs and the up-or-down state.

It knows no metrics library; the observer does. A reader is told of twice: when it was opened, and
when it ends, with the bytes that were read.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.source import Digest, Source

Operation = Literal["put", "open", "read", "stat", "list", "delete"]


@dataclass(slots=True)
class Observation:
    """One operation that has ended.

    Attributes:
        operation: Which; `read` is all the reading of one reader, `list` one whole listing.
        seconds: How long it took; of a `read` or `list`, what the caller did between is left out.
        size_bytes: How much was stored or read; 0 for the others and after a failed `put`.
        error: What it ended with; None when it went well. An error that is not a BackendError came
            from the caller's own source or callback.
    """

    operation: Operation
    seconds: float = 0.0
    size_bytes: int = 0
    error: Exception | None = None

    @property
    def outcome(self) -> str:
        """`ok`, the error's `code`, or `CALLER`."""
        if self.error is None:
            return "ok"
        return self.error.code if isinstance(self.error, BackendError) else "CALLER"


class ObservedBackend(Backend):
    """Tells `observe` of each operation, in the calling thread; `observe` must not raise."""

    def __init__(self, inner: Backend, observe: Callable[[Observation], None]) -> None:
        """Wrap `inner`, which belongs to the wrapper from now on."""
        self._inner = inner
        self._observe = observe

    @property
    def location(self) -> str:
        """The inner one's."""
        return self._inner.location

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The inner one's."""
        return self._inner.capabilities

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        """Observe."""
        with self._observing("put") as seen:
            digest = self._inner.put(key, source, on_progress=on_progress)
            seen.size_bytes = digest.size_bytes
        return digest

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        """Observe the opening, and later the reading."""
        with self._observing("open"):
            reader = self._inner.open_reader(
                key, offset_bytes=offset_bytes, length_bytes=length_bytes
            )
        return _ObservedReader(reader, self._observe)

    def stat(self, key: str) -> BlobInfo:
        """Observe."""
        with self._observing("stat"):
            return self._inner.stat(key)

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        """Observe; a listing that is given up counts as far as it went."""
        return self._list_on(self._inner.list_blobs(prefix, after=after))

    def delete(self, key: str) -> None:
        """Observe."""
        with self._observing("delete"):
            self._inner.delete(key)

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()

    def _list_on(self, blobs: Iterator[BlobInfo]) -> Iterator[BlobInfo]:
        seen = Observation("list")
        try:
            while True:
                with _timing(seen):
                    info = next(blobs, None)
                if info is None:
                    return
                yield info
        finally:
            self._observe(seen)

    @contextlib.contextmanager
    def _observing(self, operation: Operation) -> Iterator[Observation]:
        seen = Observation(operation)
        try:
            with _timing(seen):
                yield seen
        finally:
            self._observe(seen)


class _ObservedReader(BlobReader):
    """Adds up what is read and tells of it at the end."""

    def __init__(self, inner: BlobReader, observe: Callable[[Observation], None]) -> None:
        self._inner = inner
        self._observe: Callable[[Observation], None] | None = observe
        self._seen = Observation("read")
        self.size_bytes = inner.size_bytes

    def read(self, size_bytes: int, /) -> bytes:
        """Read on."""
        with _timing(self._seen):
            part = self._inner.read(size_bytes)
        self._seen.size_bytes += len(part)
        return part

    def close(self) -> None:
        """Close the inner one, and tell of the reading once."""
        self._inner.close()
        observe, self._observe = self._observe, None
        if observe:
            observe(self._seen)


@contextlib.contextmanager
def _timing(seen: Observation) -> Iterator[None]:
    """Add to the time, and keep the error on its way out."""
    began_seconds = time.perf_counter()
    try:
        yield
    except Exception as exc:
        seen.error = exc
        raise
    finally:
        seen.seconds += time.perf_counter() - began_seconds
