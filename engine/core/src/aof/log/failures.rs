//! The errors of the log in files, each with what the operator can do. Codes are documented in
//! `docs/operations/errors.md`.

use std::io;
use std::path::Path;

use crate::error::EngineError;

/// A write failed; it is tried again each second.
pub fn write_failed(path: &Path, error: &io::Error) -> EngineError {
    let made = EngineError::from_io("write", path, error);
    let hint = if made.code == "DISK_FULL" {
        "Free space on the disk of that path. New writes are refused until the log can be written; \
         it tries again each second, and then they go on by themselves."
    } else {
        "Look at the disk and the kernel log. New writes are refused until the log can be written; \
         it tries again each second, and then they go on by themselves."
    };
    EngineError { hint: hint.to_owned(), is_retryable: true, ..made }
}

/// An fsync failed; what the file holds is unknown.
pub fn fsync_failed(path: &Path, error: &io::Error) -> EngineError {
    let made = EngineError::from_io("fsync", path, error);
    let hint = "Look at the disk and the kernel log. What the file holds is unknown now: new writes \
                are refused until a new base is written from memory, which begins by itself \
                (BGREWRITEAOF begins it at once).";
    EngineError { hint: hint.to_owned(), is_retryable: true, ..made }
}

/// The commit ring cannot be made or takes no more.
pub fn ring_failed(error: EngineError) -> EngineError {
    let hint = "Nothing is lost, and writes go on: the log's own file is fsynced for each group now, \
                which is slower. Look at the disk and the kernel log; the ring is tried again when \
                the log goes on in its next file (BGREWRITEAOF).";
    EngineError { hint: hint.to_owned(), ..error }
}

/// Somebody waited for a log that has failed.
pub fn log_failed() -> EngineError {
    EngineError::new(
        "LOG_FAILED",
        "the append-only file cannot be written or fsynced",
        "See aof_last_write_status in INFO and the server's log; free space or replace the disk, \
         then try again.",
    )
    .retryable()
}

/// Somebody waited for an fsync that did not come in time.
pub fn log_timeout() -> EngineError {
    EngineError::new(
        "LOG_TIMEOUT",
        "the append-only file was not fsynced in time",
        "Look at how busy the disk is (perdure_aof_fsync_duration_seconds), then try again.",
    )
    .retryable()
}
