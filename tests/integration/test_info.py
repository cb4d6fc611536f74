"""INFO beside a real redis-server: the same sections and fields, less a list with reasons.

redis_exporter and client libraries find a figure by its field's name. A field that is not there is
missing on a dashboard; one that is made up is worse, so those that have no meaning here are left
out, and this is the list of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tests.support.processes import RedisServer, Sidecar

# What a real server shows and we do not, with the reason.
LEFT_OUT = {
    "atomicvar_api": "says how Redis's C code was compiled",
    "gcc_version": "says how Redis's C code was compiled",
    "used_memory_overhead": "what the tables take is not counted apart from the data",
    "used_memory_startup": "used_memory counts the keyspace, of which there is none at the start",
    "used_memory_dataset": "is used_memory less the overhead",
    "used_memory_dataset_perc": "is used_memory less the overhead",
    "allocator_allocated": "the allocator counts no such figure for the keyspace alone",
    "allocator_active": "the allocator counts no such figure for the keyspace alone",
    "allocator_resident": "the allocator counts no such figure for the keyspace alone",
    "allocator_frag_ratio": "is made of the three above",
    "allocator_frag_bytes": "is made of the three above",
    "allocator_rss_ratio": "is made of the three above",
    "allocator_rss_bytes": "is made of the three above",
    "rss_overhead_ratio": "is made of the three above",
    "rss_overhead_bytes": "is made of the three above",
    "current_cow_peak": "a child tells what was copied once, at its end: rdb_last_cow_size",
    "current_cow_size": "a child tells what was copied once, at its end: rdb_last_cow_size",
    "current_cow_size_age": "a child tells what was copied once, at its end: rdb_last_cow_size",
    "reply_buffer_shrinks": "there is no reply buffer of that kind",
    "reply_buffer_expands": "there is no reply buffer of that kind",
}
# What we show and a real server does not.
OURS = {"perdure_version"}

CALLS = (
    ("SET", "a", "1", "EX", "1000"),
    ("GET", "a"),
    ("GET",),
    ("INCR", "a"),
    ("CONFIG", "GET", "port"),
    ("NOSUCH",),
    ("SET", "b", "x"),
    ("INCR", "b"),
)

# Fields that have a real server's value after the same calls.
SAME: dict[str, tuple[str, ...]] = {
    "# Errorstats": ("errorstat_ERR",),
    "# Stats": ("total_error_replies", "keyspace_hits", "keyspace_misses", "expired_keys"),
    "# Cluster": ("cluster_enabled",),
    "# Persistence": ("rdb_changes_since_last_save", "rdb_saves", "rdb_last_load_keys_loaded"),
    "# Replication": ("role", "connected_slaves", "repl_backlog_size"),
}
# Each names sections, or is a word for several of them.
ASKED = (
    (),
    ("default",),
    ("all",),
    ("everything",),
    ("modules",),
    ("module_list",),
    ("nosuch",),
    ("Server", "nosuch", "CPU"),
    ("keyspace", "server"),
    ("default", "commandstats"),
    ("errorstats", "latencystats"),
)

Fields = dict[str, dict[str, str]]


def _raw(client: redis.Redis) -> redis.Redis:
    """Let replies be what was sent: the library would parse INFO."""
    client.response_callbacks.clear()
    return client


def _call(client: redis.Redis, call: Sequence[str]) -> None:
    with suppress(redis.exceptions.ResponseError):
        client.execute_command(*call)  # type: ignore[no-untyped-call]


def _info(client: redis.Redis, *sections: str) -> Fields:
    """Give the fields by heading, in the order of the text."""
    text: bytes = client.execute_command("INFO", *sections)  # type: ignore[no-untyped-call]
    found: Fields = {}
    fields: dict[str, str] = {}
    for line in text.decode().split("\r\n"):
        if line.startswith("# "):
            fields = found[line] = {}
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value
    return found


def _names(fields: Fields) -> set[str]:
    return {name for section in fields.values() for name in section}


@pytest.mark.parametrize("appendonly", ["yes", "no"])
def test_sections_and_fields_are_those_of_a_real_server(tmp_path: Path, appendonly: str) -> None:
    """Every difference is in one of the two lists, and the lists hold nothing else."""
    args = ("--appendonly", appendonly)
    with (
        RedisServer(tmp_path / "redis", *args) as peer,
        Sidecar(tmp_path / "ours", redis_args=args) as sidecar,
    ):
        theirs, ours = _raw(peer.client()), _raw(sidecar.client())
        for client in (theirs, ours):
            _call(client, ("CONFIG", "RESETSTAT"))
            for call in CALLS:
                _call(client, call)
        expected, found = _info(theirs, "everything"), _info(ours, "everything")
        for asked in ASKED:
            assert list(_info(ours, *asked)) == list(_info(theirs, *asked)), asked
        assert sidecar.stop() == 0
    assert _names(expected) - _names(found) == set(LEFT_OUT)
    assert _names(found) - _names(expected) == OURS
    for heading, names in SAME.items():
        same = {name: expected[heading][name] for name in names}
        assert {name: found[heading][name] for name in names} == same
    assert found["# Keyspace"]["db0"].startswith("keys=2,expires=1,avg_ttl=")


def test_figures_of_commands_are_those_of_a_real_server(tmp_path: Path) -> None:
    """Calls, refused ones and failed ones; how long they took is each server's own."""
    with RedisServer(tmp_path / "redis") as peer, Sidecar(tmp_path / "ours") as sidecar:
        counted = []
        for client in (_raw(peer.client()), _raw(sidecar.client())):
            _call(client, ("CONFIG", "RESETSTAT"))
            for call in CALLS:
                _call(client, call)
            figures = _info(client, "commandstats")["# Commandstats"]
            counted.append(
                {
                    name: re.sub(r"usec=\d+,usec_per_call=[\d.]+,", "", value)
                    for name, value in figures.items()
                }
            )
        assert sidecar.stop() == 0
    assert counted[0] == counted[1]


def test_a_pipeline_is_counted_command_by_command(tmp_path: Path) -> None:
    """What shares one reading of the clock is still counted, and has a duration."""
    with Sidecar(tmp_path) as sidecar:
        client = _raw(sidecar.client())
        pipeline = client.pipeline(transaction=False)
        for number in range(1000):
            pipeline.set(f"k{number}", number)
            pipeline.get(f"k{number}")
        pipeline.execute()
        figures = _info(client, "commandstats")["# Commandstats"]
        rates = _info(client, "stats")["# Stats"]
        assert sidecar.stop() == 0
    for name in ("cmdstat_set", "cmdstat_get"):
        assert figures[name].startswith("calls=1000,usec=")
        assert not figures[name].startswith("calls=1000,usec=0,")
    assert int(rates["total_reads_processed"]) > 0
    assert int(rates["total_writes_processed"]) > 0
