//! The log and the reply gate. The gate is in place from the first command; the file-backed log
//! comes with the AOF. Today: [`Log`] (the contract), [`Gate`] (who may answer), `held` (a log that
//! tests delay and fail). Guards I5 and I10.

pub mod gate;
pub mod held;

pub use gate::{Gate, GateWaker, Position};

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

/// Where effects go. Called under the engine lock; must not block on a disk.
pub trait Log: Send + Sync {
    /// Append whole units as RESP; gives the log position (byte offset) after them.
    fn append(&self, effects: &[u8]) -> u64;
    /// The gate that this log opens as its bytes become as durable as the policy says.
    fn gate(&self) -> &Gate;
}
