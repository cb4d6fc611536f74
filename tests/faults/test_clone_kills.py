"""SIGKILL of the server at each step of making and of ending a clone, with real processes.

The promise: after the next start there is a clone that serves, or nothing of it: no process, no
folder. A process that no record names yet ends by itself before it serves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clone_traces import clone_folders, clone_processes, end_clones
from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, wait_for

EXIT_UNAVAILABLE = 5
KEYS = 500
STEPS_BEFORE = [
    "clone.recorded",
    "clone.fetched",
    "clone.seeded",
    "clone.launched",
    "clone.process_recorded",
    "clone.released",
    "clone.serving",
]
STEPS_HELD = {"clone.launched", "clone.process_recorded"}
STEPS_OF_AN_END = ["clone.deleting", "clone.ended", "clone.deleted"]


def fail_at(step: str) -> dict[str, str]:
    """Return the environment of a server that is killed at a step."""
    return {"PERDURE_FAILPOINTS": f"{step}=kill"}


def prepare(folder: Path) -> None:
    """Leave a server's folder with data and a packed snapshot of it."""
    with Sidecar(folder) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        sidecar.cli("snapshot", "create", "--compression", "zstd")
        sidecar.kill()


def assert_nothing_is_left(sidecar: Sidecar) -> None:
    """Hold it within a deadline: a held process sees the end of its pipe, then it ends."""
    wait_for(
        lambda: not clone_processes(sidecar.data) and not clone_folders(sidecar.data),
        "nothing of the clone to be left",
    )
    assert sidecar.json("clone", "list") == {"clones": []}


@pytest.mark.parametrize("step", STEPS_BEFORE)
def test_a_kill_while_a_clone_is_made_leaves_nothing_of_it(tmp_path: Path, step: str) -> None:
    prepare(tmp_path)
    try:
        with Sidecar(tmp_path, env=fail_at(step)) as sidecar:
            sidecar.cli("clone", "create", code=EXIT_UNAVAILABLE)
            assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"
        if step in STEPS_HELD:
            wait_for(lambda: not clone_processes(sidecar.data), "what nobody releases to end")
            assert not list((sidecar.data / "clones").glob("*/data/perdure.lock")), "it began"
        with Sidecar(tmp_path) as sidecar:
            assert_nothing_is_left(sidecar)
            [operation] = [
                found
                for found in sidecar.json("operation", "list")["operations"]
                if found["metadata"]["kind"] == "KIND_CREATE_CLONE"
            ]
            assert operation["error"]["code"] == 10, "ABORTED"
            clone = sidecar.json("clone", "create")
            assert int(clone["key_count"]) == KEYS
            sidecar.cli("clone", "delete", clone["name"])
            assert_nothing_is_left(sidecar)
    finally:
        end_clones(tmp_path / "data")


@pytest.mark.parametrize("step", ["clone.serving", "clone.deleting"])
def test_a_clone_ends_itself_when_its_killed_server_never_comes_back(
    tmp_path: Path, step: str
) -> None:
    """It serves, but its record says that it is being made, or deleted; no lease says more."""
    prepare(tmp_path)
    config = '[clones]\nstart_timeout = "15s"\nlease_grace = "1s"\n'
    try:
        with Sidecar(tmp_path, config=config, env=fail_at(step)) as sidecar:
            is_end = step in STEPS_OF_AN_END
            made = sidecar.cli("clone", "create", code=0 if is_end else EXIT_UNAVAILABLE)
            if is_end:
                [name] = clone_folders(sidecar.data)
                sidecar.cli("clone", "delete", name, code=EXIT_UNAVAILABLE)
            assert sidecar.wait() == -9, f"{step} was never reached: {made.stderr}"
        wait_for(lambda: not clone_processes(sidecar.data), "the clone to end")
        assert clone_folders(sidecar.data), "its data stays"
    finally:
        end_clones(tmp_path / "data")


def test_a_kill_once_a_clone_is_ready_keeps_it(tmp_path: Path) -> None:
    prepare(tmp_path)
    try:
        with Sidecar(tmp_path, env=fail_at("clone.ready_recorded")) as sidecar:
            sidecar.cli("clone", "create", code=EXIT_UNAVAILABLE)
            assert sidecar.wait() == -9
        with Sidecar(tmp_path) as sidecar:
            [clone] = sidecar.json("clone", "list")["clones"]
            assert clone["state"] == "STATE_READY"
            assert list(clone_processes(sidecar.data)) == [int(clone["pid"])]
            sidecar.cli("clone", "delete", clone["name"])
            assert_nothing_is_left(sidecar)
    finally:
        end_clones(tmp_path / "data")


@pytest.mark.parametrize("step", STEPS_OF_AN_END)
def test_a_kill_while_a_clone_is_deleted_ends_it_all_the_same(tmp_path: Path, step: str) -> None:
    prepare(tmp_path)
    try:
        with Sidecar(tmp_path, env=fail_at(step)) as sidecar:
            clone = sidecar.json("clone", "create")
            sidecar.cli("clone", "delete", clone["name"], code=EXIT_UNAVAILABLE)
            assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"
        with Sidecar(tmp_path) as sidecar:
            assert_nothing_is_left(sidecar)
    finally:
        end_clones(tmp_path / "data")
