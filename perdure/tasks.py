"""Verbs that wait: start an operation, follow it to its end, and return what it made.

Each is `perdure.verbs` twice: the request, and `wait_operation`. `on_progress` hears what the
server says of the work, in the words of docs/client.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from perdure import verbs
from perdure.control.v1 import compression_pb2, operation_metadata_pb2, restore_pb2, snapshot_pb2
from perdure.steps import Call
from perdure.transfers import import_snapshot as send_file

_Metadata = operation_metadata_pb2.OperationMetadata
_Progress = operation_metadata_pb2.Progress


@dataclass(frozen=True)
class Progress:
    """How far an operation is: its phase (`write`), what is done of how many (0: nobody knows)."""

    phase: str
    done: int
    total: int
    unit: str


ProgressSink: TypeAlias = Callable[[Progress], None]


def progress_of(operation: verbs.Operation) -> Progress:
    """Return how far an operation is; its phase is empty when it has ended."""
    metadata = verbs.metadata_of(operation)
    phase = _Metadata.Phase.Name(metadata.phase).removeprefix("PHASE_").lower()
    unit = _Progress.Unit.Name(metadata.progress.unit).removeprefix("UNIT_").lower()
    return Progress(
        phase if metadata.phase else "",
        metadata.progress.done,
        metadata.progress.total,
        unit if metadata.progress.unit else "",
    )


def wait(
    operation: verbs.Operation, on_progress: ProgressSink | None = None
) -> Call[verbs.Operation]:
    """Wait until an operation has ended well, and return it.

    Raises:
        PerdureError: it failed or was cancelled (`of_operation` is set), or nobody answers.
    """

    def tell(state: verbs.Operation) -> None:
        if on_progress is not None:
            on_progress(progress_of(state))

    ended = yield from verbs.wait_operation(operation, tell)
    return verbs.result_of(ended)


def take_snapshot(
    backends: Sequence[str] = (),
    compression: compression_pb2.Compression.ValueType = compression_pb2.COMPRESSION_UNSPECIFIED,
    on_progress: ProgressSink | None = None,
) -> Call[snapshot_pb2.Snapshot]:
    """Take a snapshot, wait until it is verified and stored, and return it.

    >>> snapshot = client.snapshots.take()
    >>> snapshot.key_count
    1
    >>> snapshot.state == snapshot.STATE_AVAILABLE
    True
    """
    operation = yield from verbs.create_snapshot(backends, compression)
    return verbs.snapshot_of((yield from wait(operation, on_progress)))


def verify_snapshot(
    snapshot: str, backend: str = "", on_progress: ProgressSink | None = None
) -> Call[snapshot_pb2.Snapshot]:
    """Read a stored snapshot back, and return it with its new verdict."""
    operation = yield from verbs.verify_snapshot(snapshot, backend)
    return verbs.snapshot_of((yield from wait(operation, on_progress)))


def import_snapshot(
    path: str | os.PathLike[str],
    backends: Sequence[str] = (),
    on_progress: ProgressSink | None = None,
) -> Call[snapshot_pb2.Snapshot]:
    """Make a snapshot of an RDB file, wait until it is verified and stored, and return it."""

    def tell(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(Progress("receive", done, total, "bytes"))

    operation = yield from send_file(path, backends, tell)
    return verbs.snapshot_of((yield from wait(operation, on_progress)))


def restore(
    snapshot: str, backend: str = "", on_progress: ProgressSink | None = None
) -> Call[restore_pb2.RestoreResult]:
    """Replace the live data with a snapshot's, and return what that did.

    >>> result = client.snapshots.restore(snapshot.name)
    >>> result.key_count, result.replaced_key_count
    (1, 1)
    """
    operation = yield from verbs.restore_snapshot(snapshot, backend)
    return verbs.restore_result_of((yield from wait(operation, on_progress)))


def plan_restore(snapshot: str, backend: str = "") -> Call[restore_pb2.RestorePlan]:
    """Return what a restore would do and lose; nothing is changed."""
    operation = yield from verbs.restore_snapshot(snapshot, backend, validate_only=True)
    return verbs.restore_result_of((yield from wait(operation))).plan
