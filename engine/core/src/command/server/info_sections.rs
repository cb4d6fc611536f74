//! The fields of INFO, with Redis's names (redis_exporter and client libraries read them). Fields
//! of things that do not exist here are given where readers expect them, as zero.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::Cx;
use crate::command::connection::session::REDIS_VERSION;

/// `name:value` lines.
struct Fields(String);

impl Fields {
    fn new() -> Self {
        Self(String::new())
    }
    fn add(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.0, "{name}:{value}\r\n");
        self
    }
    fn bytes(&mut self, name: &str, bytes: u64) -> &mut Self {
        self.add(name, bytes).add(&format!("{name}_human"), human(bytes))
    }
    fn zeros(&mut self, names: &[&str]) -> &mut Self {
        names.iter().for_each(|name| {
            self.add(name, 0);
        });
        self
    }
}

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// `1.50M` and the like, as Redis prints bytes.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] =
        [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}

/// A section without fields.
pub fn nothing(_cx: &Cx<'_>) -> String {
    String::new()
}

/// Fields of `server`.
pub fn server(cx: &Cx<'_>) -> String {
    let config = &cx.state.config;
    let uptime = cx.shared.clock.uptime_seconds();
    let mut fields = Fields::new();
    fields
        .add("redis_version", REDIS_VERSION)
        .add("redis_git_sha1", "00000000")
        .add("redis_git_dirty", 0)
        .add("redis_build_id", "perdure")
        .add("redis_mode", "standalone")
        .add("perdure_version", env!("CARGO_PKG_VERSION"))
        .add("os", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))
        .add("arch_bits", usize::BITS)
        .add("multiplexing_api", "epoll")
        .add("process_id", std::process::id())
        .add("process_supervised", "no")
        .add("run_id", &cx.shared.run_id)
        .add("tcp_port", config.port)
        .add("server_time_usec", cx.now_ms * 1000)
        .add("uptime_in_seconds", uptime)
        .add("uptime_in_days", uptime / 86_400)
        .add("hz", config.hz)
        .add("configured_hz", config.hz)
        .add("lru_clock", (cx.now_ms / 1000) & 0xff_ffff)
        .add("executable", std::env::current_exe().unwrap_or_default().display())
        .add("config_file", "")
        .add("io_threads_active", u8::from(config.io_threads > 1));
    fields.0
}

/// Fields of `clients`.
pub fn clients(cx: &Cx<'_>) -> String {
    let clients = cx.state.clients.values();
    let largest = |bytes: fn(&crate::session::ClientInfo) -> &AtomicU64| {
        clients.clone().map(|info| of(bytes(info))).max().unwrap_or(0)
    };
    let mut fields = Fields::new();
    fields
        .add("connected_clients", cx.state.clients.len())
        .add("cluster_connections", 0)
        .add("maxclients", cx.state.config.maxclients)
        .add("client_recent_max_input_buffer", largest(|info| &info.query_bytes))
        .add("client_recent_max_output_buffer", largest(|info| &info.output_bytes))
        .add("blocked_clients", of(&cx.shared.stats.counters.blocked_clients))
        .zeros(&["tracking_clients", "clients_in_timeout_table"]);
    fields.0
}

/// A line of a file in /proc such as `MemTotal:  123 kB`, in bytes.
fn proc_bytes(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Fields of `memory`.
pub fn memory(cx: &Cx<'_>) -> String {
    let counters = &cx.shared.stats.counters;
    let used = cx.state.keyspace.memory_bytes() as u64;
    let peak = of(&counters.used_memory_peak_bytes).max(used);
    let rss = proc_bytes("/proc/self/status", "VmRSS");
    let ratio = if used == 0 { 0.0 } else { rss as f64 / used as f64 };
    let mut fields = Fields::new();
    fields
        .bytes("used_memory", used)
        .bytes("used_memory_rss", rss)
        .bytes("used_memory_peak", peak)
        .add("used_memory_peak_perc", format!("{:.2}%", used as f64 * 100.0 / peak.max(1) as f64))
        .zeros(&["used_memory_overhead", "used_memory_startup"])
        .add("used_memory_dataset", used)
        .add("used_memory_dataset_perc", "100.00%")
        .bytes("total_system_memory", proc_bytes("/proc/meminfo", "MemTotal"))
        .bytes("used_memory_lua", 0)
        .bytes("used_memory_scripts", 0)
        .zeros(&["number_of_cached_scripts"])
        .bytes("maxmemory", 0)
        .add("maxmemory_policy", "noeviction")
        .add("mem_fragmentation_ratio", format!("{ratio:.2}"))
        .add("mem_fragmentation_bytes", rss.saturating_sub(used))
        .zeros(&[
            "mem_not_counted_for_evict",
            "mem_replication_backlog",
            "mem_clients_slaves",
            "mem_clients_normal",
            "mem_aof_buffer",
        ])
        .add("mem_allocator", "mimalloc")
        .zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
    fields.0
}

/// Fields of `persistence`. There is no AOF: its fields say so.
pub fn persistence(cx: &Cx<'_>) -> String {
    let (save, stats) = (&cx.state.save, &cx.shared.stats);
    let is_loading = stats.is_loading.load(Ordering::Relaxed);
    let is_saving = save.is_bgsave_running();
    let mut fields = Fields::new();
    fields.add("loading", u8::from(is_loading)).add("async_loading", 0);
    if is_loading {
        let (total, loaded) =
            (of(&stats.counters.loading_total_bytes), of(&stats.counters.loading_loaded_bytes));
        let percent = loaded as f64 * 100.0 / total.max(1) as f64;
        fields
            .add("loading_total_bytes", total)
            .add("loading_loaded_bytes", loaded)
            .add("loading_loaded_perc", format!("{percent:.2}"));
    }
    let current_seconds =
        if is_saving { (cx.now_ms / 1000 - save.last_attempt_unix_s).max(0) } else { -1 };
    fields
        .zeros(&["current_cow_peak", "current_cow_size", "current_cow_size_age"])
        .add("current_fork_perc", "0.00")
        .zeros(&["current_save_keys_processed", "current_save_keys_total"])
        .add("rdb_changes_since_last_save", cx.state.effects.dirty)
        .add("rdb_bgsave_in_progress", u8::from(is_saving))
        .add("rdb_last_save_time", save.last_save_unix_s)
        .add("rdb_last_bgsave_status", if save.is_last_bgsave_failed { "err" } else { "ok" })
        .add("rdb_last_bgsave_time_sec", save.last_bgsave_seconds)
        .add("rdb_current_bgsave_time_sec", current_seconds)
        .add("rdb_last_cow_size", of(&stats.counters.cow_bytes_last))
        .zeros(&["aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"])
        .add("aof_last_rewrite_time_sec", -1)
        .add("aof_current_rewrite_time_sec", -1)
        .add("aof_last_bgrewrite_status", "ok")
        .add("aof_last_write_status", if cx.shared.gate.has_failed() { "err" } else { "ok" })
        .zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    fields.0
}

/// Fields of `stats`.
pub fn stats(cx: &Cx<'_>) -> String {
    let counters = &cx.shared.stats.counters;
    let mut fields = Fields::new();
    fields
        .add("total_connections_received", of(&counters.connections_total))
        .add("total_commands_processed", of(&counters.commands_total))
        .add("instantaneous_ops_per_sec", 0)
        .add("total_net_input_bytes", of(&counters.net_input_bytes_total))
        .add("total_net_output_bytes", of(&counters.net_output_bytes_total))
        .add("instantaneous_input_kbps", "0.00")
        .add("instantaneous_output_kbps", "0.00")
        .add("rejected_connections", of(&counters.rejected_connections_total))
        .zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"])
        .add("expired_keys", of(&counters.expired_keys_total))
        .add("expired_stale_perc", "0.00")
        .zeros(&["expired_time_cap_reached_count"])
        .add("evicted_keys", of(&counters.evicted_keys_total))
        .zeros(&["evicted_clients"])
        .add("keyspace_hits", of(&counters.keyspace_hits_total))
        .add("keyspace_misses", of(&counters.keyspace_misses_total))
        .zeros(&["pubsub_channels", "pubsub_patterns"])
        .add("latest_fork_usec", cx.shared.stats.last_fork_us.load(Ordering::Relaxed))
        .add("total_forks", of(&counters.forks_total))
        .zeros(&[
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "tracking_total_keys",
            "tracking_total_items",
            "tracking_total_prefixes",
            "unexpected_error_replies",
        ])
        .add("total_error_replies", of(&counters.error_replies_total));
    fields.0
}

/// Fields of `replication`: a primary without replicas.
pub fn replication(cx: &Cx<'_>) -> String {
    let mut fields = Fields::new();
    fields
        .add("role", "master")
        .add("connected_slaves", 0)
        .add("master_failover_state", "no-failover")
        .add("master_replid", &cx.shared.run_id)
        .add("master_replid2", "0".repeat(40))
        .add("master_repl_offset", 0)
        .add("second_repl_offset", -1)
        .add("repl_backlog_active", 0)
        .add("repl_backlog_size", 1_048_576)
        .zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
    fields.0
}

/// Fields of `cpu`, from /proc/self/stat in its ticks of 10 ms.
pub fn cpu(_cx: &Cx<'_>) -> String {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold blanks; user time is the 12th word after it.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let words: Vec<&str> = after_name.split_whitespace().collect();
    let seconds = |at: usize| {
        let ticks = words.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        format!("{:.6}", ticks / TICKS_A_SECOND)
    };
    let mut fields = Fields::new();
    fields
        .add("used_cpu_sys", seconds(12))
        .add("used_cpu_user", seconds(11))
        .add("used_cpu_sys_children", seconds(14))
        .add("used_cpu_user_children", seconds(13));
    fields.0
}

/// Fields of `cluster`.
pub fn cluster(_cx: &Cx<'_>) -> String {
    "cluster_enabled:0\r\n".to_owned()
}

/// Fields of `keyspace`: one for each database that holds something.
pub fn keyspace(cx: &Cx<'_>) -> String {
    let mut fields = Fields::new();
    for index in 0..cx.state.keyspace.databases() {
        let db = cx.state.keyspace.db(index);
        if !db.is_empty() {
            let value = format!("keys={},expires={},avg_ttl=0", db.len(), db.expires_len());
            fields.add(&format!("db{index}"), value);
        }
    }
    fields.0
}
