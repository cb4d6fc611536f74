//! What `perdure aof check --fix` and `--truncate-to-time` do: find the place behind which nothing
//! is to stay, and cut there. Nothing is deleted: what stood behind goes to the quarantine, as at a
//! start (`recover::settle`). No server may use these files meanwhile; that is the caller's business.
//!
//! Order: the file is cut, then the manifest forgets those after it, then they are moved away. A
//! crash in between leaves a log that was cut and more of it behind, which a start refuses or the
//! next repair ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::annotation::Line;
use super::check::{Checked, CheckedFile, Role};
use super::layout::Layout;
use super::recover::{cut, set_aside};
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
    /// Where the files after it are now.
    pub set_aside: Vec<PathBuf>,
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

/// Cut there.
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
    let mut repaired = Repaired {
        bytes: file.size_bytes.saturating_sub(place.offset),
        kept_as: cut(&layout, &file.path, place.offset, now_unix_ms)?,
        set_aside: Vec::new(),
    };
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
