"""Calls in the audit log: each mutation has its line, each read has none, whatever came of it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from perdure import verbs
from perdure.client import Client
from perdure.control.v1 import (
    clone_service_pb2,
    clone_service_pb2_grpc,
    schedule_pb2,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
    transfer_pb2,
)
from perdure.errors import PerdureError
from sidecar.audit import AuditLog, AuditOptions
from sidecar.observe import Figures
from sidecar.rpc.audit_interceptor import AuditInterceptor, is_mutation
from tests.support.control_plane import FakePlane, make_snapshot, serving


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[FakePlane]:
    """Serve a plane whose door is audited."""
    plane = FakePlane()
    audit = AuditLog(AuditOptions(tmp_path / "audit.jsonl"), plane.clock, Figures(), plane.events)
    plane.auditor = AuditInterceptor(audit, plane.clock)
    plane.snapshots.known = {"s-1": make_snapshot("s-1")}
    with serving(plane):
        yield plane
    audit.close()


@pytest.fixture
def client(plane: FakePlane) -> Iterator[Client]:
    """Connect."""
    with Client(plane.target) as client:
        yield client


def _lines(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_mutation_has_a_line_with_who_what_and_how_it_ended(client: Client, tmp_path: Path) -> None:
    operation = client.run(verbs.create_snapshot(["local"]))
    client.run(verbs.delete_snapshot("s-1"))
    begun, deleted = _lines(tmp_path)
    assert begun["method"] == "perdure.control.v1.SnapshotService/CreateSnapshot"
    assert begun["operation"] == operation.name
    assert begun["outcome"] == "OK"
    assert begun["peer"].startswith("ipv4:127.0.0.1:")
    assert len(begun["request_id"]) == 36
    assert begun["request"] == {"backends": ["backends/local"]}
    assert begun["actor"] == "caller"
    assert begun["duration_seconds"] >= 0
    assert deleted["target"] == "snapshots/s-1"


def test_refusals_failures_and_bugs_have_lines_too(
    plane: FakePlane, client: Client, tmp_path: Path
) -> None:
    for failure in (None, KeyError("a bug")):
        plane.snapshots.failure = failure
        with pytest.raises(PerdureError):
            client.run(verbs.delete_snapshot("s-0"))
    refused, broken = _lines(tmp_path)
    assert (refused["outcome"], refused["code"]) == ("NOT_FOUND", "SNAPSHOT_NOT_FOUND")
    assert broken["outcome"] == "INTERNAL"


def test_reads_have_none(client: Client, tmp_path: Path) -> None:
    client.run(verbs.get_snapshot("s-1"))
    client.run(verbs.list_operations())
    client.run(verbs.get_server_status())
    client.run(verbs.get_config())
    assert _lines(tmp_path) == []


def test_import_is_known_by_its_header(client: Client, tmp_path: Path) -> None:
    """Of a stream its first message is shown, and none of its bytes."""
    data = b"REDIS0010 not an RDB file"
    header = transfer_pb2.ImportHeader(
        size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), request_id=str(uuid.uuid4())
    )
    request = transfer_pb2.ImportSnapshotRequest
    messages = iter([request(header=header), request(chunk=data)])
    with grpc.insecure_channel(client.target) as channel, suppress(grpc.RpcError):
        stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
        stub.ImportSnapshot(messages, timeout=30)
    (line,) = _lines(tmp_path)
    assert line["method"].endswith("/ImportSnapshot")
    assert line["request_id"] == header.request_id
    assert line["request"] == {"size_bytes": str(len(data)), "sha256": header.sha256}


def test_request_that_cannot_be_shown_has_its_line(client: Client, tmp_path: Path) -> None:
    """Valid on the wire, and no JSON: the call takes effect or is refused, and the line says so."""
    bad = Duration(seconds=60, nanos=-1)
    with grpc.insecure_channel(client.target) as channel:
        snapshots = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
        snapshots.DeleteSnapshot(snapshot_service_pb2.DeleteSnapshotRequest(name="snapshots/s-1"))
        clones = clone_service_pb2_grpc.CloneServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            clones.CreateClone(clone_service_pb2.CreateCloneRequest(live=True, lease=bad))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    whole, shortened = _lines(tmp_path)
    assert "left_out" not in whole
    assert shortened["outcome"] == "INVALID_ARGUMENT"
    assert shortened["left_out"].startswith("the request: ")
    assert "request" not in shortened


def test_secrets_are_not_in_it(plane: FakePlane, client: Client, tmp_path: Path) -> None:
    plane.engine.directives["requirepass"] = ""
    client.run(verbs.update_config({"requirepass": "hunter2", "save": "60 1"}))
    assert "hunter2" not in (tmp_path / "audit.jsonl").read_text()
    (line,) = _lines(tmp_path)
    assert line["request"] == {"directives": {"requirepass": "***", "save": "60 1"}}


def test_targets_are_found_wherever_a_request_has_them(client: Client, tmp_path: Path) -> None:
    schedule = schedule_pb2.Schedule(preset=schedule_pb2.Schedule.PRESET_DAILY)
    made = client.run(verbs.create_schedule("nightly", schedule))
    client.run(verbs.update_schedule(made, ["preset"]))
    client.run(verbs.run_schedule("nightly"))
    targets = [line["target"] for line in _lines(tmp_path)]
    assert targets == ["nightly", "schedules/nightly", "schedules/nightly"]


def test_cancelling_and_forgetting_are_mutations(client: Client, tmp_path: Path) -> None:
    operation = client.run(verbs.create_snapshot())
    client.run(verbs.cancel_operation(operation.name))
    assert [line["target"] for line in _lines(tmp_path)[1:]] == ["operations/op-1"]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("/perdure.control.v1.SnapshotService/DeleteSnapshot", True),
        ("/perdure.control.v1.CloneService/RenewClone", True),
        ("/google.longrunning.Operations/CancelOperation", True),
        ("/google.longrunning.Operations/WaitOperation", False),
        ("/perdure.control.v1.EventService/StreamEvents", False),
        ("/grpc.health.v1.Health/Check", False),
    ],
)
def test_mutations_are_known_by_their_verbs(method: str, *, expected: bool) -> None:
    assert is_mutation(method) is expected
