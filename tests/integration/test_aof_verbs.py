"""`perdure aof check` over the real engine: logs of every form, damage, and what cutting leaves.

What a start makes of the same files is tested in Rust; here the words, the JSON, the exit codes and
the files.
"""

from __future__ import annotations

import json
import struct
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


# ----------------------------------------------------------------------------- the commit ring

CRC64_POLYNOMIAL = 0x95AC9329AC4BC9B5  # Redis's, reflected
NONCE = bytes(range(16))


def crc64(content: bytes) -> int:
    """Give Redis's CRC64."""
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CRC64_POLYNOMIAL if crc & 1 else 0)
    return crc


def ours(*units: bytes) -> bytes:
    """Write a log of epoch 7 that begins as ours do."""
    line = b"#PD:7:0:0:1:"
    return b"%s%016x\r\n" % (line, crc64(line)) + b"".join(units)


def put_ring(folder: Path, number: int, offset: int, payload: bytes) -> Path:
    """Write a ring as docs/formats/ring.md has it; give its path."""
    head = b"PDRINGRE" + struct.pack("<4Q", 7, number, offset, len(payload))
    record = head + struct.pack("<Q", crc64(NONCE + head + payload)) + payload
    block = b"PDRING01" + NONCE + struct.pack("<Q", crc64(NONCE + b"PDRING01"))
    path = folder / "appendonly.aof.ring"
    path.write_bytes((block.ljust(512, b"\0") + record).ljust(1 << 20, b"\0"))
    return path


def test_what_only_the_ring_holds_is_told_and_filled_in(tmp_path: Path, ask: Ask) -> None:
    whole = ours(SET, SET)
    folder = log_folder(tmp_path, whole[:-5])
    ring = put_ring(folder, 1, len(whole) - len(SET), SET)
    code, _, err = ask(folder)
    assert code == ExitCode.DATA_CORRUPT
    assert f"{ring} holds 5 bytes that the log lacks" in err
    assert f"start the server, which fills them in, or: perdure aof check {folder} --fix" in err
    assert incr(folder, 1).read_bytes() == whole[:-5]
    found = json.loads(ask(folder, "--json")[1])
    assert found["ring"] == {
        "path": str(ring),
        "bytes": 5,
        "is_filled": False,
        "error": None,
        "kept_as": None,
    }
    assert found["is_sound"] is False
    code, out, err = ask(folder, "--fix")
    assert (code, err) == (ExitCode.OK, "")
    assert f"Filled in 5 bytes that {ring} held" in out
    assert "Nothing to cut" in out
    assert incr(folder, 1).read_bytes() == whole
    code, out, _ = ask(folder, "--json")
    assert (code, json.loads(out)["ring"]) == (ExitCode.OK, None)
    assert ring.exists()


def test_a_ring_that_does_not_fit_is_put_aside_only_when_asked(tmp_path: Path, ask: Ask) -> None:
    kept = ours(SET)
    went_on = kept + command("DEL", "k")
    folder = log_folder(tmp_path, went_on)
    ring = put_ring(folder, 1, len(kept), SET)
    held = ring.read_bytes()
    code, _, err = ask(folder)
    assert code == ExitCode.DATA_CORRUPT
    assert f"offset {len(kept) + 1}: " in err
    assert "aof check --fix" in err
    found = json.loads(ask(folder, "--json")[1])
    assert found["ring"]["error"]["code"] == "AOF_RING_DIFFERS"
    assert ring.read_bytes() == held
    code, out, err = ask(folder, "--fix")
    assert (code, err) == (ExitCode.OK, "")
    (aside,) = (tmp_path / "quarantine").iterdir()
    assert f"kept as {aside}" in out
    assert (aside.read_bytes(), ring.exists()) == (held, False)
    assert incr(folder, 1).read_bytes() == went_on
    assert ask(folder)[0] == ExitCode.OK


def test_the_ring_does_not_bring_back_what_was_cut(tmp_path: Path, ask: Ask) -> None:
    """By time, and at damage: filled in first, cut, and the ring is where what was cut is."""
    times = ours(b"#TS:100\r\n", SET, b"#TS:102\r\n", SET)
    kept = len(times) - len(SET) - len(b"#TS:102\r\n")
    folder = log_folder(tmp_path / "time", times[:-9])
    ring = put_ring(folder, 1, kept, times[kept:])
    code, out, _ = ask(folder, "--truncate-to-time", "101", "--fix", "--json")
    found = json.loads(out)
    assert (code, found["ring"]["bytes"], found["cut_bytes"]) == (0, 9, len(times) - kept)
    (aside,) = map(Path, found["set_aside"])
    assert (aside.stat().st_size, ring.exists()) == (1 << 20, False)
    assert Path(found["kept_as"]).read_bytes() == times[kept:]
    assert incr(folder, 1).read_bytes() == times[:kept]
    torn = ours(SET, SET[:-3])
    folder = log_folder(tmp_path / "torn", torn)
    ring = put_ring(folder, 1, len(torn) - 20, torn[-20:])
    code, out, _ = ask(folder, "--fix")
    assert (code, out.count("Set aside: ")) == (ExitCode.OK, 1)
    assert (incr(folder, 1).read_bytes(), ring.exists()) == (ours(SET), False)
    torn = ours(SET, SET[:-3])
    folder = log_folder(tmp_path / "other", torn)
    ring = put_ring(folder, 1, 0, ours(SET))
    code, out, _ = ask(folder, "--fix")
    assert (code, out.count("Set aside: "), ring.exists()) == (ExitCode.OK, 0, True)


# --------------------------------------------------------------------------- what is not repaired


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
