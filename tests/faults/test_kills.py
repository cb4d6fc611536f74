"""SIGKILL at each named step of a snapshot and of a restore, then a restart and a look.

The promise: a whole data set is found (the old or, past the commit point, the new), every snapshot
that is listed verifies, and the next snapshot works. With a log on, what was acknowledged of the
data set that is found is there, too.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import pytest
import redis

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
# With a log on; steps that a start passes, too, cannot be named from outside.
LOGGED_STEPS_BEFORE = [
    "commit.base_written",
    "commit.writes_paused",
    "commit.safety_cut",
    "commit.base_named",
    "commit.before_rename",
]
LOGGED_STEPS_AFTER = [
    "commit.after_rename",
    "commit.before_fsync_directory",
    "commit.durable",
    "restore.committed",
]


@pytest.mark.parametrize("step", SNAPSHOT_STEPS)
def test_a_kill_during_a_snapshot_loses_nothing(tmp_path: Path, step: str) -> None:
    with Sidecar(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        kept = sidecar.json("snapshot", "create")["name"]
        # No stop: it would save, and the next start cuts a file that it found through these steps.
        sidecar.kill()

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
    args = ("--appendonly", "no")
    with Sidecar(tmp_path, redis_args=args) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        wanted = sidecar.digest()
        snapshot = sidecar.json("snapshot", "create")["name"]
        write_strings(sidecar.ports["resp"], KEYS // 2, seed=2)
        with sidecar.client() as client:
            client.save()
        current = sidecar.digest()
        assert current != wanted
        sidecar.stop()

    env = {"PERDURE_FAILPOINTS": f"{step}=kill"}
    with Sidecar(tmp_path, redis_args=args, env=env) as sidecar:
        assert sidecar.digest() == current
        assert "Try:" in sidecar.cli("restore", snapshot, code=EXIT_UNAVAILABLE).stderr
        assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"

    with Sidecar(tmp_path, redis_args=args) as sidecar:
        expected = current if step in RESTORE_STEPS_BEFORE else wanted
        assert sidecar.digest() == expected
        assert_every_listed_snapshot_verifies(sidecar, snapshot)
        assert_safety_snapshot_if_committed(sidecar, step)
        sidecar.cli("restore", snapshot)
        assert sidecar.digest() == wanted
        assert_nothing_left_over(sidecar)


@pytest.mark.parametrize(
    ("step", "policy"),
    [
        (step, ("everysec", "always", "no")[number % 3])
        for number, step in enumerate(LOGGED_STEPS_BEFORE + LOGGED_STEPS_AFTER)
    ],
)
def test_a_kill_during_a_restore_with_a_log_keeps_what_was_acknowledged(
    tmp_path: Path, step: str, policy: str
) -> None:
    args = ("--appendonly", "yes", "--appendfsync", policy)
    with Sidecar(tmp_path, redis_args=args) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        wanted = sidecar.digest()
        created = sidecar.json("snapshot", "create")
        snapshot, position = created["name"], created["log_position"]
        state = (sidecar.data / "perdure.state").read_text()
        assert f"last-epoch {position['epoch']}\n" in state
        assert int(position["offset"]) > KEYS
        write_strings(sidecar.ports["resp"], KEYS // 2, seed=2)
        with sidecar.client() as client:
            client.set(OLD_DATA, "1")
        current = sidecar.digest()
        sidecar.stop()

    env = {"PERDURE_FAILPOINTS": f"{step}=kill"}
    with Sidecar(tmp_path, redis_args=args, env=env) as sidecar:
        assert sidecar.digest() == current
        with Writer(sidecar) as writer:
            sidecar.cli("restore", snapshot, code=EXIT_UNAVAILABLE)
            assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"

    is_restored = step in LOGGED_STEPS_AFTER
    assert writer.on_old
    assert is_restored or not writer.on_new
    with Sidecar(tmp_path, redis_args=args) as sidecar:
        with sidecar.client(decode_responses=True) as client:
            assert client.exists(OLD_DATA) == (0 if is_restored else 1)
            kept = set(client.scan_iter(f"{WRITTEN}*", count=1000))
            assert kept >= set(writer.on_new if is_restored else writer.on_old)
            if is_restored:
                assert not kept & set(writer.on_old)
            for key in kept:
                client.delete(key)
        assert sidecar.digest() == (wanted if is_restored else current)
        assert_every_listed_snapshot_verifies(sidecar, snapshot)
        sidecar.cli("restore", snapshot)
        assert sidecar.digest() == wanted
        assert_nothing_left_over(sidecar)
        assert_log_is_tidy(sidecar)


OLD_DATA = "this is the old data"
WRITTEN = "written:"


class Writer:
    """A client that writes until the server is gone; it tells on which data each write fell."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.on_old: list[str] = []
        self.on_new: list[str] = []
        self._sidecar = sidecar
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        with self._sidecar.client() as client:
            while True:
                key = f"{WRITTEN}{number}"
                number += 1
                both = client.pipeline(transaction=True)
                both.exists(OLD_DATA).set(key, "value")
                try:
                    is_old, _ = both.execute()
                except redis.exceptions.ConnectionError:
                    return
                (self.on_old if is_old else self.on_new).append(key)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: len(self.on_old) > 10, "the writer to write")
        return self

    def __exit__(self, *_: object) -> None:
        self._sidecar.__exit__()  # without its server it ends
        self._thread.join(60)
        assert not self._thread.is_alive()


def assert_log_is_tidy(sidecar: Sidecar) -> None:
    """In the log's folder stand the manifest, what it names, and perhaps the commit ring."""
    folder = sidecar.data / "appendonlydir"
    manifest = folder / "appendonly.aof.manifest"
    named = {line.split()[1] for line in manifest.read_text().splitlines()}
    found = {path.name for path in folder.iterdir()} - {"appendonly.aof.ring"}
    assert found == named | {manifest.name}


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
