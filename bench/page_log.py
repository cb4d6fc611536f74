"""The part of the page that is on the append-only file: rows, fsyncs, replay and rewrite."""

from __future__ import annotations

from bench.figures import (
    NULL,
    NULL_FSYNCED,
    OURS,
    UNLOGGED,
    Figures,
    RowFigures,
    costs,
    medians,
    rates,
    ratio_to_best_peer,
)
from bench.floors import kept_share
from bench.fsyncs import unit_of
from bench.page_tables import number, rate_cell, row_cell, table
from bench.rows import title_of
from bench.servers import NAMES, TITLES


def log_sections(figures: Figures) -> list[list[str]]:
    """Give the sections that have figures."""
    is_read = figures.log.replay_seconds or figures.log.rewrite_seconds
    return [
        *([_rows(figures), *_limits(figures), _fsyncs(figures)] if figures.log.rows else []),
        *([_files(figures)] if is_read else []),
    ]


def _servers(figures: Figures) -> list[str]:
    names = [name for name in NAMES if name in figures.versions and name != NULL]
    return [*names, *([UNLOGGED] if UNLOGGED in figures.versions else [])]


def _rows(figures: Figures) -> list[str]:
    servers = _servers(figures)
    titles = [TITLES[name] for name in servers]
    killed = ", ".join(_told_policy(entry) for entry in figures.log.killed)
    return [
        "## With an append-only file",
        "",
        "`appendonly yes` and the policy in the row's name, a million strings before; what earlier",
        "samples left to be written is on the disk before each. CPU is that of all threads, those",
        "that fsync too. The last server is Perdure with `appendonly no`, in the same turns.",
        "",
        *table(
            ["CPU for one operation", *titles, "ratio to best peer"],
            [_cpu_line(row, servers) for row in figures.log.rows],
        ),
        "",
        *table(
            ["rate, and the client's CPU", *titles, "kept of no log"],
            [_rate_line(row, servers) for row in figures.log.rows],
        ),
        "",
        "After its rows each server was ended by SIGKILL and started on what it left; DEBUG DIGEST",
        f"as before the kill: {killed}.",
    ]


def _told_policy(entry: str) -> str:
    policy, _, name = entry.partition(" ")
    return f"{TITLES[name]} ({policy})"


def _cpu_line(row: RowFigures, servers: list[str]) -> list[str]:
    spent = costs(row)
    cells = [row_cell(row, name, spent, "{:.3f} µs") for name in servers]
    return [row.title, *cells, number(ratio_to_best_peer(spent))]


def _rate_line(row: RowFigures, servers: list[str]) -> list[str]:
    speed = rates(row)
    cells = [rate_cell(row, name, speed) for name in servers]
    return [row.title, *cells, number(kept_share(speed))]


def _limits(figures: Figures) -> list[list[str]]:
    """Tell what the disk leaves, if a row under `always` ran beside the server that only fsyncs."""
    lines = []
    for row in figures.log.rows:
        speed = rates(row)
        if {NULL_FSYNCED, UNLOGGED, OURS} <= speed.keys():
            limit = speed[NULL_FSYNCED]
            shares = (limit / speed[UNLOGGED], speed[OURS] / limit)
            limit_cell = rate_cell(row, NULL_FSYNCED, speed)
            lines.append([row.title, limit_cell, *(f"{share:.2f}" for share in shares)])
    if not lines:
        return []
    head = ["rate", TITLES[NULL_FSYNCED], "of Perdure without a log", "Perdure's share of it"]
    return [
        [
            "## What the disk leaves under `always`",
            "",
            "In the same turns: a server that parses and answers, executes and stores nothing, and",
            "lets the answers of those who came meanwhile wait for one fdatasync of a small file",
            "that is overwritten in place. No server that keeps what it has answered can do less.",
            "",
            *table(head, lines),
        ]
    ]


def _fsyncs(figures: Figures) -> list[str]:
    servers = [name for name in _servers(figures) if name != UNLOGGED]
    lines = []
    for row_id, found in figures.log.fsyncs.items():
        cells = [f"{found[name]:.1f}" if name in found else "" for name in servers]
        lines.append([f"{title_of(row_id)}, {unit_of(row_id)}", *cells])
    if not figures.log.fsyncs:
        return ["## Fsyncs of the log", "", "Not counted: strace is not installed."]
    return [
        "## Fsyncs of the log",
        "",
        "System calls (fsync, fdatasync) on files of the log, as strace saw them in a shorter run",
        "of its own. Under `always` many writers share one, and a client alone has one each.",
        "",
        *table(["row", *(TITLES[name] for name in servers)], lines),
    ]


def _files(figures: Figures) -> list[str]:
    servers = [name for name in _servers(figures) if name != UNLOGGED]
    lines = (
        ("replay, by the server's own log", medians(figures.log.replay_seconds)),
        ("rewrite, from BGREWRITEAOF until its end", medians(figures.log.rewrite_seconds)),
    )
    rows = []
    for title, found in lines:
        cells = [f"{found[name]:.2f} s" if name in found else "" for name in servers]
        ours = figures.log.commands / found[OURS] / 1e6 if OURS in found else None
        rate = f"{ours:.2f} M/s" if ours else ""
        rows.append([title, *cells, number(ratio_to_best_peer(found)), rate])
    verified = ", ".join(TITLES[name] for name in figures.log.verified)
    titles = [TITLES[name] for name in servers]
    return [
        "## Replay and rewrite of a log",
        "",
        f"{figures.log.commands:,} commands (SET, 16 + 64 bytes, each with a key of its own) that",
        "the server logged itself; then the rewrite of as many keys, with an RDB preamble. One",
        "server at a time, not pinned; the log is in the page cache as far as the server left it",
        "there: ours comes from the disk in the first round. Ours looks the whole log through for",
        "damage before it replays, and that is in its time.",
        "",
        *table(["what", *titles, "ratio to best peer", "Perdure's rate"], rows),
        "",
        f"Number of keys after each start, and DEBUG DIGEST after all as before: {verified}.",
    ]
