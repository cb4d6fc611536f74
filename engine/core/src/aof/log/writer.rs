//! Who writes, who fsyncs, and when the gate opens. Shared by those who append (under the engine
//! lock), the loops (after a turn) and the log's thread.
//!
//! ```text
//!             write(2)                          fdatasync                   released
//! everysec    the loop, once a turn; else       the thread, each second     written; while the
//!             the thread, each second                                       oldest unsynced byte is
//!                                                                           2 s old: fsynced
//! no          the same                          only when asked             written
//! always      the thread                        the thread, as soon as a    fsynced
//!                                               group is there (`pace`): of
//!                                               the ring; of the file each
//!                                               second, or if that is full
//! ```
//! Locks: the engine's, then the tail's; the sink's, then the tail's. Nobody holds the sink's while
//! an fsync runs, and nobody takes it under the engine lock.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;

use super::failures::{fsync_failed, log_failed, log_timeout, write_failed};
use super::figures::LogFigures;
use super::pace::Pace;
use super::sink::{Fsync, Sink, Written};
use super::tail::Tail;
use super::{LogSettings, Segment};
use crate::aof::{Gate, LogPosition};
use crate::clock::Clock;
use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::state::Shared;

/// `everysec`: an fsync begins so long after the last one began; also the thread's longest sleep.
const EVERY: Duration = Duration::from_secs(1);
/// The end of the log waits so long for an fsync.
const LAST_PATIENCE: Duration = Duration::from_secs(60);
/// `everysec`: replies wait while a byte is so old that no fsync holds.
const BEHIND: Duration = Duration::from_secs(2);

/// The log between memory and disk.
pub struct Writer {
    pub gate: Arc<Gate>,
    pub figures: Arc<LogFigures>,
    events: Arc<Events>,
    clock: Arc<Clock>,
    pub tail: Mutex<Tail>,
    sink: Mutex<Sink>,
    /// The thread's own.
    pace: Mutex<Pace>,
    /// The thread waits for a group: nobody wakes it before the log is there.
    gathers_upto: AtomicU64,
    /// Changed under the tail's lock: what is appended before it is on binds nobody.
    pub is_binding: AtomicBool,
    settings: AtomicU8,
    /// What files have, as the sink knows it.
    written: AtomicU64,
    /// Somebody waits for an fsync up to there.
    asked: AtomicU64,
    /// A failure is told, and not over.
    has_failed: AtomicBool,
    is_lost: AtomicBool,
    is_ending: AtomicBool,
    /// The thread, once it runs.
    thread: OnceLock<Thread>,
    bell: Mutex<()>,
    progress: Condvar,
}

impl Writer {
    /// A writer to an empty file, at the gate's end.
    pub fn new(shared: &Shared, segment: Segment, settings: LogSettings) -> Self {
        let gate = Arc::clone(&shared.gate);
        let end = gate.appended();
        let mut tail = Tail::new(segment.epoch, end);
        gate.begin_log_epoch(segment.epoch, end);
        gate.advance_fsynced(end);
        tail.annotate(end, shared.clock.unix_ms());
        gate.advance(tail.end());
        gate.release(tail.end());
        Self {
            gate,
            figures: Arc::clone(&shared.stats.log),
            events: Arc::clone(&shared.events),
            clock: Arc::clone(&shared.clock),
            tail: Mutex::new(tail),
            sink: Mutex::new(Sink::new(segment, end)),
            pace: Mutex::new(Pace::default()),
            gathers_upto: AtomicU64::new(0),
            is_binding: AtomicBool::new(false),
            settings: AtomicU8::new(settings.pack()),
            written: AtomicU64::new(end),
            asked: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            thread: OnceLock::new(),
            bell: Mutex::new(()),
            progress: Condvar::new(),
        }
    }

    /// Directives in force.
    pub fn settings(&self) -> LogSettings {
        LogSettings::unpack(self.settings.load(Ordering::Relaxed))
    }

    /// Directives have changed.
    pub fn set(&self, settings: LogSettings) {
        self.settings.store(settings.pack(), Ordering::Relaxed);
        self.wake();
    }

    /// Whose sleep [`Writer::wake`] ends.
    pub fn set_thread(&self, thread: Thread) {
        let _ = self.thread.set(thread); // there is only one
    }

    /// The thread has something to do.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Nothing is appended after this; a last annotation, which says that all before it is fsynced
    /// unless that failed, then the thread ends. Gives the end.
    pub fn close(&self) -> u64 {
        let end = self.tail.lock().end();
        let _ = self.wait_fsynced(end, LAST_PATIENCE); // the line says less, who calls is told
        let mut tail = self.tail.lock();
        if tail.is_proof_missing() {
            tail.annotate(self.gate.fsynced(), self.clock.unix_ms());
            self.tell_appended(&tail);
        }
        let end = tail.end();
        drop(tail);
        self.end();
        end
    }

    /// The thread is to end when all is on the disk, or cannot get there.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether [`Writer::end`] was called.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Whether an fsync failed and no new base has taken its place.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Whether the file has bytes that are not fsynced in it.
    pub fn is_file_behind(&self) -> bool {
        self.sink.lock().is_file_behind()
    }

    /// Whether a write or an fsync failed, and that is not over.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The gate learns of what was appended (under the tail's lock).
    pub fn tell_appended(&self, tail: &Tail) -> u64 {
        let end = tail.end();
        self.gate.advance(end);
        if !self.is_binding.load(Ordering::Relaxed) {
            self.gate.release(end);
        }
        end
    }

    /// What was just appended holds zeros, as a page that never reached the disk: a checksum says at
    /// once that they are meant, or a start after a power cut would drop them, fsynced or not.
    #[cold]
    pub fn vouch(&self, tail: &mut Tail) {
        tail.annotate(self.gate.fsynced(), self.clock.unix_ms());
    }

    /// What follows goes to `segment`: see [`super::FileLog::switch_to`].
    pub fn switch_to(&self, segment: Segment) -> LogPosition {
        let now_ms = self.clock.unix_ms();
        let mut tail = self.tail.lock();
        tail.annotate(self.gate.fsynced(), now_ms);
        let (epoch, _) = tail.epoch();
        tail.switch_to(segment);
        let position = tail.position();
        if tail.epoch().0 != epoch {
            self.gate.begin_log_epoch(tail.epoch().0, tail.end());
        }
        tail.annotate(self.gate.fsynced(), now_ms);
        self.tell_appended(&tail);
        drop(tail);
        self.wake();
        position
    }

    /// A loop's turn has ended: see [`crate::aof::Log::push`].
    pub fn push(&self) {
        let appended = self.gate.appended();
        if self.written.load(Ordering::Acquire) >= appended {
            return;
        }
        if self.settings().is_each_fsynced() {
            if appended >= self.gathers_upto.load(Ordering::SeqCst) {
                self.wake();
            }
            return;
        }
        let now = Instant::now();
        let mut sink = self.sink.lock();
        self.write(&mut sink, now);
        let upto = self.releasable(&mut sink, now);
        if self.gate.released() < upto {
            self.gate.release(upto);
        }
    }

    /// Somebody waits until `offset` is fsynced.
    pub fn ask_fsync(&self, offset: u64) {
        if self.gate.fsynced() < offset {
            self.asked.fetch_max(offset, Ordering::AcqRel);
            self.wake();
        }
    }

    /// One turn of the thread: write, then fsync if that is due. Gives how long it may sleep, or
    /// `None` when it should look again at once.
    pub fn turn(&self) -> Option<Duration> {
        let now = Instant::now();
        if let Some(pause) = self.gather(now) {
            return Some(pause);
        }
        let mut sink = self.sink.lock();
        self.write(&mut sink, now);
        let upto = self.releasable(&mut sink, now);
        if self.gate.released() < upto {
            self.gate.release(upto);
        }
        if !self.is_fsync_due(&sink, now) {
            return Some(self.sleep(&sink, now));
        }
        let is_grouped = self.settings().is_each_fsynced() && !self.is_ending();
        let may_use_ring = is_grouped && !sink.is_at_switch() && !is_second_over(&sink, now);
        let mut fsync = sink.begin_fsync(now, may_use_ring);
        drop(sink);
        self.figures.is_fsync_running.store(true, Ordering::Relaxed);
        let outcome = fsync.run();
        self.figures.is_fsync_running.store(false, Ordering::Relaxed);
        self.settle(fsync, outcome);
        None
    }

    /// How long to wait for a group, if that is not there yet. [`Writer::push`] ends it, or time: a
    /// push that has not seen `gathers_upto` yet costs the rest of the patience, nothing else.
    fn gather(&self, now: Instant) -> Option<Duration> {
        if !self.settings().is_each_fsynced() || self.is_ending() {
            self.gathers_upto.store(0, Ordering::SeqCst);
            return None;
        }
        let pace = self.pace.lock();
        self.gathers_upto.store(pace.target(), Ordering::SeqCst);
        let pause = pace.pause(self.gate.appended(), now);
        if pause.is_none() {
            self.gathers_upto.store(0, Ordering::SeqCst);
        }
        pause
    }

    /// What an fsync's end means.
    fn settle(&self, fsync: Fsync, outcome: io::Result<()>) {
        let now = Instant::now();
        let took = now - fsync.started;
        self.figures.fsync.observe(took);
        if fsync.is_of_the_ring() {
            self.figures.ring_fsyncs_total.fetch_add(1, Ordering::Relaxed);
        }
        let mut sink = self.sink.lock();
        self.pace.lock().settle(sink.fsynced..fsync.upto, self.gate.appended(), took);
        let since = fsync.since;
        if let Err(error) = sink.end_fsync(fsync, outcome.is_ok()) {
            self.events.log_error("aof_ring_failed", &error);
        }
        match outcome {
            Ok(()) => {
                if let Some(since) = since {
                    self.figures.write_to_fsync.observe(now - since);
                }
                let upto = self.releasable(&mut sink, now);
                self.gate.advance_both(sink.fsynced, upto);
            }
            Err(error) if sink.is_lost() => self.lose(&sink, &error),
            Err(_) => {} // of files that a base has taken the place of
        }
        self.tell_figures(&sink);
        drop(sink);
        self.ring();
    }

    fn is_fsync_due(&self, sink: &Sink, now: Instant) -> bool {
        if sink.is_lost() || !sink.is_file_behind() {
            return false;
        }
        let settings = self.settings();
        let is_timed = settings.is_fsynced_by_time() || sink.is_ring_ahead();
        (settings.is_each_fsynced() && sink.is_unsynced())
            || (is_timed && is_second_over(sink, now))
            || self.asked.load(Ordering::Acquire) > sink.fsynced
            || sink.is_at_switch()
            || self.is_ending()
    }

    fn sleep(&self, sink: &Sink, now: Instant) -> Duration {
        let is_timed =
            sink.is_ring_ahead() || (sink.is_file_behind() && self.settings().is_fsynced_by_time());
        let fsync_at = sink.synced_at.filter(|_| is_timed).map(|at| at + EVERY);
        let next = [fsync_at, sink.retry_at()].into_iter().flatten().min();
        next.map_or(EVERY, |at| at.saturating_duration_since(now)).min(EVERY)
    }

    /// Write all that was appended, as far as it goes.
    fn write(&self, sink: &mut Sink, now: Instant) {
        let taken = sink.take(&mut self.tail.lock());
        sink.seal(taken);
        if sink.is_empty() {
            return;
        }
        let was_failing = sink.is_write_failing();
        sink.want_ring(self.settings().is_each_fsynced());
        match sink.write(now, self.is_ending()) {
            Written::NeedsFsync => self.wake(),
            Written::Failed(error) => self.fail(sink, &error, was_failing),
            Written::All | Written::Waits => {}
        }
        if was_failing && !sink.is_write_failing() {
            self.recover(sink);
        }
        self.written.store(sink.written, Ordering::Release);
        self.figures.writes_total.fetch_add(1, Ordering::Relaxed);
        self.tell_figures(sink);
    }

    /// How far the policy lets the gate be open.
    fn releasable(&self, sink: &mut Sink, now: Instant) -> u64 {
        if sink.is_lost() || !self.is_binding.load(Ordering::Acquire) {
            return 0;
        }
        let settings = self.settings();
        if settings.is_each_fsynced() {
            return sink.fsynced;
        }
        let is_old = |since: Instant| now.saturating_duration_since(since) > BEHIND;
        if !settings.is_fsynced_by_time() || !sink.oldest_unsynced().is_some_and(is_old) {
            return sink.written;
        }
        if sink.note_delay() {
            self.figures.delayed_fsyncs_total.fetch_add(1, Ordering::Relaxed);
        }
        sink.fsynced
    }

    fn tell_figures(&self, sink: &Sink) {
        let figures = &self.figures;
        let appended = self.gate.appended();
        figures.unsynced_bytes.store(appended.saturating_sub(sink.fsynced), Ordering::Relaxed);
        figures.buffered_bytes.store(appended.saturating_sub(sink.written), Ordering::Relaxed);
        figures.file_bytes.store(sink.file_bytes(), Ordering::Relaxed);
        figures.is_write_failing.store(sink.is_write_failing(), Ordering::Relaxed);
        figures.set_unsynced_since(sink.oldest_unsynced());
    }

    /// A write failed: new writes are refused until one succeeds.
    fn fail(&self, sink: &Sink, error: &io::Error, was_failing: bool) {
        let made = write_failed(sink.path(), error);
        let is_full = made.code == "DISK_FULL";
        let figures = &self.figures;
        let count =
            if is_full { &figures.disk_full_errors_total } else { &figures.write_errors_total };
        count.fetch_add(1, Ordering::Relaxed);
        if !was_failing {
            self.tell_failure("aof_write_failed", &made, error);
        }
    }

    /// An fsync failed: nothing of this epoch is written any more.
    fn lose(&self, sink: &Sink, error: &io::Error) {
        self.figures.fsync_errors_total.fetch_add(1, Ordering::Relaxed);
        self.tell_failure("aof_fsync_failed", &fsync_failed(sink.path(), error), error);
        self.is_lost.store(true, Ordering::Release); // behind it: who sees this is refused writes
    }

    fn tell_failure(&self, event: &str, error: &EngineError, cause: &io::Error) {
        self.has_failed.store(true, Ordering::Release);
        if self.is_binding.load(Ordering::Acquire) {
            self.gate.fail(cause.raw_os_error().unwrap_or(libc::EIO));
        }
        self.events.log_error(event, error);
        self.ring();
    }

    /// The disk takes bytes again.
    fn recover(&self, sink: &Sink) {
        self.has_failed.store(false, Ordering::Release);
        self.gate.recover(0); // what that releases, the policy says
        let fields = json!({"path": sink.path().display().to_string()});
        self.events.log("info", "aof_write_recovered", &fields);
    }

    /// See [`super::FileLog::replaced_by`].
    pub fn replaced_by(&self, epoch: u64) {
        let now = Instant::now();
        let mut sink = self.sink.lock();
        let taken = sink.take(&mut self.tail.lock());
        sink.seal(taken);
        if !sink.is_lost() && !sink.is_write_failing() {
            return; // all goes its way: what was appended before is written where it belongs
        }
        let Some(start) = sink.skip_to(epoch) else { return };
        self.is_lost.store(false, Ordering::Release);
        self.has_failed.store(false, Ordering::Release);
        self.written.store(start, Ordering::Release);
        self.gate.advance_fsynced(start);
        self.gate.recover(start);
        self.write(&mut sink, now);
        let upto = self.releasable(&mut sink, now);
        self.gate.release(upto);
        self.tell_figures(&sink);
        drop(sink);
        self.ring();
        self.wake();
    }

    /// Begin to bind: from here on append releases nothing.
    pub fn bind(&self) -> u64 {
        let tail = self.tail.lock();
        self.is_binding.store(true, Ordering::Release);
        tail.end()
    }

    /// Bind nobody (any more): what was appended is released.
    pub fn unbind(&self) {
        let tail = self.tail.lock();
        self.is_binding.store(false, Ordering::Release);
        self.gate.recover(tail.end());
    }

    /// See [`super::FileLog::wait_fsynced`].
    pub fn wait_fsynced(&self, offset: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        self.ask_fsync(offset);
        let mut bell = self.bell.lock();
        while self.gate.fsynced() < offset {
            if self.has_failed() {
                return Err(log_failed());
            }
            if self.progress.wait_until(&mut bell, deadline).timed_out() {
                return Err(log_timeout());
            }
        }
        Ok(())
    }

    /// Those who wait look again.
    fn ring(&self) {
        drop(self.bell.lock());
        self.progress.notify_all();
    }
}

/// Whether the file was not fsynced for a second.
fn is_second_over(sink: &Sink, now: Instant) -> bool {
    sink.synced_at.is_none_or(|at| now.duration_since(at) >= EVERY)
}
