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

/// What is known of the log's epochs. Of any other nobody can say what became of it: a power cut
/// may have taken the end of each.
#[derive(Default)]
struct LogEpochs {
    /// Where the log ended that the first of `known` goes on from.
    parent: Option<LogPosition>,
    known: Vec<LogEpoch>,
}

/// Who may answer. Shared by the log, the server loops and the border; never needs the engine lock.
pub struct Gate {
    appended: AtomicU64,
    released: AtomicU64,
    fsynced: AtomicU64,
    doubted_from: AtomicU64,
    epoch: AtomicU64,
    durable_epoch: AtomicU64,
    has_failed: AtomicBool,
    errno: AtomicI32,
    log_epochs: Mutex<LogEpochs>,
    changes: AtomicU64,
    is_watched: AtomicBool,
    wakers: Mutex<Vec<Arc<dyn GateWaker>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            appended: AtomicU64::new(0),
            released: AtomicU64::new(0),
            fsynced: AtomicU64::new(0),
            doubted_from: AtomicU64::new(u64::MAX),
            epoch: AtomicU64::new(0),
            durable_epoch: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            errno: AtomicI32::new(0),
            log_epochs: Mutex::default(),
            changes: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            wakers: Mutex::default(),
        }
    }
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

    /// Up to where the log is fsynced in files of which it is known that a start finds them: what
    /// may be told to anybody.
    pub fn proven(&self) -> u64 {
        self.fsynced().min(self.doubted_from.load(Ordering::Acquire))
    }

    /// The name of the newest epoch's files may not be on the disk: nothing that it holds is proven,
    /// fsynced or not.
    pub fn doubt(&self) {
        let newest = self.log_epochs.lock().known.last().map_or(u64::MAX, |it| it.begins_at);
        self.doubted_from.fetch_min(newest, Ordering::AcqRel);
    }

    /// The names of all of the log's files are on the disk.
    pub fn end_doubt(&self) {
        if self.doubted_from.swap(u64::MAX, Ordering::AcqRel) != u64::MAX {
            self.wake_all();
        }
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
        if epochs.known.len() == LOG_EPOCHS_KEPT {
            let (forgotten, next) = (epochs.known.remove(0), epochs.known[0]);
            let offset = next.begins_at - forgotten.begins_at;
            epochs.parent = Some(LogPosition { epoch: forgotten.epoch, offset });
        }
        epochs.known.push(LogEpoch { epoch, begins_at });
    }

    /// The log that was loaded ended there, all of it is on the disk, and the epoch that has begun
    /// goes on from it (before the log is attached).
    pub fn set_log_parent(&self, parent: Option<LogPosition>) {
        self.log_epochs.lock().parent = parent;
    }

    /// There is no log any more: nothing has a position.
    pub fn end_log_epochs(&self) {
        *self.log_epochs.lock() = LogEpochs::default();
        self.end_doubt();
    }

    /// Where a gate offset stands in the log; `None` without a log, or from before it.
    pub fn log_position(&self, offset: u64) -> Option<LogPosition> {
        let epochs = self.log_epochs.lock();
        let found = epochs.known.iter().rev().find(|it| it.begins_at <= offset)?;
        Some(LogPosition { epoch: found.epoch, offset: offset - found.begins_at })
    }

    /// From which gate offset on everything up to a place in the log is as durable as it; what an
    /// earlier epoch held is at the latest where the next one begins. `None`: no log that is known
    /// here has ever been there.
    pub fn offset_of(&self, position: LogPosition) -> Option<u64> {
        let epochs = self.log_epochs.lock();
        let Some(at) = epochs.known.iter().position(|it| it.epoch == position.epoch) else {
            let parent = epochs.parent.filter(|it| it.epoch == position.epoch)?;
            let first = epochs.known.first()?;
            return (position.offset <= parent.offset).then_some(first.begins_at);
        };
        let offset = epochs.known[at].begins_at.checked_add(position.offset)?;
        let end = epochs.known.get(at + 1).map_or_else(|| self.appended(), |it| it.begins_at);
        (offset <= end).then_some(offset)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, offset: u64) -> LogPosition {
        LogPosition { epoch, offset }
    }

    /// A log of two epochs, 20 and 21, that goes on from epoch 10, which ended at 500.
    fn gate() -> Gate {
        let gate = Gate::default();
        gate.begin_log_epoch(20, 0);
        gate.set_log_parent(Some(at(10, 500)));
        gate.advance(100);
        gate.begin_log_epoch(21, 100);
        gate.advance(130);
        gate
    }

    #[test]
    fn a_place_that_the_log_has_passed_has_an_offset() {
        let gate = gate();
        assert_eq!(gate.offset_of(at(21, 30)), Some(130));
        assert_eq!(gate.offset_of(at(20, 100)), Some(100));
        assert_eq!(gate.offset_of(at(10, 500)), Some(0), "all of it was loaded");
    }

    #[test]
    fn of_a_place_where_no_known_log_has_been_nothing_is_claimed() {
        let gate = gate();
        for lost in [at(10, 501), at(9, 0), at(15, 1), at(20, 101), at(21, 31), at(22, 0)] {
            assert_eq!(gate.offset_of(lost), None, "{lost:?}");
        }
        gate.end_log_epochs();
        gate.begin_log_epoch(30, 130);
        for lost in [at(10, 1), at(20, 1), at(21, 1)] {
            assert_eq!(gate.offset_of(lost), None, "a log that was ended: {lost:?}");
        }
    }

    #[test]
    fn the_end_of_the_last_forgotten_epoch_is_known() {
        let gate = gate();
        for number in 0..LOG_EPOCHS_KEPT as u64 - 1 {
            gate.begin_log_epoch(30 + number, 130 + number);
            gate.advance(131 + number);
        }
        assert_eq!(gate.offset_of(at(10, 500)), None);
        assert_eq!(gate.offset_of(at(20, 100)), Some(100));
        assert_eq!(gate.offset_of(at(20, 101)), None);
        assert_eq!(gate.offset_of(at(21, 30)), Some(130));
    }
}
