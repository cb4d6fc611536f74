"""`perdure rdb check` and `inspect` over the real engine: files of every server and damage.

The reading itself is tested in Rust; here the words, the JSON and the exit codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.cli.main import run
from perdure.exit_codes import ExitCode
from sidecar._engine import inspect_rdb
from tests.support.peers import PeerServer

Ask = Callable[..., tuple[int, str, str]]
END = b"\xff" + bytes(8)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `perdure rdb WORDS`; give exit code, stdout and stderr."""

    def asked(*words: object) -> tuple[int, str, str]:
        code = run(["rdb", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return asked


def text(value: bytes) -> bytes:
    """Encode a short string."""
    assert len(value) < 64
    return bytes([len(value)]) + value


def by_hand(folder: Path, *items: bytes) -> Path:
    """Write a file of version 10 without a checksum."""
    path = folder / "dump.rdb"
    path.write_bytes(b"REDIS0010" + b"".join(items) + END)
    return path


def string_key(name: bytes, value: bytes) -> bytes:
    return b"\x00" + text(name) + text(value)


def test_a_sound_file_is_sound(tmp_path: Path, ask: Ask) -> None:
    path = by_hand(tmp_path, string_key(b"k", b"v"), b"\x04" + text(b"h") + b"\x01\x01f\x01v")
    code, out, err = ask("check", path)
    assert (code, err) == (ExitCode.OK, "")
    assert "sha256" in out
    assert "Perdure loads it" in out
    for words in (("check", path, "-o", "json"), ("check", path, "--json")):
        code, out, err = ask(*words)
        found = json.loads(out)
        assert (code, err) == (ExitCode.OK, "")
        assert found["is_sound"] is found["is_loadable"] is True
        assert (found["keys"], found["is_checksummed"], len(found["sha256"])) == (2, False, 64)


def test_damage_is_told_with_its_place_and_what_to_do(tmp_path: Path, ask: Ask) -> None:
    path = by_hand(tmp_path, b"\x02" + text(b"set") + b"\x02\x01a\x01a")
    for verb in ("check", "inspect"):
        code, out, err = ask(verb, path)
        assert (code, out) == (ExitCode.DATA_CORRUPT, "")
        error, hint = err.splitlines()
        assert error.startswith("Error: ")
        assert "offset" in error
        assert "twice" in error
        assert "'set' in db 0" in error
        assert hint.startswith("Try: ")


def test_damage_is_a_document_for_a_program(tmp_path: Path, ask: Ask) -> None:
    """The verdict is on stdout though the command fails; a file that is not there has none."""
    path = by_hand(tmp_path, b"\x02" + text(b"set") + b"\x02\x01a\x01a")
    code, out, err = ask("check", path, "-o", "json")
    assert code == ExitCode.DATA_CORRUPT
    assert err.startswith("Error: ")
    found = json.loads(out)
    assert found["is_sound"] is found["is_loadable"] is False
    assert found["error"]["code"].startswith("RDB_")
    assert found["error"]["message"] in err
    assert found["error"]["context"]["path"] == str(path)
    path.write_bytes(b"REDIS0099" + END)
    found = json.loads(ask("check", path, "-o", "json")[1])
    assert (found["is_sound"], found["is_loadable"]) == (None, False)
    code, out, _ = ask("check", tmp_path / "nothing.rdb", "-o", "json")
    assert (code, out) == (ExitCode.NOT_FOUND, "")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, ExitCode.NOT_FOUND, "x.rdb: No such file or directory\n"),
        (b"", ExitCode.DATA_CORRUPT, "offset 0: the file is empty"),
        (b"PK\x03\x04 no such file", ExitCode.DATA_CORRUPT, "not an RDB file"),
        (b"REDIS0099" + END, ExitCode.DATA_CORRUPT, "version 99"),
        (b"REDIS0010\x00\x01k", ExitCode.DATA_CORRUPT, "offset 12: the file ends too soon"),
        (b"REDIS0010\x00\x01k\x05a", ExitCode.DATA_CORRUPT, "at least 4 bytes are missing"),
    ],
)
def test_what_cannot_be_read_has_an_exit_code(
    tmp_path: Path, ask: Ask, content: bytes | None, code: ExitCode, said: str
) -> None:
    path = tmp_path / "x.rdb"
    if content is not None:
        path.write_bytes(content)
    ended, out, err = ask("check", path)
    assert (ended, out) == (code, "")
    assert err.startswith("Error: ")
    assert said in err
    assert "Try: " in err


def test_bytes_after_the_end_are_refused_by_check_and_shown_by_inspect(
    tmp_path: Path, ask: Ask
) -> None:
    path = by_hand(tmp_path, string_key(b"k", b"v"))
    path.write_bytes(path.read_bytes() + b"tail")
    code, _, err = ask("check", path)
    assert code == ExitCode.DATA_CORRUPT
    assert "cut the file there" in err
    code, out, _ = ask("inspect", path)
    assert code == ExitCode.OK
    assert "4 bytes, which a load ignores" in out


def test_inspect_names_the_biggest_keys_within_bounds(tmp_path: Path, ask: Ask) -> None:
    keys = [string_key(b"key:%d" % number, b"x" * number) for number in range(30)]
    hostile = string_key(b"\x1b[31mred\n", b"y" * 60)
    path = by_hand(tmp_path, *keys, hostile)
    code, out, _ = ask("inspect", path, "--top", 3)
    assert code == ExitCode.OK
    assert "key:29" in out
    assert "key:27" not in out
    assert "\x1b" not in out
    found = json.loads(ask("inspect", path, "--top", 2, "--json")[1])
    assert [key["key"] for key in found["largest"]] == ["\x1b[31mred\n", "key:29"]
    assert found["longest"] == []
    assert ask("inspect", path, "--top", 10_001)[0] == ExitCode.USAGE


def test_what_the_progress_raises_ends_the_reading(tmp_path: Path) -> None:
    path = by_hand(tmp_path, string_key(b"k", b"v"))
    told: list[tuple[int, int]] = []
    inspect_rdb(path, top=0, strict=True, progress=lambda *counts: told.append(counts))
    size = path.stat().st_size
    assert told[-1] == (size, size)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect_rdb(path, top=0, strict=True, progress=stop)


def fill(peer: PeerServer) -> None:
    """Make a key of each kind, small and large."""
    with peer.client() as client:
        client.set("s", "v", ex=1000)
        client.rpush("l", *range(50))
        client.sadd("t", *(f"m{number}" for number in range(1000)))
        client.zadd("z", {f"m{number}": number for number in range(500)})
        client.hset("h", mapping={f"f{number}": number for number in range(10)})
        client.xadd("x", {"f": "v"})
        client.xgroup_create("x", "g", "0")
        client.xreadgroup("g", "c", {"x": ">"})
        client.execute_command("SAVE")


@pytest.mark.parametrize("name", ["redis-6.2", "redis-7.0", "redis-8.2", "valkey-9.1"])
def test_files_of_other_servers_are_inspected(name: str, tmp_path: Path, ask: Ask) -> None:
    """A stream is passed over and counted; check says that the file would not load."""
    with PeerServer(name, tmp_path) as peer:
        fill(peer)
        path = tmp_path / "dump.rdb"
        code, out, err = ask("inspect", path, "--json")
    assert (code, err) == (ExitCode.OK, "")
    found: dict[str, Any] = json.loads(out)
    types = found["databases"]["0"]["types"]
    assert types == {"string": 1, "list": 1, "set": 1, "zset": 1, "hash": 1, "stream": 1}
    assert {key["key"]: key["elements"] for key in found["longest"]} == {
        "t": 1000,
        "z": 500,
        "l": 50,
        "h": 10,
        "x": 1,
    }
    assert sum(row["bytes"] for row in found["encodings"]) < found["size_bytes"]
    assert (found["unsupported"], found["expires"], found["is_checksummed"]) == (1, 1, True)
    code, _, err = ask("check", path)
    assert code == ExitCode.DATA_CORRUPT
    assert "1 key" in err
    assert "'x' in db 0" in err
    assert "stream" in err


@pytest.mark.parametrize("name", ["redis-8.2", "valkey-9.1"])
def test_hashes_with_fields_that_expire_are_named(name: str, tmp_path: Path, ask: Ask) -> None:
    with PeerServer(name, tmp_path) as peer, peer.client() as client:
        client.hset("small", mapping={"f": "v", "g": "v"})
        client.hset("large", mapping={f"f{number}": "v" * 100 for number in range(40)})
        for key, field in (("small", "f"), ("large", "f7")):
            client.execute_command("HEXPIRE", key, 1000, "FIELDS", 1, field)
        client.execute_command("SAVE")
    code, out, err = ask("inspect", tmp_path / "dump.rdb", "--json")
    found = json.loads(out)
    assert (code, err, found["unsupported"]) == (ExitCode.OK, "", 2)
    assert all("fields with expiry" in row["encoding"] for row in found["encodings"])
    assert "fields with expiry" in ask("check", tmp_path / "dump.rdb")[2]
    told = ask("inspect", tmp_path / "dump.rdb")[1]
    assert "not loaded  " in told
    assert "2 keys, first '" in told
    # How many fields stand in a listpack that expires is not known, which is not none.
    packed = [line for line in told.splitlines() if "listpack, fields" in line]
    assert not any(line.rstrip().endswith("  0") for line in packed)
