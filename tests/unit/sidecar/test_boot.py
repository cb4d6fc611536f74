"""Booting never loses by accident, and what SQLite lost comes back from the backends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sidecar.boot import DataDirLock
from sidecar.control_plane import CoreOptions
from sidecar.data_set import DataSetFiles
from sidecar.errors import BootRefusedError, DataDirLockedError
from sidecar.model import Preset, ScheduleSpec, Trigger
from sidecar.paging import ListRequest
from tests.support.control_bench import ControlBench
from tests.support.fake_engine import dump_fake


async def emptied(tmp_path: Path) -> tuple[ControlBench, str]:
    """Take a snapshot, then lose everything but the backend."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1"}
    snapshot = await bench.take()
    spec = ScheduleSpec(preset=Preset.DAILY)
    await bench.core.control_plane.schedules.create("mine", spec)
    await bench.stop()
    lose_all_but_snapshots(bench)
    return bench, snapshot.snapshot_id


def lose_all_but_snapshots(bench: ControlBench) -> None:
    for path in bench.data_dir.iterdir():
        if path.is_dir() and path.name != "snapshots":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


async def test_auto_refuses_to_start_empty_under_a_name_with_snapshots(tmp_path: Path) -> None:
    bench, snapshot_id = await emptied(tmp_path)
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_AMBIGUOUS"
    assert caught.value.context["snapshot_id"] == snapshot_id
    assert f"=snapshot:{snapshot_id}" in caught.value.hint
    assert "=empty" in caught.value.hint
    bench.core.close()


async def test_auto_refuses_to_start_empty_where_only_a_damaged_snapshot_is(
    tmp_path: Path,
) -> None:
    bench, snapshot_id = await emptied(tmp_path)
    next((bench.data_dir / "snapshots").glob("**/dump-*")).unlink()
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_DAMAGED"
    assert snapshot_id in caught.value.message
    bench.core.close()


async def test_auto_refuses_to_start_empty_where_a_newer_perdure_wrote(tmp_path: Path) -> None:
    bench, snapshot_id = await emptied(tmp_path)
    path = next((bench.data_dir / "snapshots").glob(f"**/{snapshot_id}/manifest.json"))
    document = json.loads(path.read_text()) | {"schema_version": 99}
    path.write_text(json.dumps(document))
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_DAMAGED"
    assert snapshot_id in caught.value.message
    bench.core.close()
    bench.tables["server"] = {"boot_source": "empty"}
    await bench.boot()
    await bench.stop()


async def test_schedule_that_cannot_be_computed_is_counted_and_left(tmp_path: Path) -> None:
    """What lies on a backend is hostile until checked: it must not stop the other schedules."""
    bench, _ = await emptied(tmp_path)
    (path,) = (bench.data_dir / "snapshots").glob("**/schedules/mine/*.json")
    document = json.loads(path.read_text())
    document["spec"]["time_zone"] = "Mars/Olympus"
    path.write_text(json.dumps(document))
    bench.tables["server"] = {"boot_source": "empty"}
    await bench.boot()
    listed = bench.core.control_plane.schedules.list(ListRequest()).items
    assert [view.schedule.schedule_id for view in listed] == ["daily", "every-12h", "hourly"]
    assert bench.core.figures.documents_invalid == 1
    assert path.exists()
    await bench.stop()


@pytest.mark.parametrize("source", ["latest", "snapshot"])
async def test_latest_and_named_source_put_the_file_in_place(tmp_path: Path, source: str) -> None:
    bench, snapshot_id = await emptied(tmp_path)
    word = source if source == "latest" else f"snapshot:{snapshot_id}"
    bench.tables["server"] = {"boot_source": word}
    await bench.boot()
    assert bench.engine.data == {"a": "1"}
    await bench.core.adopt_left_rdb()
    await bench.core.maintain()
    assert len(bench.listed()) == 1  # as old as its snapshot: not shipped again
    await bench.stop()


@pytest.mark.parametrize("source", ["auto", "latest"])
async def test_what_a_restore_replaced_is_not_taken_for_the_newest_data(
    tmp_path: Path, source: str
) -> None:
    """The safety snapshot is cut last, but it holds the accident."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1"}
    snapshot = await bench.take()
    bench.engine.data = {"a": "by accident"}
    bench.engine.rdb.write_bytes(dump_fake(bench.engine.data))
    await bench.restored(snapshot.snapshot_id)
    await bench.stop()
    lose_all_but_snapshots(bench)
    bench.tables["server"] = {"boot_source": source}
    if source == "auto":
        with pytest.raises(BootRefusedError, match=snapshot.snapshot_id):
            await bench.boot()
        bench.core.close()
        return
    await bench.boot()
    assert bench.engine.data == {"a": "1"}
    await bench.stop()


async def test_existing_file_is_never_replaced(tmp_path: Path) -> None:
    bench, snapshot_id = await emptied(tmp_path)
    (bench.data_dir / "dump.rdb").write_bytes(dump_fake({"mine": "1"}))
    bench.tables["server"] = {"boot_source": f"snapshot:{snapshot_id}"}
    await bench.boot()
    assert bench.engine.data == {"mine": "1"}
    await bench.stop()


async def test_damaged_source_refuses_with_its_own_code(tmp_path: Path) -> None:
    bench, _ = await emptied(tmp_path)
    payload = next((bench.data_dir / "snapshots").glob("**/dump-*"))
    payload.write_bytes(payload.read_bytes()[:-3])
    bench.tables["server"] = {"boot_source": "latest"}
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_DAMAGED"
    assert not (bench.data_dir / "dump.rdb").exists()
    bench.core.close()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("require-existing", "BOOT_SOURCE_MISSING"),
        ("latest", "BOOT_SOURCE_MISSING"),
        ("snapshot:20200101t000000z-manual-00000000", "BOOT_SOURCE_MISSING"),
    ],
)
async def test_missing_source_refuses(tmp_path: Path, source: str, code: str) -> None:
    bench = ControlBench(tmp_path, server={"boot_source": source})
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == code
    bench.core.close()


async def test_unreachable_backend_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """A mount that is missing (`create = false`) must not start an empty server."""
    gone = {"away": {"type": "local", "path": str(tmp_path / "mount"), "create": False}}
    bench = ControlBench(tmp_path, backends=gone)
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_UNREACHABLE"
    bench.core.close()
    (bench.data_dir / "dump.rdb").write_bytes(dump_fake({"a": "1"}))
    await bench.boot()  # data is here: serving comes first
    assert bench.core.ground.identity.uid is None
    (tmp_path / "mount").mkdir()
    await bench.core.maintain()
    assert bench.core.ground.identity.uid is not None
    assert bench.core.control_plane.schedules.get("hourly")
    await bench.stop()


async def test_lost_catalogue_is_rebuilt_with_uid_snapshots_and_schedules(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1"}
    await bench.take()
    await bench.core.control_plane.schedules.create("mine", ScheduleSpec(preset=Preset.DAILY))
    before = bench.listed(), bench.core.ground.identity.uid
    await bench.stop()
    for path in bench.data_dir.glob("perdure.db*"):
        path.unlink()
    bench.tables["server"] = {"boot_source": "empty"}
    await bench.boot()
    assert (bench.listed(), bench.core.ground.identity.uid) == before
    assert bench.core.control_plane.schedules.get("mine").schedule.spec.preset is Preset.DAILY
    await bench.stop()


async def test_damaged_catalogue_is_set_aside_and_rebuilt(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, server={"boot_source": "empty"})
    await bench.boot()
    await bench.take()
    before = bench.listed()
    await bench.stop()
    path = bench.data_dir / "perdure.db"
    path.write_bytes(b"not a database, " * 512)
    await bench.boot()
    assert bench.listed() == before
    assert bench.core.figures.catalogue_damaged == 1
    assert list(bench.data_dir.glob("perdure.db.damaged-*"))
    await bench.stop()


async def test_manifest_without_its_payload_is_listed_as_damaged(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, server={"boot_source": "empty"})
    await bench.boot()
    snapshot = await bench.take()
    await bench.stop()
    (bench.data_dir / "snapshots" / snapshot.copies[0].payload_key).unlink()
    await bench.boot()
    assert bench.listed()[0].state.value == "damaged"
    await bench.stop()


async def test_unreadable_manifest_is_counted_and_left(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path, server={"boot_source": "empty"})
    await bench.boot()
    snapshot = await bench.take()
    await bench.stop()
    (path,) = (bench.data_dir / "snapshots").glob(f"**/{snapshot.snapshot_id}/manifest.json")
    path.write_text(path.read_text()[:-30])
    for database in bench.data_dir.glob("perdure.db*"):
        database.unlink()
    await bench.boot()
    assert bench.listed() == []
    assert bench.core.figures.documents_invalid == 1
    assert path.exists()
    await bench.stop()


async def test_strange_files_on_a_backend_do_not_stop_the_start(tmp_path: Path) -> None:
    """Whatever somebody left below our prefix: it is neither read nor removed."""
    bench = ControlBench(tmp_path, server={"boot_source": "empty"})
    await bench.boot()
    snapshot = await bench.take()
    prefix = bench.data_dir / "snapshots" / bench.core.ground.identity.layout.prefix
    await bench.stop()
    strange = ["20261122t070000z-hourly-1f0c", "schedules/x", "schedules/y/z/1", "a", "b/c"]
    for name in strange:
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).touch()
    await bench.boot()
    await bench.core.maintain()
    assert [s.snapshot_id for s in bench.listed()] == [snapshot.snapshot_id]
    assert (prefix / strange[0]).exists()
    await bench.stop()


async def test_rdb_left_by_a_shutdown_is_shipped_once(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path)
    await bench.boot()
    await bench.stop()
    (bench.data_dir / "dump.rdb").write_bytes(dump_fake({"left": "1"}))
    for _ in range(2):
        await bench.boot()
        await bench.core.adopt_left_rdb()
        await bench.core.maintain()
        triggers = [snapshot.manifest.trigger for snapshot in bench.listed()]
        assert triggers == [Trigger.BOOT]
        assert bench.spool_files() == []
        await bench.stop()


def test_second_server_on_a_data_dir_is_refused_and_named(tmp_path: Path) -> None:
    lock = DataDirLock.acquire(tmp_path)
    with pytest.raises(DataDirLockedError) as caught:
        DataDirLock.acquire(tmp_path)
    assert caught.value.context["pid"].isdigit()
    lock.release()
    DataDirLock.acquire(tmp_path).release()


async def test_second_server_on_the_folder_of_the_data_set_is_refused(tmp_path: Path) -> None:
    """`dir` may lead elsewhere than the data dir: two servers would save over each other."""
    (tmp_path / "shared").mkdir()
    elsewhere = CoreOptions(DataSetFiles(rdb=tmp_path / "shared" / "dump.rdb"))
    bench = ControlBench(tmp_path / "first")
    await bench.boot(elsewhere)
    with pytest.raises(DataDirLockedError):
        await ControlBench(tmp_path / "second").boot(elsewhere)
    await bench.stop()
    other = ControlBench(tmp_path / "second")
    await other.boot(elsewhere)
    await other.stop()


@pytest.mark.parametrize("name", ["appendonlydir/appendonly.aof.manifest", "appendonly.aof"])
async def test_log_counts_as_data_where_it_is_switched_on(tmp_path: Path, name: str) -> None:
    """What is in it is the engine's business; that it is there keeps snapshots from taking over."""
    bench, _ = await emptied(tmp_path)
    log = bench.data_dir / name
    log.parent.mkdir(exist_ok=True)
    log.write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    for source in ("auto", "require-existing", "latest"):
        bench.tables["server"] = {"boot_source": source}
        await bench.boot(CoreOptions(DataSetFiles(is_logging=True)))
        assert not (bench.data_dir / "dump.rdb").exists()
        await bench.stop()


async def test_log_that_is_switched_off_is_not_left_aside_in_silence(tmp_path: Path) -> None:
    bench = ControlBench(tmp_path)
    manifest = bench.data_dir / "appendonlydir" / "appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    with pytest.raises(BootRefusedError) as caught:
        await bench.boot()
    assert caught.value.code == "BOOT_SOURCE_AMBIGUOUS"
    assert caught.value.context["path"] == str(manifest)
    assert "--appendonly yes" in caught.value.hint
    bench.core.close()
    (bench.data_dir / "dump.rdb").write_bytes(dump_fake({"mine": "1"}))
    await bench.boot()  # as redis-server does
    assert bench.engine.data == {"mine": "1"}
    await bench.stop()
