//! The switch of a restore: the staged keyspace takes the live one's place. Reads never stop;
//! writes wait from the safety cut to the switch. What a crash leaves, line by line (`dump.rdb` is
//! what the next boot loads):
//!
//! ```text
//! write_base       the stage goes beside dump.rdb,   old dump.rdb; a leftover, swept at boot
//!                  and is read back
//! pause, cut       what is live goes to the safety   old dump.rdb; the safety file whole,
//!                  file, and is read back            or its leftover
//! rename, switch   THE COMMIT POINT, under the lock  killed: new dump.rdb; power cut: either
//! fsync directory  then the gate lets replies out    new dump.rdb
//! ```
//! Between the rename and the directory's fsync no reply leaves that shows new data (I10), so a
//! power cut that brings the old file back undoes nothing that anybody saw. Any failure before the
//! rename resumes writes on the old data (I6). With a log on, what is renamed is its manifest, and
//! `dump.rdb` follows: `commit_log` has that half.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::commit_log::{LogSide, NewLog};
use super::cut::{JobWatcher, check_ready, read_back, request};
use super::load::switch;
use super::report::{cut_json, summary_json};
use super::save::{mirror, note_all_saved, write_file};
use super::stage::Stages;
use super::switch_log::take_work;
use super::table::{Job, cancelled};
use crate::aof::growth::LogWork;
use crate::durable::{self, Prepared};
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::keyspace::Keyspace;
use crate::rdb::SaveOptions;
use crate::reclaim::drop_elsewhere;
use crate::snapshot::{CutPlan, CutReport, Purpose, RunningCut, lock_for_child};
use crate::state::{Shared, State};

/// Writes wait at most this long for the safety cut.
pub const PAUSE_SECONDS_MAX: u64 = 600;
/// A running child may take this long to end by itself before it is ended.
const CHILD_GRACE_SECONDS: u64 = 10;

/// What to commit.
#[derive(Debug, Clone, Copy)]
pub struct CommitRequest<'a> {
    /// The stage that takes the live data's place.
    pub stage: u64,
    /// Where the live data goes; the file must not exist.
    pub safety_path: &'a Path,
    /// How long writes may wait: [`PAUSE_SECONDS_MAX`] but in tests.
    pub pause_max: Duration,
}

/// Replace the live data by a stage. The result is the document `commit` of the border.
///
/// # Errors
/// `STAGE_NOT_FOUND`, `STAGE_BUSY`, `COMMIT_PAUSE_TOO_LONG`, `COMMIT_TARGET_CHANGED`, `CANCELLED`, `SNAPSHOT_CHILD_FAILED`,
/// `RDB_...`, I/O codes: the old data serves, the stage is still there. `COMMIT_NOT_DURABLE`: the
/// new data serves.
pub fn run(
    shared: &Arc<Shared>,
    job: &Job,
    stages: &Stages,
    request: CommitRequest<'_>,
) -> Result<Value> {
    check_ready(shared)?;
    let keyspace = stages.take(request.stage)?;
    let mut commit = Commit {
        shared,
        job,
        pause_max: request.pause_max,
        keyspace: Some(keyspace),
        barred: false,
        has_work: false,
        paused_at: None,
    };
    let outcome = commit.run(request.safety_path);
    match commit.keyspace.take() {
        Some(keyspace) => stages.put_back(request.stage, keyspace),
        None => stages.free(),
    }
    outcome
}

/// A commit under way. Dropped: the bar and the pause are lifted, wherever it stopped.
struct Commit<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Job,
    pause_max: Duration,
    /// The stage, until it is switched in.
    keyspace: Option<Keyspace>,
    barred: bool,
    /// Nobody else works on the log's files.
    has_work: bool,
    paused_at: Option<Instant>,
}

/// The safety cut, read back.
struct Safety {
    report: CutReport,
    pause: Duration,
    verified: Value,
}

impl Commit<'_> {
    fn run(&mut self, safety_path: &Path) -> Result<Value> {
        let (target, log) = {
            let state = self.shared.state.lock();
            (state.config.rdb_path(), LogSide::of(&state, self.shared))
        };
        let base = self.write_base(&target, log.as_ref())?;
        hit("commit.base_written", &target)?;
        let safety = self.take_safety_cut(safety_path)?;
        let mut base = self.make_ready(base, &target, log)?;
        let switched = self.switch(&mut base, &target)?;
        self.make_durable(&target, switched.epoch, base)?;
        Ok(json!({
            "safety": with_verified(cut_json(&safety.report, safety.pause), safety.verified),
            "pause_seconds": switched.pause.as_secs_f64(),
            "keys": switched.keys,
            "previous_keys": switched.previous_keys,
        }))
    }

    /// Step 1: the new base, written beside `dump.rdb` (or the log's base) from the loaded keyspace
    /// and read back.
    fn write_base(&self, target: &Path, log: Option<&LogSide>) -> Result<Prepared> {
        let base = match log {
            None => self.write_stage(target, None)?,
            Some(log) => self.write_stage(&log.base_beside()?, Some(log))?,
        };
        read_back(self.shared, self.job, &base.temporary)?;
        Ok(base)
    }

    fn write_stage(&self, target: &Path, log: Option<&LogSide>) -> Result<Prepared> {
        let keyspace = self.keyspace.as_ref().ok_or_else(cancelled)?;
        let state = self.shared.state.lock();
        let options = SaveOptions {
            is_compressed: state.config.rdbcompression,
            is_checksummed: state.config.rdbchecksum,
            ctime_unix_s: self.shared.clock.unix_ms().div_euclid(1000),
            used_memory_bytes: keyspace.memory_bytes() as u64,
            ..SaveOptions::default()
        };
        drop(state);
        let options = log.map_or(options.clone(), |log| log.stamp(options));
        let total = keyspace.len() as u64;
        let mut progress = |keys: u64| {
            self.shared.events.progress(self.job.id, "write", keys, total);
            !self.job.is_cancelled()
        };
        let written = write_file(keyspace, &options, target, &mut progress);
        self.job.check()?;
        written
    }

    /// Step 2: no child but ours, writes wait, what is live goes to the safety file, which is read
    /// back.
    fn take_safety_cut(&mut self, path: &Path) -> Result<Safety> {
        self.bar_children()?;
        let wanted = request(&self.shared.state.lock(), Purpose::Safety, path, false);
        let plan = CutPlan::prepare(wanted)?;
        let mut state = self.shared.state.lock();
        let locked = Instant::now();
        state.are_writes_paused = true;
        mirror(&state, self.shared);
        self.paused_at = Some(locked);
        let started = plan.start(&mut state, self.shared);
        drop(state);
        let pause = locked.elapsed();
        let running = started?;
        // Whatever happens from here on, `finish` reaps the child.
        let report = self.finish_safety_cut(running, locked)?;
        let verified = summary_json(&read_back(self.shared, self.job, path)?);
        hit("commit.safety_cut", path)?;
        Ok(Safety { report, pause, verified })
    }

    fn finish_safety_cut(&self, running: RunningCut, locked: Instant) -> Result<CutReport> {
        let held = hit("commit.writes_paused", Path::new("the safety cut"));
        let mut watcher = JobWatcher {
            shared: self.shared,
            job: self.job,
            phase: "safety",
            keys_total: running.keys,
            deadline: Some((locked + self.pause_max, pause_too_long)),
        };
        let finished = running.finish(self.shared, &mut watcher, |_, _| {});
        held.and(finished)
    }

    /// Let nobody work on the log, no child start, and wait for the running one: it gets a moment to end by itself, then it
    /// is ended.
    fn bar_children(&mut self) -> Result<()> {
        let check = || self.job.check().and_then(|()| check_ready(self.shared));
        take_work(self.shared, LogWork::Commit, &check)?;
        self.has_work = true;
        let grace = Duration::from_secs(CHILD_GRACE_SECONDS);
        let mut state = match lock_for_child(self.shared, grace, &check) {
            Err(error) if error.code == "CHILD_BUSY" => self.shared.state.lock(),
            other => other?,
        };
        if state.save.are_children_barred {
            return Err(crate::snapshot::child_busy(&state.save));
        }
        state.save.are_children_barred = true;
        self.barred = true;
        if let Some(child) = &state.save.child {
            child.end();
        }
        while state.save.child.is_some() {
            self.job.check()?; // a child that hangs in the kernel must not hold the job for good
            let ended = Arc::clone(&state.save.child_ended);
            ended.wait_for(&mut state, Duration::from_millis(50));
        }
        Ok(())
    }

    /// Between the steps: with a log on, all that can be done before the rename.
    fn make_ready(&self, base: Prepared, target: &Path, log: Option<LogSide>) -> Result<NewBase> {
        let is_logging = self.shared.log.file().is_some();
        match log {
            None if is_logging => Err(target_changed(target)),
            Some(_) if !is_logging => Err(target_changed(target)),
            None => Ok(NewBase::Dump(Some(base))),
            Some(log) => {
                let mut rewritten = || self.write_stage(target, None);
                Ok(NewBase::Log(Box::new(log.make_ready(base, target, &mut rewritten)?)))
            }
        }
    }

    /// Step 3: the rename and the switch are one step under the lock; the gate keeps replies from
    /// here on.
    fn switch(&mut self, base: &mut NewBase, target: &Path) -> Result<Switched> {
        let shared = self.shared;
        let mut state = shared.state.lock();
        if state.config.rdb_path() != target {
            return Err(target_changed(target));
        }
        self.check_before_rename(target)?;
        let Some(keyspace) = self.keyspace.take() else { return Err(cancelled()) };
        let epoch = shared.gate.begin_epoch();
        if let Err(error) = base.rename() {
            shared.gate.end_epoch_wait(epoch); // nothing changed: nothing to hold back
            self.keyspace = Some(keyspace);
            return Err(error);
        }
        let (keys, previous_keys) = (keyspace.len() as u64, state.keyspace.len() as u64);
        let old = switch(&mut state, keyspace);
        base.switch(&mut state);
        note_all_saved(&mut state, shared);
        state.save.last_save_unix_s = shared.clock.unix_ms().div_euclid(1000);
        state.save.is_last_bgsave_failed = false;
        let pause = self.paused_at.map_or(Duration::ZERO, |paused_at| paused_at.elapsed());
        self.lift(&mut state);
        drop(state);
        drop_elsewhere(old);
        shared.wake_loops();
        Ok(Switched { epoch, keys, previous_keys, pause })
    }

    fn check_before_rename(&self, target: &Path) -> Result<()> {
        self.job.check()?;
        check_ready(self.shared)?;
        if self.paused_at.is_some_and(|at| at.elapsed() >= self.pause_max) {
            return Err(pause_too_long());
        }
        hit("commit.before_rename", target)
    }

    /// Step 4: the directory, then the replies.
    fn make_durable(&self, target: &Path, epoch: u64, base: NewBase) -> Result<()> {
        let synced = hit("commit.after_rename", target)
            .and_then(|()| hit("commit.before_fsync_directory", target))
            .and_then(|()| base.make_durable(target));
        // Also when it failed: the new data serves, and the error says that a power cut may bring
        // the old file back. Nobody is told then that anything is proven; a rewrite names the log's
        // files once more.
        match (&synced, &base) {
            (Err(_), NewBase::Log(_)) => {
                self.shared.gate.doubt();
                self.shared.state.lock().growth.is_scheduled = true;
            }
            _ => self.shared.gate.end_doubt(),
        }
        self.shared.gate.end_epoch_wait(epoch);
        self.shared.wake_loops();
        synced.map_err(|error| not_durable(&error, target.to_path_buf()))?;
        if let Err(error) = hit("commit.durable", target).and_then(|()| base.finish()) {
            // The log has it all; `dump.rdb` may not: the save points shall try.
            self.shared.state.lock().effects.dirty += 1;
            self.shared.events.log_error("commit_left_dump", &error);
        }
        Ok(())
    }

    fn lift(&mut self, state: &mut State) {
        if self.barred {
            state.save.are_children_barred = false;
            self.barred = false;
        }
        if std::mem::take(&mut self.has_work) {
            state.growth.work = None;
        }
        state.save.child_ended.notify_all();
        if self.paused_at.take().is_some() {
            // SHUTDOWN also stops writes, for good.
            state.are_writes_paused = self.shared.is_stopping.load(Ordering::Acquire);
        }
        mirror(state, self.shared);
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if self.barred || self.has_work || self.paused_at.is_some() {
            let shared = self.shared;
            self.lift(&mut shared.state.lock());
            shared.wake_loops();
        }
    }
}

/// What takes the old data's place on the disk.
enum NewBase {
    /// A new `dump.rdb`.
    Dump(Option<Prepared>),
    /// The log's manifest, and then a new `dump.rdb`.
    Log(Box<NewLog>),
}

impl NewBase {
    /// The commit point.
    fn rename(&mut self) -> Result<()> {
        match self {
            Self::Dump(base) => base.take().map_or(Ok(()), Prepared::rename),
            Self::Log(log) => log.rename(),
        }
    }

    fn switch(&mut self, state: &mut State) {
        if let Self::Log(log) = self {
            log.switch(state);
        }
    }

    fn make_durable(&self, target: &Path) -> Result<()> {
        match self {
            Self::Dump(_) => durable::fsync_directory(target),
            Self::Log(log) => log.make_durable(),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Dump(_) => Ok(()),
            Self::Log(log) => log.finish(),
        }
    }
}

struct Switched {
    epoch: u64,
    keys: u64,
    previous_keys: u64,
    pause: Duration,
}

fn with_verified(mut cut: Value, verified: Value) -> Value {
    if let Value::Object(fields) = &mut cut {
        fields.insert("verified".to_owned(), verified);
    }
    cut
}

fn hit(name: &str, path: &Path) -> Result<()> {
    failpoint::hit(name).map_err(|error| EngineError::from_io("commit", path, &error))
}

fn pause_too_long() -> EngineError {
    EngineError::new(
        "COMMIT_PAUSE_TOO_LONG",
        "writes had waited too long for the safety cut",
        "The old data serves. Check how fast the disk is, then restore again.",
    )
    .retryable()
}

fn target_changed(target: &Path) -> EngineError {
    EngineError::new(
        "COMMIT_TARGET_CHANGED",
        "dir or dbfilename was set while the restored data was being written",
        "The old data serves. Restore again: the data then goes to the new place.",
    )
    .retryable()
    .with("path", target.display().to_string())
}

fn not_durable(error: &EngineError, path: PathBuf) -> EngineError {
    EngineError::new(
        "COMMIT_NOT_DURABLE",
        format!(
            "the restored data serves, but its file's name is not on the disk yet: {}",
            error.message
        ),
        "Run SAVE, or with appendonly BGREWRITEAOF; until it succeeds a power cut can bring the \
         previous data back.",
    )
    .with("path", path.display().to_string())
}
