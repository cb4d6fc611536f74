"""ScheduleService over the schedule use cases."""

from __future__ import annotations

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.empty_pb2 import Empty

from perdure.control.v1 import schedule_pb2, schedule_service_pb2, schedule_service_pb2_grpc
from sidecar.rpc.failures import Context
from sidecar.rpc.fields import (
    Collection,
    read_name,
    read_page,
    read_request_id,
    read_schedule_id,
)
from sidecar.rpc.filters import read_schedule_filter
from sidecar.rpc.operation_messages import encode_operation
from sidecar.rpc.schedule_messages import encode_schedule, merge_schedule, read_new_schedule
from sidecar.usecases import ScheduleChange, ScheduleUseCases, SnapshotUseCases


class ScheduleService(schedule_service_pb2_grpc.ScheduleServiceServicer):
    """Make, change, look at, run and remove schedules."""

    def __init__(self, schedules: ScheduleUseCases, snapshots: SnapshotUseCases) -> None:
        self._schedules = schedules
        self._snapshots = snapshots

    async def CreateSchedule(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.CreateScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Make a schedule."""
        del context
        view = await self._schedules.create(
            read_schedule_id(request.schedule_id),
            read_new_schedule(request.schedule),
            read_request_id(request.request_id),
        )
        return encode_schedule(view)

    async def GetSchedule(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.GetScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Answer one schedule."""
        del context
        return encode_schedule(self._schedules.get(read_name(Collection.SCHEDULES, request.name)))

    async def ListSchedules(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.ListSchedulesRequest, context: Context
    ) -> schedule_service_pb2.ListSchedulesResponse:
        """Answer one page of schedules, by name."""
        del context
        wanted = read_schedule_filter(request.filter)
        asked = read_page(request.page_size, request.page_token, "schedules", request.filter)
        page = self._schedules.list(asked, wanted)
        return schedule_service_pb2.ListSchedulesResponse(
            schedules=map(encode_schedule, page.items), next_page_token=page.next_page_token
        )

    async def UpdateSchedule(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.UpdateScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Change the named fields of a schedule."""
        del context
        message = request.schedule
        schedule_id = read_name(Collection.SCHEDULES, message.name, "schedule.name")
        asked = schedule_service_pb2.UpdateScheduleRequest()
        asked.CopyFrom(request)
        asked.ClearField("request_id")
        change = ScheduleChange(
            lambda before: merge_schedule(before, message, request.update_mask.paths),
            {"request": asked.SerializeToString(deterministic=True).hex()},
        )
        view = await self._schedules.update(
            schedule_id, change, message.etag or None, read_request_id(request.request_id)
        )
        return encode_schedule(view)

    async def DeleteSchedule(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.DeleteScheduleRequest, context: Context
    ) -> Empty:
        """Remove a schedule; its snapshots stay."""
        del context
        await self._schedules.delete(
            read_name(Collection.SCHEDULES, request.name),
            request.etag or None,
            read_request_id(request.request_id),
        )
        return Empty()

    async def RunSchedule(  # noqa: N802  # the wire's name
        self, request: schedule_service_pb2.RunScheduleRequest, context: Context
    ) -> lro.Operation:
        """Start the schedule's snapshot now."""
        del context
        operation = await self._schedules.run(
            read_name(Collection.SCHEDULES, request.name), read_request_id(request.request_id)
        )
        return encode_operation(operation, self._snapshots)
