"""One named backend as the use cases see it: async, with a deadline, counted, errors ours.

The plugins of `backends` are synchronous. Each call gets a daemon thread of its own, bounded by
a number per backend (`sidecar.places`): a pool's threads would be joined at exit, so that one dead
network mount would keep the process from ending, and a shared pool would let it starve its
neighbours. A call that passes its deadline is given up: a payload ends at its next byte, and what
it still does may take effect, which is why every name is new (I3) and every write conditional.
Guards I8.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias, TypeVar

from backends import errors as theirs
from backends.base import Backend, BlobInfo
from backends.source import Digest
from sidecar.clock import Clock
from sidecar.errors import (
    BackendRefusedError,
    BackendTimeoutError,
    BackendUnavailableError,
    BlobExistsError,
    BlobNotFoundError,
    CancelledOperationError,
    CorruptError,
    CutDamagedError,
    ExhaustedError,
    InternalError,
    NotFoundError,
    PerdureError,
    SnapshotDamagedError,
)
from sidecar.local_disk import local_disk_error
from sidecar.observe import BackendFigures
from sidecar.places import BusyError, HangingError, Place, Places

T = TypeVar("T")
CANCEL_WAIT_SECONDS = 2.0
# Hears when a backend goes down, with the error, and when it is back.
HealthListener: TypeAlias = Callable[["Storage", PerdureError | None], None]


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Its type, and how long a call may take: a small one, a payload's, one that does not move."""

    type: str = "local"
    timeout_seconds: float = 30.0
    transfer_timeout_seconds: float = 3600.0
    stall_timeout_seconds: float = 600.0


class _Beat:
    """When bytes last moved, on the loop's clock; told in another thread."""

    def __init__(
        self, on_progress: Callable[[int], None] | None, scratch: Path | None = None
    ) -> None:
        self.scratch = scratch  # the file that a read makes
        self._time = asyncio.get_running_loop().time
        self.at = self._time()
        self._on_progress = on_progress
        self.is_over = False

    def begin(self) -> None:
        """Count from now on: what waited for its place did not stall."""
        self.at = self._time()

    def __call__(self, done: int) -> None:
        """Hear of progress and pass it on; what is raised here ends the transfer."""
        if self.is_over:
            raise CancelledOperationError("nobody waits for the transfer any more")
        self.at = self._time()
        if self._on_progress is not None:
            self._on_progress(done)


class _GivenUpError(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:g} s")


class Storage:
    """One configured backend."""

    def __init__(
        self,
        name: str,
        opener: Callable[[], Backend],
        clock: Clock,
        figures: BackendFigures,
        options: StorageOptions | None = None,
    ) -> None:
        self.name = name
        self._opener = opener
        self._opened: Backend | None = None
        self._opening = threading.Lock()
        self.figures = figures
        self.options = options or StorageOptions()
        self.type = self.options.type
        self._clock = clock
        self._places = Places()
        self.on_change: HealthListener | None = None

    async def put_bytes(self, key: str, data: bytes) -> None:
        """Create a small blob; BlobExistsError when the name is taken."""
        await self._call("put", key, lambda: self._open().put_bytes(key, data))
        self.figures.bytes_put += len(data)

    async def put_file(
        self,
        key: str,
        path: Path,
        expected: Digest,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Create a blob from a file that is `expected`; `on_progress` runs in another thread."""
        beat = _Beat(on_progress)

        def put() -> Digest:
            return self._open().put_file(key, path, expected, on_progress=beat)

        await self._call("put", key, put, beat=beat)
        self.figures.bytes_put += expected.size_bytes

    async def get_bytes(self, key: str, size_bytes_max: int) -> bytes:
        """Return a small blob; BlobNotFoundError when there is none."""

        def get() -> bytes:
            return self._open().get_bytes(key, size_bytes_max=size_bytes_max)

        data = await self._call("get", key, get)
        self.figures.bytes_got += len(data)
        return data

    async def find_bytes(self, key: str, size_bytes_max: int) -> bytes | None:
        """Return a small blob, or None when there is none."""
        try:
            return await self.get_bytes(key, size_bytes_max)
        except BlobNotFoundError:
            return None

    async def get_file(
        self,
        key: str,
        path: Path,
        expected: Digest,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write a blob to a new file, durably and as `expected`, or not at all."""
        beat = _Beat(on_progress, path)

        def get() -> Digest:
            return self._open().get_file(key, path, expected, on_progress=beat)

        await self._call("get", key, get, beat=beat)
        self.figures.bytes_got += expected.size_bytes

    async def link_file(self, key: str, path: Path) -> bool:
        """Give a blob a second name on this disk, where that can be; say whether it was."""
        return await self._call("link", key, lambda: self._open().link_to(key, path))

    async def list(self, prefix: str) -> list[BlobInfo]:
        """Return every blob below the prefix, by key."""
        return await self._call("list", prefix, lambda: list(self._open().list_blobs(prefix)))

    async def delete(self, key: str) -> None:
        """Remove a blob, if it is there."""
        await self._call("delete", key, lambda: self._open().delete(key))

    async def sweep_unfinished(self, prefix: str, older_than: timedelta) -> int:
        """Remove what interrupted puts left below the prefix, invisible; return how many."""
        limit = self.options.transfer_timeout_seconds
        return await self._call(
            "sweep",
            prefix,
            lambda: self._open().sweep_unfinished(prefix, older_than),
            timeout_seconds=limit,
        )

    async def run(
        self, operation: str, work: Callable[[Backend], T], *, timeout_seconds: float
    ) -> T:
        """Run something longer on the backend (its conformance suite) under the same rules."""
        return await self._call(
            operation, "", lambda: work(self._open()), timeout_seconds=timeout_seconds
        )

    def _open(self) -> Backend:
        """Open it at the first call, in that call's thread: it may be away at the start."""
        with self._opening:
            if self._opened is None:
                self._opened = self._opener()
            return self._opened

    @property
    def location(self) -> str:
        """Return where the bytes go, once it has been opened."""
        return self._opened.location if self._opened else ""

    # --- one call ---------------------------------------------------------------------

    async def _call(
        self,
        operation: str,
        key: str,
        work: Callable[[], T],
        *,
        beat: _Beat | None = None,
        timeout_seconds: float | None = None,
    ) -> T:
        options = self.options
        limit = options.transfer_timeout_seconds if beat else options.timeout_seconds
        started = self._clock.monotonic()
        result = "ok"
        try:
            value = await self._in_thread(operation, work, timeout_seconds or limit, beat)
        except asyncio.CancelledError:
            result = "CANCELLED"
            raise
        except BusyError as exc:  # our own bound: it says nothing about the backend
            busy = self._busy(operation, exc)
            result = busy.code
            raise busy from exc
        except Exception as exc:
            error = translate(exc, self.name, operation, key)
            result = error.code
            self._note_health(error)
            raise error from exc
        else:
            self._note_health(None)
            return value
        finally:
            seconds = self._clock.monotonic() - started
            self.figures.record(operation, result, seconds, self._clock.now())

    def _note_health(self, error: PerdureError | None) -> None:
        """Keep whether it answers; one that says "not found" or "taken" does."""
        was_up = self.figures.is_up
        if error is None or isinstance(error, BlobNotFoundError | BlobExistsError | CorruptError):
            self.figures.is_up, self.figures.last_error = True, None
            is_news, error = was_up is False, None
        else:
            self.figures.is_up, self.figures.last_error = False, error.to_json()
            is_news = was_up is not False
        if is_news and self.on_change is not None:
            self.on_change(self, error)

    async def _in_thread(
        self, operation: str, work: Callable[[], T], seconds: float, beat: _Beat | None
    ) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        place = await self._take_place(operation, seconds, beat)
        future: asyncio.Future[T] = loop.create_future()
        ended = asyncio.Event()

        def settle(value: T | None, error: Exception | None) -> None:
            self.figures.calls_running -= 1
            self._places.free(place)
            ended.set()
            if future.done():  # given up: cancelled or past its deadline
                if beat is not None and beat.scratch is not None and error is None:
                    loop.run_in_executor(None, _discard, beat.scratch)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)  # type: ignore[arg-type]  # T when there is no error

        def run() -> None:
            _run(loop, work, settle)

        self.figures.calls_running += 1
        threading.Thread(target=run, name=f"backend-{self.name}", daemon=True).start()
        try:
            return await self._within(future, seconds, deadline, beat)
        except asyncio.CancelledError:
            await _let_end(ended, beat)
            raise
        except _GivenUpError as exc:
            raise BackendTimeoutError(
                f"backend {self.name} did not answer {operation} within {exc}",
                context={"backend": self.name, "operation": operation},
            ) from exc
        finally:
            if not ended.is_set():
                self._give_up(place, beat)

    async def _take_place(self, operation: str, seconds: float, beat: _Beat | None) -> Place:
        """Wait for a place within the call's own time."""
        is_read = beat is not None and beat.scratch is not None
        try:
            place = await self._places.take(seconds, is_read=is_read)
        except HangingError as exc:
            raise BackendUnavailableError(
                f"backend {self.name} has calls that do not end, and no place for another",
                context={"backend": self.name, "operation": operation},
            ) from exc
        if beat is not None:
            beat.begin()
        return place

    def _busy(self, operation: str, exc: BusyError) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"backend {self.name} was busy with other calls for {exc}",
            hint="Repeat it when downloads, restores or what is being stored have ended.",
            context={"backend": self.name, "operation": operation},
        )

    def _give_up(self, place: Place, beat: _Beat | None) -> None:
        """Leave a call to itself: a transfer ends when its next byte comes."""
        if beat is not None:
            beat.is_over = True
        self._places.give_up(place)

    async def _within(
        self, future: asyncio.Future[T], seconds: float, deadline: float, beat: _Beat | None
    ) -> T:
        """Wait for a call; give it up past its deadline, or when no byte moves any more."""
        now, stall = asyncio.get_running_loop().time, self.options.stall_timeout_seconds
        try:
            while not future.done():
                left, limit = deadline - now(), seconds
                if beat is not None and beat.at + stall < deadline:
                    left, limit = beat.at + stall - now(), stall
                if left <= 0:
                    raise _GivenUpError(limit)
                await asyncio.wait((future,), timeout=left)
            return future.result()
        finally:
            future.cancel()  # whatever comes yet, nobody waits for it


def _run(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], T],
    settle: Callable[[T | None, Exception | None], None],
) -> None:
    """Do the work of a call, in its thread, and tell the loop what came of it."""
    value: T | None = None
    failure: Exception | None = None
    try:
        value = work()
    except Exception as exc:  # noqa: BLE001 - carried to the caller, translated there
        failure = exc
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle, value, failure)


async def _let_end(ended: asyncio.Event, beat: _Beat | None) -> None:
    """Give a call that was cancelled a moment to end: who cleans up must come after it."""
    if beat is not None:
        beat.is_over = True
    with suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_WAIT_SECONDS):
            await ended.wait()


def _discard(scratch: Path) -> None:
    """Remove the file of a read that ended well after nobody waited for it any more."""
    with suppress(OSError):
        scratch.unlink(missing_ok=True)


_TRANSLATIONS: tuple[tuple[type[theirs.BackendError], type[PerdureError]], ...] = (
    (theirs.BlobNotFoundError, BlobNotFoundError),
    (theirs.BlobExistsError, BlobExistsError),
    (theirs.BlobCorruptError, SnapshotDamagedError),
    (theirs.BlobTooLargeError, SnapshotDamagedError),
    (theirs.InvalidRangeError, SnapshotDamagedError),
    (theirs.SourceMismatchError, CutDamagedError),
    (theirs.SourceUnreadableError, CutDamagedError),
    (theirs.BackendUnavailableError, BackendUnavailableError),
    (theirs.BackendChecksumError, BackendUnavailableError),
    (theirs.BackendFullError, ExhaustedError),
    (theirs.BackendError, BackendRefusedError),
)


def translate(exc: Exception, backend: str, operation: str, key: str) -> PerdureError:
    """Return our error for what a backend or the local file raised; keep the backend's code."""
    if isinstance(exc, PerdureError):
        return exc
    context: dict[str, object] = {"backend": backend, "operation": operation, "key": key}
    for kind, ours in _TRANSLATIONS:
        if isinstance(exc, kind):
            keeps = ours not in {SnapshotDamagedError, CutDamagedError, BlobExistsError}
            return ours(
                f"backend {backend}: {exc.message}",
                code=exc.code if keeps else None,
                hint=exc.hint,
                is_retryable=exc.is_retryable,
                context=context | exc.context,
            )
    if isinstance(exc, OSError):
        return local_disk_error(exc, f"{operation} {key}")
    message = f"backend {backend} broke its contract in {operation} {key}: {exc!r}"
    return InternalError(message, context=context)


class Storages:
    """All configured backends, in the order of their names."""

    def __init__(self, storages: Iterable[Storage]) -> None:
        self._by_name = {s.name: s for s in sorted(storages, key=lambda s: s.name)}

    def __getitem__(self, name: str) -> Storage:
        """Return a backend, or raise NotFoundError (BACKEND_NOT_FOUND)."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFoundError(
                f"no backend is named {name!r}",
                code="BACKEND_NOT_FOUND",
                hint=f"Configured backends: {', '.join(self._by_name) or 'none'}.",
                context={"backend": name},
            ) from None

    def __iter__(self) -> Iterator[Storage]:
        return iter(self._by_name.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, sorted."""
        return tuple(self._by_name)

    def select(self, names: Iterable[str]) -> list[Storage]:
        """Return the named backends, or all when none is named."""
        wanted = list(names)
        return [self[name] for name in wanted] if wanted else list(self)
