//! The sections of INFO that count: stats, commandstats, errorstats, latencystats. All fields of
//! Redis 7.0 but those that tests/integration/test_info.py lists with their reasons.

use std::sync::atomic::{AtomicU64, Ordering};

use super::info::Fields;
use crate::command::Cx;

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Fields of `stats`.
pub fn stats(cx: &Cx<'_>) -> String {
    let stats = &cx.shared.stats;
    let counters = &stats.counters;
    let mut fields = Fields::new();
    fields
        .add("total_connections_received", of(&counters.connections_total))
        .add("total_commands_processed", of(&counters.commands_total))
        .add("instantaneous_ops_per_sec", of(&counters.commands_per_second));
    traffic(&mut fields, cx);
    fields
        .add("rejected_connections", of(&counters.rejected_connections_total))
        .zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"])
        .add("expired_keys", of(&counters.expired_keys_total));
    if !stats.is_expiry_behind.load(Ordering::Relaxed) {
        // The cycle finds and deletes all that is due. When it was cut short nobody knows.
        fields.add("expired_stale_perc", "0.00");
    }
    fields
        .add("expired_time_cap_reached_count", of(&counters.expire_cycle_cut_short_total))
        .add("expire_cycle_cpu_milliseconds", of(&counters.expire_cycle_us_total) / 1000)
        .add("evicted_keys", of(&counters.evicted_keys_total))
        .zeros(&[
            "evicted_clients",
            "total_eviction_exceeded_time",
            "current_eviction_exceeded_time",
        ])
        .add("keyspace_hits", of(&counters.keyspace_hits_total))
        .add("keyspace_misses", of(&counters.keyspace_misses_total))
        .zeros(&["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"])
        .add("latest_fork_usec", of(&stats.last_fork_us))
        .add("total_forks", of(&counters.forks_total))
        .zeros(&[
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
            "tracking_total_keys",
            "tracking_total_items",
            "tracking_total_prefixes",
            "unexpected_error_replies",
        ])
        .add("total_error_replies", error_replies(cx))
        .zeros(&["dump_payload_sanitizations"])
        .add("total_reads_processed", of(&counters.reads_total))
        .add("total_writes_processed", of(&counters.writes_total))
        .add("io_threaded_reads_processed", of(&counters.reads_beside_total))
        .add("io_threaded_writes_processed", of(&counters.writes_beside_total));
    fields.text()
}

fn traffic(fields: &mut Fields, cx: &Cx<'_>) {
    let counters = &cx.shared.stats.counters;
    let kilobytes = |bytes: &AtomicU64| format!("{:.2}", of(bytes) as f64 / 1024.0);
    fields
        .add("total_net_input_bytes", of(&counters.net_input_bytes_total))
        .add("total_net_output_bytes", of(&counters.net_output_bytes_total))
        .zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"])
        .add("instantaneous_input_kbps", kilobytes(&counters.input_bytes_per_second))
        .add("instantaneous_output_kbps", kilobytes(&counters.output_bytes_per_second))
        .add("instantaneous_input_repl_kbps", "0.00")
        .add("instantaneous_output_repl_kbps", "0.00");
}

/// Error replies, those of the batch under way among them.
fn error_replies(cx: &Cx<'_>) -> u64 {
    of(&cx.shared.stats.counters.error_replies_total) + cx.reply.errors
}

/// Fields of `commandstats`: one for each command that was called.
pub fn commandstats(cx: &Cx<'_>) -> String {
    let figures = &cx.state.figures;
    let scale = figures.ticks_a_microsecond();
    let mut fields = Fields::new();
    for (spec, it) in figures.commands() {
        let us = it.ticks as f64 / scale;
        let us_per_call = if it.calls == 0 { 0.0 } else { us / it.calls as f64 };
        let value = format!(
            "calls={},usec={},usec_per_call={us_per_call:.2},rejected_calls={},failed_calls={}",
            it.calls, us as u64, it.rejected, it.failed
        );
        fields.add(&format!("cmdstat_{}", spec.name), value);
    }
    fields.text()
}

/// Fields of `errorstats`: one for each first word of an error.
pub fn errorstats(cx: &Cx<'_>) -> String {
    let mut fields = Fields::new();
    for (word, count) in cx.state.figures.errors() {
        let name = format!("errorstat_{}", String::from_utf8_lossy(word));
        fields.add(&name, format!("count={count}"));
    }
    fields.text()
}

/// Fields of `latencystats`: the percentiles that `latency-tracking-info-percentiles` names, of
/// each command that was called.
pub fn latencystats(cx: &Cx<'_>) -> String {
    let (figures, config) = (&cx.state.figures, &cx.state.config);
    let mut fields = Fields::new();
    if !config.latency_tracking {
        return fields.text();
    }
    let scale = figures.ticks_a_microsecond();
    for (spec, it) in figures.commands().filter(|(_, it)| it.latencies.calls() > 0) {
        let percentile = |percent: &f64| {
            let us = it.latencies.percentile(*percent) as f64 / scale;
            format!("p{percent}={us:.3}")
        };
        let all: Vec<String> = config.latency_percentiles.iter().map(percentile).collect();
        fields.add(&format!("latency_percentiles_usec_{}", spec.name), all.join(","));
    }
    fields.text()
}
