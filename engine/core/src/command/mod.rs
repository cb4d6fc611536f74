//! What commands mean. One file a family, every handler with the same shape: `fn(&mut Cx, Args)`.
//! The caller (a loop of `server`) holds the engine lock and runs a batch; this room never touches
//! a socket. `table` says what exists, `execute` decides whether it may run, `lookup` is the one
//! way to keys (lazy expiry).

mod chance;
mod connection;
mod execute;
mod extended;
pub mod figures;
mod generic;
mod glob;
mod hash;
mod list;
mod lookup;
mod replay;
mod replay_foresight;
mod replay_functions;
mod replay_hsetex;
mod scanning;
mod server;
mod set;
mod string;
mod table;
mod texts;
mod zset;

use std::sync::Arc;

pub use execute::{Call, Known, disconnect, execute, execute_known};
pub use glob::matches as glob_matches;
pub use lookup::expire_cycle;
pub use replay::{Flaw, Reader, Replayer, Survey};
pub use texts::LOADING;

use crate::resp::Reply;
use crate::session::Session;
use crate::state::{Shared, State};

/// What a handler works with, for the time of one command.
pub struct Cx<'a> {
    /// Under the engine lock.
    pub state: &'a mut State,
    /// Shared with everyone, no lock needed. `Arc`, so that BGSAVE and friends can start work that
    /// outlives the command.
    pub shared: &'a Arc<Shared>,
    /// The client.
    pub session: &'a mut Session,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix ms, one value for the whole command (for a transaction: one for all of it).
    pub now_ms: i64,
    /// The handler has said what to log ([`Cx::rewrite`]), so the command is not logged as it was
    /// sent.
    pub is_rewritten: bool,
    /// The handler has started the end of the server.
    pub is_shutting_down: bool,
    /// EXEC is running its commands.
    pub is_in_exec: bool,
}

/// What the loop does after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on; `is_write` tells the reply gate whether the data changed.
    Done {
        /// Whether the command changed data.
        is_write: bool,
    },
    /// Nothing was executed or replied: writes are paused. Keep the command and try again when
    /// woken.
    WritesPaused,
    /// The server is to stop; the job has been started. Close nothing yet.
    Shutdown,
}
