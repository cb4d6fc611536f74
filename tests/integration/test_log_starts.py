"""Starts with the log on, as an operator sees them: exit code, message, and that its hint works.

Which state of the disk is refused is tested beside the code (docs/formats/recovery.md); here are
the process, its words, and the control plane's part.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, perdure_binary
from tests.support.shell import run

EXIT_DATA = 11
KEYS = 500
LOG = "appendonlydir/appendonly.aof.1.incr.aof"


def _filled(folder: Path) -> tuple[Path, str]:
    """Write and stop in order; give the data dir and the digest."""
    with Sidecar(folder) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        assert sidecar.stop() == 0
    return sidecar.data, digest


def _refused(folder: Path, *redis_args: str) -> tuple[str, str]:
    """Start in vain; give the error and the hint."""
    with Sidecar(folder, redis_args=redis_args, is_awaited=False) as sidecar:
        assert sidecar.wait() == EXIT_DATA, sidecar.tail()
        *_, error, hint = sidecar.log.read_text().splitlines()
    assert error.startswith("Error: ")
    assert hint.startswith("Try: ")
    return error, hint


def _named_start(hint: str) -> tuple[str, ...]:
    """Give the arguments of the start that a hint names."""
    named = re.search(r"`perdure serve -- ([^`]+)`", hint)
    assert named, hint
    return tuple(named[1].split())


def test_log_that_is_gone_is_missed_and_the_hint_goes_on_from_the_rdb_file(tmp_path: Path) -> None:
    data, digest = _filled(tmp_path)
    shutil.rmtree(data / "appendonlydir")
    error, hint = _refused(tmp_path)
    assert "the log is not there" in error
    assert "then `CONFIG SET appendonly yes`" in hint
    with Sidecar(tmp_path, redis_args=_named_start(hint)) as sidecar:
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.config_set("appendonly", "yes")
            assert client.set("after", "1")
        digest = sidecar.digest()
        sidecar.kill()
    with Sidecar(tmp_path) as sidecar:
        assert sidecar.digest() == digest


def test_log_is_not_left_aside(tmp_path: Path) -> None:
    """`appendonly no` over a log that holds more than dump.rdb; then switched off as told."""
    with Sidecar(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        with sidecar.client() as client:
            client.save()
            assert client.set("after", "1")
        digest = sidecar.digest()
        sidecar.kill()
    _, hint = _refused(tmp_path, "--appendonly", "no")
    assert "`CONFIG SET appendonly no`" in hint
    with Sidecar(tmp_path, redis_args=_named_start(hint)) as sidecar:
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.config_set("appendonly", "no")
            client.save()
        sidecar.kill()
    with Sidecar(tmp_path, redis_args=("--appendonly", "no")) as sidecar:
        assert sidecar.digest() == digest


def test_damage_in_the_middle_is_refused_with_the_command_that_cuts_it(tmp_path: Path) -> None:
    """A flipped byte below what was fsynced. The cut log is older than dump.rdb then: said, too."""
    data, digest = _filled(tmp_path)
    whole = (data / LOG).read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    (data / LOG).write_bytes(damaged)
    error, hint = _refused(tmp_path)
    assert f"{data / LOG}: offset " in error
    assert (data / LOG).read_bytes() == damaged
    named = re.search(r"`perdure (aof check --fix [^`]+)`", hint)
    assert named, hint
    run(perdure_binary(), *named[1].split())
    kept = (data / LOG).read_bytes()
    assert whole.startswith(kept)
    error, hint = _refused(tmp_path)
    assert "where dump.rdb was saved" in error
    with Sidecar(tmp_path, redis_args=_named_start(hint)) as sidecar:
        assert sidecar.digest() == digest
        assert sidecar.stop() == 0
    (data / "dump.rdb").unlink()
    assert "Start from the log" in _refused(tmp_path, "--appendonly", "no")[1]


def test_data_set_that_is_gone_comes_back_from_a_snapshot_with_a_log(tmp_path: Path) -> None:
    """The refusal names the snapshot; what is placed becomes the base of a log of its own."""
    with Sidecar(tmp_path) as sidecar:
        write_strings(sidecar.ports["resp"], KEYS, seed=1)
        digest = sidecar.digest()
        sidecar.json("snapshot", "create")
        sidecar.kill()
    shutil.rmtree(sidecar.data / "appendonlydir")
    assert not (sidecar.data / "dump.rdb").exists()
    _, hint = _refused(tmp_path)
    named = re.search(r"PERDURE_SERVER__BOOT_SOURCE=(snapshot:\S+)", hint)
    assert named, hint
    with Sidecar(tmp_path, env={"PERDURE_SERVER__BOOT_SOURCE": named[1]}) as sidecar:
        assert sidecar.digest() == digest
        with sidecar.client() as client:
            assert client.info("persistence")["aof_enabled"] == 1
            assert client.set("after", "1")
        digest = sidecar.digest()
        sidecar.kill()
    with Sidecar(tmp_path) as sidecar:
        assert sidecar.digest() == digest
