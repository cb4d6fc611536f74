"""Structured logs on stderr: for a person on a terminal, one JSON document a line otherwise.

Event name first, in snake_case; fields after it. Logs of libraries (asyncio, aiohttp, grpc) pass
through the same renderer. Nothing here decides what is worth logging. A traceback never shows the
values of variables: they may be somebody's data.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

_FIRST = ("timestamp", "level", "event")
_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def set_up_logs(level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr). Repeating it replaces the set-up."""
    out = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(is_terminal=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _renderers(*, is_terminal: bool) -> list[Processor]:
    if is_terminal:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        _put_event_first,
        structlog.processors.JSONRenderer(),
    ]


def _put_event_first(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Order the fields for a reader: when, how bad, what, and then its own."""
    first = {name: fields.pop(name) for name in _FIRST if name in fields}
    return {**first, **fields}
