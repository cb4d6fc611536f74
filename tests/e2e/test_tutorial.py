"""The first steps of every tutorial about Redis and persistence, with the real redis-cli."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import Sidecar, debian_tool, wait_for
from tests.support.shell import run

CONF = """\
# after 20 seconds, if at least 3 keys changed
save 20 3
dbfilename tutorial.rdb
"""
EARLY = {"first": "1", "second": "2", "third": "3"}
LATE = {"fourth": "4", "fifth": "5"}


def test_five_keys_are_there_after_the_tutorial_s_kill(tmp_path: Path) -> None:
    """RDB first, then the log switched on live; SIGKILL right behind the last answer.

    In redis-server 7.0 a kill at that place finds no key at all: the log's base is not written yet.
    """
    conf = tmp_path / "redis.conf"
    conf.write_text(CONF)
    with Sidecar(tmp_path, "--redis-conf", str(conf)) as sidecar:
        assert _redis_cli(sidecar, "CONFIG", "GET", "appendonly") == "appendonly\nno"
        for key, value in EARLY.items():
            assert _redis_cli(sidecar, "SET", key, value) == "OK"
        wait_for((sidecar.data / "tutorial.rdb").exists, "the save point", 120)
        for call in ("SET appendonly yes", "SET appendfsync always", "REWRITE"):
            assert _redis_cli(sidecar, "CONFIG", *call.split()) == "OK"
        for key, value in LATE.items():
            assert _redis_cli(sidecar, "SET", key, value) == "OK"
        sidecar.kill()
    text = conf.read_text()
    assert "save 20 3" in text
    assert "appendonly yes" in text
    assert "appendfsync always" in text

    with Sidecar(tmp_path, "--redis-conf", str(conf)) as sidecar:
        cursor, *keys = _redis_cli(sidecar, "SCAN", "0").splitlines()
        assert (cursor, sorted(keys)) == ("0", sorted(EARLY | LATE))
        for key, value in (EARLY | LATE).items():
            assert _redis_cli(sidecar, "GET", key) == value
        assert _redis_cli(sidecar, "CONFIG", "GET", "appendfsync") == "appendfsync\nalways"
        assert sidecar.stop() == 0


def test_a_key_is_there_after_a_kill_with_nothing_configured(tmp_path: Path) -> None:
    """The embedded default: a log, so what was answered is there; twice."""
    for number in range(2):
        with Sidecar(tmp_path) as sidecar:
            assert _redis_cli(sidecar, "DBSIZE") == str(number)
            assert _redis_cli(sidecar, "SET", f"key:{number}", "v") == "OK"
            sidecar.kill()
    with Sidecar(tmp_path) as sidecar:
        assert _redis_cli(sidecar, "SHUTDOWN") == ""
        assert sidecar.wait() == 0
    with Sidecar(tmp_path) as sidecar:
        assert _redis_cli(sidecar, "DBSIZE") == "2"
        assert _redis_cli(sidecar, "CONFIG", "GET", "appendonly") == "appendonly\nyes"
        assert sidecar.stop() == 0


def _redis_cli(sidecar: Sidecar, *args: str) -> str:
    return run(debian_tool("redis-cli"), "-p", sidecar.ports["resp"], *args).stdout.strip()
