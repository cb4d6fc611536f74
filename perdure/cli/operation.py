"""`perdure operation`: list, look at and cancel long-running work. It outlives a restart."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure import verbs
from perdure.cli.options import OperationArgument
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_enum, show_time
from perdure.control.v1.operation_metadata_pb2 import OperationMetadata
from perdure.errors import error_from_status
from perdure.names import short_id

app = typer.Typer(no_args_is_help=True, help="Long-running work: what runs, and how it ended.")


@app.command("list")
def list_operations(
    context: typer.Context,
    filter_text: Annotated[
        str,
        typer.Option("--filter", help="Such as: state = FAILED AND kind = KIND_RESTORE_SNAPSHOT."),
    ] = "",
    *,
    running: Annotated[bool, typer.Option("--running", help="Only those that still run.")] = False,
) -> None:
    """List the operations, newest first."""
    session = session_of(context)
    terms = [*(["done = false"] if running else []), *([filter_text] if filter_text else [])]
    operations = session.run(verbs.list_operations(" AND ".join(terms)))
    if session.is_json:
        session.print_list("operations", operations)
        return
    session.print_table(
        ("ID", "KIND", "TARGET", "STATE", "STARTED", "ENDED"),
        (_row(operation) for operation in operations),
    )


@app.command("get")
def get_operation(context: typer.Context, operation: OperationArgument) -> None:
    """Show one operation as it stands."""
    session = session_of(context)
    print_operation(session, session.run(verbs.get_operation(operation)))


@app.command("cancel")
def cancel_operation(context: typer.Context, operation: OperationArgument) -> None:
    """Ask an operation to stop. It may still end well: look at it afterwards."""
    session = session_of(context)
    session.run(verbs.cancel_operation(operation))
    after = session.run(verbs.get_operation(operation))
    if session.is_json:
        session.print_message(after)
        return
    session.say(f"{short_id(after.name)} was asked to stop; it is {_state(after)} now")


def print_operation(session: Session, operation: verbs.Operation) -> None:
    """Print one operation, its error included."""
    if session.is_json:
        session.print_message(operation)
        return
    metadata = verbs.metadata_of(operation)
    fields = [
        ("id", short_id(operation.name)),
        ("kind", show_enum(OperationMetadata.Kind.Name(metadata.kind))),
        ("target", metadata.target),
        ("state", _state(operation)),
        ("started", show_time(metadata.create_time)),
        ("ended", show_time(metadata.end_time)),
    ]
    if operation.HasField("error"):
        error = error_from_status(operation.error)
        fields += [("code", error.code), ("error", error.message), ("try", error.hint)]
    session.print_fields(fields)


def _row(operation: verbs.Operation) -> tuple[str, ...]:
    metadata = verbs.metadata_of(operation)
    return (
        short_id(operation.name),
        show_enum(OperationMetadata.Kind.Name(metadata.kind)),
        metadata.target,
        _state(operation),
        show_time(metadata.create_time),
        show_time(metadata.end_time),
    )


def _state(operation: verbs.Operation) -> str:
    if not operation.done:
        phase = verbs.metadata_of(operation).phase
        known = phase in OperationMetadata.Phase.values()
        return f"running: {show_enum(OperationMetadata.Phase.Name(phase))}" if known else "running"
    if operation.HasField("error"):
        code = error_from_status(operation.error).code
        return "cancelled" if code == "CANCELLED" else f"failed: {code}"
    return "done"
