"""Making one clone: the steps from a reservation to a server that serves what it should.

Each step is recorded durably before the next one begins, so that whoever finds the record knows
what there may be. What is left after a failure the caller removes (`sidecar.clones`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from sidecar.clone_record import Clone, CloneFolder, CloneState, CloneStore, ProcessMark
from sidecar.clone_seed import Seeded, Seeder, Source
from sidecar.errors import CloneFailedError
from sidecar.ground import Ground
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import Phase
from sidecar.operations import OperationHandle
from sidecar.provisioner import Provisioner, Readiness, ServerSpec

Keep: TypeAlias = Callable[[Clone], None]
# Starts take the processor for a second or two each: more at once only makes all of them late.
MAKING_AT_ONCE = 4
LOOK_SECONDS = 0.05
TAIL_CHARS = 400
SERVED_DIRECTIVES = (
    "active-expire-effort",
    "appendfsync",
    "enable-debug-command",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "io-threads",
    "list-compress-depth",
    "list-max-listpack-size",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "proto-max-bulk-len",
    "set-max-intset-entries",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
)
# Durable by its log; a save at each stop would only make its end slow.
OWN_DIRECTIVES = {"appendonly": "yes", "save": ""}


@dataclass(frozen=True, slots=True)
class MakerOptions:
    """Where clones listen and how long they may take."""

    bind: tuple[str, ...] = ("127.0.0.1",)
    is_insecure: bool = False
    start_timeout_seconds: float = 600.0
    lease_grace_seconds: float = 60.0


class CloneMaker:
    """Makes clones, a few at a time."""

    def __init__(
        self,
        ground: Ground,
        store: CloneStore,
        seeder: Seeder,
        provisioner: Provisioner,
        options: MakerOptions,
    ) -> None:
        self._ground = ground
        self._store = store
        self._seeder = seeder
        self._provisioner = provisioner
        self._options = options
        self._turns = asyncio.Semaphore(MAKING_AT_ONCE)

    async def make(
        self, handle: OperationHandle, clone: Clone, source: Source, keep: Keep
    ) -> Clone:
        """Make it and return it, ready; `keep` hears of each change before the next step."""
        async with self._turns:
            handle.phase(Phase.PLAN)
            await step("clone.planned")
            folder = self._store.folder_of(clone.clone_id)
            try:
                await to_the_end(partial(self._store.create, clone))
            except OSError as exc:
                raise local_disk_error(exc, "make the clone's folder") from exc
            await step("clone.recorded")
            seeded = await self._seeder.seed(source, folder, handle)
            await step("clone.verified")
            clone = replace(clone, seed=seeded.seed, cut_at=seeded.cut_at, keys=seeded.keys)
            keep(clone)
            handle.phase(Phase.START)
            clone, mark = await self._launch(clone, folder, keep)
            ready = await self._wait_ready(folder, mark)
            _check_keys(ready, seeded)
            await step("clone.serving")
            handle.close_to_cancel()
            return await self._finish(clone, ready, keep)

    async def _launch(
        self, clone: Clone, folder: CloneFolder, keep: Keep
    ) -> tuple[Clone, ProcessMark]:
        options = self._options
        spec = ServerSpec(
            folder=folder,
            server_name=clone.server_name,
            bind=options.bind,
            is_insecure=options.is_insecure,
            start_timeout_seconds=options.start_timeout_seconds,
            lease_grace_seconds=options.lease_grace_seconds,
            directives=await self._directives(),
        )
        mark = await self._provisioner.launch(spec)
        clone = replace(clone, process=mark)
        keep(clone)  # at once: a failure from here on must end it
        await step("clone.launched")
        await self._record(clone)
        await step("clone.process_recorded")
        await self._provisioner.release(mark)
        await step("clone.released")
        return clone, mark

    async def _directives(self) -> dict[str, str]:
        """Return what the clone's engine is told: how data is kept, not where or who may come."""
        ours = await self._ground.engine.config_get("*")
        told = {name: ours[name] for name in SERVED_DIRECTIVES if name in ours}
        return told | OWN_DIRECTIVES

    async def _wait_ready(self, folder: CloneFolder, mark: ProcessMark) -> Readiness:
        clock = self._ground.clock
        seconds = self._options.start_timeout_seconds
        deadline = clock.monotonic() + seconds
        while True:
            how = self._provisioner.find_end(mark)
            if how is not None:
                raise CloneFailedError(
                    f"the clone's process {how} before it served; its log ends: "
                    f"{await self._tail(folder)}",
                    hint="What stands there says what to do; nothing of the clone is left.",
                )
            ready = await self._provisioner.find_ready(folder, mark)
            if ready is not None:
                return ready
            if clock.monotonic() >= deadline:
                raise CloneFailedError(
                    f"the clone did not serve within {seconds:g} s; its log ends: "
                    f"{await self._tail(folder)}",
                    code="CLONE_START_TIMEOUT",
                    hint="Raise clones.start_timeout if the data is large, then repeat.",
                    is_retryable=True,
                )
            await clock.sleep(LOOK_SECONDS)

    async def _tail(self, folder: CloneFolder) -> str:
        tail = await asyncio.to_thread(folder.log_tail)
        return tail[-TAIL_CHARS:] or "it is empty"

    async def _finish(self, clone: Clone, ready: Readiness, keep: Keep) -> Clone:
        now = self._ground.clock.now()
        lease = clone.lease_seconds
        clone = replace(
            clone,
            state=CloneState.READY,
            ready_at=now,
            lease_end_at=None if lease is None else now + timedelta(seconds=lease),
            endpoints=dict(sorted(ready.endpoints.items())),
            server_uid=ready.server_uid,
        )
        await self._record(clone)
        keep(clone)
        await step("clone.ready_recorded")
        return clone

    async def _record(self, clone: Clone) -> None:
        try:
            await to_the_end(partial(self._store.replace, clone))
        except OSError as exc:
            raise local_disk_error(exc, "keep the clone's record") from exc


def _check_keys(ready: Readiness, seeded: Seeded) -> None:
    """Refuse a server that does not hold what it was given; a load leaves out what is over."""
    if not seeded.keys - seeded.expires <= ready.keys <= seeded.keys:
        raise CloneFailedError(
            f"the clone loaded {ready.keys} keys, its data has {seeded.keys}, of which "
            f"{seeded.expires} may be over",
            hint="Verify the snapshot (perdure snapshot verify), then repeat.",
        )
