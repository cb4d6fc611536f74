"""A backend in memory: the contract's second implementation, for tests that need no disk.

Written apart from `backends.local`, so that the conformance suite is held against two designs.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.errors import BlobExistsError, BlobNotFoundError, InvalidRangeError
from backends.keys import check_key, check_prefix
from backends.source import Digest, Source

_PUT_AT = datetime(2026, 11, 22, tzinfo=UTC)


class MemoryBackend(Backend):
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return "memory"

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.CONDITIONAL_CREATE})

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        check_key(key)
        transfer = source.start(on_progress)
        data = b"".join(transfer)
        with self._lock:
            if key in self.blobs:
                raise BlobExistsError(f"{key} is taken", key=key)
            self.blobs[key] = data
        return transfer.digest

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        data = self._find(key)
        if not 0 <= offset_bytes <= len(data):
            raise InvalidRangeError(f"{key} has no byte {offset_bytes}", key=key)
        end = len(data) if length_bytes is None else offset_bytes + length_bytes
        return BytesReader(data[offset_bytes:end])

    def stat(self, key: str) -> BlobInfo:
        return BlobInfo(key, len(self._find(key)), _PUT_AT)

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        check_prefix(prefix)
        with self._lock:
            keys = sorted(self.blobs)
        found = keys[bisect.bisect_right(keys, after) :]
        return iter([self.stat(key) for key in found if key.startswith(prefix)])

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            self.blobs.pop(key, None)

    def _find(self, key: str) -> bytes:
        check_key(key)
        try:
            return self.blobs[key]
        except KeyError:
            raise BlobNotFoundError(f"there is no {key}", key=key) from None


class BytesReader(BlobReader):
    """Reads bytes in memory; `size_bytes` may be announced otherwise, for readers that lie."""

    def __init__(self, data: bytes, size_bytes: int | None = None) -> None:
        self.size_bytes = len(data) if size_bytes is None else size_bytes
        self._rest = memoryview(data)

    def read(self, size_bytes: int, /) -> bytes:
        part, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return bytes(part)

    def close(self) -> None:
        """Nothing is held."""
