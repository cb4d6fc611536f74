"""Verify stored copies: fetch, digest, unpack, parse, compare with the manifest, note the verdict.

A damaged copy gets a bad verdict (the object beside the manifest) and is never restored; a backend
that cannot be reached changes nothing. The same fetch serves restores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from backends.source import Digest
from sidecar.engine_port import VerifyResult
from sidecar.errors import (
    BlobNotFoundError,
    CorruptError,
    NotFoundError,
    PerdureError,
    SnapshotDamagedError,
    SnapshotNotAvailableError,
)
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.manifest import Note, NoteKind
from sidecar.model import (
    Compression,
    Copy,
    CopyState,
    JsonObject,
    Manifest,
    Operation,
    OperationKind,
    Phase,
    Progress,
)
from sidecar.operations import OperationHandle, OperationStart
from sidecar.packing import Stop, unpack_zstd
from sidecar.rotation import Rotation

ProgressSink = Callable[[Progress], None]


class Fetcher:
    """Brings a stored payload back as a local RDB file that is what its manifest says."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @asynccontextmanager
    async def fetch(self, copy: Copy, on_progress: ProgressSink, steps: str) -> AsyncIterator[Path]:
        """Give the unpacked file for the length of a block; SnapshotDamagedError when it is not it.

        `steps` is the first word of the failpoints passed: `verify`, `restore`, `boot`, `clone` or
        `download`.
        """
        manifest, raw = copy.manifest, self._ground.spool.scratch("raw")
        async with self.fetch_stored(copy, on_progress) as stored:
            try:
                await step(f"{steps}.fetched")
                if manifest.compression is Compression.NONE:
                    raw = stored
                else:
                    await self._unpack(manifest, stored, raw)
                    await asyncio.to_thread(stored.unlink)
                await step(f"{steps}.unpacked")
                yield raw
            finally:
                with suppress(OSError):  # scratch: the next start sweeps what stays
                    raw.unlink(missing_ok=True)

    @asynccontextmanager
    async def fetch_stored(self, copy: Copy, on_progress: ProgressSink) -> AsyncIterator[Path]:
        """Give the blob as it is stored, for the length of a block."""
        stored = self._ground.spool.scratch("stored")
        try:
            await self._get(copy, stored, on_progress)
            yield stored
        finally:
            with suppress(OSError):
                stored.unlink(missing_ok=True)

    async def _get(self, copy: Copy, path: Path, on_progress: ProgressSink) -> None:
        manifest = copy.manifest
        loop = asyncio.get_running_loop()
        total = manifest.stored_size_bytes

        def tell(done: int) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(on_progress, Progress(Phase.FETCH, done, total))

        on_progress(Progress(Phase.FETCH, 0, total))
        expected = Digest(total, manifest.stored_sha256)
        try:
            await self._ground.storages[copy.backend].get_file(
                copy.payload_key, path, expected, tell
            )
        except BlobNotFoundError as exc:
            raise SnapshotDamagedError(
                f"the payload of {manifest.snapshot_id} is gone from backend {copy.backend}",
                context={"snapshot_id": manifest.snapshot_id, "backend": copy.backend},
            ) from exc

    async def _unpack(self, manifest: Manifest, stored: Path, raw: Path) -> None:
        stop = Stop()
        expected = Digest(manifest.raw_size_bytes, manifest.raw_sha256)
        try:
            await to_the_end(partial(unpack_zstd, stored, raw, expected, stop=stop), stop.set)
        except OSError as exc:
            raise local_disk_error(exc, "unpack the payload") from exc


def check_against_manifest(found: VerifyResult, manifest: Manifest) -> None:
    """Raise SnapshotDamagedError unless the parsed file is what the manifest promised."""
    promised = manifest.verification
    pairs = (
        ("sha256", found.sha256, manifest.raw_sha256),
        ("size", found.size_bytes, manifest.raw_size_bytes),
        ("keys", found.keys, promised.keys),
        ("expires", found.expires, promised.expires),
    )
    for name, have, want in pairs:
        if have != want:
            raise SnapshotDamagedError(
                f"the payload has {name} {have}, its manifest says {want}",
                context={"snapshot_id": manifest.snapshot_id, "field": name},
            )


class Verifier:
    """The use case behind `snapshot verify`."""

    def __init__(self, ground: Ground, fetcher: Fetcher, rotation: Rotation) -> None:
        self._ground = ground
        self._fetcher = fetcher
        self._rotation = rotation

    def start(self, snapshot_id: str, backend: str | None, request_id: str | None) -> Operation:
        """Verify one copy, or every copy that is not deleted."""
        payload: JsonObject = {"snapshot_id": snapshot_id, "backend": backend}
        start = OperationStart(
            OperationKind.SNAPSHOT_VERIFY, f"snapshots/{snapshot_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return repeat  # though the snapshot may be gone by now
        copies = self._choose(snapshot_id, backend)

        async def work(handle: OperationHandle) -> JsonObject:
            damage: PerdureError | None = None
            for copy in copies:
                try:
                    await self._verify_copy(copy, handle)
                except SnapshotDamagedError as exc:
                    damage = damage or exc
            if damage is not None:
                raise damage
            return {"snapshot_id": snapshot_id}

        return self._ground.operations.start(start, work)

    def _choose(self, snapshot_id: str, backend: str | None) -> list[Copy]:
        snapshot = self._ground.catalogue.get_snapshot(snapshot_id)
        if backend is not None:
            _ = self._ground.storages[backend]
        copies = [c for c in snapshot.copies if backend in {None, c.backend}]
        if not copies:
            raise NotFoundError(
                f"backend {backend} has no copy of {snapshot_id}",
                code="SNAPSHOT_NOT_FOUND",
                hint=f"It lies on {', '.join(c.backend for c in snapshot.copies)}.",
                context={"snapshot_id": snapshot_id, "backend": backend},
            )
        living = [c for c in copies if c.state is not CopyState.DELETING]
        if not living:
            raise SnapshotNotAvailableError(
                f"snapshot {snapshot_id} is deleted", context={"snapshot_id": snapshot_id}
            )
        return living

    async def _verify_copy(self, copy: Copy, handle: OperationHandle) -> None:
        snapshot_id = copy.manifest.snapshot_id
        try:
            async with self._fetcher.fetch(copy, handle.progress, "verify") as path:
                handle.phase(Phase.VERIFY)
                found = await self._ground.engine.verify(path, handle.progress)
                check_against_manifest(found, copy.manifest)
        except CorruptError as exc:
            await self._tell(copy, is_passed=False, detail=exc.message)
            raise SnapshotDamagedError(
                f"snapshot {snapshot_id} on backend {copy.backend} is damaged: {exc.message}",
                context={
                    "snapshot_id": snapshot_id,
                    "backend": copy.backend,
                    "cause": exc.code,
                },
            ) from exc
        await self._tell(copy, is_passed=True, detail="")

    async def _tell(self, copy: Copy, *, is_passed: bool, detail: str) -> None:
        now = self._ground.clock.now()
        note = Note(NoteKind.VERDICT, now, is_passed=is_passed, detail=detail[:500])
        await self._rotation.note(copy, note)
        await step("verify.noted")
        figures = self._ground.figures
        figures.verifications["passed" if is_passed else "failed"] += 1
        if is_passed:
            figures.snapshot_last_verified_at = now
        self._ground.events.publish(
            EventType.SNAPSHOT_VERIFIED if is_passed else EventType.SNAPSHOT_DAMAGED,
            detail or "the payload is what its manifest says",
            About(
                f"snapshots/{copy.manifest.snapshot_id}",
                reason="" if is_passed else SnapshotDamagedError.default_code,
            ),
            backend=copy.backend,
        )
