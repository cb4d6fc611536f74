"""The control door's verbs as methods, in groups: `client.snapshots.take()`.

A list only: what each does is said where it is written (`perdure.verbs`, `perdure.clone_verbs`,
`perdure.tasks`, `perdure.transfers`).
"""

from __future__ import annotations

from perdure import clone_verbs, tasks, transfers, verbs
from perdure.methods import D_co, Methods, method


class _Group(Methods[D_co]):
    def __init__(self, driver: D_co) -> None:
        self.driver = driver


class Snapshots(_Group[D_co]):
    """Versions of the data set that can be restored. `start_*` do not wait for the end."""

    take = method(tasks.take_snapshot)
    get = method(verbs.get_snapshot)
    list = method(verbs.list_snapshots)
    verify = method(tasks.verify_snapshot)
    delete = method(verbs.delete_snapshot)
    restore = method(tasks.restore)
    plan_restore = method(tasks.plan_restore)
    download = method(transfers.download_snapshot)
    import_file = method(tasks.import_snapshot)
    start_create = method(verbs.create_snapshot)
    start_verify = method(verbs.verify_snapshot)
    start_restore = method(verbs.restore_snapshot)
    start_import = method(transfers.import_snapshot)


class Schedules(_Group[D_co]):
    """When snapshots are taken."""

    create = method(verbs.create_schedule)
    get = method(verbs.get_schedule)
    list = method(verbs.list_schedules)
    update = method(verbs.update_schedule)
    delete = method(verbs.delete_schedule)
    start_run = method(verbs.run_schedule)


class Clones(_Group[D_co]):
    """Other servers on the server's host, made of its data. `start_*` do not wait for the end."""

    make = method(clone_verbs.make_clone)
    get = method(clone_verbs.get_clone)
    list = method(clone_verbs.list_clones)
    renew = method(clone_verbs.renew_clone)
    end = method(clone_verbs.end_clone)
    start_create = method(clone_verbs.create_clone)
    start_delete = method(clone_verbs.delete_clone)


class Server(_Group[D_co]):
    """The server as a whole."""

    status = method(verbs.get_server_status)
    get_config = method(verbs.get_config)
    update_config = method(verbs.update_config)


class Backends(_Group[D_co]):
    """Where snapshots lie."""

    list = method(verbs.list_backends)
    start_check = method(verbs.check_backend)


class Operations(_Group[D_co]):
    """Work that outlives a call."""

    get = method(verbs.get_operation)
    list = method(verbs.list_operations)
    cancel = method(verbs.cancel_operation)
    wait = method(tasks.wait)
