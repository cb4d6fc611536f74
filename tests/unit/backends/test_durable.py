"""Durable files: what is on disk when the world stops at each step, by error and by SIGKILL."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends import durable
from backends.durable import TEMPORARY_PREFIX, create_file, remove_leftover, replace_file

STEPS = ["durable.written", "durable.synced", "durable.named", "durable.settled"]
VISIBLE_FROM = STEPS.index("durable.named")
Writer = Callable[[Path, list[bytes]], int]


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    yield
    durable.set_step_hook(None)


def fail_at(step: str) -> Callable[[str], None]:
    def hook(name: str) -> None:
        if name == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return hook


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", [create_file, replace_file])
def test_steps_come_in_order_and_the_file_is_whole(write: Writer, tmp_path: Path) -> None:
    steps: list[str] = []
    durable.set_step_hook(steps.append)
    assert write(tmp_path / "file", [b"one", b"", b"two"]) == 6
    assert steps == STEPS
    assert (tmp_path / "file").read_bytes() == b"onetwo"
    assert names_in(tmp_path) == ["file"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_create_refuses_to_replace_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_file(path, [b"old"])
    with pytest.raises(FileExistsError):
        create_file(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_create_refuses_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file", [b"new"])
    assert names_in(tmp_path) == ["file"]


def test_replace_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, [b"old"])
    replace_file(path, [b"new"])
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", STEPS)
def test_failed_create_is_absent_before_its_name_and_whole_after(step: str, tmp_path: Path) -> None:
    durable.set_step_hook(fail_at(step))
    with pytest.raises(OSError, match="No space") as caught:
        create_file(tmp_path / "file", [b"content"])
    assert caught.value.errno == errno.ENOSPC
    is_visible = STEPS.index(step) >= VISIBLE_FROM
    assert names_in(tmp_path) == (["file"] if is_visible else [])
    assert not is_visible or (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("step", STEPS)
def test_failed_replace_leaves_the_old_file_or_the_new(step: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    durable.set_step_hook(fail_at(step))
    with pytest.raises(OSError, match="No space"):
        replace_file(path, [b"content"])
    assert path.read_bytes() == (b"content" if STEPS.index(step) >= VISIBLE_FROM else b"old")
    assert names_in(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from backends import durable
def hook(name):
    if name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
durable.set_step_hook(hook)
getattr(durable, sys.argv[1])(Path(sys.argv[2]), [b"new", b" content"])
"""


@pytest.mark.parametrize("write", ["create_file", "replace_file"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_writer_leaves_old_or_new_and_a_leftover_that_is_swept(
    write: str, step: str, tmp_path: Path
) -> None:
    """SIGKILL at each step, in a process of its own; then what a sweep does with the rest."""
    path = tmp_path / "file"
    if write == "replace_file":
        path.write_bytes(b"old")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, write, str(path), step],
        cwd=Path(durable.__file__).parents[1],
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    left = [name for name in names_in(tmp_path) if name.startswith(TEMPORARY_PREFIX)]
    for name in left:
        assert remove_leftover(tmp_path / name)
    if STEPS.index(step) >= VISIBLE_FROM:
        assert path.read_bytes() == b"new content"
    elif write == "replace_file":
        assert path.read_bytes() == b"old"
    else:
        assert not path.exists()
    assert names_in(tmp_path) == (["file"] if path.exists() else [])
    assert left or STEPS.index(step) >= VISIBLE_FROM


def test_leftover_in_use_is_not_removed(tmp_path: Path) -> None:
    """A sweep in the middle of a write leaves the temporary, and the write succeeds."""
    kept: list[bool] = []

    def sweep(step: str) -> None:
        if step in STEPS[:VISIBLE_FROM]:
            kept.extend(not remove_leftover(tmp_path / name) for name in names_in(tmp_path))

    durable.set_step_hook(sweep)
    create_file(tmp_path / "file", [b"content"])
    assert kept == [True] * VISIBLE_FROM
    assert names_in(tmp_path) == ["file"]


def test_only_temporaries_of_ours_are_leftovers(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"precious")
    with pytest.raises(ValueError, match="not a temporary"):
        remove_leftover(tmp_path / "dump.rdb")
    assert remove_leftover(tmp_path / f"{TEMPORARY_PREFIX}gone")


def test_wrong_length_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for size_bytes in (0, 2, 4):
        with pytest.raises(OSError, match="were wanted") as caught:
            create_file(tmp_path / "file", [b"abc"], size_bytes=size_bytes)
        assert caught.value.errno == errno.EIO
    assert names_in(tmp_path) == []
    create_file(tmp_path / "file", [b"abc"], size_bytes=3)


def test_error_of_the_chunks_reaches_the_caller_and_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise KeyError("scripted")

    with pytest.raises(KeyError):
        create_file(tmp_path / "file", chunks())
    assert names_in(tmp_path) == []


def test_missing_folder_shows_before_the_first_chunk_is_asked_for(tmp_path: Path) -> None:
    asked: list[bool] = []

    def chunks() -> Iterator[bytes]:
        asked.append(True)
        yield b"content"

    with pytest.raises(FileNotFoundError):
        create_file(tmp_path / "missing" / "file", chunks())
    assert not asked


def test_descriptors_do_not_leak(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for step in [*STEPS, "none"]:
        durable.set_step_hook(fail_at(step))
        for number in range(5):
            try:
                create_file(tmp_path / f"{step}-{number}", [b"content"])
            except OSError:
                assert step != "none"
    assert len(list(Path("/proc/self/fd").iterdir())) == before
