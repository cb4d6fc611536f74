"""A backend that hangs keeps nobody: not the end of the process, not the schedules at its start."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar import control_plane
from sidecar.control_plane import CoreOptions
from sidecar.model import OperationState, Trigger
from sidecar.records import decode_restore_outcome
from sidecar.usecases import CreateSnapshot
from tests.support.control_bench import ControlBench, until
from tests.unit.sidecar.test_storage_faults import ScriptedBackend, make_storage

PATIENCE_SECONDS = 20.0  # far below what a backend may take for a payload


async def hanging(tmp_path: Path) -> tuple[ControlBench, ScriptedBackend]:
    """Boot on one backend, whose calls of `put` can be made to hang for ever."""
    backend = ScriptedBackend(tmp_path / "s")
    bench = ControlBench(tmp_path)
    await bench.boot(CoreOptions(storages=(make_storage(backend, "s", 3600),)))
    return bench, backend


async def test_stop_does_not_wait_for_the_backend_that_a_safety_cut_goes_to(
    tmp_path: Path,
) -> None:
    """The switch is done and recorded: the next boot says so, and ships what was replaced."""
    bench, backend = await hanging(tmp_path)
    bench.engine.data = {"k": "old"}
    snapshot = await bench.take()
    bench.engine.data = {"k": "new"}
    backend.gate.clear()
    operation = await bench.core.control_plane.restores.restore(snapshot.snapshot_id)
    await until(lambda: bench.engine.commits == 1)
    await until(lambda: bench.core.ground.storages["s"].figures.calls_running == 1)
    stopping = asyncio.create_task(bench.core.stop())
    done, _ = await asyncio.wait([stopping], timeout=PATIENCE_SECONDS)
    backend.gate.set()
    assert done, "the stop waited for the backend"
    bench._drop()
    await bench.boot(CoreOptions(storages=(make_storage(ScriptedBackend(tmp_path / "s"), "s"),)))
    known = bench.core.ground.operations.get(operation.operation_id)
    assert known.state is OperationState.DONE
    assert known.result
    outcome = decode_restore_outcome(known.result)
    await bench.core.maintain()
    safety = bench.core.control_plane.snapshots.get(str(outcome.safety_snapshot_id))
    assert safety.manifest.trigger is Trigger.SAFETY
    await bench.stop()


async def test_schedules_run_while_a_spooled_cut_goes_to_a_hanging_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane, "FIRST_SETTLE_SECONDS", 0.05)
    bench, backend = await hanging(tmp_path)
    bench.core.pipeline.stop()
    backend.gate.clear()
    await bench.core.control_plane.snapshots.create(CreateSnapshot())
    await until(lambda: any(name.endswith(".proof.json") for name in bench.spool_files()))
    await bench.core.stop()
    bench._drop()
    await until(lambda: len(bench.spool_files()) == 4)  # a thread that packs ends at its next look
    slow = ScriptedBackend(tmp_path / "s")
    slow.gate.clear()
    await bench.boot(CoreOptions(storages=(make_storage(slow, "s", 3600),)))
    bench.core.start()
    await until(lambda: bench.core.figures.schedule_next_run_at != {})
    bench.clock.advance(timedelta(hours=1))
    await until(lambda: bench.engine.cuts == 1)
    await bench.core.stop()
    slow.gate.set()
    backend.gate.set()
    bench._drop()
