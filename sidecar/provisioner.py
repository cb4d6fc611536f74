"""What makes and ends a clone's process: the seam for other places than this host.

`sidecar.local_provisioner` is the one implementation. A launched process is held: it does nothing
until it is released, which happens after its mark was recorded durably, and it ends by itself when
whoever launched it is gone before that. So there is never a process that no record names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sidecar.clone_record import CloneFolder, ProcessMark


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What a clone's server is told."""

    folder: CloneFolder
    server_name: str
    bind: tuple[str, ...]
    is_insecure: bool
    start_timeout_seconds: float
    lease_grace_seconds: float
    directives: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a server says once it serves."""

    endpoints: Mapping[str, str]  # by door
    server_uid: str
    keys: int


class Provisioner(Protocol):
    """Makes and ends processes. Every failure is a PerdureError."""

    async def launch(self, spec: ServerSpec) -> ProcessMark:
        """Make a process that is held; nothing is left of it after an error."""
        ...

    async def release(self, mark: ProcessMark) -> None:
        """Let it go on."""
        ...

    async def find_ready(self, folder: CloneFolder, mark: ProcessMark) -> Readiness | None:
        """Return what it says once it serves; None until then."""
        ...

    def find_end(self, mark: ProcessMark) -> str | None:
        """Return how it ended, as the end of a sentence; None while it runs. Does not block."""
        ...

    async def end(self, mark: ProcessMark, patience_seconds: float) -> None:
        """Ask it to end, and end it when it has not within the time. Idempotent."""
        ...
