"""The rows of the throughput table: which command, how deep a pipeline, on which data.

A row with a floor is one that the project is judged by; the others are for information. Adding a
row? Give it here; nothing else knows them by name but `floors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bench import fillings
from bench.fillings import Filling

CLIENTS = 50
KEYS = 1_000_000
QUICK_DIVISOR = 50
STAGES = ("bytes", "save", "load", "fork", "big-fork")


@dataclass(frozen=True)
class Row:
    """One way to run redis-benchmark: by the name of its test, or by a command of its own."""

    verb: str
    pipeline: int
    requests: int
    filling: Filling
    keys: int = KEYS
    is_refilled: bool = False  # the row empties or grows its data: fill before each run
    words: tuple[str, ...] = ()  # the command, where the tool's own test does more than it
    name: str = ""

    @property
    def id(self) -> str:
        """Name on the command line: `set-16`."""
        return f"{self.name or self.verb.lower()}-{self.pipeline}"

    @property
    def title(self) -> str:
        """Name in the tables: `SET P=16`."""
        return f"{(self.name or self.verb).upper()} P={self.pipeline}"

    def arguments(self) -> list[str]:
        """Give the arguments of redis-benchmark, the server's port excepted."""
        test = [] if self.words else ["-t", self.verb.lower()]
        return [
            *test,
            *("-n", str(self.requests), "-P", str(self.pipeline), "-c", str(CLIENTS)),
            *("-d", str(fillings.VALUE_BYTES), "-r", str(self.keys), "--csv"),
            *self.words,
        ]


ROWS = (
    *(Row(verb, 1, 300_000, fillings.STRINGS) for verb in ("SET", "GET")),
    *(Row(verb, 16, 2_000_000, fillings.STRINGS) for verb in ("SET", "GET")),
    *(Row(verb, 64, 4_000_000, fillings.STRINGS) for verb in ("SET", "GET")),
    Row("MSET", 16, 200_000, fillings.STRINGS),
    Row("INCR", 16, 2_000_000, fillings.COUNTERS),
    Row("HSET", 16, 2_000_000, fillings.HASH),
    Row("LPUSH", 16, 2_000_000, fillings.NO_LIST, is_refilled=True),
    Row(
        "LRANGE",
        16,
        200_000,
        fillings.LIST,
        words=("LRANGE", "mylist", "0", "99"),
        name="lrange_100",
    ),
    Row("RPOP", 16, 1_000_000, fillings.LIST, is_refilled=True),
    Row("SADD", 16, 2_000_000, fillings.SET),
    Row("SPOP", 16, 1_000_000, fillings.SET, is_refilled=True),
    Row("ZADD", 16, 2_000_000, fillings.SORTED_SET),
    Row("ZPOPMIN", 16, 1_000_000, fillings.SORTED_SET, is_refilled=True),
)


def chosen_rows(patterns: Sequence[str], *, is_quick: bool) -> list[Row]:
    """Give the rows whose id matches one of the patterns (all without), smaller when quick."""
    found = [row for row in ROWS if _is_chosen(row.id, patterns)]
    return [quick(row) for row in found] if is_quick else found


def chosen_stages(patterns: Sequence[str]) -> set[str]:
    """Give the persistence stages that match one of the patterns, all without."""
    return {stage for stage in STAGES if _is_chosen(stage, patterns)}


def unmatched(patterns: Sequence[str]) -> list[str]:
    """Give the patterns that name nothing, so that a slip does not measure nothing."""
    known = [*(row.id for row in ROWS), *STAGES]
    return [word for word in patterns if not any(fnmatchcase(name, word) for name in known)]


def quick(row: Row) -> Row:
    """Shrink a row to a trial: its figures mean nothing, its way is the same."""
    requests, keys = row.requests // QUICK_DIVISOR, row.keys // QUICK_DIVISOR
    return replace(row, requests=requests, keys=keys)


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
