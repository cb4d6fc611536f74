"""The spool's bound: what may wait for backends, and what gives way when there is more.

    refuse-new    what was cut is kept; a new cut is refused until there is room (SPOOL_FULL)
    keep-newest   the newest counts: waiting cuts are given up, those first that a newer one of
                  their schedule stands in for, the oldest first

Only cuts give way, and only when that makes room enough: where a transfer's file is in the way,
the new cut is refused. Under both, what a restore replaced (a safety cut) is never given up,
nor a cut that is worked on. A new cut counts with the size of the last one; one that is alone in
the spool may be larger than the bound, since else it could never be stored. Who gives up a cut
tells the log, the metric and the operation that waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from sidecar.errors import ExhaustedError
from sidecar.event_log import About, EventType
from sidecar.ground import Ground
from sidecar.local_disk import to_the_end
from sidecar.model import AtLimit, Trigger
from sidecar.spool import CutTarget, SpooledCut

_log = structlog.get_logger(__name__)
GivenUp = Callable[[CutTarget, ExhaustedError], None]


@dataclass(frozen=True, slots=True)
class SpoolLimit:
    """How much may wait, and what gives way."""

    size_bytes_max: int = 16 << 30
    at_limit: AtLimit = AtLimit.REFUSE_NEW


class SpoolRoom:
    """Makes room for a cut, or says that there is none."""

    def __init__(self, ground: Ground, limit: SpoolLimit, on_given_up: GivenUp) -> None:
        self._ground = ground
        self._spool = ground.spool
        self._limit = limit
        self._on_given_up = on_given_up
        self._lock = asyncio.Lock()
        self.giving_up: set[str] = set()  # ids of cuts whose files are just removed

    async def make(self, held: Callable[[], Collection[str]]) -> None:
        """Make room for one cut; ExhaustedError (SPOOL_FULL) when the bound forbids it.

        `held` gives the ids of cuts that somebody works on at this moment.
        """
        async with self._lock:
            while not await self._is_free(held):
                pass

    async def _is_free(self, held: Callable[[], Collection[str]]) -> bool:
        """Say whether there is room; if not, give one cut up."""
        entries, _ = await asyncio.to_thread(self._spool.entries)
        sizes = await asyncio.to_thread(self._spool.cut_sizes)
        size = await asyncio.to_thread(self._spool.size_bytes)
        if self._fits(size):
            return True
        busy = held()  # no other task comes between this look and the giving up
        idle = [cut for cut in entries if cut.cut_id not in busy and not _is_safety(cut)]
        freed = sum(sizes.get(cut.cut_id, 0) for cut in idle)
        # What only a transfer's file is in the way of comes again; what was given up does not.
        is_enough = not self._fits(sum(sizes.values())) and self._fits(size - freed)
        if not is_enough or self._limit.at_limit is AtLimit.REFUSE_NEW:
            limit, expected = self._limit.size_bytes_max, self._expected
            self._ground.figures.cuts_refused += 1
            _log.error("cut_refused", reason="the spool is full", size_bytes=size, limit=limit)
            raise _full(size, expected, limit)
        await self._give_up(_least_wanted(idle, entries))
        return False

    @property
    def _expected(self) -> int:
        return self._ground.figures.snapshot_raw_size_bytes

    def _fits(self, size_bytes: int) -> bool:
        limit = self._limit.size_bytes_max
        return size_bytes <= 0 or (size_bytes < limit and size_bytes + self._expected <= limit)

    async def _give_up(self, cut: SpooledCut) -> None:
        self.giving_up.add(cut.cut_id)
        try:
            await to_the_end(partial(self._spool.remove, cut))
        finally:
            self.giving_up.discard(cut.cut_id)
        self._ground.figures.cuts_dropped += 1
        for target in cut.targets:
            self._ground.events.publish(
                EventType.CUT_DROPPED,
                "the spool is full: a cut that waited in it was given up for a newer one",
                About(f"snapshots/{target.snapshot_id}", target.operation_id or "", "SPOOL_FULL"),
                limit_bytes=self._limit.size_bytes_max,
            )
            error = ExhaustedError(
                f"snapshot {target.snapshot_id} waited for a backend and was given up for a newer "
                "one: the spool is full",
                code="SNAPSHOT_DROPPED",
                hint="Bring the backend back (perdure backend check), or raise "
                "spool.size_bytes_max.",
                context={"snapshot_id": target.snapshot_id},
            )
            self._on_given_up(target, error)


def _full(size: int, expected: int, limit: int) -> ExhaustedError:
    return ExhaustedError(
        f"the spool has {size} bytes that wait or are on their way, and the next cut takes about "
        f"{expected}; its limit is {limit}",
        code="SPOOL_FULL",
        hint="Bring the backend back (perdure backend check), let downloads and imports end, or "
        "raise spool.size_bytes_max.",
        context={"size_bytes": size, "limit_bytes": limit},
    )


def _is_safety(cut: SpooledCut) -> bool:
    """Say whether it is what a restore replaced: it is nowhere else."""
    return any(target.trigger is Trigger.SAFETY for target in cut.targets)


def _least_wanted(idle: Sequence[SpooledCut], entries: Sequence[SpooledCut]) -> SpooledCut:
    """Return the oldest cut that newer ones stand in for, else the oldest."""
    newest: dict[str, str] = {}
    for cut in entries:  # oldest first
        for target in cut.targets:
            if target.schedule is not None and cut.proof is not None:
                newest[target.schedule] = cut.cut_id

    def is_superseded(cut: SpooledCut) -> bool:
        return all(
            target.schedule is not None and newest.get(target.schedule, cut.cut_id) != cut.cut_id
            for target in cut.targets
        )

    return next((cut for cut in idle if is_superseded(cut)), idle[0])
