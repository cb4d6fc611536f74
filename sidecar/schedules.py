"""The schedule use cases, and where schedules are kept: versioned objects on every backend.

A revision is a new object and is never overwritten (I3); deleting is a revision too. SQLite holds
the newest. The configuration writes a revision only when what it says of a schedule has changed
since it last did, so that a change made by call stands until the file changes. Running them is
`sidecar.scheduler`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NoReturn

import structlog

from sidecar.errors import (
    AlreadyExistsError,
    BlobExistsError,
    ConfigError,
    InternalError,
    InvalidArgumentError,
    ManifestInvalidError,
    NotFoundError,
    PerdureError,
    RevisionMismatchError,
)
from sidecar.ground import Ground
from sidecar.json_fields import Fields, encode_document
from sidecar.layout import check_schedule_id
from sidecar.model import JsonObject, Operation, Page, Retention, Schedule, ScheduleSpec
from sidecar.operations import fingerprint
from sidecar.paging import ListRequest, paginate
from sidecar.records import (
    RECORD_BYTES_MAX,
    check_schema,
    decode_schedule,
    encode_schedule,
    encode_spec,
)
from sidecar.requests import Requests
from sidecar.schedule_times import PRESET_KEEPS, check_timing
from sidecar.scheduler import Scheduler
from sidecar.storage import Storage
from sidecar.usecases import ScheduleChange, ScheduleFilter, ScheduleView

_log = structlog.get_logger(__name__)
PUT_GRACE_SECONDS = 2.0  # for the other backends, once one has a revision


def _forget(_backend: str) -> None:
    pass


class Schedules:
    """Schedules as callers see them."""

    def __init__(self, ground: Ground, scheduler: Scheduler) -> None:
        self._ground = ground
        self._scheduler = scheduler
        self._requests = Requests(ground.catalogue, ground.clock)
        self._late: set[asyncio.Task[None]] = set()  # puts that go on by themselves
        self.on_missed: Callable[[str], None] = _forget  # hears of a backend without a revision

    # --- reading ----------------------------------------------------------------------

    def get(self, schedule_id: str) -> ScheduleView:
        """Return one that is not deleted."""
        return ScheduleView(self._find(schedule_id), self._scheduler.status(schedule_id))

    def list(
        self, request: ListRequest, filter_: ScheduleFilter | None = None
    ) -> Page[ScheduleView]:
        """Return a page, by id."""
        living = [s for s in self._ground.catalogue.schedules() if not s.is_deleted]
        if filter_ is not None:
            living = [s for s in living if self._matches(s, filter_)]
        views = [ScheduleView(s, self._scheduler.status(s.schedule_id)) for s in living]
        return paginate(views, request)

    def _matches(self, schedule: Schedule, filter_: ScheduleFilter) -> bool:
        stores_on = schedule.spec.backends or self._ground.storages.names
        is_paused, backend = filter_.is_paused, filter_.backend
        return is_paused in {None, schedule.spec.is_paused} and backend in {None, *stores_on}

    def _find(self, schedule_id: str) -> Schedule:
        found = self._ground.catalogue.find_schedule(schedule_id)
        if found is None or found.is_deleted:
            raise NotFoundError(
                f"there is no schedule {schedule_id!r}",
                code="SCHEDULE_NOT_FOUND",
                hint="List the schedules there are: perdure schedule list",
                context={"schedule_id": schedule_id},
            )
        return found

    # --- changing ---------------------------------------------------------------------

    async def create(
        self, schedule_id: str, spec: ScheduleSpec, request_id: str | None = None
    ) -> ScheduleView:
        """Make a schedule; not due for what has passed already."""
        check_schedule_id(schedule_id)
        spec = self._checked(_with_default_retention(spec))

        async def work() -> JsonObject:
            return _kept(await self._create(schedule_id, spec, None))

        payload: JsonObject = {"schedule_id": schedule_id, "spec": encode_spec(spec)}
        first = await self._requests.once(
            "schedule.create", request_id, payload, work, target=schedule_id
        )
        return self._first_view(schedule_id, first)

    def _first_view(self, schedule_id: str, first: JsonObject) -> ScheduleView:
        """Return the schedule as the first answer had it; how it fares is told as it is now."""
        kept = first.get("schedule")
        if not isinstance(kept, dict):  # an older version kept no answer
            return self.get(schedule_id)
        schedule = decode_schedule(Fields(kept, "request", InternalError))
        return ScheduleView(schedule, self._scheduler.status(schedule_id))

    async def _create(self, schedule_id: str, spec: ScheduleSpec, digest: str | None) -> Schedule:
        known = self._ground.catalogue.find_schedule(schedule_id)
        if known is not None and not known.is_deleted:
            raise AlreadyExistsError(
                f"schedule {schedule_id!r} exists",
                hint="Change it with `perdure schedule update`, or choose another id.",
                context={"schedule_id": schedule_id},
            )
        now = self._ground.clock.now()
        revision = known.revision + 1 if known else 1
        made = Schedule(schedule_id, revision, spec, now, now, now, config_digest=digest)
        await self._put(made)
        return made

    async def update(
        self,
        schedule_id: str,
        change: ScheduleSpec | ScheduleChange,
        etag: str | None = None,
        request_id: str | None = None,
    ) -> ScheduleView:
        """Replace the whole spec; a change of timing or a resumption does not count the past."""
        if isinstance(change, ScheduleSpec):
            change = _whole(change)

        async def work() -> JsonObject:
            known = self._match(schedule_id, etag)
            changed = self._changed(known, self._checked(change.apply(known.spec)))
            await self._put(changed)
            return _kept(changed)

        payload: JsonObject = {"schedule_id": schedule_id, "asked": change.asked, "etag": etag}
        first = await self._requests.once(
            "schedule.update", request_id, payload, work, target=schedule_id
        )
        return self._first_view(schedule_id, first)

    async def delete(
        self, schedule_id: str, etag: str | None = None, request_id: str | None = None
    ) -> None:
        """Remove it; its snapshots stay, and no retention deletes them from then on."""

        async def work() -> JsonObject:
            known = self._match(schedule_id, etag)
            now = self._ground.clock.now()
            await self._put(
                replace(known, revision=known.revision + 1, updated_at=now, is_deleted=True)
            )
            return {}

        payload: JsonObject = {"schedule_id": schedule_id, "etag": etag}
        await self._requests.once("schedule.delete", request_id, payload, work, target=schedule_id)

    async def run(self, schedule_id: str, request_id: str | None = None) -> Operation:
        """Take its snapshot now, beside its due times; result {"snapshot_id"}."""
        return self._scheduler.run_now(schedule_id, self._find, request_id)

    def _match(self, schedule_id: str, etag: str | None) -> Schedule:
        known = self._find(schedule_id)
        if etag and etag != str(known.revision):
            raise RevisionMismatchError(
                f"schedule {schedule_id!r} is at revision {known.revision}, not {etag}",
                context={"schedule_id": schedule_id, "revision": known.revision},
            )
        return known

    def _changed(self, known: Schedule, spec: ScheduleSpec) -> Schedule:
        now = self._ground.clock.now()
        timing = (spec.preset, spec.cron, spec.time_zone)
        is_same_timing = timing == (known.spec.preset, known.spec.cron, known.spec.time_zone)
        is_resumed = known.spec.is_paused and not spec.is_paused
        return replace(
            known,
            revision=known.revision + 1,
            spec=spec,
            updated_at=now,
            anchor_at=known.anchor_at if is_same_timing and not is_resumed else now,
        )

    def _checked(self, spec: ScheduleSpec) -> ScheduleSpec:
        check_timing(spec)
        for name in spec.backends:
            _ = self._ground.storages[name]
        by_backend = {}
        for name, retention in spec.backend_retention.items():
            _ = self._ground.storages[name]
            if spec.backends and name not in spec.backends:
                raise InvalidArgumentError(
                    f"retention is given for backend {name!r}, on which nothing is stored",
                    hint="Name it among the schedule's backends, too.",
                    context={"backend": name},
                )
            by_backend[name] = _checked_retention(retention)
        return replace(
            spec, retention=_checked_retention(spec.retention), backend_retention=by_backend
        )

    async def _put(self, schedule: Schedule) -> None:
        """Put a revision on every backend; one is enough, the others get it when they are back.

        Backends that are slower than the first one by more than a moment are not waited for.
        """
        puts = {
            asyncio.create_task(put_revision(self._ground, storage, schedule)): storage
            for storage in self._ground.storages
        }
        waiting, failures, is_put = set(puts), [], False
        while waiting:
            grace = PUT_GRACE_SECONDS if is_put else None
            done, waiting = await asyncio.wait(
                waiting, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for put in done:
                try:
                    put.result()
                    is_put = True
                except BlobExistsError as exc:
                    await self._refuse_taken(puts[put], schedule, exc)
                except PerdureError as exc:
                    failures.append(exc)
                    self.on_missed(puts[put].name)
        if not is_put:
            raise failures[0]
        for put in waiting:
            self._follow(put, puts[put])
        self._ground.catalogue.put_schedule(schedule)

    def _follow(self, put: asyncio.Task[None], storage: Storage) -> None:
        """Let a slow put end by itself; what it misses is put when the backend is read again."""

        def note(done: asyncio.Task[None]) -> None:
            self._late.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                _log.warning("schedule_not_put", backend=storage.name, error=str(error))
                self.on_missed(storage.name)

        self._late.add(put)
        put.add_done_callback(note)

    async def _refuse_taken(
        self, storage: Storage, schedule: Schedule, exc: BlobExistsError
    ) -> NoReturn:
        await self._learn(storage, schedule)
        raise RevisionMismatchError(
            f"backend {storage.name} has revision {schedule.revision} of "
            f"schedule {schedule.schedule_id!r} already",
            hint="A call that was given up came through, or somebody else writes under "
            "this server's name: look at the schedule, and repeat the change.",
        ) from exc

    async def _learn(self, storage: Storage, schedule: Schedule) -> None:
        """Read the revision that is there: the next change comes after it."""
        found = await read_revision(self._ground, storage, schedule.schedule_id, schedule.revision)
        self._ground.catalogue.put_schedule(found)

    # --- configuration ----------------------------------------------------------------

    async def apply_config(self, wanted: Mapping[str, ScheduleSpec]) -> None:
        """Write what the configuration says of schedules, where that has changed."""
        for schedule_id, spec in wanted.items():
            checked = self._checked_config(schedule_id, spec)
            digest = fingerprint(encode_spec(checked))
            known = self._ground.catalogue.find_schedule(schedule_id)
            if known is not None and known.config_digest == digest:
                continue
            if known is None or known.is_deleted:
                await self._create(schedule_id, checked, digest)
            else:
                await self._put(replace(self._changed(known, checked), config_digest=digest))
        for known in self._ground.catalogue.schedules():
            is_dropped = known.schedule_id not in wanted and known.config_digest is not None
            if is_dropped and not known.is_deleted:
                now = self._ground.clock.now()
                gone = replace(known, revision=known.revision + 1, updated_at=now, is_deleted=True)
                await self._put(replace(gone, config_digest=None))
                _log.info("schedule_left_config", schedule=known.schedule_id)

    def _checked_config(self, schedule_id: str, spec: ScheduleSpec) -> ScheduleSpec:
        try:
            check_schedule_id(schedule_id)
            return self._checked(_with_default_retention(spec))
        except (InvalidArgumentError, NotFoundError) as exc:
            message = f"schedules.{schedule_id}: {exc.message}"
            raise ConfigError(message, hint=exc.hint) from exc


def _whole(spec: ScheduleSpec) -> ScheduleChange:
    return ScheduleChange(lambda _: spec, encode_spec(spec))


def _kept(schedule: Schedule) -> JsonObject:
    return {"schedule": encode_schedule(schedule)}


async def read_revision(
    ground: Ground, storage: Storage, schedule_id: str, revision: int
) -> Schedule:
    """Read one revision from a backend; CorruptError or InvalidArgumentError when it is none."""
    key = ground.identity.layout.schedule(schedule_id, revision)
    data = await storage.get_bytes(key, RECORD_BYTES_MAX)
    schedule = decode_schedule(check_schema(Fields.parse(data, key)))
    if (schedule.schedule_id, schedule.revision) != (schedule_id, revision):
        raise ManifestInvalidError(f"{key} speaks of another revision", context={"document": key})
    check_timing(schedule.spec)  # one that is never due would stop the others too
    return schedule


async def put_revision(ground: Ground, storage: Storage, schedule: Schedule) -> None:
    """Put one revision on one backend."""
    key = ground.identity.layout.schedule(schedule.schedule_id, schedule.revision)
    await storage.put_bytes(key, encode_document(encode_schedule(schedule)))


def _checked_retention(retention: Retention) -> Retention:
    """Return it with 0 as what it means: no such rule."""
    for value in (retention.keep_last, retention.keep_within_seconds):
        if value is not None and value < 0:
            raise InvalidArgumentError(
                "retention is negative", hint="Leave it out to keep everything."
            )
    return Retention(retention.keep_last or None, retention.keep_within_seconds or None)


def _with_default_retention(spec: ScheduleSpec) -> ScheduleSpec:
    if spec.preset is None or spec.retention != Retention():
        return spec
    return replace(spec, retention=Retention(keep_last=PRESET_KEEPS[spec.preset]))
