"""Options and arguments that several verbs share, so that they read alike everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from perdure.control.v1 import compression_pb2

NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Return at once with the operation, and let it go on."),
]
SnapshotArgument = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="A snapshot: its id, or snapshots/ID.")
]
ScheduleArgument = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="A schedule: its id, or schedules/ID.")
]
OperationArgument = Annotated[
    str, typer.Argument(metavar="OPERATION", help="An operation: its id, or operations/ID.")
]
BackendOption = Annotated[
    str, typer.Option("--backend", metavar="BACKEND", help="Only the copy on this backend.")
]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="BACKEND",
        help="Store on this backend; may be said again. Without it: on every backend.",
    ),
]


FilterOption = Annotated[
    str,
    typer.Option("--filter", help="Terms that must hold, such as: state = STATE_DOWN AND ..."),
]
EtagOption = Annotated[
    str,
    typer.Option("--etag", help="Only if nothing has changed since this was shown (-o json)."),
]


class CompressionChoice(StrEnum):
    """How a payload is packed."""

    NONE = "none"
    ZSTD = "zstd"


CompressionOption = Annotated[
    CompressionChoice | None,
    typer.Option("--compression", help="How to pack the payload. Without it: as configured."),
]


def compression_of(choice: CompressionChoice | None) -> compression_pb2.Compression.ValueType:
    """Return the wire's value for a choice."""
    match choice:
        case None:
            return compression_pb2.COMPRESSION_UNSPECIFIED
        case CompressionChoice.NONE:
            return compression_pb2.COMPRESSION_NONE
        case CompressionChoice.ZSTD:
            return compression_pb2.COMPRESSION_ZSTD
