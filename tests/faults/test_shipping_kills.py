"""SIGKILL at each step of a scheduled snapshot on its way to two backends, one of them away.

The promise: one due time has one snapshot however often the process is killed, nothing of it is
visible that does not verify, the backend that is there has it after the next start, and the one
that was away after the first start that finds it back.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue import open_catalogue
from tests.faults.test_kills import SNAPSHOT_STEPS, assert_nothing_left_over
from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, wait_for
from tests.support.s3_server import CREDENTIALS, VersityGateway

KEYS = 500
NEED_ALL = {"snapshot.shipped", "snapshot.cleaned"}  # reached when every backend has it
CONFIG = """
[backends.near]
path = "near"

[backends.far]
path = "far/snapshots"

[schedules.yearly]
cron = "0 0 1 1 *"
compression = "zstd"
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give a folder whose schedule is due at the next start, and the digest of its data."""
    folder = tmp_path_factory.mktemp("prepared")
    with Sidecar(folder, config=CONFIG) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        sidecar.kill()  # no stop: it would leave an RDB for the next start to ship
    now = datetime.now(UTC)
    catalogue = open_catalogue(sidecar.data / "perdure.db", now, timedelta(days=1)).catalogue
    schedule = catalogue.find_schedule("yearly")
    assert schedule is not None
    catalogue.put_schedule(replace(schedule, anchor_at=now - timedelta(days=730)))
    catalogue.close()
    return folder, digest


def take_away(folder: Path) -> None:
    """Put a file where the far backend's folder would be."""
    shutil.rmtree(folder / "far")
    (folder / "far").touch()


def bring_back(folder: Path) -> None:
    """Let the far backend be there again, as it was before anything was stored."""
    (folder / "far").unlink()


def of_the_schedule(sidecar: Sidecar) -> list[dict[str, Any]]:
    """List the schedule's snapshots."""
    listed = sidecar.json("snapshot", "list", "--show-deleted")["snapshots"]
    return [found for found in listed if found.get("schedule") == "schedules/yearly"]


def copies(sidecar: Sidecar) -> list[str]:
    """Name the backends that have the one snapshot that there is."""
    found = of_the_schedule(sidecar)
    assert len(found) <= 1, found
    return sorted(copy["backend"] for copy in found[0]["copies"]) if found else []


@pytest.mark.parametrize("step", SNAPSHOT_STEPS)
def test_due_time_has_one_snapshot_on_each_backend_however_it_was_killed(
    tmp_path: Path, prepared: tuple[Path, str], step: str
) -> None:
    folder, digest = prepared
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    if step not in NEED_ALL:
        take_away(tmp_path)
    env = {"PERDURE_FAILPOINTS": f"{step}=kill"}
    with Sidecar(tmp_path, config=CONFIG, env=env, is_awaited=False) as sidecar:
        assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"

    with Sidecar(tmp_path, config=CONFIG) as sidecar:
        assert sidecar.digest() == digest
        wait_for(lambda: "backends/near" in copies(sidecar), "the near backend to have it")
        (found,) = of_the_schedule(sidecar)
        assert sidecar.json("snapshot", "verify", found["name"])["state"] == "STATE_AVAILABLE"
        sidecar.kill()

    if step not in NEED_ALL:
        bring_back(tmp_path)
    with Sidecar(tmp_path, config=CONFIG) as sidecar:
        both = ["backends/far", "backends/near"]
        wait_for(lambda: copies(sidecar) == both, "the far backend to have it, too")
        assert of_the_schedule(sidecar)[0]["name"] == found["name"]
        for backend in both:
            sidecar.cli("snapshot", "verify", found["name"], "--backend", backend)
        assert_nothing_left_over(sidecar)
        assert sidecar.digest() == digest
    for backend in ("near", "far"):
        assert len(list((tmp_path / backend).rglob("manifest.json"))) == 1


@pytest.mark.parametrize(
    "kill",
    [
        # The first hit is one backend's, the second the other's.
        *(f"{step}=kill" for step in ("snapshot.packed", "snapshot.payload_put")),
        *(f"{step}=kill@2" for step in ("snapshot.payload_put", "snapshot.manifest_put")),
        "snapshot.catalogued=kill@2",
        "snapshot.shipped=kill",
    ],
)
def test_due_time_has_one_snapshot_on_a_folder_and_on_a_real_store(
    tmp_path: Path, prepared: tuple[Path, str], kill: str
) -> None:
    """The store is killed with the process; it is back a start later, and nothing was doubled."""
    folder, digest = prepared
    place = tmp_path / "sidecar"
    shutil.copytree(folder, place)
    with VersityGateway(tmp_path / "store") as store:
        store.make_bucket("bucket")
        config = CONFIG.replace(
            '[backends.far]\npath = "far/snapshots"',
            '[backends.far]\ntype = "s3"\nbucket = "bucket"\nstore = "versitygw"\n'
            f'endpoint_url = "{store.endpoint_url}"',
        )
        env = {**CREDENTIALS, "PERDURE_FAILPOINTS": kill}
        with Sidecar(place, config=config, env=env, is_awaited=False) as sidecar:
            assert sidecar.wait() == -9, f"{kill} was never reached: {sidecar.tail()}"
        store.kill()
        with Sidecar(place, config=config, env=CREDENTIALS) as sidecar:
            wait_for(lambda: "backends/near" in copies(sidecar), "the folder to have it")
            sidecar.kill()
        store.start()
        with Sidecar(place, config=config, env=CREDENTIALS) as sidecar:
            both = ["backends/far", "backends/near"]
            wait_for(lambda: copies(sidecar) == both, "the store to have it, too")
            (found,) = of_the_schedule(sidecar)
            assert sidecar.json("snapshot", "verify", found["name"])["state"] == "STATE_AVAILABLE"
            assert_nothing_left_over(sidecar)
            assert sidecar.digest() == digest
        assert len([key for key in store.keys("bucket") if "manifest" in key]) == 1
        assert store.uploads("bucket") == []
