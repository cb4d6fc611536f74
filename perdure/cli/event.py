"""`perdure event`: watch what happens in the server, as it happens."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from itertools import islice
from typing import Annotated

import typer

from perdure.cli.session import Session, session_of, to_document
from perdure.cli.show import show_enum, show_time
from perdure.cli.table import printable
from perdure.control.v1.event_pb2 import Event, EventGap, EventPosition
from perdure.errors import PerdureError
from perdure.watching import Watch, watch_events

app = typer.Typer(no_args_is_help=True, help="What happens in the server.")


@app.command("watch")
def watch(
    context: typer.Context,
    filter_text: Annotated[
        str,
        typer.Option(
            "--filter", help="Such as: severity >= SEVERITY_WARNING, or type = TYPE_BACKEND_DOWN."
        ),
    ] = "",
    after: Annotated[
        str,
        typer.Option(metavar="BOOT:SEQUENCE", help="Go on after this position, as -o json has it."),
    ] = "",
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many. Without it: never.")
    ] = None,
    *,
    from_oldest: Annotated[
        bool, typer.Option("--from-oldest", help="Begin with what the server still remembers.")
    ] = False,
) -> None:
    """Print events until interrupted.

    A line each; with -o json, a document a line.

    A lost connection is made again, and the watch goes on where it was.
    """
    session = session_of(context)
    wanted = Watch(filter_text, _position(after), from_oldest)
    with session.client() as client, closing(watch_events(client, wanted, _say_broken)) as events:
        for event in islice(events, count):
            _print(session, event)


def _say_broken(error: PerdureError) -> None:
    sys.stderr.write(f"The stream broke ({error.message}); trying again until it is back.\n")


def _position(text: str) -> EventPosition | None:
    if not text:
        return None
    boot_id, colon, sequence = text.rpartition(":")
    if not colon or not boot_id or not sequence.isdigit():
        raise PerdureError(
            "POSITION_INVALID",
            f"{text!r} is no position",
            status="INVALID_ARGUMENT",
            hint="give BOOT:SEQUENCE, from boot_id and sequence of an event",
        )
    return EventPosition(boot_id=boot_id, sequence=int(sequence))


def _print(session: Session, event: Event | EventGap) -> None:
    """Print one line, at once: who reads a pipe waits for it."""
    if session.is_json:
        kind = "event" if isinstance(event, Event) else "gap"
        line = json.dumps({kind: to_document(event)}, ensure_ascii=False)
    elif isinstance(event, Event):
        line = printable(_line(event))
    else:
        lost = str(event.lost_count) if event.HasField("lost_count") else "some"
        line = f"... {lost} events were lost: they are not remembered any more"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _line(event: Event) -> str:
    severity = (
        show_enum(Event.Severity.Name(event.severity))
        if event.severity in Event.Severity.values()
        else str(event.severity)
    )
    type_ = (
        show_enum(Event.Type.Name(event.type))
        if event.type in Event.Type.values()
        else f"type {event.type}"
    )
    parts = [show_time(event.event_time), f"{severity:<7}", f"{type_:<18}", event.resource]
    return "  ".join(part for part in (*parts, event.message) if part)
