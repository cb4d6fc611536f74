"""An engine that behaves as the border says, in memory, for tests of the control plane.

It implements our `NativeEngine` protocol: calls return at once, ends arrive through an eventfd. Its
"RDB" is a tiny real file with a checksum, so that truncation and bit flips are seen. Scripted
faults: `fail_next`, `hold` (a job does not end until `release`), `on_job` (called as a job runs).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

MAGIC = b"FAKERDB1"
Data = dict[str, str]

LOG_POSITION = {"epoch": 1_795_000_000_000, "offset": 4_711}  # at every cut


class FakeEngineError(Exception):
    """What a native call raises."""

    def __init__(self, code: str, message: str = "", *, is_retryable: bool = False) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.hint = "fake hint"
        self.is_retryable = is_retryable
        self.context: dict[str, str] = {}

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "is_retryable": self.is_retryable,
            "context": self.context,
        }


def dump_fake(data: Data) -> bytes:
    """Return the bytes of a file that holds `data`."""
    body = json.dumps(data, sort_keys=True).encode()
    return MAGIC + hashlib.sha256(body).digest() + body


def load_fake(path: Path) -> Data:
    """Read a file back; FakeEngineError RDB_CORRUPT when anything in it changed."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FakeEngineError("FILE_MISSING", str(path)) from None
    body = raw[len(MAGIC) + 32 :]
    if raw[: len(MAGIC) + 32] != MAGIC + hashlib.sha256(body).digest():
        raise FakeEngineError("RDB_CORRUPT", f"{path.name} is damaged")
    found: Data = json.loads(body)
    return found


class FakeEngine:
    """The border's engine on a data dir."""

    def __init__(self, data_dir: Path, now_ms: Callable[[], int] = lambda: 0) -> None:
        self.rdb = data_dir / "dump.rdb"
        self.now_ms = now_ms
        self.data: Data = load_fake(self.rdb) if self.rdb.exists() else {}
        self.parameters = {"save": "3600 1", "maxmemory": "0"}
        self.stages: dict[int, Data] = {}
        self.cuts = 0
        self.commits = 0
        self.cancelled: list[int] = []
        self.fail_next: dict[str, FakeEngineError] = {}
        self.on_job: Callable[[str], None] = lambda _kind: None
        self.held: set[str] = set()
        self._waiting: list[tuple[int, str, Callable[[], dict[str, object]]]] = []
        self._events: list[str] = []
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)
        self._last = 0
        self.tell({"event": "state", "state": "ready"})

    # --- the border -------------------------------------------------------------------

    def ports(self) -> dict[str, int]:
        return {"resp": 6379, "data": 6380}

    def event_fd(self) -> int:
        return self._fd

    def take_events(self) -> list[str]:
        events, self._events = self._events, []
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        return events

    def stats(self) -> str:
        return json.dumps({"keys": {"0": len(self.data)}, "dirty": 3, "used_memory_bytes": 1000})

    def cut(self, path: str, purpose: str) -> int:  # noqa: ARG002 - the border's own signature
        return self._begin("cut", lambda: self._cut(Path(path)))

    def verify(self, path: str) -> int:
        return self._begin("verify", lambda: self._verify(Path(path)))

    def load_beside(self, path: str) -> int:
        def work() -> dict[str, object]:
            result = self._verify(Path(path))
            stage = len(self.stages) + 1
            self.stages[stage] = load_fake(Path(path))
            return result | {"stage": stage, "memory_bytes": 100, "expired_skipped": 0}

        return self._begin("load_beside", work)

    def discard(self, stage: int) -> int:
        def work() -> dict[str, object]:
            self.stages.pop(stage, None)
            return {}

        return self._begin("discard", work)

    def commit(self, stage: int, safety_path: str) -> int:
        def work() -> dict[str, object]:
            cut = self._cut(Path(safety_path)) | {"verified": self._verify(Path(safety_path))}
            self.on_job("commit.cut")
            previous = len(self.data)
            temporary = self.rdb.with_suffix(".tmp")
            temporary.write_bytes(dump_fake(self.stages[stage]))
            temporary.rename(self.rdb)
            self.data = self.stages.pop(stage)
            self.commits += 1
            self.on_job("commit.switched")
            return {
                "safety": cut,
                "pause_seconds": 0.01,
                "keys": len(self.data),
                "previous_keys": previous,
            }

        return self._begin("commit", work)

    def cancel(self, job: int) -> None:
        self.cancelled.append(job)
        for item in [item for item in self._waiting if item[0] == job]:
            self._waiting.remove(item)
            self._fail(job, FakeEngineError("CANCELLED"))

    def config_get(self, pattern: str) -> int:  # noqa: ARG002 - the border's own signature
        return self._begin("config_get", lambda: {"parameters": dict(self.parameters)})

    def config_set(self, pairs: list[tuple[str, str]]) -> int:
        def work() -> dict[str, object]:
            for name, _ in pairs:
                if name not in self.parameters:
                    raise FakeEngineError("CONFIG_UNKNOWN", f"no directive {name}")
            self.parameters.update(pairs)
            return {}

        return self._begin("config_set", work)

    def stop(self, save: bool | None) -> int:  # noqa: FBT001 - the border's own signature
        def work() -> dict[str, object]:
            if save or (save is None and self.parameters.get("save")):
                self.rdb.write_bytes(dump_fake(self.data))
            return {}

        return self._begin("stop", work)

    # --- jobs -------------------------------------------------------------------------

    def tell(self, event: dict[str, object]) -> None:
        """Queue an event."""
        self._events.append(json.dumps(event))
        os.eventfd_write(self._fd, 1)

    def hold(self, kind: str) -> None:
        """Let jobs of a kind wait."""
        self.held.add(kind)

    def release(self, kind: str) -> None:
        """Let them end."""
        self.held.discard(kind)
        for item in [item for item in self._waiting if item[1] == kind]:
            self._waiting.remove(item)
            self._finish(*item)

    @property
    def waiting(self) -> list[str]:
        """Return the kinds of the jobs that wait."""
        return [kind for _, kind, _ in self._waiting]

    def _begin(self, kind: str, work: Callable[[], dict[str, object]]) -> int:
        self._last += 1
        if kind in self.held:
            self._waiting.append((self._last, kind, work))
        else:
            self._finish(self._last, kind, work)
        return self._last

    def _finish(self, job: int, kind: str, work: Callable[[], dict[str, object]]) -> None:
        try:
            if (error := self.fail_next.pop(kind, None)) is not None:
                raise error
            result = work()
            self.on_job(kind)
        except FakeEngineError as exc:
            self._fail(job, exc)
        else:
            self.tell({"event": "done", "job": job, "result": result})

    def _fail(self, job: int, error: FakeEngineError) -> None:
        self.tell({"event": "failed", "job": job, "error": error.to_json()})

    def _cut(self, path: Path) -> dict[str, object]:
        with path.open("xb") as file:
            file.write(dump_fake(self.data))
        self.cuts += 1
        return {
            "path": str(path),
            "size_bytes": path.stat().st_size,
            "keys": len(self.data),
            "fork_seconds": 0.001,
            "pause_seconds": 0.002,
            "cow_bytes": 4096,
            "write_seconds": 0.01,
            "cut_unix_ms": self.now_ms(),
            "log_position": LOG_POSITION,
            "rdb_version": 10,
        }

    def _verify(self, path: Path) -> dict[str, object]:
        data = load_fake(path)
        count = len(data)
        return {
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rdb_version": 10,
            "redis_version": "7.0.15",
            "created_unix_s": self.now_ms() // 1000,
            "used_memory_bytes": 1000,
            "log_position": LOG_POSITION,
            "aux": {},
            "keys": count,
            "expires": 0,
            "databases": {"0": {"keys": count, "expires": 0, "types": {"string": count}}},
        }

    def close(self) -> None:
        """Let go of the eventfd."""
        os.close(self._fd)
