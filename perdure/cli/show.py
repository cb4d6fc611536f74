"""How values look in tables: sizes, instants, enum names, durations. Nothing is printed here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show_size(size_bytes: int) -> str:
    """Return a size as `1.5 GiB`."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} {_UNITS[-1]}"


def show_time(instant: Timestamp) -> str:
    """Return an instant in UTC to the second; an unset one is empty."""
    if instant.seconds == 0 and instant.nanos == 0:
        return ""
    return f"{datetime.fromtimestamp(instant.seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def show_duration(duration: Duration) -> str:
    """Return a span: milliseconds while short, else days, hours, minutes and seconds."""
    span = duration.ToTimedelta()
    if span < timedelta(seconds=10):
        return f"{span.total_seconds() * 1000:.1f} ms"
    seconds = int(span.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m")]
    text = " ".join(f"{number}{unit}" for number, unit in parts if number)
    return text or f"{seconds}s"


def show_enum(name: str) -> str:
    """Return an enum's name without its prefix, in lower case: STATE_AVAILABLE is `available`."""
    return name.partition("_")[2].lower().replace("_", " ")


def show_count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"
