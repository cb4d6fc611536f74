"""How values look in tables: sizes, instants, enum names, durations. Nothing is printed here."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_STEP = 1024
_MINUTE = 60
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
    """Return a span: milliseconds or seconds while short, else days, hours and minutes."""
    seconds = duration.ToTimedelta().total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // _MINUTE
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m")]
    return " ".join(f"{number}{unit}" for number, unit in parts if number)


def show_enum(name: str) -> str:
    """Return an enum's name without its prefix, in lower case: STATE_AVAILABLE is `available`."""
    return name.partition("_")[2].lower().replace("_", " ")


def show_count(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"
