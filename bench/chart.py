"""Draw the chart: for each row, server CPU for one operation as a ratio to the best peer's.

The only file that needs matplotlib (the group `bench` in pyproject.toml), imported when it draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import NULL, NULL_FSYNCED, OURS, UNLOGGED, Figures, best_peer, costs
from bench.floors import CPU_RATIO_MAX
from bench.servers import NAMES, TITLES

RATIO_SHOWN_MAX = 3.0
_COLORS = {
    OURS: "#0b6e4f",
    NULL: "#ff9ec4",
    "redis-7.0": "#c1440e",
    "redis-8.2": "#e09f3e",
    "valkey-9.1": "#335c99",
}
_MARKERS = {NULL: "|", "redis-7.0": "o", "redis-8.2": "s", "valkey-9.1": "D"}


@dataclass(frozen=True)
class Bars:
    """One row of the chart: ratios to the best peer by server, and the floor if it has one."""

    title: str
    ratios: dict[str, float]
    floor: float | None


def bars_of(figures: Figures) -> list[Bars]:
    """Give the rows that can be drawn: those that we and a peer ran."""
    found = []
    for row in (*figures.rows, *figures.log.rows):
        spent = costs(row)
        best = best_peer(spent)
        if best is None or OURS not in spent:
            continue
        drawn = {it: cost for it, cost in spent.items() if it not in {UNLOGGED, NULL_FSYNCED}}
        ratios = {name: cost / spent[best] for name, cost in drawn.items()}
        found.append(Bars(row.title, ratios, CPU_RATIO_MAX.get(row.id)))
    return found


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Write `cpu.svg` and `cpu.png` into `folder`; nothing when there is no row to draw."""
    import matplotlib as mpl  # noqa: PLC0415  # only here, and only `make bench` installs it

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "perdure", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after its backend is chosen

    bars = bars_of(figures)
    if not bars:
        return []
    chart, axes = plt.subplots(figsize=(8.4, 1.6 + 0.36 * len(bars)), layout="constrained")
    for place, row in enumerate(bars):
        _draw_row(axes, place, row)
    _dress(axes, bars)
    written = [folder / "cpu.svg", folder / "cpu.png"]
    for path in written:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        chart.savefig(path, dpi=160, facecolor="white", metadata=metadata)
    plt.close(chart)
    return written


def _draw_row(axes: Any, place: int, row: Bars) -> None:
    ours = row.ratios[OURS]
    axes.barh(place, ours, height=0.56, color=_COLORS[OURS], zorder=2)
    axes.text(0.02, place, f"{ours:.2f}", va="center", color="white", zorder=4)
    for name, marker in _MARKERS.items():
        if name in row.ratios:
            at = min(row.ratios[name], RATIO_SHOWN_MAX)
            style = {"s": 90 if name == NULL else 26, "color": _COLORS[name], "marker": marker}
            axes.scatter(at, place, zorder=3, **style)
    if row.floor is not None:
        axes.plot([row.floor] * 2, [place - 0.4, place + 0.4], color="black", lw=1.4, zorder=3)


def _dress(axes: Any, bars: list[Bars]) -> None:
    """Title, axes, the line of the best peer, and the legend."""
    axes.set_yticks(range(len(bars)), [row.title for row in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    longest = max(ratio for row in bars for ratio in row.ratios.values())
    axes.set_xlim(0, min(longest, RATIO_SHOWN_MAX) + 0.05)
    axes.axvline(1, color="#444444", lw=1, ls="--", zorder=1)
    axes.grid(axis="x", color="#e3e3e3", zorder=0)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_title("Server CPU for one operation, best peer = 1 (less is better)", loc="left")
    axes.set_xlabel("the bar is Perdure; a black line is the floor that it is held to")
    shown = [name for name in NAMES if any(name in row.ratios for row in bars)]
    for name in shown:
        if name == OURS:
            axes.barh(0, 0, color=_COLORS[name], label=TITLES[name])
        else:
            style = {"color": _COLORS[name], "marker": _MARKERS[name]}
            axes.scatter([], [], label=TITLES[name], **style)
    axes.plot([], [], color="black", lw=1.4, label="floor")
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: labels[index] != TITLES[OURS])
    axes.figure.legend(
        [handles[index] for index in order],
        [labels[index] for index in order],
        loc="outside lower center",
        ncols=6,
        frameon=False,
    )
