"""What a store that never answers costs the data plane: three servers side by side, in turns.

    quiet     nothing is shipped
    healthy   a snapshot was shipped to a folder
    hanging   the same, and another store took the connection and says nothing: the snapshot waits
              for it in the spool, and calls of it are under way during each sample

Run it with `python -m bench.hanging_backend` (or `make bench-hanging-backend`); it prints a table
and writes it to `--out`. Cutting a snapshot costs what it costs whatever the store does, so that no
cut falls into a sample. What is compared is one server with itself, in all but its store.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from bench import fillings
from bench.benchmark_tool import Target, measure
from bench.figures import Sample
from bench.fillings import send
from bench.machine import describe_machine
from bench.process import on_core, two_cores
from bench.rows import Row
from bench.throughput import rotated
from tests.support.processes import Sidecar, wait_for

QUIET, HEALTHY, HANGING = "quiet", "healthy", "hanging"
KEYS = 200_000
ROWS = (
    Row("SET", 1, 200_000, fillings.STRINGS, keys=KEYS),
    Row("SET", 16, 1_000_000, fillings.STRINGS, keys=KEYS),
    Row("GET", 16, 1_000_000, fillings.STRINGS, keys=KEYS),
)
_NO_DUE_TIMES = (
    '[server]\nboot_source = "empty"\n[schedules.hourly]\npreset = "hourly"\npaused = true\n'
)
_LOCAL = '[backends.local]\npath = "snapshots"\n'
_SILENT = """
[backends.silent]
type = "s3"
bucket = "bucket"
endpoint_url = "http://127.0.0.1:{port}"
timeout = "15m"
read_timeout_seconds = 900
"""
_CALLS = re.compile(r'^perdure_backend_calls_running\{backend="silent"\} ([\d.]+)$', re.MULTILINE)
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}


@dataclass
class _Measured:
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The data plane while a store hangs.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="the file that gets the table")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="perdure-hanging-") as folder:
        text = page(run(Path(folder), options.rounds), options.rounds)
    print(text)
    if options.out is not None:
        options.out.write_text(text)


def run(folder: Path, rounds: int) -> dict[str, _Measured]:
    """Start the three servers on one core, fill them, and measure each row in turns."""
    server_core, client_core = two_cores()
    with ExitStack() as stack:
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=512)))
        silent_config = _SILENT.format(port=silent.getsockname()[1])
        servers: dict[str, Sidecar] = {}
        for name in (QUIET, HEALTHY, HANGING):
            if name == HANGING:  # a store that hangs at the very first start is another story
                _start(folder / name, "", server_core).stop()
            config = silent_config if name == HANGING else ""
            servers[name] = stack.enter_context(_start(folder / name, config, server_core))
            send(servers[name].ports["resp"], fillings.STRINGS.chunks(KEYS))
        for name in (HEALTHY, HANGING):
            _ship(servers[name])
        return {row.title: _measure_row(row, servers, rounds, client_core) for row in ROWS}


def _start(folder: Path, config: str, server_core: int) -> Sidecar:
    return Sidecar(
        folder,
        redis_args=("--save", "", "--appendonly", "no"),
        config=_NO_DUE_TIMES + _LOCAL + config,
        env=_CREDENTIALS,
        prefix=on_core(server_core),
    )


def _measure_row(
    row: Row, servers: Mapping[str, Sidecar], rounds: int, client_core: int
) -> _Measured:
    found = _Measured({name: [] for name in servers})
    for number in range(rounds):
        for name in rotated(list(servers), number):
            if name == HANGING:
                found.calls.append(_hang(servers[name]))
            target = Target(servers[name].ports["resp"], servers[name].process.pid)
            found.samples[name].append(measure(target, row, client_core))
    return found


def _ship(sidecar: Sidecar) -> None:
    """Take a snapshot, and wait until the folder has it."""
    before = len(sidecar.json("snapshot", "list")["snapshots"])
    sidecar.cli("snapshot", "create", "--no-wait")
    wait_for(
        lambda: len(sidecar.json("snapshot", "list")["snapshots"]) > before,
        "the folder to have the snapshot",
    )


def _hang(sidecar: Sidecar) -> int:
    """See that calls hang, taking another snapshot if they were given up; say how many do."""
    if not calls_running(sidecar):
        _ship(sidecar)
        wait_for(lambda: calls_running(sidecar), "a call of the silent store")
    return calls_running(sidecar)


def calls_running(sidecar: Sidecar) -> int:
    """Read from the metrics how many calls of the silent store are under way."""
    url = f"http://127.0.0.1:{sidecar.ports['http']}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        found = _CALLS.search(answer.read().decode())
    return int(float(found[1])) if found else 0


def page(measured: Mapping[str, _Measured], rounds: int) -> str:
    """Return the table: medians, the spread of the quiet server, and the hanging one's ratio."""
    lines = [
        "# The data plane while a store hangs",
        "",
        f"Medians of {rounds} rounds in turns, one server beside itself: `quiet` ships nothing,",
        "`healthy` has shipped to a folder, `hanging` has calls under way of a store that took the",
        "connection and never answers. The spread is that of `quiet` alone, (largest - smallest) /",
        "median: what lies within it is noise.",
        "",
        (
            "| row | quiet | healthy | hanging | hanging / quiet | spread of quiet "
            "| CPU, quiet / hanging | hanging calls |"
        ),
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for title, found in measured.items():
        rates = {name: [s.rate for s in samples] for name, samples in found.samples.items()}
        middle = {name: statistics.median(values) for name, values in rates.items()}
        cpu = {
            name: statistics.median(s.server_us for s in samples)
            for name, samples in found.samples.items()
        }
        spread = (max(rates[QUIET]) - min(rates[QUIET])) / middle[QUIET]
        cells = [
            title,
            *(f"{middle[name] / 1000:.0f} k/s" for name in (QUIET, HEALTHY, HANGING)),
            f"{middle[HANGING] / middle[QUIET]:.3f}",
            f"{spread:.3f}",
            f"{cpu[QUIET]:.2f} / {cpu[HANGING]:.2f} µs",
            f"{min(found.calls)}-{max(found.calls)}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Server on one core, redis-benchmark on the other:", ""]
    lines += [f"- {name}: {value}" for name, value in describe_machine().items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
