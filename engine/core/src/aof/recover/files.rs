//! The files that a manifest names: whether they are there, how far each can be believed, and which
//! tail may be cut. The order of the checks is that of the harm: what is missing, what is damaged
//! below a promise, what is damaged where no crash of ours damages, what is torn.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::ground::Ground;
use super::settle::Close;
use super::{PlannedLog, Source, Torn, refusals};
use crate::aof::annotation::Annotation;
use crate::aof::gate::LogPosition;
use crate::aof::manifest::Manifest;
use crate::aof::scan::{Circumstances, Damage, Scan, scan};
use crate::aof::units::FlawKind;
use crate::error::{EngineError, Result};
use crate::rdb;

/// Enough to tell an RDB file.
const MAGIC_BYTES: u64 = 6;
/// An RDB file without keys and functions is shorter.
const EMPTY_BYTES_MAX: u64 = 4096;
/// We annotate about every second.
const UNANNOTATED_MS_MAX: i64 = 30_000;

/// The files, in order.
pub struct Files {
    /// A base that is an RDB file, or begins as one.
    base: Option<PathBuf>,
    /// Where the log stood at the base's cut.
    base_position: Option<LogPosition>,
    logs: Vec<Log>,
    manifest_path: PathBuf,
}

/// A file of commands.
struct Log {
    path: PathBuf,
    from: u64,
    scan: Scan,
    /// A base is written whole before anybody names it: it is never torn.
    is_whole_or_damaged: bool,
    is_incr: bool,
}

impl Files {
    pub fn look(ground: &Ground, manifest: &Manifest, is_single: bool) -> Result<Self> {
        let mut files = Self {
            base: None,
            base_position: None,
            logs: Vec::new(),
            manifest_path: ground.layout.manifest(),
        };
        let path_of = |name: &str| match is_single && name == ground.layout.filename {
            true => ground.layout.single_file(),
            false => ground.layout.path(name),
        };
        // All are looked for before any is read: a refusal comes at once.
        let listed = manifest.base.iter().chain(&manifest.incrs);
        for path in listed.map(|file| path_of(&file.name)) {
            if !path.is_file() {
                return Err(refusals::file_missing(&files.manifest_path, &path));
            }
        }
        match &manifest.base {
            Some(base) => files.look_at_base(&path_of(&base.name), &ground.layout.filename)?,
            None => base_is_not_missed(ground, manifest)?,
        }
        for incr in &manifest.incrs {
            let known = Circumstances { from: 0, lost_power_in: ground.lost_power_in() };
            files.add(path_of(&incr.name), known, true)?;
        }
        files.begins_where_base_ends()?;
        files.holds_its_history(ground, manifest)?;
        Ok(files)
    }

    /// What is listed as history is deleted, so the base must hold it: a flipped bit makes history of
    /// an incremental. Of another server's base that is not known.
    fn holds_its_history(&self, ground: &Ground, manifest: &Manifest) -> Result<()> {
        let Some(cut) = self.base_position else { return Ok(()) };
        for path in manifest.history.iter().map(|old| ground.layout.path(&old.name)) {
            if !path.is_file() || begins_as_rdb(&path)? {
                continue;
            }
            let scan = scan(&path, Circumstances::default())?;
            if scan.units > 0 && scan.end_position().is_some_and(|end| end > cut) {
                return Err(refusals::history_not_in_base(&self.manifest_path, &path, cut));
            }
        }
        Ok(())
    }

    fn look_at_base(&mut self, path: &Path, filename: &str) -> Result<()> {
        let is_single = path.file_name().is_some_and(|name| name == filename);
        let is_named_rdb = path.extension().is_some_and(|end| end == "rdb");
        let mut from = 0;
        if is_named_rdb && path.metadata().is_ok_and(|found| found.len() == 0) {
            return Err(refusals::base_empty(&self.manifest_path, path));
        }
        if is_named_rdb || begins_as_rdb(path)? {
            self.base_position = rdb::log_position_of(path)?;
            self.base = Some(path.to_path_buf());
            if is_named_rdb {
                return Ok(());
            }
            from = rdb::data_end(path, &mut |_, _| true)?;
        }
        self.add(path.to_path_buf(), Circumstances { from, lost_power_in: None }, false)?;
        if let Some(log) = self.logs.last_mut() {
            log.is_whole_or_damaged = !is_single;
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, known: Circumstances, is_incr: bool) -> Result<()> {
        let scan = scan(&path, known)?;
        let from = known.from;
        self.logs.push(Log { path, from, scan, is_whole_or_damaged: false, is_incr });
        Ok(())
    }

    /// Between the base's cut and the first incremental nothing may be missing.
    fn begins_where_base_ends(&self) -> Result<()> {
        let first = self.logs.iter().find(|log| log.is_incr);
        let (Some(cut), Some(first)) = (self.base_position, first) else { return Ok(()) };
        match first.scan.origin {
            Some(origin) if origin.epoch == cut.epoch && origin.offset > cut.offset => {
                Err(refusals::gap(&self.manifest_path, &first.path, cut, origin))
            }
            _ => Ok(()),
        }
    }

    /// Find the first damage, and say what it is: a tail that may be cut, or a refusal.
    pub fn judge(&self, loads_truncated: bool) -> Result<Option<Torn>> {
        let Some((index, damage)) = self.first_damage() else { return Ok(None) };
        let log = &self.logs[index];
        let later = &self.logs[index + 1..];
        let is_promised = log.scan.breaks_promise()
            || promised_beyond(&log.scan, later)
            || is_closed(&log.scan, later);
        let is_alien = damage.kind == FlawKind::Alien && log.scan.origin.is_none();
        if is_promised || is_alien {
            return Err(refusals::corrupt(&log.path, &log.scan, damage));
        }
        if log.is_whole_or_damaged || later.iter().any(|it| it.scan.units > 0) {
            return Err(refusals::torn_not_last(&log.path, &log.scan, damage, !log.is_incr));
        }
        if !loads_truncated {
            return Err(refusals::torn_not_allowed(&log.path, &log.scan, damage));
        }
        let Scan { size_bytes, end, .. } = log.scan;
        Ok(Some(Torn {
            path: log.path.clone(),
            at: end,
            bytes: size_bytes - end,
            damage_at: damage.offset,
            reason: damage.reason,
        }))
    }

    fn first_damage(&self) -> Option<(usize, Damage)> {
        self.logs.iter().enumerate().find_map(|(index, log)| {
            let next = self.logs.get(index + 1);
            let damage = log.scan.damage.or_else(|| end_is_missing(log, next?));
            Some((index, damage?))
        })
    }

    /// Forget the files behind the torn one; gives which.
    pub fn drop_after(&mut self, torn: &Path) -> Vec<PathBuf> {
        let kept = self.logs.iter().position(|log| log.path == torn).map_or(0, |at| at + 1);
        self.logs.drain(kept..).map(|log| log.path).collect()
    }

    /// Whether another server wrote to the log: it annotates nothing.
    pub fn is_foreign(&self) -> bool {
        let is_another_s = |log: &Log| !log.scan.is_ours && log.scan.units > 0;
        self.logs.iter().any(|log| log.is_incr && (is_another_s(log) || goes_on_late(log)))
    }

    /// Where the log ends, as far as it says so itself.
    pub fn end(&self) -> Option<LogPosition> {
        let logs = self.logs.iter().filter(|log| log.is_incr);
        logs.filter_map(|log| log.scan.end_position()).chain(self.base_position).max()
    }

    /// Where its last unit ends: what follows are annotations. `None` if that has no position.
    pub fn data_end(&self) -> Option<LogPosition> {
        let last = self.logs.iter().rev().find(|log| log.is_incr && log.scan.units > 0);
        let Some(Log { scan, .. }) = last else { return self.base_position };
        let LogPosition { epoch, offset } = scan.origin?;
        Some(LogPosition { epoch, offset: offset + scan.units_end })
    }

    /// Whether there is not a single key in it. (Of a base that is long, that is not asked.)
    pub fn holds_nothing(&self) -> bool {
        let is_short = |path: &Path| path.metadata().is_ok_and(|it| it.len() <= EMPTY_BYTES_MAX);
        let has_no_keys = |path: &Path| {
            is_short(path)
                && rdb::verify(path, &mut |_, _| true).is_ok_and(|it| it.keys() + it.functions == 0)
        };
        self.logs.iter().all(|log| log.scan.units == 0)
            && self.base.as_deref().is_none_or(has_no_keys)
    }

    /// The last file with commands, if a kill left it without a last line: nothing covers them.
    pub fn left_open(&self) -> Option<Close> {
        let index = self.logs.iter().rposition(|log| log.scan.units > 0)?;
        let Log { path, scan, is_incr, .. } = &self.logs[index];
        let (position, (last, last_line_end)) = (scan.end_position()?, scan.last?);
        // A later file of its epoch tells that it begins where this one ends.
        let is_followed = |log: &Log| log.scan.origin.is_some_and(|it| it.epoch == position.epoch);
        let is_open = *is_incr && scan.is_ours && last_line_end < scan.end;
        if !is_open || self.logs[index + 1..].iter().any(is_followed) {
            return None;
        }
        let LogPosition { epoch, offset } = position;
        let unix_ms = modified_unix_ms(path).max(last.unix_ms);
        let line = Annotation { epoch, offset, fsynced: offset, unix_ms };
        Some(Close { path: path.clone(), at: scan.end, last_line_end, line })
    }

    /// What is replayed.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.logs.iter().map(|log| log.path.clone()).collect()
    }

    pub fn into_source(self) -> Source {
        let planned = |log: Log| PlannedLog { path: log.path, from: log.from, to: log.scan.end };
        let logs = self.logs.into_iter().map(planned).collect();
        Source::Replay { base: self.base, logs }
    }
}

/// A file of the same epoch must begin where the one before ends: a tail that was lost behind a
/// whole unit leaves no other trace.
fn end_is_missing(log: &Log, next: &Log) -> Option<Damage> {
    let (end, origin) = (log.scan.end_position()?, next.scan.origin?);
    (log.is_incr && origin.epoch == end.epoch && origin.offset > end.offset).then_some(Damage {
        offset: log.scan.end,
        kind: FlawKind::Ends,
        reason: "the file ends before the place where the next one begins",
    })
}

/// Whether lines of later files say that more of this one was fsynced than can be believed.
fn promised_beyond(scan: &Scan, later: &[Log]) -> bool {
    let mut promised = later.iter().filter_map(|log| log.scan.promised);
    promised.any(|told| match scan.end_position() {
        Some(end) => told.epoch == end.epoch && told.offset > end.offset,
        // Nothing says where this file stands in its epoch: any promise may be about it.
        None => told.offset > 0,
    })
}

/// Whether a later epoch began behind this file: whatever is replayed is fsynced before that.
fn is_closed(scan: &Scan, later: &[Log]) -> bool {
    let epoch = scan.origin.map(|origin| origin.epoch);
    let began = |log: &Log| log.scan.origin.is_some_and(|it| Some(it.epoch) > epoch);
    epoch.is_some() && later.iter().any(began)
}

/// Whether a file was written to so long after its last annotation that we would have annotated.
fn goes_on_late(log: &Log) -> bool {
    let Some((annotation, end)) = log.scan.last else { return false };
    let modified_ms = modified_unix_ms(&log.path);
    end < log.scan.end && modified_ms.saturating_sub(annotation.unix_ms) > UNANNOTATED_MS_MAX
}

fn modified_unix_ms(path: &Path) -> i64 {
    let modified = path.metadata().and_then(|found| found.modified()).ok();
    let age = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    age.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Without a base the log must go back to the beginning of all.
fn base_is_not_missed(ground: &Ground, manifest: &Manifest) -> Result<()> {
    let begins_later = manifest.incrs.first().is_some_and(|first| first.seq > 1);
    let stray = ground.strays.iter().find(|stray| stray.is_base && stray.size_bytes > 0);
    if begins_later || stray.is_some() {
        let stray = stray.map(|stray| stray.path.as_path());
        return Err(refusals::base_missing(&ground.layout.manifest(), stray));
    }
    Ok(())
}

fn begins_as_rdb(path: &Path) -> Result<bool> {
    let wrap = |error| EngineError::from_io("read", path, &error);
    let mut start = Vec::new();
    let file = File::open(path).map_err(wrap)?;
    file.take(MAGIC_BYTES).read_to_end(&mut start).map_err(wrap)?;
    Ok(rdb::is_rdb(&start))
}
