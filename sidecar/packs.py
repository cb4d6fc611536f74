"""Packed payloads while somebody ships them: each cut is packed once a form, however many want it.

The file is scratch in the spool; it goes with the last one that holds it. A packing that nobody
waits for any more is stopped. What is packed is checked against the proof on the way
(`sidecar.packing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from backends.source import Digest
from sidecar.clock import Clock
from sidecar.errors import InternalError
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import Compression, Phase, Progress
from sidecar.observe import Figures
from sidecar.packing import Stop, pack_zstd
from sidecar.spool import Spool, SpooledCut

PackProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Packed:
    """A payload as it will be stored."""

    path: Path
    digest: Digest
    compression: Compression


@dataclass(slots=True)
class _Pack:
    task: asyncio.Task[Packed]
    stop: Stop = field(default_factory=Stop)
    holders: int = 0


class Packs:
    """Makes packed payloads and lets them go."""

    def __init__(self, spool: Spool, clock: Clock, figures: Figures, zstd_level: int) -> None:
        self._spool = spool
        self._clock = clock
        self._figures = figures
        self._zstd_level = zstd_level
        self._packs: dict[tuple[str, Compression], _Pack] = {}

    @asynccontextmanager
    async def hold(
        self, cut: SpooledCut, compression: Compression, on_progress: PackProgress
    ) -> AsyncIterator[Packed]:
        """Give the payload; CutDamagedError when the file is not any more what was proved."""
        if cut.proof is None:
            raise InternalError(f"cut {cut.cut_id} is not proved")
        raw = Digest(cut.proof.size_bytes, cut.proof.sha256)
        if compression is Compression.NONE:
            yield Packed(cut.rdb, raw, Compression.NONE)
            return
        key = (cut.cut_id, compression)
        pack = self._packs.get(key)
        if pack is None:
            stop = Stop()
            work = self._pack(cut, raw, stop, on_progress)
            pack = self._packs[key] = _Pack(asyncio.create_task(work), stop)
        pack.holders += 1
        try:
            yield await asyncio.shield(pack.task)
        finally:
            pack.holders -= 1
            if pack.holders == 0:
                self._packs.pop(key, None)
                await self._let_go(pack)

    async def _let_go(self, pack: _Pack) -> None:
        pack.stop.set()
        if not pack.task.done():
            pack.task.cancel()  # its thread ends at its next look, and removes its file
            await asyncio.wait([pack.task])
        elif not pack.task.cancelled() and pack.task.exception() is None:
            path = pack.task.result().path
            await to_the_end(partial(path.unlink, missing_ok=True))

    async def _pack(
        self, cut: SpooledCut, raw: Digest, stop: Stop, on_progress: PackProgress
    ) -> Packed:
        started = self._clock.monotonic()
        path = self._spool.scratch("pack")
        loop = asyncio.get_running_loop()

        def tell(done: int) -> None:
            progress = Progress(Phase.COMPRESS, done, raw.size_bytes)
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(on_progress, progress)

        def work() -> Digest:
            try:
                return pack_zstd(
                    cut.rdb, raw, path, level=self._zstd_level, stop=stop, on_progress=tell
                )
            except BaseException:
                path.unlink(missing_ok=True)
                raise

        on_progress(Progress(Phase.COMPRESS, 0, raw.size_bytes))
        try:
            digest = await to_the_end(work, stop.set)
        except asyncio.CancelledError:
            path.unlink(missing_ok=True)
            raise
        except OSError as exc:
            raise local_disk_error(exc, "pack the payload") from exc
        try:
            await step("snapshot.packed")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._figures.observe_phase("snapshot", Phase.COMPRESS, self._clock.monotonic() - started)
        return Packed(path, digest, Compression.ZSTD)
