//! The append-only file: what its parts agree on. [`Log`] is the contract between those who execute
//! and the log, [`Gate`] says who may answer, [`attached`] is where the loops find the log without
//! the engine lock. [`log`] is the log in files; `held` is one in memory that tests delay and fail.
//! On the disk: `layout` (names), `manifest` (which files make up the log), `annotation` (lines in
//! it that are no commands). `plain` writes data as commands, `replay` makes data of them again.
//! `ring` is what `always` fsyncs in place of the log's file. What a start makes of the disk:
//! `recover`; without a server: `check`, `repair`. Guards I5 and I10.

pub mod annotation;
pub mod attached;
pub mod check;
pub mod gate;
pub mod growth;
pub mod held;
pub mod layout;
pub mod log;
mod log_end;
pub mod manifest;
mod plain;
mod probe;
pub mod recover;
pub mod repair;
pub mod replay;
pub mod ring;
#[cfg(test)]
mod sample_log;
pub mod scan;
pub mod segment;
pub mod state_file;
pub mod units;

pub use attached::Attached;
pub use gate::{Gate, GateWaker, LogPosition, Position};
pub use log::{FileLog, LogFigures, LogSettings, Segment};
pub use log_end::LogEnd;
pub use plain::save_commands;

/// `appendfsync`: when a write is as durable as it was asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before its reply leaves.
    Always,
    /// The kernel has it before its reply leaves; once a second it is fsynced.
    Everysec,
    /// The kernel has it before its reply leaves, and fsyncs it when it likes.
    No,
}

impl FsyncPolicy {
    /// The word in redis.conf.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::No => "no",
        }
    }
}

/// Where effects go. Two halves: what happens under the engine lock touches no disk; what touches
/// the disk happens without it.
pub trait Log: Send + Sync {
    /// Append whole units as RESP, under the engine lock. Gives the gate offset after them.
    fn append(&self, effects: &[u8]) -> u64;

    /// After a turn's executing and before its replies, without the engine lock: what was appended
    /// goes towards the disk. `everysec` and `no`: one write by the caller, then the gate opens;
    /// `always`: the log's thread is woken. Cheap when there is nothing to write.
    fn push(&self) {}

    /// Somebody waits until `offset` is fsynced, whatever the policy. Waits for nothing itself.
    fn ask_fsync(&self, offset: u64);

    /// Whether a start reads this log, so that what is in it is not lost. Not while it is being
    /// switched on.
    fn is_in_force(&self) -> bool {
        true
    }

    /// The gate that this log opens as its bytes become as durable as the policy says.
    fn gate(&self) -> &Gate;
}
