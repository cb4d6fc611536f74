"""Verbs that move payloads: download a snapshot into a file, import a file as a snapshot.

A download writes beside its goal (`.<file>.<digest>.part`), so that a broken one goes on where it
stopped, by itself or when it is asked for again; the file has its name only when its digest is
right. Who writes there holds the file's lock: two downloads to one goal never mix. An import that
breaks is sent again from its beginning. `on_bytes` hears (done, total).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from perdure.control.v1 import transfer_pb2
from perdure.errors import PerdureError, error_from_status
from perdure.names import Collection, full_name
from perdure.steps import (
    ATTEMPTS_MAX,
    BACKOFF_SECONDS,
    PAUSE_MAX_SECONDS,
    Call,
    Next,
    Open,
    Pause,
    Rpc,
    Send,
    Work,
)
from perdure.verbs import Operation, get_snapshot, new_request_id

BytesSink: TypeAlias = Callable[[int, int], None]
CHUNK_BYTES = 256 << 10
STREAM_SECONDS = 3600.0  # of one stream; a longer one is resumed
_SERVICE = "/perdure.control.v1.SnapshotService/"
_DOWNLOAD = Rpc(f"{_SERVICE}DownloadSnapshot", transfer_pb2.DownloadSnapshotResponse)
_IMPORT = Rpc(f"{_SERVICE}ImportSnapshot", Operation)
# How an import ends that left nothing and may be sent again as a new one.
_BROKEN = frozenset({"IMPORT_BROKEN", "OPERATION_INTERRUPTED"})


@dataclass(frozen=True)
class DownloadedFile:
    """A payload that is here, whole: where, how long, its SHA-256, and what was here before."""

    path: Path
    size_bytes: int
    sha256: str
    resumed_bytes: int


# --- download ------------------------------------------------------------------------------------


def download_snapshot(
    snapshot: str,
    path: str | os.PathLike[str],
    *,
    backend: str = "",
    is_stored: bool = False,
    is_replacing: bool = False,
    on_bytes: BytesSink | None = None,
) -> Call[DownloadedFile]:
    """Write a snapshot's RDB file to `path`; `is_stored` takes the blob as the backend has it.

    Repeating an interrupted download goes on with what is there.

    Raises:
        PerdureError: FILE_EXISTS unless `is_replacing`, DOWNLOAD_RUNNING while another one to the
            same goal runs, TRANSFER_DAMAGED when the digest is wrong (nothing is kept then), or
            what the server said.
        OSError: the file could not be written.
    """
    goal = Path(path)
    if not is_replacing and (yield Work(goal.exists)):
        raise PerdureError(
            "FILE_EXISTS",
            f"{goal} is there already",
            status="ALREADY_EXISTS",
            hint="choose another name, or ask to replace it",
        )
    payload = (yield from get_snapshot(snapshot)).payload
    expected = payload.stored_sha256 if is_stored else payload.raw_sha256
    total = payload.stored_size_bytes if is_stored else payload.raw_size_bytes
    form = transfer_pb2.PAYLOAD_FORM_STORED if is_stored else transfer_pb2.PAYLOAD_FORM_RAW
    request = transfer_pb2.DownloadSnapshotRequest(
        name=full_name(Collection.SNAPSHOTS, snapshot),
        backend=full_name(Collection.BACKENDS, backend) if backend else "",
        form=form,
    )
    partial = _Partial(goal.with_name(f".{goal.name}.{expected[:16]}.part"))
    resumed_bytes: int = yield Work(lambda: partial.open(total))
    try:
        yield from _receive(partial, request, total, on_bytes)
        yield Work(lambda: partial.finish(goal, total, expected))
    finally:
        partial.close()
    return DownloadedFile(goal, total, expected, resumed_bytes)


def _receive(
    partial: _Partial,
    request: transfer_pb2.DownloadSnapshotRequest,
    total: int,
    on_bytes: BytesSink | None,
) -> Call[None]:
    """Read streams until one came to its end; give up when several in a row bring nothing."""
    attempt = 0
    while True:
        before = partial.size_bytes
        try:
            yield from _receive_stream(partial, request, total, on_bytes)
        except PerdureError as error:
            attempt = 1 if partial.size_bytes > before else attempt + 1
            pause = error.retry_after_seconds or BACKOFF_SECONDS * 2**attempt
            can_resume = error.is_retryable or error.status == "DEADLINE_EXCEEDED"
            if attempt >= ATTEMPTS_MAX or not can_resume or pause > PAUSE_MAX_SECONDS:
                raise
        else:
            return
        yield Pause(pause)


def _receive_stream(
    partial: _Partial,
    request: transfer_pb2.DownloadSnapshotRequest,
    total: int,
    on_bytes: BytesSink | None,
) -> Call[None]:
    request.offset = partial.size_bytes
    stream = yield Open(_DOWNLOAD, request, STREAM_SECONDS)
    try:
        while (message := (yield Next(stream))) is not None:
            match message.WhichOneof("part"):
                case "chunk":
                    chunk = message.chunk
                    yield Work(functools.partial(partial.append, chunk))
                    if on_bytes is not None:
                        on_bytes(partial.size_bytes, total)
                case "end":
                    return
    finally:
        stream.cancel()  # nothing, when it was read to its end
    raise PerdureError(
        "STREAM_CUT",
        "the stream ended before its end was told",
        status="UNAVAILABLE",
        hint="repeat the download: it goes on where it stopped",
    )


class _Partial:
    """A file that grows under another name, with its digest. Blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._file: BinaryIO | None = None

    def open(self, total: int) -> int:
        """Open it, hash what is there; return how much that is. A too long one begins anew."""
        self._file = self._open_locked()
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            self._sha256.update(chunk)
            self.size_bytes += len(chunk)
        if self.size_bytes > total:
            self._file.truncate(0)
            self.size_bytes, self._sha256 = 0, hashlib.sha256()
        return self.size_bytes

    def _open_locked(self) -> BinaryIO:
        """Open the file that has the name, as the only one; never what a link leads to."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            try:
                fd = os.open(self.path, flags, 0o666)
            except OSError as exc:
                if self.path.is_symlink():
                    raise self._unusable() from exc
                raise
            try:
                is_ours = self._lock(fd)
            except BaseException:
                os.close(fd)
                raise
            if is_ours:
                return os.fdopen(fd, "a+b")
            os.close(fd)  # the other one ended as we came, and the file has its own name now

    def _lock(self, fd: int) -> bool:
        """Take the file's lock; say whether it still has the name."""
        mine = os.fstat(fd)
        if not stat.S_ISREG(mine.st_mode):
            raise self._unusable()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise PerdureError(
                "DOWNLOAD_RUNNING",
                f"another download writes {self.path}",
                status="FAILED_PRECONDITION",
                hint="wait for its end, or choose another name",
            ) from exc
        try:
            return os.path.samestat(mine, self.path.lstat())
        except FileNotFoundError:
            return False

    def _unusable(self) -> PerdureError:
        return PerdureError(
            "FILE_UNUSABLE",
            f"{self.path} is there, and is no file of a download",
            status="FAILED_PRECONDITION",
            hint="see what it is, and remove it",
        )

    def append(self, chunk: bytes) -> None:
        """Write the next bytes."""
        if self._file is None:
            raise ValueError("the file is not open")
        self._file.write(chunk)
        self._sha256.update(chunk)
        self.size_bytes += len(chunk)

    def finish(self, goal: Path, total: int, expected: str) -> None:
        """Give the file its name, durably, if it is what was promised; else remove it."""
        if self._file is None:
            raise ValueError("the file is not open")
        self._file.flush()
        os.fsync(self._file.fileno())
        if (self.size_bytes, self._sha256.hexdigest()) != (total, expected):
            self.path.unlink()
            raise PerdureError(
                "TRANSFER_DAMAGED",
                f"what came has {self.size_bytes} bytes and another digest than the snapshot",
                status="DATA_LOSS",
                hint="nothing was kept; repeat the download",
                context={"expected_sha256": expected, "sha256": self._sha256.hexdigest()},
            )
        self.path.replace(goal)
        folder = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of it; what is there stays for another attempt."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


# --- import --------------------------------------------------------------------------------------


def import_snapshot(
    path: str | os.PathLike[str],
    backends: Sequence[str] = (),
    on_bytes: BytesSink | None = None,
) -> Call[Operation]:
    """Send an RDB file and begin to make a snapshot of it; no backend named means all of them.

    Returns when all of the file is at the server and its digest is right.

    Raises:
        PerdureError: IMPORT_REFUSED, or what else the server said; nothing is left of the file.
        OSError: the file could not be read.
    """
    source = Path(path)
    size_bytes, sha256 = yield Work(lambda: _digest(source))
    names = [full_name(Collection.BACKENDS, name) for name in backends]
    request_id = new_request_id()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        header = transfer_pb2.ImportHeader(
            size_bytes=size_bytes, sha256=sha256, backends=names, request_id=request_id
        )
        try:
            operation: Operation = yield Send(
                _IMPORT, _messages(source, header, on_bytes), STREAM_SECONDS
            )
        except PerdureError as error:
            pause = error.retry_after_seconds or BACKOFF_SECONDS * 2**attempt
            if attempt == ATTEMPTS_MAX or not error.is_retryable or pause > PAUSE_MAX_SECONDS:
                raise
            failure = error
        else:
            if not operation.HasField("error") or attempt == ATTEMPTS_MAX:
                return operation
            failure, pause = error_from_status(operation.error), BACKOFF_SECONDS
            if failure.code not in _BROKEN:
                return operation
        if failure.code in _BROKEN:
            request_id = new_request_id()
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")


def _digest(path: Path) -> tuple[int, str]:
    sha256, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            size_bytes += len(chunk)
    return size_bytes, sha256.hexdigest()


def _messages(
    path: Path, header: transfer_pb2.ImportHeader, on_bytes: BytesSink | None
) -> Iterator[transfer_pb2.ImportSnapshotRequest]:
    yield transfer_pb2.ImportSnapshotRequest(header=header)
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield transfer_pb2.ImportSnapshotRequest(chunk=chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done, header.size_bytes)
