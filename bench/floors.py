"""The floors that the project set itself, and which rows are lost; judged on medians only.

A row that lost carries a sentence on what the next step would be, from `next_steps.toml`; one
without a sentence says so, so that it is not forgotten.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.figures import (
    OURS,
    UNLOGGED,
    Figures,
    RowFigures,
    best_peer,
    costs,
    median,
    medians,
    rates,
    ratio_to_best_peer,
)
from bench.rows import title_of
from bench.servers import TITLES

NEXT_STEPS = Path(__file__).with_name("next_steps.toml")
NO_NEXT_STEP = "not looked into yet"
CPU_RATIO_MAX = {
    "set-16": 0.75,
    "get-16": 0.75,
    "set-64": 0.5,
    "get-64": 0.5,
    "hset-16": 1.0,
    "lpush-16": 1.0,
    "sadd-16": 1.0,
    "zadd-16": 1.0,
    "always-c50": 0.77,
}
UNLOGGED_RATE_MIN = {"always-c50": 0.9, "everysec-1": 0.85, "everysec-16": 0.85}
REPLAY_SPEED_MIN, REWRITE_SPEED_MIN = 2.0, 2.0
BYTES_RATIO_MAX = 0.95
SAVE_SPEED_MIN, LOAD_SPEED_MIN = 1.5, 1.3
FORK_MS_MAX, FORK_HUGE_SHARE_MIN, FORK_GIB = 4.0, 0.99, 4
RATE_RATIO_MIN = 0.97  # a rate is lost below this: closer is noise


@dataclass(frozen=True)
class Verdict:
    """One floor: what is asked, what was measured, and whether it holds (None: it did not run)."""

    id: str
    what: str
    floor: str
    ours: str
    best: str
    measured: str
    is_held: bool | None

    @property
    def word(self) -> str:
        """Pass, lose, or not run."""
        return {True: "pass", False: "**lose**", None: "not run"}[self.is_held]


def judge(figures: Figures) -> list[Verdict]:
    """Hold every floor against the figures."""
    found = [_cpu(figures.row(row_id), row_id, most) for row_id, most in CPU_RATIO_MAX.items()]
    used = figures.used_bytes
    found.append(_at_most("bytes", "bytes a key (16 + 64)", used, BYTES_RATIO_MAX, "{:.1f}"))
    save, load = medians(figures.save_seconds), medians(figures.load_seconds)
    found.append(_speed("save", "SAVE", save, SAVE_SPEED_MIN))
    found.append(_speed("load", "load", load, LOAD_SPEED_MIN))
    found.append(_fork(figures))
    found += [_kept(figures.row(row_id), row_id, it) for row_id, it in UNLOGGED_RATE_MIN.items()]
    replay, rewrite = medians(figures.log.replay_seconds), medians(figures.log.rewrite_seconds)
    found.append(_speed("replay", "replay of a log", replay, REPLAY_SPEED_MIN))
    found.append(_speed("rewrite", "rewrite of a log", rewrite, REWRITE_SPEED_MIN))
    return found


def _cpu(row: RowFigures | None, row_id: str, most: float) -> Verdict:
    spent = costs(row) if row else {}
    return _at_most(row_id, f"CPU of {title_of(row_id)}", spent, most, "{:.3f} µs")


def _kept(row: RowFigures | None, row_id: str, least: float) -> Verdict:
    """Judge what a log leaves of our rate without one, measured in the same turns."""
    speed = rates(row) if row else {}
    share = kept_share(speed)
    ours = f"{speed[OURS]:,.0f}/s of {speed[UNLOGGED]:,.0f}/s" if share else ""
    _, best = _cells(speed, "{:,.0f}/s", is_lower_better=False)
    what = f"rate of {title_of(row_id)}, of that without a log"
    measured, is_held = (f"{share:.2f}x", share >= least) if share else ("", None)
    return Verdict(f"{row_id}-kept", what, f"at least {least:g}x", ours, best, measured, is_held)


def kept_share(speed: Mapping[str, float]) -> float | None:
    """Give our rate with a log over our rate without one."""
    if OURS not in speed or not speed.get(UNLOGGED):
        return None
    return speed[OURS] / speed[UNLOGGED]


def _at_most(
    floor_id: str, what: str, figures: Mapping[str, float], most: float, form: str
) -> Verdict:
    ratio = ratio_to_best_peer(figures)
    ours, best = _cells(figures, form)
    measured = "" if ratio is None else f"{ratio:.2f}x"
    is_held = None if ratio is None else ratio <= most
    return Verdict(floor_id, what, f"at most {most:g}x", ours, best, measured, is_held)


def _speed(floor_id: str, what: str, seconds: Mapping[str, float], least: float) -> Verdict:
    ratio = ratio_to_best_peer(seconds)
    ours, best = _cells(seconds, "{:.3f} s")
    measured = f"{1 / ratio:.2f}x" if ratio else ""
    is_held = 1 / ratio >= least if ratio else None
    what = f"speed of {what}"
    return Verdict(floor_id, what, f"at least {least:g}x", ours, best, measured, is_held)


def _fork(figures: Figures) -> Verdict:
    """Judge the fork in milliseconds, not as a ratio, and all of it on huge pages."""
    what, floor = f"fork of {FORK_GIB} GiB, all on huge pages", f"under {FORK_MS_MAX:g} ms"
    forks = {name: big.forks for name, big in figures.big_forks.items()}
    ms = {name: [fork.us / 1000 for fork in found] for name, found in forks.items()}
    ours, best = _cells(medians(ms), "{:.2f} ms")
    big = figures.big_forks.get(OURS)
    share = median([fork.huge_share for fork in big.forks]) if big else None
    if big is None or share is None or big.data_bytes < FORK_GIB << 30:
        return Verdict("big-fork", what, floor, ours, best, "", None)
    is_held = medians(ms)[OURS] < FORK_MS_MAX and share >= FORK_HUGE_SHARE_MIN
    return Verdict("big-fork", what, floor, ours, best, f"{share:.0%} huge", is_held)


def _cells(
    figures: Mapping[str, float], form: str, *, is_lower_better: bool = True
) -> tuple[str, str]:
    """Write our figure, and the best peer's with its name."""
    ours = form.format(figures[OURS]) if OURS in figures else ""
    best = best_peer(figures, is_lower_better=is_lower_better)
    return ours, f"{form.format(figures[best])} ({TITLES[best]})" if best else ""


@dataclass(frozen=True)
class Lost:
    """A row in which a peer is better: in CPU, in rate, in time."""

    id: str
    what: str
    how: str


def lost_rows(figures: Figures) -> list[Lost]:
    """Name every row in which the best peer is ahead, those without a floor included."""
    found = []
    for row in (*figures.rows, *figures.log.rows):
        found += _lost_of_row(row)
    timed = {
        "bytes": ("used bytes a key", figures.used_bytes),
        "resident": ("resident bytes a key", figures.resident_bytes),
        "save": ("time of SAVE", medians(figures.save_seconds)),
        "load": ("time of the load", medians(figures.load_seconds)),
        "start": ("time of the start until PING answers", medians(figures.start_seconds)),
        "fork": ("time of the fork", medians(figures.fork_us)),
        "replay": ("time of a replay", medians(figures.log.replay_seconds)),
        "rewrite": ("time of a rewrite", medians(figures.log.rewrite_seconds)),
    }
    for row_id, (what, by_server) in timed.items():
        ratio = ratio_to_best_peer(by_server)
        if ratio is not None and ratio > 1:
            found.append(Lost(row_id, what, f"{ratio:.2f}x of {_best_title(by_server)}'s"))
    return found


def _lost_of_row(row: RowFigures) -> list[Lost]:
    found = []
    ratio = ratio_to_best_peer(costs(row))
    if ratio is not None and ratio > 1:
        how = f"{ratio:.2f}x of {_best_title(costs(row))}'s"
        found.append(Lost(row.id, f"CPU of {row.title}", how))
    speed = rates(row)
    best = best_peer(speed, is_lower_better=False)
    if best and OURS in speed and speed[OURS] < RATE_RATIO_MIN * speed[best]:
        how = f"{speed[OURS] / speed[best]:.2f}x of {TITLES[best]}'s"
        found.append(Lost(f"{row.id}-rate", f"rate of {row.title}", how))
    return found


def _best_title(figures: Mapping[str, float]) -> str:
    best = best_peer(figures)
    return TITLES[best] if best else ""


def next_steps(path: Path = NEXT_STEPS) -> dict[str, str]:
    """Read what is said of rows that lose, by row id."""
    return {str(name): str(text) for name, text in tomllib.loads(path.read_text()).items()}
