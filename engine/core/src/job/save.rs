//! Redis's own saves: SAVE, BGSAVE, save points and SHUTDOWN. They write `dump.rdb`, LASTSAVE and
//! the changes counter; the control plane's cuts (`cut`) never do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use serde_json::json;

use super::cut::request;
use super::open_log::say_ended;
use super::table::thread_failed;
use crate::command::Cx;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::rdb::{self, SaveOptions, SaveScratch};
use crate::snapshot::{CutPlan, CutReport, Purpose, RunningCut, Watcher, child_busy};
use crate::state::{Shared, State};

/// What BGSAVE did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundSave {
    /// The child runs.
    Started,
    /// It will start when the running child ends.
    Scheduled,
}

/// SAVE: write `dump.rdb` under the lock, in the foreground.
///
/// # Errors
/// I/O codes; `CHILD_RUNNING` when a background save runs.
pub fn save_foreground(cx: &mut Cx<'_>) -> Result<()> {
    save_now(cx.state, cx.shared)
}

/// BGSAVE: fork now. `is_schedulable`: with a child of another purpose running, remember to save
/// after it.
///
/// # Errors
/// `CHILD_RUNNING` (another save runs), `CHILD_BUSY` (a child of another purpose runs),
/// `FORK_FAILED`, I/O codes.
pub fn save_background(cx: &mut Cx<'_>, is_schedulable: bool) -> Result<BackgroundSave> {
    let save = &mut cx.state.save;
    if save.is_bgsave_running() {
        return Err(child_running());
    }
    // Inside EXEC a fork would cut a transaction in two: it waits for the end, as in Redis.
    if save.is_place_taken() || cx.is_in_exec {
        if !is_schedulable && !cx.is_in_exec {
            return Err(child_busy(save));
        }
        save.is_bgsave_scheduled = true;
        return Ok(BackgroundSave::Scheduled);
    }
    start_bgsave(cx.state, cx.shared).map(|()| BackgroundSave::Started)
}

/// SHUTDOWN: save as asked (`None`: if save points are configured), end children, tell the control
/// plane that the process ends. Nothing is executed after it.
///
/// # Errors
/// The save failed: nothing is stopped.
pub fn shut_down(cx: &mut Cx<'_>, save: Option<bool>) -> Result<()> {
    let is_saved = shut_down_locked(cx.state, cx.shared, save)?;
    cx.shared.events.push(&json!({"event": "exit_requested", "save": is_saved}));
    Ok(())
}

/// The part of SHUTDOWN that the border's stop shares. Gives whether a save was made.
///
/// # Errors
/// The save failed: nothing is stopped.
pub fn shut_down_locked(
    state: &mut State,
    shared: &Arc<Shared>,
    save: Option<bool>,
) -> Result<bool> {
    // What was not loaded must not be overwritten by the nothing that is there instead (I9).
    let has_data = !shared.stats.is_loading.load(Ordering::Acquire);
    let is_saving = has_data && save.unwrap_or(!state.config.save.is_empty());
    if let Some(child) = &state.save.child {
        // After this its file never gets its name, so it cannot replace what is saved now.
        child.end();
    }
    if is_saving {
        write_dump(state, shared)?;
    }
    // Before the loops end: replies that wait for the log leave first.
    if let Some(log) = shared.log.file()
        && let Err(error) = log.stop().and_then(|()| say_ended(&state.config, &log))
    {
        shared.events.log_error("aof_stop_failed", &error);
    }
    shared.is_stopping.store(true, Ordering::Release);
    state.are_writes_paused = true;
    shared.wake_loops();
    Ok(is_saving)
}

/// Write `dump.rdb` in the foreground.
///
/// # Errors
/// As [`save_foreground`].
pub fn save_now(state: &mut State, shared: &Arc<Shared>) -> Result<()> {
    if state.save.is_bgsave_running() {
        return Err(child_running());
    }
    write_dump(state, shared)
}

fn write_dump(state: &mut State, shared: &Arc<Shared>) -> Result<()> {
    let now_ms = shared.clock.unix_ms();
    let options = SaveOptions {
        is_compressed: state.config.rdbcompression,
        is_checksummed: state.config.rdbchecksum,
        ctime_unix_s: now_ms.div_euclid(1000),
        used_memory_bytes: state.keyspace.memory_bytes() as u64,
        log_position: shared.log_position(),
        ..SaveOptions::default()
    };
    let target = state.config.rdb_path();
    let saved =
        write_file(&state.keyspace, &options, &target, &mut |_| true).and_then(|prepared| {
            // A start finds the log and this file: the log must not be the older of the two.
            shared.log_end().map_or(Ok(()), |log| log.wait_fsynced())?;
            prepared.commit()
        });
    match saved {
        Ok(()) => {
            note_all_saved(state, shared);
            state.save.last_save_unix_s = now_ms.div_euclid(1000);
            state.save.saves_total += 1;
            state.save.is_last_bgsave_failed = false;
            mirror(state, shared);
            Ok(())
        }
        Err(error) => {
            shared.events.log_error("save_failed", &error);
            Err(error)
        }
    }
}

/// FLUSHALL: `dump.rdb` must not keep what was flushed. A background save is ended (its cut is of
/// before); cuts of the control plane go on, since those hold on purpose what was there. With save
/// points the empty data set is saved at once. A failure of that is told in the log and not to the
/// client, as in Redis: the change stays counted, so the save points try again.
pub fn save_flushed(state: &mut State, shared: &Arc<Shared>) {
    end_bgsave(state);
    if !state.config.save.is_empty() {
        let _ = write_dump(state, shared);
    }
}

/// End a background save whose cut nobody wants any more: its file never gets its name after this.
pub fn end_bgsave(state: &State) {
    if let Some(child) = state.save.child.as_ref().filter(|it| it.purpose == Purpose::Bgsave) {
        child.end();
    }
}

/// `dump.rdb` holds all that is live. A background save that ends later has nothing to subtract.
pub fn note_all_saved(state: &mut State, shared: &Shared) {
    state.effects.dirty = 0;
    state.save.dirty_at_cut = 0;
    shared.stats.unsaved_since_unix_ms.store(0, Ordering::Relaxed);
}

/// Write a keyspace beside `target` from this thread (not from a child).
///
/// # Errors
/// I/O codes, `CANCELLED` when `progress` said stop.
pub fn write_file(
    keyspace: &crate::keyspace::Keyspace,
    options: &SaveOptions,
    target: &std::path::Path,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<durable::Prepared> {
    let mut scratch = SaveScratch::new(options);
    durable::prepare_file(target, true, &mut |fd| {
        rdb::save(keyspace, options, &mut scratch, fd, progress).map(|saved| saved.size_bytes)
    })
}

/// Fork a background save of `dump.rdb`; a thread of its own sees it through.
///
/// # Errors
/// `CHILD_BUSY`, `FORK_FAILED`, `THREAD_FAILED`, I/O codes. Also noted as the last background
/// save's failure.
pub fn start_bgsave(state: &mut State, shared: &Arc<Shared>) -> Result<()> {
    state.save.is_bgsave_scheduled = false;
    state.save.last_attempt_unix_s = shared.clock.unix_ms().div_euclid(1000);
    let started = try_start_bgsave(state, shared);
    if let Err(error) = &started {
        state.save.is_last_bgsave_failed = true;
        shared.events.log_error("bgsave_failed", error);
    }
    mirror(state, shared);
    started
}

fn try_start_bgsave(state: &mut State, shared: &Arc<Shared>) -> Result<()> {
    let target = state.config.rdb_path();
    let plan = CutPlan::prepare(request(state, Purpose::Bgsave, &target, true))?;
    // The thread first: a child that nobody watches would be worse than no child.
    let (sender, receiver) = sync_channel::<RunningCut>(1);
    let owner = Arc::clone(shared);
    std::thread::Builder::new()
        .name("perdure-bgsave".to_owned())
        .spawn(move || {
            if let Ok(running) = receiver.recv() {
                see_through(&owner, running);
            }
        })
        .map_err(|error| thread_failed(&error))?;
    let dirty = state.effects.dirty;
    let running = plan.start(state, shared)?;
    state.save.dirty_at_cut = dirty;
    let _ = sender.send(running); // its receiver waits for exactly this
    Ok(())
}

/// A watcher that lets the child work.
pub(super) struct Patient;

impl Watcher for Patient {
    fn progress(&mut self, _keys: u64) {}
    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}

fn see_through(shared: &Arc<Shared>, running: RunningCut) {
    let outcome = running.finish(shared, &mut Patient, |state, outcome| {
        settle_bgsave(state, shared, outcome);
    });
    match outcome {
        Ok(report) => {
            let fields = json!({
                "keys": report.keys, "size_bytes": report.size_bytes,
                "fork_seconds": report.fork_duration.as_secs_f64(),
                "seconds": report.write_duration.as_secs_f64(),
            });
            shared.events.log("info", "bgsave_done", &fields);
        }
        Err(error) => shared.events.log_error("bgsave_failed", &error),
    }
}

fn settle_bgsave(state: &mut State, shared: &Shared, outcome: &Result<CutReport>) {
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    let save = &mut state.save;
    save.last_bgsave_seconds = now_unix_s.saturating_sub(save.last_attempt_unix_s);
    match outcome {
        Ok(report) => {
            state.effects.dirty = state.effects.dirty.saturating_sub(save.dirty_at_cut);
            save.last_save_unix_s = now_unix_s;
            save.saves_total += 1;
            save.is_last_bgsave_failed = false;
            // What is left changed after the cut.
            let since = if state.effects.dirty > 0 { report.cut_unix_ms } else { 0 };
            shared.stats.unsaved_since_unix_ms.store(since, Ordering::Relaxed);
        }
        Err(error) if error.code == "CHILD_ENDED" => {}
        Err(_) => save.is_last_bgsave_failed = true,
    }
    mirror(state, shared);
}

/// Copy what saves change into the lock-free figures at once, so that nobody sees an old answer
/// after a SAVE.
pub fn mirror(state: &State, shared: &Shared) {
    let stats = &shared.stats;
    stats.counters.dirty.store(state.effects.dirty, Ordering::Relaxed);
    stats.last_save_unix_s.store(state.save.last_save_unix_s, Ordering::Relaxed);
    stats.is_last_bgsave_failed.store(state.save.is_last_bgsave_failed, Ordering::Relaxed);
    stats.is_bgsave_running.store(state.save.is_bgsave_running(), Ordering::Relaxed);
    stats.are_writes_paused.store(state.are_writes_paused, Ordering::Relaxed);
}

fn child_running() -> EngineError {
    EngineError::new(
        "CHILD_RUNNING",
        "a background save runs already",
        "Wait for it to end (rdb_bgsave_in_progress in INFO).",
    )
    .retryable()
}
