"""The exit codes of the `perdure` command, in one enum.

What each number means to a script lives here; docs/operations/exit-codes.md says it to a person,
and a test compares the two. Numbers are promised: never reuse one, only add.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a `perdure` command ended."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 5
    DATA_CORRUPT = 6
    RESOURCE_EXHAUSTED = 7
    CANCELLED = 8
    OPERATION_FAILED = 9
    DATA_DIR_LOCKED = 10
    DATA_SET_UNREADABLE = 11
    CONFIG_INVALID = 12
    ADDRESS_REFUSED = 13


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "an unexpected failure: a bug, or an error nobody has classified yet",
    ExitCode.USAGE: "wrong usage: an unknown option, or a value that was refused",
    ExitCode.NOT_FOUND: "the named snapshot, schedule, operation, backend or clone does not exist",
    ExitCode.CONFLICT: "the state does not allow it now, or it exists already",
    ExitCode.UNAVAILABLE: "the server or a backend cannot be reached, or did not answer in time",
    ExitCode.DATA_CORRUPT: "data is damaged: a verification failed, or a payload cannot be read",
    ExitCode.RESOURCE_EXHAUSTED: "no room: the disk is full, or memory does not suffice",
    ExitCode.CANCELLED: "the work was cancelled",
    ExitCode.OPERATION_FAILED: "the work failed for another reason",
    ExitCode.DATA_DIR_LOCKED: "start refused: another server uses the data directory",
    ExitCode.DATA_SET_UNREADABLE: "start refused: the data set cannot be read, or is missing",
    ExitCode.CONFIG_INVALID: "start refused: the configuration is wrong",
    ExitCode.ADDRESS_REFUSED: "start refused: the address is in use, or not allowed without "
    "`--insecure`",
}

# By the name of the gRPC status. A status that is not here is UNEXPECTED, or OPERATION_FAILED
# when an operation ended with it.
_BY_STATUS: dict[str, ExitCode] = {
    "OK": ExitCode.OK,
    "INVALID_ARGUMENT": ExitCode.USAGE,
    "OUT_OF_RANGE": ExitCode.USAGE,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "FAILED_PRECONDITION": ExitCode.CONFLICT,
    "ALREADY_EXISTS": ExitCode.CONFLICT,
    "ABORTED": ExitCode.CONFLICT,
    "UNAVAILABLE": ExitCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": ExitCode.UNAVAILABLE,
    "DATA_LOSS": ExitCode.DATA_CORRUPT,
    "RESOURCE_EXHAUSTED": ExitCode.RESOURCE_EXHAUSTED,
    "CANCELLED": ExitCode.CANCELLED,
}


def exit_code_for(status: str, *, of_operation: bool = False) -> ExitCode:
    """Return the exit code for the name of a gRPC status.

    Args:
        status: for example `NOT_FOUND`.
        of_operation: the status is how a long-running operation ended, not how a call ended.
    """
    otherwise = ExitCode.OPERATION_FAILED if of_operation else ExitCode.UNEXPECTED
    return _BY_STATUS.get(status, otherwise)
