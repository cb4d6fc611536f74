"""Put a proved cut on the backends: pack, payload, manifest last, catalogue. Guards I2 and I3.

Each backend has a lane of its own, and all lanes go side by side: what one backend refuses, or
takes an hour for, does not keep the others from getting theirs. Every step may be repeated after a
crash: a manifest that is there already ends the step, a payload of an earlier attempt has another
name and is swept later. No fork and no schedule here; when to try again is `sidecar.lanes`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from sidecar.catalogue import StoredCopy
from sidecar.errors import (
    BlobExistsError,
    ConflictError,
    CutDamagedError,
    InternalError,
    NotFoundError,
    PerdureError,
)
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.lanes import Lane
from sidecar.layout import new_payload_name
from sidecar.local_disk import step, to_the_end
from sidecar.manifest import MANIFEST_BYTES_MAX, decode_manifest, encode_manifest, payload_suffix
from sidecar.model import Manifest, Phase, Progress, Trigger, Verification
from sidecar.packs import Packed, Packs
from sidecar.spool import CutTarget, SpooledCut
from sidecar.storage import Storage

_log = structlog.get_logger(__name__)
ENGINE_VERSION = "0.1.0"
ProgressSink = Callable[[CutTarget, Progress], None]
# What nobody chose backends for goes to those that there are, when its own have all gone.
_FOR_ALL = frozenset({Trigger.SAFETY, Trigger.BOOT})


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


class Shipper:
    """Moves cuts from the spool to the backends."""

    def __init__(self, ground: Ground, options: ShippingOptions | None = None) -> None:
        self._storages = ground.storages
        self._catalogue = ground.catalogue
        self._spool = ground.spool
        self._identity = ground.identity
        self._clock = ground.clock
        self._figures = ground.figures
        self._events = ground.events
        level = (options or ShippingOptions()).zstd_level
        self._packs = Packs(ground.spool, ground.clock, ground.figures, level)
        self._lanes = {
            storage.name: Lane(storage.name, ground.clock, storage.figures)
            for storage in ground.storages
        }
        self._stored: dict[str, set[tuple[str, str]]] = {}  # by cut: (snapshot, backend)
        self._recorded: dict[str, set[tuple[str, str]]] = {}  # likewise: beside the plan
        self._deleted: dict[str, set[str]] = {}  # by cut: snapshots
        self._committing: list[tuple[str, str]] = []  # (snapshot, backend): its manifest is sent
        self.is_stopping = False
        self._warned: set[str] = set()  # snapshots whose backends have all gone

    def lane(self, backend: str) -> Lane:
        """Return the way to a configured backend."""
        return self._lanes[backend]

    # --- what is to go where ----------------------------------------------------------

    def destinations(self, target: CutTarget) -> tuple[str, ...]:
        """Return the configured backends that a target is for; none when all have gone.

        A snapshot whose backends were chosen is never put where nobody wanted it: it waits.
        """
        known = tuple(name for name in target.backends if name in self._storages)
        if not known and target.trigger in _FOR_ALL:
            return self._storages.names
        return known

    def missing(self, cut: SpooledCut, target: CutTarget) -> list[str]:
        """Return the backends that have still to take it; the gone ones when none is left.

        None has to take what was deleted, nor what it had already, though it be gone by now.
        """
        if self._is_deleted(cut, target):
            return []
        stored = self._stored.get(cut.cut_id, set()) | cut.stored
        names = self.destinations(target) or target.backends
        return [
            name
            for name in names
            if (target.snapshot_id, name) not in stored
            and self._catalogue.find_copy(target.snapshot_id, name) is None
        ]

    async def record_stored(self, cut: SpooledCut) -> None:
        """Keep beside the plan who has what, while anybody has still to take a part of it.

        A copy that is purged meanwhile would be stored again by the next process otherwise.
        """
        recorded = self._recorded.setdefault(cut.cut_id, set(cut.stored))
        missing = {(t.snapshot_id, name) for t in cut.targets for name in self.missing(cut, t)}
        pairs = {(t.snapshot_id, name) for t in cut.targets for name in self.destinations(t)}
        deleted = self._deleted.get(cut.cut_id, set())
        for snapshot_id, backend in sorted(pairs - missing - recorded) if missing else ():
            if snapshot_id in deleted:
                continue
            self._stored.setdefault(cut.cut_id, set()).add((snapshot_id, backend))
            try:
                await to_the_end(partial(self._spool.record_stored, cut, snapshot_id, backend))
            except PerdureError as exc:  # it is stored all the same: recorded at the next look
                _log.warning("store_not_recorded", cut=cut.cut_id, error=exc.message)
                return
            recorded.add((snapshot_id, backend))

    async def delete(self, cut: SpooledCut, snapshot_id: str) -> None:
        """Keep a deleted snapshot from being stored; ConflictError while a manifest is sent."""
        backend = dict(self._committing).get(snapshot_id)
        if backend is not None:
            raise ConflictError(
                f"backend {backend} is taking snapshot {snapshot_id} at this moment",
                code="SNAPSHOT_IN_USE",
                hint="Repeat it in a moment.",
                is_retryable=True,
                context={"snapshot_id": snapshot_id, "backend": backend},
            )
        deleted = self._deleted.setdefault(cut.cut_id, set())
        deleted.add(snapshot_id)  # at once: a payload may be on its way
        try:
            await to_the_end(partial(self._spool.record_deleted, cut, snapshot_id))
        except PerdureError:
            deleted.discard(snapshot_id)
            raise

    def forget_but(self, entries: Sequence[SpooledCut]) -> None:
        """Forget all cuts but those that are in the spool still."""
        cuts = {cut.cut_id for cut in entries}
        for known in (self._stored, self._recorded, self._deleted):
            for cut_id in known.keys() - cuts:
                del known[cut_id]
        self._warned &= {target.snapshot_id for cut in entries for target in cut.targets}

    def warn_gone(self, target: CutTarget) -> dict[str, PerdureError]:
        """Say, once a snapshot, that none of its backends is configured; return that as failure."""
        name = target.backends[0] if target.backends else ""
        if target.snapshot_id not in self._warned:
            self._warned.add(target.snapshot_id)
            _log.warning(
                "snapshot_waits_for_unknown_backend",
                snapshot=target.snapshot_id,
                backends=list(target.backends),
                hint="configure one of them again, and the snapshot is stored there",
            )
        error = NotFoundError(
            f"backend {name!r} is not configured any more",
            code="BACKEND_NOT_FOUND",
            hint="Configure it again under its name, and the snapshot is stored there.",
            context={"backend": name},
        )
        return {name: error}

    # --- shipping ---------------------------------------------------------------------

    async def ship(self, cut: SpooledCut, on_progress: ProgressSink) -> list[ShipResult]:
        """Store every target on every backend that it names; failures are in the results.

        Returns when the last backend has answered. Raises CutDamagedError when the file is not any
        more what was proved.
        """
        results = [ShipResult(target) for target in cut.targets]
        for result in results:
            if not self.destinations(result.target):
                result.failures.update(self.warn_gone(result.target))
        names = {name for target in cut.targets for name in self.destinations(target)}
        await _all([self.ship_to(name, cut, results, on_progress) for name in sorted(names)])
        for result in results:
            result.stored.sort()
        return results

    async def ship_to(
        self,
        backend: str,
        cut: SpooledCut,
        results: Sequence[ShipResult],
        on_progress: ProgressSink,
    ) -> None:
        """Store on one backend what is for it; what came of it is added to the results."""
        lane, storage = self._lanes[backend], self._storages[backend]
        for result in results:
            if backend not in self.destinations(result.target):
                continue
            try:
                await self._ship_target(lane, storage, cut, result.target, on_progress)
            except PerdureError as exc:
                if exc.code == "CUT_DAMAGED":
                    raise
                result.failures[backend] = exc
                self._note_failed(lane, result.target, exc)
            else:
                if self._is_deleted(cut, result.target):
                    continue
                result.stored.append(backend)
                pair = (result.target.snapshot_id, backend)
                self._stored.setdefault(cut.cut_id, set()).add(pair)
                lane.note_stored()
                await self.record_stored(cut)

    def _note_failed(self, lane: Lane, target: CutTarget, error: PerdureError) -> None:
        retry_at: datetime | None = None
        if error.code != "SNAPSHOT_SUPERSEDED":
            retry_at = lane.note_failed()
        _log.warning(
            "snapshot_not_shipped",
            snapshot=target.snapshot_id,
            backend=lane.backend,
            code=error.code,
            error=error.message,
            failures=lane.failures,
            next_retry=retry_at.isoformat() if retry_at else "after the newer one",
        )

    async def _ship_target(
        self,
        lane: Lane,
        storage: Storage,
        cut: SpooledCut,
        target: CutTarget,
        on_progress: ProgressSink,
    ) -> None:
        if self._is_deleted(cut, target) or await self._is_stored(storage, target, cut.sha256):
            return
        for name in self._storages.names:
            known = self._catalogue.find_copy(target.snapshot_id, name)
            if known is not None:
                _check_same(known.manifest, name, cut.sha256)

        def tell(progress: Progress) -> None:
            on_progress(target, progress)

        async with (
            lane.turn(cut, target),
            self._packs.hold(cut, target.compression, tell) as packed,
        ):
            if not self._is_deleted(cut, target):
                await self._put(cut, storage, target, packed, on_progress)

    def _is_deleted(self, cut: SpooledCut, target: CutTarget) -> bool:
        return target.snapshot_id in self._deleted.get(cut.cut_id, ())

    async def _is_stored(self, storage: Storage, target: CutTarget, raw_sha256: str) -> bool:
        """Say whether an earlier attempt put the manifest; if so, keep it in the catalogue.

        CutDamagedError when it is not of this cut.
        """
        key = self._identity.layout.manifest(target.snapshot_id)
        data = await storage.find_bytes(key, MANIFEST_BYTES_MAX)
        if data is None:
            return False
        manifest = decode_manifest(data, f"{storage.name}:{key}")
        if self._catalogue.find_copy(target.snapshot_id, storage.name) is None:
            self._keep(storage, manifest)
        _check_same(manifest, storage.name, raw_sha256)
        return True

    async def _find_payload(self, storage: Storage, target: CutTarget) -> str:
        key = self._identity.layout.manifest(target.snapshot_id)
        data = await storage.get_bytes(key, MANIFEST_BYTES_MAX)
        return decode_manifest(data, f"{storage.name}:{key}").payload

    def _keep(self, storage: Storage, manifest: Manifest) -> None:
        folder = self._identity.layout.snapshot(manifest.snapshot_id)
        self._catalogue.put_copy(StoredCopy(storage.name, folder, manifest))

    async def _put(
        self,
        cut: SpooledCut,
        storage: Storage,
        target: CutTarget,
        packed: Packed,
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
        manifest = self._manifest(cut, target, payload, packed)
        try:
            await storage.put_file(key, packed.path, packed.digest, tell)
            await step("snapshot.payload_put")
        except asyncio.CancelledError:
            await self._undo(storage, key)
            raise
        if self._is_deleted(cut, target):
            await storage.delete(key)
            return
        try:
            with self._commit(storage, target):
                is_first = await self._put_manifest(storage, target, manifest, key)
        except asyncio.CancelledError:
            await self._look_once_more(storage, target, cut.sha256)
            raise
        if not is_first:
            return
        self._figures.observe_phase("snapshot", Phase.STORE, self._clock.monotonic() - started)
        self._note_stored(storage, target, manifest)

    @contextmanager
    def _commit(self, storage: Storage, target: CutTarget) -> Iterator[None]:
        """Keep a snapshot from being deleted while its manifest is on its way."""
        place = (target.snapshot_id, storage.name)
        self._committing.append(place)
        try:
            yield
        finally:
            self._committing.remove(place)

    async def _put_manifest(
        self, storage: Storage, target: CutTarget, manifest: Manifest, key: str
    ) -> bool:
        """Commit; False when another attempt had done so before, whose payload then counts."""
        layout = self._identity.layout
        try:
            await storage.put_bytes(layout.manifest(target.snapshot_id), encode_manifest(manifest))
        except BlobExistsError:
            # A call that we gave up came through after all, or another attempt did.
            if await self._find_payload(storage, target) != manifest.payload:
                await storage.delete(key)
            await self._is_stored(storage, target, manifest.raw_sha256)
            return False
        await step("snapshot.manifest_put")
        self._keep(storage, manifest)
        await step("snapshot.catalogued")
        return True

    async def _undo(self, storage: Storage, key: str) -> None:
        """Take a payload back whose operation was cancelled before its manifest was sent.

        A stopping process leaves it: the next boot stores the cut anew, a sweep takes the payload.
        """
        if self.is_stopping:
            return

        async def undo() -> None:
            with suppress(PerdureError):  # a backend that fails: it is swept later
                await storage.delete(key)

        await asyncio.shield(asyncio.create_task(undo()))

    async def _look_once_more(self, storage: Storage, target: CutTarget, raw_sha256: str) -> None:
        """Tell the catalogue of a manifest that came through though its operation was cancelled.

        One that was sent may land at any time, so its payload stays (I2): should none come, a
        sweep takes it.
        """
        if self.is_stopping:
            return

        async def look() -> None:
            with suppress(PerdureError):  # a backend that fails: the next start reads it
                await self._is_stored(storage, target, raw_sha256)

        await asyncio.shield(asyncio.create_task(look()))

    def _note_stored(self, storage: Storage, target: CutTarget, manifest: Manifest) -> None:
        if not manifest.is_imported:
            self._figures.snapshot_raw_size_bytes = manifest.raw_size_bytes
            self._figures.snapshot_stored_size_bytes = manifest.stored_size_bytes
            newest = self._figures.snapshot_last_success_at
            cut_at = manifest.cut_at
            self._figures.snapshot_last_success_at = max(cut_at, newest) if newest else cut_at
        self._events.publish(
            EventType.SNAPSHOT_STORED,
            f"the snapshot is on {storage.name}",
            About(f"snapshots/{target.snapshot_id}", target.operation_id or ""),
            snapshot=target.snapshot_id,
            trigger=target.trigger.value,
            keys=manifest.keys,
            size_bytes=manifest.stored_size_bytes,
            backends=storage.name,
        )

    def _manifest(
        self, cut: SpooledCut, target: CutTarget, payload: str, packed: Packed
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


def _check_same(stored: Manifest, backend: str, raw_sha256: str) -> None:
    """Refuse a second content under a snapshot's id (I3): it is for a person to look at."""
    if stored.raw_sha256 != raw_sha256:
        raise CutDamagedError(
            f"backend {backend} has another content under snapshot {stored.snapshot_id}",
            hint="The cut is in the spool's quarantine: import it if it is the wanted one.",
            context={"snapshot_id": stored.snapshot_id, "backend": backend},
        )


async def _all(works: Sequence[Coroutine[object, object, None]]) -> None:
    """Do all side by side; the first exception ends the others and is raised as it is."""
    tasks = [asyncio.create_task(work) for work in works]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
