"""A clone as it is kept: what is known of it, its folder, and the record that outlives the process.

    clones/{id}/clone.json    the record: made first, removed last, replaced at each change (I4)
    clones/{id}/clone.toml    the configuration that its process is started with
    clones/{id}/ready.json    its ready file
    clones/{id}/server.log    its output; the part before, once it grew large, is server.log.1
    clones/{id}/data/         its data dir

The clone itself reads the record, too, which may say that its time is over, as no record at all
does (`sidecar.clone_life`). What is made of a record is `sidecar.clones`' matter.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from backends.durable import TEMPORARY_PREFIX, create_file, replace_file, sync_folder
from sidecar.errors import InternalError, PerdureError
from sidecar.json_fields import Fields, encode_document, encode_instant
from sidecar.model import JsonObject

SCHEMA_VERSION = 1
RECORD = "clone.json"
RECORD_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 2048
_CLONE_ID = re.compile(r"\d{8}t\d{6}z-[0-9a-f]{8}\Z")


class CloneState(StrEnum):
    """Where a clone stands."""

    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"  # its process ended without having been told to
    DELETING = "deleting"


class Seed(StrEnum):
    """How its data came to it."""

    LINK = "link"  # a second name of the payload on a local backend
    FETCH = "fetch"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process for sure: a pid alone may be another's by now."""

    pid: int
    started_ticks: int  # since the machine's start, as in /proc/<pid>/stat
    boot_id: str  # of the machine's start


@dataclass(frozen=True, slots=True)
class Clone:
    """What is known of a clone."""

    clone_id: str
    state: CloneState
    created_at: datetime
    server_name: str
    revision: int = 1
    lease_seconds: float | None = None
    lease_end_at: datetime | None = None
    snapshot_id: str | None = None  # None: of the live data
    operation_id: str | None = None  # that makes it
    seed: Seed | None = None
    cut_at: datetime | None = None
    keys: int = 0
    process: ProcessMark | None = None
    ready_at: datetime | None = None
    server_uid: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    error: JsonObject | None = None
    log_tail: str = ""

    @property
    def etag(self) -> str:
        """Return what a safe change sends back."""
        return str(self.revision)


def new_clone_id(at: datetime) -> str:
    """Return an id that sorts by time and is never used again."""
    return f"{at.astimezone(UTC).strftime('%Y%m%dt%H%M%Sz')}-{secrets.token_hex(4)}"


def encode_clone(clone: Clone) -> JsonObject:
    """Return the record as JSON."""
    mark = clone.process
    return {
        "schema_version": SCHEMA_VERSION,
        "clone_id": clone.clone_id,
        "state": clone.state.value,
        "created_at": encode_instant(clone.created_at),
        "server_name": clone.server_name,
        "revision": clone.revision,
        "lease_seconds": clone.lease_seconds,
        "lease_end_at": _maybe_instant(clone.lease_end_at),
        "snapshot_id": clone.snapshot_id,
        "operation_id": clone.operation_id,
        "seed": clone.seed.value if clone.seed else None,
        "cut_at": _maybe_instant(clone.cut_at),
        "keys": clone.keys,
        "process": None
        if mark is None
        else {"pid": mark.pid, "started_ticks": mark.started_ticks, "boot_id": mark.boot_id},
        "ready_at": _maybe_instant(clone.ready_at),
        "server_uid": clone.server_uid,
        "endpoints": dict(clone.endpoints),
        "error": clone.error,
        "log_tail": clone.log_tail,
    }


def decode_clone(fields: Fields) -> Clone:
    """Return a clone from its record; the error class of `fields` for anything wrong."""
    if fields.number("schema_version") != SCHEMA_VERSION:
        raise fields.wrong("schema_version", "is of another version of Perdure")
    try:
        state = CloneState(fields.text("state"))
        seed = Seed(fields.text("seed")) if fields.has("seed") else None
    except ValueError as exc:
        raise fields.wrong("state", "or seed is unknown") from exc
    endpoints = fields.child("endpoints")
    return Clone(
        clone_id=fields.text("clone_id"),
        state=state,
        created_at=fields.instant("created_at"),
        server_name=fields.text("server_name"),
        revision=fields.number("revision"),
        lease_seconds=fields.maybe_seconds("lease_seconds"),
        lease_end_at=fields.maybe_instant("lease_end_at"),
        snapshot_id=fields.maybe_text("snapshot_id"),
        operation_id=fields.maybe_text("operation_id"),
        seed=seed,
        cut_at=fields.maybe_instant("cut_at"),
        keys=fields.number("keys"),
        process=_decode_mark(fields.child("process")) if fields.has("process") else None,
        ready_at=fields.maybe_instant("ready_at"),
        server_uid=fields.maybe_text("server_uid"),
        endpoints={door: endpoints.text(door) for door in endpoints.names()},
        error=fields.child("error").raw() if fields.has("error") else None,
        log_tail=fields.text("log_tail"),
    )


def _decode_mark(fields: Fields) -> ProcessMark:
    return ProcessMark(fields.number("pid"), fields.number("started_ticks"), fields.text("boot_id"))


def _maybe_instant(instant: datetime | None) -> str | None:
    return encode_instant(instant) if instant is not None else None


def read_record(path: Path) -> Clone:
    """Read one record; OSError when it cannot be read, InternalError when it says nothing."""
    with path.open("rb") as reader:
        text = reader.read(RECORD_BYTES_MAX)
    return decode_clone(Fields.parse(text, str(path), InternalError))


@dataclass(frozen=True, slots=True)
class CloneFolder:
    """The places of one clone."""

    path: Path

    @property
    def record(self) -> Path:
        """Return the record."""
        return self.path / RECORD

    @property
    def config(self) -> Path:
        """Return its process's configuration."""
        return self.path / "clone.toml"

    @property
    def ready_file(self) -> Path:
        """Return its ready file."""
        return self.path / "ready.json"

    @property
    def log(self) -> Path:
        """Return its log."""
        return self.path / "server.log"

    @property
    def old_log(self) -> Path:
        """Return what its log was before it grew too large."""
        return self.path / "server.log.1"

    @property
    def data(self) -> Path:
        """Return its data dir."""
        return self.path / "data"

    @property
    def rdb(self) -> Path:
        """Return what it begins with."""
        return self.data / "dump.rdb"

    def log_tail(self) -> str:
        """Return the end of its log; nothing when it cannot be read."""
        try:
            with self.log.open("rb") as reader:
                size = reader.seek(0, 2)
                reader.seek(max(size - LOG_TAIL_BYTES, 0))
                return reader.read().decode(errors="replace").strip()
        except OSError:
            return ""


class CloneStore:
    """Every clone's folder. Blocks: callers use a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, clone_id: str) -> CloneFolder:
        """Return the places of a clone."""
        return CloneFolder(self.folder.resolve() / clone_id)

    def create(self, clone: Clone) -> None:
        """Make the folder and the record, durably.

        Raises:
            OSError: the disk failed; at most an empty folder is left.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = self.folder_of(clone.clone_id)
        places.path.mkdir(mode=0o700)
        create_file(places.record, [encode_document(encode_clone(clone))])
        places.data.mkdir(mode=0o700)
        sync_folder(places.path)
        sync_folder(self.folder)

    def replace(self, clone: Clone) -> None:
        """Keep a clone as it stands, durably."""
        replace_file(self.folder_of(clone.clone_id).record, [encode_document(encode_clone(clone))])

    def remove(self, clone_id: str) -> None:
        """Remove a folder, the record last: until it is gone a restart knows what is to go."""
        places = self.folder_of(clone_id)
        if not places.path.is_dir():
            return
        for path in places.path.iterdir():
            if path == places.record:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, onerror=_unless_gone)
            else:
                path.unlink(missing_ok=True)
        sync_folder(places.path)
        places.record.unlink(missing_ok=True)
        places.path.rmdir()
        sync_folder(self.folder)

    def load(self) -> tuple[list[Clone], list[Path]]:
        """Return the clones, and the folders that cannot be believed; empty ones are removed."""
        clones, strays = [], []
        if not self.folder.is_dir():
            return [], []
        for path in sorted(self.folder.iterdir()):
            if not _CLONE_ID.match(path.name) or not path.is_dir():
                continue
            if not (path / RECORD).exists() and _is_unbegun(path):
                self.remove(path.name)
                continue
            try:
                clone = read_record(path / RECORD)
                if clone.clone_id != path.name:
                    raise InternalError(f"{path} has the record of {clone.clone_id}")
            except (PerdureError, OSError):
                strays.append(path)
            else:
                clones.append(clone)
        return clones, strays


def _unless_gone(_call: object, _path: object, failure: tuple[Any, BaseException, Any]) -> None:
    """Let a process that just ends remove a file of its own before us."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


def _is_unbegun(path: Path) -> bool:
    """Say whether a folder without a record is what a kill leaves: nothing, or a temporary."""
    return all(entry.name.startswith(TEMPORARY_PREFIX) for entry in path.iterdir())


def toml_text(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Return tables as TOML, whose strings, numbers and lists are written as JSON's are."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]
        lines.append("")
    return "\n".join(lines)
