"""The control door over a real channel: what a client may send, and what it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from perdure import verbs
from perdure.client import Client
from perdure.control.v1 import (
    schedule_pb2,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
)
from perdure.errors import PerdureError, error_from_call
from sidecar.errors import InvalidArgumentError
from sidecar.model import CopyState, Preset, Retention, Trigger
from sidecar.rpc.door import SERVICES
from sidecar.rpc.fields import SPAN_SECONDS_MAX, read_seconds
from sidecar.usecases import SnapshotFilter
from tests.support.control_plane import FakePlane, make_snapshot, serving

UUID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def door() -> Iterator[FakePlane]:
    """Give one door for the module; each test looks only at what it asked itself."""
    with serving(FakePlane()) as plane:
        plane.snapshots.known["s-1"] = make_snapshot("s-1")
        yield plane


@pytest.fixture
def channel(door: FakePlane) -> Iterator[grpc.Channel]:
    """Give a channel to the door."""
    with grpc.insecure_channel(door.target) as channel:
        yield channel


def _refusal(call: Any, request: Any) -> PerdureError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=10)
    return error_from_call(caught.value, "door")


@pytest.mark.parametrize("name", ["", "s-1", "schedules/s-1", "snapshots/", "snapshots/a/b"])
def test_malformed_names_are_refused_with_the_field(channel: grpc.Channel, name: str) -> None:
    """A bad name is INVALID_ARGUMENT, names its field and says the form."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    error = _refusal(stub.GetSnapshot, snapshot_service_pb2.GetSnapshotRequest(name=name))
    assert (error.status, error.code) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert error.context == {"field": "name"}
    assert "snapshots/ID" in error.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", -1),
        ("filter", "nonsense"),
        ("filter", "trigger = TRIGGER_NEVER"),
        ("filter", 'cut_time > "yesterday"'),
        ("filter", 'trigger > "TRIGGER_MANUAL"'),
        ("page_token", "x" * 600),
    ],
)
def test_bad_list_fields_are_refused(channel: grpc.Channel, field: str, value: Any) -> None:
    """What is not understood is refused, never ignored."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    request = snapshot_service_pb2.ListSnapshotsRequest(**{field: value})
    error = _refusal(stub.ListSnapshots, request)
    assert error.status == "INVALID_ARGUMENT"
    assert error.context == {"field": field}


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(60, -1), (-60, 1), (10**15, 0), (-(10**15), 0), (0, 10**9), (-1, 0), (0, -1)],
)
def test_spans_that_are_none_are_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_seconds(Duration(seconds=seconds, nanos=nanos), "lease")
    assert caught.value.context["field"] == "lease"


def test_span_is_read_to_its_last_nano() -> None:
    assert read_seconds(Duration(seconds=1, nanos=500_000_000), "lease") == 1.5
    assert read_seconds(Duration(seconds=SPAN_SECONDS_MAX), "timeout") == SPAN_SECONDS_MAX


def test_filter_reaches_the_use_case(door: FakePlane, channel: grpc.Channel) -> None:
    """Every term of the documented filter becomes a term of SnapshotFilter."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    text = (
        'schedule = "schedules/hourly" AND trigger = TRIGGER_SCHEDULE AND state=STATE_DAMAGED'
        ' AND backend = backends/local AND cut_time >= "2026-11-22T07:00:00Z"'
        ' AND cut_time < "2026-11-22T09:00:00+01:00"'
    )
    stub.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest(filter=text), timeout=10)
    asked = door.snapshots.asked[-1]
    assert isinstance(asked, tuple)
    wanted = asked[2]
    assert isinstance(wanted, SnapshotFilter)
    assert (wanted.schedule, wanted.backend) == ("hourly", "local")
    assert (wanted.trigger, wanted.state) == (Trigger.SCHEDULE, CopyState.DAMAGED)
    assert wanted.cut_from is not None
    assert wanted.cut_before is not None
    assert (wanted.cut_before - wanted.cut_from).total_seconds() == 3600


def test_snapshot_says_all_that_the_manifest_says(channel: grpc.Channel) -> None:
    """Look at the fields that a script uses."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    request = snapshot_service_pb2.GetSnapshotRequest(name="snapshots/s-1")
    snapshot = stub.GetSnapshot(request, timeout=10)
    assert snapshot.name == "snapshots/s-1"
    assert snapshot.key_count == 7
    assert snapshot.databases[0].index == 3
    assert snapshot.databases[0].key_counts_by_type["string"] == 7
    assert snapshot.payload.raw_sha256 == "a" * 64
    assert snapshot.copies[0].backend == "backends/local"
    assert snapshot.fork_duration.ToMicroseconds() == 1000
    assert not snapshot.HasField("purge_time")
    assert not snapshot.HasField("due_time")


def test_request_id_must_be_a_uuid(channel: grpc.Channel) -> None:
    """A request_id that is none is refused before anything is started."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    request = snapshot_service_pb2.CreateSnapshotRequest(request_id="again")
    assert _refusal(stub.CreateSnapshot, request).context == {"field": "request_id"}


def test_foreign_exception_is_internal_and_keeps_its_text(
    door: FakePlane, channel: grpc.Channel
) -> None:
    """A bug behind the door is answered with an incident id, not with its own words."""
    stub = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    door.snapshots.failure = ZeroDivisionError("inner words")
    try:
        request = snapshot_service_pb2.GetSnapshotRequest(name="snapshots/s-1")
        error = _refusal(stub.GetSnapshot, request)
    finally:
        door.snapshots.failure = None
    assert (error.status, error.code) == ("INTERNAL", "INTERNAL")
    assert "inner words" not in error.message
    assert error.context["incident"] in error.hint


def test_update_changes_named_fields_only(door: FakePlane, channel: grpc.Channel) -> None:
    """A mask names what changes; preset and cron replace each other; `*` is everything."""
    stub = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
    create = schedule_service_pb2.CreateScheduleRequest(schedule_id="nightly")
    create.schedule.preset = schedule_pb2.Schedule.PRESET_DAILY
    create.schedule.retention.keep_last = 9
    create.schedule.backends.append("backends/local")
    made = stub.CreateSchedule(create, timeout=10)
    assert (made.name, made.etag, made.time_zone) == ("schedules/nightly", "1", "UTC")

    change = schedule_pb2.Schedule(name=made.name, cron="0 3 * * *", etag=made.etag)
    change.retention.keep_within.seconds = 3600
    mask = FieldMask(paths=["cron", "retention.keep_within"])
    update = schedule_service_pb2.UpdateScheduleRequest(schedule=change, update_mask=mask)
    changed = stub.UpdateSchedule(update, timeout=10)
    assert (changed.cron, changed.retention.keep_last) == ("0 3 * * *", 9)
    assert list(changed.backends) == ["backends/local"]
    assert _refusal(stub.UpdateSchedule, update).status == "ABORTED"  # the etag is old now

    everything = schedule_pb2.Schedule(name=made.name, preset=schedule_pb2.Schedule.PRESET_HOURLY)
    update = schedule_service_pb2.UpdateScheduleRequest(
        schedule=everything, update_mask=FieldMask(paths=["*"])
    )
    stub.UpdateSchedule(update, timeout=10)
    spec = door.schedules.known["nightly"].spec
    assert (spec.preset, spec.cron, spec.backends) == (Preset.HOURLY, None, ())
    assert spec.retention == Retention()


@pytest.mark.parametrize("paths", [["name"], ["next_run_time"], ["retention.nothing"]])
def test_mask_of_fields_that_cannot_change_is_refused(
    channel: grpc.Channel, paths: list[str]
) -> None:
    """Output-only and unknown fields are named in the refusal."""
    stub = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
    create = schedule_service_pb2.CreateScheduleRequest(schedule_id=f"m{len(paths[0])}")
    create.schedule.preset = schedule_pb2.Schedule.PRESET_DAILY
    made = stub.CreateSchedule(create, timeout=10)
    update = schedule_service_pb2.UpdateScheduleRequest(
        schedule=made, update_mask=FieldMask(paths=paths)
    )
    error = _refusal(stub.UpdateSchedule, update)
    assert error.context == {"field": "update_mask"}
    assert paths[0] in error.message


@pytest.mark.parametrize("schedule_id", ["", "Nightly", "1st", "a" * 41, "a_b"])
def test_bad_schedule_ids_are_refused(channel: grpc.Channel, schedule_id: str) -> None:
    """The id becomes part of names on every backend."""
    stub = schedule_service_pb2_grpc.ScheduleServiceStub(channel)
    create = schedule_service_pb2.CreateScheduleRequest(schedule_id=schedule_id)
    create.schedule.preset = schedule_pb2.Schedule.PRESET_DAILY
    assert _refusal(stub.CreateSchedule, create).context == {"field": "schedule_id"}


def test_update_config_answers_a_repeat_with_the_first_result(
    door: FakePlane, channel: grpc.Channel
) -> None:
    """The second request under a request_id changes nothing; another one under it is refused."""
    stub = server_service_pb2_grpc.ServerServiceStub(channel)
    first = server_service_pb2.UpdateConfigRequest(directives={"SAVE": "60 1"}, request_id=UUID)
    assert stub.UpdateConfig(first, timeout=10).directives == {"save": "60 1"}
    door.engine.directives["save"] = "changed since"
    assert stub.UpdateConfig(first, timeout=10).directives == {"save": "60 1"}
    assert door.engine.directives["save"] == "changed since"
    other = server_service_pb2.UpdateConfigRequest(directives={"save": "1 1"}, request_id=UUID)
    assert _refusal(stub.UpdateConfig, other).code == "REQUEST_ID_REUSED"
    empty = server_service_pb2.UpdateConfigRequest()
    assert _refusal(stub.UpdateConfig, empty).context == {"field": "directives"}


def test_operations_are_listed_cancelled_and_waited_for(
    door: FakePlane, channel: grpc.Channel
) -> None:
    """google.longrunning over the fakes: response packed, metadata packed, empty filter."""
    snapshots = snapshot_service_pb2_grpc.SnapshotServiceStub(channel)
    operations = operations_pb2_grpc.OperationsStub(channel)
    snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(), timeout=10)
    waited = operations.WaitOperation(lro.WaitOperationRequest(name="operations/op-1"), timeout=10)
    assert waited.done
    listed = operations.ListOperations(lro.ListOperationsRequest(name="operations"), timeout=10)
    assert [item.name for item in listed.operations] == ["operations/op-1"]
    running = lro.ListOperationsRequest(filter="done = false")
    assert not operations.ListOperations(running, timeout=10).operations
    operations.CancelOperation(lro.CancelOperationRequest(name="operations/op-1"), timeout=10)
    assert door.operations.cancelled == ["op-1"]
    operations.DeleteOperation(lro.DeleteOperationRequest(name="operations/op-1"), timeout=10)
    gone = lro.GetOperationRequest(name="operations/op-1")
    assert _refusal(operations.GetOperation, gone).code == "OPERATION_NOT_FOUND"


def test_health_and_reflection_know_every_service(channel: grpc.Channel) -> None:
    """A grpcurl and a kubelet find what they look for."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        request = health_pb2.HealthCheckRequest(service=service)
        assert health.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection.ServerReflectionInfo(iter([asked]), timeout=10)
    named = {service.name for service in answer.list_services_response.service}
    assert set(SERVICES) < named


def test_oversized_request_is_refused(door: FakePlane) -> None:
    """The door's own limit, not the client's, ends a request of two megabytes."""
    with Client(door.target) as client, pytest.raises(PerdureError) as caught:
        client.run(verbs.update_config({"save": "x" * 2_000_000}))
    assert caught.value.status == "RESOURCE_EXHAUSTED"
