"""Real processes for tests: a redis-server from Debian and a sidecar, on free ports, ended by pid.

What a test starts it ends; nothing here looks for processes by name.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import redis

START_SECONDS = 60.0
_T = TypeVar("_T")


def wait_for(probe: Callable[[], _T | None], what: str, deadline_seconds: float = 60.0) -> _T:
    """Poll `probe` until it gives something true; fail naming `what` when the deadline is over."""
    end = time.monotonic() + deadline_seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_seconds} s in vain for {what}")
        time.sleep(0.01)


def free_port() -> int:
    """Give a port that was free a moment ago, and that the kernel gives to no client meanwhile.

    A client that tries a port again and again, where nobody listens yet, may be given that very
    port for its own end; then the server that wants it finds it taken.
    """
    told = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    first, last = (int(word) for word in told.split())
    ports = max(range(10_000, first), range(last + 1, 65_536), key=len)
    while True:
        port = random.choice(ports) if ports else 0
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])


def debian_tool(name: str) -> Path:
    """Find a program of the Debian package redis-tools, or say what to install."""
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"{name} is missing: apt-get install redis-tools")
    return Path(found)


def redis_server_binary(folder: Path) -> Path:
    """Give a `redis-server`: redis-tools ships the server under another name."""
    found = shutil.which("redis-server")
    if found is not None:
        return Path(found)
    link = folder / "redis-server"
    if not link.exists():
        link.symlink_to(debian_tool("redis-check-rdb"))
    return link


class RedisServer:
    """A real redis-server with DEBUG allowed and no persistence of its own unless asked for."""

    def __init__(
        self,
        folder: Path,
        *args: str,
        binary: Path | None = None,
        debug_args: Sequence[str] = ("--enable-debug-command", "yes"),
        prefix: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        command = [
            *prefix,
            str(binary or redis_server_binary(folder)),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", *debug_args),
            *args,
        ]
        self.log = folder / "redis.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(self._is_up, "redis-server to answer PING", START_SECONDS)
        except BaseException:
            self.stop()  # nobody else knows of it yet
            raise

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended: {self.log.read_text()[-2000:]}")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def client(self, **options: Any) -> redis.Redis:
        """Connect a new client."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=300, **options)

    def digest(self) -> str:
        """Ask for DEBUG DIGEST."""
        with self.client() as client:
            return digest_of(client)

    def stop(self) -> None:
        """End the server."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def digest_of(client: redis.Redis) -> str:
    """Ask any Redis-like server for DEBUG DIGEST."""
    answer = client.execute_command("DEBUG", "DIGEST")  # type: ignore[no-untyped-call]
    return answer.decode() if isinstance(answer, bytes) else str(answer)


class Sidecar:
    """A `perdure serve` process on free ports over a data folder of the test."""

    def __init__(
        self,
        folder: Path,
        *args: str,
        redis_args: Sequence[str] = (),
        config: str | None = None,
        env: Mapping[str, str] | None = None,
        is_awaited: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.ready_file.unlink(missing_ok=True)
        self.log = folder / "sidecar.log"
        command = [*prefix, str(perdure_binary()), "serve", "--data-dir", str(self.data)]
        for door in ("--port", "--data-port", "--control-port", "--http-port"):
            if door not in args:
                command += [door, "0"]
        command += ["--ready-file", str(self.ready_file), *args]
        if config is not None:
            (folder / "perdure.toml").write_text(config)
            command += ["--config", str(folder / "perdure.toml")]
        command += ["--", "--enable-debug-command", "yes", *redis_args]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**clean_environment(), **(env or {})},
            )
        self.ports: dict[str, int] = {}
        if is_awaited:
            try:
                self.wait_ready()
            except BaseException:
                if self.process.poll() is None:
                    self.kill()  # nobody else knows of it yet
                raise

    def wait_ready(self, deadline_seconds: float = START_SECONDS) -> None:
        """Wait for the ready file and take the ports from it."""

        def ready() -> dict[str, Any] | None:
            if self.process.poll() is not None:
                raise AssertionError(f"perdure ended with {self.process.returncode}: {self.tail()}")
            if not self.ready_file.exists():
                return None
            found: dict[str, Any] = json.loads(self.ready_file.read_text())
            return found

        self.ports = {
            k: int(v) for k, v in wait_for(ready, "ready file", deadline_seconds)["ports"].items()
        }

    def tail(self) -> str:
        """Give the end of the log, for messages."""
        return self.log.read_text(errors="replace")[-4000:]

    @property
    def target(self) -> str:
        """Address of the control door."""
        return f"127.0.0.1:{self.ports['control']}"

    def client(self, **options: Any) -> redis.Redis:
        """Connect a new Redis client."""
        return redis.Redis(host="127.0.0.1", port=self.ports["resp"], socket_timeout=300, **options)

    def digest(self) -> str:
        """Ask for DEBUG DIGEST."""
        with self.client() as client:
            return digest_of(client)

    def cli(
        self, *args: str, code: int | None = 0, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `perdure --target ... ARGS` and check its exit code."""
        done = subprocess.run(
            [str(perdure_binary()), "--target", self.target, *args],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=clean_environment(),
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"perdure {' '.join(args)} gave {done.returncode}, not {code}\n"
                f"stdout: {done.stdout}\nstderr: {done.stderr}\nlog: {self.tail()}"
            )
        return done

    def json(self, *args: str, code: int = 0, timeout: float = 120) -> Any:
        """Run a CLI command with `-o json` and parse what it prints."""
        return json.loads(self.cli("-o", "json", *args, code=code, timeout=timeout).stdout)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()
        self.process.wait(30)

    def wait(self, deadline_seconds: float = 60) -> int:
        """Wait for the process to end by itself; give its exit code."""
        return self.process.wait(deadline_seconds)

    def stop(self) -> int:
        """End it as an operator would: SIGTERM, then SIGKILL if it hangs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"perdure did not end on SIGTERM: {self.tail()}") from None
        return int(self.process.returncode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def perdure_binary() -> Path:
    """Give the `perdure` of the virtual environment that runs the tests."""
    return Path(sys.executable).parent / "perdure"


def clean_environment() -> dict[str, str]:
    """Give the environment without any PERDURE_ variable of the person who runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
