"""Operations: ends, cancels, repeats, restarts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar import catalogue
from sidecar.catalogue import Catalogue, open_catalogue
from sidecar.errors import (
    ConfigError,
    InternalError,
    InvalidArgumentError,
    NotCancellableError,
    NotFoundError,
    OperationInterruptedError,
    SnapshotDamagedError,
)
from sidecar.event_log import EventLog
from sidecar.model import JsonObject, Operation, OperationKind, OperationState, Phase, Progress
from sidecar.operations import OperationHandle, Operations, OperationStart
from sidecar.paging import ListRequest, paginate
from tests.support.driven_clock import DrivenClock

START = OperationStart(OperationKind.BACKEND_CHECK, "backends/x", {})


class Bench:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = DrivenClock()
        self.catalogue: Catalogue
        self.operations: Operations
        self.open()

    def open(self) -> None:
        self.catalogue = open_catalogue(self.path, self.clock.now(), timedelta(1)).catalogue
        self.operations = Operations(self.catalogue, self.clock, EventLog(self.clock))

    async def ended(self, operation: Operation) -> Operation:
        return await self.operations.wait(operation.operation_id, 30)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Give operations on a fresh catalogue."""
    bench = Bench(tmp_path / "x.db")
    yield bench
    bench.catalogue.close()


async def forever(_handle: OperationHandle) -> JsonObject:
    await asyncio.Event().wait()
    return {}


async def test_result_error_and_bug_end_an_operation_each_its_way(bench: Bench) -> None:
    async def good(handle: OperationHandle) -> JsonObject:
        handle.progress(Progress(Phase.CHECK, 1, 2, "checks"))
        return {"x": 1}

    async def damaged(_handle: OperationHandle) -> JsonObject:
        raise SnapshotDamagedError("bits")

    async def broken(_handle: OperationHandle) -> JsonObject:
        message = "secret detail"
        raise KeyError(message)

    done = await bench.ended(bench.operations.start(START, good))
    assert (done.state, done.result) == (OperationState.DONE, {"x": 1})
    failed = await bench.ended(bench.operations.start(START, damaged))
    assert failed.error
    assert failed.error["code"] == "SNAPSHOT_DAMAGED"
    bug = await bench.ended(bench.operations.start(START, broken))
    assert bug.error
    assert bug.error["code"] == "INTERNAL"
    assert "secret" not in str(bug.error)


async def test_cancel_before_the_first_line_ends_it_too(bench: Bench) -> None:
    operation = bench.operations.start(START, forever)
    cancelled = await bench.operations.cancel(operation.operation_id)
    assert cancelled.is_cancel_requested
    assert (await bench.ended(operation)).state is OperationState.CANCELLED
    with pytest.raises(NotCancellableError):
        await bench.operations.cancel(operation.operation_id)


async def test_cancel_is_refused_past_the_commit(bench: Bench) -> None:
    go = asyncio.Event()

    async def work(handle: OperationHandle) -> JsonObject:
        handle.close_to_cancel()
        await go.wait()
        return {}

    operation = bench.operations.start(START, work)
    await asyncio.sleep(0)
    with pytest.raises(NotCancellableError):
        await bench.operations.cancel(operation.operation_id)
    go.set()
    assert (await bench.ended(operation)).state is OperationState.DONE


async def test_wait_gives_it_as_it_stands_when_time_is_over(bench: Bench) -> None:
    operation = bench.operations.start(START, forever)
    assert not (await bench.operations.wait(operation.operation_id, 0.001)).is_done
    await bench.operations.cancel(operation.operation_id)
    await bench.ended(operation)


async def test_restart_fails_what_ran_and_keeps_what_ended(bench: Bench) -> None:
    async def good(_handle: OperationHandle) -> JsonObject:
        return {"x": 1}

    done = await bench.ended(bench.operations.start(START, good))
    running = bench.operations.start(START, forever)
    await bench.operations.stop()
    with pytest.raises(OperationInterruptedError):
        bench.operations.start(START, good)
    bench.catalogue.close()
    bench.open()
    (failed,) = bench.operations.adopt(())
    assert failed.operation_id == running.operation_id
    assert failed.error
    assert failed.error["code"] == "OPERATION_INTERRUPTED"
    assert bench.operations.get(done.operation_id) == done


async def test_unknown_and_deleted_operations_are_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError) as caught:
        bench.operations.get("0")
    assert caught.value.code == "OPERATION_NOT_FOUND"
    operation = bench.operations.start(START, forever)
    with pytest.raises(NotCancellableError):
        await bench.operations.delete(operation.operation_id)
    await bench.operations.cancel(operation.operation_id)
    await bench.ended(operation)
    await bench.operations.delete(operation.operation_id)
    with pytest.raises(NotFoundError):
        bench.operations.get(operation.operation_id)


def test_newer_database_is_refused_not_set_aside(tmp_path: Path) -> None:
    clock = DrivenClock()
    opened = open_catalogue(tmp_path / "x.db", clock.now(), timedelta(1))
    opened.catalogue._db.execute("PRAGMA user_version = 99")
    opened.catalogue.close()
    with pytest.raises(ConfigError) as caught:
        open_catalogue(tmp_path / "x.db", clock.now(), timedelta(1))
    assert caught.value.code == "CATALOGUE_TOO_NEW"
    assert not list(tmp_path.glob("*damaged*"))


def test_pages_cover_a_listing_once() -> None:
    items = list(range(25))
    seen: list[int] = []
    token = ""
    while True:
        page = paginate(items, ListRequest(10, token))
        seen += page.items
        token = page.next_page_token
        if not token:
            break
    assert seen == items
    for bad in (ListRequest(-1), ListRequest(1, "x"), ListRequest(1, "o-99999999999999")):
        with pytest.raises(InvalidArgumentError):
            paginate(items, bad)


async def test_repeat_of_a_forgotten_operation_begins_nothing(bench: Bench) -> None:
    """A lost answer repeated late must not restore a second time."""
    begun = []

    async def work(_handle: OperationHandle) -> JsonObject:
        begun.append(1)
        return {}

    start = OperationStart(OperationKind.RESTORE, "snapshots/x", {}, "request")
    done = await bench.ended(bench.operations.start(start, work))
    assert bench.operations.start(start, work).operation_id == done.operation_id
    await bench.operations.delete(done.operation_id)
    with pytest.raises(NotFoundError):
        bench.operations.start(start, work)
    assert begun == [1]


async def test_request_id_that_cannot_be_kept_leaves_no_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(catalogue, "_insert_request", refuse)
    monkeypatch.setattr(sqlite3.OperationalError, "sqlite_errorcode", 10, raising=False)
    start = OperationStart(OperationKind.BACKEND_CHECK, "backends/x", {}, "request")
    with pytest.raises(InternalError):
        bench.operations.start(start, forever)
    assert bench.operations.list(ListRequest(), only_running=True).items == ()
