"""Puts the use cases together and runs them in the background; `sidecar.app` adds the doors.

    open      lock, SQLite, spool, backends         before the engine
    prepare   uid, catalogue, boot source           before the engine
    attach    (the app makes the engine)            `core.engine.attach(native)`
    begin     operations and spool taken over       before the doors open
    start     once loaded: what an earlier run left, then schedules and maintenance for ever
    stop      what can be cancelled is, the commit is waited for

Everything is passed in, the clock too; nothing here decides anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from backends.errors import BackendConfigError
from backends.registry import check_options, load_plugin
from backends.wrap.retry import RetryingBackend
from sidecar.audit import AuditLog, AuditOptions
from sidecar.backends_service import Backends
from sidecar.batches import Batches
from sidecar.boot import Boot, DataDirLock
from sidecar.catalogue import Catalogue, open_catalogue
from sidecar.clock import Clock
from sidecar.clone_making import CloneMaker, MakerOptions
from sidecar.clone_plan import CloneRoom
from sidecar.clone_record import CloneStore
from sidecar.clone_seed import Seeder
from sidecar.clones import CloneParts, Clones
from sidecar.config import BackendTable, Settings, flatten_settings
from sidecar.data_set import DataSetFiles
from sidecar.engine import EngineAdapter
from sidecar.engine_events import tell_engine
from sidecar.errors import (
    ConfigError,
    PerdureError,
    ServerUidUnknownError,
)
from sidecar.event_log import About, EventLog, EventType
from sidecar.ground import Ground
from sidecar.identity import Identity
from sidecar.layout import file_snapshot_id
from sidecar.local_provisioner import LocalProvisioner
from sidecar.model import Trigger
from sidecar.observe import BackendFigures, Figures
from sidecar.operations import Operations
from sidecar.pipeline import Pipeline, PipelineOptions
from sidecar.provisioner import Provisioner
from sidecar.rebuild import Rebuild
from sidecar.restore_plan import Planner
from sidecar.restores import Restores
from sidecar.rotation import Rotation
from sidecar.scheduler import Scheduler
from sidecar.schedules import Schedules
from sidecar.settling import Settling
from sidecar.shipping import Shipper, ShippingOptions
from sidecar.snapshots import Snapshots
from sidecar.spool import CutTarget, Spool
from sidecar.spool_room import SpoolLimit
from sidecar.storage import Storage, StorageOptions, Storages
from sidecar.transfers import TransferOptions, Transfers
from sidecar.usecases import ControlPlane
from sidecar.verify import Fetcher, Verifier

_log = structlog.get_logger(__name__)
MAINTENANCE_SECONDS = 30.0
BOOT_READ_SECONDS = 10.0
FIRST_SETTLE_SECONDS = 60.0
SWEEP_EVERY = timedelta(hours=6)
SWEEP_RETRY = timedelta(minutes=10)  # of a backend that failed
CATALOGUE_FILE = "perdure.db"
SPOOL_FOLDER = "spool"
AUDIT_FILE = "audit/audit.jsonl"
CLONES_FOLDER = "clones"


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """What is not in the settings: tests change them."""

    files: DataSetFiles = field(default_factory=DataSetFiles)
    storages: tuple[Storage, ...] | None = None  # instead of the configured ones
    provisioner: Provisioner | None = None  # instead of processes of this host


class Core:
    """The control plane without doors."""

    def __init__(
        self, settings: Settings, clock: Clock, engine: EngineAdapter, options: CoreOptions
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.clock = clock
        self.figures = Figures()
        self.events = EventLog(clock)
        self.data_dir = settings.server.data_dir
        self._files = options.files.below(self.data_dir)
        self._rdb = self._files.rdb
        self._tasks: list[asyncio.Task[None]] = []
        self._swept_at: dict[str, datetime] = {}
        self._is_config_applied = False
        self.warnings: list[str] = []
        self._locks = [DataDirLock.acquire(self.data_dir)]
        try:
            self._lock_rdb_folder()
            self._lock_clones_folder()
            self.ground = self._make_ground(options)
        except BaseException:
            self._release_locks()
            raise
        self.clones = self._make_clones(options.provisioner or LocalProvisioner())
        self._make_use_cases()
        audit = settings.audit
        self.audit = AuditLog(
            AuditOptions(
                audit.path or self.data_dir / AUDIT_FILE,
                audit.size_bytes_max,
                audit.files_max,
                audit.enabled,
            ),
            clock,
            self.figures,
            self.events,
        )
        tell_engine(engine, self.events)

    def _lock_rdb_folder(self) -> None:
        """Keep a second server off the data set too, where `dir` put it elsewhere."""
        folder = self._rdb.parent
        if folder.is_dir() and not folder.samefile(self.data_dir):
            self._locks.append(DataDirLock.acquire(folder))

    def _lock_clones_folder(self) -> None:
        """Keep a second server off our clones, where they are told to be elsewhere."""
        folder = self.settings.clones.folder
        if folder is not None and not folder.resolve().is_relative_to(self.data_dir.resolve()):
            self._locks.append(DataDirLock.acquire(folder))

    def _release_locks(self) -> None:
        for lock in self._locks:
            lock.release()

    def _make_ground(self, options: CoreOptions) -> Ground:
        grace = timedelta(seconds=self.settings.snapshots.deletion_grace)
        spool = Spool(self.data_dir / SPOOL_FOLDER)
        spool.prepare()
        storages = options.storages or tuple(self._make_storages())
        for storage in storages:
            self.figures.backends[storage.name] = storage.figures
            storage.on_change = self._tell_health
        catalogue = self._open_catalogue(grace)
        return Ground(
            engine=self.engine,
            catalogue=catalogue,
            identity=Identity(self.settings.server.name, catalogue, self.clock),
            storages=Storages(storages),
            spool=spool,
            operations=Operations(catalogue, self.clock, self.events),
            clock=self.clock,
            figures=self.figures,
            events=self.events,
        )

    def _tell_health(self, storage: Storage, error: PerdureError | None) -> None:
        about = About(f"backends/{storage.name}", reason=error.code if error else "")
        if error is None:
            self.events.publish(EventType.BACKEND_UP, "the backend answers again", about)
        else:
            self.events.publish(EventType.BACKEND_DOWN, error.message, about)

    def _open_catalogue(self, grace: timedelta) -> Catalogue:
        opened = open_catalogue(self.data_dir / CATALOGUE_FILE, self.clock.now(), grace)
        if opened.set_aside is not None:
            self.figures.catalogue_damaged += 1
            self.warnings.append(f"the damaged state database was set aside: {opened.set_aside}")
            _log.error("catalogue_set_aside", file=str(opened.set_aside))
        return opened.catalogue

    def _make_storages(self) -> list[Storage]:
        return [
            make_storage(name, table, self.clock) for name, table in self.settings.backends.items()
        ]

    def _make_clones(self, provisioner: Provisioner) -> Clones:
        server, options = self.settings.server, self.settings.clones
        folder = options.folder or self.data_dir / CLONES_FOLDER
        store, seeder = CloneStore(folder), Seeder(self.ground, Fetcher(self.ground))
        maker = CloneMaker(
            self.ground,
            store,
            seeder,
            provisioner,
            MakerOptions(
                bind=server.bind,
                is_insecure=server.insecure,
                start_timeout_seconds=options.start_timeout,
                lease_grace_seconds=options.lease_grace,
            ),
        )
        return Clones(
            self.ground,
            CloneParts(
                store=store,
                room=CloneRoom(self.engine, folder, options.count_max),
                seeder=seeder,
                maker=maker,
                provisioner=provisioner,
                stop_timeout_seconds=options.stop_timeout,
            ),
        )

    def _make_use_cases(self) -> None:
        snapshots, spool = self.settings.snapshots, self.settings.spool
        ground, grace = self.ground, timedelta(seconds=snapshots.deletion_grace)
        shipper = Shipper(ground, ShippingOptions(snapshots.zstd_level))
        self.pipeline = Pipeline(
            ground,
            shipper,
            PipelineOptions(SpoolLimit(spool.size_bytes_max, spool.at_limit)),
        )
        self.settling = Settling(ground, self.pipeline, shipper)
        fetcher = Fetcher(ground)
        self.rotation = Rotation(ground, grace)
        self.batches = Batches(ground, self.pipeline)
        self.scheduler = Scheduler(ground, self.batches, self.rotation, snapshots.compression)
        self.schedules = Schedules(ground, self.scheduler)
        self.rebuild = Rebuild(ground)
        self.schedules.on_missed = self.rebuild.pending.add
        self._boot = Boot(ground, self.rebuild, fetcher)
        self.verifier = Verifier(ground, fetcher, self.rotation)
        self.control_plane = ControlPlane(
            snapshots=Snapshots(
                ground, self.batches, self.verifier, self.rotation, snapshots.compression
            ),
            schedules=self.schedules,
            restores=Restores(
                ground,
                Planner(ground, self.data_dir),
                fetcher,
                self.pipeline,
                snapshots.compression,
            ),
            operations=ground.operations,
            backends=Backends(ground),
            transfers=Transfers(
                ground,
                fetcher,
                self.pipeline,
                snapshots.compression,
                TransferOptions(spool.size_bytes_max),
            ),
            clones=self.clones,
            settings=flatten_settings(self.settings),
            warnings=self.warnings,
        )

    # --- the start --------------------------------------------------------------------

    async def prepare(self) -> None:
        """Find out who we are and what the engine will load; BootRefusedError when unclear."""
        has_data = await asyncio.to_thread(self._files.has_data)
        try:
            # Serving comes first: with data here, a dead backend may not keep the engine waiting.
            can_go_on = has_data or self.settings.server.boot_source == "empty"
            async with asyncio.timeout(BOOT_READ_SECONDS if can_go_on else None):
                await self._read_backends()
        except TimeoutError:
            _log.warning("backends_not_read", seconds=BOOT_READ_SECONDS)
        await self._boot.prepare(self.settings.server.boot_source, self._files)

    async def _read_backends(self) -> None:
        """Find out who we are, and read every backend beside the others."""
        try:
            await self.ground.identity.establish(self.ground.storages)
        except ServerUidUnknownError as exc:
            _log.warning("server_uid_unknown", error=exc.message)
            return
        await asyncio.gather(*map(self.rebuild.read_pending, self.ground.storages))

    async def begin(self) -> None:
        """Take over what an earlier process left; the doors may open afterwards."""
        await self.clones.adopt()
        await self.settling.adopt()
        self.scheduler.adopt(await asyncio.to_thread(self.settling.spooled_due_times))
        self._seed_figures()
        await self._apply_config()

    def _seed_figures(self) -> None:
        for snapshot in self.ground.catalogue.snapshots():
            manifest, figures = snapshot.manifest, self.figures
            newest = figures.snapshot_last_success_at
            is_newer = newest is None or manifest.cut_at > newest
            if is_newer and not manifest.is_imported:
                figures.snapshot_last_success_at = manifest.cut_at
                figures.snapshot_raw_size_bytes = manifest.raw_size_bytes
                figures.snapshot_stored_size_bytes = manifest.stored_size_bytes
            verdict = snapshot.verdict
            seen = figures.snapshot_last_verified_at
            if verdict.is_passed and (seen is None or verdict.verified_at > seen):
                figures.snapshot_last_verified_at = verdict.verified_at

    async def _apply_config(self) -> None:
        wanted = {name: table.spec() for name, table in self.settings.schedules.items()}
        if self.settings.server.clone_folder is not None:  # whoever wants them resumes them
            wanted = {name: replace(spec, is_paused=True) for name, spec in wanted.items()}
        try:
            await self.schedules.apply_config(wanted)
            self._is_config_applied = True
        except ConfigError:
            raise
        except PerdureError as exc:
            # A full or failing backend keeps nobody from serving: tried again by `maintain`.
            _log.warning("schedules_not_applied", code=exc.code, error=exc.message)

    def start(self) -> None:
        """Run schedules and maintenance in the background, once the engine serves."""
        self._tasks.append(asyncio.create_task(self._run()))
        self._tasks.append(asyncio.create_task(self.clones.run()))

    async def _run(self) -> None:
        try:
            await self.engine.wait_loaded()
        except PerdureError as exc:
            _log.error("engine_failed", code=exc.code, error=exc.message)
            return
        if self.settings.server.clone_folder is None:  # a clone's is its seed, a snapshot already
            await self.adopt_left_rdb()
        # Proved first, so that no due time is cut twice; but nothing keeps schedules waiting long.
        proved = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._maintain_for_ever(proved)))
        self._tasks += [
            asyncio.create_task(self._serve_backend_for_ever(storage, proved))
            for storage in self.ground.storages
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SETTLE_SECONDS):
                await proved.wait()
        await self.scheduler.run()

    async def _maintain_for_ever(self, proved: asyncio.Event) -> None:
        while True:
            await self._guarded(self._maintain_here(proved))
            proved.set()
            await self.clock.sleep(MAINTENANCE_SECONDS)

    async def _serve_backend_for_ever(self, storage: Storage, proved: asyncio.Event) -> None:
        """Do what waits for one backend: one that hangs keeps only what is for it."""
        await proved.wait()  # what a kill left is shipped in the first turn
        while True:
            await self._guarded(self._maintain_backend(storage), storage.name)
            await self.clock.sleep(MAINTENANCE_SECONDS)

    async def adopt_left_rdb(self) -> None:
        """Ship an RDB that a shutdown left and that is newer than every snapshot taken here."""
        try:
            uid = self.ground.identity.layout.uid
            if not self._rdb.exists():
                return
            left_at = datetime.fromtimestamp(int(self._rdb.stat().st_mtime), UTC)
            snapshots = self.ground.catalogue.snapshots()
            own = [s.manifest.cut_at for s in snapshots if not s.manifest.is_imported]
            newest = max(own, default=None)
            snapshot_id = file_snapshot_id("boot", left_at, uid)
            is_known = any(s.snapshot_id == snapshot_id for s in snapshots)
            if is_known or (newest is not None and left_at <= newest):
                return
            target = CutTarget(
                snapshot_id,
                Trigger.BOOT,
                self.ground.storages.names,
                self.settings.snapshots.compression,
            )
            await self.pipeline.adopt_file(self._rdb, target)
        except (PerdureError, OSError) as exc:
            _log.warning("left_rdb_not_adopted", error=str(exc))

    async def maintain(self) -> None:
        """Do once all that waits, every backend beside the others."""
        await self._guarded(self._maintain_here(asyncio.Event()))
        await asyncio.gather(
            *(self._guarded(self._maintain_backend(s), s.name) for s in self.ground.storages)
        )
        await self._guarded(self.settling.measure())

    async def _guarded(self, work: Coroutine[object, object, None], backend: str = "") -> None:
        try:
            await work
        except PerdureError as exc:
            _log.warning("maintenance_failed", backend=backend, code=exc.code, error=exc.message)
        except Exception:  # noqa: BLE001 - the edge of a background task: a bug here must not end it
            _log.exception("maintenance_broke")

    async def _maintain_here(self, proved: asyncio.Event) -> None:
        """Do what needs no backend, then what needs any of them."""
        await self.settling.prove_waiting()
        self.scheduler.adopt(await asyncio.to_thread(self.settling.spooled_due_times))
        proved.set()
        await self.settling.measure()
        if self.ground.identity.uid is None:
            await self._read_backends()
            await self._learn_late()
        if not self._is_config_applied:
            await self._apply_config()

    async def _maintain_backend(self, storage: Storage) -> None:
        """Ship to a backend what waits for it; then its deletions, and now and then a sweep."""
        if self.ground.identity.uid is None:
            return
        if storage.name in self.rebuild.pending and await self.rebuild.read_pending(storage):
            await self._learn_late()
        await self.settling.settle_backend(storage.name)
        await self.settling.measure()
        await self.rotation.rotate_unscheduled(self._keep_unscheduled(), storage)
        await self.rotation.purge_due(storage)
        await self._sweep(storage)

    def _keep_unscheduled(self) -> dict[Trigger, int]:
        snapshots = self.settings.snapshots
        return {
            Trigger.BOOT: snapshots.keep_last_boot,
            Trigger.SAFETY: snapshots.keep_last_safety,
        }

    async def _learn_late(self) -> None:
        """Learn from a backend that was read late what the start would have learnt from it."""
        self.scheduler.adopt(await asyncio.to_thread(self.settling.spooled_due_times))
        self._seed_figures()

    async def _sweep(self, storage: Storage) -> None:
        now, swept_at = self.clock.now(), self._swept_at.get(storage.name)
        is_young = swept_at is not None and now - swept_at < SWEEP_EVERY
        if not is_young and storage.name not in self.rebuild.pending:
            self._swept_at[storage.name] = now - SWEEP_EVERY + SWEEP_RETRY
            await self.rotation.sweep(storage)
            self._swept_at[storage.name] = now

    async def stop(self) -> None:
        """End the background work; what is past its commit is waited for."""
        self.pipeline.stop()
        self.events.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.ground.operations.stop()
        await self.clones.stop()

    async def resume(self) -> None:
        """Begin the background work again: the end that `stop` was for was refused.

        What `stop` cut off is taken over as after a kill.
        """
        self.events.reopen()
        self.ground.operations.resume()
        self.pipeline.resume()
        await self.settling.adopt()
        self.start()

    def close(self) -> None:
        """Let go of the files; the engine must be stopped."""
        self.ground.catalogue.close()
        self.audit.close()
        self._release_locks()


def make_storage(name: str, table: BackendTable, clock: Clock) -> Storage:
    """Return a backend that is opened at its first call; wrong options are an error at once."""
    try:
        plugin = load_plugin(table.type)
        options = check_options(plugin, table.options)
    except BackendConfigError as exc:
        raise ConfigError(f"backends.{name}: {exc.message}", hint=exc.hint) from exc
    return Storage(
        name,
        lambda: RetryingBackend(plugin.open(options)),
        clock,
        BackendFigures(),
        StorageOptions(table.type, table.timeout, table.transfer_timeout, table.stall_timeout),
    )
