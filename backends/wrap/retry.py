"""A backend that repeats what is worth repeating. Which errors are is the error's own word.

A read resumes where it broke off, and a listing after the last key, since blobs never change. A
`put` that ended without an answer may have succeeded: when its repeat finds the key taken, the blob
is compared with the source, and the same bytes count as stored. Nothing else is ever guessed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import stamina

from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.errors import BackendError, BackendThrottledError, BlobExistsError
from backends.source import CHUNK_BYTES, Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from backends.source import Source


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long; waits double, with jitter.

    Attributes:
        attempts_max: How often a call is tried in all; 1 never repeats.
        timeout_seconds: After how long no new attempt is begun.
        wait_first_seconds: The longest wait after the first failure, before jitter.
        wait_max_seconds: The longest wait of all, whatever the storage asks for.
    """

    attempts_max: int = 4
    timeout_seconds: float = 60.0
    wait_first_seconds: float = 0.2
    wait_max_seconds: float = 10.0


class RetryingBackend(Backend):
    """Repeats calls that failed with a retryable error; sleeps in the calling thread."""

    def __init__(self, inner: Backend, policy: RetryPolicy | None = None) -> None:
        """Wrap `inner`, which belongs to the wrapper from now on."""
        self._inner = inner
        self._policy = policy or RetryPolicy()

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
        """Repeat from the source's beginning; a stream, which has none, is tried once.

        After a failed attempt `on_progress` is told smaller numbers again.
        """
        if not source.is_repeatable:
            return self._inner.put(key, source, on_progress=on_progress)
        for attempt in self._attempts():
            with attempt:
                try:
                    return self._inner.put(key, source, on_progress=on_progress)
                except BlobExistsError:
                    if attempt.num > 1 and source.expected and self._holds(key, source.expected):
                        return source.expected
                    raise
        raise _never_reached()

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        """Repeat the opening, and later the reading."""

        def open_at(done_bytes: int, rest_bytes: int | None) -> BlobReader:
            return self._inner.open_reader(
                key, offset_bytes=offset_bytes + done_bytes, length_bytes=rest_bytes
            )

        return _RetryingReader(open_at, length_bytes, self._attempts)

    def stat(self, key: str) -> BlobInfo:
        """Repeat."""
        for attempt in self._attempts():
            with attempt:
                return self._inner.stat(key)
        raise _never_reached()

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        """Repeat after the last key that came; each key that comes makes the count begin anew."""
        return self._list_on(self._inner.list_blobs(prefix, after=after), prefix, after)

    def delete(self, key: str) -> None:
        """Repeat."""
        for attempt in self._attempts():
            with attempt:
                self._inner.delete(key)

    def sweep_unfinished(self, prefix: str, older_than: timedelta) -> int:
        """Repeat; what a failed attempt removed is not counted."""
        for attempt in self._attempts():
            with attempt:
                return self._inner.sweep_unfinished(prefix, older_than)
        raise _never_reached()

    def link_to(self, key: str, path: Path) -> bool:
        """Ask the inner one once: where it fails, the caller fetches."""
        return self._inner.link_to(key, path)

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()

    def _list_on(self, blobs: Iterator[BlobInfo], prefix: str, after: str) -> Iterator[BlobInfo]:
        last = after
        while True:
            info = None
            for attempt in self._attempts():
                with attempt:
                    if attempt.num > 1:
                        blobs = self._inner.list_blobs(prefix, after=last)
                    info = next(blobs, None)
            if info is None:
                return
            last = info.key
            yield info

    def _holds(self, key: str, expected: Digest) -> bool:
        """Say whether the blob is exactly what was to be stored."""
        sha256 = hashlib.sha256()
        with self._inner.open_reader(key) as reader:
            if reader.size_bytes != expected.size_bytes:
                return False
            while part := reader.read(CHUNK_BYTES):
                sha256.update(part)
        return sha256.hexdigest() == expected.sha256

    def _is_retryable(self, error: Exception) -> bool | float:
        """Say whether to repeat; a number is the wait in seconds that the storage asked for.

        It asks for no more than the longest wait: a day's would keep the thread for a day.
        """
        if isinstance(error, BackendThrottledError) and error.retry_after_seconds is not None:
            return min(error.retry_after_seconds, self._policy.wait_max_seconds)
        return isinstance(error, BackendError) and error.is_retryable

    def _attempts(self) -> Iterator[stamina.Attempt]:
        return iter(
            stamina.retry_context(
                on=self._is_retryable,
                attempts=self._policy.attempts_max,
                timeout=self._policy.timeout_seconds,
                wait_initial=self._policy.wait_first_seconds,
                wait_max=self._policy.wait_max_seconds,
                wait_jitter=self._policy.wait_first_seconds,
            )
        )


class _RetryingReader(BlobReader):
    """Reopens the blob at the position reached."""

    def __init__(
        self,
        open_at: Callable[[int, int | None], BlobReader],
        length_bytes: int | None,
        attempts: Callable[[], Iterator[stamina.Attempt]],
    ) -> None:
        self._open_at = open_at
        self._attempts = attempts
        self._done_bytes = 0
        self._reader: BlobReader | None = None
        for attempt in attempts():
            with attempt:
                self._reader = open_at(0, length_bytes)
                self.size_bytes = self._reader.size_bytes

    def read(self, size_bytes: int, /) -> bytes:
        """Read on, reopening after a failure."""
        for attempt in self._attempts():
            with attempt:
                if self._reader is None:
                    rest_bytes = self.size_bytes - self._done_bytes
                    self._reader = self._open_at(self._done_bytes, rest_bytes)
                try:
                    part = self._reader.read(size_bytes)
                except BackendError:
                    self.close()
                    raise
                self._done_bytes += len(part)
                return part
        raise _never_reached()

    def close(self) -> None:
        """Close the reader that is open, if one is."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _never_reached() -> RuntimeError:
    return RuntimeError("the last attempt neither returned nor raised")
