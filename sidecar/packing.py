"""Pack and unpack payload files: zstd or nothing, hashed on the way, in a thread.

Nothing here is durable: packed files are scratch, and whoever reads one checks its digest. The
zstd frame carries its own checksum and content size. Bounds what a hostile frame may unpack to.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import zstandard

from backends.source import Digest
from sidecar.errors import CancelledOperationError, CutDamagedError, SnapshotDamagedError

CHUNK_BYTES = 1 << 20
WINDOW_BYTES_MAX = 128 << 20


class Stop:
    """Tells a thread that nobody waits for it any more."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the thread to end."""
        self._event.set()

    def check(self) -> None:
        """Raise CancelledOperationError when asked to end."""
        if self._event.is_set():
            raise CancelledOperationError("packing was cancelled")


def pack_zstd(
    source: Path,
    expected: Digest,
    target: Path,
    *,
    level: int,
    stop: Stop,
    on_progress: Callable[[int], None],
) -> Digest:
    """Pack `source`, which must be `expected`, into the new file `target`; return its digest."""
    raw, stored = hashlib.sha256(), hashlib.sha256()
    done = stored_size = 0
    params = zstandard.ZstdCompressionParameters.from_level(
        level, write_checksum=1, write_content_size=1
    )
    chunker = zstandard.ZstdCompressor(compression_params=params).chunker(
        size=expected.size_bytes, chunk_size=CHUNK_BYTES
    )
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            stop.check()
            raw.update(chunk)
            done += len(chunk)
            if done > expected.size_bytes:
                break
            for packed in chunker.compress(chunk):
                stored.update(packed)
                stored_size += writer.write(packed)
            on_progress(done)
        if Digest(done, raw.hexdigest()) != expected:
            raise CutDamagedError(
                f"{source.name} is not any more what was verified", context={"file": source.name}
            )
        for packed in chunker.finish():  # type: ignore[no-untyped-call]  # their stub lacks it
            stored.update(packed)
            stored_size += writer.write(packed)
    return Digest(stored_size, stored.hexdigest())


def unpack_zstd(source: Path, target: Path, expected: Digest, *, stop: Stop) -> None:
    """Unpack `source` into the new file `target`, which must come out as `expected`."""
    raw = hashlib.sha256()
    done = 0
    unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            for chunk in unpacker.read_to_iter(reader, read_size=CHUNK_BYTES):
                stop.check()
                done += len(chunk)
                if done > expected.size_bytes:  # a bomb, or another payload
                    break
                raw.update(chunk)
                writer.write(chunk)
    except zstandard.ZstdError as exc:
        message = f"the stored payload does not unpack: {exc}"
        raise SnapshotDamagedError(message) from exc
    if Digest(done, raw.hexdigest()) != expected:
        raise SnapshotDamagedError(
            "the stored payload unpacks to something else than its manifest says",
            context={"size_bytes": done, "expected_size_bytes": expected.size_bytes},
        )
