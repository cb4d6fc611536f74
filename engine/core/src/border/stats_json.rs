//! `Engine.stats`: the lock-free figures as the JSON object that `sidecar/_engine.pyi` documents.
//! Never takes the engine lock.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::state::Shared;
use crate::stats::Stats;

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
    let of = |histogram: &crate::stats::Histogram| {
        json!({
            "buckets": histogram.buckets.to_vec(),
            "sum": histogram.sum_seconds,
            "count": histogram.count,
        })
    };
    stats.forks.lock().iter().map(|(name, it)| ((*name).to_owned(), of(it))).collect()
}
