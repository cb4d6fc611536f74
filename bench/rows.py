"""The rows of the throughput table: which command, how deep a pipeline, on which data.

A row with a floor is one that the project is judged by; the others are for information. Adding a
row? Give it here; nothing else knows them by name but `floors.py`. Rows with a log stand apart:
their servers run with `appendonly yes`, those of all others with `appendonly no`.
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
ALWAYS, EVERYSEC, NO = "always", "everysec", "no"  # of `appendfsync`
STAGES = ("bytes", "save", "load", "fork", "big-fork")
LOG_STAGES = ("replay", "rewrite")
CALLS = "calls"  # all rows over gRPC together


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
    policy: str = ""  # `appendfsync` of a row with a log; none is `appendonly no`
    clients: int = CLIENTS

    @property
    def id(self) -> str:
        """Name on the command line: `set-16`, `always-c50` by its clients, `everysec-16`."""
        if self.policy == ALWAYS:
            return f"{self.policy}-c{self.clients}"
        return f"{self.policy or self.name or self.verb.lower()}-{self.pipeline}"

    @property
    def title(self) -> str:
        """Name in the tables: `SET P=16`, `SET always, 50 clients`."""
        if self.policy == ALWAYS:
            return f"{self.verb} always, {self.clients} client{'s' * (self.clients > 1)}"
        words = ((self.name or self.verb).upper(), self.policy, f"P={self.pipeline}")
        return " ".join(word for word in words if word)

    def arguments(self) -> list[str]:
        """Give the arguments of redis-benchmark, the server's port excepted."""
        test = [] if self.words else ["-t", self.verb.lower()]
        return [
            *test,
            *("-n", str(self.requests), "-P", str(self.pipeline), "-c", str(self.clients)),
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

LOG_ROWS = (
    Row("SET", 1, 15_000, fillings.STRINGS, policy=ALWAYS, clients=1),
    Row("SET", 1, 200_000, fillings.STRINGS, policy=ALWAYS),
    Row("SET", 1, 200_000, fillings.STRINGS, policy=ALWAYS, clients=200),
    Row("SET", 1, 200_000, fillings.STRINGS, policy=EVERYSEC),
    Row("SET", 16, 5_000_000, fillings.STRINGS, policy=EVERYSEC),  # some seconds: some fsyncs
    Row("SET", 1, 200_000, fillings.STRINGS, policy=NO),
    Row("SET", 16, 1_000_000, fillings.STRINGS, policy=NO),
)


def chosen_rows(patterns: Sequence[str], *, is_quick: bool) -> list[Row]:
    """Give the rows whose id matches one of the patterns (all without), smaller when quick."""
    found = [row for row in (*ROWS, *LOG_ROWS) if _is_chosen(row.id, patterns)]
    return [quick(row) for row in found] if is_quick else found


def chosen_stages(patterns: Sequence[str]) -> set[str]:
    """Give the persistence stages that match one of the patterns, all without."""
    return {stage for stage in (*STAGES, *LOG_STAGES, CALLS) if _is_chosen(stage, patterns)}


def unmatched(patterns: Sequence[str]) -> list[str]:
    """Give the patterns that name nothing, so that a slip does not measure nothing."""
    return [word for word in patterns if not any(fnmatchcase(name, word) for name in known())]


def title_of(row_id: str) -> str:
    """Give the title of the row with that id."""
    return next(row.title for row in (*ROWS, *LOG_ROWS) if row.id == row_id)


def known() -> list[str]:
    """Give the ids of all rows and stages."""
    return [*(row.id for row in (*ROWS, *LOG_ROWS)), *STAGES, *LOG_STAGES, CALLS]


def quick(row: Row) -> Row:
    """Shrink a row to a trial: its figures mean nothing, its way is the same."""
    requests, keys = row.requests // QUICK_DIVISOR, row.keys // QUICK_DIVISOR
    return replace(row, requests=requests, keys=keys)


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
