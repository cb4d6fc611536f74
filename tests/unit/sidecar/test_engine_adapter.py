"""The border as awaitables: results, errors, progress, cancel, states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.engine import EngineAdapter
from sidecar.engine_port import EngineState
from sidecar.errors import (
    ConfigError,
    CorruptError,
    EngineFailedError,
    EngineNotReadyError,
    ExhaustedError,
    PerdureError,
)
from sidecar.model import Progress
from tests.support.control_bench import until
from tests.support.fake_engine import FakeEngine, FakeEngineError, dump_fake


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[EngineAdapter, FakeEngine]]:
    """Give an adapter and the engine below it."""
    adapter, engine = EngineAdapter(FakeEngineError), FakeEngine(tmp_path)
    adapter.attach(engine)
    yield adapter, engine
    adapter.detach()
    engine.close()


Pair = tuple[EngineAdapter, FakeEngine]


async def test_cut_and_verify_give_typed_results(pair: Pair, tmp_path: Path) -> None:
    adapter, engine = pair
    engine.data = {"a": "1"}
    cut = await adapter.cut(tmp_path / "x.rdb", "cut")
    found = await adapter.verify(tmp_path / "x.rdb")
    assert (cut.keys, found.keys, found.size_bytes) == (1, 1, cut.size_bytes)
    assert found.databases[0].types == {"string": 1}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RDB_CHECKSUM", CorruptError),
        ("DISK_FULL", ExhaustedError),
        ("ENGINE_NOT_READY", EngineNotReadyError),
        ("CONFIG_SET_FAILED", ConfigError),
        ("STAGE_BUSY", EngineFailedError),
    ],
)
async def test_failed_job_is_a_typed_error_with_the_engines_code(
    pair: Pair, tmp_path: Path, code: str, kind: type[PerdureError]
) -> None:
    adapter, engine = pair
    engine.fail_next["verify"] = FakeEngineError(code)
    with pytest.raises(kind) as caught:
        await adapter.verify(tmp_path / "x")
    assert (caught.value.code, caught.value.hint) == (code, "fake hint")


async def test_error_of_the_call_itself_is_translated(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, engine = pair

    def refuse(_path: str, _purpose: str) -> int:
        raise FakeEngineError("TOO_MANY_JOBS")

    monkeypatch.setattr(engine, "cut", refuse)
    with pytest.raises(EngineFailedError) as caught:
        await adapter.cut(tmp_path / "x", "cut")
    assert caught.value.code == "TOO_MANY_JOBS"


async def test_progress_reaches_the_one_who_waits(pair: Pair, tmp_path: Path) -> None:
    adapter, engine = pair
    engine.hold("cut")
    seen: list[Progress] = []
    task = asyncio.create_task(adapter.cut(tmp_path / "x", "cut", seen.append))
    await until(lambda: engine.waiting == ["cut"])
    engine.tell({"event": "progress", "job": 1, "phase": "write", "done": 5, "total": 9})
    engine.tell({"event": "nonsense"})
    await until(lambda: bool(seen))
    engine.release("cut")
    await task
    assert seen == [Progress("write", 5, 9, "keys")]


async def test_cancel_asks_the_engine_and_waits_for_the_jobs_end(
    pair: Pair, tmp_path: Path
) -> None:
    adapter, engine = pair
    engine.hold("cut")
    task = asyncio.create_task(adapter.cut(tmp_path / "x", "cut"))
    await until(lambda: engine.waiting == ["cut"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.cancelled == [1]
    assert engine.waiting == []


async def test_failed_load_is_told_to_whoever_waits(pair: Pair) -> None:
    adapter, engine = pair
    await adapter.wait_loaded()
    states: list[EngineState] = []
    adapter.add_listener(states.append)
    error = FakeEngineError("RDB_TRUNCATED").to_json()
    engine.tell({"event": "state", "state": "failed", "error": error})
    await until(lambda: states == [EngineState.FAILED])
    with pytest.raises(CorruptError):
        await adapter.wait_loaded()


async def test_nothing_is_asked_before_there_is_an_engine() -> None:
    with pytest.raises(EngineNotReadyError):
        EngineAdapter(FakeEngineError).stats()


async def test_stage_that_came_although_it_was_cancelled_is_discarded(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job ends well just as its caller leaves: the engine's only place must be free again."""
    adapter, engine = pair
    (tmp_path / "x.rdb").write_bytes(dump_fake({"a": "1"}))
    monkeypatch.setattr(engine, "cancel", lambda _job: engine.release("load_beside"))
    engine.hold("load_beside")
    loading = asyncio.create_task(adapter.load_beside(tmp_path / "x.rdb"))
    await until(lambda: "load_beside" in engine.waiting)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await until(lambda: engine.stages == {})
