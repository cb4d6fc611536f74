//! The log and the reply gate: [`Log`] (the contract), [`Gate`] (who may answer), `held` (a log
//! that tests delay and fail); on the disk `layout` (names), `manifest` (which files make up the
//! log), `annotation` (lines in it that are no commands). Guards I5 and I10.

pub mod annotation;
pub mod gate;
pub mod held;
pub mod layout;
pub mod manifest;

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
