"""`perdure schedule`: when snapshots are taken by themselves, and which of them are kept."""

# ruff: noqa: PLR0917, FBT001  # typer: one parameter an option

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from perdure import verbs
from perdure.cli.operation import print_operation
from perdure.cli.options import (
    BackendsOption,
    CompressionChoice,
    CompressionOption,
    EtagOption,
    FilterOption,
    NoWait,
    ScheduleArgument,
    compression_of,
)
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_duration, show_enum, show_time
from perdure.cli.snapshot import print_started
from perdure.cli.waiting import wait_for
from perdure.control.v1 import compression_pb2
from perdure.control.v1.schedule_pb2 import RetentionPolicy, Schedule
from perdure.errors import error_from_status
from perdure.names import Collection, full_name, short_id

app = typer.Typer(no_args_is_help=True, help="Recurring snapshots.")

_SPAN = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class PresetChoice(StrEnum):
    """Timings with a name."""

    HOURLY = "hourly"
    EVERY_12H = "every-12h"
    DAILY = "daily"


def parse_span(text: str) -> timedelta:
    """Return the span that `90m`, `36h`, `30d` or `1d12h` says.

    Raises:
        typer.BadParameter: it is none of these.
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is not a span such as 90m, 36h, 30d or 1d12h")
    return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts))


PresetOption = Annotated[
    PresetChoice | None, typer.Option("--preset", help="A ready timing; this or --cron.")
]
CronOption = Annotated[
    str | None,
    typer.Option(
        "--cron", help="Five fields: minute, hour, day of month, month, weekday; or --preset."
    ),
]
ZoneOption = Annotated[
    str | None,
    typer.Option("--time-zone", help="The IANA zone to read the timing in. Without it: UTC."),
]
KeepLastOption = Annotated[
    int | None, typer.Option("--keep-last", min=1, help="Keep this many of the newest.")
]
KeepWithinOption = Annotated[
    str | None, typer.Option("--keep-within", help="Keep what is younger, such as 36h or 30d.")
]
KeepLastOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-last-on",
        metavar="BACKEND=N",
        help="On this backend, keep this many instead; may be said again.",
    ),
]
KeepWithinOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-within-on",
        metavar="BACKEND=SPAN",
        help="On this backend, keep what is younger instead; may be said again.",
    ),
]
SameOnAllOption = Annotated[
    bool,
    typer.Option("--same-on-all", help="Keep on every backend what --keep-* without -on says."),
]
PausedOption = Annotated[
    bool | None, typer.Option("--paused/--not-paused", help="Whether it is never due.")
]


@app.command("create")
def create_schedule(
    context: typer.Context,
    schedule: Annotated[str, typer.Argument(metavar="ID", help="Its id, such as nightly.")],
    preset: PresetOption = None,
    cron: CronOption = None,
    time_zone: ZoneOption = None,
    backend: BackendsOption = None,
    keep_last: KeepLastOption = None,
    keep_within: KeepWithinOption = None,
    keep_last_on: KeepLastOnOption = None,
    keep_within_on: KeepWithinOnOption = None,
    compression: CompressionOption = None,
    *,
    paused: PausedOption = None,
) -> None:
    """Make a schedule."""
    session = session_of(context)
    wanted, _ = _read_options(
        preset, cron, time_zone, backend, keep_last, keep_within, compression, paused
    )
    _read_by_backend(wanted, keep_last_on, keep_within_on)
    if wanted.WhichOneof("timing") is None:
        raise typer.BadParameter("say when: --preset hourly|every-12h|daily, or --cron LINE")
    _print(session, session.run(verbs.create_schedule(schedule, wanted)))


@app.command("update")
def update_schedule(
    context: typer.Context,
    schedule: ScheduleArgument,
    preset: PresetOption = None,
    cron: CronOption = None,
    time_zone: ZoneOption = None,
    backend: BackendsOption = None,
    keep_last: KeepLastOption = None,
    keep_within: KeepWithinOption = None,
    keep_last_on: KeepLastOnOption = None,
    keep_within_on: KeepWithinOnOption = None,
    compression: CompressionOption = None,
    etag: EtagOption = "",
    *,
    same_on_all: SameOnAllOption = False,
    paused: PausedOption = None,
) -> None:
    """Change what is named; everything else stays. The `-on` options replace each other's."""
    session = session_of(context)
    wanted, fields = _read_options(
        preset, cron, time_zone, backend, keep_last, keep_within, compression, paused
    )
    _read_by_backend(wanted, keep_last_on, keep_within_on)
    if same_on_all and wanted.backend_retention:
        raise typer.BadParameter("--same-on-all and the -on options exclude each other")
    if same_on_all or wanted.backend_retention:
        fields.append("backend_retention")
    if not fields:
        raise typer.BadParameter("say what to change, such as --keep-last 7")
    wanted.name = full_name(Collection.SCHEDULES, schedule)
    wanted.etag = etag
    _print(session, session.run(verbs.update_schedule(wanted, fields)))


@app.command("list")
def list_schedules(context: typer.Context, filter_text: FilterOption = "") -> None:
    """List the schedules."""
    session = session_of(context)
    schedules = session.run(verbs.list_schedules(filter_text))
    if session.is_json:
        session.print_list("schedules", schedules)
        return
    session.print_table(
        ("ID", "WHEN", "ZONE", "KEEPS", "NEXT", "LAST", "LAST SNAPSHOT", "MISSED"),
        (
            (
                short_id(schedule.name),
                _timing(schedule),
                schedule.time_zone,
                _retention(schedule),
                "paused" if schedule.paused else show_time(schedule.next_run_time),
                show_time(schedule.last_run_time),
                short_id(schedule.last_snapshot),
                str(schedule.missed_count),
            )
            for schedule in schedules
        ),
    )


@app.command("get")
def get_schedule(context: typer.Context, schedule: ScheduleArgument) -> None:
    """Show one schedule."""
    session = session_of(context)
    _print(session, session.run(verbs.get_schedule(schedule)))


@app.command("delete")
def delete_schedule(
    context: typer.Context, schedule: ScheduleArgument, etag: EtagOption = ""
) -> None:
    """Remove a schedule. Its snapshots stay, and nothing rotates them from then on."""
    session = session_of(context)
    session.run(verbs.delete_schedule(schedule, etag))
    if session.is_json:
        session.print_json({})
        return
    session.say(f"{short_id(schedule)} is gone; its snapshots stay")


@app.command("run")
def run_schedule(
    context: typer.Context, schedule: ScheduleArgument, *, no_wait: NoWait = False
) -> None:
    """Take the schedule's snapshot now, beside its due times."""
    session = session_of(context)
    operation = session.run(verbs.run_schedule(schedule))
    if no_wait:
        print_started(session, operation)
        return
    operation = wait_for(session, operation)
    print_operation(session, verbs.result_of(operation))


def _read_options(
    preset: PresetChoice | None,
    cron: str | None,
    time_zone: str | None,
    backends: list[str] | None,
    keep_last: int | None,
    keep_within: str | None,
    compression: CompressionChoice | None,
    paused: bool | None,
) -> tuple[Schedule, list[str]]:
    """Return the schedule that the options describe, and which fields they name."""
    if preset is not None and cron is not None:
        raise typer.BadParameter("--preset and --cron exclude each other")
    wanted = Schedule()
    fields: list[str] = []
    if preset is not None:
        wanted.preset = Schedule.Preset.Value(f"PRESET_{preset.name}")
        fields.append("preset")
    if cron is not None:
        wanted.cron = cron
        fields.append("cron")
    if time_zone is not None:
        wanted.time_zone = time_zone
        fields.append("time_zone")
    if backends is not None:
        wanted.backends.extend(full_name(Collection.BACKENDS, name) for name in backends)
        fields.append("backends")
    if keep_last is not None:
        wanted.retention.keep_last = keep_last
        fields.append("retention.keep_last")
    if keep_within is not None:
        span = Duration()
        span.FromTimedelta(parse_span(keep_within))
        wanted.retention.keep_within.CopyFrom(span)
        fields.append("retention.keep_within")
    if compression is not None:
        wanted.compression = compression_of(compression)
        fields.append("compression")
    if paused is not None:
        wanted.paused = paused
        fields.append("paused")
    return wanted, fields


def _read_by_backend(
    wanted: Schedule, keep_last_on: list[str] | None, keep_within_on: list[str] | None
) -> None:
    for text in keep_last_on or ():
        backend, value = _split(text, "--keep-last-on", "s3=720")
        if not value.isdecimal() or int(value) < 1:
            raise typer.BadParameter(f"--keep-last-on {text!r}: {value!r} is no number above 0")
        key = full_name(Collection.BACKENDS, backend)
        wanted.backend_retention[key].keep_last = int(value)
    for text in keep_within_on or ():
        backend, value = _split(text, "--keep-within-on", "s3=90d")
        key = full_name(Collection.BACKENDS, backend)
        wanted.backend_retention[key].keep_within.FromTimedelta(parse_span(value))


def _split(text: str, option: str, example: str) -> tuple[str, str]:
    backend, separator, value = text.partition("=")
    if not backend or not separator or not value:
        raise typer.BadParameter(f"{option} {text!r}: say backend and value, such as {example}")
    return backend, value


def _timing(schedule: Schedule) -> str:
    if schedule.WhichOneof("timing") == "cron":
        return schedule.cron
    return show_enum(Schedule.Preset.Name(schedule.preset)).replace(" ", "-")


def _compression(schedule: Schedule) -> str:
    if schedule.compression == compression_pb2.COMPRESSION_UNSPECIFIED:
        return "as configured"
    return show_enum(compression_pb2.Compression.Name(schedule.compression))


def _retention(schedule: Schedule) -> str:
    """Say what is kept, and what on single backends: `last 24 (s3: last 720)`."""
    by_backend = [
        f"{short_id(name)}: {_rules(schedule.backend_retention[name])}"
        for name in sorted(schedule.backend_retention)
    ]
    rules = _rules(schedule.retention)
    return f"{rules} ({'; '.join(by_backend)})" if by_backend else rules


def _rules(policy: RetentionPolicy) -> str:
    rules = []
    if policy.keep_last:
        rules.append(f"last {policy.keep_last}")
    if policy.HasField("keep_within"):
        rules.append(f"within {show_duration(policy.keep_within)}")
    return " or ".join(rules) or "all"


def _print(session: Session, schedule: Schedule) -> None:
    if session.is_json:
        session.print_message(schedule)
        return
    error = error_from_status(schedule.last_error) if schedule.HasField("last_error") else None
    session.print_fields(
        (
            ("id", short_id(schedule.name)),
            ("when", _timing(schedule)),
            ("time zone", schedule.time_zone),
            ("backends", ", ".join(map(short_id, schedule.backends)) or "all"),
            ("keeps", _retention(schedule)),
            ("compression", _compression(schedule)),
            ("paused", "yes" if schedule.paused else "no"),
            ("next run", show_time(schedule.next_run_time)),
            ("last run", show_time(schedule.last_run_time)),
            ("last snapshot", short_id(schedule.last_snapshot)),
            ("last error", f"{error.code}: {error.message}" if error else ""),
            ("missed", str(schedule.missed_count)),
        )
    )
