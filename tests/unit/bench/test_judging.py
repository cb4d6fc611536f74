"""Medians, ratios, floors, lost rows, and the pages that are written of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chart import bars_of
from bench.figures import (
    BigForks,
    Figures,
    Fork,
    LogFigures,
    RowFigures,
    Sample,
    load_figures,
    ratio_to_best_peer,
    save_figures,
)
from bench.floors import (
    CPU_RATIO_MAX,
    UNLOGGED_RATE_MIN,
    Verdict,
    judge,
    lost_rows,
    next_steps,
)
from bench.page import page
from bench.page_tables import table
from bench.rows import LOG_ROWS, LOG_STAGES, ROWS, STAGES
from bench.run import HERE, PARTIAL, out_folder, parse


def row(row_id: str, **server_us: float) -> RowFigures:
    """Make a row of one round; the server's name with _ for - and the dot."""
    names = {
        "ours": "perdure",
        "unlogged": "perdure-unlogged",
        "null": "null",
        "fsynced": "null-fsynced",
        "redis": "redis-8.2",
        "valkey": "valkey-9.1",
    }
    samples = {names[name]: [Sample(1e6, cost, 0.5)] for name, cost in server_us.items()}
    return RowFigures(row_id, row_id.upper(), f"redis-benchmark {row_id}", samples)


def verdict(figures: Figures, floor_id: str) -> Verdict:
    """Give one floor's verdict."""
    return next(found for found in judge(figures) if found.id == floor_id)


def test_a_median_is_taken_over_the_rounds() -> None:
    samples = [Sample(1, 5.0, 0.9), Sample(3, 1.0, 0.97), Sample(2, 2.0, 0.99)]
    found = RowFigures("set-16", "SET", "", {"perdure": samples})
    assert found.server_us("perdure") == 2.0
    assert found.rate("perdure") == 2
    assert found.is_client_bound("perdure")
    assert found.server_us("null") is None
    assert not found.is_client_bound("null")


def test_the_best_peer_is_neither_ours_nor_the_null_server() -> None:
    costs = {"perdure": 1.0, "null": 0.1, "redis-8.2": 4.0, "valkey-9.1": 2.0}
    assert ratio_to_best_peer(costs) == 0.5
    assert ratio_to_best_peer({"perdure": 1.0, "null": 0.1}) is None
    assert ratio_to_best_peer({"redis-8.2": 4.0}) is None


@pytest.mark.parametrize(("ours", "is_held"), [(0.75, True), (0.76, False)])
def test_a_cpu_floor_is_held_up_to_its_ratio(ours: float, is_held: object) -> None:
    figures = Figures(rows=[row("set-16", ours=ours, redis=2.0, valkey=1.0, null=0.2)])
    found = verdict(figures, "set-16")
    assert found.is_held is is_held
    assert found.best == "1.000 µs (Valkey 9.1)"


def test_every_floor_of_a_row_names_a_row() -> None:
    known = {found.id for found in (*ROWS, *LOG_ROWS)}
    assert set(CPU_RATIO_MAX) | set(UNLOGGED_RATE_MIN) <= known


def test_a_floor_that_did_not_run_is_neither_held_nor_lost() -> None:
    assert {found.word for found in judge(Figures())} == {"not run"}
    unsupported = RowFigures("hset-16", "HSET", "", {"redis-8.2": []}, ["perdure"])
    assert verdict(Figures(rows=[unsupported]), "hset-16").is_held is None


@pytest.mark.parametrize(("seconds", "is_held"), [(0.66, True), (0.67, False)])
def test_a_speed_floor_is_the_peers_time_over_ours(seconds: float, is_held: object) -> None:
    saves = {"perdure": [9.0, seconds, 0.1], "redis-8.2": [2.0], "valkey-9.1": [1.0]}
    found = verdict(Figures(save_seconds=saves), "save")
    assert found.is_held is is_held


@pytest.mark.parametrize(
    ("gib", "us", "share", "is_held"),
    [(4, 3999, 1.0, True), (4, 4000, 1.0, False), (4, 100, 0.9, False), (1, 100, 1.0, None)],
    ids=["held", "slow", "small pages", "less data"],
)
def test_the_fork_floor_asks_for_time_pages_and_size(
    gib: int, us: float, share: float, is_held: object
) -> None:
    figures = Figures(big_forks={"perdure": BigForks(gib << 30, [Fork(us, share)])})
    assert verdict(figures, "big-fork").is_held is is_held


@pytest.mark.parametrize(("rate", "is_held"), [(90.0, True), (89.0, False)])
def test_a_log_must_keep_its_share_of_our_own_rate(rate: float, is_held: object) -> None:
    logged = row("always-c50", ours=1.0, unlogged=0.5, valkey=2.0)
    logged.samples["perdure"] = [Sample(rate, 1.0, 0.5)]
    logged.samples["perdure-unlogged"] = [Sample(100.0, 0.5, 0.5)]
    figures = Figures(log=LogFigures(rows=[logged]))
    assert verdict(figures, "always-c50-kept").is_held is is_held
    # Ours without a log is no peer: the CPU is held against Valkey's.
    assert verdict(figures, "always-c50").measured == "0.50x"


def test_the_limit_of_always_is_told_and_is_nobodys_peer() -> None:
    logged = row("always-c50", ours=8.0, redis=10.0, unlogged=5.0, fsynced=1.0)
    logged.samples["perdure"] = [Sample(80.0, 8.0, 0.5)]
    logged.samples["perdure-unlogged"] = [Sample(200.0, 5.0, 0.9)]
    logged.samples["null-fsynced"] = [Sample(100.0, 1.0, 0.5)]
    figures = Figures(log=LogFigures(rows=[logged]))
    assert verdict(figures, "always-c50").measured == "0.80x"
    assert [set(bars.ratios) for bars in bars_of(figures)] == [{"perdure", "redis-8.2"}]
    told = page(figures, {})
    assert "| ALWAYS-C50 | 100/s, 50% | 0.50 | 0.80 |" in told
    everysec = Figures(log=LogFigures(rows=[row("everysec-16", ours=1.0, unlogged=1.0)]))
    assert "What the disk leaves" not in page(everysec, {})


@pytest.mark.parametrize(("seconds", "is_held"), [(0.5, True), (0.51, False)])
def test_replay_and_rewrite_are_twice_as_fast_as_the_best_peer(
    seconds: float, is_held: object
) -> None:
    found = {"perdure": [seconds], "redis-8.2": [2.0], "valkey-9.1": [1.0]}
    figures = Figures(log=LogFigures(replay_seconds=found, rewrite_seconds=found))
    assert verdict(figures, "replay").is_held is is_held
    assert verdict(figures, "rewrite").is_held is is_held


def test_lost_rows_are_named_without_a_floor_too() -> None:
    mset = row("mset-16", ours=3.0, redis=2.0)
    mset.samples["redis-8.2"] = [Sample(2e6, 2.0, 0.5)]
    figures = Figures(rows=[mset], start_seconds={"perdure": [0.5], "redis-8.2": [0.25]})
    assert [(lost.id, lost.how) for lost in lost_rows(figures)] == [
        ("mset-16", "1.50x of Redis 8.2's"),
        ("mset-16-rate", "0.50x of Redis 8.2's"),
        ("start", "2.00x of Redis 8.2's"),
    ]


def test_next_steps_are_of_rows_that_exist() -> None:
    ids = {found.id for found in (*ROWS, *LOG_ROWS)}
    known = ids | {f"{row_id}-rate" for row_id in ids} | {f"{it}-kept" for it in UNLOGGED_RATE_MIN}
    assert set(next_steps()) <= known | {*STAGES, *LOG_STAGES} | {"resident", "start"}


def full_figures() -> Figures:
    """Make figures with something in every table."""
    servers = ("perdure", "redis-8.2")
    return Figures(
        machine={"processor": "one"},
        versions=dict.fromkeys((*servers, "null"), "1.0"),
        rounds=1,
        keys=1000,
        rows=[
            row("set-16", ours=0.9, redis=1.0, null=0.3),
            RowFigures("hset-16", "HSET P=16", "", row("", redis=1.0).samples, ["perdure"]),
        ],
        used_bytes=dict.fromkeys(servers, 100.0),
        resident_bytes=dict.fromkeys(servers, 110.0),
        file_bytes=dict.fromkeys(servers, 1 << 20),
        save_seconds={key: [0.5] for key in servers},
        load_seconds={key: [0.5] for key in servers},
        start_seconds={key: [0.75] for key in servers},
        fork_us={key: [1500.0] for key in servers},
        big_forks={"perdure": BigForks(4 << 30, [Fork(1500, 1.0), Fork(2500, 0.995)])},
        log=LogFigures(
            rows=[row("always-c50", ours=8.0, redis=10.0, unlogged=5.0)],
            fsyncs={"always-c50": {"perdure": 25.0, "redis-8.2": 37.5}},
            killed=["always perdure"],
            commands=1000,
            replay_seconds={key: [0.5] for key in servers},
            verified=list(servers),
        ),
        verified=list(servers),
    )


def test_the_page_says_what_ran_what_is_lost_and_why() -> None:
    text = page(full_figures(), {"set-16": "Touch fewer lines."})
    assert "| CPU of SET P=16 | at most 0.75x | 0.90x | 0.900 µs | 1.000 µs (Redis 8.2)" in text
    assert "- CPU of SET P=16: Touch fewer lines.\n" in text
    assert "- speed of SAVE: not looked into yet\n" in text
    assert "| HSET P=16 | not supported | 1.000 µs |" in text
    assert "| SET-16 | 0.900 µs | 1.000 µs | 0.300 µs | 0.90 | 33% |" in text
    assert "| Perdure | 4 | 2.00 ms | 1.50 (100%), 2.50 (100%) |" in text
    assert "as before the first: Perdure, Redis 8.2." in text
    assert "| ALWAYS-C50 | 8.000 µs | 10.000 µs | 0.80 |" in text
    assert "| SET always, 50 clients, for 1,000 writes | 25.0 | 37.5 |" in text
    assert "as before the kill: Perdure (always)." in text
    assert "| replay, by the server's own log | 0.50 s | 0.50 s | 1.00 |" in text
    assert "\n\n\n" not in text


def test_the_page_marks_rows_where_the_client_is_the_limit() -> None:
    figures = full_figures()
    figures.rows[0].samples["perdure"] = [Sample(1e6, 0.9, 0.96)]
    text = page(figures, {})
    assert "| 1,000,000/s, 96%\\* | 1,000,000/s, 50% |" in text


def test_a_page_of_nothing_is_still_a_page() -> None:
    assert page(Figures(), {}).startswith("# Results")


def test_a_table_has_as_many_columns_as_its_head() -> None:
    assert table(("a", "b"), [("1", "2")]) == ["| a | b |", "| --- | ---: |", "| 1 | 2 |"]


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    figures = full_figures()
    save_figures(figures, tmp_path / "figures.json")
    assert load_figures(tmp_path / "figures.json") == figures


def test_the_chart_draws_rows_that_both_ran() -> None:
    bars, logged = bars_of(full_figures())
    assert logged.ratios == {"perdure": 0.8, "redis-8.2": 1.0}
    assert bars.ratios == {"perdure": 0.9, "redis-8.2": 1.0, "null": 0.3}
    assert bars.floor == CPU_RATIO_MAX["set-16"]


def test_only_a_whole_run_replaces_the_results() -> None:
    assert out_folder(parse([])) == HERE
    for part in ("--quick", "--rows=set-16", "--servers=perdure,null"):
        assert out_folder(parse([part])) == PARTIAL
    assert out_folder(parse(["--quick", "--out", "/x"])) == Path("/x")
    assert out_folder(parse(["--render", "/x/figures.json"])) == Path("/x")


@pytest.mark.parametrize("words", [["--rows", "sot-16"], ["--servers", "redis-5"]])
def test_a_name_that_means_nothing_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert "no row or server" in capsys.readouterr().err
