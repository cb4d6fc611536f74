"""Bytes of snapshots in and out: a download of a payload, an import of an RDB file from outside.

    download   fetch + digest [-> unpack] -> chunks from `offset` on -> the file goes
    import     receive + digest -> read back + parse -> plan in the spool -> placed -> proof
                 -> shipped as any cut is (`Pipeline`)

An import that is sent again while it is still received is ended at once: who sends it knows that
the first stream is dead, which this side may not see for long (a NAT, a power cut, a proxy).

Everything passes through the spool as scratch, which the next start sweeps: a kill during an import
leaves nothing before the plan, and a cut that is shipped once after it. Guards I7: no byte leaves
that is not as its manifest says, none is kept that the engine did not parse. No gRPC here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sidecar.batches import failure_of
from sidecar.engine_port import VerifyResult
from sidecar.errors import (
    BackendTimeoutError,
    CancelledOperationError,
    CorruptError,
    ExhaustedError,
    ImportBrokenError,
    ImportRefusedError,
    InvalidArgumentError,
    NotFoundError,
    OperationInterruptedError,
    PerdureError,
    SnapshotDamagedError,
    SnapshotNotAvailableError,
)
from sidecar.ground import Ground
from sidecar.layout import other_snapshot_id
from sidecar.local_disk import local_disk_error, step, to_the_end
from sidecar.model import (
    Compression,
    Copy,
    CopyState,
    JsonObject,
    Operation,
    OperationKind,
    Phase,
    Progress,
    Trigger,
)
from sidecar.operations import OperationHandle, OperationStart
from sidecar.pipeline import CutListener, Pipeline
from sidecar.spool import CutTarget
from sidecar.uploads import IncomingFile, Upload
from sidecar.usecases import Download, DownloadSnapshot, ImportSnapshot
from sidecar.verify import Fetcher

CHUNK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """What transfers may take of the spool, how many may run, how long one may be silent."""

    spool_size_bytes_max: int = 16 << 30
    transfers_max: int = 8
    silence_seconds: float = 60.0


class _Room:
    """Counts what running transfers may still write into the spool."""

    def __init__(self, ground: Ground, options: TransferOptions) -> None:
        self._ground = ground
        self._options = options
        self._taken: list[int] = []

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Keep room for a block; ExhaustedError when there is none."""
        if len(self._taken) >= self._options.transfers_max:
            raise ExhaustedError(
                f"{len(self._taken)} transfers run already",
                code="TRANSFERS_BUSY",
                hint="Wait until one of them has ended, then repeat.",
            )
        used = self._ground.spool.size_bytes() + sum(self._taken)
        limit = self._options.spool_size_bytes_max
        if used + size_bytes >= limit:
            raise ExhaustedError(
                f"the spool has {used} bytes and its limit is {limit}: no room for {size_bytes}",
                code="SPOOL_FULL",
                hint="Wait until what is in it is stored, or raise spool.size_bytes_max.",
                context={"size_bytes": size_bytes, "used_bytes": used, "limit_bytes": limit},
            )
        self._taken.append(size_bytes)
        try:
            yield
        finally:
            self._taken.remove(size_bytes)


class Transfers:
    """The use cases behind `snapshot download` and `snapshot import`."""

    def __init__(
        self,
        ground: Ground,
        fetcher: Fetcher,
        pipeline: Pipeline,
        compression: Compression,
        options: TransferOptions | None = None,
    ) -> None:
        self._ground = ground
        self._fetcher = fetcher
        self._pipeline = pipeline
        self._compression = compression
        self._options = options or TransferOptions()
        self._room = _Room(ground, self._options)
        self._uploads: dict[str, Upload] = {}  # by operation, while their bytes come

    # --- download ---------------------------------------------------------------------

    @asynccontextmanager
    async def download(self, request: DownloadSnapshot) -> AsyncIterator[Download]:
        """Give a payload, whole and checked, for the length of a block."""
        copies = self._choose(request)
        manifest = copies[0].manifest
        raw, stored = manifest.raw_size_bytes, manifest.stored_size_bytes
        total = stored if request.is_stored else raw
        if request.offset > total:
            raise InvalidArgumentError(
                f"offset {request.offset} lies behind the end, which is {total}",
                hint="Begin anew: the file that you have is another one.",
                context={"field": "offset"},
            )
        is_unpacked = not request.is_stored and manifest.compression is not Compression.NONE
        with self._room.hold(stored + raw if is_unpacked else stored):
            async with AsyncExitStack() as stack:
                copy, path = await self._fetch_any(stack, copies, request)
                file = stack.enter_context(await asyncio.to_thread(path.open, "rb"))
                await asyncio.to_thread(file.seek, request.offset)
                found = copy.manifest
                yield Download(
                    backend=copy.backend,
                    size_bytes=found.stored_size_bytes if request.is_stored else raw,
                    sha256=found.stored_sha256 if request.is_stored else found.raw_sha256,
                    chunks=self._read_chunks(file, copy.backend, self._ground.clock.monotonic()),
                )

    async def _read_chunks(
        self, file: BinaryIO, backend: str, started: float
    ) -> AsyncIterator[bytes]:
        """Give the bytes; BackendTimeoutError (DOWNLOAD_TOO_SLOW): others want the spool, too."""
        clock, limit = self._ground.clock, self._ground.storages[backend].options
        deadline = started + limit.transfer_timeout_seconds
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            if clock.monotonic() > deadline:
                raise BackendTimeoutError(
                    f"the download took longer than {limit.transfer_timeout_seconds:g} s",
                    code="DOWNLOAD_TOO_SLOW",
                    hint="Ask again: it goes on where it stopped. Or raise the backend's "
                    "transfer_timeout.",
                    context={"backend": backend},
                )
            yield chunk

    def _choose(self, request: DownloadSnapshot) -> list[Copy]:
        snapshot = self._ground.catalogue.get_snapshot(request.snapshot_id)
        if request.backend is not None:
            _ = self._ground.storages[request.backend]
        context = {"snapshot_id": request.snapshot_id, "backend": request.backend or ""}
        copies = [c for c in snapshot.copies if request.backend in {None, c.backend}]
        if not copies:
            raise NotFoundError(
                f"backend {request.backend} has no copy of {request.snapshot_id}",
                code="SNAPSHOT_NOT_FOUND",
                hint=f"It lies on {', '.join(c.backend for c in snapshot.copies)}.",
                context=context,
            )
        usable = [
            copy
            for copy in copies
            if copy.state is CopyState.AVAILABLE and copy.backend in self._ground.storages
        ]
        if not usable:
            raise SnapshotNotAvailableError(
                f"snapshot {request.snapshot_id} has no copy that can be read", context=context
            )
        # A stored form may differ from backend to backend: a resumed one needs the first's.
        return usable[:1] if request.is_stored else usable

    async def _fetch_any(
        self, stack: AsyncExitStack, copies: list[Copy], request: DownloadSnapshot
    ) -> tuple[Copy, Path]:
        """Fetch the first copy that can be had; the last one's error when none can."""
        for copy in copies[:-1]:
            with suppress(PerdureError):
                return copy, await stack.enter_async_context(self._fetch(copy, request))
        return copies[-1], await stack.enter_async_context(self._fetch(copies[-1], request))

    @asynccontextmanager
    async def _fetch(self, copy: Copy, request: DownloadSnapshot) -> AsyncIterator[Path]:
        def ignore(_progress: Progress) -> None:
            """Nobody listens: the bytes that arrive are the progress."""

        if request.is_stored:
            async with self._fetcher.fetch_stored(copy, ignore) as path:
                yield path
        else:
            async with self._fetcher.fetch(copy, ignore, "download") as path:
                yield path

    # --- import -----------------------------------------------------------------------

    async def import_file(
        self,
        request: ImportSnapshot,
        chunks: AsyncIterator[bytes],
        request_id: str | None = None,
    ) -> Operation:
        """Receive a file, then verify and store it in the background; result {"snapshot_id"}.

        A repeat is answered with the first operation, once that is received or has ended; one that
        still waits for bytes ends as IMPORT_BROKEN.
        """
        storages = self._ground.storages.select(request.backends)
        _ = self._ground.identity.layout
        snapshot_id = other_snapshot_id("import", self._ground.clock.now())
        payload: JsonObject = {
            "backends": sorted(request.backends),
            "size_bytes": request.size_bytes,
            "sha256": request.sha256,
        }
        start = OperationStart(
            OperationKind.SNAPSHOT_IMPORT, f"snapshots/{snapshot_id}", payload, request_id
        )
        if (repeat := self._ground.operations.repeat_of(start)) is not None:
            return await self._answer_repeat(repeat)
        target = CutTarget(
            snapshot_id,
            Trigger.IMPORT,
            tuple(storage.name for storage in storages),
            self._compression,
        )
        with self._room.hold(request.size_bytes):
            upload = Upload(self._ground.spool.scratch("import"))

            async def work(handle: OperationHandle) -> JsonObject:
                return await self._import(handle, target, request, upload)

            unbegun = partial(self._cancel, upload)
            operation = self._ground.operations.start(start, work, unbegun)
            self._uploads[operation.operation_id] = upload
            try:
                await self._receive(operation, request, chunks, upload)
            finally:
                del self._uploads[operation.operation_id]
                upload.gone.set()  # who waits for it goes on behind this block
        return self._ground.operations.get(operation.operation_id)

    async def _answer_repeat(self, first: Operation) -> Operation:
        """Return the first operation when it needs no more bytes; else end it, and return that."""
        operations = self._ground.operations
        if (upload := self._uploads.get(first.operation_id)) is None:
            return first
        if not upload.is_whole:
            upload.end(ImportBrokenError("the file was sent again before all of it was here"))
        await upload.gone.wait()
        if upload.is_received:
            return operations.get(first.operation_id)
        return await operations.wait(first.operation_id)

    def _cancel(self, upload: Upload) -> None:
        """End what still comes of an import whose operation was cancelled."""
        if self._ground.operations.is_stopping:
            hint = "Send the file again when it is up again."
            upload.end(OperationInterruptedError("the server is stopping", hint=hint))
        else:
            upload.end(CancelledOperationError("the import was cancelled"))

    async def _receive(
        self,
        operation: Operation,
        request: ImportSnapshot,
        chunks: AsyncIterator[bytes],
        upload: Upload,
    ) -> None:
        """Write what comes; whatever goes wrong fails the operation too, and leaves no file.

        The chunks come from outside: they may raise anything, as gRPC does for bytes that are no
        message. It goes on to the edge as it is.
        """
        try:
            file = await to_the_end(partial(_create_scratch, upload.path))
            try:
                await self._write(operation, request, chunks, IncomingFile(file), upload)
            finally:
                await asyncio.to_thread(file.close)
            await step("import.received")
        except BaseException as exc:
            error = _why_broken(exc)
            upload.end(error)
            await asyncio.to_thread(_remove_scratch, upload.path)
            if isinstance(exc, OSError):
                raise error from exc
            raise
        upload.accept()

    async def _write(
        self,
        operation: Operation,
        request: ImportSnapshot,
        chunks: AsyncIterator[bytes],
        file: IncomingFile,
        upload: Upload,
    ) -> None:
        operations, total = self._ground.operations, request.size_bytes
        while (chunk := await upload.next(chunks, self._options.silence_seconds)) is not None:
            if file.size_bytes + len(chunk) > total:
                raise ImportBrokenError(f"more came than the {total} bytes that were announced")
            await asyncio.to_thread(file.write, chunk)
            progress = Progress(Phase.RECEIVE, file.size_bytes, total)
            operations.update_progress(operation.operation_id, progress)
            if file.size_bytes == total:
                upload.is_whole = True
                break
        if file.size_bytes != total:
            raise ImportBrokenError(f"{file.size_bytes} bytes came, {total} were announced")
        if file.sha256() != request.sha256:
            raise ImportRefusedError(
                "what came has another digest than was announced",
                hint="The file changed meanwhile, or was damaged on its way: send it again.",
                context={"sha256": file.sha256(), "announced_sha256": request.sha256},
            )
        await asyncio.to_thread(file.sync)
        upload.check()

    async def _import(
        self,
        handle: OperationHandle,
        target: CutTarget,
        request: ImportSnapshot,
        upload: Upload,
    ) -> JsonObject:
        attempts, trigger, result = self._ground.figures.snapshot_attempts, "import", "failed"
        try:
            handle.phase(Phase.RECEIVE)
            await upload.received()
            proof = await self._believe(handle, request, upload.path)
            owned = replace(target, operation_id=handle.operation_id)
            await self._ship(handle, owned, upload.path, proof)
            result = "ok"
        except asyncio.CancelledError:
            self._cancel(upload)
            result = "cancelled"
            raise
        finally:
            attempts[trigger, result] += 1
            _remove_scratch(upload.path)
        return {"snapshot_id": target.snapshot_id}

    async def _believe(
        self, handle: OperationHandle, request: ImportSnapshot, path: Path
    ) -> VerifyResult:
        """Let the engine read the file back and parse all of it."""
        handle.phase(Phase.VERIFY)
        try:
            proof = await self._ground.engine.verify(path, handle.progress)
            if proof.sha256 != request.sha256:
                raise SnapshotDamagedError("the disk gave back other bytes than were written")
        except CorruptError as exc:
            raise ImportRefusedError(
                f"the file is refused: {exc.message}",
                hint=exc.hint or "Look at the file: perdure rdb check FILE.",
                context={**exc.context, "cause": exc.code},
            ) from exc
        await step("import.verified")
        now = self._ground.clock.now()
        # A file may claim any time: one that has not come yet would be the newest for ever.
        claimed = proof.created_at
        return replace(proof, created_at=min(claimed, now) if claimed else None, log_position=None)

    async def _ship(
        self, handle: OperationHandle, target: CutTarget, path: Path, proof: VerifyResult
    ) -> None:
        spool, now = self._ground.spool, self._ground.clock.now()
        cut = await self._pipeline.plan([target])
        is_placed = False
        try:
            await step("import.planned")
            await to_the_end(partial(path.rename, cut.rdb))
            await step("import.placed")
            cut = await to_the_end(partial(spool.record_proof, cut, proof, now))
            is_placed = True
            await step("import.proof_recorded")
            listener = CutListener(
                progress=lambda _target, progress: handle.progress(progress),
                shipped=lambda done: handle.set_result({"snapshot_id": done.snapshot_id}),
            )
            results = await self._pipeline.ship_released(cut, listener)
        except (OSError, PerdureError, asyncio.CancelledError) as exc:
            # As any cut: what is proved waits in the spool, unless somebody cancelled it.
            is_dropped = not is_placed or isinstance(exc, asyncio.CancelledError)
            if is_dropped and not self._ground.operations.is_stopping:
                await asyncio.to_thread(spool.remove, cut)
            self._pipeline.release(cut)
            if isinstance(exc, OSError):
                raise local_disk_error(exc, "place the file in the spool") from exc
            raise
        if results[0].failures:
            raise failure_of(results[0])


def _why_broken(exc: BaseException) -> PerdureError:
    """Return what the operation of an import says when the stream ended by this."""
    if isinstance(exc, PerdureError):
        return exc
    if isinstance(exc, OSError):
        return local_disk_error(exc, "receive a file")
    if isinstance(exc, asyncio.CancelledError):
        return ImportBrokenError("the client went before all of it was here")
    return ImportBrokenError(f"what came could not be read: {type(exc).__name__}")


def _create_scratch(path: Path) -> BinaryIO:
    return path.open("xb")


def _remove_scratch(path: Path) -> None:
    with suppress(OSError):  # the next start sweeps what stays
        path.unlink(missing_ok=True)
