"""What the control plane asks of the engine, as types: the border, seen from here.

`NativeEngine` is `sidecar._engine.Engine` (every call returns at once); `EnginePort` is what
use cases see (`sidecar.engine.EngineAdapter` makes the one from the other). Results are frozen
dataclasses, so that a changed key of the border is found in one place.
"""
# ruff: noqa: D102, FBT001 - the border's own methods are documented in `_engine.pyi`

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from sidecar.model import JsonObject, KeyCounts, Progress

ProgressSink: TypeAlias = Callable[[Progress], None]


class EngineState(StrEnum):
    """Where the engine stands."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class NativeEngine(Protocol):
    """The border itself, as `sidecar._engine` offers it."""

    def ports(self) -> dict[str, int]: ...
    def event_fd(self) -> int: ...
    def take_events(self) -> list[str]: ...
    def stats(self) -> str: ...
    def cut(self, path: str, purpose: str) -> int: ...
    def verify(self, path: str) -> int: ...
    def load_beside(self, path: str) -> int: ...
    def discard(self, stage: int) -> int: ...
    def commit(self, stage: int, safety_path: str) -> int: ...
    def cancel(self, job: int) -> None: ...
    def config_get(self, pattern: str) -> int: ...
    def config_set(self, pairs: list[tuple[str, str]]) -> int: ...
    def stop(self, save: bool | None) -> int: ...


@dataclass(frozen=True, slots=True)
class CutResult:
    """A finished cut: the file is written and fsynced, not yet believed."""

    size_bytes: int
    keys: int
    fork_seconds: float
    pause_seconds: float
    cow_bytes: int
    write_seconds: float
    cut_at: datetime
    rdb_version: int


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What reading a file back past the page cache and parsing it said."""

    size_bytes: int
    sha256: str
    rdb_version: int
    redis_version: str
    created_at: datetime | None
    used_memory_bytes: int
    keys: int
    expires: int
    databases: Mapping[int, KeyCounts]
    log_position: tuple[int, int] | None = None  # (epoch, offset) at the cut; None without a log


@dataclass(frozen=True, slots=True)
class StageResult:
    """A keyspace that stands beside the live one and takes memory until discarded."""

    stage: int
    memory_bytes: int
    expired_skipped: int
    verified: VerifyResult


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The switch happened; the safety cut of what was there is written and verified."""

    safety: CutResult
    safety_verified: VerifyResult
    pause_seconds: float
    keys: int
    previous_keys: int


class EnginePort(Protocol):
    """The engine as the use cases see it; every failure is a PerdureError."""

    @property
    def state(self) -> EngineState:
        """Return the last state that the engine told."""
        ...

    def stats(self) -> JsonObject:
        """Return the engine's figures, from atomics only."""
        ...

    async def cut(
        self, path: Path, purpose: str, on_progress: ProgressSink | None = None
    ) -> CutResult:
        """Fork a snapshot into `path`, which must not exist."""
        ...

    async def verify(self, path: Path, on_progress: ProgressSink | None = None) -> VerifyResult:
        """Read `path` back past the page cache, parse all of it and hash it."""
        ...

    async def load_beside(self, path: Path, on_progress: ProgressSink | None = None) -> StageResult:
        """Parse `path` into a staged keyspace; the live one is untouched."""
        ...

    async def discard(self, stage: int) -> None:
        """Free a staged keyspace."""
        ...

    async def commit(
        self, stage: int, safety_path: Path, on_progress: ProgressSink | None = None
    ) -> CommitResult:
        """Replace the live keyspace by the stage, a safety cut first. Not cancellable."""
        ...

    async def config_get(self, pattern: str) -> dict[str, str]:
        """Return directives that match the glob."""
        ...

    async def config_set(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Set all of the directives or none."""
        ...
