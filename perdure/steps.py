"""A call to the server written once and run twice: by the sync client and by the asyncio one.

A verb (`perdure.verbs`) is a generator: it yields what it needs (`Ask` this rpc, `Pause` so long,
take the `Next` message of a stream, do this `Work`) and returns its typed result. It never touches
a socket or a clock, so there are no hand-copied sync and async twins. `Client.run` and
`AsyncClient.run` drive it. Retries live here, for all verbs.

Every rpc of the control door may be repeated: reads change nothing, and mutations carry a
request_id, to which the server answers with the first result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from google.protobuf.message import Message

from perdure.errors import PerdureError

Res = TypeVar("Res", bound=Message)
T = TypeVar("T")

ATTEMPTS_MAX = 3
BACKOFF_SECONDS = 0.1
# A server that asks for a longer pause than this is reported to the caller, who knows better.
PAUSE_MAX_SECONDS = 2.0
DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Rpc(Generic[Res]):
    """One rpc: its full path and the message that answers it."""

    path: str
    response: type[Res]


@dataclass(frozen=True)
class Ask:
    """Send `request` and send the answer back into the generator, or throw PerdureError there."""

    rpc: Rpc[Any]
    request: Message
    deadline_seconds: float | None  # None: the client's


@dataclass(frozen=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Open:
    """Begin a call that is answered by a stream; what `Next` takes is sent back."""

    rpc: Rpc[Any]
    request: Message
    deadline_seconds: float


@dataclass(frozen=True)
class Next:
    """Send the stream's next message back, None at its end."""

    stream: Any


@dataclass(frozen=True)
class Send:
    """Send messages as they are asked for, and the one answer back. Making them may block."""

    rpc: Rpc[Any]
    messages: Iterator[Message]
    deadline_seconds: float


@dataclass(frozen=True)
class Work:
    """Run something that blocks, such as a write to a file, and send back what it returns."""

    run: Callable[[], Any]


@dataclass(frozen=True)
class Exchange:
    """Begin a call with a stream in both directions, for `Write` and `Next`."""

    rpc: Rpc[Any]
    deadline_seconds: float


@dataclass(frozen=True)
class Write:
    """Send a message into such a stream; None ends our side of it."""

    stream: Any
    message: Message | None


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Give an item to whoever iterates over the verb."""

    item: T


Step = Ask | Pause | Open | Next | Exchange | Write | Send | Work
Call = Generator[Step, Any, T]
Feed = Generator[Step | Emit[T], Any, None]


def is_retryable(error: PerdureError) -> bool:
    """Say that the same call may succeed later, where a repeat does no harm."""
    return error.is_retryable


def ask(
    rpc: Rpc[Res],
    request: Message,
    *,
    deadline_seconds: float | None = None,
    can_repeat: Callable[[PerdureError], bool] = is_retryable,
) -> Call[Res]:
    """Ask one rpc and return its answer; repeat it while that can help, and `can_repeat` says so.

    Raises:
        PerdureError: the last attempt's error.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            answer = yield Ask(rpc, request, deadline_seconds)
        except PerdureError as error:
            pause = error.retry_after_seconds
            if pause is None:
                pause = BACKOFF_SECONDS * 2 ** (attempt - 1)
            if attempt == ATTEMPTS_MAX or not can_repeat(error) or pause > PAUSE_MAX_SECONDS:
                raise
        else:
            return cast("Res", answer)
        yield Pause(pause)
    raise AssertionError("the last attempt returns or raises")
