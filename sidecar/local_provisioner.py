"""Clones as processes of this host: another `perdure serve`, in a session of its own.

It inherits neither our configuration nor our environment's PERDURE_ and AWS_ variables: all that it
is told stands in its `clone.toml`. Its stdin is a pipe: the word that releases it comes through
there, and its end without the word ends it (`sidecar.clone_life`). It outlives us; the next start
knows it by its mark.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import structlog

from sidecar.clone_life import RELEASE_WORD
from sidecar.clone_record import CloneFolder, ProcessMark, toml_text
from sidecar.config import ENV_PREFIX
from sidecar.errors import CloneFailedError
from sidecar.json_fields import Fields
from sidecar.local_disk import local_disk_error
from sidecar.process_marks import end_process, is_running, mark_of
from sidecar.provisioner import Readiness, ServerSpec

_log = structlog.get_logger(__name__)
KILL_SECONDS = 10.0
NOT_HANDED_DOWN = (ENV_PREFIX, "AWS_")  # settings, and keys to stores that it does not use
PROBE_SECONDS = 5.0


class LocalProvisioner:
    """The default provisioner."""

    def __init__(self) -> None:
        self._children: dict[ProcessMark, subprocess.Popen[bytes]] = {}

    async def launch(self, spec: ServerSpec) -> ProcessMark:
        """Write the configuration and start the process, held at its stdin."""
        try:
            child = await asyncio.to_thread(_spawn, spec)
        except OSError as exc:
            raise local_disk_error(exc, "start the clone's process") from exc
        mark = mark_of(child.pid)  # it is there: nobody but us reaps it
        if mark is None:
            raise CloneFailedError("the clone's process cannot be seen in /proc")
        self._children[mark] = child
        return mark

    async def release(self, mark: ProcessMark) -> None:
        """Say the word; one that has ended meanwhile is found by `find_end`."""
        child = self._children[mark]
        if child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.write(RELEASE_WORD)
                child.stdin.flush()
            with suppress(BrokenPipeError):
                child.stdin.close()

    async def find_ready(self, folder: CloneFolder, mark: ProcessMark) -> Readiness | None:
        """Read its ready file, which it writes when health says SERVING, and ask its /readyz."""
        try:
            text = await asyncio.to_thread(folder.ready_file.read_bytes)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise local_disk_error(exc, "read the clone's ready file") from exc
        fields = Fields.parse(text, str(folder.ready_file), CloneFailedError)
        if fields.number("pid") != mark.pid:
            return None
        doors = fields.child("addresses")
        endpoints = {door: doors.text(door) for door in doors.names()}
        if not await _answers_ready(endpoints.get("http", "")):
            return None
        uid = fields.maybe_text("server_uid") or ""
        return Readiness(endpoints, uid, fields.number("keys"))

    def find_end(self, mark: ProcessMark) -> str | None:
        """Return how it ended; of a process that another run started only that it is gone."""
        child = self._children.get(mark)
        if child is None:
            return None if is_running(mark) else "is gone, and nobody saw how it ended"
        code = child.poll()
        if code is None:
            return None
        if code < 0:
            return f"was ended by {_signal_name(-code)}"
        return f"ended with exit code {code}"

    async def end(self, mark: ProcessMark, patience_seconds: float) -> None:
        """Send SIGTERM, then SIGKILL; a child is reaped."""
        child = self._children.get(mark)
        if child is not None and child.stdin is not None:
            with suppress(BrokenPipeError):
                child.stdin.close()
        if not await end_process(mark, patience_seconds, KILL_SECONDS):
            raise CloneFailedError(
                f"process {mark.pid} does not end, not even by SIGKILL",
                hint="Look at what it waits for: cat /proc/<pid>/wchan",
                context={"pid": mark.pid},
            )
        if child is not None:
            child.poll()  # reaped
            self._children.pop(mark, None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def _spawn(spec: ServerSpec) -> subprocess.Popen[bytes]:
    folder = spec.folder
    folder.config.write_text(_config(spec), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(NOT_HANDED_DOWN)}
    command = [sys.executable, "-m", "perdure", "serve", "--config", str(folder.config)]
    with folder.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own interpreter and file
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # a Ctrl-C in our terminal is not meant for it
        )


def _config(spec: ServerSpec) -> str:
    """Return its configuration, whole: its backend and its schedules are the defaults."""
    folder = spec.folder
    server: dict[str, object] = {
        "name": spec.server_name,
        "data_dir": str(folder.data),
        "bind": list(spec.bind),
        "insecure": spec.is_insecure,
        "boot_source": "require-existing",
        "ready_file": str(folder.ready_file),
        "clone_folder": str(folder.path),
        **dict.fromkeys(("port", "data_port", "control_port", "http_port"), 0),
    }
    clones = {
        "start_timeout": spec.start_timeout_seconds,
        "lease_grace": int(spec.lease_grace_seconds),
    }
    text = toml_text({"server": server, "clones": clones, "redis": spec.directives})
    return f"# Written by the server that made this clone.\n{text}"


async def _answers_ready(address: str) -> bool:
    """Ask a server's /readyz once."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as exc:
        _log.debug("clone_not_asked", address=address, error=str(exc))
        return False
    return b" 200 " in status
