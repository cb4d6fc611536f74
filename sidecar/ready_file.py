"""The ready file: written once everything serves, so that a script knows when and where.

JSON with `pid`, `ports` and `addresses` by door (`resp`, `data`, `control`, `http`), `server_uid`
(null while it is unknown) and `keys`, the number of keys that were loaded. It appears
whole or not at all, and is removed when the server leaves by itself, or at the next start after a
kill. It promises nothing across a
crash of the machine, so it is not made durable and I4 does not apply.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from sidecar.errors import ConfigError

_log = structlog.get_logger(__name__)


def write_ready_file(
    path: Path,
    ports: Mapping[str, int],
    addresses: Mapping[str, str],
    facts: Mapping[str, object],
) -> None:
    """Write the file in one step.

    Raises:
        ConfigError: it cannot be written where it is wanted.
    """
    document = {"pid": os.getpid(), "ports": dict(ports), "addresses": dict(addresses), **facts}
    text = json.dumps(document, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.rename(path)
    except OSError as exc:
        raise ConfigError(
            f"the ready file {path} cannot be written: {exc}",
            hint="name a file in a folder that the server may write to",
            context={"path": str(path)},
        ) from exc


def remove_ready_file(path: Path) -> None:
    """Remove the file; one that is gone already is fine, one that stays is said."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        _log.warning("ready_file_not_removed", path=str(path), error=str(exc))
