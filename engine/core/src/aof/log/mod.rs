//! The log in files. What is appended under the engine lock waits in memory (`tail`) until a loop's
//! turn or the log's own thread writes it (`sink`); the gate opens as the policy says (`writer`).
//! Which files there are, and what a crash leaves of them, is `layout`'s and `recover`'s business.
//!
//! ```text
//! append        nothing of it on disk, no reply has left
//! write(2)      SIGKILL loses nothing of it; a power cut may
//! fdatasync     nothing loses it: of the file, or under `always` of the ring (`ring_side`)
//! ```
//! Guards I5 and I10: a reply that shows a byte leaves after the line that the policy names.

mod failures;
mod figures;
mod pace;
mod page_cache;
mod ring_side;
mod sink;
mod tail;
mod writer;

pub use figures::{DurationCounts, LogFigures};

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::{FsyncPolicy, Gate, Log, LogPosition, probe};
use crate::error::Result;
use crate::job;
use crate::state::Shared;
use writer::Writer;

/// Directives of the log, as far as writing depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// `appendfsync`.
    pub policy: FsyncPolicy,
    /// `aof-timestamp-enabled`.
    pub is_timestamped: bool,
    /// Nothing is fsynced for the policy's sake now (`no-appendfsync-on-rewrite` and a child runs).
    pub is_fsync_held: bool,
}

impl LogSettings {
    /// Whether nothing is released before its fsync.
    fn is_each_fsynced(self) -> bool {
        self.policy == FsyncPolicy::Always && !self.is_fsync_held
    }

    /// Whether there is an fsync each second.
    fn is_fsynced_by_time(self) -> bool {
        self.policy == FsyncPolicy::Everysec && !self.is_fsync_held
    }

    /// As one byte, so that a turn reads them without a lock.
    fn pack(self) -> u8 {
        let policy = match self.policy {
            FsyncPolicy::Always => 0,
            FsyncPolicy::Everysec => 1,
            FsyncPolicy::No => 2,
        };
        policy | u8::from(self.is_timestamped) << 2 | u8::from(self.is_fsync_held) << 3
    }

    fn unpack(packed: u8) -> Self {
        let policy = match packed & 3 {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::Everysec,
            _ => FsyncPolicy::No,
        };
        Self { policy, is_timestamped: packed & 4 != 0, is_fsync_held: packed & 8 != 0 }
    }
}

/// A file that the log goes on in: empty, and its name is durable before the log gets it.
#[derive(Debug)]
pub struct Segment {
    /// Open for appending.
    pub file: File,
    /// For errors and events.
    pub path: PathBuf,
    /// A number larger than the log's so far begins a new epoch.
    pub epoch: u64,
}

/// The log in files. Dropped without [`FileLog::stop`]: what is in memory is still written, but
/// nobody waits for it.
pub struct FileLog {
    writer: Arc<Writer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_in_force: AtomicBool,
}

impl FileLog {
    /// Begin a log in `segment`; its thread runs. Attach it with `state.effects.attach_file`. Until
    /// [`FileLog::bind`] no reply waits for it. Call it while no other log is attached.
    ///
    /// # Errors
    /// `THREAD_FAILED`.
    pub fn start(shared: &Shared, segment: Segment, settings: LogSettings) -> Result<Arc<Self>> {
        let writer = Arc::new(Writer::new(shared, segment, settings));
        let worker = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("perdure-log".to_owned())
            .spawn(move || run(&worker))
            .map_err(|error| job::thread_failed(&error))?;
        writer.set_thread(thread.thread().clone());
        let (thread, is_in_force) = (Mutex::new(Some(thread)), AtomicBool::new(false));
        Ok(Arc::new(Self { writer, thread, is_in_force }))
    }

    /// Under the engine lock, and only through [`crate::effects::Effects::switch_log`]: what was
    /// appended before goes to the old file, which is fsynced before the new one gets anything; what
    /// follows goes to `segment`. Each ends and begins with an annotation. Gives where the new file
    /// begins.
    pub(crate) fn switch_to(&self, segment: Segment) -> LogPosition {
        self.writer.switch_to(segment)
    }

    /// From now on replies wait as the policy says. Waits until all that was appended is fsynced:
    /// then everything that has been acknowledged so far is as durable as under `always`. Not with
    /// the engine lock held.
    ///
    /// # Errors
    /// As [`FileLog::wait_fsynced`]; the log binds nobody then.
    pub fn bind(&self, patience: Duration) -> Result<()> {
        let end = self.writer.bind();
        self.writer.wait_fsynced(end, patience).inspect_err(|_| self.writer.unbind())
    }

    /// Whether replies wait for this log.
    pub fn is_binding(&self) -> bool {
        self.writer.is_binding.load(Ordering::Acquire)
    }

    /// The manifest and the state file name this log, durably: a start reads it. Nobody may be told
    /// before that anything is safe in it.
    pub fn put_in_force(&self) {
        self.is_in_force.store(true, Ordering::Release);
    }

    /// Whether [`FileLog::put_in_force`] was called, and replies wait for this log.
    pub fn is_in_force(&self) -> bool {
        self.is_in_force.load(Ordering::Acquire) && self.is_binding()
    }

    /// Replies wait for this log no more: before it is detached, and not otherwise.
    pub fn unbind(&self) {
        self.writer.unbind();
    }

    /// What the time is; under the engine lock, at each turn of `cron`. Appends annotations where
    /// they are due, so push afterwards.
    pub fn annotate(&self, now_unix_ms: i64) {
        let writer = &self.writer;
        let mut tail = writer.tail.lock();
        if writer.settings().is_timestamped {
            tail.want_time(now_unix_ms.div_euclid(1000));
        }
        if tail.is_annotation_due(now_unix_ms) {
            tail.annotate(writer.gate.fsynced(), now_unix_ms);
            writer.tell_appended(&tail);
        }
    }

    /// Directives have changed.
    pub fn set(&self, settings: LogSettings) {
        self.writer.set(settings);
    }

    /// Directives in force.
    pub fn settings(&self) -> LogSettings {
        self.writer.settings()
    }

    /// An fsync failed: what is in this epoch's files may be gone from the disk, so a new base in a
    /// new epoch must take their place ([`crate::effects::Effects::switch_log`] at its cut, then
    /// [`FileLog::replaced_by`]).
    pub fn needs_base(&self) -> bool {
        self.writer.is_lost()
    }

    /// Whether a write or an fsync has failed, and that is not over.
    pub fn has_failed(&self) -> bool {
        self.writer.has_failed()
    }

    /// A base that holds everything up to the begin of `epoch` is durable, and the manifest names
    /// it. Ends a failure of what came before; what waited to be written for earlier epochs is
    /// dropped then. Without a failure it changes nothing. Not with the engine lock held.
    pub fn replaced_by(&self, epoch: u64) {
        self.writer.replaced_by(epoch);
    }

    /// Wait until the log is fsynced up to a gate offset. Not with the engine lock held.
    ///
    /// # Errors
    /// `LOG_FAILED` while a failure lasts, `LOG_TIMEOUT`. The log goes on trying.
    pub fn wait_fsynced(&self, offset: u64, patience: Duration) -> Result<()> {
        self.writer.wait_fsynced(offset, patience)
    }

    /// End the log: a last annotation, write, fsync, the thread ends. Call it when nothing is
    /// appended any more (the engine lock may be held); a second call does nothing.
    ///
    /// # Errors
    /// `LOG_FAILED`: what was not acknowledged may be missing from the file, and what was may be in the
    /// ring only.
    pub fn stop(&self) -> Result<()> {
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        let end = self.writer.close();
        let _ = thread.join(); // a panic there has ended the process
        let is_whole = self.writer.gate.fsynced() >= end && !self.writer.is_file_behind();
        if is_whole { Ok(()) } else { Err(failures::log_failed()) }
    }

    /// Bytes of the newest file, with those that still wait in memory.
    pub fn size_bytes(&self) -> u64 {
        self.writer.tail.lock().file_bytes()
    }

    /// Where the log ends.
    pub fn position(&self) -> LogPosition {
        self.writer.tail.lock().position()
    }
}

impl Log for FileLog {
    #[inline]
    fn append(&self, effects: &[u8]) -> u64 {
        let mut tail = self.writer.tail.lock();
        tail.append(effects);
        if probe::looks_lost(effects) {
            self.writer.vouch(&mut tail);
        }
        self.writer.tell_appended(&tail)
    }

    fn push(&self) {
        self.writer.push();
    }

    fn ask_fsync(&self, offset: u64) {
        self.writer.ask_fsync(offset);
    }

    fn is_in_force(&self) -> bool {
        FileLog::is_in_force(self)
    }

    fn gate(&self) -> &Gate {
        &self.writer.gate
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        self.writer.end();
    }
}

fn run(writer: &Writer) {
    let turns = std::panic::AssertUnwindSafe(|| {
        loop {
            let is_last = writer.is_ending(); // before the turn: it takes all that came before that
            let Some(sleep) = writer.turn() else { continue };
            if is_last {
                return;
            }
            std::thread::park_timeout(sleep);
        }
    });
    if std::panic::catch_unwind(turns).is_err() {
        // A bug. Replies would wait for ever for what nobody writes: end the process, as a network
        // loop does.
        std::process::abort();
    }
}
