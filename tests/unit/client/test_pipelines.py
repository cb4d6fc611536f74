"""What a pipeline of the data client sends, and what it says when its stream ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from perdure.data.v1 import data_messages_pb2 as messages
from perdure.data.v1 import durability_pb2, value_pb2
from perdure.data_aio import AsyncDataClient
from perdure.data_client import DataClient
from perdure.data_verbs import SERVICE
from perdure.errors import ExhaustedError, PerdureError
from perdure.pipelines import BATCH_BYTES
from perdure.steps import Call, Exchange, Next, Rpc, Write
from tests.support.data_door import ScriptedDoor, scripted_door

_PIPELINE = Rpc(f"{SERVICE}Pipeline", messages.PipelineResponse)
_REFUSED = ("RESOURCE_EXHAUSTED", "OVERLOADED")


@pytest.fixture
def door() -> Iterator[ScriptedDoor]:
    with scripted_door() as scripted:
        yield scripted


def _answer(commands: int) -> messages.PipelineResponse:
    results = [value_pb2.CommandResult(value=value_pb2.Value(status="OK"))] * commands
    return messages.PipelineResponse(results=results, receipt=durability_pb2.WriteReceipt())


def _write_after_the_end(message: Any) -> Call[None]:
    stream = yield Exchange(_PIPELINE, 60)
    with pytest.raises(ExhaustedError):
        yield Next(stream)
    yield Write(stream, message)
    yield Next(stream)


@pytest.mark.parametrize("message", [messages.PipelineRequest(id=1), None], ids=["write", "end"])
def test_writing_to_an_ended_stream_raises_what_ended_it(door: ScriptedDoor, message: Any) -> None:
    """The asyncio driver lets no InvalidStateError of grpc out."""
    door.script = [_REFUSED]

    async def main() -> None:
        async with AsyncDataClient(door.target) as client:
            await client.run(_write_after_the_end(message))

    with pytest.raises(ExhaustedError) as caught:
        asyncio.run(main())
    assert caught.value.code == "OVERLOADED"


def test_batches_are_cut_by_their_bytes_too(door: ScriptedDoor) -> None:
    """No batch is past the bound, but for a command that is larger alone."""
    sizes = [400_000, 400_000, 400_000, 10, 3_000_000, 10]
    door.script = [_answer(2), *[_answer(1)] * 4]
    with DataClient(door.target) as client, client.pipeline() as pipe:
        replies = [pipe.execute("SET", "k", b"x" * size) for size in sizes]
    assert [reply.result() for reply in replies] == ["OK"] * len(sizes)
    counts = [len(request.commands) for _, request in door.asked]
    assert counts == [2, 1, 1, 1, 1]
    assert all(
        request.ByteSize() <= BATCH_BYTES + 100 for _, request in door.asked if request.commands[1:]
    )


def test_what_was_not_sent_says_why(door: ScriptedDoor) -> None:
    """A batch is refused while the next one waits: no reply is left open."""
    door.script = [_REFUSED]
    with DataClient(door.target) as client:
        pipe = client.pipeline(batch_commands=1)
        replies = [pipe.execute("SET", "k", "v") for _ in range(3)]
        with pytest.raises(PerdureError):
            pipe.flush()
    for reply in replies:
        with pytest.raises(PerdureError):
            reply.result()
