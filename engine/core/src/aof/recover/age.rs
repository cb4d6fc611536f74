//! Is this the log that must be here? The state file knows the last epoch, `dump.rdb` where the log
//! stood when it was saved; a log that is older than either has lost what was acknowledged (I9).
//! What another server wrote has no position, and is not compared.

use std::path::Path;

use serde_json::json;

use super::Note;
use super::files::Files;
use super::ground::Ground;
use super::refusals;
use crate::aof::gate::LogPosition;
use crate::error::Result;

/// Refuse a log that is older than what else is here.
pub fn check(ground: &Ground, files: &Files, is_foreign: bool) -> Result<()> {
    let end = files.end();
    let rdb = ground.rdb.as_ref().map(|rdb| rdb.position);
    if let (Some(Some(saved)), Some(end)) = (rdb, end)
        && saved > end
    {
        return Err(refusals::older_than_rdb(&ground.layout, saved, end));
    }
    let Some(state) = &ground.state else { return Ok(()) };
    let last = end.map_or(0, |end| end.epoch);
    if state.is_log_on {
        // Another server that rewrites the log leaves no line of ours in it.
        let has_no_lines = end.is_none() && is_foreign;
        if last < state.last_epoch && !has_no_lines {
            return Err(refusals::older_than_state(&ground.layout, state.last_epoch, end));
        }
        return Ok(());
    }
    // The log was off when the server last ran, so only the RDB file can hold what happened then;
    // unless the log was begun after that, and a crash came before the state file could say so.
    let was_begun_since = last > state.last_epoch;
    let is_in_log = |saved: Option<LogPosition>| saved.is_some() && saved <= end;
    match rdb {
        Some(saved) if !was_begun_since && !is_in_log(saved) => {
            Err(refusals::log_was_off(&ground.layout))
        }
        _ => Ok(()),
    }
}

/// Somebody put a `dump.rdb` here after the log was last written to, and it does not count: that
/// is how a backup is put back without a log.
pub fn note_newer_rdb(ground: &Ground, files: &Files) -> Option<Note> {
    let rdb = ground.rdb.as_ref().filter(|rdb| rdb.position.is_none())?;
    let changed = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    let last = files.paths().iter().filter_map(|path| changed(path)).max()?;
    let path = rdb.path.display().to_string();
    (changed(&rdb.path)? > last).then(|| Note::warning("rdb_not_loaded", json!({"path": path})))
}

/// The log goes on behind the place where our last orderly stop left it.
pub fn is_longer_than_at_stop(ground: &Ground, files: &Files) -> bool {
    let ended = ground.state.as_ref().and_then(|state| state.ended);
    let (Some(ended), Some(end)) = (ended, files.end()) else { return false };
    ended.epoch == end.epoch && end.offset > ended.offset
}

/// The highest epoch that was ever seen here.
pub fn last_epoch(ground: &Ground, files: &Files) -> u64 {
    let told = ground.state.as_ref().map(|state| state.last_epoch);
    let seen = [ground.rdb_position(), files.end()].into_iter().flatten().map(|it| it.epoch);
    seen.chain(told).max().unwrap_or(0)
}
