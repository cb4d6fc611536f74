"""Waiting for an operation: the progress bar, and what Ctrl-C means.

The bar goes to stderr and only on a terminal. An interrupted wait does not cancel the work: the
command says how to look at it and how to cancel it, and ends with CANCELLED.
"""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from perdure import verbs
from perdure.cli.session import Session
from perdure.cli.show import show_enum
from perdure.control.v1.operation_metadata_pb2 import OperationMetadata
from perdure.errors import PerdureError
from perdure.names import short_id


def wait_for(session: Session, operation: verbs.Operation) -> verbs.Operation:
    """Wait until `operation` has ended, showing its progress; return it, failed or not."""
    bar = _Bar(session)
    try:
        with bar, session.client() as client:
            return client.run(verbs.wait_operation(operation, bar.show))
    except KeyboardInterrupt as interrupt:
        name = short_id(operation.name)
        raise PerdureError(
            "WAIT_INTERRUPTED",
            f"stopped waiting; the operation {name} goes on in the server",
            status="CANCELLED",
            hint=f"perdure operation get {name}, or to stop it: perdure operation cancel {name}",
        ) from interrupt


class _Bar:
    """A bar for each phase that the operation goes through."""

    def __init__(self, session: Session) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=session.err,
            disable=not session.err.is_terminal,
            transient=session.is_json,
        )
        self._phase = OperationMetadata.PHASE_UNSPECIFIED
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._progress.stop()

    def show(self, operation: verbs.Operation) -> None:
        """Show the operation as it stands."""
        metadata = verbs.metadata_of(operation)
        if metadata.phase != self._phase:
            self._finish()
            self._phase = metadata.phase
            if metadata.phase != OperationMetadata.PHASE_UNSPECIFIED:
                label = show_enum(_phase_name(metadata.phase))
                self._task = self._progress.add_task(label, total=None, amount="")
        if self._task is not None and metadata.HasField("progress"):
            done, total = metadata.progress.done, metadata.progress.total or None
            amount = f"{done / total:.0%}" if total else ""
            self._progress.update(self._task, completed=done, total=total, amount=amount)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1, total=1, amount="")
            self._progress.stop_task(self._task)
            self._task = None


def _phase_name(phase: OperationMetadata.Phase.ValueType) -> str:
    """Return the phase's name; one that this client does not know is shown by its number."""
    if phase in OperationMetadata.Phase.values():
        return OperationMetadata.Phase.Name(phase)
    return f"PHASE_{phase}"
