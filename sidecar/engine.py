"""asyncio over the engine's border: a job becomes an awaitable, its events callbacks.

Every native call returns at once; its end arrives through the eventfd as a JSON document, which is
read with `add_reader`. Cancelling an awaiting task asks the engine to cancel the job and then
waits for the job's own end, so that its files may be touched afterwards. `EngineError` and failed
jobs become PerdureError here and nowhere else. Guards I8: nothing here waits for a lock or a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from sidecar.engine_port import (
    CommitResult,
    CutResult,
    EngineState,
    NativeEngine,
    ProgressSink,
    StageResult,
    VerifyResult,
)
from sidecar.errors import (
    CancelledOperationError,
    ConfigError,
    CorruptError,
    EngineFailedError,
    EngineNotReadyError,
    ExhaustedError,
    InternalError,
    PerdureError,
)
from sidecar.json_fields import Fields, from_unix_ms
from sidecar.manifest import decode_databases, decode_position
from sidecar.model import JsonObject, Progress

_log = structlog.get_logger(__name__)
_engine_log = structlog.get_logger("engine")
CANCEL_WAIT_SECONDS = 30.0
LOADED = "data_set_loaded"
StateListener: TypeAlias = Callable[[EngineState], None]
LogListener: TypeAlias = Callable[[str, str, JsonObject], None]  # level, name, fields

# What the engine's codes mean here; every other code keeps its text as EngineFailedError.
_CLASSES: tuple[tuple[str, type[PerdureError]], ...] = (
    ("CANCELLED", CancelledOperationError),
    ("ENGINE_NOT_READY", EngineNotReadyError),
    ("LOADING", EngineNotReadyError),
    ("DISK_FULL", ExhaustedError),
    ("OUT_OF_MEMORY", ExhaustedError),
    ("MEMORY_", ExhaustedError),
    ("CONFIG_", ConfigError),
    ("AOF_", CorruptError),
    ("RDB_", CorruptError),
    ("STATE_FILE_", CorruptError),
)


@dataclass(slots=True)
class _Job:
    future: asyncio.Future[Fields]
    on_progress: ProgressSink | None


class EngineAdapter:
    """The engine as the use cases see it; an `EnginePort`."""

    def __init__(self, native_error: type[Exception] = Exception) -> None:
        self._bound: NativeEngine | None = None
        self._native_error = native_error
        self._jobs: dict[int, _Job] = {}
        self._state = EngineState.LOADING
        self._error: PerdureError | None = None
        self._state_changed = asyncio.Event()
        self._listeners: list[StateListener] = []
        self._log_listeners: list[LogListener] = []
        self._exit_requested = asyncio.Event()
        self.loaded_keys: int | None = None
        """How many keys the load at the start gave; None before its end."""

    @property
    def _native(self) -> NativeEngine:
        if self._bound is None:
            raise EngineNotReadyError("the engine is not started yet")
        return self._bound

    def attach(self, native: NativeEngine) -> None:
        """Take the engine and begin to read its events on the running loop."""
        self._bound = native
        asyncio.get_running_loop().add_reader(self._native.event_fd(), self._drain)
        self._drain()

    def detach(self) -> None:
        """Stop reading events; what is awaited fails."""
        asyncio.get_running_loop().remove_reader(self._native.event_fd())
        for job in self._jobs.values():
            if not job.future.done():
                job.future.set_exception(EngineNotReadyError("the engine is detached"))
        self._jobs.clear()

    # --- state ------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        """Return the last state that the engine told."""
        return self._state

    @property
    def error(self) -> PerdureError | None:
        """Return why the engine failed, once it did."""
        return self._error

    @property
    def exit_requested(self) -> asyncio.Event:
        """Return what is set when a client's SHUTDOWN asks the process to end."""
        return self._exit_requested

    def add_listener(self, listener: StateListener) -> None:
        """Call `listener` at each change of state, on the loop."""
        self._listeners.append(listener)

    def add_log_listener(self, listener: LogListener) -> None:
        """Call `listener` with each line that the engine logs, on the loop."""
        self._log_listeners.append(listener)

    async def wait_loaded(self) -> None:
        """Wait until the data set is served; raise what kept it from being."""
        while self._state is EngineState.LOADING:
            await self._state_changed.wait()
            self._state_changed.clear()
        if self._state is not EngineState.READY:
            raise self._error or EngineNotReadyError(f"the engine is {self._state.value}")

    def ports(self) -> dict[str, int]:
        """Return the ports that the engine listens on."""
        return self._native.ports()

    def stats(self) -> JsonObject:
        """Return the engine's figures, from atomics only."""
        return Fields.parse(self._native.stats(), "engine stats", InternalError).raw()

    # --- jobs -------------------------------------------------------------------------

    async def cut(
        self, path: Path, purpose: str, on_progress: ProgressSink | None = None
    ) -> CutResult:
        """Fork a snapshot into `path`, which must not exist."""
        return _decode_cut(
            await self._job(lambda: self._native.cut(str(path), purpose), on_progress)
        )

    async def verify(self, path: Path, on_progress: ProgressSink | None = None) -> VerifyResult:
        """Read `path` back past the page cache, parse all of it and hash it."""
        return _decode_verify(await self._job(lambda: self._native.verify(str(path)), on_progress))

    async def load_beside(self, path: Path, on_progress: ProgressSink | None = None) -> StageResult:
        """Parse `path` into a staged keyspace; the live one is untouched."""
        fields = await self._job(
            lambda: self._native.load_beside(str(path)), on_progress, self._drop_stage
        )
        return StageResult(
            stage=fields.number("stage"),
            memory_bytes=fields.number("memory_bytes"),
            expired_skipped=fields.number("expired_skipped"),
            verified=_decode_verify(fields),
        )

    def _drop_stage(self, fields: Fields) -> None:
        """Free a stage that nobody waits for any more; the engine has room for one only."""
        try:
            self._native.discard(fields.number("stage"))
        except self._native_error as exc:
            _log.warning("stage_not_discarded", error=str(exc))

    async def discard(self, stage: int) -> None:
        """Free a staged keyspace."""
        await self._job(lambda: self._native.discard(stage))

    async def commit(
        self, stage: int, safety_path: Path, on_progress: ProgressSink | None = None
    ) -> CommitResult:
        """Replace the live keyspace by the stage, a safety cut first. Not cancellable."""
        fields = await self._job(lambda: self._native.commit(stage, str(safety_path)), on_progress)
        safety = fields.child("safety")
        return CommitResult(
            safety=_decode_cut(safety),
            safety_verified=_decode_verify(safety.child("verified")),
            pause_seconds=fields.seconds("pause_seconds"),
            keys=fields.number("keys"),
            previous_keys=fields.number("previous_keys"),
        )

    async def config_get(self, pattern: str) -> dict[str, str]:
        """Return directives that match the glob."""
        fields = await self._job(lambda: self._native.config_get(pattern))
        parameters = fields.child("parameters")
        return {name: parameters.text(name) for name in parameters.names()}

    async def config_set(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Set all of the directives or none."""
        await self._job(lambda: self._native.config_set(list(pairs)))

    async def stop(self, *, save: bool | None) -> None:
        """Stop as SHUTDOWN SAVE or NOSAVE does; done when the engine is stopped.

        None saves if save points are configured, as redis-server does on SIGTERM.
        """
        await self._job(lambda: self._native.stop(save))

    async def _job(
        self,
        begin: Callable[[], int],
        on_progress: ProgressSink | None = None,
        undo: Callable[[Fields], None] | None = None,
    ) -> Fields:
        """Begin a job and wait; `undo` takes a result that came although it was cancelled."""
        try:
            number = begin()
        except self._native_error as exc:
            raise _translate(exc) from exc
        job = _Job(asyncio.get_running_loop().create_future(), on_progress)
        self._jobs[number] = job
        try:
            return await asyncio.shield(job.future)
        except asyncio.CancelledError:
            job.future.add_done_callback(lambda future: self._abandon(number, future, undo))
            if not job.future.done():
                self._native.cancel(number)
                # Its files are its own until it has ended; a job that does not end is left alone.
                await asyncio.wait([job.future], timeout=CANCEL_WAIT_SECONDS)
            raise
        finally:
            if job.future.done():
                self._jobs.pop(number, None)

    def _abandon(
        self, number: int, future: asyncio.Future[Fields], undo: Callable[[Fields], None] | None
    ) -> None:
        """See the end of a job whose caller has gone, and undo what it may still have made."""
        self._jobs.pop(number, None)
        if not future.cancelled() and future.exception() is None and undo is not None:
            undo(future.result())

    # --- events -----------------------------------------------------------------------

    def _drain(self) -> None:
        for text in self._native.take_events():
            try:
                self._dispatch(Fields.parse(text, "engine event", InternalError))
            except PerdureError as exc:
                _log.error("engine_event_unreadable", error=exc.message)  # one bad event, not all
            except (ValueError, TypeError):
                _log.exception("engine_event_broke")

    def _dispatch(self, event: Fields) -> None:
        kind = event.text("event")
        if kind in {"done", "failed", "progress"}:
            job = self._jobs.get(event.number("job"))
            if job is not None and not job.future.done():
                self._settle(job, kind, event)
        elif kind == "state":
            self._change_state(event)
        elif kind == "log":
            level = event.text("level")
            write = {"error": _engine_log.error, "warning": _engine_log.warning}.get(level)
            fields = {k: v for k, v in event.child("fields").raw().items() if k != "event"}
            if event.text("name") == LOADED:
                self.loaded_keys = event.child("fields").number("keys")
            (write or _engine_log.info)(event.text("name"), **fields)
            for listener in self._log_listeners:
                listener(level, event.text("name"), fields)
        elif kind == "exit_requested":
            self._exit_requested.set()

    def _settle(self, job: _Job, kind: str, event: Fields) -> None:
        if kind == "done":
            job.future.set_result(event.child("result"))
        elif kind == "failed":
            job.future.set_exception(decode_engine_error(event.child("error")))
        elif job.on_progress is not None:
            phase = event.text("phase")
            unit = "bytes" if phase in {"verify", "load"} else "keys"
            job.on_progress(Progress(phase, event.number("done"), event.number("total"), unit))

    def _change_state(self, event: Fields) -> None:
        self._state = EngineState(event.text("state"))
        if event.has("error"):
            self._error = decode_engine_error(event.child("error"))
        self._state_changed.set()
        for listener in self._listeners:
            listener(self._state)


def decode_engine_error(fields: Fields) -> PerdureError:
    """Return our error for one that the engine told."""
    context = fields.child("context")
    return _make_error(
        fields.text("code"),
        fields.text("message"),
        fields.text("hint"),
        is_retryable=fields.flag("is_retryable"),
        context={name: str(value) for name, value in context.raw().items()},
    )


def translate_native(exc: Exception) -> PerdureError:
    """Return our error for an EngineError that a native call raised (the constructor's too)."""
    return _translate(exc)


def _translate(exc: Exception) -> PerdureError:
    context = getattr(exc, "context", {})
    return _make_error(
        str(getattr(exc, "code", "ENGINE_FAILED")),
        str(getattr(exc, "message", exc)),
        str(getattr(exc, "hint", "")),
        is_retryable=bool(getattr(exc, "is_retryable", False)),
        context=context if isinstance(context, dict) else {},
    )


def _make_error(
    code: str, message: str, hint: str, *, is_retryable: bool, context: dict[str, str]
) -> PerdureError:
    kind = next((k for prefix, k in _CLASSES if code.startswith(prefix)), EngineFailedError)
    return kind(message, code=code, hint=hint, is_retryable=is_retryable, context=context)


# --- results -----------------------------------------------------------------------------


def _decode_cut(fields: Fields) -> CutResult:
    return CutResult(
        size_bytes=fields.number("size_bytes"),
        keys=fields.number("keys"),
        fork_seconds=fields.seconds("fork_seconds"),
        pause_seconds=fields.seconds("pause_seconds"),
        cow_bytes=fields.number("cow_bytes"),
        write_seconds=fields.seconds("write_seconds"),
        cut_at=from_unix_ms(fields.number("cut_unix_ms")),
        rdb_version=fields.number("rdb_version"),
    )


def _decode_verify(fields: Fields) -> VerifyResult:
    created = fields.maybe_number("created_unix_s")
    return VerifyResult(
        size_bytes=fields.number("size_bytes"),
        sha256=fields.text("sha256"),
        rdb_version=fields.number("rdb_version"),
        redis_version=fields.maybe_text("redis_version") or "",
        created_at=from_unix_ms(created * 1000) if created else None,
        used_memory_bytes=fields.maybe_number("used_memory_bytes") or 0,
        keys=fields.number("keys"),
        expires=fields.number("expires"),
        databases=decode_databases(fields.child("databases")),
        log_position=decode_position(fields),
    )
