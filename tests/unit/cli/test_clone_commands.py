"""`perdure clone` and the clone rpcs over a real door with fakes behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.cli.main import run
from perdure.control.v1 import clone_service_pb2, clone_service_pb2_grpc
from perdure.errors import error_from_call
from perdure.exit_codes import ExitCode
from sidecar.clone_record import CloneState
from tests.support.control_plane import FakePlane, serving
from tests.support.fake_clones import make_clone

CLONE_ID = make_clone().clone_id


@pytest.fixture(scope="module")
def door() -> Iterator[FakePlane]:
    """Serve one plane for the module."""
    with serving(FakePlane()) as plane:
        yield plane


@pytest.fixture
def plane(door: FakePlane, monkeypatch: pytest.MonkeyPatch) -> FakePlane:
    """Give the plane with one clone, and make it the default target."""
    monkeypatch.setenv("PERDURE_TARGET", door.target)
    door.clones.known = {CLONE_ID: make_clone()}
    door.clones.asked = []
    return door


@pytest.fixture
def stub(plane: FakePlane) -> Iterator[clone_service_pb2_grpc.CloneServiceStub]:
    """Give the service itself."""
    with grpc.insecure_channel(plane.target) as channel:
        yield clone_service_pb2_grpc.CloneServiceStub(channel)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run a command with -o json and parse what it prints."""
    assert run([*words, "-o", "json"]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)


def test_create_says_what_it_begins_with_and_for_how_long(
    plane: FakePlane, capsys: pytest.CaptureFixture[str]
) -> None:
    made = answer(capsys, "clone", "create", "--snapshot", "s-1", "--lease", "2h")
    assert made["name"] == f"clones/{CLONE_ID}"
    assert made["endpoints"]["resp"] == "127.0.0.1:1"
    assert made["lease_end_time"] == "2026-11-22T09:00:00Z"
    assert made["data_dir"].endswith(f"{CLONE_ID}/data")
    answer(capsys, "clone", "create", "--live")
    answer(capsys, "clone", "create")
    asked = [(a.snapshot_id, a.is_live, a.lease_seconds) for a in plane.clones.asked]
    assert asked == [("s-1", False, 7200.0), (None, True, None), (None, False, None)]
    started = answer(capsys, "clone", "create", "--live", "--no-wait")
    assert started["metadata"]["kind"] == "KIND_CREATE_CLONE"


def test_a_clone_has_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clone", "create", "--live", "--snapshot", "s-1"]) == ExitCode.USAGE
    assert "--live" in capsys.readouterr().err


def test_list_get_renew_and_delete(plane: FakePlane, capsys: pytest.CaptureFixture[str]) -> None:
    assert [c["state"] for c in answer(capsys, "clone", "list")["clones"]] == ["STATE_READY"]
    failed = ("clone", "list", "--filter", "state = STATE_FAILED")
    assert answer(capsys, *failed) == {"clones": []}
    assert answer(capsys, "clone", "get", CLONE_ID)["pid"] == "4711"
    renewed = answer(capsys, "clone", "renew", CLONE_ID, "--lease", "90m")
    assert renewed["lease_end_time"] == "2026-11-22T08:30:00Z"
    stale = run(["clone", "renew", CLONE_ID, "--lease", "90m", "--etag", "1"])
    assert stale == ExitCode.CONFLICT
    capsys.readouterr()
    assert run(["clone", "delete", CLONE_ID]) == ExitCode.OK
    assert "is gone" in capsys.readouterr().out
    assert run(["clone", "get", CLONE_ID]) == ExitCode.NOT_FOUND
    assert plane.clones.known == {}


def test_a_failed_clone_says_why(plane: FakePlane, capsys: pytest.CaptureFixture[str]) -> None:
    error: dict[str, object] = {
        "code": "CLONE_FAILED",
        "message": "the clone's process was ended by SIGKILL",
    }
    plane.clones.known[CLONE_ID] = replace(
        make_clone(), state=CloneState.FAILED, error=error, log_tail="a line\nthe last line"
    )
    assert run(["clone", "get", CLONE_ID]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "SIGKILL" in shown
    assert "its log ends   a line\n               the last line\n" in shown
    assert run(["clone", "list"]) == ExitCode.OK
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (clone_service_pb2.CreateCloneRequest(snapshot="s-1"), "snapshot"),
        (clone_service_pb2.CreateCloneRequest(live=True, backend="backends/local"), "backend"),
        (clone_service_pb2.CreateCloneRequest(lease=Duration(seconds=-1)), "lease"),
        (clone_service_pb2.CreateCloneRequest(request_id="x"), "request_id"),
    ],
)
def test_bad_fields_of_a_creation_are_named(
    stub: clone_service_pb2_grpc.CloneServiceStub,
    request_: clone_service_pb2.CreateCloneRequest,
    field: str,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.CreateClone(request_, timeout=10)
    error = error_from_call(caught.value, "door")
    assert error.status == "INVALID_ARGUMENT"
    assert error.context["field"] == field


def test_a_renewal_needs_a_lease_and_a_filter_is_understood_or_refused(
    stub: clone_service_pb2_grpc.CloneServiceStub,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.RenewClone(clone_service_pb2.RenewCloneRequest(name=f"clones/{CLONE_ID}"), timeout=10)
    assert error_from_call(caught.value, "door").context["field"] == "lease"
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListClones(clone_service_pb2.ListClonesRequest(filter="pid = 1"), timeout=10)
    assert error_from_call(caught.value, "door").context["field"] == "filter"
