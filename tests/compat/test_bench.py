"""The bench runs end to end on a little data: it measures, saves, loads, and verifies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.figures import Figures
from bench.log_files import run_log_stages
from bench.logged import run_log_rows
from bench.page import page
from bench.persistence import run_stages
from bench.rows import LOG_ROWS, ROWS, quick
from bench.servers import PEER_NAMES
from bench.throughput import run_rows
from tests.support.processes import RedisServer, wait_for

SERVERS = ("perdure", "redis-7.0")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pins two cores apart")
def test_rows_give_a_figure_for_every_server(tmp_path: Path) -> None:
    figures = Figures(rounds=2, keys=1000)
    chosen = [replace(quick(row), requests=2000) for row in ROWS if row.id in {"set-16", "incr-16"}]
    run_rows(chosen, SERVERS, figures, tmp_path)
    assert [row.id for row in figures.rows] == ["set-16", "incr-16"]
    for row in figures.rows:
        assert set(row.samples) == set(SERVERS)
        for samples in row.samples.values():
            assert len(samples) == 2
            assert all(sample.rate > 0 and sample.server_us > 0 for sample in samples)


def test_stages_verify_the_data_of_every_server(tmp_path: Path) -> None:
    figures = Figures(rounds=1, keys=1000)
    run_stages({"save", "load", "fork", "bytes"}, ("perdure", *PEER_NAMES), figures, tmp_path)
    assert figures.verified == ["perdure", *PEER_NAMES]
    for by_server in (figures.save_seconds, figures.load_seconds, figures.fork_us):
        assert set(by_server) == {"perdure", *PEER_NAMES}
    assert all(size > 80 for size in figures.used_bytes.values())
    assert "DEBUG DIGEST" in page(figures, {})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pins two cores apart")
def test_rows_with_a_log_lose_nothing_by_a_kill(tmp_path: Path) -> None:
    figures = Figures(rounds=1, keys=1000)
    always = next(row for row in LOG_ROWS if row.id == "always-c50")
    chosen = [replace(quick(always), requests=2000, keys=1000)]
    run_log_rows(chosen, SERVERS, figures, tmp_path)
    (row,) = figures.log.rows
    assert set(row.samples) == {*SERVERS, "perdure-unlogged", "null-fsynced"}
    assert all(sample.rate > 0 for samples in row.samples.values() for sample in samples)
    assert "What the disk leaves" in page(figures, {})
    assert figures.log.killed == ["always perdure", "always redis-7.0"]
    if shutil.which("strace"):
        counts = figures.log.fsyncs["always-c50"]
        assert all(1000 / 50 <= counts[name] <= 1000 for name in SERVERS)


def test_replay_and_rewrite_are_verified(tmp_path: Path) -> None:
    figures = Figures(rounds=1)
    figures.log.commands = 1000
    run_log_stages({"replay", "rewrite"}, SERVERS, figures, tmp_path)
    assert figures.log.verified == list(SERVERS)
    assert set(figures.log.replay_seconds) == set(figures.log.rewrite_seconds) == set(SERVERS)


def test_another_data_set_than_before_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = (f"{number:040x}" for number in range(2))
    monkeypatch.setattr("bench.persistence.digest", lambda _: next(digests))
    with pytest.raises(RuntimeError, match="holds another data set"):
        run_stages({"bytes"}, ["redis-7.0"], Figures(rounds=1, keys=100), tmp_path)


def test_servers_that_hold_other_data_than_each_other_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = (f"{number:040x}" for number in range(9))
    monkeypatch.setattr("bench.persistence.digest", lambda _: next(digests))
    with pytest.raises(RuntimeError, match="not the same data"):
        run_stages({"bytes"}, PEER_NAMES[:2], Figures(rounds=1, keys=100), tmp_path)


def _writes_log(folder: Path) -> bool:
    return any(log.stat().st_size for log in folder.glob("*/rows/*/redis.log"))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pins two cores apart")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_leaves_no_server_and_no_data(tmp_path: Path, number: int) -> None:
    words = ("--quick", "--rounds", "1000", "--rows", "set-16", "--servers", "redis-7.0")
    command = (sys.executable, "-m", "bench.run", *words, "--folder", tmp_path / "data")
    (tmp_path / "data").mkdir()
    run = subprocess.Popen([*map(str, command), "--out", str(tmp_path / "out")], cwd=ROOT)
    children: list[int] = []
    try:
        wait_for(lambda: _writes_log(tmp_path / "data"), "a server that writes to its log")
        text = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text()
        children = [int(pid) for pid in text.split()]
        run.send_signal(number)
        assert run.wait(60) == 128 + number
        assert children
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert not any((tmp_path / "data").iterdir())
    finally:
        for pid in (run.pid, *children):
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
        run.wait(60)


def test_a_server_that_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.processes.START_SECONDS", 2.0)
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 100\n")
    silent.chmod(0o755)
    with pytest.raises(AssertionError, match="in vain"):
        RedisServer(tmp_path / "server", binary=silent)
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
