"""Mutations and their request_id: every one has it, and a repeat answers the first result.

Over a real door and the real control plane with a fake engine; after a restart too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sidecar.model import OperationState
from sidecar.rpc.audit_interceptor import READING_VERBS
from sidecar.rpc.door import SERVICES, ControlDoor
from sidecar.rpc.server_service import ServerView
from sidecar.rpc.status_messages import ServerFacts
from tests.support.control_bench import ControlBench

# Why a mutation has no request_id. Everything else must have one.
WITHOUT = {
    "CancelOperation": "Google's message; a repeat of it says that the operation has ended",
    "DeleteOperation": "Google's message; a repeat of it says that the operation is gone",
}
PACKAGE = "/perdure.control.v1."


def _methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [m for name in SERVICES for m in pool.FindServiceByName(name).methods]


MUTATIONS = [m for m in _methods() if not m.name.startswith(READING_VERBS)]


def _has_request_id(message: Any) -> bool:
    if "request_id" in message.fields_by_name:
        return True
    oneofs = [f for f in message.fields if f.containing_oneof and f.message_type]
    return any("request_id" in f.message_type.fields_by_name for f in oneofs)  # a stream's header


def test_every_mutation_has_a_request_id() -> None:
    """Walk the descriptors; a new rpc without one fails here."""
    assert len(MUTATIONS) > 8, "the walk no longer finds them"
    without = {m.name for m in MUTATIONS if not _has_request_id(m.input_type)}
    assert without == set(WITHOUT)


def test_every_listing_has_pages_and_a_filter() -> None:
    """As every mutation has its request_id."""
    listings = [m for m in _methods() if m.name.startswith("List")]
    assert len(listings) >= 4
    for method in listings:
        fields = set(method.input_type.fields_by_name)
        assert {"page_size", "page_token", "filter"} <= fields, method.full_name


class Door:
    """A control plane with its door, and the folder that both can be started on again."""

    def __init__(self, folder: Path) -> None:
        self.bench = ControlBench(folder, server={"boot_source": "empty"})
        self.server: ControlDoor
        self.channel: grpc.aio.Channel

    async def open(self) -> None:
        core = await self.bench.boot()
        self.bench.engine.data = {"a": "1"}
        facts = ServerFacts("default", "0", "data", self.bench.clock.now(), {})
        view = ServerView(
            facts, lambda: None, lambda: None, core.figures, core.events, self.bench.clock
        )
        self.server = ControlDoor()
        self.server.add_services(core.control_plane, core.engine, view)
        port = self.server.bind("127.0.0.1:0")
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    async def close(self) -> None:
        await self.channel.close()
        await self.server.stop(0)
        await self.bench.stop()

    async def ask(self, rpc: str, /, **fields: Any) -> Any:
        """Call an rpc by `Service/Method`."""
        service, _, verb = rpc.partition("/")
        prefix = PACKAGE if service != "Operations" else "/google.longrunning."
        method = next(m for m in _methods() if m.name == verb)
        call: Any = self.channel.unary_unary(
            f"{prefix}{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return await call(GetMessageClass(method.input_type)(**fields), timeout=30)

    async def refusal(self, rpc: str, /, **fields: Any) -> tuple[str, str]:
        """Call an rpc that is refused; give its status and its code."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(rpc, **fields)
        details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        code = next(c for c in _CODES if c.encode() in bytes(details))
        return caught.value.code().name, code

    async def ended(self, operation: lro.Operation) -> lro.Operation:
        bare = operation.name.removeprefix("operations/")
        done = await self.bench.core.ground.operations.wait(bare, 30)
        assert done.state is OperationState.DONE, done.error
        return operation


_CODES = ("REQUEST_ID_REUSED", "REVISION_MISMATCH", "SCHEDULE_NOT_FOUND", "INVALID_ARGUMENT")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """Open a door on an empty folder."""
    door = Door(tmp_path)
    await door.open()
    yield door
    await door.close()


@dataclass(frozen=True)
class Case:
    """One mutation: what it needs beforehand, what it asks, and another payload for its id."""

    rpc: str
    prepare: Callable[[Door], Awaitable[dict[str, Any]]]
    other: dict[str, Any]
    is_lasting: bool = True  # remembered across a restart


async def _nothing(_: Door) -> dict[str, Any]:
    return {}


async def _with_snapshot(door: Door) -> dict[str, Any]:
    snapshot = await door.bench.take()
    return {"name": f"snapshots/{snapshot.snapshot_id}"}


async def _with_schedule(door: Door) -> dict[str, Any]:
    await door.ask("ScheduleService/CreateSchedule", schedule_id="mine", schedule={"preset": 3})
    return {"name": "schedules/mine"}


async def _new_schedule(_: Door) -> dict[str, Any]:
    return {"schedule_id": "mine", "schedule": {"preset": 3}}


async def _changed_schedule(door: Door) -> dict[str, Any]:
    await _with_schedule(door)
    return {
        "schedule": {"name": "schedules/mine", "paused": True},
        "update_mask": {"paths": ["paused"]},
    }


async def _a_backend(_: Door) -> dict[str, Any]:
    return {"name": "backends/local"}


async def _a_directive(_: Door) -> dict[str, Any]:
    return {"directives": {"save": "60 1"}}


CASES = [
    Case("SnapshotService/CreateSnapshot", _nothing, {"compression": 1}),
    Case("SnapshotService/VerifySnapshot", _with_snapshot, {"backend": "backends/local"}),
    Case("SnapshotService/DeleteSnapshot", _with_snapshot, {"name": "snapshots/x"}),
    Case("ScheduleService/CreateSchedule", _new_schedule, {"schedule": {"preset": 1}}),
    Case("ScheduleService/UpdateSchedule", _changed_schedule, {"update_mask": {"paths": ["*"]}}),
    Case("ScheduleService/DeleteSchedule", _with_schedule, {"etag": "7"}),
    Case("ScheduleService/RunSchedule", _with_schedule, {"name": "schedules/daily"}),
    Case("ServerService/RestoreSnapshot", _with_snapshot, {"validate_only": True}),
    Case(
        "ServerService/UpdateConfig",
        _a_directive,
        {"directives": {"save": "1 1"}},
        is_lasting=False,
    ),
    Case("BackendService/CheckBackend", _a_backend, {"name": "backends/x"}),
]
# Streams, and the mutations of rooms with such a test of their own.
ELSEWHERE = {"ImportSnapshot", "CreateClone", "DeleteClone", "RenewClone"}
BY_RPC = pytest.mark.parametrize("case", CASES, ids=lambda case: case.rpc.partition("/")[2])


def test_every_mutation_is_tried_here() -> None:
    """A new rpc needs a case, or a test of its own that is named above."""
    tried = {case.rpc.partition("/")[2] for case in CASES}
    assert {m.name for m in MUTATIONS} - set(WITHOUT) - ELSEWHERE == tried


def _same(first: Message, second: Message) -> bool:
    """Compare results; of an operation its name, since it goes on meanwhile."""
    if isinstance(first, lro.Operation) and isinstance(second, lro.Operation):
        return bool(first.name == second.name)
    return first == second


@BY_RPC
async def test_repeat_answers_the_first_result_and_does_nothing(door: Door, case: Case) -> None:
    """One after the other; then another payload under the same id is refused."""
    asked = {**await case.prepare(door), "request_id": str(uuid.uuid4())}
    first = await door.ask(case.rpc, **asked)
    before = _traces(door)
    assert _same(first, await door.ask(case.rpc, **asked))
    if isinstance(first, lro.Operation):
        await door.ended(first)
        assert _same(first, await door.ask(case.rpc, **asked))
    else:
        assert _traces(door) == before
    refused = await door.refusal(case.rpc, **{**asked, **case.other})
    assert refused == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")


@BY_RPC
async def test_two_repeats_in_flight_do_the_work_once(door: Door, case: Case) -> None:
    """Both are on their way before either is answered."""
    asked = {**await case.prepare(door), "request_id": str(uuid.uuid4())}
    begun = len(_operations(door))
    first, second = await asyncio.gather(door.ask(case.rpc, **asked), door.ask(case.rpc, **asked))
    assert _same(first, second)
    if isinstance(first, lro.Operation):
        assert len(_operations(door)) == begun + 1
        await door.ended(first)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.is_lasting], ids=lambda case: case.rpc.partition("/")[2]
)
async def test_repeat_after_a_restart_answers_the_first_result(door: Door, case: Case) -> None:
    """And another payload is refused still."""
    asked = {**await case.prepare(door), "request_id": str(uuid.uuid4())}
    first = await door.ask(case.rpc, **asked)
    if isinstance(first, lro.Operation):
        await door.ended(first)
    await door.close()
    await door.open()
    assert _same(first, await door.ask(case.rpc, **asked))
    refused = await door.refusal(case.rpc, **{**asked, **case.other})
    assert refused == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")


def _operations(door: Door) -> list[str]:
    found = door.bench.core.ground.catalogue.operations(only_running=False)
    return [operation.operation_id for operation in found]


def _traces(door: Door) -> list[str]:
    """Give what a mutation leaves on the backend: schedules' revisions, tombstones."""
    return door.bench.files()


async def test_repeat_answers_the_first_result_though_all_has_changed_since(door: Door) -> None:
    """Created, changed and deleted by others: the repeat of the creation still shows it as made."""
    rid = str(uuid.uuid4())
    new = {"schedule_id": "mine", "schedule": {"preset": 3}, "request_id": rid}
    made = await door.ask("ScheduleService/CreateSchedule", **new)
    change_id = str(uuid.uuid4())
    change = {
        "schedule": {"name": "schedules/mine", "paused": True},
        "update_mask": {"paths": ["paused"]},
        "request_id": change_id,
    }
    changed = await door.ask("ScheduleService/UpdateSchedule", **change)
    other = {**change, "schedule": {"name": "schedules/mine", "time_zone": "Europe/Berlin"}}
    other |= {"update_mask": {"paths": ["time_zone"]}, "request_id": ""}
    await door.ask("ScheduleService/UpdateSchedule", **other)
    again = await door.ask("ScheduleService/UpdateSchedule", **change)
    assert (again.etag, again.time_zone) == (changed.etag, "UTC")
    await door.ask("ScheduleService/DeleteSchedule", name="schedules/mine")
    assert (await door.ask("ScheduleService/CreateSchedule", **new)).etag == made.etag
    assert (await door.ask("ScheduleService/UpdateSchedule", **change)).etag == changed.etag


async def test_repeats_outlive_what_they_were_about(door: Door) -> None:
    """A run of a schedule that is gone, a check and a deletion of a snapshot that is purged."""
    run = {**await _with_schedule(door), "request_id": str(uuid.uuid4())}
    begun = await door.ended(await door.ask("ScheduleService/RunSchedule", **run))
    await door.ask("ScheduleService/DeleteSchedule", name="schedules/mine")
    assert (await door.ask("ScheduleService/RunSchedule", **run)).name == begun.name
    look = {**await _with_snapshot(door), "request_id": str(uuid.uuid4())}
    seen = await door.ended(await door.ask("SnapshotService/VerifySnapshot", **look))
    deleted = await door.ask("SnapshotService/DeleteSnapshot", **look)
    door.bench.clock.advance(door.bench.core.rotation._grace * 2)
    (storage,) = door.bench.core.ground.storages
    assert await door.bench.core.rotation.purge_due(storage) == 1
    assert (await door.ask("SnapshotService/VerifySnapshot", **look)).name == seen.name
    assert await door.ask("SnapshotService/DeleteSnapshot", **look) == deleted


async def test_stale_etags_are_aborted(door: Door) -> None:
    """Of updates and deletions of a schedule, and of the configuration, whoever changed it."""
    await _with_schedule(door)
    seen = await door.ask("ScheduleService/GetSchedule", name="schedules/mine")
    changed = {"name": "schedules/mine", "paused": True, "etag": seen.etag}
    mask = {"paths": ["paused"]}
    await door.ask("ScheduleService/UpdateSchedule", schedule=changed, update_mask=mask)
    stale = ("ABORTED", "REVISION_MISMATCH")
    update = door.refusal("ScheduleService/UpdateSchedule", schedule=changed, update_mask=mask)
    assert await update == stale
    gone = {"name": "schedules/mine", "etag": seen.etag}
    assert await door.refusal("ScheduleService/DeleteSchedule", **gone) == stale
    config = await door.ask("ServerService/GetConfig", pattern="nothing")
    wanted = {"directives": {"save": "60 1"}, "etag": config.etag}
    answer = await door.ask("ServerService/UpdateConfig", **wanted)
    assert await door.refusal("ServerService/UpdateConfig", **wanted) == stale
    await door.bench.core.engine.config_set([("save", "61 1")])  # as CONFIG SET would
    newer = {**wanted, "etag": answer.etag}
    assert await door.refusal("ServerService/UpdateConfig", **newer) == stale


LISTINGS = [
    ("ScheduleService/ListSchedules", "schedules", "paused = false", "paused = true"),
    ("SnapshotService/ListSnapshots", "snapshots", "trigger = TRIGGER_MANUAL", ""),
    ("Operations/ListOperations", "operations", "kind = KIND_CREATE_SNAPSHOT", "done = true"),
]


@pytest.mark.parametrize(("rpc", "key", "filter_", "other"), LISTINGS, ids=lambda v: v[:24])
async def test_page_token_holds_for_its_own_question(
    door: Door, rpc: str, key: str, filter_: str, other: str
) -> None:
    """Pages cover the listing once; a mangled token, or one of another filter, is refused."""
    for _ in range(3):
        await door.bench.take()
        door.bench.clock.advance(door.bench.core.rotation._grace / 1000)
    asked: dict[str, Any] = {"page_size": 1, "filter": filter_}
    seen, token, last = [], "", ""
    while True:
        page = await door.ask(rpc, **asked, page_token=token)
        seen += [item.name for item in getattr(page, key)]
        if not page.next_page_token:
            break
        last, token = token, page.next_page_token
    assert len(seen) == len(set(seen)) == 3
    refused = ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    for bad in (f"{token}0", token[:-1], token.replace("o-2", "o-1"), "o-0", "x"):
        assert await door.refusal(rpc, **asked, page_token=bad) == refused
    changed = {**asked, "filter": other, "page_token": token}
    assert await door.refusal(rpc, **changed) == refused
    assert await door.refusal(rpc, page_size=-1) == refused
    assert last


async def test_filters_keep_what_they_say(door: Door) -> None:
    """One matching and one that does not, for each field of each listing."""
    schedule = {"preset": 1, "paused": True, "backends": ["backends/local"]}
    await door.ask("ScheduleService/CreateSchedule", schedule_id="mine", schedule=schedule)
    snapshot = await door.bench.take()
    target = f'target = "snapshots/{snapshot.snapshot_id}"'
    counts = {
        ("ScheduleService/ListSchedules", "schedules"): {
            "paused = true": 1, "paused = false": 3, 'backend = "backends/local"': 4,
            'backend = "backends/other"': 0, 'paused = true AND backend = "backends/local"': 1,
        },
        ("BackendService/ListBackends", "backends"): {
            "state = STATE_UP": 1, "state = STATE_DOWN": 0, "type = local": 1, "type = s3": 0,
            "state = STATE_UNSPECIFIED": 0, 'type = "local" AND state = STATE_UP': 1,
        },
        ("Operations/ListOperations", "operations"): {
            "state = DONE": 1, "state = FAILED": 0, target: 1, 'target = "snapshots/x"': 0,
            "done = true": 1, "done = false": 0, "kind = KIND_CREATE_SNAPSHOT AND state = DONE": 1,
        },
    }  # fmt: skip
    for (rpc, key), filters in counts.items():
        for text, count in filters.items():
            assert len(getattr(await door.ask(rpc, filter=text), key)) == count, text
        for bad in ("nothing = 1", "paused = maybe", "state = X", "state < DONE", "a", "x = "):
            assert (await door.refusal(rpc, filter=bad))[0] == "INVALID_ARGUMENT"
