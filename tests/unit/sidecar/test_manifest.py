"""Manifests and notes: what is written is read, and hostile bytes are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import CorruptError, ManifestInvalidError
from sidecar.manifest import (
    Note,
    NoteKind,
    decode_manifest,
    decode_note,
    encode_manifest,
    encode_note,
)
from sidecar.model import Compression, KeyCounts, Manifest, Trigger, Verification

AT = datetime(2026, 11, 22, 7, 0, 0, 123456, tzinfo=UTC)
MANIFEST = Manifest(
    snapshot_id="20261122t070000z-hourly-abab",
    server_name="default",
    server_uid="ab" * 16,
    trigger=Trigger.SCHEDULE,
    schedule="hourly",
    due_at=AT,
    cut_at=AT,
    created_at=AT,
    engine_version="0.1.0",
    rdb_version=10,
    log_position=(7, 9),
    payload="dump-01234567.rdb.zst",
    raw_size_bytes=10,
    raw_sha256="1" * 64,
    stored_size_bytes=5,
    stored_sha256="2" * 64,
    compression=Compression.ZSTD,
    fork_seconds=0.001,
    pause_seconds=0.002,
    cow_bytes=3,
    verification=Verification(AT, "7.0.15", 1, 2, 1, {0: KeyCounts(2, 1, {"string": 2})}),
)


def test_manifest_comes_back_as_it_was() -> None:
    assert decode_manifest(encode_manifest(MANIFEST), "x") == MANIFEST


@pytest.mark.parametrize("kind", list(NoteKind))
def test_note_comes_back_as_it_was(kind: NoteKind) -> None:
    note = Note(kind, AT, is_passed=False, detail="why")
    assert decode_note(encode_note(MANIFEST.snapshot_id, note), "x") == note


def change(place: str, value: object) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        *path, last = place.split(".")
        for part in path:
            document = document[part]
        document[last] = value

    return apply


@pytest.mark.parametrize(
    "edit",
    [
        change("schema_version", 2),
        change("snapshot_id", "../../etc"),
        change("server_uid", "AB" * 16),
        change("payload.name", "../dump-1.rdb"),
        change("payload.name", "/etc/passwd"),
        change("payload.raw_size_bytes", -1),
        change("payload.raw_size_bytes", 1 << 70),
        change("payload.raw_sha256", "zz"),
        change("payload.compression", "gzip"),
        change("payload.encryption", {"scheme": "age"}),
        change("trigger", "accident"),
        change("cut_at", "2026-11-22T07:00:00"),
        change("verification", None),
        change("verification.databases", {"x": {}}),
        change("verification.keys", "2"),
    ],
)
def test_manifest_with_a_bad_field_is_refused(edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(encode_manifest(MANIFEST))
    edit(document)
    with pytest.raises(ManifestInvalidError):
        decode_manifest(json.dumps(document).encode(), "x")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_manifest_are_refused_not_crashed_on(data: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_manifest(data, "x")


def test_truncation_at_every_byte_is_refused() -> None:
    data = encode_manifest(MANIFEST).rstrip()
    for end in range(len(data)):
        with pytest.raises(CorruptError):
            decode_manifest(data[:end], "x")
