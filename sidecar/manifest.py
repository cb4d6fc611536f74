"""Encode and decode the manifest and the notes beside it; docs/formats/manifest.md is the page.

The manifest is the commit point and immutable (I2, I3); a note is a small immutable object that
says what became known later, the newest of a kind wins. No storage and no clock live here.
Adding a field? It must be optional when read, or SCHEMA_VERSION goes up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from sidecar.errors import ManifestInvalidError
from sidecar.json_fields import Fields, encode_document, encode_instant
from sidecar.layout import is_snapshot_id, is_uid
from sidecar.model import (
    Compression,
    Copy,
    JsonObject,
    KeyCounts,
    Manifest,
    Trigger,
    Verdict,
    Verification,
)

_Enum = TypeVar("_Enum", bound=StrEnum)
SCHEMA_VERSION = 1
MANIFEST_BYTES_MAX = 1 << 20
NOTE_BYTES_MAX = 64 << 10
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_PAYLOAD = re.compile(r"dump-[0-9a-f]{1,16}\.rdb(\.zst)?\Z")
_SUFFIXES = {Compression.NONE: "", Compression.ZSTD: ".zst"}


def payload_suffix(compression: Compression) -> str:
    """Return what follows `.rdb` in the payload's name."""
    return _SUFFIXES[compression]


# --- key counts --------------------------------------------------------------------------


def encode_databases(databases: Mapping[int, KeyCounts]) -> JsonObject:
    """Return {"0": {"keys", "expires", "types"}}, by rising index."""
    return {
        str(index): {"keys": c.keys, "expires": c.expires, "types": dict(sorted(c.types.items()))}
        for index, c in sorted(databases.items())
    }


def decode_databases(fields: Fields) -> dict[int, KeyCounts]:
    """Read what `encode_databases` wrote."""
    databases: dict[int, KeyCounts] = {}
    for index in fields.names():
        if not index.isdigit():
            raise fields.wrong(index, "is not a database")
        child = fields.child(index)
        databases[int(index)] = KeyCounts(
            child.number("keys"), child.number("expires"), child.counts("types")
        )
    return databases


def encode_verification(verification: Verification) -> JsonObject:
    """Return the object that `decode_verification` reads."""
    return {
        "verified_at": encode_instant(verification.verified_at),
        "redis_version": verification.redis_version,
        "used_memory_bytes": verification.used_memory_bytes,
        "keys": verification.keys,
        "expires": verification.expires,
        "databases": encode_databases(verification.databases),
    }


def decode_verification(fields: Fields) -> Verification:
    """Read what `encode_verification` wrote."""
    return Verification(
        verified_at=fields.instant("verified_at"),
        redis_version=fields.text("redis_version"),
        used_memory_bytes=fields.number("used_memory_bytes"),
        keys=fields.number("keys"),
        expires=fields.number("expires"),
        databases=decode_databases(fields.child("databases")),
    )


def encode_position(position: tuple[int, int] | None) -> JsonObject | None:
    """Return a place in the append-only log, (epoch, offset), as an object."""
    return {"epoch": position[0], "offset": position[1]} if position else None


def decode_position(fields: Fields) -> tuple[int, int] | None:
    """Read the place in the field `log_position`; null without a log."""
    if not fields.has("log_position"):
        return None
    position = fields.child("log_position")
    return position.number("epoch"), position.number("offset")


# --- manifest ----------------------------------------------------------------------------


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`."""
    document: JsonObject = {
        "schema_version": SCHEMA_VERSION,
        "snapshot_id": manifest.snapshot_id,
        "server_name": manifest.server_name,
        "server_uid": manifest.server_uid,
        "trigger": manifest.trigger.value,
        "schedule": manifest.schedule,
        "due_at": encode_instant(manifest.due_at) if manifest.due_at else None,
        "cut_at": encode_instant(manifest.cut_at),
        "created_at": encode_instant(manifest.created_at),
        "engine_version": manifest.engine_version,
        "rdb_version": manifest.rdb_version,
        "log_position": encode_position(manifest.log_position),
        "payload": {
            "name": manifest.payload,
            "raw_size_bytes": manifest.raw_size_bytes,
            "raw_sha256": manifest.raw_sha256,
            "stored_size_bytes": manifest.stored_size_bytes,
            "stored_sha256": manifest.stored_sha256,
            "compression": manifest.compression.value,
            "encryption": None,
        },
        "fork_seconds": manifest.fork_seconds,
        "pause_seconds": manifest.pause_seconds,
        "cow_bytes": manifest.cow_bytes,
        "verification": encode_verification(manifest.verification),
    }
    return encode_document(document)


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest; ManifestInvalidError names what is wrong with it."""
    fields = Fields.parse(data, where)
    version = fields.number("schema_version")
    if version != SCHEMA_VERSION:
        raise ManifestInvalidError(
            f"{where} has schema version {version}; this server reads {SCHEMA_VERSION}",
            hint="A newer Perdure wrote it: use that version.",
            context={"document": where, "schema_version": version},
        )
    payload = fields.child("payload")
    if payload.has("encryption"):
        raise payload.wrong("encryption", "is not known here")
    manifest = Manifest(
        snapshot_id=fields.text("snapshot_id"),
        server_name=fields.text("server_name"),
        server_uid=fields.text("server_uid"),
        trigger=_decode_enum(Trigger, fields, "trigger"),
        schedule=fields.maybe_text("schedule"),
        due_at=fields.maybe_instant("due_at"),
        cut_at=fields.instant("cut_at"),
        created_at=fields.instant("created_at"),
        engine_version=fields.text("engine_version"),
        rdb_version=fields.number("rdb_version"),
        log_position=decode_position(fields),
        payload=payload.text("name"),
        raw_size_bytes=payload.number("raw_size_bytes"),
        raw_sha256=payload.text("raw_sha256"),
        stored_size_bytes=payload.number("stored_size_bytes"),
        stored_sha256=payload.text("stored_sha256"),
        compression=_decode_enum(Compression, payload, "compression"),
        fork_seconds=fields.maybe_seconds("fork_seconds"),
        pause_seconds=fields.maybe_seconds("pause_seconds"),
        cow_bytes=fields.maybe_number("cow_bytes"),
        verification=decode_verification(fields.child("verification")),
    )
    _check_names(manifest, fields)
    return manifest


def _decode_enum(kind: type[_Enum], fields: Fields, name: str) -> _Enum:
    try:
        return kind(fields.text(name))
    except ValueError as exc:
        raise fields.wrong(name, "has an unknown value") from exc


def _check_names(manifest: Manifest, fields: Fields) -> None:
    """Refuse names that could lead out of the snapshot's own folder."""
    if not is_snapshot_id(manifest.snapshot_id):
        raise fields.wrong("snapshot_id", "is not a snapshot's id")
    if not is_uid(manifest.server_uid):
        raise fields.wrong("server_uid", "is not a uid")
    if not _PAYLOAD.match(manifest.payload):
        raise fields.wrong("payload.name", "is not a payload's name")
    for digest in (manifest.raw_sha256, manifest.stored_sha256):
        if not _SHA256.match(digest):
            raise fields.wrong("payload", "has a bad sha256")


# --- notes -------------------------------------------------------------------------------


class NoteKind(StrEnum):
    """What can become known of a copy after its manifest."""

    VERDICT = "verdict"
    TOMBSTONE = "tombstone"
    REVIVAL = "revival"  # withdraws the tombstone: the look before the purge said keep
    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Note:
    """One small object beside a manifest."""

    kind: NoteKind
    at: datetime
    is_passed: bool = True  # verdicts only
    detail: str = ""  # why


def encode_note(snapshot_id: str, note: Note) -> bytes:
    """Return the bytes of a note."""
    document: JsonObject = {
        "schema_version": SCHEMA_VERSION,
        "snapshot_id": snapshot_id,
        "kind": note.kind.value,
        "at": encode_instant(note.at),
        "passed": note.is_passed,
        "detail": note.detail,
    }
    return encode_document(document)


def decode_note(data: bytes, where: str) -> Note:
    """Read a note."""
    fields = Fields.parse(data, where)
    return Note(
        kind=_decode_enum(NoteKind, fields, "kind"),
        at=fields.instant("at"),
        is_passed=fields.flag("passed"),
        detail=fields.text("detail"),
    )


def copy_of(
    manifest: Manifest, backend: str, folder: str, notes: Iterable[Note], grace: timedelta
) -> Copy:
    """Fold the notes into what is known of the copy now; `folder` ends with a slash."""
    newest: dict[NoteKind, Note] = {}
    for note in sorted(notes, key=lambda n: n.at):
        newest[note.kind] = note
    verdict = Verdict(manifest.verification.verified_at, is_passed=True)
    if (told := newest.get(NoteKind.VERDICT)) is not None:
        verdict = Verdict(told.at, told.is_passed, told.detail, backend)
    tombstoned_at = _standing(newest, NoteKind.TOMBSTONE, NoteKind.REVIVAL)
    return Copy(
        backend=backend,
        manifest=manifest,
        payload_key=folder + manifest.payload,
        verdict=verdict,
        tombstoned_at=tombstoned_at,
        purge_at=tombstoned_at + grace if tombstoned_at else None,
        is_held=_standing(newest, NoteKind.HOLD, NoteKind.RELEASE) is not None,
    )


def _standing(newest: Mapping[NoteKind, Note], on: NoteKind, off: NoteKind) -> datetime | None:
    """Return since when `on` stands; a tie goes to `off`, the harmless side."""
    raised, withdrawn = newest.get(on), newest.get(off)
    if raised is None or (withdrawn is not None and withdrawn.at >= raised.at):
        return None
    return raised.at
