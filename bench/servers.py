"""The servers under test, each started as its user starts it, on a free port, ended by pid.

Save points are off for all alike, and the log is too unless a policy is given: then it is on, and
rewritten only when asked. Perdure is `perdure serve` as a whole: what its control plane spends
counts as the server's; its one schedule is paused, so that no snapshot falls due in the middle of a
row. The null server is built by cargo and has no data; behind an fsync it has one file.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.benchmark_tool import Target
from bench.figures import NULL, NULL_FSYNCED, NULLS, OURS, UNLOGGED
from tests.support.peers import PEERS, PeerServer
from tests.support.processes import Sidecar, digest_of

ROOT = Path(__file__).resolve().parents[1]
PEER_NAMES = ("redis-7.0", "redis-8.2", "valkey-9.1")
NAMES = (OURS, *PEER_NAMES, NULL)
TITLES = {
    OURS: "Perdure",
    UNLOGGED: "Perdure, no log",
    NULL: "null server",
    NULL_FSYNCED: "null server, fsynced",
    **{name: PEERS[name].title for name in PEER_NAMES},
}
NO_SNAPSHOTS = '[schedules.hourly]\npreset = "hourly"\npaused = true\n'
_PEER_LOADED = re.compile(r"DB loaded from (?:disk|append only file): ([\d.]+) seconds")


@dataclass(frozen=True)
class Running:
    """A server that runs, and what the bench needs to know of it."""

    name: str
    port: int
    pid: int
    log: Path
    rdb: Path
    stop: Callable[[], object]

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()  # waits for it

    @property
    def target(self) -> Target:
        """Where load goes."""
        return Target(self.port, self.pid)

    def client(self) -> redis.Redis:
        """Connect a client that waits long enough for a SAVE or a DEBUG DIGEST."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=600)


def start(name: str, folder: Path, prefix: Sequence[str] = (), policy: str = "") -> Running:
    """Start a server over `folder`, behind `prefix` (taskset); returns once it answers.

    `policy` is its `appendfsync`; without one nothing is logged.
    """
    if name == NULL:
        return _start_null(name, prefix)
    if name == NULL_FSYNCED:
        folder.mkdir(parents=True, exist_ok=True)
        return _start_null(name, prefix, "--fsync", str(folder / "group"))
    arguments = log_arguments("" if name == UNLOGGED else policy)
    if name in {OURS, UNLOGGED}:
        return _start_ours(name, folder, prefix, arguments)
    peer = PeerServer(name, folder, *arguments, prefix=prefix)
    rdb = folder / "dump.rdb"
    return Running(name, peer.port, peer.process.pid, peer.log, rdb, peer.stop)


def log_arguments(policy: str) -> tuple[str, ...]:
    """Give the directives of the log, said to every server: their defaults differ."""
    if not policy:
        return ("--appendonly", "no")
    yes = ("--appendonly", "yes", "--appendfsync", policy)
    return (*yes, "--auto-aof-rewrite-percentage", "0")


def _start_ours(
    name: str, folder: Path, prefix: Sequence[str], arguments: Sequence[str]
) -> Running:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sidecar.log").unlink(missing_ok=True)  # it appends; the last start is what counts
    words = ("--save", "", *arguments)
    ours = Sidecar(folder, redis_args=words, config=NO_SNAPSHOTS, prefix=prefix)
    rdb = ours.data / "dump.rdb"
    return Running(name, ours.ports["resp"], ours.process.pid, ours.log, rdb, ours.stop)


def _start_null(name: str, prefix: Sequence[str], *words: str) -> Running:
    process = subprocess.Popen(
        [*prefix, str(null_server_binary()), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def stop() -> None:
        process.communicate(timeout=30)  # it ends with its standard input

    port = int(process.stdout.readline()) if process.stdout else 0
    nowhere = Path("/dev/null")
    return Running(name, port, process.pid, nowhere, nowhere, stop)


def null_server_binary() -> Path:
    """Build the null server (nothing to do the second time) and give its executable."""
    command = ("cargo", "build", "--release", "--locked", "-p", "perdure-null-server")
    told = ("--message-format=json-render-diagnostics", "--manifest-path", "engine/Cargo.toml")
    done = subprocess.run([*command, *told], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for line in done.stdout.splitlines():
        executable = json.loads(line).get("executable")
        if executable:
            return Path(executable)
    raise RuntimeError("cargo built no perdure-null-server")


def digest(server: Running) -> str:
    """Ask for DEBUG DIGEST."""
    with server.client() as client:
        return digest_of(client)


def knows(server: Running, verb: str) -> bool:
    """Tell whether a server has a command: without arguments it complains of their number."""
    if server.name in NULLS:
        return True
    with server.client() as client:
        try:
            client.execute_command(verb)
        except redis.ResponseError as error:
            return not str(error).lower().startswith("unknown command")
    return True


def version(server: Running) -> str:
    """Say which version runs."""
    if server.name in NULLS:
        return "of this tree"
    with server.client() as client:
        return version_of(client.info("server"))


def version_of(info: Mapping[str, object]) -> str:
    """Pick the server's own version out of its INFO: others also say which Redis they resemble."""
    for field in ("perdure_version", "valkey_version", "redis_version"):
        if field in info:
            return str(info[field])
    raise ValueError("INFO names no version")


def load_seconds(server: Running) -> float:
    """Time that the server says its last load took, of a file or of a log."""
    return load_seconds_of(server.name, server.log.read_text(errors="replace"))


def load_seconds_of(name: str, log: str) -> float:
    """Find the duration of the last load in a server's log."""
    if name == OURS:
        lines = [json.loads(line) for line in log.splitlines() if "data_set_loaded" in line]
        found = [float(line["seconds"]) for line in lines]
    else:
        found = [float(text) for text in _PEER_LOADED.findall(log)]
    if not found:
        raise ValueError(f"{name} did not say how long its load took")
    return found[-1]
