"""The fault-injection shim (`engine/shim`) around a real process: what goes wrong at which call.

Built by cargo, nothing to do the second time. The grammar of an order stands in
`engine/shim/src/orders.rs`; an example: `fdatasync@3=EIO`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = (
    *("write", "pwrite", "fsync", "fdatasync", "rename"),
    *("open", "link", "unlink", "truncate", "any"),
)


@cache
def shim_library() -> Path:
    """Build the shim and give the library to preload."""
    command = ("cargo", "build", "--release", "--locked", "-p", "perdure-shim")
    built = subprocess.run(
        [*command, "--message-format", "json", "--manifest-path", str(ROOT / "engine/Cargo.toml")],
        stdout=subprocess.PIPE,
        check=True,
    )
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "perdure_shim":
            for name in message.get("filenames", ()):
                if name.endswith(".so"):
                    return Path(name)
    raise RuntimeError("cargo built no perdure-shim")


class Preloaded:
    """The shim on a folder: its environment, its counters and its journal."""

    def __init__(self, folder: Path, notes: Path, *orders: str) -> None:
        notes.mkdir(parents=True, exist_ok=True)
        self.counts = notes / "counts"
        self.journal = notes / "journal"
        self.environment = {
            "LD_PRELOAD": str(shim_library()),
            "PERDURE_SHIM": ";".join(
                [
                    f"below={folder.resolve()}",
                    f"counts={self.counts}",
                    f"journal={self.journal}",
                    *orders,
                ]
            ),
        }

    def count(self, kind: str) -> int:
        """Give how many calls of a kind there were."""
        at = KINDS.index(kind) * 8
        return int.from_bytes(self.counts.read_bytes()[at : at + 8], sys.byteorder)
