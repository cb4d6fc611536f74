"""Is there room for one more clone: how many there may be, and what memory and disk it takes.

Estimates, as those of a restore; what clones that are still being made will take is counted, since
the machine does not show it yet. A refusal comes before anything is made.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sidecar.clone_seed import Source
from sidecar.engine_port import EnginePort, EngineState
from sidecar.errors import EngineNotReadyError, ExhaustedError
from sidecar.model import Compression
from sidecar.restore_plan import available_memory_bytes, live_keys

# An empty server: about 96 MiB resident were seen, most of it Python and gRPC.
PROCESS_BYTES = 128 << 20
DISK_SLACK_BYTES = 16 << 20
_LIVE_BYTES_A_KEY_MIN = 64


@dataclass(frozen=True, slots=True)
class Needs:
    """What a clone is going to take."""

    memory_bytes: int
    disk_bytes: int

    def __add__(self, other: Needs) -> Needs:
        """Return what two of them take."""
        return Needs(self.memory_bytes + other.memory_bytes, self.disk_bytes + other.disk_bytes)


NOTHING = Needs(0, 0)


class CloneRoom:
    """Knows the bounds."""

    def __init__(self, engine: EnginePort, folder: Path, count_max: int) -> None:
        self._engine = engine
        self._folder = folder
        self._count_max = count_max

    def estimate(self, source: Source, *, is_on_disk: bool) -> Needs:
        """Return what a clone takes; `is_on_disk`: the payload gets a second name, no copy."""
        if source.copy is None:
            if self._engine.state is not EngineState.READY:
                raise EngineNotReadyError(
                    f"the engine is {self._engine.state.value}",
                    hint="Wait until it serves: perdure status",
                )
            stats = self._engine.stats()
            used = stats.get("used_memory_bytes")
            size = max(
                used if isinstance(used, int) else 0, live_keys(stats) * _LIVE_BYTES_A_KEY_MIN
            )
            return Needs(PROCESS_BYTES + size, DISK_SLACK_BYTES + 2 * size)
        manifest = source.copy.manifest
        raw = manifest.raw_size_bytes
        memory = max(manifest.verification.used_memory_bytes, raw)
        is_packed = manifest.compression is not Compression.NONE
        # Its log's base is a second copy of the data, beside what it begins with.
        disk = raw if is_on_disk else 2 * raw + is_packed * manifest.stored_size_bytes
        return Needs(PROCESS_BYTES + memory, DISK_SLACK_BYTES + disk)

    def check(self, needs: Needs, pending: Needs, count: int) -> None:
        """Raise ExhaustedError when one more is too many; `pending`: of those being made."""
        if count >= self._count_max:
            raise ExhaustedError(
                f"there are {count} clones, and no more than {self._count_max} may be",
                code="CLONES_EXHAUSTED",
                hint="Delete one (perdure clone list, perdure clone delete), or raise "
                "clones.count_max.",
                context={"count": count, "count_max": self._count_max},
            )
        total = needs + pending
        memory = available_memory_bytes()
        if total.memory_bytes > memory:
            raise ExhaustedError(
                f"the clone takes about {needs.memory_bytes} bytes of memory, those being made "
                f"{pending.memory_bytes}; {memory} are available",
                code="MEMORY_EXHAUSTED",
                hint="Delete a clone (perdure clone list), or make it on a machine with more.",
            )
        disk = shutil.disk_usage(_nearest(self._folder)).free
        if total.disk_bytes > disk:
            raise ExhaustedError(
                f"the clone takes about {needs.disk_bytes} bytes of disk, those being made "
                f"{pending.disk_bytes}; {disk} are free",
                code="DISK_FULL",
                hint="Free space there, or put clones elsewhere: clones.folder.",
            )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())
