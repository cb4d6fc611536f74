//! What the data dir holds, and what a start makes of it: a [`Plan`], or a refusal with a hint. The
//! whole table of disk states is `docs/formats/recovery.md`, each of its rows a test. A plan only
//! reads; once its data is loaded, [`Plan::settle`] repairs (cuts a torn tail, moves what nobody
//! reads away). Loading is `replay`'s and `rdb`'s business. Guards I9.
//!
//! `ground` what is there · `files` the files of a manifest · `age` is it the log that must be here
//! · `refusals` the errors · `settle` the repairs.

mod age;
mod files;
mod ground;
mod refusals;
mod settle;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::gate::LogPosition;
use super::layout::Layout;
use super::manifest::{Listed, Manifest};
use super::ring;
use super::state_file::{StateFile, boot_id};
use crate::config::Config;
use crate::error::Result;
use files::Files;
use ground::Ground;
pub use refusals::CODES;
pub(super) use refusals::ring_differs;
use settle::Repair;
pub(super) use settle::{cut, set_aside};

/// What a start is to do.
#[derive(Debug)]
pub struct Plan {
    /// What to load.
    pub source: Source,
    /// The log's files, as the manifest says once [`Plan::settle`] is done; nothing if there is no
    /// log yet.
    pub manifest: Manifest,
    /// The highest epoch that was ever seen here: the next is later.
    pub last_epoch: u64,
    /// Where the log ends that is loaded: the parent of the next epoch. `None` if that has no
    /// position, as another server's log.
    pub end: Option<LogPosition>,
    /// The tail that is not loaded, if it is torn.
    pub torn: Option<Torn>,
    /// Another server wrote to the log.
    pub is_foreign: bool,
    /// What the operator should know.
    pub notes: Vec<Note>,
    /// Where its last unit ends; the rest are annotations, and not all of them by who wrote the unit.
    pub data_end: Option<LogPosition>,
    /// The log has not a single key.
    holds_nothing: bool,
    layout: Layout,
    repairs: Vec<Repair>,
}

/// What to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing is there.
    Empty,
    /// An RDB file. With `appendonly yes` the log is built from it: there is none.
    LoadRdb(PathBuf),
    /// A log: a base that is an RDB file, then commands.
    Replay {
        /// The RDB file. What stands behind its data is the first of `logs`, if anything does.
        base: Option<PathBuf>,
        /// Commands, in order.
        logs: Vec<PlannedLog>,
    },
}

/// The bytes of a file that are to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLog {
    /// The file.
    pub path: PathBuf,
    /// Where its commands begin.
    pub from: u64,
    /// Where they end.
    pub to: u64,
}

/// A tail that is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where it is cut.
    pub at: u64,
    /// Bytes that go.
    pub bytes: u64,
    /// Where the damage was seen, and what it is.
    pub damage_at: u64,
    /// For a person.
    pub reason: &'static str,
}

/// A line for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// `info` or `warning`.
    pub level: &'static str,
    /// The event.
    pub name: &'static str,
    /// What belongs to it.
    pub fields: Value,
}

impl Note {
    fn info(name: &'static str, fields: Value) -> Self {
        Self { level: "info", name, fields }
    }
    fn warning(name: &'static str, fields: Value) -> Self {
        Self { level: "warning", name, fields }
    }
}

/// Before a plan: what a power cut took from the log's files is filled in from the commit ring, if
/// this start reads the log. Gives what the operator should know.
///
/// # Errors
/// `AOF_RING_DIFFERS`, and then nothing was changed; I/O codes.
pub fn fill(config: &Config) -> Result<Vec<Note>> {
    let layout = Layout::of(config);
    // What cannot be read is refused where it is needed.
    let Ok(state) = StateFile::read(&config.dir) else { return Ok(Vec::new()) };
    let Ok(Some(manifest)) = Manifest::read(&layout) else { return Ok(Vec::new()) };
    let has_ended = state.as_ref().is_some_and(|state| state.ended.is_some());
    let is_log_on = state.as_ref().is_some_and(|state| state.is_log_on);
    if has_ended || !(config.appendonly || is_log_on) {
        return Ok(Vec::new()); // all of the log was on the disk at its end, or nobody reads it
    }
    let recent = state.as_ref().map(StateFile::recent_epochs).unwrap_or_default();
    let has_power_lasted =
        state.is_some_and(|state| !state.boot_id.is_empty() && state.boot_id == boot_id());
    if has_power_lasted && let Some(lacking) = ring::missing(&layout, &manifest, &recent)?.first() {
        return Err(refusals::cut_under_power(&layout, lacking));
    }
    let note = |ring::Filled { path, offset, bytes }: ring::Filled| {
        let path = path.display().to_string();
        Note::warning("aof_ring_applied", json!({"path": path, "offset": offset, "bytes": bytes}))
    };
    Ok(ring::fill(&layout, &manifest, &recent)?.into_iter().map(note).collect())
}

/// Decide what a start does with the data dir. `uid` is the server's, empty if it is not known.
/// Reads only, and all of a log once; [`fill`] comes before.
///
/// # Errors
/// [`CODES`], `AOF_MANIFEST_INVALID`, `STATE_FILE_DAMAGED`, `STATE_FILE_TOO_NEW`, I/O codes.
pub fn plan(config: &Config, uid: &str) -> Result<Plan> {
    let mut ground = Ground::look(config)?;
    ground.note_owner(uid);
    if config.appendonly { with_log(ground) } else { without_log(ground) }
}

/// `appendonly no`: the RDB file, unless the log holds what that promised and this does not.
fn without_log(ground: Ground) -> Result<Plan> {
    if ground.is_log_on() && ground.layout.manifest().exists() && !is_log_spent(&ground) {
        return Err(refusals::log_not_asked(&ground.layout, ground.rdb.as_ref()));
    }
    Ok(load_rdb(ground, Vec::new()))
}

/// Whether the log holds nothing that `dump.rdb` does not.
fn is_log_spent(ground: &Ground) -> bool {
    let plan = match ground.manifest() {
        Ok(Some(manifest)) => replay(ground, manifest, false),
        Ok(None) => return true,
        Err(_) => return false,
    };
    match plan {
        Ok(plan) => {
            let is_saved = plan.data_end.is_some() && ground.rdb_position() >= plan.data_end;
            plan.holds_nothing || is_saved
        }
        Err(error) => error.code == "AOF_STALE",
    }
}

fn with_log(ground: Ground) -> Result<Plan> {
    if let Some(manifest) = ground.manifest()? {
        if ground.is_upgrade_unfinished(&manifest) {
            return upgrade(ground, manifest);
        }
        if ground.has_bytes(&manifest) {
            return replay(&ground, manifest, false);
        }
    }
    if ground.is_log_on() {
        return Err(match ground.strays.is_empty() {
            true => refusals::missing(&ground.layout),
            false => refusals::manifest_missing(&ground.layout, &ground.strays),
        });
    }
    if ground.has_single_file() {
        let mut manifest = Manifest::default();
        manifest.rebase(Listed { name: ground.layout.filename.clone(), seq: 1 }, 0);
        return upgrade(ground, manifest);
    }
    // Leftovers of a first log that was never finished: the state file stood before it was begun.
    if ground.state.is_none() && ground.strays_hold_data()? {
        return Err(refusals::manifest_missing(&ground.layout, &ground.strays));
    }
    let repairs = ground.stray_repairs(None);
    Ok(load_rdb(ground, repairs))
}

/// Everything comes from the RDB file, if there is one.
fn load_rdb(ground: Ground, repairs: Vec<Repair>) -> Plan {
    let Ground { layout, state, rdb, notes, .. } = ground;
    let end = rdb.as_ref().and_then(|rdb| rdb.position);
    let known = state.map_or(0, |state| state.last_epoch);
    Plan {
        source: rdb.map_or(Source::Empty, |rdb| Source::LoadRdb(rdb.path)),
        manifest: Manifest::default(),
        last_epoch: known.max(end.map_or(0, |end| end.epoch)),
        end,
        torn: None,
        is_foreign: false,
        notes,
        data_end: end,
        holds_nothing: false,
        layout,
        repairs,
    }
}

/// The log of Redis 6 and older becomes the base of one of ours, as Redis 7 does it.
fn upgrade(mut ground: Ground, manifest: Manifest) -> Result<Plan> {
    let single = ground.layout.single_file();
    ground.notes.push(Note::info("aof_upgraded", json!({"path": single.display().to_string()})));
    let mut plan = replay(&ground, manifest, true)?;
    plan.repairs.push(Repair::Upgrade { from: single, manifest: plan.manifest.clone() });
    Ok(plan)
}

/// The files that a manifest names. `is_single`: its base stands where Redis 6 had its log.
fn replay(ground: &Ground, mut manifest: Manifest, is_single: bool) -> Result<Plan> {
    let mut files = Files::look(ground, &manifest, is_single)?;
    let mut notes = ground.notes.clone();
    let mut repairs = Vec::new();
    let torn = files.judge(ground.loads_truncated)?;
    if let Some(torn) = &torn {
        notes.push(torn.note());
        if ring::holds_behind(&torn.path, torn.at)? {
            repairs.push(Repair::SetAside(ground.layout.ring()));
        }
        repairs.push(Repair::Cut { path: torn.path.clone(), at: torn.at });
        // What follows holds nothing, or this would be a refusal; its lines tell other places now.
        let dropped = files.drop_after(&torn.path);
        if !dropped.is_empty() {
            let is_kept = |listed: &Listed| !dropped.contains(&ground.layout.path(&listed.name));
            manifest.incrs.retain(is_kept);
            repairs.push(Repair::Manifest(manifest.clone()));
            repairs.extend(dropped.into_iter().map(Repair::SetAside));
        }
    }
    let is_foreign = files.is_foreign() || age::is_longer_than_at_stop(ground, &files);
    if is_foreign {
        let path = ground.layout.directory.display().to_string();
        notes.push(Note::info("aof_of_another_server", json!({"path": path})));
    }
    age::check(ground, &files, is_foreign)?;
    notes.extend(age::note_newer_rdb(ground, &files));
    repairs.extend(ground.stray_repairs(Some(&manifest)));
    repairs.push(Repair::Fsync(files.paths()));
    let mut end = files.end();
    if let Some(close) = files.left_open().filter(|_| !is_foreign) {
        let (without, with) = close.ends();
        end = end.map(|end| if end == without { with } else { end });
        repairs.push(Repair::Close(close));
    }
    Ok(Plan {
        last_epoch: age::last_epoch(ground, &files),
        end,
        data_end: files.data_end(),
        holds_nothing: files.holds_nothing(),
        source: files.into_source(),
        manifest,
        torn,
        is_foreign,
        notes,
        layout: ground.layout.clone(),
        repairs,
    })
}

impl Torn {
    fn note(&self) -> Note {
        let fields = json!({
            "path": self.path.display().to_string(), "offset": self.at, "bytes": self.bytes,
            "damage_at": self.damage_at, "reason": self.reason,
        });
        Note::warning("aof_tail_torn", fields)
    }
}

#[cfg(test)]
mod tests;
