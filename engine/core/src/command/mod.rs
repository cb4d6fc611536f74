//! What commands mean. One file a family, every handler with the same shape. R4 owns this room.
//! The caller (a loop of `server`) holds the engine lock and runs a batch; this room never touches a socket.

use std::sync::Arc;

use crate::resp::{Args, Reply};
use crate::session::Session;
use crate::state::{Shared, State};

/// What a handler works with, for the time of one command.
pub struct Cx<'a> {
    /// Under the engine lock.
    pub state: &'a mut State,
    /// Shared with everyone, no lock needed. `Arc`, so that BGSAVE and friends can start work that outlives the command.
    pub shared: &'a Arc<Shared>,
    /// The client.
    pub session: &'a mut Session,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// Unix ms, one value for the whole command (for a transaction: one for all of it).
    pub now_ms: i64,
}

/// What the loop does after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on; `is_write` tells the reply gate whether the data changed.
    Done {
        /// Whether the command changed data.
        is_write: bool,
    },
    /// Nothing was executed or replied: writes are paused. Keep the command and try again when woken.
    WritesPaused,
    /// The server is to stop; the job has been started. Close nothing yet.
    Shutdown,
}

/// Execute one command: lookup, arity, MULTI queueing, refusals (LOADING, MISCONF), the handler, the effects' unit, statistics.
pub fn execute(
    _state: &mut State,
    _shared: &Arc<Shared>,
    _session: &mut Session,
    _reply: &mut Reply,
    _args: Args<'_>,
) -> Outcome {
    todo!()
}

/// The index of the first key argument of a command, for prefetching; `None` if it takes none or is unknown.
pub fn first_key_index(_name: &[u8]) -> Option<usize> {
    todo!()
}

/// Forget what the session left behind in the state (watched keys, client table): called by the loop when it closes.
pub fn disconnect(_state: &mut State, _session: &mut Session) {
    todo!()
}
