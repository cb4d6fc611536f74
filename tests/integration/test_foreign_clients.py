"""Clients that are not ours: grpcurl by reflection on both doors, and the examples, Go's built."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.go_tools import GRPCURL, go_tool
from tests.support.processes import Sidecar, clean_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Serve one data set for the module."""
    with Sidecar(tmp_path_factory.mktemp("foreign")) as running:
        yield running


def _grpcurl(sidecar: Sidecar, door: str, *words: str, request: object = None) -> str:
    command = [str(go_tool(GRPCURL)), "-plaintext", "-max-time", "20"]
    if request is not None:
        command += ["-d", json.dumps(request)]
    done = subprocess.run(
        [*command, f"127.0.0.1:{sidecar.ports[door]}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _call(sidecar: Sidecar, door: str, method: str, **request: object) -> Any:
    return json.loads(_grpcurl(sidecar, door, method, request=request))


def test_both_doors_list_their_services(sidecar: Sidecar) -> None:
    data = _grpcurl(sidecar, "data", "list").split()
    control = _grpcurl(sidecar, "control", "list").split()
    assert {"perdure.data.v1.DataService", "grpc.health.v1.Health"} <= set(data)
    assert {
        "perdure.control.v1.SnapshotService",
        "perdure.control.v1.ServerService",
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
    } <= set(control)


@pytest.mark.parametrize(
    ("door", "symbol", "word"),
    [
        ("data", "perdure.data.v1.DataService", "rpc WaitDurable"),
        ("data", "perdure.data.v1.SetRequest", "bool return_old"),
        ("control", "perdure.control.v1.SnapshotService", "rpc ImportSnapshot"),
        ("control", "perdure.control.v1.Snapshot", "int64 key_count"),
    ],
)
def test_both_doors_describe_themselves(
    sidecar: Sidecar, door: str, symbol: str, word: str
) -> None:
    assert word in _grpcurl(sidecar, door, "describe", symbol)


def test_data_is_written_and_read_by_reflection(sidecar: Sidecar) -> None:
    key, value = (base64.b64encode(text).decode() for text in (b"by hand", b"\x00\xff"))
    service = "perdure.data.v1.DataService"
    written = _call(
        sidecar, "data", f"{service}/Set", key=key, value=value, durability="DURABILITY_FSYNCED"
    )
    assert written["applied"] is True
    assert written["receipt"]["durability"] == "DURABILITY_FSYNCED"
    assert _call(sidecar, "data", f"{service}/Get", key=key) == {"value": value}


def test_snapshots_are_listed_by_reflection(sidecar: Sidecar) -> None:
    made = sidecar.json("snapshot", "create")
    listed = _call(sidecar, "control", "perdure.control.v1.SnapshotService/ListSnapshots")
    assert made["name"] in [snapshot["name"] for snapshot in listed["snapshots"]]


@pytest.mark.parametrize("door", ["data", "control"])
def test_health_answers_on_both_doors(sidecar: Sidecar, door: str) -> None:
    assert _call(sidecar, door, "grpc.health.v1.Health/Check") == {"status": "SERVING"}


@pytest.fixture(scope="module")
def go_example() -> Path:
    """Build the Go example beside the other Go tools; Go's own cache makes the next build short."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    binary = cache / "perdure" / "bin" / "example-go"
    binary.parent.mkdir(parents=True, exist_ok=True)
    build = [str(Path(sys.executable).parent / "go"), "build", "-buildvcs=false", "-o", str(binary)]
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run([*build, "."], check=True, cwd=EXAMPLES / "go", env=environment, timeout=600)
    return binary


def test_go_example_runs(sidecar: Sidecar, go_example: Path) -> None:
    """It writes with FSYNCED, reads, takes a snapshot and lists it."""
    doors = [f"-{door}=127.0.0.1:{sidecar.ports[door]}" for door in ("data", "control")]
    done = subprocess.run(
        [str(go_example), *doors], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("set: DURABILITY_FSYNCED at offset ")
    assert lines[1] == "get: hello from Go"
    name = lines[2].split()[1]
    assert [line for line in lines[3:] if line.startswith(f"listed: {name} STATE_AVAILABLE ")]


def test_go_example_tells_a_refusal(go_example: Path) -> None:
    """No server: an error, not a panic."""
    done = subprocess.run(
        [str(go_example), "-data=127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")


def test_python_example_runs(sidecar: Sidecar) -> None:
    doors = [f"127.0.0.1:{sidecar.ports[door]}" for door in ("data", "control")]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "python" / "service.py"), *doors],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "visits: 1000" in done.stdout
    assert "moved: (70, 30)" in done.stdout
    assert "snapshot: snapshots/" in done.stdout
