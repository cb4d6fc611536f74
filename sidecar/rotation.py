"""Deletion in two steps: tombstone now, and after a grace a second look and the purge.

    bury   put a tombstone note beside the manifest; nothing is lost yet
    look   after the grace: still the newest word, not held, not the last that can be restored?
    purge  manifest -> payload -> notes      a crash leaves garbage, never a dangling manifest
    sweep  payloads and notes without a manifest, older than the grace; uploads that a crash cut off

Only objects under this server's own uid are touched. Planning is `sidecar.retention`'s.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backends.base import BlobInfo
from sidecar.errors import PerdureError
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.layout import MANIFEST, is_snapshot_id
from sidecar.local_disk import step
from sidecar.manifest import MANIFEST_BYTES_MAX, Note, NoteKind, encode_note
from sidecar.model import Copy, Retention, Schedule, Trigger
from sidecar.retention import RetentionPlan, newest_verified, plan_retention
from sidecar.storage import Storage

_log = structlog.get_logger(__name__)
_RETENTION = "retention of"
SWEEP_AGE_MIN = timedelta(hours=1)  # a payload whose manifest is still to come is younger


class Rotation:
    """Applies retention and buries, purges and sweeps."""

    def __init__(self, ground: Ground, grace: timedelta) -> None:
        self._ground = ground
        self._grace = grace

    def preview(self, schedule_id: str, policy: Retention, backend: str) -> RetentionPlan:
        """Return what a rotation would do; nothing is changed."""
        copies = self._ground.catalogue.copies(backend)
        mine = [copy for copy in copies if copy.manifest.schedule == schedule_id]
        return plan_retention(mine, policy, self._ground.clock.now())

    async def rotate(self, schedule: Schedule) -> int:
        """Apply a schedule's retention on every backend; return how many copies were buried.

        A backend that fails is left for the next rotation: nothing is lost by keeping more.
        """
        if schedule.is_deleted:
            return 0
        why = f"{_RETENTION} schedule {schedule.schedule_id}"
        plans = [
            self.preview(schedule.schedule_id, schedule.spec.retention_on(name), name)
            for name in self._ground.storages.names
        ]
        return sum(await asyncio.gather(*(self._bury_all(plan, why) for plan in plans)))

    async def rotate_unscheduled(self, keep_last: Mapping[Trigger, int], storage: Storage) -> int:
        """Apply to a backend the count for each trigger that no schedule owns; return how many."""
        buried, now = 0, self._ground.clock.now()
        copies = self._ground.catalogue.copies(storage.name)
        for trigger, count in keep_last.items():
            mine = [copy for copy in copies if copy.manifest.trigger is trigger]
            plan = plan_retention(mine, Retention(keep_last=count), now)
            buried += await self._bury_all(plan, f"{_RETENTION} {trigger} snapshots")
        return buried

    async def _bury_all(self, plan: RetentionPlan, why: str) -> int:
        buried = 0
        for copy in plan.doomed:
            try:
                await self.bury(copy, why)
                buried += 1
            except PerdureError as exc:
                _log.warning("rotation_failed", backend=copy.backend, error=exc.message)
                break
        return buried

    async def bury(self, copy: Copy, why: str) -> None:
        """Put a tombstone on a copy; it can be listed until it is purged."""
        await self.note(copy, Note(NoteKind.TOMBSTONE, self._ground.clock.now(), detail=why))
        self._ground.figures.snapshots_deleted["tombstoned"] += 1
        self._tell(EventType.SNAPSHOT_DELETED, copy, why)
        await step("rotate.tombstoned")

    def _tell(self, type_: EventType, copy: Copy, why: str) -> None:
        snapshot_id = copy.manifest.snapshot_id
        self._ground.events.publish(
            type_,
            f"the copy on {copy.backend}: {why}",
            About(f"snapshots/{snapshot_id}"),
            snapshot=snapshot_id,
            backend=copy.backend,
            why=why,
        )

    async def note(self, copy: Copy, note: Note) -> None:
        """Put what became known beside the manifest, then into the catalogue.

        The newest wins, so a note is never older than those before it: the clock may go back.
        """
        snapshot_id = copy.manifest.snapshot_id
        stored = self._ground.catalogue.find_copy(snapshot_id, copy.backend)
        last = max((known.at for known in stored.notes), default=None) if stored else None
        if last is not None and note.at <= last:
            note = replace(note, at=last + timedelta(microseconds=1))
        key = self._ground.identity.layout.note(snapshot_id, note.at, note.kind.value)
        storage = self._ground.storages[copy.backend]
        await storage.put_bytes(key, encode_note(snapshot_id, note))
        self._ground.catalogue.add_note(snapshot_id, copy.backend, note)

    # --- purge ------------------------------------------------------------------------

    async def purge_due(self, storage: Storage) -> int:
        """Purge every copy on a backend whose grace is over; return how many."""
        purged = 0
        for copy in self._ground.catalogue.copies(storage.name):
            purged += await self._purge_if_due(storage, copy)
        return purged

    async def _purge_if_due(self, storage: Storage, copy: Copy) -> int:
        now = self._ground.clock.now()
        is_ours = copy.manifest.server_uid == self._ground.identity.layout.uid
        if copy.purge_at is None or copy.purge_at > now or copy.is_held or not is_ours:
            return 0
        if self._is_last(copy):
            why = "no other copy can be restored any more"
            await self.note(copy, Note(NoteKind.REVIVAL, now, detail=why))
            self._ground.figures.snapshots_deleted["revived"] += 1
            self._tell(EventType.SNAPSHOT_REVIVED, copy, why)
            return 0
        await self._purge(storage, copy)
        return 1

    def _is_last(self, copy: Copy) -> bool:
        """Say whether this buried copy is all that is left: retention must not empty a backend."""
        stored = self._ground.catalogue.find_copy(copy.manifest.snapshot_id, copy.backend)
        tombstones = [n for n in stored.notes if n.kind is NoteKind.TOMBSTONE] if stored else []
        newest = max(tombstones, key=lambda note: note.at, default=None)
        was_rotated = newest is not None and newest.detail.startswith(_RETENTION)
        if not was_rotated or not copy.verdict.is_passed:  # a person's own word stands
            return False
        return newest_verified(self._ground.catalogue.copies(copy.backend)) is None

    async def _purge(self, storage: Storage, copy: Copy) -> None:
        snapshot_id = copy.manifest.snapshot_id
        layout = self._ground.identity.layout
        await storage.delete(layout.manifest(snapshot_id))
        await step("rotate.manifest_deleted")
        await storage.delete(copy.payload_key)
        await step("rotate.payload_deleted")
        for blob in await storage.list(layout.snapshot(snapshot_id)):
            await storage.delete(blob.key)
        self._ground.catalogue.remove_copy(snapshot_id, storage.name)
        self._ground.figures.snapshots_deleted["purged"] += 1
        self._tell(EventType.SNAPSHOT_PURGED, copy, "its grace is over")

    # --- sweep ------------------------------------------------------------------------

    async def sweep(self, storage: Storage) -> int:
        """Delete what no manifest names: left by crashes, older than the grace. Return how many."""
        prefix = self._ground.identity.layout.prefix
        folders: dict[str, list[BlobInfo]] = defaultdict(list)
        for blob in await storage.list(prefix):
            folder, _, rest = blob.key.removeprefix(prefix).partition("/")
            if rest and is_snapshot_id(folder):
                folders[folder].append(blob)
        swept = 0
        for snapshot_id, blobs in folders.items():
            garbage = self._garbage(storage, snapshot_id, blobs)
            if garbage and not await self._may_be_wanted(storage, snapshot_id, blobs):
                for blob in garbage:
                    await storage.delete(blob.key)
                    swept += 1
        swept += await storage.sweep_unfinished(prefix, self._upload_age(storage))
        self._ground.figures.snapshots_deleted["swept"] += swept
        return swept

    async def _may_be_wanted(
        self, storage: Storage, snapshot_id: str, blobs: list[BlobInfo]
    ) -> bool:
        """Say whether a put may still be under way, or has ended since the listing."""
        manifest_key = self._ground.identity.layout.manifest(snapshot_id)
        if any(blob.key == manifest_key for blob in blobs):  # what it names is known, and stays
            return False
        cuts, _ = await asyncio.to_thread(self._ground.spool.entries)
        if any(target.snapshot_id == snapshot_id for cut in cuts for target in cut.targets):
            return True
        return await storage.find_bytes(manifest_key, MANIFEST_BYTES_MAX) is not None

    def _upload_age(self, storage: Storage) -> timedelta:
        """Return how old an upload must be to be dead: none that still runs is ended."""
        longest = timedelta(seconds=storage.options.transfer_timeout_seconds)
        return max(longest, SWEEP_AGE_MIN)

    def _garbage(self, storage: Storage, snapshot_id: str, blobs: list[BlobInfo]) -> list[BlobInfo]:
        # A put that is given up may go on, and a store may date a blob by the put's beginning.
        longest = 2 * timedelta(seconds=storage.options.transfer_timeout_seconds)
        limit: datetime = self._ground.clock.now() - max(self._grace, longest, SWEEP_AGE_MIN)
        manifest_key = self._ground.identity.layout.manifest(snapshot_id)
        has_manifest = any(blob.key == manifest_key for blob in blobs)
        if not has_manifest:
            return [blob for blob in blobs if blob.modified_at < limit]
        stored = self._ground.catalogue.find_copy(snapshot_id, storage.name)
        if stored is None:  # a manifest that we could not read: a person's to decide
            return []
        payload = stored.folder + stored.manifest.payload
        return [
            blob
            for blob in blobs
            if blob.modified_at < limit
            and blob.key != payload
            and not blob.key.endswith(f"/{MANIFEST}")
            and "/notes/" not in blob.key
        ]
