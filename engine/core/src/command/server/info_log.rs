//! The fields of INFO's `persistence` that tell of the log: rewrites, sizes, what waits. Names and
//! order are Redis's.

use std::sync::atomic::Ordering::Relaxed;

use super::info::Fields;
use crate::command::Cx;

/// Fields that are there whether or not a log is.
pub fn rewrites(cx: &Cx<'_>, fields: &mut Fields) {
    let growth = &cx.state.growth;
    let is_rewriting = growth.is_rewriting();
    let current_seconds =
        if is_rewriting { (cx.now_ms / 1000 - growth.began_unix_s).max(0) } else { -1 };
    let status = |is_bad: bool| if is_bad { "err" } else { "ok" };
    fields
        .add("aof_enabled", u8::from(cx.state.config.appendonly))
        .add("aof_rewrite_in_progress", u8::from(is_rewriting))
        .add("aof_rewrite_scheduled", u8::from(growth.is_scheduled))
        .add("aof_last_rewrite_time_sec", growth.last_seconds)
        .add("aof_current_rewrite_time_sec", current_seconds)
        .add("aof_last_bgrewrite_status", status(growth.is_last_failed))
        .add("aof_rewrites", growth.rewrites_total)
        .add("aof_rewrites_consecutive_failures", growth.failures)
        .add("aof_last_write_status", status(cx.shared.gate.has_failed()))
        .add("aof_last_cow_size", growth.last_cow_bytes);
}

/// Fields of a log that is on.
pub fn sizes(cx: &Cx<'_>, fields: &mut Fields) {
    let (growth, figures) = (&cx.state.growth, &cx.shared.stats.log);
    let Some(log) = cx.shared.log.file().filter(|_| cx.state.config.appendonly) else { return };
    fields
        .add("aof_current_size", growth.settled_bytes + log.size_bytes())
        .add("aof_base_size", growth.base_bytes)
        .add("aof_pending_rewrite", 0)
        .add("aof_buffer_length", figures.buffered_bytes.load(Relaxed))
        .add("aof_pending_bio_fsync", u8::from(figures.is_fsync_running.load(Relaxed)))
        .add("aof_delayed_fsync", figures.delayed_fsyncs_total.load(Relaxed));
}
