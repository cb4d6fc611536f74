"""The command line before typer sees it: options that may stand anywhere are moved to the front.

`perdure snapshot list -o json --target HOST:PORT` and the same with the options first are one
command. typer knows only the second order. Nothing behind `--` is touched: it is redis-server's.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONG = ("--target", "--output")
_SHORT = "-o"


def hoist_global_options(argv: Sequence[str]) -> list[str]:
    """Return `argv` with the global options, and their values, before everything else.

    A global option that lacks its value is left as the last word, so that typer reports just that.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv[:end])
    for word in words:
        if word in (*_LONG, _SHORT):
            value = next(words, None)
            if value is None:
                return [*front, word]
            front += [word, value]
        elif word.startswith(tuple(f"{name}=" for name in _LONG)):
            front.append(word)
        elif word.startswith(_SHORT) and not word.startswith("--"):
            front += [_SHORT, word.removeprefix(_SHORT).removeprefix("=")]
        else:
            rest.append(word)
    return front + rest + list(argv[end:])


def first_verb(argv: Sequence[str]) -> str | None:
    """Return the first word of hoisted `argv` that is not a global option; None when none is."""
    words = iter(argv)
    for word in words:
        if word in (*_LONG, _SHORT):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None
