"""The spool: each cut with durable records of how far it is, so that a kill loses no good cut.

    <cut>.plan.json    what it is for            created before the file is cut
    <cut>.rdb          the cut                   written and fsynced by the engine
    <cut>.cut.json     what the engine said      the file is whole
    <cut>.proof.json   what reading it back said the file is believed; it may be shipped
    <cut>.part-*.json  a part is done          a backend has a snapshot of it, or it was deleted:
                                               that part is never shipped again
    scratch-*          packed or fetched files   never believed after a restart, swept
    quarantine/        what could not be believed, kept for a person

Records are created with `create_file` and never changed (I4). Removal goes from the file to the
plan, so that a plan without a file means "nothing left to do". No engine and no backend here.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from backends.durable import TEMPORARY_PREFIX, create_file, remove_leftover, sync_folder
from sidecar.engine_port import CutResult, VerifyResult
from sidecar.errors import ManifestInvalidError, PerdureError
from sidecar.json_fields import Fields, encode_document, encode_instant
from sidecar.local_disk import local_disk_error
from sidecar.manifest import (
    decode_databases,
    decode_position,
    encode_databases,
    encode_position,
)
from sidecar.model import Compression, JsonObject, Trigger

QUARANTINE = "quarantine"
SCRATCH = "scratch-"
PART = "part-"

Word = TypeVar("Word", Trigger, Compression)


@dataclass(frozen=True, slots=True)
class CutTarget:
    """One snapshot that a cut is for; one cut may serve several."""

    snapshot_id: str
    trigger: Trigger
    backends: tuple[str, ...]
    compression: Compression
    schedule: str | None = None
    due_at: datetime | None = None
    operation_id: str | None = None


@dataclass(frozen=True, slots=True)
class SpooledCut:
    """A cut in the spool, as far as it is recorded."""

    cut_id: str
    folder: Path
    planned_at: datetime
    targets: tuple[CutTarget, ...]
    cut: CutResult | None = None  # None: not finished, or the process ended before the record
    is_cut_recorded: bool = False
    proof: VerifyResult | None = None
    proved_at: datetime | None = None
    stored: frozenset[tuple[str, str]] = frozenset()  # (snapshot, backend): recorded as stored

    @property
    def rdb(self) -> Path:
        """Return the file itself."""
        return self.folder / f"{self.cut_id}.rdb"

    @property
    def sha256(self) -> str:
        """Return the digest of the proved file."""
        return self.proof.sha256 if self.proof else ""

    def record(self, kind: str) -> Path:
        """Return the path of one of the records."""
        return self.folder / f"{self.cut_id}.{kind}.json"


class Spool:
    """One folder of cuts. Every method blocks on the disk: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quarantine_folder = folder / QUARANTINE
        self._part_lock = threading.Lock()  # a part's record never outlives its plan

    def prepare(self) -> None:
        """Make the folders and sweep what is never believed after a restart."""
        self.quarantine_folder.mkdir(parents=True, exist_ok=True)
        for path in list(self.folder.iterdir()):
            if path.name.startswith(TEMPORARY_PREFIX):
                remove_leftover(path)
            elif path.name.startswith(SCRATCH):
                path.unlink()
        sync_folder(self.folder)

    def scratch(self, word: str) -> Path:
        """Return a new name for a file that the next start sweeps."""
        return self.folder / f"{SCRATCH}{word}-{secrets.token_hex(6)}"

    def plan(self, targets: Sequence[CutTarget], now: datetime) -> SpooledCut:
        """Record durably what a cut will be for; the file may be cut afterwards."""
        cut = SpooledCut(secrets.token_hex(8), self.folder, now, tuple(targets))
        document: JsonObject = {
            "planned_at": encode_instant(now),
            "targets": [_encode_target(target) for target in targets],
        }
        self._create(cut.record("plan"), document)
        return cut

    def record_cut(self, spooled: SpooledCut, cut: CutResult) -> SpooledCut:
        """Record durably that the file is whole."""
        try:
            sync_folder(self.folder)  # the engine fsynced the file; its name is made durable here
        except OSError as exc:
            raise local_disk_error(exc, f"sync {self.folder.name}") from exc
        self._create(spooled.record("cut"), _encode_cut(cut))
        return replace(spooled, cut=cut, is_cut_recorded=True)

    def record_proof(self, spooled: SpooledCut, proof: VerifyResult, now: datetime) -> SpooledCut:
        """Record durably that the file was read back and parsed."""
        document = {"proved_at": encode_instant(now), **_encode_verify(proof)}
        self._create(spooled.record("proof"), document)
        return replace(spooled, proof=proof, proved_at=now)

    def record_stored(self, spooled: SpooledCut, snapshot_id: str, backend: str) -> None:
        """Record durably that a backend has taken its part, while others have still to."""
        self._record_part(spooled, {"snapshot_id": snapshot_id, "backend": backend})

    def record_deleted(self, spooled: SpooledCut, snapshot_id: str) -> None:
        """Record durably that a snapshot was deleted: the cut is not for it any more."""
        self._record_part(spooled, {"snapshot_id": snapshot_id, "backend": None})

    def _record_part(self, spooled: SpooledCut, document: JsonObject) -> None:
        with self._part_lock:
            if spooled.record("plan").exists():  # else it was shipped and removed meanwhile
                self._create(spooled.record(f"{PART}{secrets.token_hex(4)}"), document)

    def _create(self, path: Path, document: JsonObject) -> None:
        try:
            create_file(path, [encode_document(document)])
        except OSError as exc:
            raise local_disk_error(exc, f"write {path.name}") from exc

    def entries(self) -> tuple[list[SpooledCut], list[Path]]:
        """Return the cuts that have a plan, oldest first, and files that belong to none."""
        cuts, strays, known = [], [], set()
        for path in sorted(self.folder.glob("*.plan.json")):
            cut_id = path.name.removesuffix(".plan.json")
            try:
                cuts.append(self._load(cut_id))
                known.add(cut_id)
            except PerdureError:
                strays.append(path)
        for path in sorted(self.folder.iterdir()):
            is_ours = path.name.startswith((SCRATCH, TEMPORARY_PREFIX)) or path in strays
            if path.is_file() and path.name.split(".")[0] not in known and not is_ours:
                strays.append(path)
        return sorted(cuts, key=lambda cut: (cut.planned_at, cut.cut_id)), strays

    def _load(self, cut_id: str) -> SpooledCut:
        def read(kind: str) -> Fields | None:
            path = self.folder / f"{cut_id}.{kind}.json"
            try:
                return Fields.parse(path.read_bytes(), path.name)
            except FileNotFoundError:
                return None

        plan, cut, proof = read("plan"), read("cut"), read("proof")
        if plan is None:
            raise ManifestInvalidError(f"{cut_id} has no plan")
        parts = [read(path.name.split(".")[1]) for path in self._part_records(cut_id)]
        ended = {(p.text("snapshot_id"), p.maybe_text("backend")) for p in parts if p}
        targets = tuple(_decode_target(fields) for fields in plan.children("targets"))
        return SpooledCut(
            cut_id,
            self.folder,
            plan.instant("planned_at"),
            tuple(target for target in targets if (target.snapshot_id, None) not in ended),
            cut=_decode_cut(cut) if cut else None,
            is_cut_recorded=cut is not None,
            proof=_decode_verify(proof) if proof else None,
            proved_at=proof.instant("proved_at") if proof else None,
            stored=frozenset((i, backend) for i, backend in ended if backend is not None),
        )

    def _part_records(self, cut_id: str) -> list[Path]:
        return sorted(self.folder.glob(f"{cut_id}.{PART}*.json"))

    def remove(self, spooled: SpooledCut) -> None:
        """Remove a cut that is shipped, cancelled or never began: the file first, the plan last."""
        try:
            with self._part_lock:
                records = [spooled.record(kind) for kind in ("cut", "proof")]
                for path in (spooled.rdb, *records, *self._part_records(spooled.cut_id)):
                    path.unlink(missing_ok=True)
                sync_folder(self.folder)
                spooled.record("plan").unlink(missing_ok=True)
                sync_folder(self.folder)
        except OSError as exc:
            raise local_disk_error(exc, f"remove cut {spooled.cut_id}") from exc

    def quarantine(self, paths: Sequence[Path]) -> Path:
        """Set files aside for a person; nothing ever reads or removes them again."""
        aside = self.quarantine_folder / secrets.token_hex(4)
        aside.mkdir()
        for path in paths:
            if path.exists():
                path.rename(aside / path.name)
        for folder in (aside, self.quarantine_folder, self.folder):
            sync_folder(folder)
        return aside

    def quarantine_cut(self, spooled: SpooledCut) -> Path:
        """Set a whole cut aside, its plan last."""
        records = [spooled.record(kind) for kind in ("cut", "proof")]
        parts = self._part_records(spooled.cut_id)
        with self._part_lock:
            return self.quarantine([spooled.rdb, *records, *parts, spooled.record("plan")])

    def cut_sizes(self) -> dict[str, int]:
        """Return what each cut takes, its records with it; scratch is nobody's."""
        sizes: dict[str, int] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith((SCRATCH, TEMPORARY_PREFIX)):
                    continue
                with suppress(FileNotFoundError):  # shipped and removed meanwhile
                    cut_id = entry.name.partition(".")[0]
                    size = entry.stat().st_size if entry.is_file() else 0
                    sizes[cut_id] = sizes.get(cut_id, 0) + size
        return sizes

    def size_bytes(self) -> int:
        """Return what the spool takes, quarantine excluded."""
        total = 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # shipped and removed meanwhile
                    total += entry.stat().st_size if entry.is_file() else 0
        return total


# --- records -----------------------------------------------------------------------------


def _encode_target(target: CutTarget) -> JsonObject:
    return {
        "snapshot_id": target.snapshot_id,
        "trigger": target.trigger.value,
        "backends": list(target.backends),
        "compression": target.compression.value,
        "schedule": target.schedule,
        "due_at": encode_instant(target.due_at) if target.due_at else None,
        "operation_id": target.operation_id,
    }


def _decode_target(fields: Fields) -> CutTarget:
    return CutTarget(
        fields.text("snapshot_id"),
        _decode_word(fields, "trigger", Trigger),
        fields.texts("backends"),
        _decode_word(fields, "compression", Compression),
        fields.maybe_text("schedule"),
        fields.maybe_instant("due_at"),
        fields.maybe_text("operation_id"),
    )


def _decode_word(fields: Fields, name: str, kind: type[Word]) -> Word:
    """Return a word of ours; one that a newer version wrote cannot be believed here."""
    try:
        return kind(fields.text(name))
    except ValueError as exc:
        raise fields.wrong(name, "is not a word that is known here") from exc


def _encode_cut(cut: CutResult) -> JsonObject:
    return {
        "size_bytes": cut.size_bytes,
        "keys": cut.keys,
        "fork_seconds": cut.fork_seconds,
        "pause_seconds": cut.pause_seconds,
        "cow_bytes": cut.cow_bytes,
        "write_seconds": cut.write_seconds,
        "cut_at": encode_instant(cut.cut_at),
        "rdb_version": cut.rdb_version,
    }


def _decode_cut(fields: Fields) -> CutResult:
    return CutResult(
        fields.number("size_bytes"),
        fields.number("keys"),
        fields.seconds("fork_seconds"),
        fields.seconds("pause_seconds"),
        fields.number("cow_bytes"),
        fields.seconds("write_seconds"),
        fields.instant("cut_at"),
        fields.number("rdb_version"),
    )


def _encode_verify(proof: VerifyResult) -> JsonObject:
    return {
        "size_bytes": proof.size_bytes,
        "sha256": proof.sha256,
        "rdb_version": proof.rdb_version,
        "redis_version": proof.redis_version,
        "created_at": encode_instant(proof.created_at) if proof.created_at else None,
        "used_memory_bytes": proof.used_memory_bytes,
        "keys": proof.keys,
        "expires": proof.expires,
        "databases": encode_databases(proof.databases),
        "log_position": encode_position(proof.log_position),
    }


def _decode_verify(fields: Fields) -> VerifyResult:
    return VerifyResult(
        fields.number("size_bytes"),
        fields.text("sha256"),
        fields.number("rdb_version"),
        fields.text("redis_version"),
        fields.maybe_instant("created_at"),
        fields.number("used_memory_bytes"),
        fields.number("keys"),
        fields.number("expires"),
        decode_databases(fields.child("databases")),
        decode_position(fields),
    )
