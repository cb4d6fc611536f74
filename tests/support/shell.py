"""Run a program to its end and check its exit code."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(
    *command: str | int | Path, code: int = 0, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command`; fail with all that it printed when it does not end with `code`."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, input=stdin
    )
    if done.returncode != code:
        raise AssertionError(
            f"{' '.join(words)} gave {done.returncode}, not {code}: {done.stdout} {done.stderr}"
        )
    return done
