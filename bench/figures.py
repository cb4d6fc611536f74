"""What a run measured: the raw figures of every round, and how they go to JSON and back.

Medians and ratios are taken here and nowhere else, so that the table, the floors and the chart
speak of the same numbers. Nothing here measures or writes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

OURS = "perdure"
UNLOGGED = "perdure-unlogged"  # ours again, without a log: what a log row costs is measured from it
ALWAYS_LOGGED = "perdure-always"  # ours with `appendfsync always`, among the rows of calls
NULL = "null"
NULL_FSYNCED = "null-fsynced"  # the null server, its answers behind an fsync: the limit of `always`
NULLS = {NULL, NULL_FSYNCED}
_NO_PEERS = {OURS, UNLOGGED, ALWAYS_LOGGED, *NULLS}
CLIENT_SHARE_MAX = 0.95


@dataclass(frozen=True)
class Sample:
    """One run of redis-benchmark: operations a second, server CPU for one, client CPU of a core."""

    rate: float
    server_us: float
    client_share: float


@dataclass(frozen=True)
class RowFigures:
    """A throughput row: the samples of every server that knows the command."""

    id: str
    title: str
    command: str
    samples: dict[str, list[Sample]]
    unsupported: list[str] = field(default_factory=list)

    def server_us(self, server: str) -> float | None:
        """Median server CPU for one operation in microseconds; None where it did not run."""
        return median([sample.server_us for sample in self.samples.get(server, ())])

    def rate(self, server: str) -> float | None:
        """Median operations a second."""
        return median([sample.rate for sample in self.samples.get(server, ())])

    def client_share(self, server: str) -> float | None:
        """Median share of a core that the client took."""
        return median([sample.client_share for sample in self.samples.get(server, ())])

    def is_client_bound(self, server: str) -> bool:
        """Tell whether the client was the limit, so that the rate says little of the server."""
        share = self.client_share(server)
        return share is not None and share > CLIENT_SHARE_MAX


@dataclass(frozen=True)
class Fork:
    """One fork: how long, and the share of the data on huge pages just before it."""

    us: float
    huge_share: float


@dataclass(frozen=True)
class BigForks:
    """Forks of one server that holds `data_bytes`."""

    data_bytes: int
    forks: list[Fork]


@dataclass
class LogFigures:
    """What was measured with the append-only file on, by server."""

    rows: list[RowFigures] = field(default_factory=list)
    """As the throughput rows; `UNLOGGED` is among the servers."""
    fsyncs: dict[str, dict[str, float]] = field(default_factory=dict)
    """By row: system calls that fsync the log, in the unit of `fsyncs.unit_of`."""
    killed: list[str] = field(default_factory=list)
    """Servers that came back whole from SIGKILL after their rows, by policy: `always perdure`."""
    commands: int = 0
    """How many commands a replay takes in, and how many keys a rewrite writes."""
    replay_seconds: dict[str, list[float]] = field(default_factory=dict)
    rewrite_seconds: dict[str, list[float]] = field(default_factory=dict)
    verified: list[str] = field(default_factory=list)


@dataclass
class Figures:
    """Everything that one run measured, by server where a mapping has no other key."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    keys: int = 0
    rows: list[RowFigures] = field(default_factory=list)
    used_bytes: dict[str, float] = field(default_factory=dict)
    resident_bytes: dict[str, float] = field(default_factory=dict)
    file_bytes: dict[str, int] = field(default_factory=dict)
    save_seconds: dict[str, list[float]] = field(default_factory=dict)
    load_seconds: dict[str, list[float]] = field(default_factory=dict)
    start_seconds: dict[str, list[float]] = field(default_factory=dict)
    fork_us: dict[str, list[float]] = field(default_factory=dict)
    big_forks: dict[str, BigForks] = field(default_factory=dict)
    verified: list[str] = field(default_factory=list)
    log: LogFigures = field(default_factory=LogFigures)
    calls: list[RowFigures] = field(default_factory=list)
    """Calls over gRPC; their servers are those of `call_servers`."""
    call_versions: dict[str, str] = field(default_factory=dict)

    def row(self, row_id: str) -> RowFigures | None:
        """Give the row with that id, if it ran."""
        rows = (*self.rows, *self.log.rows)
        return next((row for row in rows if row.id == row_id), None)


_FORM = TypeAdapter(Figures)


def save_figures(figures: Figures, path: Path) -> None:
    """Write the raw figures, so that the pages can be drawn again without measuring."""
    path.write_bytes(_FORM.dump_json(figures, indent=1) + b"\n")


def load_figures(path: Path) -> Figures:
    """Read what `save_figures` wrote."""
    return _FORM.validate_json(path.read_bytes())


def median(values: Sequence[float]) -> float | None:
    """Median, or None of nothing."""
    return statistics.median(values) if values else None


def medians(by_server: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Median of each server that has values."""
    return {name: statistics.median(values) for name, values in by_server.items() if values}


def best_peer(figures: Mapping[str, float], *, is_lower_better: bool = True) -> str | None:
    """Name the best of the real peers: neither ours, with a log or without, nor a null server."""
    peers = {name: value for name, value in figures.items() if name not in _NO_PEERS}
    if not peers:
        return None
    choose = min if is_lower_better else max
    return choose(peers, key=lambda name: peers[name])


def costs(row: RowFigures) -> dict[str, float]:
    """Median server CPU for one operation, of every server that ran the row."""
    found = {name: row.server_us(name) for name in row.samples}
    return {name: cost for name, cost in found.items() if cost is not None}


def rates(row: RowFigures) -> dict[str, float]:
    """Median rate of every server that ran the row."""
    found = {name: row.rate(name) for name in row.samples}
    return {name: rate for name, rate in found.items() if rate is not None}


def ratio_to_best_peer(figures: Mapping[str, float]) -> float | None:
    """Ours over the best (lowest) peer's; None when either is missing."""
    best = best_peer(figures)
    if best is None or OURS not in figures or not figures[best]:
        return None
    return figures[OURS] / figures[best]
