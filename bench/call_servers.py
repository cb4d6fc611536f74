"""The gRPC servers under test: the data door, etcd, and a small grpcio server of the same proto.

Each is started on a free port behind a prefix (taskset) and ended by pid. Perdure runs as its user
starts it, with its log under `everysec`, and once more under `always`, since etcd fsyncs each put;
the grpcio server keeps a dict and no file, so it shows what Python costs and no more.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.figures import ALWAYS_LOGGED, OURS
from bench.servers import NO_SNAPSHOTS, ROOT, log_arguments
from tests.support.processes import Sidecar, wait_for
from tests.support.shell import run

ETCD, GRPCIO = "etcd", "grpcio"
CALL_NAMES = (OURS, ALWAYS_LOGGED, ETCD, GRPCIO)
CALL_TITLES = {
    OURS: "Perdure, everysec",
    ALWAYS_LOGGED: "Perdure, always",
    ETCD: "etcd",
    GRPCIO: "Python grpcio",
}


@dataclass(frozen=True)
class Callee:
    """A gRPC server that runs."""

    name: str
    port: int
    pid: int
    stop: Callable[[], object]

    @property
    def api(self) -> str:
        """Whose messages it takes."""
        return "etcd" if self.name == ETCD else "perdure"


def start_callee(name: str, folder: Path, prefix: Sequence[str]) -> Callee:
    """Start a server over `folder`; returns once it takes connections."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == ETCD:
        return _start_etcd(folder, prefix)
    if name == GRPCIO:
        return _start_grpcio(prefix)
    policy = "always" if name == ALWAYS_LOGGED else "everysec"
    words = ("--save", "", *log_arguments(policy))
    ours = Sidecar(folder, redis_args=words, config=NO_SNAPSHOTS, prefix=prefix)
    return Callee(name, ours.ports["data"], ours.process.pid, ours.stop)


def callee_versions() -> dict[str, str]:
    """Give the versions of the peers, by title."""
    etcd = run(_etcd_binary(), "--version").stdout.split()
    return {CALL_TITLES[ETCD]: etcd[2], CALL_TITLES[GRPCIO]: metadata.version("grpcio")}


def load_binary() -> Path:
    """Build the load generator (nothing to do the second time) and give its executable."""
    command = ("cargo", "build", "--release", "--locked", "-p", "perdure-load")
    told = ("--message-format=json-render-diagnostics", "--manifest-path", "engine/Cargo.toml")
    done = subprocess.run([*command, *told], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for line in done.stdout.splitlines():
        executable = json.loads(line).get("executable")
        if executable:
            return Path(executable)
    raise RuntimeError("cargo built no perdure-load")


def _etcd_binary() -> str:
    found = shutil.which("etcd")
    if found is None:
        raise RuntimeError("etcd is missing: apt-get install --no-install-recommends etcd-server")
    return found


def _start_etcd(folder: Path, prefix: Sequence[str]) -> Callee:
    port, peer = _free_port(), _free_port()
    client, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    words = [*prefix, _etcd_binary(), "--data-dir", str(folder / "etcd"), "--log-level", "error"]
    words += ["--listen-client-urls", client, "--advertise-client-urls", client]
    words += ["--listen-peer-urls", other, "--initial-advertise-peer-urls", other]
    words += ["--initial-cluster", f"default={other}"]
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    callee = Callee(ETCD, port, process.pid, lambda: _end(process))
    wait_for(lambda: _listens(port), "etcd")
    return callee


def _start_grpcio(prefix: Sequence[str]) -> Callee:
    words = [*prefix, sys.executable, "-m", "bench.grpcio_server"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline()) if process.stdout else 0
    return Callee(GRPCIO, port, process.pid, lambda: _end(process))


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
