"""What the bench reads from tools, kernel and logs, without running any of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import fillings, rows
from bench.benchmark_tool import rate_of
from bench.figures import NULL_FSYNCED, UNLOGGED
from bench.fillings import check_replies
from bench.fsyncs import fsyncs_of
from bench.machine import chosen, disk_of, field_of
from bench.process import Anonymous, cpu_seconds, huge_share, sizes
from bench.servers import NAMES, TITLES, load_seconds_of, log_arguments, version_of
from bench.throughput import rotated

HEAD = '"test","rps","avg_latency_ms"\n'


def test_the_rate_is_read_from_the_table_of_one_test() -> None:
    assert rate_of(HEAD + '"SET","1234567.89","0.5"\n') == 1234567.89


@pytest.mark.parametrize(
    "table",
    ["", HEAD, HEAD + '"LPUSH (needed)","1","2"\n"LRANGE","3","4"\n', "Error: refused\nx\n"],
    ids=["nothing", "no test", "two tests", "an error"],
)
def test_any_other_table_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match="not the table of one test"):
        rate_of(table)


def test_each_round_begins_with_another_server() -> None:
    servers = ["a", "b", "c"]
    assert [rotated(servers, turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]
    assert rotated(servers, 1) == ["b", "c", "a"]
    assert rotated([], 1) == []


def test_cpu_time_of_a_process_is_the_sum_of_its_threads() -> None:
    spent = sum(os.times()[:2])
    assert cpu_seconds(os.getpid()) == pytest.approx(spent, abs=0.5)


def test_huge_pages_are_a_share_of_what_the_data_added() -> None:
    rollup = sizes("00-7f ---p 0 00:00 0  [rollup]\nAnonymous:  4096 kB\nAnonHugePages:  2048 kB\n")
    assert rollup == {"Anonymous": 4 << 20, "AnonHugePages": 2 << 20}
    empty, full = Anonymous(70, 10), Anonymous(170, 85)
    assert huge_share(empty, full) == 0.75
    assert huge_share(full, full) == 0.0
    assert huge_share(empty, Anonymous(170, 200)) == 1.0


def test_the_last_load_of_a_log_counts() -> None:
    theirs = "1:M * DB loaded from disk: 0.100 seconds\n1:M * DB loaded from disk: 0.250 seconds\n"
    assert load_seconds_of("redis-7.0", theirs) == 0.25
    log = "1:M * DB loaded from incr file a.1.incr.aof: 0.500 seconds\n"
    log += "1:M * DB loaded from append only file: 0.625 seconds\n"
    assert load_seconds_of("valkey-9.1", theirs + log) == 0.625
    ours = '{"event": "starting"}\n{"event": "data_set_loaded", "keys": 3, "seconds": 0.125}\n'
    assert load_seconds_of("perdure", ours) == 0.125
    with pytest.raises(ValueError, match="did not say"):
        load_seconds_of("perdure", theirs)


def test_a_server_is_named_by_its_own_version() -> None:
    assert version_of({"redis_version": "7.2.4", "valkey_version": "9.1.2"}) == "9.1.2"
    assert version_of({"redis_version": "7.0.15", "perdure_version": "0.1.0"}) == "0.1.0"
    assert version_of({"redis_version": "8.2.3"}) == "8.2.3"


def test_machine_facts_are_read_as_the_kernel_writes_them() -> None:
    assert field_of("a : 1\nmodel name\t: Some: CPU\n", "model name") == "Some: CPU"
    assert field_of("", "model name") == "unknown"
    assert chosen("always [madvise] never") == "madvise"


def test_rows_are_chosen_by_pattern_and_a_slip_is_told() -> None:
    ids = [row.id for row in rows.chosen_rows(["set-*", "hset-16"], is_quick=False)]
    assert ids == ["set-1", "set-16", "set-64", "hset-16"]
    assert rows.chosen_stages(["save", "set-1"]) == {"save"}
    assert rows.chosen_stages([]) == {*rows.STAGES, *rows.LOG_STAGES, rows.CALLS}
    assert rows.unmatched(["set-*", "sat-16", "load"]) == ["sat-16"]
    every = [row.id for row in (*rows.ROWS, *rows.LOG_ROWS)]
    assert len(set(every)) == len(every)


def test_a_quick_row_differs_in_counts_only() -> None:
    whole, trial = rows.ROWS[0], rows.quick(rows.ROWS[0])
    assert trial.requests < whole.requests
    assert trial.keys < whole.keys
    assert (trial.id, trial.filling) == (whole.id, whole.filling)


def test_a_row_with_words_runs_them_and_no_test_of_the_tool() -> None:
    row = next(row for row in rows.ROWS if row.words)
    assert row.arguments()[-4:] == ["LRANGE", "mylist", "0", "99"]
    assert "-t" not in row.arguments()
    assert rows.ROWS[0].arguments()[:2] == ["-t", "set"]


@pytest.mark.parametrize(
    ("filling", "commands"),
    [
        (fillings.STRINGS, 250),
        (fillings.COUNTERS, 250),
        (fillings.HASH, 3),
        (fillings.LIST, 3),
        (fillings.SET, 3),
        (fillings.SORTED_SET, 3),
        (fillings.NO_LIST, 0),
    ],
    ids=lambda value: value.name if isinstance(value, fillings.Filling) else "",
)
def test_a_filling_is_the_same_in_each_run(filling: fillings.Filling, commands: int) -> None:
    chunks = filling.chunks(250)
    assert sum(chunk.commands for chunk in chunks) == commands
    assert chunks == filling.chunks(250)
    data = b"".join(chunk.data for chunk in chunks)
    assert data.count(b"\r\n" + filling.verb.encode() + b"\r\n") == commands


def test_chunks_are_cut_between_commands() -> None:
    chunks = fillings.STRINGS.chunks(20_000)
    assert len(chunks) > 1
    assert all(chunk.data.startswith(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:") for chunk in chunks)
    assert sum(chunk.commands for chunk in chunks) == 20_000


def test_an_error_among_the_replies_stops_the_run() -> None:
    check_replies(b"+OK\r\n:-1\r\n")
    with pytest.raises(RuntimeError, match="WRONGTYPE"):
        check_replies(b"+OK\r\n-WRONGTYPE Operation\r\n")


def test_every_server_has_a_title() -> None:
    assert set(TITLES) == {*NAMES, UNLOGGED, NULL_FSYNCED}


def test_the_log_is_said_to_every_server() -> None:
    """Our embedded default is `appendonly yes`: without the word a row would measure the log."""
    assert log_arguments("") == ("--appendonly", "no")
    assert log_arguments("always")[:4] == ("--appendonly", "yes", "--appendfsync", "always")


def test_rows_of_a_log_say_policy_and_clients() -> None:
    ids = [row.id for row in rows.LOG_ROWS]
    assert ids[:4] == ["always-c1", "always-c50", "always-c200", "everysec-1"]
    assert rows.title_of("always-c1") == "SET always, 1 client"
    assert rows.title_of("everysec-16") == "SET everysec P=16"
    assert "-c 200" in " ".join(rows.LOG_ROWS[2].arguments())


def test_fsyncs_count_on_files_of_the_log_only() -> None:
    trace = (
        "7 fdatasync(12</d/appendonlydir/appendonly.aof.1.incr.aof>) = 0\n"
        "7 fsync(4</d/appendonlydir/appendonly.aof.manifest>) = 0\n"
        "8 fdatasync(12</d/a.1.incr.aof> <unfinished ...>\n"
        "8 <... fdatasync resumed>) = 0\n"
    )
    assert fsyncs_of(trace) == 2


def test_a_folder_in_memory_is_no_disk() -> None:
    mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /fast tmpfs rw 0 0\n"
    assert disk_of(Path("/var/x"), mounts) == "ext4, a disk"
    assert disk_of(Path("/fast/x"), mounts) == "tmpfs, which is memory: fsync costs nothing"
