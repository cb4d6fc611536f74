"""The native engine: the border between the control plane (Python) and the data plane (Rust).

Every call of `Engine` returns at once and never waits for a disk or the engine lock. Work that
takes time gets a job number; its end arrives as an event. Documents cross the border as JSON text.
`inspect_rdb` and `check_log` are no calls of an engine: they look at files, on the caller's thread.

Events (`Engine.take_events`), one JSON object each:

    {"event": "done", "job": N, "result": {...}}
    {"event": "failed", "job": N, "error": ERROR}
    {"event": "progress", "job": N, "phase": "write|verify|load|safety", "done": n, "total": n}
        bytes for verify and load, keys for write and safety; total 0 = unknown
    {"event": "state", "state": "loading|ready|failed|stopped", "error": ERROR}
        the error only with "failed"
    {"event": "log", "level": "info|warning|error", "name": "snake_case", "fields": {...}}
    {"event": "exit_requested", "save": true|false}
        SHUTDOWN was executed: the data is saved if it should be, and nothing more is executed; stop
        the engine and end the process

    ERROR = {"code": "UPPER_SNAKE", "message": str, "hint": str, "is_retryable": bool,
             "context": {str: str}}

A job ends with exactly one `done` or `failed`; both are never dropped. Log lines and progress may
be dropped when nobody takes events (`events_dropped` then tells how many).

Results of jobs:

    CUT    = {"path": str, "size_bytes": n, "keys": n, "fork_seconds": x, "pause_seconds": x,
              "cow_bytes": n, "write_seconds": x, "cut_unix_ms": n,
              "log_position": POSITION or null, "rdb_version": 10}
    VERIFY = {"size_bytes": n, "sha256": hex, "rdb_version": n, "redis_version": str,
              "created_unix_s": n, "used_memory_bytes": n, "log_position": POSITION or null,
              "aux": {str: str}, "keys": n, "expires": n,
              "databases": {"0": {"keys": n, "expires": n, "types": {"string": n}}}}
              created_unix_s and used_memory_bytes are 0 when the file does not say
    load_beside = VERIFY and {"stage": N, "memory_bytes": n, "expired_skipped": n}
    commit      = {"safety": CUT and {"verified": VERIFY}, "pause_seconds": x, "keys": n,
                   "previous_keys": n}
    config_get  = {"parameters": {name: value}}
    discard, config_set, stop = {}

Besides the codes named below any job can fail with TOO_MANY_JOBS, THREAD_FAILED, ENGINE_NOT_READY
(stopping) and INTERNAL (a bug).

Stats (`Engine.stats`), one JSON object:

    state ("loading|ready|failed|stopped"), uptime_seconds, clients, keys {"0": n},
    expires {"0": n}, used_memory_bytes, used_memory_rss_bytes, huge_pages_bytes (refreshed every
    ten seconds), collapsed_bytes_total, collapse_failures_total, commands_total,
    connections_total, rejected_connections_total, expired_keys_total, evicted_keys_total,
    keyspace_hits_total, keyspace_misses_total, net_input_bytes_total, net_output_bytes_total,
    dirty, last_save_unix_s,
    last_bgsave_status ("ok"|"err"), bgsave_in_progress (bool),
    fork_histogram {purpose: {"buckets": [n x 17], "sum": seconds, "count": n}}, last_fork_seconds,
    cow_bytes_last, loading {"total_bytes": n, "loaded_bytes": n}, writes_paused (bool),
    log_failed (bool), blocked_clients, unsaved_since_unix_ms (n or null),
    last_load {"commands": n, "seconds": x, "torn_bytes": n}, log STATS_LOG, rpc STATS_RPC

    STATS_LOG = {"is_on": bool, "position": POSITION or null, "fsynced_position": POSITION or null,
                 "fsync_lag_seconds": x, "fsync_histogram": HISTOGRAM,
                 "write_to_fsync_histogram": HISTOGRAM, "unsynced_bytes": n, "buffered_bytes": n,
                 "writes_total": n, "ring_fsyncs_total": n, "delayed_fsyncs_total": n,
                 "errors": {"disk_full": n, "write": n, "fsync": n}, "size_bytes": n,
                 "base_size_bytes": n, "incremental_size_bytes": n,
                 "rewrites": {"ok": n, "failed": n, "in_progress": bool, "last_seconds": n or null}}
    STATS_RPC = {"methods": {name: {"codes": {status: n}, "duration_histogram": HISTOGRAM}},
                 "connections": n, "accepted_total": n, "refused_total": n}; calls on the data door
    POSITION = {"epoch": n, "offset": n}, HISTOGRAM as those of forks

    Only databases that hold keys are listed. Buckets are counts between the edges 0.0001, 0.00025,
    0.0005, 0.001, ... 10 seconds (not cumulative; the 17th is above 10). Purposes: "bgsave", "cut"
    (whatever purpose a cut was asked with), "safety".

The codes that the engine gives are listed in `docs/operations/errors.md`.
"""
# ruff: noqa: PYI021 - the native module's only documentation is this stub

from collections.abc import Callable
from os import PathLike
from typing import final

__all__ = ["Engine", "EngineError", "check_log", "inspect_rdb"]

class EngineError(Exception):
    """A typed error of the engine; nobody parses the message."""

    code: str
    message: str
    hint: str
    is_retryable: bool
    context: dict[str, str]

@final
class Engine:
    """One running engine: its ports, threads and data. Usable from any thread."""

    def __new__(cls, options_json: str) -> Engine:
        """Bind the ports, start the threads and begin loading the data set in the background.

        The options are one JSON object, every field optional::

            {"bind": ["127.0.0.1"], "resp_port": 6379, "data_port": 6380, "data_dir": "data",
             "redis_conf": null, "redis_args": ["--save", ""], "databases": 16, "insecure": false,
             "server_uid": "", "is_boot_source_told": false,
             "defaults": {"save": "3600 1 300 100 60 10000"}, "environment": {},
             "overrides": {"port": "0"}}

        `defaults`, `environment` and `overrides` are directives; a value is words as in redis.conf
        (quote a word that holds blanks; an empty value is one empty word). Precedence, low to high:
        the engine's defaults, the fields above, `defaults`, `redis_conf`, `environment`,
        `redis_args`, `overrides`. Port 0 takes a free one.
        `server_uid` goes to the data dir's state file; with `is_boot_source_told` a log that should
        be there may be missing.

        Raises EngineError: CONFIG_INVALID, CONFIG_UNSUPPORTED, CONFIG_UNKNOWN, ADDRESS_IN_USE,
        ADDRESS_REFUSED, ADDRESS_INVALID, FILE_MISSING, PERMISSION_DENIED, THREAD_FAILED. Nothing is
        left running then. A data set that cannot be loaded is not an error here: it arrives as the
        state `failed`, and the file stays as it is.
        """

    def ports(self) -> dict[str, int]:
        """Return the ports that the doors listen on: `{"resp": n, "data": n}`."""

    def event_fd(self) -> int:
        """Return a descriptor that is readable while `take_events` has something (do not close)."""

    def take_events(self) -> list[str]:
        """Take all events since the last call, oldest first."""

    def stats(self) -> str:
        """Return figures that need no lock, as a JSON object."""

    def cut(self, path: str, purpose: str) -> int:
        """Fork a snapshot into the new file `path` (written, fsynced, named last); return the job.

        `dump.rdb`, LASTSAVE and the changes counter stay as they are. While another child runs the
        cut waits for it, at most a minute. `purpose` goes to log lines.

        Fails with: CHILD_BUSY, CHILD_ENDED, FORK_FAILED, SNAPSHOT_CHILD_FAILED, DISK_FULL,
        FILE_EXISTS, FILE_MISSING, PERMISSION_DENIED, IO_ERROR, CANCELLED, ENGINE_NOT_READY. No file
        is left then.
        """

    def verify(self, path: str) -> int:
        """Read a file back past the page cache, parse and hash all of it; return the job.

        Fails with: RDB_CORRUPT, RDB_TRUNCATED, RDB_ALIEN, RDB_VERSION_UNSUPPORTED,
        RDB_TYPE_UNSUPPORTED, CANCELLED, FILE_MISSING, IO_ERROR.
        """

    def load_beside(self, path: str) -> int:
        """Parse a file into a staged keyspace beside the live one; return the job.

        One stage at a time. Keys whose time is over are left out. Fails as `verify`, and with
        STAGE_BUSY, ENGINE_NOT_READY.
        """

    def discard(self, stage: int) -> int:
        """Free a staged keyspace; return the job. Fails with STAGE_NOT_FOUND, STAGE_BUSY."""

    def commit(self, stage: int, safety_path: str) -> int:
        """Replace the live data by the stage; return the job. Reads never stop.

        Writes the stage beside `dump.rdb` and verifies it, pauses writes, cuts what is live into
        the new file `safety_path` and verifies it, renames (the commit point), switches, lets
        writes go. `cancel` works up to the rename. A failure before it leaves the live data
        serving, `dump.rdb` as it was and the stage in place (discard it or commit again; a safety
        file that was written stays). COMMIT_NOT_DURABLE is the one failure after the rename: the
        new data serves.

        Fails with: STAGE_NOT_FOUND, STAGE_BUSY, COMMIT_PAUSE_TOO_LONG,
        COMMIT_TARGET_CHANGED, COMMIT_NOT_DURABLE, and as `cut` and `verify`.
        """

    def cancel(self, job: int) -> None:
        """Ask a job to end with CANCELLED; best effort, harmless when it has ended."""

    def config_get(self, pattern: str) -> int:
        """Look up directives by glob pattern; return the job."""

    def config_set(self, pairs: list[tuple[str, str]]) -> int:
        """Set all of the directives or none; return the job. Fails with CONFIG_SET_FAILED."""

    def stop(self, save: bool | None) -> int:
        """Stop as SHUTDOWN SAVE (True) or NOSAVE (False) does; return the job.

        None is SHUTDOWN without a word: saved if save points are configured, decided in the engine
        at the moment it stops. The engine is gone when the job is done.
        Other jobs are cancelled first. When the save fails, nothing is stopped. Idempotent.
        """

def inspect_rdb(
    path: str | PathLike[str],
    *,
    top: int,
    strict: bool,
    progress: Callable[[int, int], object] | None,
) -> str:
    """Read a whole RDB file, without an engine and without the GIL; return a JSON object.

    Checksum, framing and every collection are checked as a load would, and nothing is kept but
    counts and the `top` biggest keys (at most 10,000). Types that a load refuses are passed over
    and counted. `strict` refuses bytes after the end. `progress` is told bytes read and in all,
    about every MiB; what it raises, and Ctrl-C, end the reading. The object is VERIFY and::

        {"path": str, "is_checksummed": bool, "trailing_bytes": n, "empty_skipped": n,
         "functions": n, "functions_bytes": n, "first_expire_unix_ms": n or null,
         "last_expire_unix_ms": n or null, "unsupported": n, "unsupported_first": KEY or null,
         "encodings": [{"db": n, "type": str, "encoding": str, "keys": n, "expires": n, "bytes": n,
                        "elements": n}],
         "largest": [KEY], "longest": [KEY]}
        KEY = {"db": n, "key": str, "type": str, "encoding": str, "bytes": n, "elements": n,
               "expire_unix_ms": n or null}

    Bytes are those of the file; elements of a string are its bytes. `largest` is by bytes,
    `longest` are the collections of most elements. Raises EngineError: RDB_ALIEN, RDB_CORRUPT,
    RDB_TRUNCATED, RDB_VERSION_UNSUPPORTED, RDB_TYPE_UNSUPPORTED, RDB_FUNCTIONS_UNSUPPORTED,
    RDB_DATABASE_OUT_OF_RANGE, FILE_MISSING, PERMISSION_DENIED, IO_ERROR.
    """

def check_log(
    path: str | PathLike[str],
    *,
    fix: bool,
    until_unix_ms: int | None,
    progress: Callable[[int, int], object] | None,
) -> str:
    """Read a whole log, without an engine and without the GIL; return a JSON object.

    `path` is a manifest, a directory with one (or with one below), or one file of a log, ours or
    another server's. Commands are counted and looked up, not executed. `until_unix_ms` asks where
    to cut so that nothing stays that was logged later. `fix` cuts, at the first damage or there;
    what is cut off goes to the folder `quarantine`. No server may use the files then. Progress and
    Ctrl-C as in `inspect_rdb`. The object tells what was found before anything was cut, and after
    `fix` filled in what the commit ring holds::

        {"path": str, "manifest": str or null, "is_sound": bool, "is_sound_to_last": bool,
         "ring": RING or null, "files": [FILE], "place": PLACE or null, "cut_bytes": n,
         "kept_as": str or null, "set_aside": [str]}
        RING  = {"path": str, "bytes": n, "is_filled": bool, "error": ERROR or null,
                 "kept_as": str or null}
        FILE  = {"path": str, "role": "base|incr|alone", "size_bytes": n, "rdb": VERIFY or null,
                 "rdb_bytes": n, "commands": {name: n}, "log": LOG or null, "error": ERROR or null}
        LOG   = {"whole_bytes": n, "units": n, "is_ours": bool, "epoch": n or null,
                 "last_unix_ms": n or null, "fsynced_bytes": n, "breaks_promise": bool,
                 "damage": {"offset": n, "reason": str} or null}
        PLACE = {"path": str, "offset": n, "drops_bytes": n, "kept_until_unix_ms": n or null}

    `ring`: so many bytes that the log lacks (`error`: it does not fit it), which a start fills in,
    and `fix` has filled in or put aside. `is_sound_to_last`: at most the end of the last file is
    torn, which a start cuts. `place` is where `fix` cuts, or has cut. Raises EngineError:
    AOF_NOT_FOUND, AOF_MANIFEST_INVALID, AOF_NOT_REPAIRABLE (with `fix`), AOF_TIME_UNKNOWN (with
    `until_unix_ms`), FILE_MISSING, PERMISSION_DENIED, IO_ERROR, DISK_FULL.
    """
