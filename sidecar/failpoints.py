"""Named places where a test can kill, fail or hold the control plane.

`PERDURE_FAILPOINTS="name=kill;name2=error:ENOSPC;name3=pause:FILE"` is read once, at import;
without it a hit costs one dictionary look-up. `kill@3` is the third hit. The engine reads the same
variable for its own names. Every name is listed in `docs/operations/failpoints.md`.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

_PAUSE_POLL_SECONDS = 0.01
_KILL = re.compile(r"kill(?:@([1-9][0-9]*))?")


def parse_failpoints(text: str) -> dict[str, str]:
    """Return action by name; raise ValueError on anything that is not `name=action`."""
    actions: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, separator, action = part.partition("=")
        kind, _, argument = action.partition(":")
        is_sound = (
            _KILL.fullmatch(action) is not None
            or (kind == "error" and hasattr(errno, argument))
            or (kind == "pause" and argument != "")
        )
        if not separator or not name or not is_sound:
            wanted = "name=kill, name=kill@N, name=error:ERRNO, name=pause:FILE"
            message = f"bad failpoint {part!r}: want {wanted}"
            raise ValueError(message)
        actions[name] = action
    return actions


_ACTIONS = parse_failpoints(os.environ.get("PERDURE_FAILPOINTS", ""))
_KILL_HITS = {name: itertools.count(1) for name in _ACTIONS}
_OBSERVERS: list[Callable[[str], None]] = []


def hit(name: str) -> None:
    """Do what was asked for at this name; nothing, nearly always."""
    for observer in _OBSERVERS:
        observer(name)
    action = _ACTIONS.get(name)
    if action is None:
        return
    killing = _KILL.fullmatch(action)
    if killing and next(_KILL_HITS[name]) >= int(killing[1] or 1):
        os.kill(os.getpid(), signal.SIGKILL)
    kind, _, argument = action.partition(":")
    if kind == "error":
        number = int(getattr(errno, argument))
        raise OSError(number, os.strerror(number), f"failpoint {name}")
    if kind == "pause":
        marker = Path(argument)
        marker.touch()
        while marker.exists():  # holds this thread on purpose: the point is to be caught here
            time.sleep(_PAUSE_POLL_SECONDS)


def is_pause(name: str) -> bool:
    """Return whether a hit would hold its thread."""
    return _ACTIONS.get(name, "").startswith("pause:")


def add_observer(observer: Callable[[str], None]) -> Callable[[], None]:
    """Call `observer` with each name hit, in tests; return what removes it again."""
    _OBSERVERS.append(observer)
    return lambda: _OBSERVERS.remove(observer)
