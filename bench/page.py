"""Write `results.md` from the figures: machine, floors, rows, persistence, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping

from bench.figures import (
    CLIENT_SHARE_MAX,
    NULL,
    OURS,
    Figures,
    costs,
    median,
    medians,
    ratio_to_best_peer,
)
from bench.floors import NO_NEXT_STEP, judge, lost_rows
from bench.machine import lines_of
from bench.page_calls import call_sections
from bench.page_log import log_sections
from bench.page_tables import MARK, number, rate_cell, row_cell, table
from bench.rows import CLIENTS
from bench.servers import NAMES, TITLES


def page(figures: Figures, steps: Mapping[str, str]) -> str:
    """Give the whole page; `steps` are the sentences for rows that lose, by id."""
    parts = [
        _head(figures),
        _floors(figures, steps),
        _lost(figures, steps),
        *([_cpu(figures), _rates(figures)] if figures.rows else []),
        *([_persistence(figures)] if figures.used_bytes else []),
        *([_big_forks(figures)] if figures.big_forks else []),
        *log_sections(figures),
        *call_sections(figures),
        _how(figures),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(figures: Figures) -> list[str]:
    versions = {TITLES[name]: figures.versions[name] for name in _servers(figures)}
    return [
        "# Results of `make bench`",
        "",
        "Written by the program; do not edit. Read the ratios: absolute figures depend on the",
        f"machine. Medians of {figures.rounds} rounds in turns.",
        "",
        *lines_of(figures.machine),
        *lines_of(versions),
        "",
        "![Server CPU for one operation beside the best peer](cpu.svg)",
    ]


def _servers(figures: Figures) -> list[str]:
    return [name for name in NAMES if name in figures.versions]


def _floors(figures: Figures, steps: Mapping[str, str]) -> list[str]:
    verdicts = judge(figures)
    rows = [(v.what, v.floor, v.measured, v.ours, v.best, v.word) for v in verdicts]
    head = ("what", "floor", "measured", "Perdure", "best peer", "verdict")
    lost = [v for v in verdicts if v.is_held is False]
    sentences = [f"- {v.what}: {steps.get(v.id, NO_NEXT_STEP)}" for v in lost]
    notes = ["", "Next steps for what is lost:", "", *sentences] if sentences else []
    return ["## Floors", "", *table(head, rows, is_text=True), *notes]


def _lost(figures: Figures, steps: Mapping[str, str]) -> list[str]:
    lines = ["## Rows in which a peer is ahead", ""]
    lost = lost_rows(figures)
    if not lost:
        return [*lines, "None of those that ran."]
    rows = [(row.what, row.how, steps.get(row.id, NO_NEXT_STEP)) for row in lost]
    return [*lines, *table(("what", "Perdure", "next step"), rows, is_text=True)]


def _cpu(figures: Figures) -> list[str]:
    servers = _servers(figures)
    head = ["row", *(TITLES[name] for name in servers), "ratio to best peer", "null share"]
    rows = []
    for row in figures.rows:
        spent = costs(row)
        cells = [row_cell(row, name, spent, "{:.3f} µs") for name in servers]
        rows.append([row.title, *cells, number(ratio_to_best_peer(spent)), _null_share(spent)])
    return [
        "## Server CPU for one operation",
        "",
        "All threads of the server, user and system, by its process clock. The null share is what",
        "the null server, which parses, answers and stores nothing, spends of what Perdure does.",
        "",
        *table(head, rows),
    ]


def _rates(figures: Figures) -> list[str]:
    servers = _servers(figures)
    rows = []
    for row in figures.rows:
        speed = {name: row.rate(name) for name in servers}
        known = {name: rate for name, rate in speed.items() if rate is not None}
        rows.append([row.title, *(rate_cell(row, name, known) for name in servers)])
    return [
        "## Rate, and the client's CPU",
        "",
        f"A mark ({MARK}) where the client took over {CLIENT_SHARE_MAX:.0%} of its core: it was",
        "the limit there, so compare the server's CPU above.",
        "",
        *table(["row", *(TITLES[name] for name in servers)], rows),
    ]


def _null_share(spent: Mapping[str, float]) -> str:
    return f"{spent[NULL] / spent[OURS]:.0%}" if NULL in spent and OURS in spent else ""


def _persistence(figures: Figures) -> list[str]:
    servers = [name for name in _servers(figures) if name != NULL]
    file_mib = {name: size / (1 << 20) for name, size in figures.file_bytes.items()}
    fork_ms = {name: us / 1000 for name, us in medians(figures.fork_us).items()}
    lines = [
        ("used bytes a key", figures.used_bytes, "{:.1f}"),
        ("resident bytes a key", figures.resident_bytes, "{:.1f}"),
        ("SAVE", medians(figures.save_seconds), "{:.3f} s"),
        ("size of the file", file_mib, "{:.1f} MiB"),
        ("load, by the server's own log", medians(figures.load_seconds), "{:.3f} s"),
        ("start until PING answers", medians(figures.start_seconds), "{:.3f} s"),
        ("fork of that data (`latest_fork_usec`)", fork_ms, "{:.2f} ms"),
    ]
    rows = []
    for title, found, form in lines:
        cells = [form.format(found[name]) if name in found else "" for name in servers]
        rows.append([title, *cells, number(ratio_to_best_peer(found))])
    verified = ", ".join(TITLES[name] for name in figures.verified)
    return [
        "## Persistence and memory",
        "",
        f"{figures.keys:,} strings of 16 + 64 bytes; nothing is pinned, no client runs, the file",
        "is in the page cache when it is loaded. The floor compares the load that each server",
        "reports itself, which leaves the start of the process out; the start is from the",
        "execution until PING answers, the Python side of Perdure included.",
        "",
        *table(["what", *(TITLES[name] for name in servers), "ratio to best peer"], rows),
        "",
        f"DEBUG DIGEST after the last of these steps as before the first: {verified}.",
    ]


def _big_forks(figures: Figures) -> list[str]:
    rows = []
    for name, big in figures.big_forks.items():
        ms = [fork.us / 1000 for fork in big.forks]
        each = ", ".join(f"{fork.us / 1000:.2f} ({fork.huge_share:.0%})" for fork in big.forks)
        middle = median(ms) or 0.0
        rows.append([TITLES[name], f"{big.data_bytes / (1 << 30):.2g}", f"{middle:.2f} ms", each])
    return [
        "## Fork of much data",
        "",
        "Strings of 16 + 960 bytes, one server at a time. While each child runs, keys all over the",
        "data are written again, then it is ended. The share is that of the data's memory on huge",
        "pages just before the fork.",
        "",
        *table(["server", "GiB", "median", "each in ms (on huge pages)"], rows, is_text=True),
    ]


def _how(figures: Figures) -> list[str]:
    rows = (*figures.rows, *figures.log.rows)
    commands = [f"{row.title:<24} {row.command}" for row in rows]
    return [
        "## How to repeat it",
        "",
        "`make bench` (all), `make bench BENCH_ARGS='--quick'` (a trial that measures nothing),",
        "`make bench BENCH_ARGS=\"--rows 'set-*,save' --servers perdure,valkey-9.1\"`. Save points",
        "are off everywhere, and every server is told `appendonly no` but for the rows of the log.",
        f"A row runs with {CLIENTS} clients where it says no other number, the server on one core",
        "and the client on another (`taskset`); the data of a row is written before it:",
        "",
        "```",
        *commands,
        "```",
    ]
