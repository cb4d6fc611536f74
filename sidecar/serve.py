"""The `perdure serve` command: its options, and what its end means to a script.

Registered under the entry-point group `perdure.commands`, so that the client's command finds it
without importing a server; everything heavy is imported when it is called. How the server is put
together is `sidecar.app`'s matter. Exit codes are those of docs/operations/exit-codes.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidecar import errors

EXIT_OK = 0
EXIT_UNEXPECTED = 1
PORT_MAX = 65535

# How a start that was refused ends, by class, most specific first; then by the engine's code.
EXIT_BY_CLASS: tuple[tuple[type[errors.PerdureError], int], ...] = (
    (errors.DataDirLockedError, 10),
    (errors.BootRefusedError, 11),
    (errors.CorruptError, 11),
    (errors.AddressRefusedError, 13),
    (errors.UsageError, 12),
    (errors.ExhaustedError, 7),
    (errors.UnavailableError, 5),
)
EXIT_BY_CODE: dict[str, int] = {
    "DATA_DIR_LOCKED": 10,
    "FILE_MISSING": 11,
    "PERMISSION_DENIED": 11,
    "IO_ERROR": 11,
    "ADDRESS_IN_USE": 13,
    "ADDRESS_REFUSED": 13,
    "ADDRESS_INVALID": 13,
}


@dataclass(frozen=True)
class ServeOptions:
    """What the command line said; None is what it did not say."""

    config: Path | None = None
    redis_conf: Path | None = None
    data_dir: Path | None = None
    bind: str | None = None
    is_insecure: bool = False
    port: int | None = None
    data_port: int | None = None
    control_port: int | None = None
    http_port: int | None = None
    ready_file: Path | None = None
    redis_args: tuple[str, ...] = ()

    def settings(self) -> dict[str, object]:
        """Return what was said, by the dotted names of the configuration; None was not said."""
        return {
            "server.redis_conf": self.redis_conf,
            "server.data_dir": self.data_dir,
            "server.bind": self.bind,
            "server.insecure": True if self.is_insecure else None,
            "server.port": self.port,
            "server.data_port": self.data_port,
            "server.control_port": self.control_port,
            "server.http_port": self.http_port,
            "server.ready_file": self.ready_file,
        }

    def directives(self) -> dict[str, str]:
        """Return what was said and is also a directive of Redis: it outranks redis.conf and `--`.

        Values are words as in redis.conf, so a path is quoted.
        """
        said: dict[str, str] = {}
        if self.port is not None:
            said["port"] = str(self.port)
        if self.bind is not None:
            said["bind"] = self.bind.replace(",", " ")
        if self.data_dir is not None:
            said["dir"] = json.dumps(str(self.data_dir), ensure_ascii=False)
        return said


def command(  # noqa: PLR0917  # typer: one parameter an option
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration of the service, TOML.")
    ] = None,
    redis_conf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration of the engine, redis.conf.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the data is.  [default: data]")
    ] = None,
    bind: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="Where all doors listen.  [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=PORT_MAX, metavar="N", help="Redis clients; 0 takes a free one."),
    ] = None,
    data_port: Annotated[
        int | None, typer.Option(min=0, max=PORT_MAX, metavar="N", help="The engine's gRPC.")
    ] = None,
    control_port: Annotated[
        int | None, typer.Option(min=0, max=PORT_MAX, metavar="N", help="The control API's gRPC.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(min=0, max=PORT_MAX, metavar="N", help="Metrics and health pages.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Written once all serves: pid and ports as JSON."),
    ] = None,
    redis_args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- REDIS ARGS]", help="Read as redis-server reads its own."),
    ] = None,
    *,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow addresses beyond loopback, without keys.")
    ] = False,
) -> None:
    """Serve the data and everything around it, until SIGTERM."""
    options = ServeOptions(
        config=config,
        redis_conf=redis_conf,
        data_dir=data_dir,
        bind=bind,
        is_insecure=insecure,
        port=port,
        data_port=data_port,
        control_port=control_port,
        http_port=http_port,
        ready_file=ready_file,
        redis_args=tuple(redis_args or ()),
    )
    raise typer.Exit(serve(options))


def serve(options: ServeOptions) -> int:
    """Serve until told to stop; return the exit code. Expected failures are printed, not raised."""
    from sidecar.app import run_server  # noqa: PLC0415  # heavy, and not for `perdure --help`

    try:
        run_server(options)
    except errors.PerdureError as error:
        sys.stderr.write(f"Error: {error.message}\n")
        sys.stderr.write(f"Try: {error.hint or 'look at the log above'}\n")
        return exit_code_of(error)
    return EXIT_OK


def exit_code_of(error: errors.PerdureError) -> int:
    """Return how a server that could not start, or had to end, tells it to a script."""
    if error.code in EXIT_BY_CODE:
        return EXIT_BY_CODE[error.code]
    for kind, code in EXIT_BY_CLASS:
        if isinstance(error, kind):
            return code
    return EXIT_UNEXPECTED
