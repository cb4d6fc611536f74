//! The log goes on at a start: a new file in a new epoch, so that offsets of a lost tail are never
//! used for other commands. Where there is no log yet, it begins with a base of what was loaded.
//!
//! What is on the disk after a crash, line by line:
//!
//! ```text
//! (a log begins)     the state file says off; then a base that nobody lists
//! the new file       an empty incremental that nobody lists
//! its first line     the same, fsynced
//! manifest           a whole log; nothing was acknowledged in the new epoch
//! state file         THE LOG GOES ON in the new epoch; then it is served
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::rewrite::{base_form, base_options};
use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::aof::recover::{Plan, Source};
use crate::aof::ring;
use crate::aof::segment::{create_incr, next_base, next_epoch};
use crate::aof::state_file::{StateFile, boot_id};
use crate::aof::{FileLog, LogPosition, Segment, save_commands};
use crate::config::Config;
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::keyspace::Keyspace;
use crate::rdb::{self, SaveOptions, SaveScratch};
use crate::snapshot::Form;
use crate::state::Shared;

/// The first line of a new epoch is fsynced in so long.
const FSYNC_PATIENCE: Duration = Duration::from_secs(60);

/// What a log goes on from.
pub(super) struct Opening<'a> {
    /// What was found, and has been repaired.
    pub(super) plan: &'a Plan,
    /// The data set.
    pub(super) keyspace: &'a Keyspace,
    /// The server's uid, empty if it is not known.
    pub(super) uid: &'a str,
    /// Files of the log that hold no command: many starts without a write leave many.
    pub(super) idle: &'a [PathBuf],
}

/// A log that is open. Not attached: nobody has written to it.
pub(super) struct OpenLog {
    pub(super) log: Arc<FileLog>,
    /// Bytes of the files that are written no more.
    pub(super) settled_bytes: u64,
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
}

/// Open the log's next file, in a new epoch. Where there is no log yet, a base is written first.
///
/// # Errors
/// `LOG_...`, `THREAD_FAILED`, I/O codes. The log on the disk is the one that was loaded.
pub(super) fn open_log(shared: &Shared, config: &Config, from: Opening<'_>) -> Result<OpenLog> {
    let layout = Layout::of(config);
    let epoch = next_epoch(from.plan.last_epoch, shared.clock.unix_ms());
    let mut state = StateFile::read(&config.dir)?.unwrap_or_default();
    if !from.uid.is_empty() {
        from.uid.clone_into(&mut state.server_uid);
    }
    let mut manifest = from.plan.manifest.clone();
    layout.create_directory()?;
    if matches!(from.plan.source, Source::Replay { .. }) {
        let is_idle = |name: &str| from.idle.contains(&layout.path(name));
        manifest.retire_incrs(|listed| is_idle(&listed.name));
    } else {
        // First of all, so that what a crash leaves is not taken for a log that lost its manifest.
        StateFile { is_log_on: false, ..state.clone() }.replace(&config.dir)?;
        let base = next_base(&layout, &manifest, config.aof_use_rdb_preamble);
        write_first_base(shared, config, from.keyspace, epoch, &layout.path(&base.name))?;
        manifest.rebase(base, 0);
    }
    // What it held is on the disk in the files that were loaded: nobody may fill it in later.
    ring::forget(&layout.ring())?;
    let (listed, file) = create_incr(&layout, &manifest)?;
    let path = layout.path(&listed.name);
    let settings = shared.state.lock().log_settings();
    let log = FileLog::start(shared, Segment { file, path, epoch }, settings)?;
    shared.gate.set_log_parent(known_end(from.plan, &state));
    let settled_bytes = sizes(&layout, &manifest);
    manifest.add_incr(listed);
    let opened = OpenLog { log, settled_bytes, layout, manifest };
    (state.is_log_on, state.last_epoch) = (true, epoch);
    (state.parent, state.ended, state.boot_id) = (from.plan.end, None, boot_id());
    opened.list(config, &state).inspect_err(|_| opened.give_up(shared))?;
    opened.log.put_in_force();
    Ok(opened)
}

/// Up to where the log was loaded as it was once written. Unless it was ended in order, a repair's
/// annotation may stand where a power cut took commands; and another server's commands may.
fn known_end(plan: &Plan, said: &StateFile) -> Option<LogPosition> {
    let is_whole = said.ended.is_some() && said.ended == plan.end;
    let end = if is_whole { plan.end } else { plan.data_end };
    end.filter(|_| !plan.is_foreign)
}

/// The base of a log that begins.
fn write_first_base(
    shared: &Shared,
    config: &Config,
    keyspace: &Keyspace,
    epoch: u64,
    target: &Path,
) -> Result<()> {
    let options = SaveOptions {
        log_position: Some(LogPosition { epoch, offset: 0 }),
        ctime_unix_s: shared.clock.unix_ms().div_euclid(1000),
        used_memory_bytes: keyspace.memory_bytes() as u64,
        ..base_options(config)
    };
    let write = match base_form(config) {
        Form::Rdb => rdb::save,
        Form::Commands => save_commands,
    };
    let mut scratch = SaveScratch::new(&options);
    let prepared = durable::prepare_file(target, false, &mut |fd| {
        let progress = &mut |_| !shared.is_stopping.load(Ordering::Acquire);
        write(keyspace, &options, &mut scratch, fd, progress).map(|saved| saved.size_bytes)
    })?;
    prepared.commit()
}

impl OpenLog {
    /// Make the new epoch durable, in the order that the file's head tells.
    fn list(&self, config: &Config, state: &StateFile) -> Result<()> {
        self.log.bind(FSYNC_PATIENCE)?;
        hit("aof.epoch_begun", &config.dir)?;
        self.manifest.replace(&self.layout)?;
        state.replace(&config.dir)?;
        hit("aof.booted", &config.dir)
    }

    /// Nobody will use it: what it holds is an annotation.
    pub(super) fn give_up(&self, shared: &Shared) {
        let _ = self.log.stop();
        shared.gate.end_log_epochs();
    }
}

/// The log was ended in order: a start that finds more behind that place knows that another server
/// wrote it.
///
/// # Errors
/// I/O codes, `STATE_FILE_...`.
pub(super) fn say_ended(config: &Config, log: &FileLog) -> Result<()> {
    match StateFile::read(&config.dir)? {
        Some(said) if said.is_log_on && log.is_in_force() => {
            let ended = Some(log.position());
            StateFile { ended, ..said }.replace(&config.dir)
        }
        _ => Ok(()),
    }
}

fn sizes(layout: &Layout, manifest: &Manifest) -> u64 {
    let listed = manifest.base.iter().chain(&manifest.incrs);
    listed.map(|it| layout.path(&it.name).metadata().map_or(0, |found| found.len())).sum()
}

fn hit(name: &str, path: &Path) -> Result<()> {
    failpoint::hit(name).map_err(|error| EngineError::from_io("begin the log in", path, &error))
}
