//! Loading: DEBUG RELOAD, and beside the live data for a restore; at a start: `boot`. A load never
//! touches the live keyspace; it is switched in whole, under the lock, or not at all (I6, I9).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::cut::check_ready;
use super::report::summary_json;
use super::save::{end_bgsave, mirror, note_all_saved, save_now};
use super::stage::Stages;
use super::table::{Job, cancelled};
use crate::command::Cx;
use crate::error::{EngineError, Result};
use crate::keyspace::Keyspace;
use crate::rdb::{self, LoadOptions};
use crate::reclaim::drop_elsewhere;
use crate::state::{Shared, State};

/// DEBUG RELOAD [NOSAVE]: save (unless told not to), load the file into a new keyspace, switch.
/// Under the lock.
///
/// # Errors
/// As saving and loading; the old data stays. `CHILD_BUSY` while a restore is being committed,
/// `ENGINE_NOT_READY`.
pub fn reload(cx: &mut Cx<'_>, is_saving: bool) -> Result<()> {
    // While nothing is loaded, a save would replace what is on disk by nothing (I9).
    check_ready(cx.shared)?;
    if cx.state.save.are_children_barred {
        return Err(crate::snapshot::child_busy(&cx.state.save));
    }
    if is_saving {
        save_now(cx.state, cx.shared)?;
    } else if cx.shared.log.file().is_some() {
        return Err(log_would_differ());
    }
    let config = &cx.state.config;
    let progress = &mut |_, _| true;
    let options = LoadOptions {
        packing: config.packing,
        expire_before_ms: Some(cx.now_ms),
        ..LoadOptions::new(config.databases, progress)
    };
    let (keyspace, summary) = rdb::load(&config.rdb_path(), options)?;
    end_bgsave(cx.state); // of the data that goes now
    drop_elsewhere(switch(cx.state, keyspace));
    note_all_saved(cx.state, cx.shared);
    note_loaded(cx.state, cx.shared, &summary);
    mirror(cx.state, cx.shared);
    Ok(())
}

fn log_would_differ() -> EngineError {
    EngineError::new(
        "LOG_BUSY",
        "DEBUG RELOAD NOSAVE would part the data from the append-only file",
        "Use DEBUG RELOAD, or set appendonly no first.",
    )
}

/// What INFO says of the last load.
pub(super) fn note_loaded(state: &State, shared: &Shared, summary: &rdb::Summary) {
    let counters = &shared.stats.counters;
    counters.load_keys_loaded.store(state.keyspace.len() as u64, Ordering::Relaxed);
    counters.load_keys_expired.store(summary.expired_skipped, Ordering::Relaxed);
}

/// Put `keyspace` in place of the live one and dirty everybody who watches a key. Gives the old
/// one.
pub fn switch(state: &mut State, keyspace: Keyspace) -> Keyspace {
    state.effects.touch_where(|_, _| true);
    std::mem::replace(&mut state.keyspace, keyspace)
}

/// Parse `path` into a staged keyspace. The result is VERIFY with the stage.
///
/// # Errors
/// `STAGE_BUSY`, `ENGINE_NOT_READY`, `RDB_...`, `CANCELLED`, I/O codes. No stage is left then.
pub fn load_beside(shared: &Arc<Shared>, job: &Job, stages: &Stages, path: &Path) -> Result<Value> {
    check_ready(shared)?;
    stages.reserve()?;
    let loaded = load_for(shared, job, path);
    let (keyspace, summary) = loaded.inspect_err(|_| stages.free())?;
    let memory_bytes = keyspace.memory_bytes() as u64;
    let mut result = summary_json(&summary);
    if let Value::Object(fields) = &mut result {
        fields.insert("memory_bytes".to_owned(), memory_bytes.into());
        fields.insert("expired_skipped".to_owned(), summary.expired_skipped.into());
        fields.insert("stage".to_owned(), stages.hold(keyspace).into());
    }
    Ok(result)
}

fn load_for(shared: &Shared, job: &Job, path: &Path) -> Result<(Keyspace, rdb::Summary)> {
    let (databases, packing) = {
        let config = &shared.state.lock().config;
        (config.databases, config.packing)
    };
    let mut progress = |done: u64, total: u64| {
        shared.events.progress(job.id, "load", done, total);
        !job.is_cancelled()
    };
    let expire_before_ms = Some(shared.clock.unix_ms());
    let is_digested = true;
    let progress = &mut progress;
    let options = LoadOptions {
        packing,
        expire_before_ms,
        is_digested,
        ..LoadOptions::new(databases, progress)
    };
    let loaded = rdb::load(path, options);
    if job.is_cancelled() { Err(cancelled()) } else { loaded }
}

/// Free a staged keyspace, on the thread that only frees.
///
/// # Errors
/// `STAGE_NOT_FOUND`, `STAGE_BUSY`.
pub fn discard(stages: &Stages, stage: u64) -> Result<Value> {
    let keyspace = stages.take(stage)?;
    drop_elsewhere(keyspace);
    stages.free();
    Ok(json!({}))
}
