"""Before the engine starts: lock the data dir, and decide what it will load. Guards I9.

    source             data there         no data
    auto               load it            a log that `appendonly no` leaves aside: refuse; a
                                          snapshot with keys under this name: refuse, name it,
                                          a damaged or unreadable one too; a backend that cannot
                                          be asked: refuse; else empty
    require-existing   load it            refuse
    empty              load it            start empty
    latest             load it            fetch the newest available snapshot (what a restore
                                          replaced, or an import, only if there is nothing
                                          else), refuse if none
    snapshot:<id>      load it            fetch that one, refuse if it cannot be had

Data is `dump.rdb`, and with `appendonly yes` a log, too; which of both counts, and whether it is
whole, the engine says. A file that is there is never replaced or removed: restoring over it is
`perdure restore`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from backends.durable import create_file, sync_folder
from sidecar.data_set import DataSetFiles
from sidecar.errors import (
    BootRefusedError,
    ConfigError,
    CorruptError,
    DataDirLockedError,
    NotFoundError,
    PerdureError,
)
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step
from sidecar.model import LAST_RESORTS, Copy, CopyState, Progress, Snapshot
from sidecar.rebuild import Rebuild
from sidecar.verify import Fetcher

_log = structlog.get_logger(__name__)
LOCK_FILE = "perdure.lock"
_CHUNK_BYTES = 1 << 20


class DataDirLock:
    """One server a data dir; held by an flock, so that it ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, data_dir: Path) -> DataDirLock:
        """Make the folder and take the lock; DataDirLockedError names the process that has it."""
        try:
            if not data_dir.is_dir():
                data_dir.mkdir(parents=True, exist_ok=True)
                sync_folder(
                    data_dir.resolve().parent
                )  # its name is as durable as what it will hold
            path = data_dir / LOCK_FILE
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            why = "it is not a directory" if isinstance(exc, FileExistsError) else exc.strerror
            message = f"cannot use the data directory {data_dir}: {why}"
            raise ConfigError(message, hint="Check the path and its permissions.") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DataDirLockedError(
                f"process {pid} serves from {data_dir}",
                hint="Stop that process, or give this one another --data-dir.",
                context={"data_dir": data_dir, "pid": pid},
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)  # for the error's text only
        return cls(descriptor)

    def release(self) -> None:
        """Let go of it; the file stays."""
        os.close(self._descriptor)


class Boot:
    """Decides what the engine will find, and puts it there."""

    def __init__(self, ground: Ground, rebuild: Rebuild, fetcher: Fetcher) -> None:
        self._ground = ground
        self._rebuild = rebuild
        self._fetcher = fetcher

    async def prepare(self, source: str, files: DataSetFiles) -> str | None:
        """Do what the table above says; return the id of the snapshot that was put in place."""
        if await asyncio.to_thread(files.has_data):
            return None
        rdb = files.rdb
        word, _, snapshot_id = source.partition(":")
        if word == "empty":
            return None
        if word == "require-existing":
            raise BootRefusedError(
                f"there is no {rdb}" + (f" and no {files.log}" if files.is_logging else ""),
                code="BOOT_SOURCE_MISSING",
                hint="Put the file there, or say what to start from: "
                "PERDURE_SERVER__BOOT_SOURCE=latest or =empty.",
                context={"path": rdb},
            )
        newest = self._newest()
        if word == "auto":
            await asyncio.to_thread(_check_log_left_aside, files)
            self._check_auto(newest)
            return None
        if word == "snapshot":
            chosen = self._find(snapshot_id)
        elif newest is None:
            self._check_reachable()
            raise BootRefusedError(
                f"no snapshot of {self._ground.identity.name!r} can be restored",
                code="BOOT_SOURCE_MISSING",
                hint="Start without data: PERDURE_SERVER__BOOT_SOURCE=empty.",
            )
        else:
            chosen = newest
        await self._place(chosen, rdb)
        return chosen.snapshot_id

    def _newest(self, keys_min: int = 0) -> Snapshot | None:
        usable = [
            snapshot
            for snapshot in self._ground.catalogue.snapshots()
            if snapshot.state is CopyState.AVAILABLE and snapshot.manifest.keys >= keys_min
        ]
        return max(
            usable,
            key=lambda s: (
                s.manifest.trigger not in LAST_RESORTS,
                s.manifest.cut_at,
                s.snapshot_id,
            ),
            default=None,
        )

    def _check_reachable(self) -> None:
        if self._rebuild.pending or self._ground.identity.uid is None:
            names = ", ".join(sorted(self._rebuild.pending)) or "some"
            raise BootRefusedError(
                f"there is no data here, and backend {names} could not be asked for snapshots",
                code="BOOT_SOURCE_UNREACHABLE",
                hint="Bring the backend back, or start without data: "
                "PERDURE_SERVER__BOOT_SOURCE=empty.",
                is_retryable=True,
                context={"backends": names},
            )

    def _check_auto(self, newest: Snapshot | None) -> None:
        with_keys = self._newest(keys_min=1)
        if with_keys is None:
            self._check_reachable()
            self._check_damaged()
            return
        chosen = newest if newest and newest.manifest.keys else with_keys
        raise BootRefusedError(
            f"there is no data here, but {self._ground.identity.name!r} has snapshots; the newest "
            f"is {chosen.snapshot_id} with {chosen.manifest.keys} keys",
            code="BOOT_SOURCE_AMBIGUOUS",
            hint=f"Start from it: PERDURE_SERVER__BOOT_SOURCE=snapshot:{chosen.snapshot_id} "
            "perdure serve ... | or without data: PERDURE_SERVER__BOOT_SOURCE=empty perdure serve "
            "...",
            context={"snapshot_id": chosen.snapshot_id, "keys": chosen.manifest.keys},
        )

    def _check_damaged(self) -> None:
        """Refuse to start empty where data was: it may be mended, or readable elsewhere."""
        damaged = [
            snapshot.snapshot_id
            for snapshot in self._ground.catalogue.snapshots()
            if snapshot.state is CopyState.DAMAGED and snapshot.manifest.keys
        ]
        if damaged or self._rebuild.unreadable:
            which = max(damaged, default="") or min(self._rebuild.unreadable)
            raise BootRefusedError(
                f"there is no data here, and what {self._ground.identity.name!r} has on its "
                f"backends cannot be restored by this server, such as {which}",
                code="BOOT_SOURCE_DAMAGED",
                hint="A newer Perdure may read it. Or start without data: "
                "PERDURE_SERVER__BOOT_SOURCE=empty.",
                context={"damaged": len(damaged), "unreadable": len(self._rebuild.unreadable)},
            )

    def _find(self, snapshot_id: str) -> Snapshot:
        try:
            return self._ground.catalogue.get_snapshot(snapshot_id)
        except NotFoundError as exc:
            self._check_reachable()
            newest = self._newest()
            known = f"; the newest is {newest.snapshot_id}" if newest else ""
            raise BootRefusedError(
                f"there is no snapshot {snapshot_id}{known}",
                code="BOOT_SOURCE_MISSING",
                hint="Name one that exists in server.boot_source, or `latest`.",
                context={"snapshot_id": snapshot_id},
            ) from exc

    async def _place(self, snapshot: Snapshot, rdb: Path) -> None:
        """Fetch from the first backend that gives what the manifest says; create, never replace."""
        failures: list[PerdureError] = []
        for copy in snapshot.copies:
            if copy.state is not CopyState.AVAILABLE or copy.backend not in self._ground.storages:
                continue
            try:
                await self._place_copy(copy, rdb)
            except PerdureError as exc:
                failures.append(exc)
                continue
            _log.info("boot_snapshot_placed", snapshot=snapshot.snapshot_id, backend=copy.backend)
            return
        is_damaged = not failures or any(isinstance(exc, CorruptError) for exc in failures)
        why = failures[0].message if failures else "no copy of it is available"
        raise BootRefusedError(
            f"snapshot {snapshot.snapshot_id} cannot be used: {why}",
            code="BOOT_SOURCE_DAMAGED" if is_damaged else "BOOT_SOURCE_UNREACHABLE",
            hint="Name another snapshot in server.boot_source: perdure snapshot list",
            is_retryable=not is_damaged,
            context={"snapshot_id": snapshot.snapshot_id},
        )

    async def _place_copy(self, copy: Copy, rdb: Path) -> None:
        async with self._fetcher.fetch(copy, _ignore, "boot") as path:
            try:
                await asyncio.to_thread(_copy_durably, path, rdb, copy)
            except OSError as exc:
                raise local_disk_error(exc, f"write {rdb}") from exc
        await step("boot.placed")


def _check_log_left_aside(files: DataSetFiles) -> None:
    """Refuse to start empty beside a log that nobody would read."""
    if files.is_logging or not files.has_log():
        return
    log = files.log if files.log.exists() else files.old_log
    raise BootRefusedError(
        f"there is no {files.rdb}, but a log, {log}, which appendonly no leaves aside",
        code="BOOT_SOURCE_AMBIGUOUS",
        # Not BOOT_SOURCE=empty: of a log that was on, the engine would refuse that.
        hint="Start from the log: perdure serve ... -- --appendonly yes | or without it: move "
        f"{log.parent if log == files.log else log} away.",
        context={"path": log},
    )


def _ignore(_progress: Progress) -> None:
    """Nobody watches a boot."""


def _copy_durably(source: Path, target: Path, copy: Copy) -> None:
    def chunks() -> Iterator[bytes]:
        with source.open("rb") as reader:
            while chunk := reader.read(_CHUNK_BYTES):
                yield chunk

    create_file(target, chunks(), size_bytes=copy.manifest.raw_size_bytes)
    # As old as its data: a file newer than the newest snapshot is shipped at the next boot.
    cut = copy.manifest.cut_at.timestamp()
    os.utime(target, (cut, cut))
