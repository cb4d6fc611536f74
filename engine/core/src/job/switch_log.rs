//! CONFIG SET, where it switches the log on or off: the server goes on meanwhile, only who asked
//! waits. What a crash leaves, line by line:
//!
//! ```text
//! on    the state file says off     dump.rdb counts, as before
//!       incr made, fork, attach     the same, and leftovers; the log binds nobody yet
//!       base has its name           the same
//!       bind: all is fsynced        the same
//!       manifest                    a whole log, which nobody was promised
//!       the state file says on      THE LOG COUNTS, and is put in force: only from here on is
//!                                   anybody told that he stands in it; then OK
//! off   the state file says off,    THE LOG ENDS: one step under the lock; what follows is in the
//!       detach                      care of dump.rdb, and is answered when the disk has the file
//!       last fsync                  the same; then OK
//! ```
//! In Redis a kill just after the OK loses the whole data set: the base is still being written.
//! Whatever fails leaves everything as it was. Other directives of the same call are set with the
//! switch, or not at all.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cut::check_ready;
use super::rewrite::{NewFiles, base_form, base_options, end_rewrite};
use super::save::Patient;
use super::table::thread_failed;
use crate::aof::growth::LogWork;
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::segment::next_epoch;
use crate::aof::state_file::{StateFile, boot_id};
use crate::aof::{FileLog, LogPosition, LogSettings};
use crate::config::Config;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::rdb::SaveOptions;
use crate::snapshot::lock_for_child;
use crate::state::{Shared, State};
use crate::wait::Answer;

/// Somebody else may work on the log, or a child run, for so long.
const WORK_PATIENCE: Duration = Duration::from_secs(60);
/// The log's bytes are fsynced in so long.
const FSYNC_PATIENCE: Duration = Duration::from_secs(60);

/// What CONFIG SET is asked for.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Names and values.
    pub pairs: Vec<(String, Vec<u8>)>,
    /// Protected directives may be set.
    pub allow_protected: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// All of them are in force.
    Set,
    /// None is: the log is to be switched first ([`switch`]).
    Switches,
}

/// CONFIG SET, all or none, unless it switches the log. The error is the text after `ERR `.
///
/// # Errors
/// The name concerned and Redis's reason.
pub fn set_directives(
    state: &mut State,
    shared: &Shared,
    setting: &Setting,
) -> std::result::Result<SetOutcome, String> {
    let changed = checked(state, setting)?;
    if changed.appendonly != state.config.appendonly {
        return Ok(SetOutcome::Switches);
    }
    put(state, shared, changed);
    Ok(SetOutcome::Set)
}

/// The directives as they would be.
fn checked(state: &State, setting: &Setting) -> std::result::Result<Config, String> {
    let mut changed = state.config.clone();
    changed.set(&setting.pairs, setting.allow_protected)?;
    let is_log_used = state.config.appendonly || state.growth.work.is_some();
    if is_log_used && changed.dir != state.config.dir {
        return Err(failed("dir", "the append-only file is on, and stands there"));
    }
    Ok(changed)
}

fn put(state: &mut State, shared: &Shared, changed: Config) {
    state.config = changed;
    state.heed_config();
    shared.heed_log(state);
}

fn failed(name: &str, reason: &str) -> String {
    format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

/// Switch on a thread of its own. The answer is given in the end, whatever happens.
///
/// # Errors
/// `THREAD_FAILED`.
pub fn switch_in_background(shared: &Arc<Shared>, setting: Setting) -> Result<Arc<Answer>> {
    let answer = Arc::new(Answer::default());
    let (shared, told) = (Arc::clone(shared), Arc::clone(&answer));
    std::thread::Builder::new()
        .name("perdure-switch".to_owned())
        .spawn(move || {
            let outcome = switch(&shared, &setting, &|| Ok(()));
            let text = |error: EngineError| format!("ERR {}", error.message);
            told.give(&shared, outcome.map_err(text));
        })
        .map_err(|error| thread_failed(&error))?;
    Ok(answer)
}

/// Set directives among which the log's switch is. Waits for the disk; never with the engine lock
/// held. `check` may end it.
///
/// # Errors
/// `CONFIG_SET_FAILED` with the reason; nothing is set then.
pub fn switch(
    shared: &Arc<Shared>,
    setting: &Setting,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let check = || check().and_then(|()| check_ready(shared));
    let outcome = check().and_then(|()| switch_checked(shared, setting, &check));
    outcome.map_err(|error| {
        shared.events.log_error("aof_switch_failed", &error);
        match error.code {
            "CONFIG_SET_FAILED" => error,
            _ => {
                let message = failed("appendonly", &error.message);
                EngineError { code: "CONFIG_SET_FAILED", message, ..error }
            }
        }
    })
}

fn switch_checked(
    shared: &Arc<Shared>,
    setting: &Setting,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let is_on = {
        let state = shared.state.lock();
        checked(&state, setting).map_err(not_set)?.appendonly
    };
    let work = if is_on { LogWork::SwitchOn } else { LogWork::SwitchOff };
    take_work(shared, work, check)?;
    let began_at = Instant::now();
    let outcome = match work {
        LogWork::SwitchOn => switch_on(shared, setting, check),
        _ => switch_off(shared, setting),
    };
    let mut state = shared.state.lock();
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    match work {
        LogWork::SwitchOn => {
            state.growth.end(Some(outcome.is_ok()), now_unix_s);
            state.growth.last_duration = Some(began_at.elapsed());
        }
        _ => state.growth.work = None,
    }
    state.save.child_ended.notify_all();
    drop(state);
    if outcome.is_ok() {
        let name = if is_on { "aof_switched_on" } else { "aof_switched_off" };
        shared.events.log("info", name, &json!({}));
    }
    outcome
}

/// Become the only one who works on the log's files.
pub(super) fn take_work(
    shared: &Shared,
    work: LogWork,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + WORK_PATIENCE;
    let mut state = shared.state.lock();
    while state.growth.work.is_some() {
        check()?;
        if Instant::now() >= deadline {
            return Err(log_busy());
        }
        if work != LogWork::SwitchOn {
            end_rewrite(&state); // of a log that ends, or of data that goes
        }
        let ended = Arc::clone(&state.save.child_ended);
        ended.wait_for(&mut state, Duration::from_millis(50));
    }
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    match work {
        LogWork::SwitchOn => state.growth.begin(work, now_unix_s),
        _ => state.growth.work = Some(work),
    }
    Ok(())
}

fn switch_on(
    shared: &Arc<Shared>,
    setting: &Setting,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let Some(changed) = still_to_be_set(shared, setting)? else { return Ok(()) };
    let dir = changed.dir.clone();
    let mut said = say_off(&dir)?;
    let mut new = prepare(shared, &changed, said.last_epoch)?;
    let size_bytes = write_base(shared, &mut new.files, new.log.get()?, check)
        .and_then(|size_bytes| new.log.get()?.bind(FSYNC_PATIENCE).map(|()| size_bytes))
        .inspect_err(|_| new.files.give_up())?;
    hit("aof.bound", &dir)?;
    (said.is_log_on, said.last_epoch, said.parent) = (true, new.epoch, None);
    (said.boot_id, said.ended) = (boot_id(), None);
    // Behind the manifest nothing is left that a full disk could refuse.
    let saying = said.prepare(&dir).inspect_err(|_| new.files.give_up())?;
    new.files.commit()?;
    StateFile::commit(saying).inspect_err(|_| {
        new.take_back();
        let _ = say_off(&dir);
    })?;
    hit("aof.switched_on", &dir)?;
    new.log.get()?.put_in_force();
    let mut state = shared.state.lock();
    // What another call has set meanwhile stays.
    match checked(&state, setting) {
        Ok(changed) => put(&mut state, shared, changed),
        Err(_) => state.config.appendonly = true,
    }
    state.growth.settled_bytes = size_bytes;
    state.growth.base_bytes = size_bytes + new.log.get()?.size_bytes();
    drop(state);
    new.log.log = None; // it stays
    if let Err(error) = new.files.manifest.delete_history(&new.files.layout) {
        shared.events.log_error("aof_history_kept", &error);
    }
    Ok(())
}

/// The directives as they will be; `None`: somebody else has switched the log meanwhile, and now
/// they are set.
fn still_to_be_set(shared: &Shared, setting: &Setting) -> Result<Option<Config>> {
    let mut state = shared.state.lock();
    let changed = checked(&state, setting).map_err(not_set)?;
    if changed.appendonly != state.config.appendonly {
        return Ok(Some(changed));
    }
    put(&mut state, shared, changed);
    Ok(None)
}

/// The state file says that there is no log. Gives what it says.
pub(super) fn say_off(dir: &Path) -> Result<StateFile> {
    let known = StateFile::read(dir)?;
    let said = StateFile { is_log_on: false, ..known.clone().unwrap_or_default() };
    if known.as_ref() != Some(&said) {
        said.replace(dir)?;
    }
    Ok(said)
}

/// The log that will be.
struct NewLog<'a> {
    files: NewFiles,
    epoch: u64,
    log: Unbound<'a>,
    /// The manifest that stands on the disk.
    before: Option<Manifest>,
}

/// Files, and a log that nobody fills yet.
fn prepare<'a>(shared: &'a Shared, changed: &Config, last_epoch: u64) -> Result<NewLog<'a>> {
    let (form, options) = (base_form(changed), base_options(changed));
    let layout = Layout::of(changed);
    layout.create_directory()?;
    let before = Manifest::read(&layout)?;
    let last = shared.gate.log_position(shared.gate.appended()).map_or(0, |end| end.epoch);
    let epoch = next_epoch(last.max(last_epoch), shared.clock.unix_ms());
    let log_position = Some(LogPosition { epoch, offset: 0 });
    let options = SaveOptions { log_position, ..options };
    let manifest = before.clone().unwrap_or_default();
    let mut files = NewFiles::create(layout, manifest, Some(epoch), form, options)?;
    let segment = files.segment.take().ok_or_else(log_busy)?;
    let settings = LogSettings {
        policy: changed.appendfsync,
        is_timestamped: changed.aof_timestamp_enabled,
        is_fsync_held: false,
    };
    let log = Some(FileLog::start(shared, segment, settings)?);
    Ok(NewLog { files, epoch, log: Unbound { shared, log }, before })
}

impl NewLog<'_> {
    /// The manifest names a log that will not be: put the old one back. Best effort; the state file
    /// says that there is no log.
    fn take_back(&self) {
        let (layout, path) = (&self.files.layout, self.files.layout.manifest());
        let _ = match &self.before {
            Some(before) => before.replace(layout),
            None => std::fs::remove_file(&path)
                .map_err(|error| EngineError::from_io("remove", &path, &error)),
        };
        self.files.give_up();
    }
}

/// The cut, from which on everything is logged, and the base that a child writes of it. Gives its
/// size.
fn write_base(
    shared: &Arc<Shared>,
    files: &mut NewFiles,
    log: &Arc<FileLog>,
    check: &dyn Fn() -> Result<()>,
) -> Result<u64> {
    let Some(plan) = files.plan.take() else { return Err(log_busy()) };
    let mut state = lock_for_child(shared, WORK_PATIENCE, check)?;
    let running = plan.start(&mut state, shared)?;
    state.effects.attach_file(Arc::clone(log));
    shared.heed_log(&state);
    drop(state);
    let report = running.finish(shared, &mut Patient, |_, _| {})?;
    Ok(report.size_bytes)
}

/// A log that is being switched on. Dropped: detached and ended; nobody's reply hangs on it.
struct Unbound<'a> {
    shared: &'a Shared,
    log: Option<Arc<FileLog>>,
}

impl Unbound<'_> {
    fn get(&self) -> Result<&Arc<FileLog>> {
        self.log.as_ref().ok_or_else(log_busy)
    }
}

impl Drop for Unbound<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            self.shared.state.lock().effects.attach(None);
            let _ = end_log(self.shared, &log); // what it holds was never promised
        }
    }
}

fn switch_off(shared: &Shared, setting: &Setting) -> Result<()> {
    let Some(Config { dir, .. }) = still_to_be_set(shared, setting)? else { return Ok(()) };
    let known = StateFile::read(&dir)?.unwrap_or_default();
    let mut said = StateFile { is_log_on: false, ..known };
    let prepared = said.prepare(&dir)?;
    hit("aof.off_prepared", &dir)?;
    let mut state = shared.state.lock();
    let changed = checked(&state, setting).map_err(not_set)?;
    let log = shared.log.file();
    prepared.rename()?;
    // What is executed from here on is in nobody's log: its replies wait until the disk says so.
    let epoch = shared.gate.begin_epoch();
    state.effects.attach(None);
    put(&mut state, shared, changed);
    drop(state);
    let settled = hit("aof.off_renamed", &dir)
        .and_then(|()| durable::fsync_directory(&StateFile::path(&dir)));
    shared.gate.end_epoch_wait(epoch);
    // It is off whatever happens: nobody waits for it any more.
    let ended = log.map_or(Ok(()), |log| {
        end_log(shared, &log)?;
        said.ended = Some(log.position());
        said.replace(&dir)
    });
    if let Err(error) = settled.and(ended) {
        shared.events.log_error("aof_end_failed", &error);
    }
    Ok(())
}

/// Write and fsync what a detached log holds; then nothing has a position any more.
fn end_log(shared: &Shared, log: &FileLog) -> Result<()> {
    let ended = log.stop();
    if ended.is_err() {
        shared.gate.recover(shared.gate.appended());
    }
    shared.gate.end_log_epochs();
    ended
}

fn hit(name: &str, path: &Path) -> Result<()> {
    failpoint::hit(name).map_err(|error| EngineError::from_io("switch the log in", path, &error))
}

fn not_set(text: String) -> EngineError {
    EngineError::new("CONFIG_SET_FAILED", text, "Nothing was set.")
}

pub(super) fn log_busy() -> EngineError {
    EngineError::new(
        "LOG_BUSY",
        "somebody else works on the append-only file (a rewrite, a restore)",
        "Wait for it to end, then try again.",
    )
    .retryable()
}
