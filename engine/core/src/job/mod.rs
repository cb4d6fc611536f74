//! Work that outlives a call: cut, verify, load beside, commit, save, stop. R5 owns this room.
//! Commands (SAVE, BGSAVE, SHUTDOWN, DEBUG RELOAD) and the border start jobs here.

use std::sync::Arc;

use crate::command::Cx;
use crate::error::Result;
use crate::state::Shared;

/// SAVE: write `dump.rdb` under the lock, in the foreground.
///
/// # Errors
/// I/O codes; `CHILD_RUNNING` when a background save runs.
pub fn save_foreground(_cx: &mut Cx<'_>) -> Result<()> {
    todo!()
}

/// BGSAVE: fork now. `is_schedulable`: with a child of another purpose running, remember to save after it.
///
/// # Errors
/// `CHILD_RUNNING` (another save runs), `FORK_FAILED`.
pub fn save_background(_cx: &mut Cx<'_>, _is_schedulable: bool) -> Result<BackgroundSave> {
    todo!()
}

/// What BGSAVE did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundSave {
    /// The child runs.
    Started,
    /// It will start when the running child ends.
    Scheduled,
}

/// DEBUG RELOAD [NOSAVE]: save (unless told not to), load the file into a new keyspace, switch. Under the lock.
///
/// # Errors
/// As saving and loading; the old data stays.
pub fn reload(_cx: &mut Cx<'_>, _is_saving: bool) -> Result<()> {
    todo!()
}

/// SHUTDOWN: save as asked (`None`: if save points are configured), end children, tell the control plane that the process ends.
///
/// # Errors
/// The save failed: nothing is stopped.
pub fn shut_down(_cx: &mut Cx<'_>, _save: Option<bool>) -> Result<()> {
    todo!()
}

/// Drop something big on another thread, so that nobody waits for the allocator (FLUSHALL ASYNC, UNLINK, a switched keyspace).
pub fn drop_elsewhere<T: Send + 'static>(_shared: &Arc<Shared>, _value: T) {
    todo!()
}
