"""Names on a backend and snapshot ids: the one place that builds and reads them.

    {name}/server.json                                        who writes under this name
    {name}/{uid}/schedules/{schedule}/{revision:08}.json      every revision of a schedule
    {name}/{uid}/{snapshot_id}/dump-{attempt}.rdb[.zst]       payload (put first)
    {name}/{uid}/{snapshot_id}/manifest.json                  commit point (put last)
    {name}/{uid}/{snapshot_id}/notes/{instant}-{kind}-{random}.json   known later; newest wins

    snapshot_id = 20261122t070000z-hourly-1f0c
                  due time or cut  what   4 hex of the uid for a schedule (so that one due time
                                          cannot yield two), 8 random hex for everything else

Guards I3: nothing here is ever reused or overwritten.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sidecar.errors import InvalidArgumentError

_SNAPSHOT_ID = re.compile(r"\d{8}t\d{6}z-[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?-[0-9a-f]{4,8}\Z")
_SCHEDULE_ID = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?\Z")
_SERVER_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?\Z")
_UID = re.compile(r"[0-9a-f]{32}\Z")
RESERVED_SCHEDULE_IDS = frozenset({"manual", "safety", "boot"})
MANIFEST = "manifest.json"
SCHEDULES = "schedules"
NOTES = "notes"
_INSTANT = "%Y%m%dt%H%M%Sz"


def check_schedule_id(schedule_id: str) -> str:
    """Return the id, or raise InvalidArgumentError."""
    if not _SCHEDULE_ID.match(schedule_id) or schedule_id in RESERVED_SCHEDULE_IDS:
        raise InvalidArgumentError(
            f"{schedule_id!r} cannot be a schedule's id",
            hint="Use 1 to 40 of a-z, 0-9 and '-', a letter first; not manual, safety or boot.",
            context={"schedule_id": schedule_id},
        )
    return schedule_id


def is_snapshot_id(text: str) -> bool:
    """Return whether the text has the form of a snapshot's id."""
    return _SNAPSHOT_ID.match(text) is not None


def is_server_name(text: str) -> bool:
    """Return whether the text can be a prefix on every backend."""
    return _SERVER_NAME.match(text) is not None


def is_uid(text: str) -> bool:
    """Return whether the text is 128 bits in lower-case hex."""
    return _UID.match(text) is not None


def new_uid() -> str:
    """Return a server uid that nobody else has."""
    return secrets.token_hex(16)


def scheduled_snapshot_id(schedule_id: str, due_at: datetime, uid: str) -> str:
    """Return the id that this due time has, whoever computes it and however often."""
    return f"{due_at.astimezone(UTC).strftime(_INSTANT)}-{schedule_id}-{uid[:4]}"


def other_snapshot_id(word: str, at: datetime) -> str:
    """Return a new id for a snapshot that no due time names (`manual`, `safety`, a run)."""
    return f"{at.astimezone(UTC).strftime(_INSTANT)}-{word}-{secrets.token_hex(4)}"


def file_snapshot_id(word: str, at: datetime, uid: str) -> str:
    """Return the id of a file found at boot: its time names it, so that it is shipped once."""
    return f"{at.astimezone(UTC).strftime(_INSTANT)}-{word}-{uid[:4]}"


@dataclass(frozen=True, slots=True)
class ServerLayout:
    """Where one server's objects lie."""

    name: str
    uid: str

    @property
    def prefix(self) -> str:
        """Return the prefix of all that this server may write, but for `server.json`."""
        return f"{self.name}/{self.uid}/"

    def snapshot(self, snapshot_id: str, file: str = "") -> str:
        """Return the key of a file of a snapshot; without one, the snapshot's prefix."""
        return f"{self.prefix}{snapshot_id}/{file}"

    def manifest(self, snapshot_id: str) -> str:
        """Return the key of the commit point."""
        return self.snapshot(snapshot_id, MANIFEST)

    def note(self, snapshot_id: str, at: datetime, kind: str) -> str:
        """Return a new key for something that became known later; keys sort by time."""
        instant = at.astimezone(UTC).strftime("%Y%m%dt%H%M%S%fz")
        return self.snapshot(snapshot_id, f"{NOTES}/{instant}-{kind}-{secrets.token_hex(2)}.json")

    def schedule(self, schedule_id: str, revision: int) -> str:
        """Return the key of one revision."""
        return f"{self.prefix}{SCHEDULES}/{schedule_id}/{revision:08}.json"


def server_record(name: str) -> str:
    """Return the key that says which uid writes under a name."""
    return f"{name}/server.json"


def new_payload_name(suffix: str) -> str:
    """Return a payload's file name for a new attempt: `dump-<8 hex>.rdb<suffix>`."""
    return f"dump-{secrets.token_hex(4)}.rdb{suffix}"
