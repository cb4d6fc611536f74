"""Many commands over one stream, in batches made by themselves: the data client's `pipeline`.

A command gives a `Reply` at once, which is filled when its batch was answered. Batches that wait
for an answer are bounded. Nothing is repeated: when the stream breaks, the replies that did not
come raise OutcomeUnknownError. Commands of others may come between; for one step, use `transact`.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from perdure.data.v1 import data_messages_pb2 as messages
from perdure.data_values import (
    Argument,
    Durability,
    WriteResult,
    decode_receipt,
    decode_result,
    encode_command,
    encode_durability,
)
from perdure.data_verbs import SERVICE
from perdure.errors import OutcomeUnknownError, PerdureError
from perdure.steps import Call, Exchange, Next, Rpc, Write

if TYPE_CHECKING:
    from perdure.aio_driver import AsyncDriver
    from perdure.driver import Driver

BATCH_COMMANDS = 128
BATCH_BYTES = 1024 * 1024  # a larger command is a batch of its own
BATCHES_MAX = 16
STREAM_SECONDS = 600.0
_PIPELINE = Rpc(f"{SERVICE}Pipeline", messages.PipelineResponse)


class Reply:
    """A command's reply, once its batch was answered; `receipt` says how durable that is."""

    __slots__ = ("_outcome", "is_done", "receipt")

    def __init__(self) -> None:
        self.is_done = False
        self.receipt: WriteResult | None = None
        self._outcome: Any = None

    def result(self) -> Any:
        """Return the reply, or raise the command's refusal.

        Raises:
            PerdureError: the command was refused, or its batch was not answered.
            ValueError: it was not flushed yet.
        """
        if not self.is_done:
            raise ValueError("flush the pipeline first, or leave its block")
        if isinstance(self._outcome, PerdureError):
            raise self._outcome
        return self._outcome

    def fill(self, outcome: Any, receipt: WriteResult | None) -> None:
        """Keep what came; the pipeline's own matter."""
        self.is_done, self._outcome, self.receipt = True, outcome, receipt


class _Core:
    """Batches and their answers; knows no socket."""

    def __init__(self, durability: Durability | None, database: int, batch_commands: int) -> None:
        self._durability, self._database = encode_durability(durability), database
        self._batch_commands = batch_commands
        self._stream: Any = None
        self._gathered: deque[tuple[Any, Reply]] = deque()
        self._gathered_bytes = 0
        self._sent: deque[list[Reply]] = deque()
        self._last_id = 0

    def add(self, args: tuple[Argument, ...]) -> tuple[Reply, bool]:
        """Gather a command; say whether a batch is full."""
        reply = Reply()
        command = encode_command(args)
        self._gathered.append((command, reply))
        self._gathered_bytes += command.ByteSize()
        is_full = len(self._gathered) >= self._batch_commands
        return reply, is_full or self._gathered_bytes >= BATCH_BYTES

    def send(self) -> Call[None]:
        """Send what is gathered; take an answer when too many are open."""
        while self._gathered:
            yield from self._send_batch(self._take_batch())

    def _take_batch(self) -> list[tuple[Any, Reply]]:
        batch: list[tuple[Any, Reply]] = []
        left = BATCH_BYTES
        while self._gathered:
            size = self._gathered[0][0].ByteSize()
            if batch and size > left:
                break
            batch.append(self._gathered.popleft())
            left -= size
            self._gathered_bytes -= size
        return batch

    def _send_batch(self, gathered: list[tuple[Any, Reply]]) -> Call[None]:
        self._last_id += 1
        request = messages.PipelineRequest(
            id=self._last_id,
            commands=[command for command, _ in gathered],
            database=self._database,
            durability=self._durability,
        )
        self._sent.append([reply for _, reply in gathered])
        try:
            if self._stream is None:
                self._stream = yield Exchange(_PIPELINE, STREAM_SECONDS)
            yield Write(self._stream, request)
            while len(self._sent) > BATCHES_MAX:
                yield from self._receive()
        except PerdureError as error:
            self._lose(error)
            raise

    def flush(self) -> Call[None]:
        """Send what is gathered and take all answers."""
        yield from self.send()
        try:
            while self._sent:
                yield from self._receive()
        except PerdureError as error:
            self._lose(error)
            raise

    def close(self) -> Call[None]:
        """Flush, and end the stream."""
        yield from self.flush()
        if self._stream is not None:
            yield Write(self._stream, None)
            yield Next(self._stream)
            self._stream = None

    def drop(self) -> None:
        """End the stream as it stands."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _receive(self) -> Call[None]:
        answer = yield Next(self._stream)
        if answer is None:
            raise PerdureError(
                "STREAM_CUT", "the pipeline ended before its answers", status="UNAVAILABLE"
            )
        receipt = WriteResult(*decode_receipt(answer.receipt))
        for reply, result in zip(self._sent.popleft(), answer.results, strict=True):
            reply.fill(decode_result(result), receipt)

    def _lose(self, error: PerdureError) -> None:
        for replies in self._sent:
            for reply in replies:
                lost = OutcomeUnknownError(
                    "OUTCOME_UNKNOWN",
                    f"nobody knows whether it was executed: {error.message}",
                    status=error.status,
                )
                lost.__cause__ = error
                reply.fill(lost, None)
        for _, reply in self._gathered:  # the rest of what was to be sent: nobody has seen it
            reply.fill(error, None)
        self._gathered.clear()
        self._gathered_bytes = 0
        self._sent.clear()
        self.drop()


class Pipeline:
    """A block of commands; made by `DataClient.pipeline`."""

    def __init__(self, driver: Driver, core: _Core) -> None:
        self._driver, self._core = driver, core

    def execute(self, *args: Argument) -> Reply:
        """Gather a command, and send the batch when it is full."""
        reply, is_full = self._core.add(args)
        if is_full:
            self._driver.run(self._core.send())
        return reply

    def flush(self) -> None:
        """Send what is gathered and wait for all replies."""
        self._driver.run(self._core.flush())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._driver.run(self._core.close())
        finally:
            self._core.drop()


class AsyncPipeline:
    """A block of commands; made by `AsyncDataClient.pipeline`."""

    def __init__(self, driver: AsyncDriver, core: _Core) -> None:
        self._driver, self._core = driver, core

    async def execute(self, *args: Argument) -> Reply:
        """Gather a command, and send the batch when it is full."""
        reply, is_full = self._core.add(args)
        if is_full:
            await self._driver.run(self._core.send())
        return reply

    async def flush(self) -> None:
        """Send what is gathered and wait for all replies."""
        await self._driver.run(self._core.flush())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self._driver.run(self._core.close())
        finally:
            self._core.drop()


def new_core(durability: Durability | None, database: int, batch_commands: int) -> _Core:
    """Return what a pipeline of either kind drives."""
    return _Core(durability, database, batch_commands)
