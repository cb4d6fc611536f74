"""Failures of the local disk as our errors, and the failpoints that stand between its steps."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TypeVar

from sidecar import failpoints
from sidecar.errors import ExhaustedError, InternalError, PerdureError

T = TypeVar("T")


def local_disk_error(exc: OSError, what: str) -> PerdureError:
    """Return our error for a failure of the local disk."""
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ExhaustedError(
            f"no room on the local disk to {what}",
            code="DISK_FULL",
            hint="Free space on the data directory's file system, then repeat.",
        )
    return InternalError(
        f"the local disk failed to {what}: {exc}",
        code="LOCAL_DISK_FAILED",
        hint="Look at the kernel's log for disk errors, and at the data directory's permissions.",
    )


async def to_the_end(work: Callable[[], T], on_cancel: Callable[[], None] | None = None) -> T:
    """Work in a thread, and wait for it though cancelled: whoever cleans up must come after it.

    `on_cancel` asks the thread to be quick about it.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: nobody else will
        raise


async def step(name: str) -> None:
    """Pass a failpoint; what it raises is the local disk's failure. A pause frees the loop."""
    try:
        if failpoints.is_pause(name):
            await asyncio.to_thread(failpoints.hit, name)
        else:
            failpoints.hit(name)
    except OSError as exc:
        raise local_disk_error(exc, f"pass {name}") from exc
