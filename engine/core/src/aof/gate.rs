//! The reply gate: a reply leaves its connection once the position at its execution has been
//! released (I10). Positions only grow. Without a log and without a commit in progress, appended
//! equals released and nobody waits.
//!
//! When the log has failed, replies of writes stay (outcome unknown until a new base is written, or
//! the connection closes) while replies of reads leave: the one exception of I10, which INFO and a
//! metric report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Called, from any thread, when replies that waited may leave now.
pub trait GateWaker: Send + Sync {
    /// Look again at the connections whose replies wait.
    fn wake(&self);
}

/// Who may answer. Shared by the log, the server loops and the border; never needs the engine lock.
#[derive(Default)]
pub struct Gate {
    appended: AtomicU64,
    released: AtomicU64,
    has_failed: AtomicBool,
    wakers: Mutex<Vec<Arc<dyn GateWaker>>>,
}

impl Gate {
    /// The position that a reply made now must carry.
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Up to where replies may leave.
    pub fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    /// Whether the log has failed and not yet been replaced.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether a reply with this position may leave; `is_write` if a write took part in it.
    pub fn lets_pass(&self, position: u64, is_write: bool) -> bool {
        self.released() >= position || (!is_write && self.has_failed())
    }

    /// The log has grown to `position` (under the engine lock).
    pub fn advance(&self, position: u64) {
        self.appended.fetch_max(position, Ordering::AcqRel);
    }

    /// Everything up to `position` is as durable as the policy says.
    pub fn release(&self, position: u64) {
        self.released.fetch_max(position, Ordering::AcqRel);
        self.wake_all();
    }

    /// The log failed: new writes are refused, replies of writes stay.
    pub fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// A new log (base included) holds everything up to now.
    pub fn recover(&self) {
        self.released.fetch_max(self.appended(), Ordering::AcqRel);
        self.has_failed.store(false, Ordering::Release);
        self.wake_all();
    }

    /// Register who is told of releases.
    pub fn register(&self, waker: Arc<dyn GateWaker>) {
        self.wakers.lock().push(waker);
    }

    fn wake_all(&self) {
        self.wakers.lock().iter().for_each(|waker| waker.wake());
    }
}
