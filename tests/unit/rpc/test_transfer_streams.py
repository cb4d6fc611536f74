"""Downloads and imports over a real channel, with a fake behind: the wire and the client."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from perdure import transfers, verbs
from perdure.aio import AsyncClient
from perdure.client import Client
from perdure.control.v1 import snapshot_service_pb2_grpc, transfer_pb2
from perdure.errors import PerdureError, error_from_call
from perdure.steps import Call
from sidecar.rpc import transfer_streams
from tests.support.control_plane import FakePlane, make_snapshot, serving

PAYLOAD = random.Random(7).randbytes(2345)
DIGEST = hashlib.sha256(PAYLOAD).hexdigest()


@pytest.fixture(scope="module")
def door() -> Iterator[FakePlane]:
    """Give one door for the module."""
    with serving(FakePlane()) as plane:
        yield plane


@pytest.fixture
def plane(door: FakePlane) -> FakePlane:
    """Give the plane with one snapshot whose payload is `PAYLOAD`."""
    door.snapshots.known = {"s-1": _snapshot(PAYLOAD)}
    door.transfers.payloads = {"s-1": PAYLOAD}
    door.transfers.offsets.clear()
    door.transfers.imported.clear()
    door.transfers.cut_after = None
    return door


def _snapshot(payload: bytes) -> Any:
    snapshot = make_snapshot("s-1")
    digest = hashlib.sha256(payload).hexdigest()
    manifest = replace(snapshot.manifest, raw_size_bytes=len(payload), raw_sha256=digest)
    copy = replace(snapshot.copies[0], manifest=manifest)
    return replace(snapshot, copies=(copy,))


def _run(plane: FakePlane, call: Call[Any]) -> Any:
    with Client(plane.target) as client:
        return client.run(call)


def _run_async(plane: FakePlane, call: Call[Any]) -> Any:
    async def main() -> Any:
        async with AsyncClient(plane.target) as client:
            return await client.run(call)

    return asyncio.run(main())


@pytest.mark.parametrize("run", [_run, _run_async])
def test_download_is_whole_and_leaves_no_partial_file(
    plane: FakePlane, tmp_path: Path, run: Any
) -> None:
    """Sync and asyncio: the file, its digest, progress that ends at the total."""
    seen: list[tuple[int, int]] = []
    call = transfers.download_snapshot(
        "s-1", tmp_path / "x.rdb", on_bytes=lambda *at: seen.append(at)
    )
    found = run(plane, call)
    assert (tmp_path / "x.rdb").read_bytes() == PAYLOAD
    assert (found.size_bytes, found.sha256, found.resumed_bytes) == (len(PAYLOAD), DIGEST, 0)
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert [path.name for path in tmp_path.iterdir()] == ["x.rdb"]


@pytest.mark.parametrize("run", [_run, _run_async])
def test_cut_stream_is_resumed_where_it_stopped(plane: FakePlane, tmp_path: Path, run: Any) -> None:
    """The server breaks off behind 1000 bytes; the second request asks from there."""
    plane.transfers.cut_after = 1000
    run(plane, transfers.download_snapshot("s-1", tmp_path / "x.rdb"))
    assert plane.transfers.offsets == [0, 1000]
    assert (tmp_path / "x.rdb").read_bytes() == PAYLOAD


def test_partial_file_of_an_earlier_run_is_used(plane: FakePlane, tmp_path: Path) -> None:
    (tmp_path / f".x.rdb.{DIGEST[:16]}.part").write_bytes(PAYLOAD[:700])
    found = _run(plane, transfers.download_snapshot("s-1", tmp_path / "x.rdb"))
    assert found.resumed_bytes == 700
    assert plane.transfers.offsets == [700]
    assert (tmp_path / "x.rdb").read_bytes() == PAYLOAD


def test_two_downloads_to_one_file_never_mix(plane: FakePlane, tmp_path: Path) -> None:
    """The second is refused while the first runs, and touches nothing."""
    goal = tmp_path / "x.rdb"
    refused: list[PerdureError] = []

    def download_again(_done: int, _total: int) -> None:
        before = [path.read_bytes() for path in tmp_path.iterdir()]
        with pytest.raises(PerdureError) as caught:
            _run(plane, transfers.download_snapshot("s-1", goal))
        refused.append(caught.value)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == before

    _run(plane, transfers.download_snapshot("s-1", goal, on_bytes=download_again))
    assert {error.code for error in refused} == {"DOWNLOAD_RUNNING"}
    assert goal.read_bytes() == PAYLOAD


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_what_is_no_file_in_its_place_is_not_written(
    plane: FakePlane, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    part = tmp_path / f".x.rdb.{DIGEST[:16]}.part"
    if kind == "pipe":
        os.mkfifo(part)
    else:
        part.symlink_to(tmp_path / ("victim" if kind == "link" else "nothing"))
    with pytest.raises(PerdureError) as caught:
        _run(plane, transfers.download_snapshot("s-1", tmp_path / "x.rdb"))
    assert caught.value.code == "FILE_UNUSABLE"
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


def test_one_flipped_bit_is_found_and_nothing_is_kept(plane: FakePlane, tmp_path: Path) -> None:
    """On the way, or in the partial file: the digest is of all that will have the name."""
    flipped = bytearray(PAYLOAD)
    flipped[1234] ^= 1
    plane.transfers.payloads = {"s-1": bytes(flipped)}
    with pytest.raises(PerdureError) as caught:
        _run(plane, transfers.download_snapshot("s-1", tmp_path / "x.rdb"))
    assert (caught.value.code, caught.value.status) == ("TRANSFER_DAMAGED", "DATA_LOSS")
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_there_is_replaced_only_when_asked(plane: FakePlane, tmp_path: Path) -> None:
    goal = tmp_path / "x.rdb"
    goal.write_bytes(b"mine")
    with pytest.raises(PerdureError) as caught:
        _run(plane, transfers.download_snapshot("s-1", goal))
    assert caught.value.code == "FILE_EXISTS"
    assert goal.read_bytes() == b"mine"
    _run(plane, transfers.download_snapshot("s-1", goal, is_replacing=True))
    assert goal.read_bytes() == PAYLOAD


@pytest.mark.parametrize("run", [_run, _run_async])
def test_import_sends_all_of_the_file(plane: FakePlane, tmp_path: Path, run: Any) -> None:
    source = tmp_path / "y.rdb"
    content = random.Random(8).randbytes(700_000)
    source.write_bytes(content)
    seen: list[tuple[int, int]] = []
    call = transfers.import_snapshot(source, on_bytes=lambda *at: seen.append(at))
    operation = run(plane, call)
    assert verbs.snapshot_of(operation).name == "snapshots/s-1"
    assert plane.transfers.imported == [content]
    assert seen[-1] == (len(content), len(content))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("header", transfer_pb2.ImportSnapshotRequest(chunk=b"x")),
        ("size_bytes", transfer_pb2.ImportSnapshotRequest(header=transfer_pb2.ImportHeader())),
        (
            "sha256",
            transfer_pb2.ImportSnapshotRequest(
                header=transfer_pb2.ImportHeader(size_bytes=3, sha256="A" * 64)
            ),
        ),
    ],
)
def test_malformed_header_of_an_import_is_refused(
    plane: FakePlane, field: str, message: transfer_pb2.ImportSnapshotRequest
) -> None:
    """Streams pass the same edge as unary calls: a status with ErrorInfo, the field named."""
    with grpc.insecure_channel(plane.target) as channel:
        stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ImportSnapshot(iter([message]), timeout=10)
        error = error_from_call(caught.value, "door")
    assert (error.status, error.context) == ("INVALID_ARGUMENT", {"field": field})


def test_malformed_download_is_refused(plane: FakePlane) -> None:
    with grpc.insecure_channel(plane.target) as channel:
        stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
        request = transfer_pb2.DownloadSnapshotRequest(name="snapshots/s-1", offset=-1)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.DownloadSnapshot(request, timeout=10))
        error = error_from_call(caught.value, "door")
    assert (error.status, error.context) == ("INVALID_ARGUMENT", {"field": "offset"})


async def test_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is downloaded lies in the spool: a reader that hangs may not keep it there."""
    monkeypatch.setattr(transfer_streams, "SILENCE_SECONDS", 0.01)

    async def messages() -> AsyncIterator[transfer_pb2.DownloadSnapshotResponse]:
        while True:
            yield transfer_pb2.DownloadSnapshotResponse(chunk=b"x")

    async def read() -> None:
        async for _ in transfer_streams.heed_silence(messages()):
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(read())
