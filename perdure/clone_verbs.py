"""What a client can ask about clones; the rest is in `perdure.verbs`, and so are its rules.

A clone is another server on the server's host, made of a snapshot or of the live data.
"""

from __future__ import annotations

from datetime import timedelta

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.duration_pb2 import Duration

from perdure.control.v1 import clone_pb2, clone_service_pb2
from perdure.errors import PerdureError
from perdure.names import Collection, full_name
from perdure.steps import Call, Rpc, ask
from perdure.tasks import ProgressSink, wait
from perdure.verbs import PAGE_SIZE, Operation, new_request_id, result_of

_SERVICE = "/perdure.control.v1.CloneService/"


def create_clone(
    snapshot: str = "", *, live: bool = False, backend: str = "", lease: timedelta | None = None
) -> Call[Operation]:
    """Make a clone of a snapshot, of the live data, or of the newest snapshot there is."""
    request = clone_service_pb2.CreateCloneRequest(
        backend=full_name(Collection.BACKENDS, backend) if backend else "",
        request_id=new_request_id(),
    )
    if live:
        request.live = True
    elif snapshot:
        request.snapshot = full_name(Collection.SNAPSHOTS, snapshot)
    if lease is not None:
        request.lease.FromTimedelta(lease)
    return ask(Rpc(f"{_SERVICE}CreateClone", Operation), request)


def get_clone(clone: str) -> Call[clone_pb2.Clone]:
    """Return one clone."""
    name = full_name(Collection.CLONES, clone)
    request = clone_service_pb2.GetCloneRequest(name=name)
    return ask(Rpc(f"{_SERVICE}GetClone", clone_pb2.Clone), request)


def list_clones(filter_text: str = "") -> Call[list[clone_pb2.Clone]]:
    """Return all clones that pass the filter, newest first."""
    rpc = Rpc(f"{_SERVICE}ListClones", clone_service_pb2.ListClonesResponse)
    found: list[clone_pb2.Clone] = []
    request = clone_service_pb2.ListClonesRequest(page_size=PAGE_SIZE, filter=filter_text)
    while True:
        page = yield from ask(rpc, request)
        found += page.clones
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def renew_clone(clone: str, lease: timedelta, etag: str = "") -> Call[clone_pb2.Clone]:
    """Give a clone a lease that begins now."""
    span = Duration()
    span.FromTimedelta(lease)
    request = clone_service_pb2.RenewCloneRequest(
        name=full_name(Collection.CLONES, clone),
        lease=span,
        etag=etag,
        request_id=new_request_id(),
    )
    return ask(Rpc(f"{_SERVICE}RenewClone", clone_pb2.Clone), request)


def delete_clone(clone: str, etag: str = "") -> Call[Operation]:
    """End a clone's process and remove its data."""
    request = clone_service_pb2.DeleteCloneRequest(
        name=full_name(Collection.CLONES, clone), etag=etag, request_id=new_request_id()
    )
    return ask(Rpc(f"{_SERVICE}DeleteClone", Operation), request)


def make_clone(
    snapshot: str = "",
    *,
    live: bool = False,
    backend: str = "",
    lease: timedelta | None = None,
    on_progress: ProgressSink | None = None,
) -> Call[clone_pb2.Clone]:
    """Make a clone, wait until it serves, and return it.

    >>> clone = client.clones.make(live=True, lease=timedelta(hours=2))
    >>> clone.state == clone.STATE_READY, clone.key_count
    (True, 1)
    >>> clone.endpoints.resp
    '127.0.0.1:...'
    """
    operation = yield from create_clone(snapshot, live=live, backend=backend, lease=lease)
    return clone_of((yield from wait(operation, on_progress)))


def end_clone(
    clone: str, etag: str = "", on_progress: ProgressSink | None = None
) -> Call[Operation]:
    """End a clone, wait until nothing of it is left, and return the operation.

    >>> client.clones.end(clone.name).done
    True
    >>> client.clones.list()
    []
    """
    operation = yield from delete_clone(clone, etag)
    return (yield from wait(operation, on_progress))


def clone_of(operation: lro.Operation) -> clone_pb2.Clone:
    """Return the Clone that a succeeded operation made."""
    clone = clone_pb2.Clone()
    if not result_of(operation).response.Unpack(clone):
        raise PerdureError(
            "ANSWER_UNKNOWN",
            f"the server answered with {operation.response.type_url}",
            hint="use the client of the server's own version",
        )
    return clone
