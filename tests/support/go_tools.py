"""Programs that `make packages` builds with Go, by name and version; the Makefile has the same.

They stand outside the clone, so that a second clone builds nothing. A missing one is an error, not
a skipped test.
"""

from __future__ import annotations

import os
from pathlib import Path

VERSITYGW = "versitygw-1.8.0"
GRPCURL = "grpcurl-1.9.4"


def go_tool(name: str) -> Path:
    """Return the path of a built program."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "perdure" / "bin" / name
    if not path.is_file():
        message = f"{path} is not there: run `make packages`"
        raise FileNotFoundError(message)
    return path
