"""`perdure aof check` over the real engine: logs of every form, damage, and what cutting leaves.

What a start makes of the same files is tested in Rust; here the words, the JSON, the exit codes and
the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.cli.main import run
from perdure.exit_codes import ExitCode
from sidecar.boot import DataDirLock

Ask = Callable[..., tuple[int, str, str]]
RDB = b"REDIS0010\x00\x01k\x01v\xff" + bytes(8)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `perdure aof check WORDS`; give exit code, stdout and stderr."""

    def asked(*words: object) -> tuple[int, str, str]:
        code = run(["aof", "check", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return asked


def command(*words: str) -> bytes:
    """Encode a command."""
    head = f"*{len(words)}\r\n"
    return (head + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)).encode()


SET = command("SET", "k", "v")


def log_folder(data: Path, *incrs: bytes, base: bytes = RDB) -> Path:
    """Write a manifest with a base and incrementals; give its folder."""
    folder = data / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.1.base.rdb").write_bytes(base)
    lines = ["file appendonly.aof.1.base.rdb seq 1 type b"]
    for number, content in enumerate(incrs, 1):
        name = f"appendonly.aof.{number}.incr.aof"
        (folder / name).write_bytes(content)
        lines.append(f"file {name} seq {number} type i")
    (folder / "appendonly.aof.manifest").write_text("".join(f"{line}\n" for line in lines))
    return folder


def incr(folder: Path, number: int) -> Path:
    return folder / f"appendonly.aof.{number}.incr.aof"


def test_a_sound_log_is_sound_whatever_names_it(tmp_path: Path, ask: Ask) -> None:
    folder = log_folder(tmp_path, b"#TS:1\r\n" + SET * 3, command("MULTI") + SET + command("EXEC"))
    manifest = folder / "appendonly.aof.manifest"
    for path in (folder, tmp_path, manifest, incr(folder, 1)):
        code, out, err = ask(path)
        assert (code, err) == (ExitCode.OK, "")
        assert "1 keys" in out
        assert "3 commands (set)" in out
        assert "Perdure loads it" in out
    code, out, err = ask(folder, "--json")
    found = json.loads(out)
    assert (code, err) == (ExitCode.OK, "")
    assert found["is_sound"] is True
    assert [file["role"] for file in found["files"]] == ["base", "incr", "incr"]
    assert found["files"][2]["commands"] == {"exec": 1, "multi": 1, "set": 1}
    assert found["place"] is None


@pytest.mark.parametrize("preamble", [b"", RDB])
def test_a_log_of_one_file_is_read(tmp_path: Path, ask: Ask, preamble: bytes) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(preamble + SET)
    code, out, err = ask(path)
    assert (code, err) == (ExitCode.OK, "")
    assert ("1 keys and 1 commands" in out) == bool(preamble)
    path.write_bytes(preamble + SET + SET[:-3])
    code, _, err = ask(path)
    assert code == ExitCode.DATA_CORRUPT
    assert f"offset {len(preamble) + len(SET)} on are torn" in err
    assert ask(path, "--fix")[0] == ExitCode.OK
    assert path.read_bytes() == preamble + SET
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert kept.read_bytes() == SET[:-3]


def test_a_torn_tail_is_cut_only_when_asked(tmp_path: Path, ask: Ask) -> None:
    tail = command("MULTI") + SET
    folder = log_folder(tmp_path, SET, SET + tail)
    code, out, err = ask(folder)
    assert code == ExitCode.DATA_CORRUPT
    assert f"whole up to {len(SET)}" in out
    assert "start the server, which cuts them off" in err
    assert incr(folder, 2).read_bytes() == SET + tail
    code, out, err = ask(folder, "--fix")
    assert (code, err) == (ExitCode.OK, "")
    assert f"Cut {len(tail)} bytes" in out
    assert incr(folder, 2).read_bytes() == SET
    assert ask(folder)[0] == ExitCode.OK
    code, out, _ = ask(folder, "--fix")
    assert (code, "Nothing to cut" in out) == (ExitCode.OK, True)


def test_damage_before_the_last_file_takes_those_behind_it_along(tmp_path: Path, ask: Ask) -> None:
    folder = log_folder(tmp_path, SET + b"?" + SET, SET)
    code, _, err = ask(folder)
    assert code == ExitCode.DATA_CORRUPT
    assert f"offset {len(SET)}" in err
    assert "--fix" in err
    code, out, _ = ask(folder, "--fix", "--json")
    found = json.loads(out)
    assert code == ExitCode.OK
    assert found["place"]["drops_bytes"] == 1 + 2 * len(SET)
    assert found["cut_bytes"] == 1 + len(SET)
    assert [Path(path).read_bytes() for path in found["set_aside"]] == [SET]
    assert not incr(folder, 2).exists()
    assert ask(folder)[0] == ExitCode.OK


def test_what_cannot_be_repaired_is_left(tmp_path: Path, ask: Ask) -> None:
    folder = log_folder(tmp_path, SET, base=RDB[:-9])
    for words in ((), ("--fix",)):
        code, _, err = ask(folder, *words)
        assert code == ExitCode.DATA_CORRUPT
        assert "base" in err
    assert incr(folder, 1).read_bytes() == SET
    (folder / "appendonly.aof.1.base.rdb").unlink()
    assert ask(folder)[0] == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (command("XADD", "s", "*", "f", "v"), "unknown command 'XADD'"),
        (command("SHUTDOWN"), "'shutdown' does not belong in a log"),
        (command("SET", "k"), "'set' with 1 arguments"),
    ],
)
def test_commands_that_a_start_refuses_are_found(
    tmp_path: Path, ask: Ask, line: bytes, reason: str
) -> None:
    folder = log_folder(tmp_path, SET + line + SET)
    code, out, err = ask(folder)
    assert (code, "cannot be loaded" in out) == (ExitCode.DATA_CORRUPT, True)
    assert f"offset {len(SET)}: {reason}" in err
    assert "BGREWRITEAOF" in err


def test_nothing_later_than_a_time_stays(tmp_path: Path, ask: Ask) -> None:
    """Two files, a line a second: whatever is not certainly earlier goes."""

    def second(number: int) -> bytes:
        return f"#TS:{number}\r\n".encode() + command("SET", "k", str(number))

    first, later = second(100) + second(101), second(102) + second(103)
    folder = log_folder(tmp_path, first, later)
    for words in (("--truncate-to-time", "99"), ("--truncate-to-time", "99", "--fix")):
        code, _, err = ask(folder, *words)
        assert (code, "later" in err) == (ExitCode.DATA_CORRUPT, True)
    code, out, _ = ask(folder, "--truncate-to-time", "102")
    assert (code, "add --fix" in out) == (ExitCode.OK, True)
    assert incr(folder, 2).read_bytes() == later
    code, out, _ = ask(folder, "--truncate-to-time", "1970-01-01T00:01:42Z", "--fix", "--json")
    assert (code, json.loads(out)["place"]["kept_until_unix_ms"]) == (ExitCode.OK, 102_999)
    assert incr(folder, 2).read_bytes() == second(102)
    code, out, _ = ask(folder, "--truncate-to-time", "100.5", "--fix")
    assert code == ExitCode.USAGE
    assert ask(folder, "--truncate-to-time", "100", "--fix")[0] == ExitCode.OK
    assert incr(folder, 1).read_bytes() == second(100)
    assert not incr(folder, 2).exists()
    assert ask(folder, "--truncate-to-time", "100")[0] == ExitCode.OK
    assert ask(log_folder(tmp_path / "b", SET), "--truncate-to-time", "9")[0] == (
        ExitCode.DATA_CORRUPT
    )


def test_a_log_that_a_server_uses_is_not_cut(tmp_path: Path, ask: Ask) -> None:
    folder = log_folder(tmp_path, SET + b"torn")
    lock = DataDirLock.acquire(tmp_path)
    try:
        code, _, err = ask(folder, "--fix")
        assert (code, "stop that server" in err) == (ExitCode.CONFLICT, True)
        assert incr(folder, 1).read_bytes() == SET + b"torn"
        assert ask(folder)[0] == ExitCode.DATA_CORRUPT  # looking is no harm
    finally:
        lock.release()
    assert ask(folder, "--fix")[0] == ExitCode.OK


@pytest.mark.parametrize("name", ["nothing", "empty", "two"])
def test_a_path_without_a_log_is_named(tmp_path: Path, ask: Ask, name: str) -> None:
    path = tmp_path / name
    if name != "nothing":
        path.mkdir()
    if name == "two":
        log_folder(path / "a")
        log_folder(path / "b")
        for folder in ("a", "b"):
            (path / folder / "appendonlydir").rename(path / f"log-{folder}")
    code, out, err = ask(path)
    assert (code, out) == (ExitCode.NOT_FOUND, "")
    assert err.startswith("Error: ")
    assert "Try: " in err


def test_a_manifest_that_cannot_be_read_is_told_by_its_line(tmp_path: Path, ask: Ask) -> None:
    folder = log_folder(tmp_path, SET)
    (folder / "appendonly.aof.manifest").write_text("file a seq 1 type b\nnonsense\n")
    code, _, err = ask(folder)
    assert code == ExitCode.DATA_CORRUPT
    assert "line 2" in err
