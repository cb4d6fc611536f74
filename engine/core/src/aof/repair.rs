//! What `perdure aof check --fix` and `--truncate-to-time` do: find the place behind which nothing
//! is to stay, and cut there. Nothing is deleted: what stood behind goes to the quarantine, as at a
//! start (`recover::settle`). No server may use these files meanwhile; that is the caller's business.
//!
//! What the log's files lack of the commit ring is filled in first; a ring that would bring back what
//! is cut, or does not fit the log, goes to the quarantine.
//!
//! Order: the file is cut, then the manifest forgets those after it, then they are moved away. A
//! crash in between leaves a log that was cut and more of it behind, which a start refuses or the
//! next repair ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::annotation::Line;
use super::check::{Checked, CheckedFile, Role, find};
use super::layout::Layout;
use super::recover::{cut, set_aside};
use super::ring;
use super::state_file::StateFile;
use super::units::{Step, Units};
use crate::error::{EngineError, Result};

/// Where to cut: behind the last that is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which of [`Checked::files`].
    pub file: usize,
    /// Its new length.
    pub offset: u64,
    /// Everything up to this instant is certainly kept, if the log tells the time.
    pub kept_until_unix_ms: Option<i64>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Bytes that were cut off the file at the place.
    pub bytes: u64,
    /// Where they are kept; none if they were all zeros.
    pub kept_as: Option<PathBuf>,
    /// Where the files after it are now, and the ring if it held any of what was cut.
    pub set_aside: Vec<PathBuf>,
}

/// What the commit ring holds that the log lacks, or why it does not fit.
#[derive(Debug)]
pub struct RingFound {
    /// The ring.
    pub path: PathBuf,
    /// Bytes that the log's files lack, or lacked.
    pub bytes: u64,
    /// They are filled in.
    pub is_filled: bool,
    /// The ring is not this log's any more.
    pub error: Option<EngineError>,
    /// Then, where it is now.
    pub kept_as: Option<PathBuf>,
}

/// Look at the ring of the log that `path` means. `None`: the log holds all that it does.
///
/// # Errors
/// As [`super::check::check`].
pub fn look_at_ring(path: &Path) -> Result<Option<RingFound>> {
    let Some((layout, manifest)) = find(path)? else { return Ok(None) };
    let Some(recent) = recent_epochs(&layout)? else { return Ok(None) };
    ring_found(&layout, ring::missing(&layout, &manifest, &recent))
}

/// Fill in what the log's files lack of it. One that does not fit goes to the quarantine, and the
/// log stays as it is.
///
/// # Errors
/// As [`super::check::check`].
pub fn fill_from_ring(path: &Path, now_unix_ms: i64) -> Result<Option<RingFound>> {
    let Some((layout, manifest)) = find(path)? else { return Ok(None) };
    let Some(recent) = recent_epochs(&layout)? else { return Ok(None) };
    let mut found = ring_found(&layout, ring::fill(&layout, &manifest, &recent))?;
    if let Some(found) = &mut found {
        found.is_filled = found.error.is_none();
        if !found.is_filled {
            found.kept_as = set_aside(&layout, &found.path, now_unix_ms)?;
        }
    }
    Ok(found)
}

/// Epochs that a file without a first line may be of. `None`: the log was ended in order, all of it
/// was on the disk then, and the ring does not count.
fn recent_epochs(layout: &Layout) -> Result<Option<Vec<u64>>> {
    let dir = layout.directory.parent().unwrap_or(Path::new(""));
    Ok(match StateFile::read(dir)? {
        Some(state) => state.ended.is_none().then(|| state.recent_epochs()),
        None => Some(Vec::new()),
    })
}

fn ring_found(layout: &Layout, found: Result<Vec<ring::Filled>>) -> Result<Option<RingFound>> {
    let (bytes, error) = match found {
        Ok(lacking) => (lacking.iter().map(|it| it.bytes).sum(), None),
        Err(error) if error.code == "AOF_RING_DIFFERS" => (0, Some(error)),
        Err(error) => return Err(error),
    };
    let path = layout.ring();
    let found = RingFound { path, bytes, is_filled: false, error, kept_as: None };
    Ok((found.bytes > 0 || found.error.is_some()).then_some(found))
}

/// Where `--fix` cuts: at the first damage. `None`: nothing is damaged.
///
/// # Errors
/// `AOF_NOT_REPAIRABLE`: the damage is in what all the rest stands on.
pub fn damage_place(checked: &Checked) -> Result<Option<Place>> {
    let Some(file) = checked.first_damaged() else { return Ok(None) };
    let damaged = &checked.files[file];
    if let Some(error) = &damaged.error {
        return Err(not_repairable(&damaged.path, &error.message));
    }
    let Some(scan) = damaged.scan.filter(|_| damaged.role != Role::Base) else {
        return Err(not_repairable(&damaged.path, "the base is damaged"));
    };
    Ok(Some(Place { file, offset: scan.end, kept_until_unix_ms: None }))
}

/// Where to cut so that nothing stays that was logged after `until_unix_ms`. `None`: there is
/// nothing such. Annotations tell the time: a `#TS:` that of all behind it up to the next one, a
/// `#PD:` that of its own appending; commands of which it cannot be told go, too.
///
/// # Errors
/// `AOF_TIME_UNKNOWN`: no line tells a time as early, or none at all. I/O codes.
pub fn time_place(checked: &Checked, until_unix_ms: i64) -> Result<Option<Place>> {
    let mut clock = Clock { until_unix_ms, kept: None, has_time: false };
    for (index, file) in checked.files.iter().enumerate() {
        let Some(scan) = file.scan.filter(|_| file.error.is_none()) else { continue };
        if clock.walk(index, file, scan.end)? {
            return clock.kept.map(Some).ok_or_else(|| time_unknown(&file.path, true));
        }
    }
    if clock.has_time { Ok(None) } else { Err(time_unknown(&checked.files[0].path, false)) }
}

struct Clock {
    until_unix_ms: i64,
    kept: Option<Place>,
    has_time: bool,
}

impl Clock {
    /// Pass over a file; whether something in it is too late.
    fn walk(&mut self, index: usize, file: &CheckedFile, to: u64) -> Result<bool> {
        let wrap = |error: std::io::Error| EngineError::from_io("read", &file.path, &error);
        let opened = File::open(&file.path).map_err(wrap)?;
        let mut units = Units::new(opened, file.from, to).map_err(wrap)?;
        let mut whole = file.from;
        loop {
            let mut placed = match units.step().map_err(wrap)? {
                Step::Unit(end) => {
                    whole = end;
                    continue;
                }
                Step::Annotation(placed) => placed,
                Step::End | Step::Flaw(_) => return Ok(false),
            };
            if placed.is_inside {
                (placed.start, placed.end) = (whole, whole); // no transaction is cut in two
            }
            whole = placed.end;
            let (unix_ms, is_time) = match placed.line {
                Line::Time(unix_s) => (unix_s.saturating_mul(1000), true),
                Line::Position(annotation, _) if placed.is_true => (annotation.unix_ms, false),
                Line::Position(..) | Line::Other => continue,
            };
            self.has_time = true;
            let is_late = unix_ms > self.until_unix_ms;
            // What stands before a #TS: is of earlier seconds, as far as one before tells.
            let is_bound = is_time && self.kept.is_some_and(|kept| kept.file == index);
            if !is_late || is_bound {
                let offset = if is_late { placed.start } else { placed.end };
                let kept_until_unix_ms = Some(unix_ms.min(self.until_unix_ms));
                self.kept = Some(Place { file: index, offset, kept_until_unix_ms });
            }
            if is_late {
                return Ok(true);
            }
        }
    }
}

/// Cut there. What the ring holds is in the files ([`fill_from_ring`]).
///
/// # Errors
/// I/O codes. What was done so far stays; another call goes on.
pub fn cut_at(checked: &mut Checked, place: Place, now_unix_ms: i64) -> Result<Repaired> {
    let later = checked.files.split_off(place.file + 1);
    let Some(file) = checked.files.last() else { return Ok(Repaired::default()) };
    let layout = match &checked.manifest {
        Some((layout, _)) => layout.clone(),
        // The quarantine of a file alone is beside it.
        None => Layout { directory: file.path.with_extension("d"), filename: String::new() },
    };
    let mut repaired =
        Repaired { bytes: file.size_bytes.saturating_sub(place.offset), ..Repaired::default() };
    if checked.manifest.is_some() && ring::holds_behind(&file.path, place.offset)? {
        repaired.set_aside.extend(set_aside(&layout, &layout.ring(), now_unix_ms)?);
    }
    repaired.kept_as = cut(&layout, &file.path, place.offset, now_unix_ms)?;
    if let Some((layout, manifest)) = &mut checked.manifest
        && !later.is_empty()
    {
        // The base is never among them: it is the first.
        let is_later = |name: &str| later.iter().any(|file| file.path == layout.path(name));
        manifest.incrs.retain(|listed| !is_later(&listed.name));
        manifest.replace(layout)?;
        for file in &later {
            repaired.set_aside.extend(set_aside(layout, &file.path, now_unix_ms)?);
        }
        forget_epochs(layout, &checked.files)?;
    }
    Ok(repaired)
}

/// The state file knows of epochs that are in quarantine now: a start would miss them.
fn forget_epochs(layout: &Layout, files: &[CheckedFile]) -> Result<()> {
    let dir = layout.directory.parent().unwrap_or(Path::new(""));
    let origins = files.iter().filter_map(|file| file.scan?.origin);
    let last_epoch = origins.map(|origin| origin.epoch).max().unwrap_or(0);
    match StateFile::read(dir)? {
        Some(said) if said.last_epoch > last_epoch => {
            StateFile { last_epoch, parent: None, ended: None, ..said }.replace(dir)
        }
        _ => Ok(()),
    }
}

fn not_repairable(path: &Path, why: &str) -> EngineError {
    let text = format!("{} cannot be repaired: {why}", path.display());
    let hint = "Restore a snapshot (perdure snapshot list), or put a copy of the file there.";
    EngineError::new("AOF_NOT_REPAIRABLE", text, hint).with("path", path.display().to_string())
}

fn time_unknown(path: &Path, is_early: bool) -> EngineError {
    let why = if is_early {
        "all that it tells a time of is later, and its base may be, too"
    } else {
        "no line in it tells the time"
    };
    let text = format!("{}: {why}", path.display());
    let hint = "Restore a snapshot of that time (perdure snapshot list); aof-timestamp-enabled yes \
                makes other servers' logs tell the time.";
    EngineError::new("AOF_TIME_UNKNOWN", text, hint).with("path", path.display().to_string())
}
