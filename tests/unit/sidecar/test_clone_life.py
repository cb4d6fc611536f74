"""When a clone may begin and when it ends itself, and the record that it reads."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.clone_life import (
    LOOK_SECONDS,
    RELEASE_WORD,
    LeaseWatch,
    Patience,
    bound_log,
    wait_for_release,
)
from sidecar.clone_record import (
    Clone,
    CloneState,
    CloneStore,
    ProcessMark,
    decode_clone,
    encode_clone,
    toml_text,
)
from sidecar.errors import InternalError
from sidecar.json_fields import Fields
from sidecar.local_provisioner import LocalProvisioner
from tests.support.control_bench import until
from tests.support.driven_clock import DrivenClock
from tests.support.fake_clones import make_clone

GRACE = 60.0
START = 600.0
PATIENCE = Patience(START, GRACE)


@pytest.fixture
def store(tmp_path: Path) -> CloneStore:
    """Give a store with one clone in it."""
    store = CloneStore(tmp_path)
    store.create(make_clone())
    return store


def watch(store: CloneStore, clock: DrivenClock) -> LeaseWatch:
    folder = store.folder_of(make_clone().clone_id).path
    return LeaseWatch(folder, clock, PATIENCE, lambda: None)


@pytest.mark.parametrize(("said", "begins"), [(RELEASE_WORD, True), (b"", False), (b"ser", False)])
def test_only_the_whole_word_lets_it_begin(said: bytes, *, begins: bool) -> None:
    assert wait_for_release(io.BytesIO(said)) is begins


def test_it_ends_itself_when_lease_and_grace_are_over(store: CloneStore) -> None:
    clock = DrivenClock()
    leased = replace(make_clone(), lease_end_at=clock.now() + timedelta(hours=1))
    store.replace(leased)
    lease = watch(store, clock)
    clock.advance(timedelta(hours=1, seconds=GRACE - 1))
    assert lease.find_reason() is None, "its server has the first right to end it"
    store.replace(replace(leased, lease_end_at=clock.now() + timedelta(hours=1)))
    clock.advance(timedelta(seconds=1))
    assert lease.find_reason() is None, "it was renewed"
    clock.advance(timedelta(hours=2))
    assert lease.find_reason() == "its lease is over"


def test_without_a_lease_it_serves_on(store: CloneStore) -> None:
    clock = DrivenClock()
    clock.advance(timedelta(days=1000))
    assert watch(store, clock).find_reason() is None


@pytest.mark.parametrize("lease_seconds", [None, 60.0])
def test_what_nobody_calls_ready_ends_itself(
    store: CloneStore, lease_seconds: float | None
) -> None:
    """Its server died for good while making it; the time of fetching does not count."""
    clock = DrivenClock()
    making = replace(make_clone(), state=CloneState.CREATING, lease_seconds=lease_seconds)
    store.replace(making)
    clock.advance(timedelta(hours=3))
    lease = watch(store, clock)
    clock.advance(timedelta(seconds=START + GRACE - 1))
    assert lease.find_reason() is None, "its server may still be about it"
    store.replace(make_clone())
    clock.advance(timedelta(seconds=1))
    assert lease.find_reason() is None, "it became ready"
    store.replace(making)
    assert lease.find_reason() == "nobody called it ready"


def test_what_is_to_be_deleted_ends_itself(store: CloneStore) -> None:
    store.replace(replace(make_clone(), state=CloneState.DELETING))
    assert watch(store, DrivenClock()).find_reason() == "it is to be deleted"


def test_without_a_record_it_ends_and_with_a_damaged_one_it_does_not(store: CloneStore) -> None:
    clone_id = make_clone().clone_id
    record = store.folder_of(clone_id).record
    record.write_text("{")
    assert watch(store, DrivenClock()).find_reason() is None
    store.remove(clone_id)
    assert watch(store, DrivenClock()).find_reason() == "its record is gone"


async def test_an_end_that_was_refused_is_asked_for_again(store: CloneStore) -> None:
    clock, asked = DrivenClock(), []
    folder = store.folder_of(make_clone().clone_id).path
    store.remove(make_clone().clone_id)
    task = asyncio.create_task(LeaseWatch(folder, clock, PATIENCE, lambda: asked.append(1)).run())
    await until(lambda: len(asked) == 1)
    while len(asked) == 1:
        clock.advance(timedelta(seconds=LOOK_SECONDS))
        await asyncio.sleep(0.001)
    task.cancel()


def test_a_log_is_bounded_and_its_writer_goes_on_in_it(store: CloneStore) -> None:
    """The process keeps its file open for appending, as it is started with it."""
    folder = store.folder_of(make_clone().clone_id)
    with folder.log.open("ab", buffering=0) as output:
        for line in (b"one\n", b"two\n", b"3\n", b"four\n", b"5\n"):
            output.write(line)
            bound_log(folder, size_bytes_max=4)
    assert folder.old_log.read_bytes() == b"3\nfour\n"
    assert folder.log.read_bytes() == b"5\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "ended with exit code 3"),
        (-signal.SIGKILL, "was ended by SIGKILL"),
        (-40, "was ended by signal 40"),
    ],
)
def test_an_end_is_told_whatever_ended_it(code: int, said: str) -> None:
    """Signal 40 is one of the real-time signals, which have no names."""

    class Ended:
        def poll(self) -> int:
            return code

    provisioner, mark = LocalProvisioner(), ProcessMark(4711, 1, "boot")
    provisioner._children[mark] = Ended()  # type: ignore[assignment]
    assert provisioner.find_end(mark) == said


def test_a_record_reads_back_as_it_was_written() -> None:
    clone = replace(make_clone(), error={"code": "CLONE_FAILED"}, log_tail="x\ny")
    fields = Fields(encode_clone(clone), "test", InternalError)
    assert decode_clone(fields) == clone


@pytest.mark.parametrize(("name", "value"), [("state", "new"), ("schema_version", 2), ("keys", -1)])
def test_a_record_of_another_kind_is_refused(name: str, value: object) -> None:
    document = encode_clone(make_clone()) | {name: value}
    with pytest.raises(InternalError):
        decode_clone(Fields(document, "test", InternalError))


def test_the_configuration_is_toml_whatever_the_path() -> None:
    import tomllib  # noqa: PLC0415

    told = {"server": {"data_dir": 'a "b"\\c\nd é', "port": 0, "bind": ["::1"], "insecure": True}}
    assert tomllib.loads(toml_text(told)) == told


def test_a_removal_that_breaks_off_leaves_the_record(
    store: CloneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the next start would not know what is to go."""

    def refuse(path: Path, **_: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            store.remove(make_clone().clone_id)
    assert store.load() == ([make_clone()], [])
    store.remove(make_clone().clone_id)
    assert store.load() == ([], [])


def test_a_file_that_somebody_else_removes_first_stops_no_removal(
    store: CloneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone's process, which just ends, has files of its own."""
    (store.folder_of(make_clone().clone_id).data / "temp-1").write_text("")
    unlink = os.unlink

    def be_late(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        raise FileNotFoundError(2, "No such file or directory", path)

    with monkeypatch.context() as racing:
        racing.setattr(os, "unlink", be_late)
        store.remove(make_clone().clone_id)
    assert store.load() == ([], [])


def test_clones_are_found_again_in_the_order_of_their_ids(store: CloneStore) -> None:
    other: Clone = make_clone("20261122t070001z-00000001")
    store.create(other)
    assert store.load() == ([make_clone(), other], [])
