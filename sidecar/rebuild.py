"""Read the backends into the catalogue: the backends are the truth, SQLite is the cache.

A full listing of our prefix per backend; manifests and notes that are known already are not read
again (they are immutable). What cannot be read is counted and left alone. A manifest without its
payload is kept, as damaged. Revisions of schedules go both ways, so that a backend that was away
gets what it missed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import structlog

from backends.base import BlobInfo
from sidecar.catalogue import StoredCopy
from sidecar.errors import (
    BlobExistsError,
    CorruptError,
    InvalidArgumentError,
    ManifestInvalidError,
    PerdureError,
)
from sidecar.ground import Ground
from sidecar.layout import MANIFEST, NOTES, SCHEDULES, is_snapshot_id
from sidecar.manifest import (
    MANIFEST_BYTES_MAX,
    NOTE_BYTES_MAX,
    Note,
    NoteKind,
    decode_manifest,
    decode_note,
)
from sidecar.model import Manifest
from sidecar.schedules import put_revision, read_revision
from sidecar.storage import Storage

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Folder:
    manifest: str | None = None
    notes: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Listing:
    snapshots: dict[str, _Folder] = field(default_factory=lambda: defaultdict(_Folder))
    revisions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Rebuild:
    """Keeps the catalogue equal to the backends."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.pending = set(ground.storages.names)  # backends not read since the start
        self.unreadable: set[str] = set()  # manifests that are there and could not be read

    async def read_pending(self, storage: Storage) -> bool:
        """Read a backend that was not read yet; return whether it could be. It stays pending."""
        if storage.name not in self.pending:
            return True
        try:
            await self._ground.identity.visit(storage)
            await self.read(storage)
        except PerdureError as exc:
            _log.warning("backend_not_read", backend=storage.name, error=exc.message)
            return False
        self.pending.discard(storage.name)
        return True

    async def read(self, storage: Storage) -> None:
        """Read one backend whole.

        What was stored, noted or purged while it was read is newer than what was read.
        """
        catalogue = self._ground.catalogue
        before = catalogue.stored_copies(storage.name)
        listing = self._sort(await storage.list(self._ground.identity.layout.prefix))
        copies = []
        for snapshot_id, folder in listing.snapshots.items():
            if folder.manifest is not None:
                try:
                    copies.append(await self._read_copy(storage, snapshot_id, folder))
                except CorruptError as exc:
                    self._ground.figures.documents_invalid += 1
                    self.unreadable.add(f"{storage.name}:{folder.manifest}")
                    _log.error("manifest_unreadable", key=folder.manifest, error=exc.message)
        found = {copy.manifest.snapshot_id: copy for copy in copies}
        now = catalogue.stored_copies(storage.name)
        for snapshot_id in {*before, *now}:
            if (copy := now.get(snapshot_id)) is before.get(snapshot_id):
                continue
            if copy is None:
                found.pop(snapshot_id, None)
            else:
                found[snapshot_id] = copy
        catalogue.replace_copies(storage.name, list(found.values()))
        await self._read_schedules(storage, listing)

    def _sort(self, blobs: list[BlobInfo]) -> _Listing:
        listing = _Listing()
        prefix = self._ground.identity.layout.prefix
        for blob in blobs:
            parts = blob.key.removeprefix(prefix).split("/")
            if parts[0] == SCHEDULES and len(parts) == 3:  # noqa: PLR2004 - schedules/<id>/<revision>
                revision = parts[2].removesuffix(".json")
                if revision.isdigit():
                    listing.revisions[parts[1]].append(int(revision))
            elif is_snapshot_id(parts[0]) and len(parts) > 1:  # a blob of that name is not ours
                folder = listing.snapshots[parts[0]]
                if parts[1:] == [MANIFEST]:
                    folder.manifest = blob.key
                elif parts[1] == NOTES:
                    folder.notes.append(blob.key)
                else:
                    folder.files.add(parts[-1])
        return listing

    async def _read_copy(self, storage: Storage, snapshot_id: str, folder: _Folder) -> StoredCopy:
        known = self._ground.catalogue.find_copy(snapshot_id, storage.name)
        manifest = known.manifest if known else await self._read_manifest(storage, snapshot_id)
        notes = known.notes if known else ()
        is_whole = manifest.payload in folder.files
        if len(notes) != len(folder.notes) or not is_whole:
            notes = await self._read_notes(storage, folder.notes)
        if not is_whole:
            why = "the payload is gone from the backend"
            gone = Note(NoteKind.VERDICT, self._ground.clock.now(), is_passed=False, detail=why)
            notes = (*notes, gone)
        place = self._ground.identity.layout.snapshot(snapshot_id)
        return StoredCopy(storage.name, place, manifest, notes)

    async def _read_manifest(self, storage: Storage, snapshot_id: str) -> Manifest:
        layout = self._ground.identity.layout
        key = layout.manifest(snapshot_id)
        manifest = decode_manifest(await storage.get_bytes(key, MANIFEST_BYTES_MAX), key)
        if manifest.snapshot_id != snapshot_id or manifest.server_uid != layout.uid:
            raise ManifestInvalidError(
                f"{key} speaks of {manifest.server_uid}/{manifest.snapshot_id}",
                context={"document": key},
            )
        return manifest

    async def _read_notes(self, storage: Storage, keys: list[str]) -> tuple[Note, ...]:
        notes = []
        for key in keys:
            try:
                notes.append(decode_note(await storage.get_bytes(key, NOTE_BYTES_MAX), key))
            except CorruptError as exc:
                self._ground.figures.documents_invalid += 1
                _log.error("note_unreadable", key=key, error=exc.message)
        return tuple(notes)

    async def _read_schedules(self, storage: Storage, listing: _Listing) -> None:
        layout, catalogue = self._ground.identity.layout, self._ground.catalogue
        for schedule_id, revisions in listing.revisions.items():
            newest = max(revisions)
            known = catalogue.find_schedule(schedule_id)
            if known is not None and known.revision >= newest:
                continue
            key = layout.schedule(schedule_id, newest)
            try:
                catalogue.put_schedule(
                    await read_revision(self._ground, storage, schedule_id, newest)
                )
            except (CorruptError, InvalidArgumentError) as exc:
                self._ground.figures.documents_invalid += 1
                _log.error("schedule_unreadable", key=key, error=exc.message)
        for schedule in catalogue.schedules():
            if schedule.revision > max(listing.revisions.get(schedule.schedule_id, [0])):
                try:
                    await put_revision(self._ground, storage, schedule)
                except BlobExistsError:
                    continue
