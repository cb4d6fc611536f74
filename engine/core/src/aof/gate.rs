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

//!
//! Waking a loop costs a system call, so a change wakes only after somebody has said that he waits:
//! he calls [`Gate::watch`], looks once more whether [`Gate::changes`] has moved since he looked
//! first, and only then sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Epochs of the log of which the beginning is remembered.
const LOG_EPOCHS_KEPT: usize = 64;

/// Called, from any thread, when replies that waited may leave now.
pub trait GateWaker: Send + Sync {
    /// Look again at the connections whose replies wait.
    fn wake(&self);
}

/// Where something stands in the log: what a snapshot and a shipped log name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// One unbroken log.
    pub epoch: u64,
    /// Byte in that epoch's log, annotations included, over several files.
    pub offset: u64,
}

/// What a reply shows: the data set it was read from, and how far its log had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many whole data sets have taken the live one's place.
    pub epoch: u64,
    /// The log's end: a gate offset, which only grows while the process lives, over all epochs of
    /// the log. [`Gate::log_position`] says where that is in the log.
    pub offset: u64,
}

/// An epoch of the log and the gate offset of its first byte.
#[derive(Debug, Clone, Copy)]
struct LogEpoch {
    epoch: u64,
    begins_at: u64,
}

/// Who may answer. Shared by the log, the server loops and the border; never needs the engine lock.
#[derive(Default)]
pub struct Gate {
    appended: AtomicU64,
    released: AtomicU64,
    fsynced: AtomicU64,
    epoch: AtomicU64,
    durable_epoch: AtomicU64,
    has_failed: AtomicBool,
    errno: AtomicI32,
    log_epochs: Mutex<Vec<LogEpoch>>,
    changes: AtomicU64,
    is_watched: AtomicBool,
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

    /// Up to where the log is fsynced.
    pub fn fsynced(&self) -> u64 {
        self.fsynced.load(Ordering::Acquire)
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

    /// The log has grown to `offset` (under the engine lock, so nobody else moves it meanwhile).
    pub fn advance(&self, offset: u64) {
        if offset > self.appended.load(Ordering::Relaxed) {
            self.appended.store(offset, Ordering::Release);
        }
    }

    /// The log up to `offset` is as durable as the policy says.
    pub fn release(&self, offset: u64) {
        self.released.fetch_max(offset, Ordering::AcqRel);
        self.wake_all();
    }

    /// The log up to `offset` is fsynced. Releases nothing: the policy may ask for more.
    pub fn advance_fsynced(&self, offset: u64) {
        self.fsynced.fetch_max(offset, Ordering::AcqRel);
        self.wake_all();
    }

    /// The log is fsynced up to one offset and as durable as the policy says up to another: one
    /// change, so that nobody is woken twice.
    pub fn advance_both(&self, fsynced: u64, released: u64) {
        self.fsynced.fetch_max(fsynced, Ordering::AcqRel);
        self.released.fetch_max(released, Ordering::AcqRel);
        self.wake_all();
    }

    /// The error of the operating system with which the log failed.
    pub fn errno(&self) -> i32 {
        self.errno.load(Ordering::Acquire)
    }

    /// The log failed with that error: new writes are refused, replies of writes stay.
    pub fn fail(&self, errno: i32) {
        self.errno.store(errno, Ordering::Release);
        self.has_failed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// The log is well again, and holds everything up to `offset` (with a new base, or since the
    /// disk takes bytes again).
    pub fn recover(&self, offset: u64) {
        self.released.fetch_max(offset, Ordering::AcqRel);
        self.has_failed.store(false, Ordering::Release);
        self.wake_all();
    }

    /// A log goes on, or begins, in `epoch`, whose first byte has the gate offset `begins_at` (under
    /// the engine lock, or before the log is attached).
    pub fn begin_log_epoch(&self, epoch: u64, begins_at: u64) {
        let mut epochs = self.log_epochs.lock();
        if epochs.len() == LOG_EPOCHS_KEPT {
            epochs.remove(0);
        }
        epochs.push(LogEpoch { epoch, begins_at });
    }

    /// There is no log any more: nothing has a position.
    pub fn end_log_epochs(&self) {
        self.log_epochs.lock().clear();
    }

    /// Where a gate offset stands in the log; `None` without a log, or from before it.
    pub fn log_position(&self, offset: u64) -> Option<LogPosition> {
        let epochs = self.log_epochs.lock();
        let found = epochs.iter().rev().find(|it| it.begins_at <= offset)?;
        Some(LogPosition { epoch: found.epoch, offset: offset - found.begins_at })
    }

    /// From which gate offset on everything up to a place in the log is as durable as it: of an
    /// epoch that has ended, at most where the next one begins. `None`: the log has not come so far.
    pub fn offset_of(&self, position: LogPosition) -> Option<u64> {
        let epochs = self.log_epochs.lock();
        let Some(at) = epochs.iter().rposition(|it| it.epoch <= position.epoch) else {
            return epochs.first().map(|it| it.begins_at); // from before this process, or forgotten
        };
        let next = epochs.get(at + 1).map(|it| it.begins_at);
        if epochs[at].epoch < position.epoch {
            return next;
        }
        let offset = epochs[at].begins_at.checked_add(position.offset)?;
        match next {
            Some(next) => Some(offset.min(next)),
            None => (offset <= self.appended()).then_some(offset),
        }
    }

    /// Register who is told of releases.
    pub fn register(&self, waker: Arc<dyn GateWaker>) {
        self.wakers.lock().push(waker);
    }

    /// Somebody waits for a change from now on: the next one wakes everybody once. Look at
    /// [`Gate::changes`] again between this and sleeping.
    pub fn watch(&self) {
        self.is_watched.store(true, Ordering::SeqCst);
    }

    /// How often the gate has changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Either the sleeper sees the new count, or this sees that he watches.
    fn wake_all(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if self.is_watched.load(Ordering::SeqCst) && self.is_watched.swap(false, Ordering::SeqCst) {
            self.wakers.lock().iter().for_each(|waker| waker.wake());
        }
    }
}
