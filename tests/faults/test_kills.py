"""SIGKILL at each named step of a snapshot and of a restore, then a restart and a look.

The promise: a whole data set is found (the old or, past the commit point, the new), every snapshot
that is listed verifies, and the next snapshot works.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, wait_for

EXIT_UNAVAILABLE = 5
KEYS = 2_000
SNAPSHOT_STEPS = [
    "snapshot.planned",
    "snapshot.forked",
    "snapshot.cut",
    "snapshot.cut_recorded",
    "snapshot.verified",
    "snapshot.proof_recorded",
    "snapshot.packed",
    "snapshot.payload_put",
    "snapshot.manifest_put",
    "snapshot.catalogued",
    "snapshot.shipped",
    "snapshot.cleaned",
]
RESTORE_STEPS_BEFORE = [
    "restore.planned",
    "restore.fetched",
    "restore.unpacked",
    "restore.loaded",
    "restore.before_commit",
    "commit.base_written",
    "commit.writes_paused",
    "commit.safety_cut",
    "commit.before_rename",
]
RESTORE_STEPS_AFTER = [
    "commit.after_rename",
    "commit.before_fsync_directory",
    "restore.committed",
    "restore.safety_recorded",
    "restore.safety_shipped",
]


@pytest.mark.parametrize("step", SNAPSHOT_STEPS)
def test_a_kill_during_a_snapshot_loses_nothing(tmp_path: Path, step: str) -> None:
    with Sidecar(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        with sidecar.client() as client:
            client.save()
        digest = sidecar.digest()
        kept = sidecar.json("snapshot", "create")["name"]
        sidecar.stop()

    with Sidecar(tmp_path, env={"PERDURE_FAILPOINTS": f"{step}=kill"}) as sidecar:
        gone = sidecar.cli("snapshot", "create", "--compression", "zstd", code=EXIT_UNAVAILABLE)
        assert "Try:" in gone.stderr
        assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"

    with Sidecar(tmp_path) as sidecar:
        assert sidecar.digest() == digest
        assert_every_listed_snapshot_verifies(sidecar, kept)
        assert sidecar.json("snapshot", "create")["state"] == "STATE_AVAILABLE"
        assert_nothing_left_over(sidecar)


@pytest.mark.parametrize("step", ["snapshot.child_started", "snapshot.child_written"])
def test_a_killed_child_fails_the_snapshot_and_nothing_else(tmp_path: Path, step: str) -> None:
    with Sidecar(tmp_path, env={"PERDURE_FAILPOINTS": f"{step}=kill"}) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        failed = sidecar.cli("snapshot", "create", code=None)
        assert failed.returncode == 9, failed.stderr
        assert "Error:" in failed.stderr
        assert "Try:" in failed.stderr
        assert sidecar.json("snapshot", "list") == {"snapshots": []}
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.set("after", "1")
        assert_nothing_left_over(sidecar)


@pytest.mark.parametrize("step", RESTORE_STEPS_BEFORE + RESTORE_STEPS_AFTER)
def test_a_kill_during_a_restore_leaves_the_old_data_or_the_new(tmp_path: Path, step: str) -> None:
    with Sidecar(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        wanted = sidecar.digest()
        snapshot = sidecar.json("snapshot", "create")["name"]
        write_strings(sidecar.ports["resp"], KEYS // 2, seed=2)
        with sidecar.client() as client:
            client.save()
        current = sidecar.digest()
        assert current != wanted
        sidecar.stop()

    with Sidecar(tmp_path, env={"PERDURE_FAILPOINTS": f"{step}=kill"}) as sidecar:
        assert sidecar.digest() == current
        assert "Try:" in sidecar.cli("restore", snapshot, code=EXIT_UNAVAILABLE).stderr
        assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"

    with Sidecar(tmp_path) as sidecar:
        expected = current if step in RESTORE_STEPS_BEFORE else wanted
        assert sidecar.digest() == expected
        assert_every_listed_snapshot_verifies(sidecar, snapshot)
        assert_safety_snapshot_if_committed(sidecar, step)
        sidecar.cli("restore", snapshot)
        assert sidecar.digest() == wanted
        assert_nothing_left_over(sidecar)


def assert_safety_snapshot_if_committed(sidecar: Sidecar, step: str) -> None:
    """Past the commit the data that was replaced lies in a snapshot, whatever else happened."""
    if step not in RESTORE_STEPS_AFTER:
        return

    def shipped() -> bool:
        listed = sidecar.json("snapshot", "list")["snapshots"]
        return "TRIGGER_SAFETY" in [found["trigger"] for found in listed]

    wait_for(shipped, "the safety snapshot to be shipped at boot", 30)


def assert_every_listed_snapshot_verifies(sidecar: Sidecar, expected: str) -> None:
    """Verify all that the list offers; the one from before must be among it."""
    names = [found["name"] for found in sidecar.json("snapshot", "list")["snapshots"]]
    assert expected in names
    for name in names:
        assert sidecar.json("snapshot", "verify", name)["state"] == "STATE_AVAILABLE"


def assert_nothing_left_over(sidecar: Sidecar) -> None:
    """No temporary file stays in the data folder, and the spool empties."""

    def spooled() -> list[str]:
        spool = sidecar.data / "spool"
        return [str(p) for p in spool.rglob("*") if p.is_file() and "quarantine" not in p.parts]

    wait_for(lambda: not spooled(), f"the spool to be empty: {spooled()}", 30)
    strays = [p.name for p in sidecar.data.iterdir() if "tmp" in p.name or "temp" in p.name]
    assert not strays
