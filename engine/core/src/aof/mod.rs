//! The log and the reply gate. The gate is in place from the first command; the file-backed log
//! comes with the AOF. Today: [`Log`] (the contract), [`Gate`] (who may answer), `held` (a log that
//! tests delay and fail). Guards I5 and I10.

pub mod gate;
pub mod held;

pub use gate::{Gate, GateWaker, Position};

/// Where effects go. Called under the engine lock; must not block on a disk.
pub trait Log: Send + Sync {
    /// Append whole units as RESP; gives the log position (byte offset) after them.
    fn append(&self, effects: &[u8]) -> u64;
    /// The gate that this log opens as its bytes become as durable as the policy says.
    fn gate(&self) -> &Gate;
}
