"""`perdure clone`: other servers on the server's host, made of a snapshot or of the live data."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure import clone_verbs
from perdure.cli.options import NoWait
from perdure.cli.schedule import parse_span
from perdure.cli.session import Session, session_of
from perdure.cli.show import show_count, show_enum, show_time
from perdure.cli.snapshot import print_started
from perdure.cli.waiting import wait_for
from perdure.control.v1.clone_pb2 import Clone
from perdure.names import short_id
from perdure.verbs import result_of

app = typer.Typer(no_args_is_help=True, help="Other servers, made of this one's data.")

LOG_LINES_MAX = 8

CloneArgument = Annotated[
    str, typer.Argument(metavar="CLONE", help="A clone: its id, or clones/ID.")
]
EtagOption = Annotated[
    str, typer.Option("--etag", help="Only if the clone has not changed since it had this etag.")
]


@app.command("create")
def create_clone(  # typer: one parameter an option
    context: typer.Context,
    snapshot: Annotated[
        str,
        typer.Option("--snapshot", help="Begin with this snapshot. Without it: the newest."),
    ] = "",
    lease: Annotated[
        str,
        typer.Option("--lease", help="End and delete it so long after it is ready, such as 2h."),
    ] = "",
    backend: Annotated[
        str, typer.Option("--backend", help="Take the snapshot from this backend.")
    ] = "",
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Begin with the data that is served now.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it serves, or only begin.")
    ] = True,
) -> None:
    """Start another server with a snapshot's data.

    It has its own folder, ports and name; its schedules begin paused. It serves on when this server
    ends, until it is deleted or its lease is over.
    """
    session = session_of(context)
    if live and snapshot:
        raise typer.BadParameter("a clone begins with --snapshot or with --live, not with both")
    operation = session.run(
        clone_verbs.create_clone(
            snapshot, live=live, backend=backend, lease=parse_span(lease) if lease else None
        )
    )
    if not wait:
        print_started(session, operation)
        return
    made = clone_verbs.clone_of(wait_for(session, operation))
    _print(session, session.run(clone_verbs.get_clone(made.name)))


@app.command("list")
def list_clones(
    context: typer.Context,
    filter_text: Annotated[str, typer.Option("--filter", help="Such as: state = STATE_READY")] = "",
) -> None:
    """List the clones, newest first."""
    session = session_of(context)
    clones = session.run(clone_verbs.list_clones(filter_text))
    if session.is_json:
        session.print_list("clones", clones)
        return
    session.print_table(
        ("ID", "STATE", "BEGAN WITH", "KEYS", "REDIS", "CONTROL", "LEASE ENDS"),
        (
            (
                short_id(clone.name),
                show_enum(Clone.State.Name(clone.state)),
                short_id(clone.snapshot) or "live data",
                show_count(clone.key_count),
                clone.endpoints.resp,
                clone.endpoints.control,
                show_time(clone.lease_end_time),
            )
            for clone in clones
        ),
    )


@app.command("get")
def get_clone(context: typer.Context, clone: CloneArgument) -> None:
    """Show one clone: where it listens, or why it does not serve."""
    session = session_of(context)
    _print(session, session.run(clone_verbs.get_clone(clone)))


@app.command("renew")
def renew_clone(
    context: typer.Context,
    clone: CloneArgument,
    lease: Annotated[
        str, typer.Option("--lease", help="How long it lives from now on, such as 2h or 1d12h.")
    ],
    etag: EtagOption = "",
) -> None:
    """Give a clone a lease that begins now."""
    session = session_of(context)
    _print(session, session.run(clone_verbs.renew_clone(clone, parse_span(lease), etag)))


@app.command("delete")
def delete_clone(
    context: typer.Context,
    clone: CloneArgument,
    etag: EtagOption = "",
    *,
    no_wait: NoWait = False,
) -> None:
    """End a clone's process and remove its data."""
    session = session_of(context)
    operation = session.run(clone_verbs.delete_clone(clone, etag))
    if no_wait:
        print_started(session, operation)
        return
    ended = result_of(wait_for(session, operation))
    if session.is_json:
        session.print_message(ended)
        return
    session.say(f"{short_id(clone)} is gone, and its data with it")


def _print(session: Session, clone: Clone) -> None:
    if session.is_json:
        session.print_message(clone)
        return
    seed = show_enum(Clone.Seed.Name(clone.seed)) if clone.seed else ""
    session.print_fields(
        (
            ("clone", short_id(clone.name)),
            ("state", show_enum(Clone.State.Name(clone.state))),
            ("began with", short_id(clone.snapshot) or "live data"),
            ("of", show_time(clone.cut_time)),
            ("by", seed),
            ("keys", show_count(clone.key_count)),
            ("redis clients", clone.endpoints.resp),
            ("data api", clone.endpoints.data),
            ("control api", clone.endpoints.control),
            ("http", clone.endpoints.http),
            ("lease ends", show_time(clone.lease_end_time)),
            ("server name", clone.server_name),
            ("data dir", clone.data_dir),
            ("log", clone.log_file),
            ("process", str(clone.pid) if clone.pid else ""),
            ("failed", clone.error.message),
            *_name_lines("its log ends", clone.log_tail.splitlines()[-LOG_LINES_MAX:]),
        )
    )


def _name_lines(name: str, lines: list[str]) -> list[tuple[str, str]]:
    """Return lines as fields of which the first has the name."""
    return [(name if number == 0 else "", line) for number, line in enumerate(lines)]
