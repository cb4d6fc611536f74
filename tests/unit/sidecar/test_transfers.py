"""Downloads and imports on the control plane with the fake engine; a kill at each step."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.errors import (
    BackendTimeoutError,
    ExhaustedError,
    ImportBrokenError,
    ImportRefusedError,
    InvalidArgumentError,
    PerdureError,
    SnapshotDamagedError,
)
from sidecar.model import Operation, OperationState, Phase, Trigger
from sidecar.transfers import TransferOptions, Transfers
from sidecar.uploads import IncomingFile, Upload
from sidecar.usecases import DownloadSnapshot, ImportSnapshot
from tests.support.control_bench import ControlBench, disk_at, until
from tests.support.fake_engine import FakeEngineError, dump_fake

FILE = dump_fake({"from": "outside", "b": "2", "c": "3"})
STEPS = (
    "import.received",
    "import.verified",
    "import.planned",
    "import.placed",
    "import.proof_recorded",
    "snapshot.packed",
    "snapshot.payload_put",
    "snapshot.manifest_put",
    "snapshot.catalogued",
    "snapshot.shipped",
    "snapshot.cleaned",
)


def _announce(content: bytes) -> ImportSnapshot:
    return ImportSnapshot(len(content), hashlib.sha256(content).hexdigest())


async def _chunks(content: bytes, size: int = 10) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def _import(bench: ControlBench, content: bytes, request_id: str = "r1") -> Operation:
    return await bench.core.control_plane.transfers.import_file(
        _announce(content), _chunks(content), request_id
    )


async def test_import_is_a_snapshot_like_any_other(bench: ControlBench) -> None:
    """It is listed, says that it came from outside, and can be restored; the spool is empty."""
    done = await bench.ended(await _import(bench, FILE))
    assert done.state is OperationState.DONE, done.error
    snapshot = bench.listed()[0]
    assert done.result == {"snapshot_id": snapshot.snapshot_id}
    assert snapshot.manifest.trigger is Trigger.IMPORT
    assert snapshot.manifest.raw_sha256 == hashlib.sha256(FILE).hexdigest()
    assert snapshot.manifest.log_position is None
    assert snapshot.manifest.cut_at <= bench.clock.now()
    assert bench.spool_files() == []
    restored = await bench.restored(snapshot.snapshot_id)
    assert restored.state is OperationState.DONE, restored.error
    assert bench.engine.data == {"from": "outside", "b": "2", "c": "3"}


async def test_import_does_not_pass_for_a_backup_of_this_server(tmp_path: Path) -> None:
    """Neither in the figures that alerts stand on, nor at a start that takes the latest."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"mine": "1"}
    await bench.take()
    figures = bench.core.figures
    seen = (figures.snapshot_last_success_at, figures.snapshot_last_verified_at)
    bench.clock.advance(timedelta(hours=1))
    await bench.ended(await _import(bench, FILE))
    assert (figures.snapshot_last_success_at, figures.snapshot_last_verified_at) == seen
    newest = bench.listed()[0]
    assert newest.manifest.trigger is Trigger.IMPORT
    assert newest.manifest.cut_at > (seen[0] or newest.manifest.cut_at)
    await bench.stop()
    bench.engine.rdb.unlink(missing_ok=True)
    bench.tables["server"] = {"boot_source": "latest"}
    await bench.boot()
    assert bench.engine.data == {"mine": "1"}
    assert bench.core.figures.snapshot_last_success_at == seen[0]
    await bench.stop()


async def test_same_request_id_gives_the_first_operation(bench: ControlBench) -> None:
    first = await bench.ended(await _import(bench, FILE))
    again = await _import(bench, FILE)
    assert again.operation_id == first.operation_id
    assert len(bench.listed()) == 1


async def test_damaged_file_is_refused_with_the_engines_reason(bench: ControlBench) -> None:
    flipped = bytearray(FILE)
    flipped[-3] ^= 1
    done = await bench.ended(await _import(bench, bytes(flipped)))
    assert done.state is OperationState.FAILED
    assert done.error
    assert done.error["code"] == "IMPORT_REFUSED"
    assert done.error["context"] == {"cause": "RDB_CORRUPT"}
    assert (bench.listed(), bench.spool_files(), bench.files("**/dump*")) == ([], [], [])


async def test_one_bit_flipped_on_the_way_is_found(bench: ControlBench) -> None:
    flipped = bytearray(FILE)
    flipped[5] ^= 1
    transfers = bench.core.control_plane.transfers
    with pytest.raises(ImportRefusedError):
        await transfers.import_file(_announce(FILE), _chunks(bytes(flipped)))
    await until(lambda: bench.spool_files() == [])
    assert bench.listed() == []


@pytest.mark.parametrize("content", [FILE[:-1], FILE + b"x", b""], ids=["short", "long", "none"])
async def test_stream_of_another_length_is_broken_and_leaves_nothing(
    bench: ControlBench, content: bytes
) -> None:
    transfers = bench.core.control_plane.transfers
    announced = _announce(FILE)
    if len(content) > len(FILE):
        announced = ImportSnapshot(len(FILE) - 1, announced.sha256)
    with pytest.raises(ImportBrokenError):
        await transfers.import_file(announced, _chunks(content, 1 << 20), "r1")
    await until(lambda: bench.spool_files() == [])
    assert bench.listed() == []


async def test_client_that_goes_fails_the_operation(bench: ControlBench) -> None:
    """The call's task is cancelled in the middle, as gRPC does when the client has gone."""
    began = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield FILE[:20]
        began.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(
        bench.core.control_plane.transfers.import_file(_announce(FILE), stuck(), "r1")
    )
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    operation = await bench.ended(await _import(bench, FILE))
    assert operation.error
    assert operation.error["code"] == "IMPORT_BROKEN"
    assert (bench.listed(), bench.spool_files()) == ([], [])


async def test_whatever_a_stream_raises_ends_the_operation_and_leaves_no_file(
    bench: ControlBench,
) -> None:
    """As gRPC does for bytes that are no message: its deserialiser's own exception comes."""

    async def malformed() -> AsyncIterator[bytes]:
        yield FILE[:20]
        raise ValueError("no message")

    transfers = bench.core.control_plane.transfers
    with pytest.raises(ValueError, match="no message"):
        await transfers.import_file(_announce(FILE), malformed(), "r1")
    operation = await bench.ended(await _import(bench, FILE))
    assert operation.error
    assert operation.error["code"] == "IMPORT_BROKEN"
    assert (bench.listed(), bench.spool_files()) == ([], [])


async def test_import_that_is_cancelled_before_its_file_is_open_leaves_none(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation is over, and has cleaned up, when the file comes to be."""
    opening, go = threading.Event(), threading.Event()
    open_ = Path.open

    def slow(path: Path, mode: str = "r") -> object:
        if mode == "xb":
            opening.set()
            assert go.wait(30)
        return open_(path, mode)

    monkeypatch.setattr(Path, "open", slow)
    call = asyncio.create_task(_import(bench, FILE))
    await until(opening.is_set)
    operations = bench.core.ground.operations
    running = next(iter(operations._live.values()))
    await operations.cancel(running.operation_id)
    assert (await bench.ended(running)).state is OperationState.CANCELLED
    go.set()
    with pytest.raises(PerdureError) as caught:
        await call
    assert caught.value.code == "CANCELLED"
    assert bench.spool_files() == []


async def test_client_that_sends_nothing_is_given_up(bench: ControlBench) -> None:
    transfers = bench.core.control_plane.transfers
    assert isinstance(transfers, Transfers)
    transfers._options = TransferOptions(silence_seconds=0.01)

    async def silent() -> AsyncIterator[bytes]:
        yield FILE[:20]
        await asyncio.Event().wait()

    with pytest.raises(ImportBrokenError):
        await transfers.import_file(_announce(FILE), silent())
    await until(lambda: bench.spool_files() == [])


async def _import_half(bench: ControlBench, taken: asyncio.Event) -> Operation:
    """Send a part of the file, then nothing for ever, as on a connection that is dead."""
    transfers = bench.core.control_plane.transfers
    assert isinstance(transfers, Transfers)
    transfers._options = TransferOptions(silence_seconds=3600)

    async def silent() -> AsyncIterator[bytes]:
        yield FILE[:20]
        taken.set()
        await asyncio.Event().wait()

    return await transfers.import_file(_announce(FILE), silent(), "r1")


async def _half_sent(bench: ControlBench) -> asyncio.Task[Operation]:
    """Give a call that waits for the rest of the file."""
    taken = asyncio.Event()
    call = asyncio.create_task(_import_half(bench, taken))
    await taken.wait()
    return call


async def test_import_that_is_sent_again_ends_the_one_that_waits(bench: ControlBench) -> None:
    """The repeat has its error; file and room are free by then, and another id begins anew."""
    transfers = bench.core.control_plane.transfers
    assert isinstance(transfers, Transfers)
    transfers._room._options = TransferOptions(transfers_max=1)
    first = await _half_sent(bench)
    again = await asyncio.wait_for(_import(bench, FILE), 30)
    assert again.state is OperationState.FAILED
    assert again.error
    assert again.error["code"] == "IMPORT_BROKEN"
    assert "sent again" in str(again.error["message"])
    assert "fresh request_id" in str(again.error["hint"])
    assert bench.spool_files() == []
    done = await bench.ended(await _import(bench, FILE, "r2"))
    assert done.state is OperationState.DONE, done.error
    assert len(bench.listed()) == 1
    with pytest.raises(ImportBrokenError, match="sent again"):
        await first


async def test_import_that_is_sent_again_while_a_chunk_is_written_ends(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is slow: the repeat comes while no bytes are waited for, and none are then."""
    writing, go = threading.Event(), threading.Event()
    write = IncomingFile.write

    def slow(file: IncomingFile, chunk: bytes) -> None:
        writing.set()
        assert go.wait(30)
        write(file, chunk)

    monkeypatch.setattr(IncomingFile, "write", slow)
    first = asyncio.create_task(_import_half(bench, asyncio.Event()))
    await until(writing.is_set)
    again = asyncio.create_task(_import(bench, FILE))
    operations = bench.core.ground.operations
    await until(lambda: not operations._running)
    assert not again.done(), "the room is still taken"
    go.set()
    assert (await asyncio.wait_for(again, 30)).state is OperationState.FAILED
    assert bench.spool_files() == []
    with pytest.raises(ImportBrokenError, match="sent again"):
        await first


async def test_import_that_is_sent_again_is_the_same_once_all_of_it_is_here(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeat comes between the last byte and the fsync: both have the snapshot."""
    syncing, go = threading.Event(), threading.Event()
    sync = IncomingFile.sync

    def slow(file: IncomingFile) -> None:
        syncing.set()
        assert go.wait(30)
        sync(file)

    monkeypatch.setattr(IncomingFile, "sync", slow)
    first = asyncio.create_task(_import(bench, FILE))
    await until(syncing.is_set)
    again = asyncio.create_task(_import(bench, FILE))
    await asyncio.sleep(0)
    go.set()
    operation = await first
    assert (await again).operation_id == operation.operation_id
    assert (await bench.ended(operation)).state is OperationState.DONE
    assert len(bench.listed()) == 1


async def test_repeat_of_an_import_that_ends_by_itself_has_its_end(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the first call goes, and the operation takes longer than that to end."""
    go, received = asyncio.Event(), Upload.received

    async def slow(upload: Upload) -> None:
        try:
            await received(upload)
        finally:
            await go.wait()

    monkeypatch.setattr(Upload, "received", slow)
    first = await _half_sent(bench)
    first.cancel()
    again = asyncio.create_task(_import(bench, FILE))
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    operation = await asyncio.wait_for(again, 30)
    assert operation.state is OperationState.FAILED
    assert operation.error
    assert operation.error["code"] == "IMPORT_BROKEN"
    assert bench.spool_files() == []


async def test_repeat_under_another_payload_leaves_the_import_alone(bench: ControlBench) -> None:
    """What is no repeat is refused, and the file that comes goes on coming."""
    first = await _half_sent(bench)
    with pytest.raises(PerdureError) as caught:
        await _import(bench, FILE[:-1])
    assert caught.value.code == "REQUEST_ID_REUSED"
    await until(lambda: len(bench.spool_files()) == 1)
    assert not first.done()
    first.cancel()


async def test_cancelled_import_waits_for_no_more_bytes(bench: ControlBench) -> None:
    """Its client is silent: the call ends with CANCELLED at once, and nothing is left."""
    call = await _half_sent(bench)
    operations = bench.core.ground.operations
    running = next(iter(operations._live.values()))
    await operations.cancel(running.operation_id)
    with pytest.raises(PerdureError) as caught:
        await asyncio.wait_for(call, 30)
    assert caught.value.code == "CANCELLED"
    assert (await bench.ended(running)).state is OperationState.CANCELLED
    assert bench.spool_files() == []


async def test_stop_ends_an_import_as_one_that_may_be_sent_again(bench: ControlBench) -> None:
    """Its client is silent: the stop does not wait for it, and the call says why."""
    call = await _half_sent(bench)
    await bench.core.ground.operations.stop()
    with pytest.raises(PerdureError) as caught:
        await asyncio.wait_for(call, 30)
    assert (caught.value.code, caught.value.is_retryable) == ("OPERATION_INTERRUPTED", True)
    assert bench.spool_files() == []


async def test_cancelled_import_stops_taking_bytes(bench: ControlBench) -> None:
    """Cancel while it receives: the stream ends with CANCELLED and nothing is left."""
    began, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield FILE[:20]
        began.set()
        await go.wait()
        yield FILE[20:]

    call = asyncio.create_task(
        bench.core.control_plane.transfers.import_file(_announce(FILE), slow())
    )
    await began.wait()
    operations = bench.core.ground.operations
    running = next(iter(operations._live.values()))
    assert running.progress.phase == Phase.RECEIVE
    await operations.cancel(running.operation_id)
    assert (await bench.ended(running)).state is OperationState.CANCELLED
    go.set()
    with pytest.raises(PerdureError) as caught:
        await call
    assert caught.value.code == "CANCELLED"
    assert (bench.listed(), bench.spool_files()) == ([], [])


async def test_spool_bounds_what_comes_in(tmp_path: Path) -> None:
    """Refused before a byte is taken; what is announced counts, not what came."""
    bench = ControlBench(tmp_path, spool={"size_bytes_max": 1 << 20})
    await bench.boot()
    transfers = bench.core.control_plane.transfers
    with pytest.raises(ExhaustedError) as caught:
        await transfers.import_file(ImportSnapshot(1 << 20, "0" * 64), _chunks(FILE))
    assert caught.value.code == "SPOOL_FULL"
    assert bench.core.ground.operations._live == {}
    await bench.stop()


@pytest.mark.parametrize("step", STEPS)
async def test_kill_at_each_step_of_an_import_leaves_nothing_or_one_snapshot(
    tmp_path: Path, step: str
) -> None:
    """Before the file has its place nothing is listed, afterwards one snapshot, once."""
    first = ControlBench(tmp_path)
    await first.boot()
    started: list[Operation] = []

    async def act() -> None:
        operation = await _import(first, FILE)
        started.append(operation)
        await first.ended(operation)

    disk = await disk_at(first, step, act)
    await first.stop()
    second = ControlBench(disk, server={"boot_source": "empty"})
    await second.boot()
    await second.core.maintain()
    operation = second.core.ground.operations.get(started[0].operation_id)
    if step in {"import.received", "import.verified", "import.planned"}:
        assert second.listed() == []
        assert operation.state is OperationState.FAILED
    else:
        assert operation.state is OperationState.DONE, operation.error
        assert [s.manifest.trigger for s in second.listed()] == [Trigger.IMPORT]
    assert second.spool_files() == []
    await second.core.maintain()
    assert len(second.files("**/manifest.json")) == len(second.listed())
    await second.stop()


# --- downloads ---------------------------------------------------------------------------


async def _download(bench: ControlBench, request: DownloadSnapshot) -> tuple[bytes, str]:
    async with bench.core.control_plane.transfers.download(request) as found:
        return b"".join([chunk async for chunk in found.chunks]), found.sha256


@pytest.mark.parametrize("offset", [0, 1, 40])
async def test_download_gives_the_rdb_from_the_offset_on(bench: ControlBench, offset: int) -> None:
    snapshot = await bench.take()
    rdb = dump_fake({"a": "1", "b": "2"})
    content, digest = await _download(bench, DownloadSnapshot(snapshot.snapshot_id, offset=offset))
    assert content == rdb[offset:]
    assert digest == hashlib.sha256(rdb).hexdigest()
    assert bench.spool_files() == []


async def test_stored_form_is_the_blob_itself(bench: ControlBench) -> None:
    snapshot = await bench.take()
    blob = (bench.data_dir / "snapshots" / snapshot.copies[0].payload_key).read_bytes()
    request = DownloadSnapshot(snapshot.snapshot_id, is_stored=True)
    content, digest = await _download(bench, request)
    assert (content, digest) == (blob, snapshot.manifest.stored_sha256)


async def test_damaged_payload_never_leaves(bench: ControlBench) -> None:
    snapshot = await bench.take()
    path = bench.data_dir / "snapshots" / snapshot.copies[0].payload_key
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(SnapshotDamagedError):
        await _download(bench, DownloadSnapshot(snapshot.snapshot_id))
    assert bench.spool_files() == []


async def test_slow_reader_does_not_hold_the_spool_for_ever(bench: ControlBench) -> None:
    snapshot = await bench.take()
    request = DownloadSnapshot(snapshot.snapshot_id)
    async with bench.core.control_plane.transfers.download(request) as found:
        bench.clock.advance(timedelta(seconds=bench.local.options.transfer_timeout_seconds + 1))
        with pytest.raises(BackendTimeoutError) as caught:
            await anext(found.chunks)
    assert caught.value.code == "DOWNLOAD_TOO_SLOW"
    assert bench.spool_files() == []


async def test_offset_behind_the_end_is_refused(bench: ControlBench) -> None:
    snapshot = await bench.take()
    request = DownloadSnapshot(snapshot.snapshot_id, offset=1 << 30)
    with pytest.raises(InvalidArgumentError):
        await _download(bench, request)


async def test_full_disk_while_receiving_leaves_nothing(bench: ControlBench) -> None:
    """The engine's read-back reports the disk; the scratch file is gone afterwards."""
    bench.engine.fail_next["verify"] = FakeEngineError("DISK_FULL", is_retryable=True)
    done = await bench.ended(await _import(bench, FILE))
    assert done.error
    assert done.error["code"] == "DISK_FULL"
    assert (bench.listed(), bench.spool_files()) == ([], [])
