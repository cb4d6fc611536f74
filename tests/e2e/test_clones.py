"""Clones as their users see them: real processes, the command, a Redis client, SIGKILL.

Each test ends with nothing left: no process that names the folder, no folder, no open port.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.support.clone_traces import (
    addresses,
    clone_folders,
    clone_processes,
    end_clones,
    listeners,
)
from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, digest_of, wait_for

KEYS = 2_000
CLONES = 20
DOORS = 4
CONFLICT = 4


@contextmanager
def parent(folder: Path, **options: Any) -> Iterator[Sidecar]:
    """Give a server; whatever a failed test leaves of its clones is ended."""
    try:
        with Sidecar(folder, **options) as sidecar:
            yield sidecar
    finally:
        end_clones(folder / "data")


def digest_at(clone: Any) -> str:
    """Ask a clone for DEBUG DIGEST."""
    with redis_of(clone) as client:
        return digest_of(client)


def redis_of(clone: Any) -> redis.Redis:
    """Connect to a clone."""
    host, _, port = clone["endpoints"]["resp"].rpartition(":")
    return redis.Redis(host=host, port=int(port), socket_timeout=60)


def assert_nothing_left(data: Path) -> None:
    """Hold what a deletion promises."""
    assert clone_folders(data) == []
    assert clone_processes(data) == {}


def test_a_clone_of_a_snapshot_is_a_server_of_its_own(tmp_path: Path) -> None:
    """Same data, other ports, uid, name and backend; schedules paused; its end leaves nothing."""
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        snapshot = sidecar.json("snapshot", "create")
        with sidecar.client() as client:
            client.flushall()
        clone = sidecar.json("clone", "create", "--snapshot", snapshot["name"])
        assert clone["state"] == "STATE_READY"
        doors = listeners(clone)
        assert len(doors) == DOORS
        assert clone["seed"] == "SEED_LINK"
        assert int(clone["key_count"]) == KEYS
        assert digest_at(clone) == digest
        assert "lease_end_time" not in clone

        other = ["--target", clone["endpoints"]["control"]]
        status = sidecar.json(*other, "status")
        assert status["server_uid"] == clone["server_uid"] != sidecar.json("status")["server_uid"]
        assert status["server_name"] == clone["server_name"]
        schedules = sidecar.json(*other, "schedule", "list")["schedules"]
        assert [schedule["paused"] for schedule in schedules] == [True] * 3
        assert sidecar.json(*other, "snapshot", "list") == {"snapshots": []}
        taken = sidecar.json(*other, "snapshot", "create")
        assert taken["server_uid"] == clone["server_uid"]
        assert len(sidecar.json("snapshot", "list")["snapshots"]) == 1
        with redis_of(clone) as client:
            client.set("only-here", "1")
        with sidecar.client() as client:
            assert client.dbsize() == 0

        assert [c["name"] for c in sidecar.json("clone", "list")["clones"]] == [clone["name"]]
        sidecar.cli("clone", "delete", clone["name"])
        assert sidecar.json("clone", "list") == {"clones": []}
        assert_nothing_left(sidecar.data)
        assert not doors & listeners(clone)
        assert sidecar.cli("snapshot", "verify", snapshot["name"])


def test_a_clone_of_the_live_data_shows_the_cut(tmp_path: Path) -> None:
    """What is written after the cut is not in it, and no snapshot is listed for it."""
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=2)
        digest = sidecar.digest()
        clone = sidecar.json("clone", "create", "--live")
        with sidecar.client() as client:
            client.set("later", "1")
        assert clone["seed"] == "SEED_CUT"
        assert digest_at(clone) == digest
        assert sidecar.json("snapshot", "list") == {"snapshots": []}
        sidecar.cli("clone", "delete", clone["name"])
        assert_nothing_left(sidecar.data)


def test_a_packed_snapshot_is_fetched(tmp_path: Path) -> None:
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=3)
        digest = sidecar.digest()
        sidecar.cli("snapshot", "create", "--compression", "zstd")
        clone = sidecar.json("clone", "create", "--lease", "1h")
        assert clone["seed"] == "SEED_FETCH"
        assert clone["lease_end_time"]
        assert digest_at(clone) == digest
        sidecar.cli("clone", "delete", clone["name"])
        assert_nothing_left(sidecar.data)
        assert list((sidecar.data / "spool").glob("*.rdb*")) == []


def test_a_clone_outlives_its_server_and_the_next_one_ends_it(tmp_path: Path) -> None:
    """SIGKILL of the server: the clone serves on, is listed after the restart, and is deleted."""
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=4)
        clone = sidecar.json("clone", "create", "--live", "--lease", "1h")
        digest = digest_at(clone)
        sidecar.kill()
        assert digest_at(clone) == digest
    # The block above ended the clone by force, as a test that failed must: a new one, then.
    with parent(tmp_path) as sidecar:
        gone = sidecar.json("clone", "get", clone["name"])
        assert gone["state"] == "STATE_FAILED"
        assert gone["error"]["message"]
        assert gone["log_tail"]
        sidecar.cli("clone", "delete", clone["name"])
        assert_nothing_left(sidecar.data)


def test_a_restarted_server_adopts_what_still_serves(tmp_path: Path) -> None:
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=5)
        clone = sidecar.json("clone", "create", "--live", "--lease", "1h")
        sidecar.kill()
        with Sidecar(tmp_path) as again:
            found = again.json("clone", "get", clone["name"])
            assert found["state"] == "STATE_READY"
            assert found["pid"] == clone["pid"]
            doors = listeners(clone)
            assert len(doors) == DOORS
            assert found["lease_end_time"] == clone["lease_end_time"]
            renewed = again.json("clone", "renew", clone["name"], "--lease", "2h")
            assert renewed["lease_end_time"] > clone["lease_end_time"]
            late = again.cli(
                "clone", "delete", clone["name"], "--etag", found["etag"], code=CONFLICT
            )
            assert "Try:" in late.stderr
            again.cli("clone", "delete", clone["name"])
            assert_nothing_left(again.data)
            assert not doors & listeners(clone)


def test_a_lease_that_is_over_takes_the_clone(tmp_path: Path) -> None:
    with parent(tmp_path) as sidecar:
        clone = sidecar.json("clone", "create", "--live", "--lease", "1s")
        doors = listeners(clone)
        wait_for(lambda: not sidecar.json("clone", "list")["clones"], "the lease to end")
        assert_nothing_left(sidecar.data)
        assert not doors & listeners(clone)


def test_a_clone_whose_server_never_comes_back_ends_itself(tmp_path: Path) -> None:
    """Its data waits for the next server, which removes it."""
    config = '[clones]\nlease_grace = "1s"\n'
    with parent(tmp_path, config=config) as sidecar:
        made = sidecar.json("clone", "create", "--live", "--lease", "2s")
        sidecar.kill()  # long before the lease is over: it could not end the clone any more
        wait_for(lambda: not clone_processes(sidecar.data), "the clones to end")
        assert made["name"].partition("/")[2] in clone_folders(sidecar.data)
        with Sidecar(tmp_path, config=config) as again:
            wait_for(lambda: not again.json("clone", "list")["clones"], "what is over to go")
            assert_nothing_left(again.data)


def test_a_clone_that_does_not_come_to_serve_leaves_nothing(tmp_path: Path) -> None:
    """Its process is ended, its folder gone, and the error says what to do."""
    config = "[clones]\nstart_timeout = 0.001\n"
    with parent(tmp_path, config=config) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=7)
        failed = sidecar.cli("clone", "create", "--live", code=CONFLICT)
        assert "clones.start_timeout" in failed.stderr
        assert_nothing_left(sidecar.data)
        assert sidecar.json("clone", "list") == {"clones": []}


def test_twenty_clones_at_once(tmp_path: Path) -> None:
    """All of them serve the same data on ports of their own, and all of them go."""
    with parent(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=6)
        digest = sidecar.digest()
        sidecar.cli("snapshot", "create")
        with ThreadPoolExecutor(CLONES) as calls:
            started = list(
                calls.map(lambda _: sidecar.json("clone", "create", "--no-wait"), range(CLONES))
            )
        assert len({operation["name"] for operation in started}) == CLONES
        ready = ("clone", "list", "--filter", "state = STATE_READY")
        clones = wait_for(
            lambda: (found := sidecar.json(*ready)["clones"])[CLONES - 1 :] and found,
            "all clones to serve",
            300,
        )
        assert {digest_at(clone) for clone in clones} == {digest}
        assert len({address for clone in clones for address in addresses(clone)}) == DOORS * CLONES
        assert len({clone["server_uid"] for clone in clones}) == CLONES
        assert len(clone_processes(sidecar.data)) == CLONES
        doors = set().union(*map(listeners, clones))
        assert len(doors) == DOORS * CLONES
        with ThreadPoolExecutor(CLONES) as calls:
            list(calls.map(lambda clone: sidecar.cli("clone", "delete", clone["name"]), clones))
        assert_nothing_left(sidecar.data)
        assert not any(doors & listeners(clone) for clone in clones)
