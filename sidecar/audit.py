"""The audit log: a JSON line for each mutation, and for what the server deletes by itself.

A line is with the kernel before the call is answered: a kill of the process loses none, a power cut
may. A full or failing disk refuses no mutation, since deleting is how a disk is emptied: lines that
could not be written are counted, told as an event once, and the next line that can be written comes
after one that says how many were lost. Files rotate by size; the newest has the plain name.

Not here: which calls are mutations (`sidecar.rpc.audit_interceptor`). Secrets are masked by whoever
makes the line; values of settings that name one are, by `mask`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sidecar.clock import Clock
from sidecar.config import is_secret_name
from sidecar.event_log import About, Event, EventLog, EventType
from sidecar.json_fields import encode_instant
from sidecar.local_disk import local_disk_error
from sidecar.observe import Figures

LINE_BYTES_MAX = 16 * 1024
TEXT_CHARS_MAX = 1024
# ACL lines hold passwords under a name that does not say so.
_SECRET_DIRECTIVES = frozenset({"user"})
# What the server does without being asked, or later than it was asked.
AUDITED = frozenset(
    {
        EventType.SNAPSHOT_DELETED,
        EventType.SNAPSHOT_REVIVED,
        EventType.SNAPSHOT_PURGED,
        EventType.CUT_QUARANTINED,
        EventType.CUT_DROPPED,
        EventType.SCHEDULE_RUN,
        EventType.RESTORE_COMMITTED,
        EventType.RESTORE_FAILED,
        EventType.CLONE_FAILED,
        EventType.CLONE_REMOVED,
        EventType.OPERATION_ENDED,
    }
)


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Where, and how much is kept: `files_max` files, the one that is written included."""

    path: Path
    size_bytes_max: int = 16 << 20
    files_max: int = 8
    is_enabled: bool = True


class AuditLog:
    """Appends lines; from the event loop's thread only, and never raises."""

    def __init__(
        self, options: AuditOptions, clock: Clock, figures: Figures, events: EventLog
    ) -> None:
        self._options = options
        self._clock = clock
        self._figures = figures
        self._events = events
        self._fd: int | None = None
        self._size_bytes = 0
        self._lost = 0
        events.add_listener(self._note_event)

    def write(self, record: Mapping[str, object]) -> None:
        """Append one record, with the time in front."""
        if not self._options.is_enabled:
            return
        record = _shortened({"time": encode_instant(self._clock.now()), **record})
        lines = _encode(record)
        if self._lost:
            lost = {"actor": "server", "action": "audit_lost", "lines": self._lost}
            lines = _encode({"time": record["time"], **lost}) + lines
        try:
            self._append(lines)
        except OSError as exc:
            self._lose(exc)
        else:
            self._figures.audit_lines["shortened" if "left_out" in record else "written"] += 1
            self._lost = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _note_event(self, event: Event) -> None:
        if event.type not in AUDITED:
            return
        record = {
            "actor": "server",
            "action": event.type.value,
            "target": event.resource,
            "operation": f"operations/{event.operation_id}" if event.operation_id else "",
            "reason": event.reason,
            "message": event.message,
            "context": dict(event.context),
        }
        self.write({key: value for key, value in record.items() if value})

    # --- the file ---------------------------------------------------------------------

    def _append(self, lines: bytes) -> None:
        """Write whole lines or none: what a full disk cut off is cut off the file again."""
        if self._fd is None:
            self._open()
        if self._size_bytes and self._size_bytes + len(lines) > self._options.size_bytes_max:
            self._rotate()
        fd = self._fd
        if fd is None:
            raise OSError("the audit log is not open")
        written = 0
        try:
            while written < len(lines):
                written += os.write(fd, lines[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, self._size_bytes)
            raise
        self._size_bytes += written

    def _open(self) -> None:
        path = self._options.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # a power cut tore the last line
                size += os.write(fd, b"\n")
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._size_bytes = fd, size

    def _rotate(self) -> None:
        self.close()
        path, files_max = self._options.path, self._options.files_max
        path.with_name(f"{path.name}.{files_max - 1}").unlink(missing_ok=True)
        for number in range(files_max - 2, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.rename(path.with_name(f"{path.name}.{number + 1}"))
        if files_max > 1:
            path.rename(path.with_name(f"{path.name}.1"))
        else:
            path.unlink()
        self._open()

    def _lose(self, exc: OSError) -> None:
        self.close()  # opened anew for the next line: the folder may be another one by then
        self._figures.audit_lines["lost"] += 1
        self._lost += 1
        if self._lost == 1:
            error = local_disk_error(exc, "write the audit log")
            about = About(reason=error.code)
            self._events.publish(EventType.AUDIT_FAILED, error.message, about, lost=self._lost)


def _encode(record: Mapping[str, object]) -> bytes:
    """Return a line; half of a character, from a name that is no UTF-8, stands as its escape."""
    text = json.dumps(record, ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace") + b"\n"


def _shortened(record: Mapping[str, object]) -> Mapping[str, object]:
    """Return a record that is not too long for a line."""
    size_bytes = len(_encode(record))
    if size_bytes <= LINE_BYTES_MAX:
        return record
    short = {key: value for key, value in record.items() if key not in {"request", "context"}}
    return {**short, "left_out": f"{size_bytes} bytes"}


def mask(value: object, name: str = "") -> object:
    """Return a document with the values of whatever names a secret as `***`, and texts cut."""
    if name and (is_secret_name(name) or name in _SECRET_DIRECTIVES) and value:
        return "***"
    if isinstance(value, dict):
        return {key: mask(item, str(key).lower()) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return value[:TEXT_CHARS_MAX] + "…"
    return value
