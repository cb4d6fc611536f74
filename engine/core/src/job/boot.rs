//! The data set at a start: what `aof::recover` plans is loaded beside the live data, repaired on
//! the disk, and switched in whole; with `appendonly yes` the log goes on (`open_log`) before anybody
//! is served. Guards I6 and I9. What the disk state means is not decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};

use super::cut::check_ready;
use super::load::{note_loaded, switch};
use super::open_log::{OpenLog, Opening, open_log};
use super::save::mirror;
use super::switch_log::log_busy;
use crate::aof::recover::{self, Note, Plan, PlannedLog, Source};
use crate::aof::replay::{Stretch, replay};
use crate::aof::state_file::StateFile;
use crate::command::{Cx, Replayer};
use crate::config::Config;
use crate::error::{EngineError, Result};
use crate::keyspace::Keyspace;
use crate::memory_ahead::MemoryAhead;
use crate::rdb::{self, LoadOptions, Summary};
use crate::reclaim::drop_elsewhere;
use crate::state::Shared;

/// DEBUG LOADAOF: what the log's files hold takes the place of the data, which is the same. Under
/// the lock; the log goes on where it is.
///
/// # Errors
/// `CONFIG_INVALID` without a log, `LOG_BUSY` while somebody works on its files, `LOG_FAILED`, and
/// as [`load_at_boot`]; the data stays.
pub fn reload_log(cx: &mut Cx<'_>) -> Result<()> {
    check_ready(cx.shared)?;
    let end = cx.shared.log_end().ok_or_else(without_log)?;
    if cx.state.growth.work.is_some() {
        return Err(log_busy());
    }
    end.wait_fsynced()?; // nobody appends meanwhile
    let config = &cx.state.config;
    let plan = recover::plan(config, "")?;
    let Loaded { keyspace, .. } =
        Loading::new(cx.shared, &plan.source).load(config, &plan.source)?;
    drop_elsewhere(switch(cx.state, keyspace));
    cx.state.effects.dirty = 0;
    mirror(cx.state, cx.shared);
    Ok(())
}

fn without_log() -> EngineError {
    let hint = "CONFIG SET appendonly yes, then try again.";
    EngineError::new("CONFIG_INVALID", "there is no append-only file (appendonly no)", hint)
}

/// What only the control plane knows.
#[derive(Debug, Clone, Default)]
pub struct BootOptions {
    /// The server's uid, empty if it is not known.
    pub server_uid: String,
    /// The operator has said what to start from: a log that should be here may be missing.
    pub is_source_told: bool,
}

/// Load the data set. Gives what was loaded, for the operator's log.
///
/// # Errors
/// [`recover::CODES`], `AOF_COMMAND_REFUSED`, `RDB_...`, `LOG_...`, I/O codes. The files are as they
/// were, a torn tail that is in quarantine already excepted.
pub fn load_at_boot(shared: &Arc<Shared>, options: &BootOptions) -> Result<Value> {
    let begun_at = Instant::now();
    let config = shared.state.lock().config.clone();
    let filled = recover::fill(&config)?;
    tell(shared, &filled);
    let plan = plan(&config, options)?;
    tell(shared, &plan.notes);
    let mut loading = Loading::new(shared, &plan.source);
    let loaded = loading.load(&config, &plan.source)?;
    let seconds = begun_at.elapsed().as_secs_f64();
    let kept = plan.settle(shared.clock.unix_ms())?;
    for path in kept {
        let fields = json!({"path": path.display().to_string()});
        shared.events.log("warning", "aof_kept_in_quarantine", &fields);
    }
    let log = match config.appendonly {
        true => {
            let Loaded { keyspace, idle, .. } = &loaded;
            let uid = &options.server_uid;
            Some(open_log(shared, &config, Opening { plan: &plan, keyspace, uid, idle })?)
        }
        false => {
            say_off(&config.dir)?;
            None
        }
    };
    let told = json!({
        "keys": loaded.keyspace.len(),
        "seconds": (seconds * 1e3).round() / 1e3,
        "source": source_word(&plan.source),
        "commands": loaded.commands,
        "size_bytes": loading.total,
        "torn_bytes": plan.torn.as_ref().map_or(0, |torn| torn.bytes),
    });
    note_figures(shared, &plan, &loaded, seconds);
    serve(shared, loaded, log)?;
    Ok(told)
}

fn tell(shared: &Shared, notes: &[Note]) {
    for note in notes {
        shared.events.log(note.level, note.name, &note.fields);
    }
}

fn plan(config: &Config, options: &BootOptions) -> Result<Plan> {
    match recover::plan(config, &options.server_uid) {
        Err(error) if error.code == "AOF_MISSING" && options.is_source_told => {
            say_off(&config.dir)?;
            recover::plan(config, &options.server_uid)
        }
        planned => planned,
    }
}

/// The state file says that there is no log, if there is one that says otherwise.
fn say_off(dir: &Path) -> Result<()> {
    match StateFile::read(dir)? {
        Some(said) if said.is_log_on => StateFile { is_log_on: false, ..said }.replace(dir),
        _ => Ok(()),
    }
}

fn source_word(source: &Source) -> &'static str {
    match source {
        Source::Empty => "empty",
        Source::LoadRdb(_) => "rdb",
        Source::Replay { .. } => "aof",
    }
}

// --------------------------------------------------------------------------------------- loading

/// What was loaded.
struct Loaded {
    keyspace: Keyspace,
    /// What the RDB file said of itself, if there was one.
    rdb: Option<Summary>,
    commands: u64,
    /// Files of the log that hold no command.
    idle: Vec<PathBuf>,
}

impl Loaded {
    fn of(keyspace: Keyspace, rdb: Option<Summary>) -> Self {
        Self { keyspace, rdb, commands: 0, idle: Vec::new() }
    }
}

/// A load under way, and how far it is.
struct Loading<'a> {
    shared: &'a Shared,
    /// Bytes of all files, and of those that are done.
    total: u64,
    done: u64,
    memory: Option<MemoryAhead>,
}

impl<'a> Loading<'a> {
    fn new(shared: &'a Shared, source: &Source) -> Self {
        let size_of = |path: &Path| path.metadata().map_or(0, |found| found.len());
        let total = match source {
            Source::Empty => 0,
            Source::LoadRdb(path) => size_of(path),
            Source::Replay { base, logs } => {
                let behind = |path: &Path| logs.first().is_some_and(|log| log.path == path);
                // What stands behind an RDB's data is counted as a log's.
                let of_base = base.as_deref().map_or(0, |path| match behind(path) {
                    true => logs.first().map_or(0, |log| log.from),
                    false => size_of(path),
                });
                of_base + logs.iter().map(|log| log.to - log.from).sum::<u64>()
            }
        };
        let loading = Self { shared, total, done: 0, memory: MemoryAhead::start(total) };
        let counters = &shared.stats.counters;
        counters.loading_total_bytes.store(total, Ordering::Relaxed);
        loading
    }

    /// Tell how far it is; false when the engine stops.
    fn tell(&self, bytes: u64) -> bool {
        let loaded = self.done.saturating_add(bytes).min(self.total);
        self.shared.stats.counters.loading_loaded_bytes.store(loaded, Ordering::Relaxed);
        if let Some(memory) = &self.memory {
            memory.tell(self.total - loaded);
        }
        !self.shared.is_stopping.load(Ordering::Acquire)
    }

    fn load(&mut self, config: &Config, source: &Source) -> Result<Loaded> {
        let databases = config.databases;
        let nothing = || Loaded::of(Keyspace::new(databases), None);
        match source {
            Source::Empty => Ok(nothing()),
            Source::LoadRdb(path) => self.load_rdb(config, path, false),
            Source::Replay { base, logs } => {
                let loaded = match base {
                    Some(path) => self.load_rdb(config, path, true)?,
                    None => nothing(),
                };
                self.replay(config, logs, loaded)
            }
        }
    }

    /// `is_base`: keys whose time is over stay, what follows may speak of them.
    fn load_rdb(&mut self, config: &Config, path: &Path, is_base: bool) -> Result<Loaded> {
        let now_ms = self.shared.clock.unix_ms();
        let mut progress = |done: u64, _total: u64| self.tell(done);
        let options = LoadOptions {
            packing: config.packing,
            expire_before_ms: (!is_base).then_some(now_ms),
            now_ms: Some(now_ms),
            ..LoadOptions::new(config.databases, &mut progress)
        };
        let (keyspace, summary) = rdb::load(path, options)?;
        self.done += summary.size_bytes - summary.trailing_bytes;
        Ok(Loaded::of(keyspace, Some(summary)))
    }

    fn replay(&mut self, config: &Config, logs: &[PlannedLog], loaded: Loaded) -> Result<Loaded> {
        let Loaded { keyspace, rdb, mut commands, mut idle } = loaded;
        let mut replayer = Replayer::new(config, &self.shared.clock, keyspace);
        for PlannedLog { path, from, to } in logs {
            let stretch = Stretch { path, from: *from, to: *to };
            let replayed = replay(&mut replayer, stretch, &mut |done| self.tell(done))?;
            if replayed == 0 {
                idle.push(path.clone());
            }
            commands += replayed;
            self.done += to - from;
        }
        Ok(Loaded { keyspace: replayer.finish(), rdb, commands, idle })
    }
}

fn note_figures(shared: &Shared, plan: &Plan, loaded: &Loaded, seconds: f64) {
    let counters = &shared.stats.counters;
    counters.load_commands.store(loaded.commands, Ordering::Relaxed);
    counters.load_us.store((seconds * 1e6) as u64, Ordering::Relaxed);
    let torn_bytes = plan.torn.as_ref().map_or(0, |torn| torn.bytes);
    counters.load_torn_bytes.store(torn_bytes, Ordering::Relaxed);
}

// --------------------------------------------------------------------------------------- serving

/// Switch the data in, attach the log, and answer.
fn serve(shared: &Arc<Shared>, loaded: Loaded, log: Option<OpenLog>) -> Result<()> {
    let Loaded { keyspace, rdb, .. } = loaded;
    let mut state = shared.state.lock();
    if shared.is_stopping.load(Ordering::Acquire) {
        drop(state);
        if let Some(log) = log {
            log.give_up(shared);
        }
        return Err(super::table::cancelled());
    }
    drop_elsewhere(switch(&mut state, keyspace));
    if let Some(summary) = &rdb {
        note_loaded(&state, shared, summary);
    }
    if let Some(OpenLog { log, settled_bytes, .. }) = &log {
        state.effects.attach_file(Arc::clone(log));
        state.growth.settled_bytes = *settled_bytes;
        state.growth.base_bytes = settled_bytes + log.size_bytes();
        shared.heed_log(&state);
    }
    shared.stats.is_loading.store(false, Ordering::Release);
    mirror(&state, shared);
    drop(state);
    if let Some(OpenLog { layout, mut manifest, .. }) = log
        && let Err(error) = manifest.delete_history(&layout)
    {
        shared.events.log_error("aof_history_kept", &error);
    }
    Ok(())
}

/// The hint of a data set that cannot be loaded at boot, added to what `rdb` says.
pub fn boot_failed(error: EngineError) -> EngineError {
    if ["AOF_", "STATE_FILE_", "LOG_"].iter().any(|family| error.code.starts_with(family)) {
        return error;
    }
    let hint = format!(
        "{} The file is as it was. With it moved away, a start names the newest snapshot, if any.",
        error.hint
    );
    EngineError { hint, ..error }
}
