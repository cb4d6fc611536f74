//! Cuts for the control plane, and the read-back that makes a file count. A cut leaves `dump.rdb`,
//! LASTSAVE and the changes counter alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::report::{cut_json, summary_json};
use super::table::{Job, cancelled};
use crate::error::{EngineError, Result};
use crate::rdb::{self, SaveOptions};
use crate::snapshot::{
    CHILD_WAIT_SECONDS_MAX, CutPlan, CutRequest, Form, Purpose, Watcher, lock_for_child,
};
use crate::state::{Shared, State};

/// A watcher that reports to a job and ends the child when the job is cancelled or the engine
/// stops.
pub struct JobWatcher<'a> {
    /// Where progress goes.
    pub shared: &'a Shared,
    /// Whose child it is.
    pub job: &'a Job,
    /// The phase's name in progress events.
    pub phase: &'static str,
    /// Keys at the cut.
    pub keys_total: u64,
    /// After this instant the child must end.
    pub deadline: Option<(Instant, fn() -> EngineError)>,
}

impl Watcher for JobWatcher<'_> {
    fn progress(&mut self, keys: u64) {
        self.shared.events.progress(self.job.id, self.phase, keys, self.keys_total);
    }

    fn check(&mut self) -> Result<()> {
        match self.deadline {
            Some((deadline, error)) if Instant::now() >= deadline => Err(error()),
            _ => self.job.check(),
        }
    }
}

/// The engine serves its data set.
///
/// # Errors
/// `ENGINE_NOT_READY` while it loads, has failed to, or stops.
pub fn check_ready(shared: &Shared) -> Result<()> {
    let why = if shared.is_stopping.load(Ordering::Acquire) {
        "the engine is stopping"
    } else if shared.stats.is_loading.load(Ordering::Acquire) {
        "the engine has not loaded its data set"
    } else {
        return Ok(());
    };
    let hint = "Wait until the state is ready, then try again.";
    Err(EngineError::new("ENGINE_NOT_READY", why, hint).retryable())
}

/// What to cut where, with the compression and checksum in force.
pub fn request(state: &State, purpose: Purpose, target: &Path, is_replacing: bool) -> CutRequest {
    let options = SaveOptions {
        is_compressed: state.config.rdbcompression,
        is_checksummed: state.config.rdbchecksum,
        ..SaveOptions::default()
    };
    let target = target.to_path_buf();
    CutRequest { purpose, target, is_replacing, form: Form::Rdb, options }
}

/// Cut into the new file `target`. The result is CUT.
///
/// # Errors
/// `CHILD_BUSY`, `FORK_FAILED`, `SNAPSHOT_CHILD_FAILED`, `CHILD_ENDED`, `CANCELLED`,
/// `ENGINE_NOT_READY`, I/O codes.
pub fn run(shared: &Arc<Shared>, job: &Job, target: &Path, purpose: &str) -> Result<Value> {
    check_ready(shared)?;
    let wanted = request(&shared.state.lock(), Purpose::Cut, target, false);
    let plan = CutPlan::prepare(wanted)?;
    let patience = Duration::from_secs(CHILD_WAIT_SECONDS_MAX);
    let check = || job.check().and_then(|()| check_ready(shared));
    let mut state = lock_for_child(shared, patience, &check)?;
    let locked = Instant::now();
    let started = plan.start(&mut state, shared);
    drop(state);
    let pause = locked.elapsed();
    let running = started?;
    let mut watcher =
        JobWatcher { shared, job, phase: "write", keys_total: running.keys, deadline: None };
    let report = running.finish(shared, &mut watcher, |_, _| {})?;
    let fields = json!({
        "purpose": purpose, "path": target.to_string_lossy(), "keys": report.keys,
        "fork_seconds": report.fork_duration.as_secs_f64(), "pause_seconds": pause.as_secs_f64(),
    });
    shared.events.log("info", "snapshot_cut", &fields);
    Ok(cut_json(&report, pause))
}

/// Read a file back past the page cache and parse all of it. The result is VERIFY.
///
/// # Errors
/// `RDB_...`, `CANCELLED`, I/O codes.
pub fn verify(shared: &Shared, job: &Job, path: &Path) -> Result<Value> {
    read_back(shared, job, path).map(|summary| summary_json(&summary))
}

/// As [`verify`], with the summary as it is.
///
/// # Errors
/// As [`verify`].
pub fn read_back(shared: &Shared, job: &Job, path: &Path) -> Result<rdb::Summary> {
    let mut progress = |done: u64, total: u64| {
        shared.events.progress(job.id, "verify", done, total);
        !job.is_cancelled()
    };
    let summary = rdb::verify(path, &mut progress);
    if job.is_cancelled() { Err(cancelled()) } else { summary }
}
