"""`perdure snapshot`: take, list, look at, verify, delete, download and import snapshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from perdure import transfers, verbs
from perdure.cli.options import (
    BackendOption,
    BackendsOption,
    CompressionOption,
    NoWait,
    SnapshotArgument,
    compression_of,
)
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_count, show_duration, show_enum, show_size, show_time
from perdure.cli.transfer_bar import TransferBar
from perdure.cli.waiting import wait_for
from perdure.control.v1 import compression_pb2
from perdure.control.v1.snapshot_pb2 import Snapshot, Verification
from perdure.errors import PerdureError
from perdure.names import short_id

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Versions of the data set that can be restored.")


@app.command("create")
def create_snapshot(
    context: typer.Context,
    backend: BackendsOption = None,
    compression: CompressionOption = None,
    *,
    no_wait: NoWait = False,
) -> None:
    """Take a snapshot now, verify it and store it."""
    session = session_of(context)
    call = verbs.create_snapshot(backend or (), compression_of(compression))
    _end(session, session.run(call), no_wait=no_wait)


@app.command("list")
def list_snapshots(
    context: typer.Context,
    filter_text: Annotated[
        str,
        typer.Option("--filter", help="Such as: trigger = TRIGGER_MANUAL AND state = ..."),
    ] = "",
    *,
    show_deleted: Annotated[
        bool, typer.Option("--show-deleted", help="Also those that are deleted, not yet purged.")
    ] = False,
) -> None:
    """List the snapshots, newest first."""
    session = session_of(context)
    snapshots = session.run(verbs.list_snapshots(filter_text, show_deleted=show_deleted))
    if session.is_json:
        session.print_list("snapshots", snapshots)
        return
    session.print_table(
        ("ID", "CUT", "TRIGGER", "STATE", "KEYS", "STORED", "VERIFIED", "BACKENDS"),
        (_row(snapshot) for snapshot in snapshots),
    )


@app.command("get")
def get_snapshot(context: typer.Context, snapshot: SnapshotArgument) -> None:
    """Show one snapshot."""
    session = session_of(context)
    _print(session, session.run(verbs.get_snapshot(snapshot)))


@app.command("verify")
def verify_snapshot(
    context: typer.Context,
    snapshot: SnapshotArgument,
    backend: BackendOption = "",
    *,
    no_wait: NoWait = False,
) -> None:
    """Read a stored snapshot back.

    Its digest is compared and all of it is parsed.
    """
    session = session_of(context)
    _end(session, session.run(verbs.verify_snapshot(snapshot, backend)), no_wait=no_wait)


@app.command("delete")
def delete_snapshot(context: typer.Context, snapshot: SnapshotArgument) -> None:
    """Mark a snapshot deleted.

    Its bytes are purged when the grace is over.
    """
    session = session_of(context)
    deleted = session.run(verbs.delete_snapshot(snapshot))
    if session.is_json:
        session.print_message(deleted)
        return
    purge_at = show_time(deleted.purge_time)
    session.say(f"{short_id(deleted.name)} is deleted; its bytes are purged after {purge_at}")


@app.command("download")
def download_snapshot(
    context: typer.Context,
    snapshot: SnapshotArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    backend: BackendOption = "",
    *,
    stored: Annotated[
        bool, typer.Option("--stored", help="The blob as it is stored, not the .rdb in it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE when it is there.")] = False,
) -> None:
    """Write a snapshot's RDB file here.

    Its digest is checked. An interrupted download goes on where it stopped.
    """
    session = session_of(context)
    with TransferBar("download") as bar:
        call = transfers.download_snapshot(
            snapshot, file, backend=backend, is_stored=stored, is_replacing=force, on_bytes=bar.show
        )
        found = _with_files(lambda: session.run(call))
    if session.is_json:
        document = {"path": str(found.path), "size_bytes": str(found.size_bytes)}
        resumed = {"resumed_bytes": str(found.resumed_bytes)}
        session.print_json({**document, "sha256": found.sha256, **resumed})
        return
    session.say(f"{found.path}: {show_size(found.size_bytes)}, sha256 {found.sha256}")


@app.command("import")
def import_snapshot(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .rdb file.")],
    backend: BackendsOption = None,
    *,
    no_wait: NoWait = False,
) -> None:
    """Make a snapshot of an RDB file from outside.

    The file is read and parsed before it is stored; the live data is not touched.
    """
    session = session_of(context)
    with TransferBar("import") as bar:
        call = transfers.import_snapshot(file, backend or (), bar.show)
        operation = _with_files(lambda: session.run(call))
    _end(session, operation, no_wait=no_wait)


def _with_files(work: Callable[[], T]) -> T:
    """Run what reads or writes a file of the caller's; its failure is one of ours."""
    try:
        return work()
    except OSError as exc:
        raise PerdureError(
            "FILE_UNUSABLE",
            f"{exc.filename or 'the file'}: {exc.strerror or exc}",
            status="INVALID_ARGUMENT",
            hint="look at the path, its permissions and the room on its disk",
        ) from exc


def _end(session: Session, operation: verbs.Operation, *, no_wait: bool) -> None:
    """Print the operation, or wait for it and print the snapshot."""
    if no_wait:
        print_started(session, operation)
        return
    _print(session, verbs.snapshot_of(wait_for(session, operation)))


def print_started(session: Session, operation: verbs.Operation) -> None:
    """Print an operation that goes on without us."""
    if session.is_json:
        session.print_message(operation)
        return
    name = short_id(operation.name)
    session.say(f"{name} goes on; look at it with: perdure operation get {name}")


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    return (
        short_id(snapshot.name),
        show_time(snapshot.cut_time),
        show_enum(Snapshot.Trigger.Name(snapshot.trigger)),
        show_enum(Snapshot.State.Name(snapshot.state)),
        show_count(snapshot.key_count),
        show_size(snapshot.payload.stored_size_bytes),
        show_enum(Verification.Outcome.Name(snapshot.verification.outcome)),
        ", ".join(short_id(copy.backend) for copy in snapshot.copies),
    )


def _verdict(verification: Verification) -> str:
    outcome = show_enum(Verification.Outcome.Name(verification.outcome))
    return f"{outcome} {show_time(verification.verified_time)}".strip()


def _print(session: Session, snapshot: Snapshot) -> None:
    if session.is_json:
        session.print_message(snapshot)
        return
    payload = snapshot.payload
    compression = compression_pb2.Compression.Name(payload.compression)
    session.print_fields(
        (
            ("id", short_id(snapshot.name)),
            ("state", show_enum(Snapshot.State.Name(snapshot.state))),
            ("trigger", show_enum(Snapshot.Trigger.Name(snapshot.trigger))),
            ("schedule", short_id(snapshot.schedule)),
            ("due", show_time(snapshot.due_time)),
            ("cut", show_time(snapshot.cut_time)),
            ("keys", show_count(snapshot.key_count)),
            ("raw size", show_size(payload.raw_size_bytes)),
            ("stored size", show_size(payload.stored_size_bytes)),
            ("compression", show_enum(compression)),
            ("raw sha256", payload.raw_sha256),
            ("rdb version", str(snapshot.rdb_version)),
            ("fork", show_duration(snapshot.fork_duration)),
            ("verified", _verdict(snapshot.verification)),
            ("damage", snapshot.verification.detail),
            ("held", "yes" if snapshot.held else ""),
            ("purge", show_time(snapshot.purge_time)),
        )
    )
    session.print_table(
        ("BACKEND", "STATE", "VERIFIED", "PAYLOAD"),
        (
            (
                short_id(copy.backend),
                show_enum(Snapshot.State.Name(copy.state)),
                _verdict(copy.verification),
                copy.payload_key,
            )
            for copy in snapshot.copies
        ),
    )
