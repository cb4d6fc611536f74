"""Where the data set is on the disk, and whether something is there.

Only names: what is in the files, which of them counts and whether it is whole is the engine's
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataSetFiles:
    """Where the data set is: paths that are absolute, or relative to the data dir."""

    rdb: Path = Path("dump.rdb")
    log: Path = Path("appendonlydir/appendonly.aof.manifest")
    old_log: Path = Path("appendonly.aof")  # one file, as Redis 6 and older have it
    is_logging: bool = False

    def below(self, data_dir: Path) -> DataSetFiles:
        """Return them with the data dir before those that are relative."""
        rdb, log, old_log = (data_dir / path for path in (self.rdb, self.log, self.old_log))
        return DataSetFiles(rdb, log, old_log, self.is_logging)

    def has_log(self) -> bool:
        """Tell whether there is a log, whatever `appendonly` says."""
        return self.log.exists() or self.old_log.exists()

    def has_data(self) -> bool:
        """Tell whether there is something that the engine will load."""
        return self.rdb.exists() or (self.is_logging and self.has_log())
