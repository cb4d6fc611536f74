"""When a schedule is due: pure functions from a spec and instants to due times, in UTC.

A preset is a cron line; cron lines are read in the schedule's zone by cronsim, which follows
Debian's cron at a change of clocks: a line with a fixed hour and minute runs once on such a day
(a skipped time right after the gap, a repeated one the first time), a line with `*` in the minute
or the hour follows the wall clock. Due times are always computed forward, from one rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sidecar.errors import InvalidArgumentError
from sidecar.model import Preset, ScheduleSpec

PRESET_LINES = {
    Preset.HOURLY: "0 * * * *",
    Preset.EVERY_12H: "0 0,12 * * *",
    Preset.DAILY: "0 0 * * *",
}
PRESET_KEEPS = {Preset.HOURLY: 24, Preset.EVERY_12H: 14, Preset.DAILY: 30}
CRON_FIELDS = 5
MISSED_MAX = 10_000
_WINDOWS = tuple(timedelta(hours=h) for h in (2, 48, 24 * 40, 24 * 400, 24 * 366 * 5))


@dataclass(frozen=True, slots=True)
class Due:
    """The newest due time that is not settled, and how many before it went by."""

    at: datetime
    missed: int


def check_timing(spec: ScheduleSpec) -> None:
    """Raise InvalidArgumentError unless the timing can be read and will be due some day."""
    if (spec.preset is None) == (spec.cron is None):
        raise InvalidArgumentError(
            "a schedule needs a preset or a cron line, and not both",
            hint="Presets: hourly, every-12h, daily. A cron line has five fields.",
        )
    if spec.cron is not None and len(spec.cron.split()) != CRON_FIELDS:
        raise InvalidArgumentError(
            f"{spec.cron!r} is not a cron line of five fields",
            hint="minute, hour, day of month, month, day of week; such as '30 2 * * 1'.",
        )
    try:
        ZoneInfo(spec.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InvalidArgumentError(
            f"{spec.time_zone!r} is no time zone known here",
            hint="Use an IANA name, such as Europe/Berlin or UTC.",
        ) from exc
    try:
        first = next(due_times(spec, datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as exc:
        raise InvalidArgumentError(
            f"{spec.cron!r} is not a cron line: {exc}",
            hint="minute, hour, day of month, month, day of week; such as '30 2 * * 1'.",
        ) from exc
    if first is None:
        raise InvalidArgumentError(
            f"{spec.cron!r} would never be due", hint="Check the day of month and the month."
        )


def due_times(spec: ScheduleSpec, after: datetime) -> Iterator[datetime]:
    """Yield the due times after an instant, rising, each once."""
    line = PRESET_LINES[spec.preset] if spec.preset else spec.cron or ""
    zone = ZoneInfo(spec.time_zone)
    local = after.astimezone(UTC if spec.time_zone == "UTC" else zone)
    last = after
    for due in CronSim(line, local):
        at = due.astimezone(UTC)
        if at > last:
            last = at
            yield at


def next_due(spec: ScheduleSpec, after: datetime) -> datetime | None:
    """Return the first due time after an instant."""
    return next(due_times(spec, after), None)


def newest_due(spec: ScheduleSpec, after: datetime, now: datetime) -> Due | None:
    """Return the newest due time in (after, now], or None; `missed` stops at MISSED_MAX."""
    newest, count = None, 0
    for at in due_times(spec, after):
        if at > now:
            break
        newest, count = at, count + 1
        if count > MISSED_MAX:  # a long sleep of a minutely line: only the end is of interest
            newest = _newest_by_windows(spec, newest, now)
            break
    return Due(newest, min(count - 1, MISSED_MAX)) if newest else None


def _newest_by_windows(spec: ScheduleSpec, after: datetime, now: datetime) -> datetime:
    for window in _WINDOWS:
        found = None
        for at in due_times(spec, max(after, now - window)):
            if at > now:
                break
            found = at
        if found is not None:
            return found
    return after
