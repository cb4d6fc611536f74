"""The root of the `perdure` command: global options, verbs, plugins, errors and exit codes.

Verbs of the server's side (`serve`, `rdb`) come from the entry-point group `perdure.commands`, so
that this client never imports a server. Nothing prints a traceback on an expected error: `Error:`
and `Try:` lines go to stderr, and the exit code is one of `perdure.exit_codes`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Annotated

import typer
import typer.main

import perdure
from perdure.cli import backend, clone, data, event, operation, schedule, server, snapshot
from perdure.cli.argv import first_verb, hoist_global_options
from perdure.cli.session import OutputFormat, Session
from perdure.client import DEFAULT_TARGET
from perdure.errors import PerdureError
from perdure.exit_codes import ExitCode, exit_code_for

PLUGIN_GROUP = "perdure.commands"
INTERRUPTED = 130  # what typer makes of Ctrl-C
NO_HINT = "look at perdure status, and at the server's log of this moment"
NOUNS = {
    "snapshot": snapshot.app,
    "clone": clone.app,
    "schedule": schedule.app,
    "operation": operation.app,
    "backend": backend.app,
    "event": event.app,
    "config": server.config_app,
    "data": data.app,
}
VERBS: dict[str, Callable[..., None]] = {
    "restore": server.restore_snapshot,
    "status": server.show_status,
}


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # typer's callback
    if wanted:
        sys.stdout.write(f"perdure {perdure.__version__}\n")
        raise typer.Exit


def _root(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", envvar="PERDURE_TARGET", help="The server's control door."
        ),
    ] = DEFAULT_TARGET,
    output: Annotated[
        OutputFormat, typer.Option("-o", "--output", help="For a person, or for a program.")
    ] = OutputFormat.TABLE,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Snapshots, schedules and restores of a Redis-compatible server."""
    host, colon, port = target.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise typer.BadParameter(f"--target takes HOST:PORT, such as {DEFAULT_TARGET}")
    context.obj = Session(target=target, output=output)


def build_app(verb: str | None) -> typer.Typer:
    """Return the whole command. Plugins are loaded unless `verb` is one of our own."""
    app = typer.Typer(name="perdure", no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_root)
    for name, noun in NOUNS.items():
        app.add_typer(noun, name=name)
    for name, command in VERBS.items():
        app.command(name)(command)
    if verb not in NOUNS and verb not in VERBS:
        for plugin in entry_points(group=PLUGIN_GROUP):
            loaded = plugin.load()
            if isinstance(loaded, typer.Typer):
                app.add_typer(loaded, name=plugin.name)
            else:
                app.command(plugin.name)(loaded)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; expected errors are printed, not raised."""
    words = hoist_global_options(argv)
    command = typer.main.get_command(build_app(first_verb(words)))
    try:
        ended = command.main(words, prog_name="perdure", standalone_mode=False)
    except PerdureError as error:
        _complain(error.message, error.hint or NO_HINT)
        return exit_code_for(error.status, of_operation=error.of_operation)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a bare noun: the message is its whole help
            sys.stderr.write(f"{message}\n")
        else:
            _complain(_plain_usage(message), _usage_hint(error, words))
        return ExitCode.USAGE
    except typer.Abort:
        return ExitCode.CANCELLED
    except BrokenPipeError:
        # Whoever read us has seen enough. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    if ended == INTERRUPTED:
        _complain("interrupted", "perdure operation list shows what goes on in the server")
        return ExitCode.CANCELLED
    return ended if isinstance(ended, int) else ExitCode.OK


def _complain(message: str, hint: str) -> None:
    sys.stderr.write(f"Error: {message}\n")
    if hint:
        sys.stderr.write(f"Try: {hint}\n")


def _plain_usage(message: str) -> str:
    """Return a usage message without the words of the libraries that made it."""
    return message.removeprefix("Invalid value: ").replace(": Value error, ", ": ")


def _usage_hint(error: typer.TyperException, words: Sequence[str]) -> str:
    """Return the help of the innermost verb that was understood."""
    context = getattr(error, "ctx", None)  # what is raised before parsing has none
    if context is not None:
        return f"{context.command_path} --help"
    verb = first_verb(words)
    return f"perdure {verb} --help" if verb in (*NOUNS, *VERBS) else "perdure --help"
