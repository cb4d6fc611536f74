//! `Engine.stats`: the lock-free figures as the JSON object that `sidecar/_engine.pyi` documents.
//! Never takes the engine lock.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::state::Shared;
use crate::stats::{Histogram, Stats};

/// Render all figures; `state` is the engine's phase.
pub fn render(shared: &Shared, state: &str) -> Value {
    let stats = &shared.stats;
    let Value::Object(mut document) = counters(stats) else { return Value::Null };
    let (keys, expires) = databases(stats);
    let last_fork_seconds = stats.last_fork_us.load(Ordering::Relaxed) as f64 / 1e6;
    let unsaved_since = stats.unsaved_since_unix_ms.load(Ordering::Relaxed);
    let is_failed = stats.is_last_bgsave_failed.load(Ordering::Relaxed);
    let rest = json!({
        "state": state,
        "uptime_seconds": shared.clock.uptime_seconds(),
        "keys": keys,
        "expires": expires,
        "last_save_unix_s": stats.last_save_unix_s.load(Ordering::Relaxed),
        "last_bgsave_status": if is_failed { "err" } else { "ok" },
        "bgsave_in_progress": stats.is_bgsave_running.load(Ordering::Relaxed),
        "fork_histogram": forks(stats),
        "last_fork_seconds": last_fork_seconds,
        "loading": {
            "total_bytes": stats.counters.loading_total_bytes.load(Ordering::Relaxed),
            "loaded_bytes": stats.counters.loading_loaded_bytes.load(Ordering::Relaxed),
        },
        "last_load": last_load(stats),
        "log": log(shared),
        "rpc": rpc(stats),
        "writes_paused": stats.are_writes_paused.load(Ordering::Relaxed),
        "log_failed": shared.gate.has_failed(),
        "unsaved_since_unix_ms": (unsaved_since != 0).then_some(unsaved_since),
    });
    if let Value::Object(rest) = rest {
        document.extend(rest);
    }
    Value::Object(document)
}

fn counters(stats: &Stats) -> Value {
    let counters = &stats.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "clients": read(&counters.clients),
        "blocked_clients": read(&counters.blocked_clients),
        "used_memory_bytes": read(&counters.used_memory_bytes),
        "used_memory_rss_bytes": read(&counters.used_memory_rss_bytes),
        "huge_pages_bytes": read(&counters.huge_pages_bytes),
        "collapsed_bytes_total": read(&counters.collapsed_bytes_total),
        "collapse_failures_total": read(&counters.collapse_failures_total),
        "commands_total": read(&counters.commands_total),
        "connections_total": read(&counters.connections_total),
        "rejected_connections_total": read(&counters.rejected_connections_total),
        "expired_keys_total": read(&counters.expired_keys_total),
        "evicted_keys_total": read(&counters.evicted_keys_total),
        "keyspace_hits_total": read(&counters.keyspace_hits_total),
        "keyspace_misses_total": read(&counters.keyspace_misses_total),
        "net_input_bytes_total": read(&counters.net_input_bytes_total),
        "net_output_bytes_total": read(&counters.net_output_bytes_total),
        "dirty": read(&counters.dirty),
        "cow_bytes_last": read(&counters.cow_bytes_last),
    })
}

fn databases(stats: &Stats) -> (Map<String, Value>, Map<String, Value>) {
    let mut keys = Map::new();
    let mut expires = Map::new();
    for (index, (db_keys, db_expires)) in stats.databases.lock().iter().enumerate() {
        if *db_keys > 0 {
            keys.insert(index.to_string(), (*db_keys).into());
            expires.insert(index.to_string(), (*db_expires).into());
        }
    }
    (keys, expires)
}

fn forks(stats: &Stats) -> Map<String, Value> {
    let of = |(name, it): &(&'static str, Histogram)| ((*name).to_owned(), histogram(it));
    stats.forks.lock().iter().map(of).collect()
}

fn histogram(histogram: &Histogram) -> Value {
    json!({
        "buckets": histogram.buckets.to_vec(),
        "sum": histogram.sum_seconds,
        "count": histogram.count,
    })
}

/// Calls on the data door.
fn rpc(stats: &Stats) -> Value {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = stats.rpc.read().into_iter().map(|it| {
        let codes: Map<String, Value> =
            it.codes.into_iter().map(|(code, count)| (code, count.into())).collect();
        let durations = histogram(&it.durations);
        (it.name.to_owned(), json!({"codes": codes, "duration_histogram": durations}))
    });
    json!({
        "methods": counts.collect::<Map<String, Value>>(),
        "connections": read(&stats.rpc.connections),
        "accepted_total": read(&stats.rpc.accepted_total),
        "refused_total": read(&stats.rpc.refused_total),
    })
}

fn last_load(stats: &Stats) -> Value {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &stats.counters;
    json!({
        "commands": read(&counters.load_commands),
        "seconds": read(&counters.load_us) as f64 / 1e6,
        "torn_bytes": read(&counters.load_torn_bytes),
    })
}

/// The append-only file. Counters are there without one, too.
fn log(shared: &Shared) -> Value {
    let figures = &shared.stats.log;
    let growth = *shared.stats.growth.lock();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let file = shared.log.file().filter(|log| log.is_in_force());
    let position = |offset| {
        let found = file.as_ref().and_then(|_| shared.gate.log_position(offset));
        found.map(|it| json!({"epoch": it.epoch, "offset": it.offset}))
    };
    json!({
        "is_on": file.is_some(),
        "position": position(shared.gate.appended()),
        "fsynced_position": position(shared.gate.proven()),
        "fsync_lag_seconds": figures.fsync_lag().as_secs_f64(),
        "fsync_histogram": histogram(&figures.fsync.read()),
        "write_to_fsync_histogram": histogram(&figures.write_to_fsync.read()),
        "unsynced_bytes": read(&figures.unsynced_bytes),
        "buffered_bytes": read(&figures.buffered_bytes),
        "writes_total": read(&figures.writes_total),
        "ring_fsyncs_total": read(&figures.ring_fsyncs_total),
        "delayed_fsyncs_total": read(&figures.delayed_fsyncs_total),
        "errors": {
            "disk_full": read(&figures.disk_full_errors_total),
            "write": read(&figures.write_errors_total),
            "fsync": read(&figures.fsync_errors_total),
        },
        "size_bytes": growth.settled_bytes + read(&figures.file_bytes),
        "base_size_bytes": growth.base_bytes,
        "incremental_size_bytes": read(&figures.file_bytes),
        "rewrites": {
            "ok": growth.ended_total[0],
            "failed": growth.ended_total[1],
            "in_progress": growth.is_rewriting,
            "last_seconds": growth.last_seconds,
        },
    })
}
