"""`perdure backend`: which backends there are, and whether they keep the storage contract."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure import verbs
from perdure.cli.options import FilterOption, NoWait
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_count, show_duration, show_enum, show_size, show_time
from perdure.cli.snapshot import print_started
from perdure.cli.waiting import wait_for
from perdure.control.v1.backend_pb2 import Backend, BackendCheck, BackendReport
from perdure.errors import PerdureError
from perdure.names import short_id

app = typer.Typer(no_args_is_help=True, help="Where snapshots are stored.")


@app.command("list")
def list_backends(context: typer.Context, filter_text: FilterOption = "") -> None:
    """List the configured backends."""
    session = session_of(context)
    backends = session.run(verbs.list_backends(filter_text))
    if session.is_json:
        session.print_list("backends", backends)
        return
    session.print_table(
        ("ID", "TYPE", "STATE", "SNAPSHOTS", "STORED", "WAITING", "NEXT RETRY", "LOCATION"),
        (
            (
                short_id(backend.name),
                backend.type,
                show_enum(Backend.State.Name(backend.state)),
                show_count(backend.snapshot_count),
                show_size(backend.stored_size_bytes),
                show_count(backend.pending_snapshot_count),
                show_time(backend.next_retry_time),
                backend.location,
            )
            for backend in backends
        ),
    )


@app.command("check")
def check_backend(
    context: typer.Context,
    backend: Annotated[
        str, typer.Argument(metavar="BACKEND", help="A backend: its id, or backends/ID.")
    ],
    *,
    no_wait: NoWait = False,
) -> None:
    """Try what every backend must keep.

    The conformance suite writes and reads under a name of its own, and cleans up behind itself.
    """
    session = session_of(context)
    operation = session.run(verbs.check_backend(backend))
    if no_wait:
        print_started(session, operation)
        return
    report = verbs.backend_report_of(wait_for(session, operation))
    _print(session, report)
    if not report.passed:
        failed = sum(check.outcome == BackendCheck.OUTCOME_FAILED for check in report.checks)
        error = PerdureError(
            "BACKEND_CHECK_FAILED",
            f"{report.backend} breaks {failed} of its promises",
            hint="do not keep snapshots on it before the failed checks are understood",
        )
        error.of_operation = True
        raise error


def _print(session: Session, report: BackendReport) -> None:
    if session.is_json:
        session.print_message(report)
        return
    session.print_table(
        ("CHECK", "OUTCOME", "TOOK", "DETAIL"),
        (
            (
                check.id,
                show_enum(BackendCheck.Outcome.Name(check.outcome)),
                show_duration(check.duration),
                check.detail,
            )
            for check in report.checks
        ),
    )
