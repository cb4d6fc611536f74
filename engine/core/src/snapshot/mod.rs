//! Cutting a snapshot: fork under the engine lock (`fork`), write in the child (`child`), collect
//! in the parent. `cut` is the interface, with one method to start and one to finish; `watch` is
//! the parent's side of a running child; `collapse` repairs the page tables afterwards; `save` has
//! the rules of save points. What a finished cut means (LASTSAVE, a spool file) is `job`'s business.
//!
//! What is on disk: a cut is written under a temporary name beside its target, fsynced,
//! length-checked, then named and the directory fsynced. Whatever dies earlier leaves only the
//! temporary name, which the next boot sweeps.

mod child;
mod collapse;
mod cut;
mod fork;
mod save;
mod watch;

pub use child::install_panic_hook;
pub use collapse::Collapse;
pub use cut::{CutPlan, CutReport, CutRequest, Form, RunningCut};
pub use save::is_save_due;
pub use watch::Watcher;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::{EngineError, Result};
use crate::state::{Shared, State};

/// A child that runs longer is killed.
pub const CHILD_SECONDS_MAX: u64 = 3600;
/// A child that reports nothing for so long is killed (its fsync at the end is silent).
pub const CHILD_SILENT_SECONDS_MAX: u64 = 900;
/// A cut waits at most this long for another child to end.
pub const CHILD_WAIT_SECONDS_MAX: u64 = 60;

/// What a child is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `dump.rdb`: BGSAVE and save points.
    Bgsave,
    /// A snapshot of the control plane.
    Cut,
    /// The undo of a commit.
    Safety,
    /// A base of the log.
    Rewrite,
}

impl Purpose {
    /// The name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bgsave => "bgsave",
            Self::Cut => "cut",
            Self::Safety => "safety",
            Self::Rewrite => "rewrite",
        }
    }
}

/// The running child, as those see it who may want it to end.
#[derive(Debug)]
pub struct Child {
    /// Process number. Only the watcher reaps it, so it cannot be reused while this is reachable
    /// under the lock.
    pub pid: i32,
    /// What it is for.
    pub purpose: Purpose,
    /// Set once the child must end. Held while the file gets its name, so that after [`Child::end`]
    /// no name changes.
    must_end: Mutex<bool>,
}

impl Child {
    fn new(pid: i32, purpose: Purpose) -> Self {
        Self { pid, purpose, must_end: Mutex::new(false) }
    }

    /// Ask the watcher to kill the child. Afterwards its file never gets its name, unless it
    /// already has it.
    pub fn end(&self) {
        *self.must_end.lock() = true;
    }

    /// Run `name` unless the child must end.
    fn unless_ended<T>(&self, name: impl FnOnce() -> Result<T>) -> Result<T> {
        let must_end = self.must_end.lock();
        if *must_end { Err(ended()) } else { name() }
    }
}

/// The error of a child that had to make way. It says nothing about the disk, so it does not count
/// as a failed save.
fn ended() -> EngineError {
    EngineError::new(
        "CHILD_ENDED",
        "the snapshot child was ended to make way for a restore, a FLUSHALL or a shutdown",
        "Take the snapshot again.",
    )
    .retryable()
}

/// Save points, the running child and what the last save did. Under the engine lock.
#[derive(Debug, Default)]
pub struct SaveState {
    /// Unix seconds of the last completed save, or of the start (LASTSAVE).
    pub last_save_unix_s: i64,
    /// `effects.dirty` at the cut of the running save: subtracted when it succeeds.
    pub dirty_at_cut: u64,
    /// The process number of the child that runs, whatever its purpose.
    pub child_pid: Option<i32>,
    /// The child that runs, whatever its purpose. One at a time.
    pub child: Option<Arc<Child>>,
    /// A commit is under way: no child may start.
    pub are_children_barred: bool,
    /// A rewrite of the log makes its files ready: the next child is its.
    pub is_child_due: bool,
    /// Notified, with the engine lock, when a child has ended or the bar is lifted.
    pub child_ended: Arc<Condvar>,
    /// BGSAVE SCHEDULE was asked for while a child ran.
    pub is_bgsave_scheduled: bool,
    /// Saves of `dump.rdb` that were completed since the start.
    pub saves_total: u64,
    /// Whether the last background save failed (stop-writes-on-bgsave-error).
    pub is_last_bgsave_failed: bool,
    /// Unix seconds of the last attempt.
    pub last_attempt_unix_s: i64,
    /// Seconds the last background save took, -1 before the first.
    pub last_bgsave_seconds: i64,
}

impl SaveState {
    /// Whether a child that writes `dump.rdb` runs.
    pub fn is_bgsave_running(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.purpose == Purpose::Bgsave)
    }

    /// Whether no child may start now (but the one that is due).
    pub fn is_place_taken(&self) -> bool {
        self.child.is_some() || self.are_children_barred || self.is_child_due
    }

    fn adopt_child(&mut self, child: &Arc<Child>) {
        self.child_pid = Some(child.pid);
        self.child = Some(Arc::clone(child));
    }

    fn forget_child(&mut self) {
        self.child_pid = None;
        self.child = None;
        self.child_ended.notify_all();
    }
}

/// Take the engine lock when no child runs and one may start.
///
/// # Errors
/// `CHILD_BUSY` after `patience`, or what `check` says (cancelled, stopping).
pub fn lock_for_child<'a>(
    shared: &'a Shared,
    patience: Duration,
    check: &dyn Fn() -> Result<()>,
) -> Result<MutexGuard<'a, State>> {
    let deadline = Instant::now() + patience;
    let mut state = shared.state.lock();
    while state.save.is_place_taken() {
        check()?;
        if Instant::now() >= deadline {
            return Err(child_busy(&state.save));
        }
        let ended = Arc::clone(&state.save.child_ended);
        ended.wait_for(&mut state, Duration::from_millis(50));
    }
    check()?;
    Ok(state)
}

/// The error when another child has the one place.
pub fn child_busy(save: &SaveState) -> EngineError {
    let holder = match &save.child {
        Some(child) => format!("a {} child runs", child.purpose.label()),
        None if save.is_child_due => "a rewrite of the append-only file begins".to_owned(),
        None => "a restore is being committed".to_owned(),
    };
    EngineError::new(
        "CHILD_BUSY",
        format!("{holder}, and only one child may run at a time"),
        "Try again when it has ended (rdb_bgsave_in_progress in INFO, or the running operation).",
    )
    .retryable()
}
