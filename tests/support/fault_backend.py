"""A backend whose faults are scripted: fail the nth put, damage a payload, hang, read short.

    faulty = FaultBackend(inner, Fault("put", on_call=2, error=BackendFullError("scripted")))

A fault counts the calls that match it, from 1; 0 means every call. `faulty.calls` has all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.source import Digest, Source
from tests.support.memory_backend import BytesReader

Operation = Literal["put", "open", "read", "stat", "list", "delete", "sweep"]


def flip_bit(data: bytes) -> bytes:
    """Damage one bit in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut_short(data: bytes) -> bytes:
    """Lose the second half."""
    return data[: len(data) // 2]


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        operation: In which operation; a `list` fails before its first blob, a `read` at each part.
        on_call: In which matching call; 0 for every one.
        match: What the key must contain.
        error: What is raised.
        is_after: Whether the operation takes effect before the error is raised.
        damage: What becomes of the bytes: of those stored by a `put`, which answers as if nothing
            had happened, or of those that a reader made by `open` yields.
        hold: What the call waits for before anything else.
        reached: Is set when the fault happens.
    """

    operation: Operation
    on_call: int = 1
    match: str = ""
    error: Exception | None = None
    is_after: bool = False
    damage: Callable[[bytes], bytes] | None = None
    hold: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    _seen_count: int = 0

    def happens(self, operation: Operation, key: str) -> bool:
        """Count a call, and say whether the fault happens in it."""
        if operation != self.operation or self.match not in key:
            return False
        self._seen_count += 1
        return self.on_call in {0, self._seen_count}


class FaultBackend(Backend):
    """Passes everything on, but for the scripted faults."""

    def __init__(self, inner: Backend, *faults: Fault) -> None:
        self.inner = inner
        self.faults = list(faults)
        self.calls: list[tuple[Operation, str]] = []
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        fault = self._begin("put", key)
        if fault and fault.damage:
            transfer = source.start(on_progress)
            self.inner.put_bytes(key, fault.damage(b"".join(transfer)))
            return transfer.digest
        digest = self.inner.put(key, source, on_progress=on_progress)
        self._end(fault)
        return digest

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        fault = self._begin("open", key)
        reader = self.inner.open_reader(key, offset_bytes=offset_bytes, length_bytes=length_bytes)
        if fault and fault.damage:
            with reader:
                data = b"".join(iter(lambda: reader.read(1 << 20), b""))
            reader = BytesReader(fault.damage(data), reader.size_bytes)
        self._end(fault)
        return _FaultReader(self, key, reader)

    def stat(self, key: str) -> BlobInfo:
        fault = self._begin("stat", key)
        info = self.inner.stat(key)
        self._end(fault)
        return info

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        return self._list_on(self.inner.list_blobs(prefix, after=after), prefix)

    def delete(self, key: str) -> None:
        fault = self._begin("delete", key)
        self.inner.delete(key)
        self._end(fault)

    def sweep_unfinished(self, prefix: str, older_than: timedelta) -> int:
        fault = self._begin("sweep", prefix)
        swept = self.inner.sweep_unfinished(prefix, older_than)
        self._end(fault)
        return swept

    def close(self) -> None:
        self.inner.close()

    def count(self, operation: Operation) -> int:
        """Count the calls of an operation so far."""
        return sum(1 for name, _ in self.calls if name == operation)

    def _list_on(self, blobs: Iterator[BlobInfo], prefix: str) -> Iterator[BlobInfo]:
        fault = self._begin("list", prefix)
        for number, info in enumerate(blobs, 1):
            yield info
            if number == 1:  # An error after the fact breaks a listing off behind its first blob.
                self._end(fault)

    def _begin(self, operation: Operation, key: str) -> Fault | None:
        with self._lock:
            self.calls.append((operation, key))
            found = [fault for fault in self.faults if fault.happens(operation, key)]
        if not found:
            return None
        fault = found[0]
        fault.reached.set()
        if fault.hold:
            fault.hold.wait()
        if fault.error and not fault.is_after:
            raise fault.error
        return fault

    def _end(self, fault: Fault | None) -> None:
        if fault and fault.error and fault.is_after:
            raise fault.error


class _FaultReader(BlobReader):
    def __init__(self, backend: FaultBackend, key: str, inner: BlobReader) -> None:
        self._backend = backend
        self._key = key
        self._inner = inner
        self.size_bytes = inner.size_bytes

    def read(self, size_bytes: int, /) -> bytes:
        self._backend._begin("read", self._key)
        return self._inner.read(size_bytes)

    def close(self) -> None:
        self._inner.close()
