//! Looks at a log's files without an engine, for `perdure aof`, and cuts them if asked to; on the
//! caller's own thread, as long as they are long. The JSON shape is that of `sidecar/_engine.pyi`.

use std::path::Path;

use serde_json::{Value, json};

use crate::aof::check::{self, Checked, CheckedFile, Progress, Role};
use crate::aof::repair::{self, Place, Repaired, RingFound};
use crate::aof::scan::Scan;
use crate::clock::Clock;
use crate::error::Result;
use crate::job::report::summary_json;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// Cut what is damaged, and what is too late.
    pub is_fixing: bool,
    /// Nothing that was logged after this instant is to stay.
    pub until_unix_ms: Option<i64>,
}

/// Look at a log, and repair it if that is wanted; gives what was found before (what its ring holds
/// is filled in by then), and what was done, as a JSON object.
///
/// # Errors
/// As [`check::check`], [`repair::look_at_ring`], [`repair::time_place`] and [`repair::cut_at`]; when
/// fixing as [`repair::fill_from_ring`] and [`repair::damage_place`] too.
pub fn check(path: &Path, options: CheckOptions, progress: Progress<'_>) -> Result<String> {
    let now_unix_ms = Clock::system().unix_ms();
    let ring = match options.is_fixing {
        true => repair::fill_from_ring(path, now_unix_ms)?,
        false => repair::look_at_ring(path)?,
    };
    let mut checked = check::check(path, progress)?;
    let is_ring_open = ring.is_some() && !options.is_fixing;
    let is_sound = checked.first_damaged().is_none() && !is_ring_open;
    let mut found = json!({
        "path": path.to_string_lossy(),
        "manifest": checked.manifest.as_ref().map(|(layout, _)| {
            layout.manifest().to_string_lossy().into_owned()
        }),
        "is_sound": is_sound,
        "is_sound_to_last": checked.is_sound_to_last(),
        "ring": ring.as_ref().map(ring_json),
        "files": checked.files.iter().map(file_json).collect::<Vec<_>>(),
    });
    let damage = match repair::damage_place(&checked) {
        Err(error) if options.is_fixing => return Err(error),
        place => place.unwrap_or(None),
    };
    let late = match options.until_unix_ms {
        Some(until_unix_ms) => repair::time_place(&checked, until_unix_ms)?,
        None => None,
    };
    let place = damage.into_iter().chain(late).min_by_key(|place| (place.file, place.offset));
    let mut more = json!({"place": place.map(|place| place_json(&checked, place))});
    let repaired = match place.filter(|_| options.is_fixing) {
        Some(place) => repair::cut_at(&mut checked, place, now_unix_ms)?,
        None => Repaired::default(),
    };
    if let (Value::Object(found), Value::Object(more), Value::Object(done)) =
        (&mut found, &mut more, &mut repaired_json(&repaired))
    {
        found.append(more);
        found.append(done);
    }
    Ok(found.to_string())
}

fn ring_json(ring: &RingFound) -> Value {
    json!({
        "path": ring.path.to_string_lossy(),
        "bytes": ring.bytes,
        "is_filled": ring.is_filled,
        "error": ring.error.as_ref().map(crate::error::EngineError::to_json),
        "kept_as": ring.kept_as.as_ref().map(|path| path.to_string_lossy()),
    })
}

fn file_json(file: &CheckedFile) -> Value {
    let role = match file.role {
        Role::Base => "base",
        Role::Incr => "incr",
        Role::Alone => "alone",
    };
    json!({
        "path": file.path.to_string_lossy(),
        "role": role,
        "size_bytes": file.size_bytes,
        "rdb": file.rdb.as_ref().map(summary_json),
        "rdb_bytes": file.from,
        "commands": file.commands,
        "log": file.scan.as_ref().map(scan_json),
        "error": file.error.as_ref().map(crate::error::EngineError::to_json),
    })
}

fn scan_json(scan: &Scan) -> Value {
    json!({
        "whole_bytes": scan.end,
        "units": scan.units,
        "is_ours": scan.is_ours,
        "epoch": scan.origin.map(|origin| origin.epoch),
        "last_unix_ms": scan.last.map(|(annotation, _)| annotation.unix_ms),
        "fsynced_bytes": scan.promised_here,
        "breaks_promise": scan.breaks_promise(),
        "damage": scan.damage.map(|damage| json!({
            "offset": damage.offset,
            "reason": damage.reason,
        })),
    })
}

fn place_json(checked: &Checked, place: Place) -> Value {
    let later = checked.files.iter().skip(place.file + 1).map(|file| file.size_bytes);
    let file = checked.files.get(place.file);
    let behind = file.map_or(0, |file| file.size_bytes.saturating_sub(place.offset));
    json!({
        "path": file.map(|file| file.path.to_string_lossy()),
        "offset": place.offset,
        "drops_bytes": behind + later.sum::<u64>(),
        "kept_until_unix_ms": place.kept_until_unix_ms,
    })
}

fn repaired_json(repaired: &Repaired) -> Value {
    let set_aside = repaired.set_aside.iter().map(|path| path.to_string_lossy());
    json!({
        "cut_bytes": repaired.bytes,
        "kept_as": repaired.kept_as.as_ref().map(|path| path.to_string_lossy()),
        "set_aside": set_aside.collect::<Vec<_>>(),
    })
}
