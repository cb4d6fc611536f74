"""Put a proved cut on the backends: pack, payload, manifest last, catalogue. Guards I2 and I3.

Every step may be repeated after a crash: a manifest that is there already ends the step, a payload
of an earlier attempt has another name and is swept later. What one backend refuses does not keep
the others from getting theirs. No fork and no schedule here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from backends.source import Digest
from sidecar.catalogue import StoredCopy
from sidecar.engine_port import VerifyResult
from sidecar.errors import BlobExistsError, InternalError, PerdureError
from sidecar.ground import Ground
from sidecar.layout import new_payload_name
from sidecar.local_disk import local_disk_error, step
from sidecar.manifest import MANIFEST_BYTES_MAX, decode_manifest, encode_manifest, payload_suffix
from sidecar.model import Compression, Manifest, Phase, Progress, Verification
from sidecar.packing import Stop, pack_zstd
from sidecar.spool import CutTarget, SpooledCut
from sidecar.storage import Storage

ENGINE_VERSION = "0.1.0"
ProgressSink = Callable[[CutTarget, Progress], None]


@dataclass(frozen=True, slots=True)
class ShippingOptions:
    """How payloads are packed."""

    zstd_level: int = 3


@dataclass(slots=True)
class ShipResult:
    """What became of one target: backends that have it, and what the others said."""

    target: CutTarget
    stored: list[str] = field(default_factory=list)
    failures: dict[str, PerdureError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Packed:
    path: Path
    digest: Digest
    compression: Compression


class Shipper:
    """Moves cuts from the spool to the backends."""

    def __init__(self, ground: Ground, options: ShippingOptions | None = None) -> None:
        self._spool = ground.spool
        self._storages = ground.storages
        self._catalogue = ground.catalogue
        self._identity = ground.identity
        self._clock = ground.clock
        self._figures = ground.figures
        self._options = options or ShippingOptions()

    async def ship(self, cut: SpooledCut, on_progress: ProgressSink) -> list[ShipResult]:
        """Store every target on every backend that it names; failures are in the results.

        Raises CutDamagedError when the file is not any more what was proved.
        """
        if cut.proof is None:
            raise InternalError(f"cut {cut.cut_id} is not proved")
        packed: dict[Compression, _Packed] = {}
        results = []
        try:
            for target in cut.targets:
                result = ShipResult(target)
                results.append(result)
                await self._ship_target(cut, cut.proof, result, packed, on_progress)
        finally:
            for item in packed.values():
                if item.path != cut.rdb:
                    item.path.unlink(missing_ok=True)
        return results

    async def _ship_target(
        self,
        cut: SpooledCut,
        proof: VerifyResult,
        result: ShipResult,
        packed: dict[Compression, _Packed],
        on_progress: ProgressSink,
    ) -> None:
        target = result.target
        # A backend may have left the configuration since the cut was planned.
        known = [name for name in target.backends if name in self._storages]
        for name in known or self._storages.names:
            try:
                storage = self._storages[name]
                if not await self._is_stored(storage, target):
                    if target.compression not in packed:
                        packed[target.compression] = await self._pack(
                            cut, proof, target, on_progress
                        )
                    await self._put(cut, storage, target, packed[target.compression], on_progress)
                result.stored.append(name)
            except PerdureError as exc:
                if exc.code == "CUT_DAMAGED":
                    raise
                result.failures[name] = exc

    async def _is_stored(self, storage: Storage, target: CutTarget) -> bool:
        """Say whether an earlier attempt put the manifest; if so, keep it in the catalogue."""
        key = self._identity.layout.manifest(target.snapshot_id)
        data = await storage.find_bytes(key, MANIFEST_BYTES_MAX)
        if data is None:
            return False
        manifest = decode_manifest(data, f"{storage.name}:{key}")
        if self._catalogue.find_copy(target.snapshot_id, storage.name) is None:
            self._keep(storage, manifest)
        return True

    async def _find_payload(self, storage: Storage, target: CutTarget) -> str:
        key = self._identity.layout.manifest(target.snapshot_id)
        data = await storage.get_bytes(key, MANIFEST_BYTES_MAX)
        return decode_manifest(data, f"{storage.name}:{key}").payload

    def _keep(self, storage: Storage, manifest: Manifest) -> None:
        folder = self._identity.layout.snapshot(manifest.snapshot_id)
        self._catalogue.put_copy(StoredCopy(storage.name, folder, manifest))

    async def _pack(
        self, cut: SpooledCut, proof: VerifyResult, target: CutTarget, on_progress: ProgressSink
    ) -> _Packed:
        raw = Digest(proof.size_bytes, proof.sha256)
        if target.compression is Compression.NONE:
            return _Packed(cut.rdb, raw, Compression.NONE)
        started = self._clock.monotonic()
        path = self._spool.scratch("pack")
        loop, stop = asyncio.get_running_loop(), Stop()

        def tell(done: int) -> None:
            progress = Progress(Phase.COMPRESS, done, raw.size_bytes)
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(on_progress, target, progress)

        def work() -> Digest:
            level = self._options.zstd_level
            try:
                return pack_zstd(cut.rdb, raw, path, level=level, stop=stop, on_progress=tell)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

        on_progress(target, Progress(Phase.COMPRESS, 0, raw.size_bytes))
        try:
            digest = await asyncio.to_thread(work)
        except OSError as exc:
            raise local_disk_error(exc, "pack the payload") from exc
        except asyncio.CancelledError:
            stop.set()
            raise
        await step("snapshot.packed")
        self._figures.observe_phase("snapshot", Phase.COMPRESS, self._clock.monotonic() - started)
        return _Packed(path, digest, target.compression)

    async def _put(
        self,
        cut: SpooledCut,
        storage: Storage,
        target: CutTarget,
        packed: _Packed,
        on_progress: ProgressSink,
    ) -> None:
        """Put the payload, then the manifest, then tell the catalogue; nothing is overwritten."""
        started = self._clock.monotonic()
        layout = self._identity.layout
        payload = new_payload_name(payload_suffix(packed.compression))
        key = layout.snapshot(target.snapshot_id, payload)
        total, loop = packed.digest.size_bytes, asyncio.get_running_loop()

        def tell(done: int) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(on_progress, target, Progress(Phase.STORE, done, total))

        on_progress(target, Progress(Phase.STORE, 0, total))
        await storage.put_file(key, packed.path, packed.digest, tell)
        await step("snapshot.payload_put")
        manifest = self._manifest(cut, target, payload, packed)
        try:
            await storage.put_bytes(layout.manifest(target.snapshot_id), encode_manifest(manifest))
        except BlobExistsError:
            # A call that we gave up came through after all, or another attempt did.
            if await self._find_payload(storage, target) != payload:
                await storage.delete(key)
            await self._is_stored(storage, target)
            return
        await step("snapshot.manifest_put")
        self._keep(storage, manifest)
        await step("snapshot.catalogued")
        self._figures.snapshot_raw_size_bytes = manifest.raw_size_bytes
        self._figures.snapshot_stored_size_bytes = manifest.stored_size_bytes
        self._figures.observe_phase("snapshot", Phase.STORE, self._clock.monotonic() - started)

    def _manifest(
        self, cut: SpooledCut, target: CutTarget, payload: str, packed: _Packed
    ) -> Manifest:
        proof, done = cut.proof, cut.cut
        if proof is None or cut.proved_at is None:
            raise InternalError(f"cut {cut.cut_id} is not proved")
        layout = self._identity.layout
        return Manifest(
            snapshot_id=target.snapshot_id,
            server_name=layout.name,
            server_uid=layout.uid,
            trigger=target.trigger,
            schedule=target.schedule,
            due_at=target.due_at,
            # Recovered after a crash: the file's own second, else the plan's instant.
            cut_at=done.cut_at if done else proof.created_at or cut.planned_at,
            created_at=self._clock.now(),
            engine_version=ENGINE_VERSION,
            rdb_version=proof.rdb_version,
            log_position=proof.log_position,
            payload=payload,
            raw_size_bytes=proof.size_bytes,
            raw_sha256=proof.sha256,
            stored_size_bytes=packed.digest.size_bytes,
            stored_sha256=packed.digest.sha256,
            compression=packed.compression,
            fork_seconds=done.fork_seconds if done else None,
            pause_seconds=done.pause_seconds if done else None,
            cow_bytes=done.cow_bytes if done else None,
            verification=Verification(
                verified_at=cut.proved_at,
                redis_version=proof.redis_version,
                used_memory_bytes=proof.used_memory_bytes,
                keys=proof.keys,
                expires=proof.expires,
                databases=proof.databases,
            ),
        )
