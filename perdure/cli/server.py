"""`perdure restore`, `perdure status` and `perdure config`: the server as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure import verbs
from perdure.cli.operation import print_operation
from perdure.cli.options import BackendOption, EtagOption, NoWait, SnapshotArgument
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_count, show_duration, show_enum, show_size, show_time
from perdure.cli.snapshot import print_started
from perdure.cli.waiting import wait_for
from perdure.control.v1.restore_pb2 import RestorePlan, RestoreResult
from perdure.control.v1.server_pb2 import Config, ServerStatus
from perdure.errors import error_from_status
from perdure.names import short_id

config_app = typer.Typer(no_args_is_help=True, help="The effective configuration.")


def restore_snapshot(
    context: typer.Context,
    snapshot: SnapshotArgument,
    backend: BackendOption = "",
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; change and fetch nothing.")
    ] = False,
    no_wait: NoWait = False,
) -> None:
    """Replace the live data with a snapshot's.

    What was there is kept as a safety snapshot.
    """
    session = session_of(context)
    call = verbs.restore_snapshot(snapshot, backend, validate_only=dry_run)
    operation = session.run(call)
    if no_wait:
        print_started(session, operation)
        return
    operation = wait_for(session, operation)
    result = verbs.restore_result_of(operation)
    if session.is_json:
        print_operation(session, operation)
    elif dry_run:
        _print_plan(session, result.plan)
    else:
        _print_result(session, result)


def show_status(context: typer.Context) -> None:
    """Show how the server does, and what could be restored right now."""
    session = session_of(context)
    status = session.run(verbs.get_server_status())
    if session.is_json:
        session.print_message(status)
        return
    engine, snapshots = status.engine, status.snapshots
    has_forked = bool(engine.last_fork_duration.ToNanoseconds())
    error = error_from_status(status.error) if status.HasField("error") else None
    newest = f"{short_id(snapshots.newest_snapshot)} {show_time(snapshots.newest_cut_time)}"
    following = f"{short_id(snapshots.next_schedule)} {show_time(snapshots.next_run_time)}"
    session.print_fields(
        (
            ("server", f"{status.server_name} ({status.server_uid})"),
            ("version", status.version),
            ("state", show_enum(ServerStatus.State.Name(status.state))),
            ("error", f"{error.code}: {error.message}" if error else ""),
            ("since", show_time(status.start_time)),
            ("data dir", status.data_dir),
            ("resp", status.endpoints.resp),
            ("data", status.endpoints.data),
            ("control", status.endpoints.control),
            ("http", status.endpoints.http),
            ("keys", show_count(engine.key_count)),
            ("memory", show_size(engine.used_memory_bytes)),
            ("clients", show_count(engine.client_count)),
            ("unsaved changes", show_count(engine.unsaved_change_count)),
            ("last save", show_time(engine.last_save_time)),
            ("last fork", show_duration(engine.last_fork_duration) if has_forked else ""),
            ("snapshots", show_count(snapshots.available_count)),
            ("newest", newest.strip()),
            ("last verified", show_time(snapshots.last_verified_time)),
            ("next", following.strip()),
            ("backends", ", ".join(short_id(backend.name) for backend in status.backends)),
            ("running", ", ".join(short_id(name) for name in status.running_operations)),
        )
    )


@config_app.command("get")
def get_config(
    context: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A glob, such as 'save*'. Without it: all.")
    ] = "",
) -> None:
    """Show directives of the engine and settings of the service."""
    session = session_of(context)
    _print_config(session, session.run(verbs.get_config(pattern)))


# A value may begin with a dash: `perdure config set NAME -1`.
@config_app.command("set", context_settings={"ignore_unknown_options": True})
def set_config(
    context: typer.Context,
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME VALUE [NAME VALUE ...]", help="Directives under Redis's names."
        ),
    ],
    etag: EtagOption = "",
) -> None:
    """Set directives of the engine until the next start, all or none."""
    session = session_of(context)
    if len(pairs) % 2:
        raise typer.BadParameter("every directive needs a value: perdure config set NAME VALUE")
    directives = dict(zip(pairs[::2], pairs[1::2], strict=True))
    _print_config(session, session.run(verbs.update_config(directives, etag)))


def _print_config(session: Session, config: Config) -> None:
    if session.is_json:
        session.print_message(config)
        return
    values = {**config.settings, **config.directives}
    if not values:
        session.say("no directive or setting has such a name")
        return
    session.print_table(("NAME", "VALUE"), sorted(values.items()))


def _print_plan(session: Session, plan: RestorePlan) -> None:
    newest_cut = show_time(plan.newest_snapshot_time)
    session.print_fields(
        (
            ("snapshot", short_id(plan.snapshot)),
            ("from", short_id(plan.backend)),
            ("goes back to", f"{show_time(plan.cut_time)} ({show_duration(plan.age)} ago)"),
            ("keys", show_count(plan.key_count)),
            ("replaces", f"{show_count(plan.replaced_key_count)} keys"),
            ("fetches", show_size(plan.payload.stored_size_bytes)),
            ("needs memory", show_size(plan.required_memory_bytes)),
            ("has memory", show_size(plan.available_memory_bytes)),
            ("needs disk", show_size(plan.required_disk_bytes)),
            ("has disk", show_size(plan.available_disk_bytes)),
            ("newest snapshot", f"{short_id(plan.newest_snapshot)} {newest_cut}".strip()),
        )
    )
    for problem in plan.problems:
        session.say(f"in the way: {problem.message} ({problem.code}); {problem.hint}")
    if not plan.problems:
        session.say("nothing is in the way; what it replaces will be kept as a safety snapshot")


def _print_result(session: Session, result: RestoreResult) -> None:
    session.print_fields(
        (
            ("restored", short_id(result.plan.snapshot)),
            ("at", show_time(result.restored_time)),
            ("keys", show_count(result.key_count)),
            ("expired meanwhile", show_count(result.expired_key_count)),
            ("replaced", f"{show_count(result.replaced_key_count)} keys"),
            ("writes waited", show_duration(result.pause_duration)),
            ("safety snapshot", short_id(result.safety_snapshot)),
        )
    )
    if result.safety_snapshot:
        session.say(f"to undo: perdure restore {short_id(result.safety_snapshot)}")
