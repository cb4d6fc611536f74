"""What the data client does when answers go wrong: repeats, refusals, lost answers, scans."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perdure import data_verbs
from perdure.data.v1 import data_messages_pb2 as messages
from perdure.data.v1 import value_pb2
from perdure.data_aio import AsyncDataClient
from perdure.data_client import DataClient
from perdure.data_values import Durability, Position, decode_value
from perdure.data_verbs import When
from perdure.errors import (
    ConflictError,
    ExhaustedError,
    InvalidRequestError,
    NoLogError,
    OutcomeUnknownError,
    PerdureError,
    UnavailableError,
    WrongTypeError,
)
from perdure.steps import Call
from tests.support.data_door import LOSE, ScriptedDoor, scripted_door

Run = Callable[[ScriptedDoor, Call[Any]], Any]
HELD = messages.GetResponse(value=b"v")
APPLIED = messages.SetResponse(applied=True)


@pytest.fixture
def door() -> Iterator[ScriptedDoor]:
    with scripted_door() as scripted:
        yield scripted


def _sync(door: ScriptedDoor, call: Call[Any]) -> Any:
    with DataClient(door.target) as client:
        return client.run(call)


def _async(door: ScriptedDoor, call: Call[Any]) -> Any:
    async def main() -> Any:
        async with AsyncDataClient(door.target) as client:
            return await client.run(call)

    return asyncio.run(main())


@pytest.fixture(params=[_sync, _async], ids=["sync", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Give both drivers: the rules are the verbs', not theirs."""
    driver: Run = request.param
    return driver


@pytest.mark.parametrize("trouble", [LOSE, ("UNAVAILABLE", "LOADING")], ids=["lost", "loading"])
def test_read_is_repeated(door: ScriptedDoor, run: Run, trouble: Any) -> None:
    door.script = [trouble, trouble, HELD]
    assert run(door, data_verbs.get("k")) == b"v"
    assert len(door.asked) == 3


def test_write_is_repeated_when_the_server_executed_nothing(door: ScriptedDoor, run: Run) -> None:
    door.script = [("UNAVAILABLE", "LOADING"), ("UNAVAILABLE", "MISCONF"), APPLIED]
    assert run(door, data_verbs.set("k", "v")).applied
    assert len(door.asked) == 3


def test_write_whose_answer_was_lost_is_not_repeated(door: ScriptedDoor, run: Run) -> None:
    """The outcome is unknown and said so; the cause is kept."""
    door.script = [LOSE, APPLIED]
    with pytest.raises(OutcomeUnknownError) as caught:
        run(door, data_verbs.set("k", "v"))
    assert caught.value.code == "OUTCOME_UNKNOWN"
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert len(door.asked) == 1


def test_idempotent_write_is_repeated_when_asked(door: ScriptedDoor, run: Run) -> None:
    door.script = [LOSE, APPLIED]
    assert run(door, data_verbs.set("k", "v", repeat_unknown=True)).applied
    assert len(door.asked) == 2


@pytest.mark.parametrize(
    "refusal", [("RESOURCE_EXHAUSTED", "OOM"), ("FAILED_PRECONDITION", "WRONGTYPE")]
)
def test_refused_repeat_leaves_a_lost_write_unknown(
    door: ScriptedDoor, run: Run, refusal: Any
) -> None:
    """The refusal is of the repeat: the attempt before it may have been executed."""
    door.script = [LOSE, refusal]
    with pytest.raises(OutcomeUnknownError):
        run(door, data_verbs.set("k", "v", repeat_unknown=True))
    door.script = [("UNAVAILABLE", "LOADING"), refusal]
    with pytest.raises(PerdureError) as caught:
        run(door, data_verbs.set("k", "v", repeat_unknown=True))
    assert caught.value.code == refusal[1]


@pytest.mark.parametrize(
    ("trouble", "is_unknown"),
    [
        (LOSE, True),
        (("DEADLINE_EXCEEDED", "DEADLINE"), True),
        (("INTERNAL", "INTERNAL"), True),
        (("RESOURCE_EXHAUSTED", None), True),
        (("UNIMPLEMENTED", None), False),
        (("UNAVAILABLE", "MASTERDOWN"), False),
        (("UNKNOWN", "UNKNOWN"), False),
    ],
)
def test_write_is_unknown_unless_the_server_gave_its_word(
    door: ScriptedDoor, run: Run, trouble: Any, *, is_unknown: bool
) -> None:
    """A status without our details came from elsewhere, whatever its code."""
    door.script = [trouble]
    with pytest.raises(PerdureError) as caught:
        run(door, data_verbs.set("k", "v"))
    assert isinstance(caught.value, OutcomeUnknownError) == is_unknown
    assert len(door.asked) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: data_verbs.set("k", "v", when=When.ABSENT, repeat_unknown=True),
        lambda: data_verbs.set("k", "v", return_old=True, repeat_unknown=True),
        lambda: data_verbs.set("k", "v", ttl=1, keep_ttl=True),
        lambda: data_verbs.multi_set({"k": "v"}, if_none_present=True, repeat_unknown=True),
    ],
)
def test_contradicting_arguments_are_refused_before_anything_is_sent(
    door: ScriptedDoor, run: Run, call: Callable[[], Call[Any]]
) -> None:
    with pytest.raises(InvalidRequestError):
        run(door, call())
    assert door.asked == []


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("FAILED_PRECONDITION", "WRONGTYPE", WrongTypeError),
        ("FAILED_PRECONDITION", "NO_LOG", NoLogError),
        ("FAILED_PRECONDITION", "NOBODY_KNOWS", ConflictError),
        ("RESOURCE_EXHAUSTED", "OOM", ExhaustedError),
        ("INVALID_ARGUMENT", "ERR", InvalidRequestError),
    ],
)
def test_refusals_have_a_class_a_code_and_a_hint(
    door: ScriptedDoor, run: Run, status: str, reason: str, kind: type[PerdureError]
) -> None:
    door.script = [(status, reason)]
    with pytest.raises(kind) as caught:
        run(door, data_verbs.increment("k"))
    assert (caught.value.code, caught.value.hint) == (reason, "a hint")
    assert len(door.asked) == 1


def _batch(cursor: int, *keys: bytes) -> messages.ScanResponse:
    entries = [messages.ScanEntry(key=key) for key in keys]
    return messages.ScanResponse(entries=entries, next_cursor=cursor)


def test_broken_scan_goes_on_from_its_cursor(door: ScriptedDoor) -> None:
    """Twice broken, once before any batch: each key once, the cursor of the last batch asked."""
    door.script = [LOSE, _batch(7, b"a", b"b"), LOSE, _batch(9), _batch(0, b"c")]
    with DataClient(door.target) as client:
        assert [entry.key for entry in client.scan()] == [b"a", b"b", b"c"]
    assert [request.cursor for _, request in door.asked] == [0, 0, 7]


async def test_broken_scan_goes_on_in_asyncio_too(door: ScriptedDoor) -> None:
    door.script = [_batch(7, b"a"), LOSE, _batch(0, b"b")]
    async with AsyncDataClient(door.target) as client:
        assert [entry.key async for entry in client.scan()] == [b"a", b"b"]
    assert [request.cursor for _, request in door.asked] == [0, 7]


def test_scan_that_brings_nothing_gives_up(door: ScriptedDoor) -> None:
    door.script = [LOSE] * 10
    with DataClient(door.target) as client, pytest.raises(UnavailableError):
        list(client.scan())
    assert len(door.asked) == 3


def test_no_server_is_said_with_a_hint() -> None:
    with DataClient("127.0.0.1:1") as client, pytest.raises(UnavailableError) as caught:
        client.get("k")
    assert caught.value.code == "SERVER_UNREACHABLE"
    assert caught.value.hint


def test_replies_become_python_values() -> None:
    """One of each kind, nested."""
    value = value_pb2.Value
    pair = value_pb2.ValuePair(key=value(blob=b"k"), value=value(integer=5))
    texts = value_pb2.ValueList(values=[value(status="OK"), value(), value(number=1.5)])
    error = value_pb2.CommandError(code="WRONGTYPE", message="WRONGTYPE x")
    assert decode_value(value(map=value_pb2.ValueMap(entries=[pair]))) == {b"k": 5}
    assert decode_value(value(array=texts)) == ["OK", None, 1.5]
    assert decode_value(value(set=texts)) == {"OK", None, 1.5}
    assert decode_value(value(big_number="123456789012345678901")) == 123456789012345678901
    assert decode_value(value(boolean=True)) is True
    assert isinstance(decode_value(value(error=error)), WrongTypeError)


def test_positions_and_durabilities_compare() -> None:
    assert Position(1, 9) < Position(2, 0) < Position(2, 1)
    assert Durability.MEMORY < Durability.WRITTEN < Durability.FSYNCED


def test_importing_perdure_loads_no_grpc() -> None:
    """Names are loaded when they are asked for."""
    code = "import sys, perdure; assert 'grpc' not in sys.modules; perdure.DataClient"
    subprocess.run([sys.executable, "-c", code], check=True)
