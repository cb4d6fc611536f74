//! The fields of INFO that say how things are, with Redis's names (redis_exporter and client
//! libraries read them); what counts stands in `info_figures`. What does not exist here is zero, as
//! Redis shows it without it. Fields that would have to be made up are left out:
//! tests/integration/test_info.py lists them with their reasons.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::info::Fields;
use super::info_log;
use crate::command::Cx;
use crate::command::connection::session::REDIS_VERSION;
use crate::reclaim::dropped_elsewhere;

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
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
        .add("os", operating_system())
        .add("arch_bits", usize::BITS)
        .add("monotonic_clock", "POSIX clock_gettime")
        .add("multiplexing_api", "epoll")
        .add("process_id", std::process::id())
        .add("process_supervised", "no")
        .add("run_id", &cx.shared.run_id)
        .add("tcp_port", cx.shared.stats.resp_port.load(Ordering::Relaxed))
        .add("server_time_usec", cx.shared.clock.unix_us())
        .add("uptime_in_seconds", uptime)
        .add("uptime_in_days", uptime / 86_400)
        .add("hz", config.hz)
        .add("configured_hz", config.hz)
        .add("lru_clock", (cx.now_ms / 1000) & 0xff_ffff)
        .add("executable", std::env::current_exe().unwrap_or_default().display())
        .add("config_file", config.file.as_deref().unwrap_or(Path::new("")).display())
        .add("io_threads_active", u8::from(config.io_threads > 1));
    fields.text()
}

/// `Linux 6.1.0 x86_64`.
fn operating_system() -> String {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim_end().to_owned()
    };
    format!("{} {} {}", read("ostype"), read("osrelease"), std::env::consts::ARCH)
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
    fields.text()
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
        .bytes("total_system_memory", proc_bytes("/proc/meminfo", "MemTotal"));
    script_memory(&mut fields);
    let buffers: u64 =
        cx.state.clients.values().map(|it| of(&it.query_bytes) + of(&it.output_bytes)).sum();
    let (waiting, freed) = dropped_elsewhere();
    fields
        .bytes("maxmemory", 0)
        .add("maxmemory_policy", "noeviction")
        .add("mem_fragmentation_ratio", format!("{ratio:.2}"))
        .add("mem_fragmentation_bytes", rss.saturating_sub(used))
        .zeros(&[
            "mem_not_counted_for_evict",
            "mem_replication_backlog",
            "mem_total_replication_buffers",
            "mem_clients_slaves",
        ])
        .add("mem_clients_normal", buffers)
        .zeros(&["mem_cluster_links"])
        .add("mem_aof_buffer", of(&cx.shared.stats.log.buffered_bytes))
        .add("mem_allocator", "mimalloc")
        .zeros(&["active_defrag_running"])
        .add("lazyfree_pending_objects", waiting)
        .add("lazyfreed_objects", freed);
    fields.text()
}

/// There are neither scripts nor functions.
fn script_memory(fields: &mut Fields) {
    fields
        .add("used_memory_lua", 0)
        .add("used_memory_vm_eval", 0)
        .add("used_memory_lua_human", "0B")
        .zeros(&[
            "used_memory_scripts_eval",
            "number_of_cached_scripts",
            "number_of_functions",
            "number_of_libraries",
            "used_memory_vm_functions",
        ])
        .bytes("used_memory_vm_total", 0)
        .add("used_memory_functions", 0)
        .bytes("used_memory_scripts", 0);
}

/// Fields of `persistence`.
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
    let total = of(&stats.counters.child_keys_total);
    let written = of(&stats.counters.child_keys_written);
    let current_seconds =
        if is_saving { (cx.now_ms / 1000 - save.last_attempt_unix_s).max(0) } else { -1 };
    fields
        .add("current_fork_perc", format!("{:.2}", written as f64 * 100.0 / total.max(1) as f64))
        .add("current_save_keys_processed", written)
        .add("current_save_keys_total", total)
        .add("rdb_changes_since_last_save", cx.state.effects.dirty)
        .add("rdb_bgsave_in_progress", u8::from(is_saving))
        .add("rdb_last_save_time", save.last_save_unix_s)
        .add("rdb_last_bgsave_status", if save.is_last_bgsave_failed { "err" } else { "ok" })
        .add("rdb_last_bgsave_time_sec", save.last_bgsave_seconds)
        .add("rdb_current_bgsave_time_sec", current_seconds)
        .add("rdb_saves", save.saves_total)
        .add("rdb_last_cow_size", of(&stats.counters.cow_bytes_last))
        .add("rdb_last_load_keys_expired", of(&stats.counters.load_keys_expired))
        .add("rdb_last_load_keys_loaded", of(&stats.counters.load_keys_loaded));
    info_log::rewrites(cx, &mut fields);
    fields.zeros(&["module_fork_in_progress", "module_fork_last_cow_size"]);
    info_log::sizes(cx, &mut fields);
    fields.text()
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
    fields.text()
}

/// Fields of `cpu`. The loop that answers stands for Redis's main thread.
pub fn cpu(_cx: &Cx<'_>) -> String {
    let (whole, children) = (used_cpu(libc::RUSAGE_SELF), used_cpu(libc::RUSAGE_CHILDREN));
    let thread = used_cpu(libc::RUSAGE_THREAD);
    let mut fields = Fields::new();
    fields
        .add("used_cpu_sys", &whole.1)
        .add("used_cpu_user", &whole.0)
        .add("used_cpu_sys_children", &children.1)
        .add("used_cpu_user_children", &children.0)
        .add("used_cpu_sys_main_thread", &thread.1)
        .add("used_cpu_user_main_thread", &thread.0);
    fields.text()
}

/// Seconds in user and kernel mode.
#[allow(unsafe_code)] // a system call that fills a plain struct
fn used_cpu(who: i32) -> (String, String) {
    // SAFETY: plain old data, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: fills the struct, which is ours; an unknown `who` leaves it as it is.
    unsafe { libc::getrusage(who, &raw mut usage) };
    let text = |time: libc::timeval| format!("{}.{:06}", time.tv_sec, time.tv_usec);
    (text(usage.ru_utime), text(usage.ru_stime))
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
            let ttl_ms = db.mean_ttl_ms(cx.now_ms);
            let value = format!("keys={},expires={},avg_ttl={ttl_ms}", db.len(), db.expires_len());
            fields.add(&format!("db{index}"), value);
        }
    }
    fields.text()
}
