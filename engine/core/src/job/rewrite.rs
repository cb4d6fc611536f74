//! Rewriting the log: a child writes a new base while the server goes on, so that the log does not
//! grow for ever. By BGREWRITEAOF, by `auto-aof-rewrite-percentage`, and after an fsync of the log
//! has failed ([`LogWork::Replace`]: then nothing that was written before counts any more). When
//! one is due is `aof::growth`; what a crash leaves, line by line:
//!
//! ```text
//!                       rewrite                          replace (the log has failed)
//! create incr N+1       leftover                         leftover
//! manifest lists it     base, ..N, N+1 (empty)           -
//! fork, switch          base, ..N, N+1 goes on           as before: nothing is acknowledged
//! base has its name     the same; the base a leftover    the same
//! N+1's first line      the same, fsynced                -
//! manifest              new base, N+1                    new base, N+1 in a new epoch
//! history deleted       the same                         the same
//! ```
//! A rewrite that fails leaves the log whole: it goes on in N+1. A file names its place in its first
//! line; where that comes later (replace), the base names it, which is an RDB file then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cut::check_ready;
use super::save::Patient;
use super::switch_log::say_off;
use super::table::thread_failed;
use crate::aof::growth::LogWork;
use crate::aof::layout::Layout;
use crate::aof::manifest::{Listed, Manifest};
use crate::aof::segment::{create_incr, next_base, next_epoch};
use crate::aof::state_file::StateFile;
use crate::aof::{FileLog, Log as _, LogPosition, Segment};
use crate::command::Cx;
use crate::config::Config;
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::rdb::SaveOptions;
use crate::snapshot::{CutPlan, CutReport, CutRequest, Form, Purpose, RunningCut, child_busy};
use crate::state::{Shared, State};

/// The first line of a new file is fsynced in so long.
const BEGIN_PATIENCE: Duration = Duration::from_secs(60);

/// What BGREWRITEAOF did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundRewrite {
    /// It is under way.
    Started,
    /// It will start when what runs now has ended.
    Scheduled,
}

/// BGREWRITEAOF: begin a rewrite, or remember to.
///
/// # Errors
/// `CHILD_RUNNING` (a rewrite), `THREAD_FAILED`.
pub fn rewrite_background(cx: &mut Cx<'_>) -> Result<BackgroundRewrite> {
    let state = &mut *cx.state;
    if state.growth.is_rewriting() {
        return Err(rewrite_running());
    }
    // Inside EXEC a fork would cut a transaction in two: it waits for the end, as in Redis.
    if state.save.is_place_taken() || state.growth.work.is_some() || cx.is_in_exec {
        state.growth.is_scheduled = true;
        state.growth.failures = 0; // somebody wants it now: no waiting
        return Ok(BackgroundRewrite::Scheduled);
    }
    let is_failed = cx.shared.log.file().is_some_and(|log| log.needs_base());
    let work = if is_failed { LogWork::Replace } else { LogWork::Rewrite };
    start_rewrite(state, cx.shared, work).map(|()| BackgroundRewrite::Started)
}

/// At each turn of cron: begin what was asked for, what growth asks for, and what a failed log
/// needs.
pub fn rewrite_if_due(state: &mut State, shared: &Arc<Shared>) {
    let log = shared.log.file();
    let is_failed = log.as_ref().is_some_and(|log| log.needs_base());
    if is_failed {
        end_rewrite(state); // its base would not help: it stands on what may be lost
    }
    if state.save.is_place_taken() || state.growth.work.is_some() {
        return;
    }
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    if is_failed {
        if state.growth.may_replace(now_unix_s) {
            let _ = start_rewrite(state, shared, LogWork::Replace); // noted and told there
        }
        return;
    }
    let size_bytes = log.map(|log| state.growth.settled_bytes + log.size_bytes());
    let is_grown = size_bytes.is_some_and(|bytes| state.growth.is_due(&state.config, bytes));
    if (is_grown || state.growth.is_scheduled) && !state.growth.must_wait(now_unix_s) {
        let _ = start_rewrite(state, shared, LogWork::Rewrite);
    }
}

/// End the child of a rewrite whose base nobody wants any more.
pub fn end_rewrite(state: &State) {
    if state.growth.work == Some(LogWork::Rewrite)
        && let Some(child) = state.save.child.as_ref().filter(|it| it.purpose == Purpose::Rewrite)
    {
        child.end();
    }
}

/// Begin a rewrite: its files are made ready on a thread of its own, which then forks. Nobody else
/// may start a child meanwhile.
///
/// # Errors
/// `THREAD_FAILED`; noted as a failed rewrite.
fn start_rewrite(state: &mut State, shared: &Arc<Shared>, work: LogWork) -> Result<()> {
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    state.growth.begin(work, now_unix_s);
    state.save.is_child_due = true;
    let owner = Arc::clone(shared);
    let spawned = std::thread::Builder::new()
        .name("perdure-rewrite".to_owned())
        .spawn(move || run(&owner, work))
        .map_err(|error| thread_failed(&error));
    if let Err(error) = &spawned {
        state.save.is_child_due = false;
        state.growth.end(Some(false), now_unix_s);
        shared.events.log_error("aof_rewrite_failed", error);
    }
    spawned.map(drop)
}

fn run(shared: &Arc<Shared>, work: LogWork) {
    let began_at = Instant::now();
    let outcome = rewrite(shared, work);
    let mut state = shared.state.lock();
    state.save.is_child_due = false;
    let made_way = |code: &str| matches!(code, "CHILD_ENDED" | "CHILD_BUSY");
    let is_well = match &outcome {
        Err(error) if made_way(error.code) => None,
        outcome => Some(outcome.is_ok()),
    };
    state.growth.end(is_well, shared.clock.unix_ms().div_euclid(1000));
    state.growth.last_duration = Some(began_at.elapsed());
    state.save.child_ended.notify_all();
    drop(state);
    match outcome {
        Ok(report) => {
            let fields = json!({
                "keys": report.keys, "base_bytes": report.size_bytes,
                "fork_seconds": report.fork_duration.as_secs_f64(),
                "seconds": report.write_duration.as_secs_f64(),
            });
            shared.events.log("info", "aof_rewrite_done", &fields);
        }
        Err(error) => shared.events.log_error("aof_rewrite_failed", &error),
    }
}

fn rewrite(shared: &Arc<Shared>, work: LogWork) -> Result<CutReport> {
    let log = shared.log.file();
    let mut files = NewFiles::prepare(shared, log.as_ref(), work)?;
    let running = files.cut(shared, log.as_deref())?;
    let report = running.finish(shared, &mut Patient, |state, outcome| {
        if let Ok(report) = outcome {
            state.growth.last_cow_bytes = report.cow_bytes;
        }
    });
    let report = report.inspect_err(|_| files.give_up())?;
    files.settle_begin(log.as_deref()).inspect_err(|_| files.give_up())?;
    if log.is_none() {
        say_off(&files.dir)?; // a start with the log on is to know that this is none
    }
    files.commit()?;
    shared.gate.end_doubt();
    hit("aof.base_listed", &files.layout)?;
    if let Some(log) = &log {
        if let Some(epoch) = files.new_epoch {
            note_epoch(&files.dir, epoch)?;
            log.replaced_by(epoch);
        }
        let mut state = shared.state.lock();
        state.growth.settled_bytes = report.size_bytes;
        state.growth.base_bytes = report.size_bytes + log.size_bytes();
    }
    // A file that stays is listed as history, and the next rewrite or start deletes it.
    if let Err(error) = files.manifest.delete_history(&files.layout) {
        shared.events.log_error("aof_history_kept", &error);
    }
    Ok(report)
}

/// The state file names the epoch before anything of it is acknowledged. Its parent is unknown: that
/// is why it began.
pub(super) fn note_epoch(dir: &Path, epoch: u64) -> Result<()> {
    let said = StateFile::read(dir)?.unwrap_or_default();
    StateFile { is_log_on: true, last_epoch: epoch, parent: None, ended: None, ..said }.replace(dir)
}

/// A new base, and the incremental that follows it, before and after they are listed.
pub(super) struct NewFiles {
    pub(super) layout: Layout,
    /// `dir`.
    dir: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) base: Listed,
    /// The incremental that goes with the base; none when nothing is logged.
    pub(super) incr: Option<Listed>,
    /// Not yet handed to the log.
    pub(super) segment: Option<Segment>,
    /// The log goes on in this epoch.
    pub(super) new_epoch: Option<u64>,
    /// The gate offset behind the incremental's first line.
    begun_at: Option<u64>,
    pub(super) plan: Option<CutPlan>,
    /// The manifest on the disk names the incremental.
    is_incr_listed: bool,
}

impl NewFiles {
    /// Everything that can fail or take time, before the cut. Not with the engine lock held.
    fn prepare(shared: &Shared, log: Option<&Arc<FileLog>>, work: LogWork) -> Result<Self> {
        let config = shared.state.lock().config.clone();
        let (layout, dir) = (Layout::of(&config), config.dir.clone());
        let form = if work == LogWork::Replace { Form::Rdb } else { base_form(&config) };
        let mut options = base_options(&config);
        layout.create_directory()?;
        let manifest = Manifest::read(&layout)?.unwrap_or_default();
        let end = shared.gate.log_position(shared.gate.appended());
        let new_epoch = (work == LogWork::Replace)
            .then(|| next_epoch(end.map_or(0, |end| end.epoch), shared.clock.unix_ms()));
        if let Some(epoch) = new_epoch {
            options.log_position = Some(LogPosition { epoch, offset: 0 });
        }
        let epoch = new_epoch.or(end.map(|end| end.epoch)).filter(|_| log.is_some());
        let mut files = Self::create(layout, manifest, epoch, form, options)?;
        (files.new_epoch, files.dir) = (new_epoch, dir);
        if epoch.is_some() && new_epoch.is_none() {
            files.list_incr().inspect_err(|_| files.give_up())?;
        }
        Ok(files)
    }

    /// Make the incremental (for a log in `epoch`) and the plan of a base. Nothing is listed.
    pub(super) fn create(
        layout: Layout,
        manifest: Manifest,
        epoch: Option<u64>,
        form: Form,
        options: SaveOptions,
    ) -> Result<Self> {
        let base = next_base(&layout, &manifest, form == Form::Rdb);
        let target = layout.path(&base.name);
        let purpose = Purpose::Rewrite;
        let request = CutRequest { purpose, target, is_replacing: false, form, options };
        let plan = Some(CutPlan::prepare(request)?);
        let (mut incr, mut segment) = (None, None);
        if let Some(epoch) = epoch {
            let (listed, file) = create_incr(&layout, &manifest)?;
            segment = Some(Segment { file, path: layout.path(&listed.name), epoch });
            incr = Some(listed);
        }
        let (new_epoch, begun_at, is_incr_listed, dir) = (None, None, false, PathBuf::new());
        Ok(Self {
            layout,
            dir,
            manifest,
            base,
            incr,
            segment,
            new_epoch,
            begun_at,
            plan,
            is_incr_listed,
        })
    }

    /// What is logged from the cut on goes to the new file: the manifest on the disk says so first.
    fn list_incr(&mut self) -> Result<()> {
        if let Some(incr) = &self.incr {
            self.manifest.add_incr(incr.clone());
            self.manifest.replace(&self.layout)?;
            self.is_incr_listed = true;
        }
        Ok(())
    }

    /// The cut, and the switch of the log to the new file: one step under the engine lock. The log
    /// goes on in a file that is listed even if there is no child.
    fn cut(&mut self, shared: &Shared, log: Option<&FileLog>) -> Result<RunningCut> {
        let Some(mut plan) = self.plan.take() else { return Err(rewrite_running()) };
        let mut state = shared.state.lock();
        state.save.is_child_due = false;
        check_ready(shared)?; // a log that ends goes on nowhere
        if self.is_incr_listed
            && let Some(begin) = self.switch(&mut state, log)
        {
            plan.set_log_position(begin);
        }
        let started = match state.save.are_children_barred {
            true => Err(child_busy(&state.save)),
            false => plan.start(&mut state, shared),
        };
        if started.is_ok() {
            self.switch(&mut state, log);
        }
        drop(state);
        started.inspect_err(|_| self.give_up())
    }

    /// The log goes on in the new file. Gives where that begins.
    fn switch(&mut self, state: &mut State, log: Option<&FileLog>) -> Option<LogPosition> {
        let (log, segment) = (log?, self.segment.take()?);
        state.growth.settled_bytes += log.size_bytes();
        let position = state.effects.switch_log(log, segment);
        self.begun_at = Some(log.gate().appended());
        Some(position)
    }

    /// Before the files go that came before it, the incremental says on the disk where the log goes
    /// on. If it cannot be written (no space: what is deleted then makes some), an RDB base does.
    fn settle_begin(&self, log: Option<&FileLog>) -> Result<()> {
        let (Some(log), Some(begun_at)) = (log, self.begun_at) else { return Ok(()) };
        if self.new_epoch.is_some() {
            return Ok(()); // the base says it; a log that has failed fsyncs nothing
        }
        let is_told_by_base = self.base.name.ends_with(".rdb");
        match log.wait_fsynced(begun_at, BEGIN_PATIENCE) {
            Err(error) if error.code == "LOG_FAILED" && is_told_by_base && !log.needs_base() => {
                Ok(())
            }
            waited => waited,
        }
    }

    /// The commit point: the manifest names the base, and what followed it.
    pub(super) fn commit(&mut self) -> Result<()> {
        hit("aof.base_named", &self.layout)?;
        let mut manifest = self.manifest.clone();
        if let Some(incr) = self.incr.as_ref().filter(|_| !self.is_incr_listed) {
            manifest.add_incr(incr.clone());
        }
        let keep_from = manifest.incrs.len() - usize::from(self.incr.is_some());
        manifest.rebase(self.base.clone(), keep_from);
        manifest.replace(&self.layout).inspect_err(|_| self.give_up())?;
        self.manifest = manifest;
        Ok(())
    }

    /// Files that nobody lists are of no use. Best effort: a leftover does no harm. (A manifest that
    /// was put in place, and only its directory not fsynced, does list them.)
    pub(super) fn give_up(&self) {
        let Ok(listed) = Manifest::read(&self.layout) else { return };
        let listed = listed.unwrap_or_default();
        let names = listed.base.iter().chain(&listed.incrs);
        let is_listed = |file: &&Listed| names.clone().any(|known| known == *file);
        for file in [&self.base].into_iter().chain(&self.incr).filter(|file| !is_listed(file)) {
            let _ = std::fs::remove_file(self.layout.path(&file.name));
        }
    }
}

fn hit(name: &str, layout: &Layout) -> Result<()> {
    let wrap = |error| EngineError::from_io("rewrite", &layout.directory, &error);
    failpoint::hit(name).map_err(wrap)
}

/// What a base is, as `aof-use-rdb-preamble` says.
pub(super) fn base_form(config: &Config) -> Form {
    if config.aof_use_rdb_preamble { Form::Rdb } else { Form::Commands }
}

/// How a base is written.
pub(super) fn base_options(config: &Config) -> SaveOptions {
    SaveOptions {
        is_compressed: config.rdbcompression,
        is_checksummed: config.rdbchecksum,
        is_log_base: true,
        is_timestamped: config.aof_timestamp_enabled,
        is_written_back: config.aof_rewrite_incremental_fsync,
        ..SaveOptions::default()
    }
}

fn rewrite_running() -> EngineError {
    EngineError::new(
        "CHILD_RUNNING",
        "the append-only file is being rewritten already",
        "Wait for it to end (aof_rewrite_in_progress in INFO).",
    )
    .retryable()
}
