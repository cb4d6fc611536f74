//! The reply gate: a reply leaves its connection once the position at its execution is durable
//! (I10). A position is (epoch, offset), as the log's is, and each half has its own owner:
//!
//! ```text
//! offset  the log's bytes    Log::append -> advance     fsynced, or with the kernel -> release
//! epoch   whole data sets    a commit -> begin_epoch    its name is on the disk -> end_epoch_wait
//! ```
//! A reply passes when BOTH halves are durable. Rejected: one number for both, where a commit takes
//! one more than the log's end; a log that then appends and releases thirty bytes would release
//! the commit's replies before the directory is fsynced, and a commit would release bytes that the
//! log has not fsynced. Both halves only grow. Without a log and without a commit in progress
//! nobody waits.
//!
//! When the log has failed, replies of writes stay (outcome unknown until a new base is written, or
//! the connection closes) while replies of reads leave: the one exception of I10, which INFO and a
//! metric report. It is the log's exception, so a read still waits for its epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Called, from any thread, when replies that waited may leave now.
pub trait GateWaker: Send + Sync {
    /// Look again at the connections whose replies wait.
    fn wake(&self);
}

/// What a reply shows: the data set it was read from, and how far its log had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many whole data sets have taken the live one's place.
    pub epoch: u64,
    /// The log's end, in bytes.
    pub offset: u64,
}

/// Who may answer. Shared by the log, the server loops and the border; never needs the engine lock.
#[derive(Default)]
pub struct Gate {
    appended: AtomicU64,
    released: AtomicU64,
    epoch: AtomicU64,
    durable_epoch: AtomicU64,
    has_failed: AtomicBool,
    wakers: Mutex<Vec<Arc<dyn GateWaker>>>,
}

impl Gate {
    /// The position that a reply made now must carry (under the engine lock).
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.load(Ordering::Acquire), offset: self.appended() }
    }

    /// The log's end.
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Up to where the log is as durable as the policy says.
    pub fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    /// Whether the log has failed and not yet been replaced.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether a reply with this position may leave; `is_write` if a write took part in it.
    pub fn lets_pass(&self, position: Position, is_write: bool) -> bool {
        self.durable_epoch.load(Ordering::Acquire) >= position.epoch
            && (self.released() >= position.offset || (!is_write && self.has_failed()))
    }

    /// Another data set takes the live one's place (under the engine lock, before it can be seen).
    /// Replies made from here on wait for [`Gate::end_epoch_wait`].
    pub fn begin_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// What `epoch` shows is durable, or the old data stayed.
    pub fn end_epoch_wait(&self, epoch: u64) {
        self.durable_epoch.fetch_max(epoch, Ordering::AcqRel);
        self.wake_all();
    }

    /// The log has grown to `offset` (under the engine lock).
    pub fn advance(&self, offset: u64) {
        self.appended.fetch_max(offset, Ordering::AcqRel);
    }

    /// The log up to `offset` is as durable as the policy says.
    pub fn release(&self, offset: u64) {
        self.released.fetch_max(offset, Ordering::AcqRel);
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
