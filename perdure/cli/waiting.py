"""Waiting for an operation: the progress bar, and what Ctrl-C means.

The bar goes to stderr and only on a terminal, and is gone when the work has ended: what is printed
then says more. Rich is imported when there is a bar to draw. An interrupted wait does not cancel
the work: the command says how to look at it and how to cancel it, and ends with CANCELLED.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from perdure import verbs
from perdure.cli.session import Session
from perdure.cli.show import show_enum
from perdure.control.v1.operation_metadata_pb2 import OperationMetadata
from perdure.errors import PerdureError
from perdure.names import short_id

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PHASES_UNSHOWN = (OperationMetadata.PHASE_UNSPECIFIED, OperationMetadata.PHASE_QUEUED)


def wait_for(session: Session, operation: verbs.Operation) -> verbs.Operation:
    """Wait until `operation` has ended, showing its progress; return it, failed or not."""
    bar, name = _Bar(), short_id(operation.name)
    try:
        with session.client() as client, bar:
            return client.run(verbs.wait_operation(operation, bar.show))
    except PerdureError as error:
        if error.code == "SERVER_UNREACHABLE":
            error.message += f" any more; it was at work on the operation {name}"
            error.hint = f"start it again; how it ended says: perdure operation get {name}"
        raise
    except KeyboardInterrupt as interrupt:
        raise PerdureError(
            "WAIT_INTERRUPTED",
            f"stopped waiting; the operation {name} goes on in the server",
            status="CANCELLED",
            hint=f"perdure operation get {name}, or to stop it: perdure operation cancel {name}",
        ) from interrupt


class _Bar:
    """A bar for each phase that the operation goes through."""

    def __init__(self) -> None:
        self._progress = _new_progress() if sys.stderr.isatty() else None
        self._phase = OperationMetadata.PHASE_UNSPECIFIED
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, operation: verbs.Operation) -> None:
        """Show the operation as it stands."""
        if self._progress is None:
            return
        metadata = verbs.metadata_of(operation)
        if metadata.phase != self._phase:
            self._finish(self._progress)
            self._phase = metadata.phase
            if metadata.phase not in _PHASES_UNSHOWN:
                label = show_enum(_phase_name(metadata.phase))
                self._task = self._progress.add_task(label, total=None, amount="")
        if self._task is not None and metadata.HasField("progress"):
            done, total = metadata.progress.done, metadata.progress.total or None
            amount = f"{done / total:.0%}" if total else ""
            self._progress.update(self._task, completed=done, total=total, amount=amount)

    def _finish(self, progress: Progress) -> None:
        if self._task is not None:
            progress.update(self._task, completed=1, total=1, amount="")
            progress.stop_task(self._task)
            self._task = None


def _new_progress() -> Progress:
    from rich.console import Console  # noqa: PLC0415  # 50 ms that few commands need
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )


def _phase_name(phase: OperationMetadata.Phase.ValueType) -> str:
    """Return the phase's name; one that this client does not know is shown by its number."""
    if phase in OperationMetadata.Phase.values():
        return OperationMetadata.Phase.Name(phase)
    return f"PHASE_{phase}"
