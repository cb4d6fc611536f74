"""SQLite: what this server knows without asking a backend. A cache, but for operations.

Snapshots and schedules are copied from the backends and rebuilt from them when the file is gone
(`sidecar.rebuild`); operations and request ids exist here only. Written with WAL and synchronous
FULL, in short transactions on the event loop's thread: few, small, and in an order that the
backends' objects precede (a crash between the two is healed by the next rebuild). All copies are
held in memory too, decoded, so that reading never touches the disk.

A damaged file is set aside under another name and reported, never deleted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sidecar.errors import (
    ConfigError,
    ExhaustedError,
    InternalError,
    ManifestInvalidError,
    NotFoundError,
)
from sidecar.json_fields import Fields, encode_instant, to_unix_ms
from sidecar.manifest import (
    Note,
    copy_of,
    decode_manifest,
    decode_note,
    encode_manifest,
    encode_note,
)
from sidecar.model import Copy, JsonObject, Manifest, Operation, Schedule, Snapshot
from sidecar.records import decode_operation, decode_schedule, encode_operation, encode_schedule

SCHEMA_VERSION = 1
SYNCHRONOUS = "FULL"  # a commit is on the disk when it returns
OPERATIONS_MAX = 2000
REQUEST_IDS_KEPT = timedelta(days=7)
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE copies (
    snapshot_id TEXT NOT NULL, backend TEXT NOT NULL, folder TEXT NOT NULL,
    manifest TEXT NOT NULL, notes TEXT NOT NULL, PRIMARY KEY (snapshot_id, backend)) STRICT;
CREATE TABLE schedules (schedule_id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE schedule_runs (schedule_id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE operations (
    operation_id TEXT PRIMARY KEY, created_unix_ms INTEGER NOT NULL,
    is_done INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
CREATE TABLE request_ids (
    method TEXT NOT NULL, request_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    result TEXT NOT NULL, created_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (method, request_id)) STRICT;
"""


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """A manifest and its notes as they lie in one folder of one backend."""

    backend: str
    folder: str
    manifest: Manifest
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """How a schedule fared so far."""

    last_due_at: datetime | None = None  # the newest due time that was settled
    last_run_at: datetime | None = None
    last_snapshot_id: str | None = None
    missed_total: int = 0
    last_error: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The first result under a request id."""

    fingerprint: str
    result: JsonObject


class Catalogue:
    """The server's memory; one per process, used from the event loop's thread only."""

    def __init__(self, connection: sqlite3.Connection, grace: timedelta) -> None:
        self._db = connection
        self._grace = grace
        self._copies: dict[tuple[str, str], StoredCopy] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._schedules: dict[str, Schedule] = {}
        self._load()

    def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        self._db.close()

    def _load(self) -> None:
        for row in self._db.execute("SELECT backend, folder, manifest, notes FROM copies"):
            stored = _stored(*row)
            self._copies[stored.manifest.snapshot_id, stored.backend] = stored
        for snapshot_id in {snapshot_id for snapshot_id, _ in self._copies}:
            self._fold(snapshot_id)
        for (document,) in self._db.execute("SELECT document FROM schedules"):
            schedule = decode_schedule(Fields.parse(document, "catalogue"))
            self._schedules[schedule.schedule_id] = schedule

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all or nothing; a failure of SQLite becomes ours here."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if exc.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise ExhaustedError(
                    "no room left for the catalogue",
                    code="DISK_FULL",
                    hint="Free space on the data directory's file system.",
                ) from exc
            message = f"the catalogue could not be written: {exc}"
            raise InternalError(message, code="CATALOGUE_FAILED") from exc
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- server -----------------------------------------------------------------------

    def get_meta(self, key: str) -> str | None:
        """Return one of the server's own facts (`server_uid`, ...)."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, key: str, value: str) -> None:
        """Keep one of the server's own facts."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- snapshots --------------------------------------------------------------------

    def _fold(self, snapshot_id: str) -> None:
        mine = sorted(
            (s for (i, _), s in self._copies.items() if i == snapshot_id), key=lambda s: s.backend
        )
        if not mine:
            self._snapshots.pop(snapshot_id, None)
            return
        copies = tuple(copy_of(s.manifest, s.backend, s.folder, s.notes, self._grace) for s in mine)
        self._snapshots[snapshot_id] = Snapshot(snapshot_id, copies)

    def put_copy(self, stored: StoredCopy) -> None:
        """Keep what lies on a backend; repeating it is harmless."""
        snapshot_id = stored.manifest.snapshot_id
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?)", _row(stored))
        self._copies[snapshot_id, stored.backend] = stored
        self._fold(snapshot_id)

    def replace_copies(self, backend: str, stored: Sequence[StoredCopy]) -> None:
        """Keep exactly these copies for a backend: a full listing was just read."""
        gone = {key for key in self._copies if key[1] == backend}
        with self._transaction() as db:
            db.execute("DELETE FROM copies WHERE backend = ?", (backend,))
            db.executemany("INSERT INTO copies VALUES (?, ?, ?, ?, ?)", map(_row, stored))
        touched = {snapshot_id for snapshot_id, _ in gone}
        for key in gone:
            del self._copies[key]
        for item in stored:
            self._copies[item.manifest.snapshot_id, backend] = item
            touched.add(item.manifest.snapshot_id)
        for snapshot_id in touched:
            self._fold(snapshot_id)

    def add_note(self, snapshot_id: str, backend: str, note: Note) -> None:
        """Add what became known of a copy."""
        stored = self._copies[snapshot_id, backend]
        self.put_copy(replace(stored, notes=(*stored.notes, note)))

    def remove_copy(self, snapshot_id: str, backend: str) -> None:
        """Forget a copy that was purged."""
        with self._transaction() as db:
            sql = "DELETE FROM copies WHERE snapshot_id = ? AND backend = ?"
            db.execute(sql, (snapshot_id, backend))
        self._copies.pop((snapshot_id, backend), None)
        self._fold(snapshot_id)

    def find_copy(self, snapshot_id: str, backend: str) -> StoredCopy | None:
        """Return what lies on a backend, if it is known."""
        return self._copies.get((snapshot_id, backend))

    def stored_copies(self, backend: str) -> dict[str, StoredCopy]:
        """Return what lies on a backend, by snapshot."""
        return {i: stored for (i, name), stored in self._copies.items() if name == backend}

    def copies(self, backend: str) -> list[Copy]:
        """Return every known copy on a backend, oldest first."""
        mine = [c for s in self.snapshots() for c in s.copies if c.backend == backend]
        return sorted(mine, key=lambda c: (c.manifest.cut_at, c.manifest.snapshot_id))

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Return a snapshot, or raise NotFoundError (SNAPSHOT_NOT_FOUND)."""
        try:
            return self._snapshots[snapshot_id]
        except KeyError:
            raise NotFoundError(
                f"there is no snapshot {snapshot_id!r}",
                code="SNAPSHOT_NOT_FOUND",
                hint="List the snapshots there are: perdure snapshot list",
                context={"snapshot_id": snapshot_id},
            ) from None

    def keep_snapshot(self, snapshot_id: str) -> JsonObject:
        """Return a snapshot as it is now, as a document: the first answer to a request."""
        mine = [s for (i, _), s in sorted(self._copies.items()) if i == snapshot_id]
        return {"copies": [list(_row(stored)) for stored in mine]}

    def kept_snapshot(self, snapshot_id: str, document: JsonObject) -> Snapshot:
        """Return what `keep_snapshot` kept; what an older version kept is its name alone."""
        rows = document.get("copies")
        if not isinstance(rows, list):
            return self.get_snapshot(snapshot_id)
        stored = [_stored(*row[1:]) for row in rows]
        copies = (copy_of(s.manifest, s.backend, s.folder, s.notes, self._grace) for s in stored)
        return Snapshot(snapshot_id, tuple(copies))

    def snapshots(self) -> list[Snapshot]:
        """Return every known snapshot, in no promised order."""
        return list(self._snapshots.values())

    # --- schedules --------------------------------------------------------------------

    def put_schedule(self, schedule: Schedule) -> None:
        """Keep a revision unless a newer one is known."""
        known = self._schedules.get(schedule.schedule_id)
        if known is not None and known.revision > schedule.revision:
            return
        document = json.dumps(encode_schedule(schedule))
        with self._transaction() as db:
            sql = "INSERT OR REPLACE INTO schedules VALUES (?, ?)"
            db.execute(sql, (schedule.schedule_id, document))
        self._schedules[schedule.schedule_id] = schedule

    def find_schedule(self, schedule_id: str) -> Schedule | None:
        """Return the newest revision, a deleted one too."""
        return self._schedules.get(schedule_id)

    def schedules(self) -> list[Schedule]:
        """Return the newest revision of each, deleted ones too, by id."""
        return [self._schedules[key] for key in sorted(self._schedules)]

    def get_run(self, schedule_id: str) -> ScheduleRun:
        """Return how a schedule fared; one that never ran has an empty record."""
        sql = "SELECT document FROM schedule_runs WHERE schedule_id = ?"
        row = self._db.execute(sql, (schedule_id,)).fetchone()
        if row is None:
            return ScheduleRun()
        fields = Fields.parse(row[0], "catalogue", InternalError)
        return ScheduleRun(
            fields.maybe_instant("last_due_at"),
            fields.maybe_instant("last_run_at"),
            fields.maybe_text("last_snapshot_id"),
            fields.number("missed_total"),
            fields.child("last_error").raw() if fields.has("last_error") else None,
        )

    def put_run(self, schedule_id: str, run: ScheduleRun) -> None:
        """Keep how a schedule fared."""
        document = {
            "last_due_at": encode_instant(run.last_due_at) if run.last_due_at else None,
            "last_run_at": encode_instant(run.last_run_at) if run.last_run_at else None,
            "last_snapshot_id": run.last_snapshot_id,
            "missed_total": run.missed_total,
            "last_error": run.last_error,
        }
        with self._transaction() as db:
            sql = "INSERT OR REPLACE INTO schedule_runs VALUES (?, ?)"
            db.execute(sql, (schedule_id, json.dumps(document)))

    # --- operations -------------------------------------------------------------------

    def put_operation(self, operation: Operation, fingerprint: str | None = None) -> None:
        """Keep an operation as it stands; a new one's request id with it, or neither."""
        document = json.dumps(encode_operation(operation))
        created = to_unix_ms(operation.created_at)
        with self._transaction() as db:
            sql = "INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?)"
            db.execute(sql, (operation.operation_id, created, int(operation.is_done), document))
            db.execute(
                "DELETE FROM operations WHERE is_done AND operation_id IN (SELECT operation_id "
                "FROM operations ORDER BY created_unix_ms DESC LIMIT -1 OFFSET ?)",
                (OPERATIONS_MAX,),
            )
            if operation.request_id is not None and fingerprint is not None:
                stored = StoredRequest(fingerprint, {"operation_id": operation.operation_id})
                name = (operation.kind.value, operation.request_id)
                _insert_request(db, name, stored, operation.created_at)

    def find_operation(self, operation_id: str) -> Operation | None:
        """Return an operation, or None."""
        sql = "SELECT document FROM operations WHERE operation_id = ?"
        row = self._db.execute(sql, (operation_id,)).fetchone()
        return decode_operation(Fields.parse(row[0], "catalogue", InternalError)) if row else None

    def operations(self, *, only_running: bool = False) -> list[Operation]:
        """Return the operations, newest first."""
        sql = (
            "SELECT document FROM operations WHERE is_done <= ? "
            "ORDER BY created_unix_ms DESC, operation_id"
        )
        rows = self._db.execute(sql, (int(not only_running),)).fetchall()
        return [decode_operation(Fields.parse(d, "catalogue", InternalError)) for (d,) in rows]

    def delete_operation(self, operation_id: str) -> None:
        """Forget an operation."""
        with self._transaction() as db:
            db.execute("DELETE FROM operations WHERE operation_id = ?", (operation_id,))

    # --- request ids ------------------------------------------------------------------

    def find_request(self, method: str, request_id: str) -> StoredRequest | None:
        """Return the first result under a request id."""
        sql = "SELECT fingerprint, result FROM request_ids WHERE method = ? AND request_id = ?"
        row = self._db.execute(sql, (method, request_id)).fetchone()
        return StoredRequest(row[0], json.loads(row[1])) if row else None

    def put_request(
        self, method: str, request_id: str, request: StoredRequest, now: datetime
    ) -> None:
        """Keep the first result under a request id, and forget the old ones."""
        with self._transaction() as db:
            _insert_request(db, (method, request_id), request, now)


def _insert_request(
    db: sqlite3.Connection, name: tuple[str, str], request: StoredRequest, now: datetime
) -> None:
    row = (*name, request.fingerprint, json.dumps(request.result), to_unix_ms(now))
    oldest = to_unix_ms(now - REQUEST_IDS_KEPT)
    db.execute("DELETE FROM request_ids WHERE created_unix_ms < ?", (oldest,))
    db.execute("INSERT OR REPLACE INTO request_ids VALUES (?, ?, ?, ?, ?)", row)


def _row(stored: StoredCopy) -> tuple[str, str, str, str, str]:
    snapshot_id = stored.manifest.snapshot_id
    notes = json.dumps([encode_note(snapshot_id, note).decode() for note in stored.notes])
    manifest = encode_manifest(stored.manifest).decode()
    return snapshot_id, stored.backend, stored.folder, manifest, notes


def _stored(backend: str, folder: str, manifest: str, notes: str) -> StoredCopy:
    return StoredCopy(
        backend,
        folder,
        decode_manifest(manifest.encode(), "catalogue"),
        tuple(decode_note(text.encode(), "catalogue") for text in json.loads(notes)),
    )


@dataclass(frozen=True, slots=True)
class OpenedCatalogue:
    """A catalogue and what had to be done to open it."""

    catalogue: Catalogue
    is_new: bool
    set_aside: Path | None  # where the damaged file is now


def open_catalogue(path: Path, now: datetime, grace: timedelta) -> OpenedCatalogue:
    """Open or create the file; a damaged one is set aside first. ConfigError when neither can."""
    is_new = not path.exists()
    try:
        return OpenedCatalogue(Catalogue(_connect(path), grace), is_new, None)
    except sqlite3.Error as exc:
        if not _is_damage(exc):
            message = f"cannot open {path}: {exc}"
            hint = "Check the data directory's permissions and free space."
            raise ConfigError(message, code="CATALOGUE_FAILED", hint=hint) from exc
    except (ManifestInvalidError, InternalError, ValueError):
        pass  # the file is sound and what it says is not: damage all the same
    aside = path.with_name(f"{path.name}.damaged-{now.strftime('%Y%m%dt%H%M%S%fz')}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return OpenedCatalogue(Catalogue(_connect(path), grace), is_new=True, set_aside=aside)


def _is_damage(exc: sqlite3.Error) -> bool:
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # ours have none
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        _check_integrity(db)
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check_integrity(db: sqlite3.Connection) -> None:
    result = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        message = f"quick_check says {result}"
        raise sqlite3.DatabaseError(message)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date; one step a version."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} was written by a newer Perdure (schema {version})",
            code="CATALOGUE_TOO_NEW",
            hint="Use that version, or move the file away: it is rebuilt from the backends.",
        )
    if version == 0:
        db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
