"""What a clone begins with: chosen, put into its data dir, and read back.

    a snapshot     a second name for the payload, where the backend has it as a file on the same
                   file system; else fetched, its digest compared, unpacked
    the live data  a cut into the clone's data dir; no snapshot is made

Either is then read back past the page cache and parsed, and must be what the manifest, or the cut,
says. A linked payload is never written: the engine replaces `dump.rdb`, it does not change it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from backends.durable import create_file, sync_folder
from sidecar.clone_record import CloneFolder, Seed
from sidecar.engine_port import CutResult
from sidecar.errors import (
    BlobNotFoundError,
    CutDamagedError,
    PerdureError,
    SnapshotNotAvailableError,
)
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import LAST_RESORTS, Compression, Copy, CopyState, Phase, Snapshot
from sidecar.operations import OperationHandle
from sidecar.pipeline import BUSY_CODES, CUT_RETRY_SECONDS
from sidecar.verify import Fetcher, check_against_manifest

CUT_ATTEMPTS_MAX = 300
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What a clone is to begin with; no copy means the live data."""

    copy: Copy | None = None

    @property
    def snapshot_id(self) -> str | None:
        """Return the snapshot's id."""
        return self.copy.manifest.snapshot_id if self.copy else None


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a clone begins with, proved."""

    seed: Seed
    cut_at: datetime
    keys: int
    expires: int  # of them: those whose time is over are left out by a load


class Seeder:
    """Chooses and places."""

    def __init__(self, ground: Ground, fetcher: Fetcher) -> None:
        self._ground = ground
        self._fetcher = fetcher
        self._cutting = asyncio.Lock()

    def choose(self, snapshot_id: str | None, backend: str | None, *, is_live: bool) -> Source:
        """Return the source; NotFoundError or SnapshotNotAvailableError when there is none."""
        if is_live:
            return Source()
        if backend is not None:
            _ = self._ground.storages[backend]
        if snapshot_id is not None:
            snapshot = self._ground.catalogue.get_snapshot(snapshot_id)
            copy = self._usable(snapshot, backend)
            if copy is None:
                raise SnapshotNotAvailableError(
                    f"no copy of {snapshot_id} can be used",
                    context={"snapshot_id": snapshot_id, "backend": backend or "any"},
                )
            return Source(copy)
        snapshots = sorted(self._ground.catalogue.snapshots(), key=_newest_first, reverse=True)
        for snapshot in snapshots:
            if (copy := self._usable(snapshot, backend)) is not None:
                return Source(copy)
        raise SnapshotNotAvailableError(
            "there is no snapshot to make a clone of",
            hint="Take one: perdure snapshot create. Or clone what is served now: --live",
        )

    def _usable(self, snapshot: Snapshot, backend: str | None) -> Copy | None:
        for copy in snapshot.copies:
            is_asked = backend in {None, copy.backend} and copy.backend in self._ground.storages
            if is_asked and copy.state is CopyState.AVAILABLE:
                return copy
        return None

    async def seed(self, source: Source, folder: CloneFolder, handle: OperationHandle) -> Seeded:
        """Put `dump.rdb` into the clone's data dir and prove it."""
        if source.copy is None:
            return await self._seed_live(folder, handle)
        copy = source.copy
        seed = await self._place(copy, folder, handle)
        await step("clone.seeded")
        handle.phase(Phase.VERIFY)
        found = await self._ground.engine.verify(folder.rdb, handle.progress)
        check_against_manifest(found, copy.manifest)
        return Seeded(seed, copy.manifest.cut_at, found.keys, found.expires)

    # --- from a snapshot --------------------------------------------------------------

    async def _place(self, copy: Copy, folder: CloneFolder, handle: OperationHandle) -> Seed:
        handle.phase(Phase.FETCH)
        if copy.manifest.compression is Compression.NONE:
            storage = self._ground.storages[copy.backend]
            with suppress(BlobNotFoundError):  # the fetch says it better
                if await storage.link_file(copy.payload_key, folder.rdb):
                    await _settle(folder.data)
                    return Seed.LINK
        async with self._fetcher.fetch(copy, handle.progress, "clone") as path:
            try:
                await to_the_end(partial(_move_in, path, folder.rdb))
            except OSError as exc:
                raise local_disk_error(exc, f"write {folder.rdb}") from exc
        return Seed.FETCH

    # --- from the live data -----------------------------------------------------------

    async def _seed_live(self, folder: CloneFolder, handle: OperationHandle) -> Seeded:
        handle.phase(Phase.CUT)
        async with self._cutting:
            cut = await self._cut(folder.rdb, handle)
        await _settle(folder.data)
        await step("clone.seeded")
        handle.phase(Phase.VERIFY)
        found = await self._ground.engine.verify(folder.rdb, handle.progress)
        if found.keys != cut.keys:
            raise CutDamagedError(f"the engine cut {cut.keys} keys and {found.keys} were read back")
        return Seeded(Seed.CUT, cut.cut_at, found.keys, found.expires)

    async def _cut(self, rdb: Path, handle: OperationHandle) -> CutResult:
        """Ask until the engine has no other child."""
        attempt = 1
        while True:
            try:
                return await self._ground.engine.cut(rdb, "cut", handle.progress)
            except PerdureError as exc:
                if exc.code not in BUSY_CODES or attempt >= CUT_ATTEMPTS_MAX:
                    raise
            attempt += 1
            await asyncio.to_thread(rdb.unlink, missing_ok=True)
            await self._ground.clock.sleep(CUT_RETRY_SECONDS)


def _newest_first(snapshot: Snapshot) -> tuple[bool, datetime, str]:
    """Order by cut time, as a start does that takes the latest.

    What a restore replaced, and what is not this server's history, comes behind all others.
    """
    manifest = snapshot.manifest
    return manifest.trigger not in LAST_RESORTS, manifest.cut_at, snapshot.snapshot_id


async def _settle(folder: Path) -> None:
    try:
        await to_the_end(partial(sync_folder, folder))
    except OSError as exc:
        raise local_disk_error(exc, f"fsync {folder}") from exc


def _move_in(scratch: Path, rdb: Path) -> None:
    """Give the fetched file its place, durably: a second name, or a copy across file systems."""
    descriptor = os.open(scratch, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # what was unpacked is not durable yet
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, rdb, follow_symlinks=False)
    except OSError:
        create_file(rdb, _chunks(scratch), size_bytes=scratch.stat().st_size)
    else:
        sync_folder(rdb.parent)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            yield chunk
