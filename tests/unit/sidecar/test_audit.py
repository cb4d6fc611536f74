"""The audit log's file: whole lines, rotation, and a disk that refuses them."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.audit import AUDITED, AuditLog, AuditOptions, mask
from sidecar.event_log import About, EventLog, EventType
from sidecar.observe import Figures
from tests.support.control_bench import ControlBench
from tests.support.driven_clock import DrivenClock

ROOT = Path(__file__).parents[3]


class Bench:
    def __init__(self, folder: Path, **changes: Any) -> None:
        self.path = folder / "audit" / "audit.jsonl"
        self.figures = Figures()
        clock = DrivenClock()
        self.events = EventLog(clock)
        options = replace(AuditOptions(self.path), **changes)
        self.audit = AuditLog(options, clock, self.figures, self.events)

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (path or self.path).read_text().splitlines()]


def test_line_is_whole_and_begins_with_its_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.audit.write({"actor": "caller", "method": "x\ny", "target": "ä"})
    (line,) = bench.lines()
    assert list(line) == ["time", "actor", "method", "target"]
    assert (line["method"], line["target"]) == ("x\ny", "ä")
    assert bench.figures.audit_lines == {"written": 1}
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.path.parent.stat().st_mode) == 0o700


def test_files_rotate_by_size_and_no_line_is_lost_but_the_oldest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, size_bytes_max=500, files_max=3)
    for number in range(100):
        bench.audit.write({"number": number})
    files = [bench.path, *(bench.path.with_name(f"audit.jsonl.{n}") for n in (1, 2))]
    assert sorted(bench.path.parent.iterdir()) == sorted(files)
    numbers = [line["number"] for path in reversed(files) for line in bench.lines(path)]
    assert numbers == list(range(numbers[0], 100))
    assert all(path.stat().st_size <= 500 for path in files)


def test_one_file_is_emptied_when_it_is_full(tmp_path: Path) -> None:
    bench = Bench(tmp_path, size_bytes_max=500, files_max=1)
    for number in range(100):
        bench.audit.write({"number": number})
    assert list(bench.path.parent.iterdir()) == [bench.path]
    assert bench.lines()[-1]["number"] == 99


def test_full_disk_loses_lines_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is cut off again; the first line that fits comes after the number lost."""
    bench = Bench(tmp_path)
    told: list[str] = []
    bench.events.add_listener(lambda event: told.append(event.type))
    bench.audit.write({"number": 0})
    real, room = os.write, [10]

    def write(fd: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: room[0]]
        room[0] -= len(part)
        return real(fd, part)

    monkeypatch.setattr(os, "write", write)
    bench.audit.write({"number": 1})
    bench.audit.write({"number": 2})
    monkeypatch.undo()
    assert [line["number"] for line in bench.lines()] == [0]
    assert bench.figures.audit_lines == {"written": 1, "lost": 2}
    assert told == [EventType.AUDIT_FAILED]
    bench.audit.write({"number": 3})
    first, lost, last = bench.lines()
    assert (first["number"], last["number"]) == (0, 3)
    assert (lost["action"], lost["lines"]) == ("audit_lost", 2)


def test_folder_that_cannot_be_made_refuses_nothing(tmp_path: Path) -> None:
    """And is tried again for the next line."""
    (tmp_path / "audit").write_text("a file where the folder should be")
    bench = Bench(tmp_path)
    bench.audit.write({"number": 1})
    assert bench.figures.audit_lines["lost"] == 1
    (tmp_path / "audit").unlink()
    bench.audit.write({"number": 2})
    assert bench.lines()[-1]["number"] == 2


def test_torn_line_of_a_power_cut_is_ended_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.path.parent.mkdir()
    bench.path.write_text('{"number": 1}\n{"num')
    bench.audit.write({"number": 2})
    lines = bench.path.read_text().splitlines()
    assert lines[1] == '{"num'
    assert json.loads(lines[2])["number"] == 2


def test_too_long_a_line_leaves_out_what_is_long(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.audit.write({"method": "x", "request": {"a": "b" * 100_000}})
    (line,) = bench.lines()
    assert line["method"] == "x"
    assert "request" not in line
    assert line["left_out"].endswith(" bytes")


def test_text_that_is_no_utf8_costs_no_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.audit.write({"message": os.fsdecode(b"/a/\xff")})
    bench.events.publish(EventType.SNAPSHOT_PURGED, "x", path=os.fsdecode(b"/a/\xff"))
    first, second = bench.lines()
    assert first["message"] == "/a/\udcff"
    assert second["context"] == {"path": "/a/\\udcff"}


def test_line_without_its_request_is_counted_as_such(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.audit.write({"method": "x", "left_out": "the request: ValueError"})
    bench.audit.write({"method": "x", "request": {"a": "b" * 100_000}})
    assert bench.figures.audit_lines == {"shortened": 2}


def test_disabled_log_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, is_enabled=False)
    bench.audit.write({"x": 1})
    assert not bench.path.exists()


def test_deeds_of_the_server_have_lines(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.events.publish(EventType.BACKEND_UP, "not a deed")
    bench.events.publish(EventType.SNAPSHOT_PURGED, "gone", About("snapshots/x", "op"), backend="b")
    (line,) = bench.lines()
    del line["time"]
    assert line == {
        "actor": "server",
        "action": "snapshot_purged",
        "target": "snapshots/x",
        "operation": "operations/op",
        "message": "gone",
        "context": {"backend": "b"},
    }


async def test_retention_purge_and_restore_leave_their_lines(bench: ControlBench) -> None:
    """The real control plane: a snapshot deleted and purged, another restored."""
    first = await bench.take()
    await bench.core.control_plane.snapshots.delete(first.snapshot_id)
    bench.clock.advance(bench.core.rotation._grace * 2)
    await bench.core.rotation.purge_due(bench.local)
    second = await bench.take()
    await bench.restored(second.snapshot_id)
    path = bench.data_dir / "audit" / "audit.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    done = [line["action"] for line in lines]
    assert done == [
        *("operation_ended", "snapshot_deleted", "snapshot_purged"),
        *("operation_ended", "restore_committed", "operation_ended"),
    ]
    assert lines[4]["context"]["safety_snapshot"].startswith("2026")


@pytest.mark.parametrize(
    "name", ["requirepass", "masterauth", "tls-key-file-pass", "user", "api_key", "password"]
)
def test_secrets_are_masked(name: str) -> None:
    shown = mask({"directives": {name: "hunter2", "save": "60 1"}})
    assert shown == {"directives": {name: "***", "save": "60 1"}}


def test_page_lists_what_the_server_writes_by_itself() -> None:
    page = (ROOT / "docs/operations/audit.md").read_text()
    actions = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert {type_.value for type_ in AUDITED} <= actions
