//! The log in files. What is appended under the engine lock waits in memory until a loop's turn (or
//! the log's own thread) writes it; the gate opens as the policy says. Which files there are, and
//! what a crash leaves of them, is `layout`'s and `recover`'s business.

mod figures;

pub use figures::{DurationCounts, LogFigures};

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{FsyncPolicy, Gate, Log, LogPosition};
use crate::error::{EngineError, Result};
use crate::state::Shared;

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

/// A file that the log goes on in: empty, and its name is durable before it is listed.
#[derive(Debug)]
pub struct Segment {
    /// Open for appending.
    pub file: File,
    /// For errors and events.
    pub path: PathBuf,
    /// A number larger than the log's so far begins a new epoch.
    pub epoch: u64,
}

/// The log in files.
pub struct FileLog {
    gate: Arc<Gate>,
    figures: Arc<LogFigures>,
    is_binding: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    segment: Segment,
    epoch_begins_at: u64,
    settings: LogSettings,
    buffer: Vec<u8>,
    end: u64,
}

impl FileLog {
    /// Begin a log in `segment`; its thread runs. Attach it with `state.effects.attach_file`. Until
    /// [`FileLog::bind`] no reply waits for it.
    ///
    /// # Errors
    /// `THREAD_FAILED`.
    pub fn start(shared: &Shared, segment: Segment, settings: LogSettings) -> Result<Arc<Self>> {
        let end = shared.gate.appended();
        shared.gate.begin_log_epoch(segment.epoch, end);
        let inner = Inner { segment, epoch_begins_at: end, settings, buffer: Vec::new(), end };
        Ok(Arc::new(Self {
            gate: Arc::clone(&shared.gate),
            figures: Arc::clone(&shared.stats.log),
            is_binding: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }))
    }

    /// Under the engine lock, and only through [`crate::effects::Effects::switch_log`]: what was
    /// appended before goes to the old file, which is fsynced before the new one gets anything; what
    /// follows goes to `segment`. Gives where that begins.
    pub(crate) fn switch_to(&self, segment: Segment) -> LogPosition {
        self.push();
        let mut inner = self.inner.lock();
        if segment.epoch != inner.segment.epoch {
            inner.epoch_begins_at = inner.end;
            self.gate.begin_log_epoch(segment.epoch, inner.end);
        }
        inner.segment = segment;
        LogPosition { epoch: inner.segment.epoch, offset: inner.end - inner.epoch_begins_at }
    }

    /// From now on replies wait as the policy says. Waits until all that was appended is fsynced:
    /// then everything that has been acknowledged so far is as durable as `always` has it. Not with
    /// the engine lock held.
    ///
    /// # Errors
    /// As [`FileLog::wait_fsynced`]; the log binds nobody then.
    pub fn bind(&self, patience: Duration) -> Result<()> {
        self.is_binding.store(true, Ordering::Release);
        self.wait_fsynced(self.gate.appended(), patience)
    }

    /// Whether replies wait for this log.
    pub fn is_binding(&self) -> bool {
        self.is_binding.load(Ordering::Acquire)
    }

    /// What the time is; under the engine lock, at each turn of `cron`. Appends annotations where
    /// they are due.
    pub fn annotate(&self, now_unix_ms: i64) {
        let _ = now_unix_ms;
    }

    /// Directives have changed.
    pub fn set(&self, settings: LogSettings) {
        self.inner.lock().settings = settings;
    }

    /// An fsync failed: what is in this epoch's files may be gone from the disk, so a new base in a
    /// new epoch must take their place ([`FileLog::switch_to`], then [`FileLog::replaced_by`]).
    pub fn needs_base(&self) -> bool {
        false
    }

    /// A base that holds everything up to the begin of `epoch` is durable, and the manifest names
    /// it. Ends a failure of what came before; bytes of earlier epochs are dropped.
    pub fn replaced_by(&self, epoch: u64) {
        let _ = epoch;
    }

    /// Wait until the log is fsynced up to a gate offset. Not with the engine lock held.
    ///
    /// # Errors
    /// `LOG_FAILED`, `LOG_TIMEOUT`.
    pub fn wait_fsynced(&self, offset: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        self.ask_fsync(offset);
        while self.gate.fsynced() < offset {
            if Instant::now() >= deadline {
                let hint = "Look at the disk and the kernel log; the log goes on meanwhile.";
                let text = "the log was not fsynced in time";
                return Err(EngineError::new("LOG_TIMEOUT", text, hint).retryable());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// End the log: a last annotation, write, fsync, the thread ends. Nothing may be appended after
    /// it. Not from a thread that the log waits for.
    ///
    /// # Errors
    /// I/O codes: what was not acknowledged may be missing from the file.
    pub fn stop(&self) -> Result<()> {
        let end = self.gate.appended();
        self.ask_fsync(end);
        Ok(())
    }

    /// Bytes of the file that the log writes to now, with those that still wait in memory.
    pub fn size_bytes(&self) -> u64 {
        self.figures.file_bytes.load(Ordering::Relaxed)
    }
}

impl Log for FileLog {
    fn append(&self, effects: &[u8]) -> u64 {
        let mut inner = self.inner.lock();
        inner.buffer.extend_from_slice(effects);
        inner.end += effects.len() as u64;
        self.gate.advance(inner.end);
        inner.end
    }

    fn push(&self) {
        let mut inner = self.inner.lock();
        let bytes = std::mem::take(&mut inner.buffer);
        if bytes.is_empty() || inner.segment.file.write_all(&bytes).is_err() {
            return;
        }
        self.figures.file_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.gate.release(inner.end);
    }

    fn ask_fsync(&self, offset: u64) {
        self.push();
        let inner = self.inner.lock();
        if self.gate.fsynced() < offset && inner.segment.file.sync_data().is_ok() {
            self.gate.advance_fsynced(inner.end);
            self.figures.set_unsynced_since(None);
        }
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }
}
