"""Clones in memory behind the door: ready at once, gone at once; no process, no folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sidecar.clone_record import (
    Clone,
    CloneFolder,
    CloneState,
    ProcessMark,
    Seed,
    encode_clone,
)
from sidecar.errors import NotFoundError, RevisionMismatchError
from sidecar.model import (
    JsonObject,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Phase,
    Progress,
)
from sidecar.paging import ListRequest
from sidecar.usecases import CloneFilter, CreateClone

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def make_clone(clone_id: str = "20261122t070000z-0000abcd") -> Clone:
    """Return a clone that serves."""
    return Clone(
        clone_id=clone_id,
        state=CloneState.READY,
        created_at=NOW,
        server_name="default-clone-0000abcd",
        snapshot_id="20261122t070000z-manual-abcd",
        seed=Seed.LINK,
        cut_at=NOW,
        keys=7,
        process=ProcessMark(4711, 1, "boot"),
        ready_at=NOW,
        server_uid="1" * 32,
        endpoints={"resp": "127.0.0.1:1", "control": "127.0.0.1:2"},
    )


@dataclass
class FakeClones:
    """`add` is how `tests.support.control_plane.FakeOperations` keeps an operation."""

    operations: object
    known: dict[str, Clone] = field(default_factory=dict)
    asked: list[CreateClone] = field(default_factory=list)

    def _ended(self, kind: OperationKind, clone_id: str, result: JsonObject) -> Operation:
        operation = Operation(
            operation_id="op-1",
            kind=kind,
            target=f"clones/{clone_id}",
            state=OperationState.DONE,
            progress=Progress(Phase.START),
            created_at=NOW,
            updated_at=NOW,
            ended_at=NOW,
            result=result,
        )
        kept: Operation = self.operations.add(operation)  # type: ignore[attr-defined]
        return kept

    async def create(self, request: CreateClone, request_id: str | None = None) -> Operation:
        del request_id
        self.asked.append(request)
        clone = make_clone()
        if request.lease_seconds is not None:
            end_at = NOW + timedelta(seconds=request.lease_seconds)
            clone = replace(clone, lease_seconds=request.lease_seconds, lease_end_at=end_at)
        self.known[clone.clone_id] = clone
        return self._ended(OperationKind.CLONE_CREATE, clone.clone_id, encode_clone(clone))

    def get(self, clone_id: str) -> Clone:
        if clone_id not in self.known:
            raise NotFoundError("no such clone", code="CLONE_NOT_FOUND", hint="list them")
        return self.known[clone_id]

    def list(self, request: ListRequest, filter_: CloneFilter) -> Page[Clone]:
        del request
        found = [c for c in self.known.values() if filter_.state in {None, c.state}]
        return Page(tuple(found), "", len(found))

    async def renew(
        self,
        clone_id: str,
        lease_seconds: float,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> Clone:
        del request_id
        clone = self.get(clone_id)
        if etag not in {None, clone.etag}:
            raise RevisionMismatchError("somebody was faster")
        end_at = NOW + timedelta(seconds=lease_seconds)
        changed = replace(clone, lease_end_at=end_at, revision=clone.revision + 1)
        self.known[clone_id] = changed
        return changed

    async def delete(
        self, clone_id: str, etag: str | None = None, request_id: str | None = None
    ) -> Operation:
        del etag, request_id
        self.known.pop(self.get(clone_id).clone_id)
        return self._ended(OperationKind.CLONE_DELETE, clone_id, {"clone_id": clone_id})

    def folder_of(self, clone_id: str) -> CloneFolder:
        return CloneFolder(Path("/data/clones") / clone_id)
