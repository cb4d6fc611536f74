"""Due times: presets, cron lines in zones, changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidArgumentError
from sidecar.model import Preset, ScheduleSpec
from sidecar.schedule_times import MISSED_MAX, check_timing, due_times, newest_due, next_due

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (ScheduleSpec(preset=Preset.HOURLY), ["2026-01-01T01:00", "2026-01-01T02:00"]),
        (ScheduleSpec(preset=Preset.EVERY_12H), ["2026-01-01T12:00", "2026-01-02T00:00"]),
        (ScheduleSpec(preset=Preset.DAILY), ["2026-01-02T00:00", "2026-01-03T00:00"]),
        (
            ScheduleSpec(preset=Preset.DAILY, time_zone="Asia/Kolkata"),
            ["2026-01-01T18:30", "2026-01-02T18:30"],
        ),
        (ScheduleSpec(cron="15 6 * * 1"), ["2026-01-05T06:15", "2026-01-12T06:15"]),
    ],
)
def test_due_times_of_presets_and_lines(spec: ScheduleSpec, wanted: list[str]) -> None:
    assert list(islice(due_times(spec, START), 2)) == [at(text) for text in wanted]


def test_fixed_time_in_the_spring_gap_still_runs_that_day() -> None:
    """Berlin, 2026-03-29: 02:30 does not exist; the run is right after the gap."""
    spec = ScheduleSpec(cron="30 2 * * *", time_zone="Europe/Berlin")
    times = list(islice(due_times(spec, at("2026-03-28T00:00")), 3))
    assert times[0] == at("2026-03-28T01:30")
    assert times[1].date() == at("2026-03-29T00:00").date()
    assert times[2] == at("2026-03-30T00:30")


def test_fixed_time_in_the_autumn_fold_runs_once() -> None:
    """Berlin, 2026-10-25: 02:30 comes twice."""
    spec = ScheduleSpec(cron="30 2 * * *", time_zone="Europe/Berlin")
    times = list(islice(due_times(spec, at("2026-10-24T12:00")), 2))
    assert times[1] - times[0] >= timedelta(hours=24)
    assert times[0].date() == at("2026-10-25T00:00").date()


@pytest.mark.parametrize("day", ["2026-03-29T00:00", "2026-10-25T00:00"])
def test_hourly_is_every_hour_whatever_the_clocks_do(day: str) -> None:
    spec = ScheduleSpec(preset=Preset.HOURLY, time_zone="Europe/Berlin")
    times = list(islice(due_times(spec, at(day)), 24))
    assert {b - a for a, b in pairwise(times)} == {timedelta(hours=1)}


@given(
    st.sampled_from(["*/7 * * * *", "0 * * * *", "0 0,12 * * *", "30 2 * * *", "5 4 1 * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    st.integers(-365 * 24 * 60, 365 * 24 * 60),
    st.integers(0, 60 * 24 * 3),
)
def test_newest_due_is_the_last_of_the_series(
    line: str, zone: str, after: int, minutes: int
) -> None:
    spec = ScheduleSpec(cron=line, time_zone=zone)
    start = START + timedelta(minutes=after)
    now = start + timedelta(minutes=minutes)
    series = []
    for due_at in due_times(spec, start):
        if due_at > now:
            break
        series.append(due_at)
    due = newest_due(spec, start, now)
    assert (due.at if due else None) == (series[-1] if series else None)
    assert (due.missed if due else 0) == max(len(series) - 1, 0)
    upcoming = next_due(spec, now)
    assert upcoming is not None
    assert upcoming > now


def test_years_of_sleep_of_a_minutely_line_are_bounded() -> None:
    spec = ScheduleSpec(cron="* * * * *")
    due = newest_due(spec, START, START + timedelta(days=400, seconds=30))
    assert due is not None
    assert due.at == START + timedelta(days=400)
    assert due.missed == MISSED_MAX


@pytest.mark.parametrize(
    "spec",
    [
        ScheduleSpec(),
        ScheduleSpec(preset=Preset.DAILY, cron="0 0 * * *"),
        ScheduleSpec(cron="0 0 * *"),
        ScheduleSpec(cron="0 0 0 * * *"),
        ScheduleSpec(cron="61 0 * * *"),
        ScheduleSpec(cron="0 0 31 2 *"),
        ScheduleSpec(cron="0 0 * * *", time_zone="Mars/Olympus"),
        ScheduleSpec(cron="0 0 * * *", time_zone="../etc/passwd"),
    ],
)
def test_timing_that_cannot_be_read_is_refused_with_a_hint(spec: ScheduleSpec) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_timing(spec)
    assert caught.value.hint
