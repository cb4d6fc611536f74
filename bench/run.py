"""`make bench`: Perdure beside Redis 7.0, Redis 8.2, Valkey 9.1 and a server that stores nothing.

Measures, then writes `results.md`, `figures.json` and the chart. A whole run writes beside this
file; a trial or a part of the rows writes into `bench/partial/`, so that it replaces nothing.
`--render` draws pages and chart again from figures that are there. Only the order of things is
here: rows, servers, measuring and writing have files of their own.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from bench import rows
from bench.big_fork import run_big_forks
from bench.calls import run_calls
from bench.chart import draw
from bench.figures import NULL, Figures, load_figures, save_figures
from bench.floors import FORK_GIB, judge, next_steps
from bench.log_files import run_log_stages
from bench.logged import run_log_rows
from bench.machine import describe_machine
from bench.page import page
from bench.persistence import run_stages
from bench.servers import NAMES
from bench.throughput import run_rows

HERE = Path(__file__).parent
PARTIAL = HERE / "partial"
ROUNDS = 3
LOG_COMMANDS = 5_000_000  # that a replay takes in, and keys that a rewrite writes
QUICK_FORK_MIB = 64


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; a name that means nothing is refused."""
    parser = argparse.ArgumentParser(prog="make bench", description="Compare, side by side.")
    parser.add_argument("--quick", action="store_true", help="a trial: small counts, one round")
    parser.add_argument("--rounds", type=int, help=f"rounds in turns ({ROUNDS})")
    parser.add_argument("--rows", type=_list, default=[], help="patterns: set-*,hset-16,save")
    parser.add_argument("--servers", type=_list, default=list(NAMES), help=",".join(NAMES))
    parser.add_argument("--fork-mib", type=int, help=f"data of the big fork ({FORK_GIB << 10})")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data")
    parser.add_argument("--out", type=Path, help="where the pages go")
    parser.add_argument("--render", type=Path, help="draw again from this figures.json")
    options = parser.parse_args(words)
    unknown = [*rows.unmatched(options.rows), *(set(options.servers) - set(NAMES))]
    if unknown:
        parser.error(f"no row or server {', '.join(unknown)}; rows: {', '.join(rows.known())}")
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    options.fork_mib = options.fork_mib or (QUICK_FORK_MIB if options.quick else FORK_GIB << 10)
    return options


def _list(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def out_folder(options: argparse.Namespace) -> Path:
    """Give where the pages go: beside this file only what a whole run measured."""
    if options.out:
        return Path(options.out)
    if options.render:
        return Path(options.render).parent
    is_whole = not options.quick and not options.rows and set(options.servers) == set(NAMES)
    return HERE if is_whole else PARTIAL


def measure(options: argparse.Namespace) -> Figures:
    """Run what is asked for, the throughput rows first."""
    keys = rows.KEYS // (rows.QUICK_DIVISOR if options.quick else 1)
    machine = describe_machine(options.folder)
    figures = Figures(machine=machine, rounds=options.rounds, keys=keys)
    figures.log.commands = LOG_COMMANDS // (rows.QUICK_DIVISOR if options.quick else 1)
    names = [name for name in NAMES if name in options.servers]
    storing = [name for name in names if name != NULL]
    stages = rows.chosen_stages(options.rows)
    with tempfile.TemporaryDirectory(prefix="perdure-bench-", dir=options.folder) as place:
        folder = Path(place)
        chosen = rows.chosen_rows(options.rows, is_quick=options.quick)
        plain = [row for row in chosen if not row.policy]
        logged = [row for row in chosen if row.policy]
        if plain:
            run_rows(plain, names, figures, folder / "rows")
        if rows.CALLS in stages:
            run_calls(figures, folder / "calls", divisor=rows.QUICK_DIVISOR if options.quick else 1)
        if stages & {*rows.STAGES} - {"big-fork"}:
            run_stages(stages, storing, figures, folder / "stages")
        if logged:
            run_log_rows(logged, storing, figures, folder / "logged")
        if stages & {*rows.LOG_STAGES}:
            run_log_stages(stages, storing, figures, folder / "logs")
        if "big-fork" in stages:
            run_big_forks(options.fork_mib << 20, storing, figures, folder)
    return figures


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Measure (or read), write everything, and say which floors are lost."""
    options = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # as Ctrl-C does: servers and data go first
    out = out_folder(options)
    out.mkdir(parents=True, exist_ok=True)
    if options.render:
        figures = load_figures(options.render)
    else:
        figures = measure(options)
        save_figures(figures, out / "figures.json")
    (out / "results.md").write_text(page(figures, next_steps()))
    draw(figures, out)
    for verdict in judge(figures):
        if verdict.is_held is not None:
            print(f"{verdict.word.strip('*')}: {verdict.what}, {verdict.floor}: {verdict.ours}")
    print(f"written: {out / 'results.md'}")


if __name__ == "__main__":
    main()
