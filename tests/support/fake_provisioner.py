"""A world of processes in memory behind our Provisioner protocol; it outlives a crash of its user.

A process is held, running or ended. `server_gone` is what a SIGKILL of the launching server does to
them: those that are held end. What a clone would load is read from its fake RDB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sidecar.clone_record import CloneFolder, ProcessMark
from sidecar.errors import CloneFailedError
from sidecar.provisioner import Readiness, ServerSpec
from tests.support.fake_engine import load_fake

HELD, RUNNING = "held", "running"


@dataclass
class FakeProvisioner:
    """Scripted faults: `fail_launch`, `is_slow` (never ready), `lost_keys`, `ends_at_once`."""

    states: dict[ProcessMark, str] = field(default_factory=dict)
    specs: list[ServerSpec] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)
    fail_launch: bool = False
    is_slow: bool = False
    lost_keys: int = 0
    ends_at_once: str = ""

    async def launch(self, spec: ServerSpec) -> ProcessMark:
        if self.fail_launch:
            raise CloneFailedError("no process can be made")
        mark = ProcessMark(1000 + len(self.states), 1, "boot")
        spec.folder.log.write_text("starting\nError: it is only a test\n")
        self.states[mark] = HELD
        self.specs.append(spec)
        return mark

    async def release(self, mark: ProcessMark) -> None:
        self.states[mark] = self.ends_at_once or RUNNING

    async def find_ready(self, folder: CloneFolder, mark: ProcessMark) -> Readiness | None:
        if self.is_slow or self.states[mark] != RUNNING:
            return None
        keys = len(load_fake(folder.rdb)) - self.lost_keys
        return Readiness({"resp": "127.0.0.1:1", "control": "127.0.0.1:2"}, "c" * 32, keys)

    def find_end(self, mark: ProcessMark) -> str | None:
        state = self.states.get(mark, "is gone")
        return None if state in {HELD, RUNNING} else state

    async def end(self, mark: ProcessMark, patience_seconds: float) -> None:
        self.patience.append(patience_seconds)
        self.states[mark] = "was ended"

    def server_gone(self) -> None:
        """End what was never released."""
        self.states = {m: "ended" if s == HELD else s for m, s in self.states.items()}

    def crash(self, mark: ProcessMark) -> None:
        """Let a clone's process end by itself."""
        self.states[mark] = "was ended by SIGKILL"

    @property
    def alive(self) -> list[ProcessMark]:
        """Return what has not ended."""
        return [mark for mark, state in self.states.items() if state in {HELD, RUNNING}]


def folders_below(data_dir: Path) -> list[str]:
    """Return the names of the clones' folders."""
    folder = data_dir / "clones"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
