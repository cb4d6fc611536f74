//! Figures that may be read without the engine lock: plain atomics, written by whoever knows (relaxed order).
//! `cron` mirrors what lives under the lock (keys, memory) into them ten times a second.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering};

use std::sync::Arc;

use parking_lot::Mutex;

use crate::aof::LogFigures;
use crate::grpc::RpcFigures;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters and gauges as unsigned numbers.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: AtomicU64),* }
    };
}

counters! {
    /// Commands executed.
    commands_total,
    /// Connections accepted.
    connections_total,
    /// Connections refused (maxclients).
    rejected_connections_total,
    /// Connected clients.
    clients,
    /// Clients that wait (writes paused).
    blocked_clients,
    /// Keys removed because their time was over.
    expired_keys_total,
    /// Keys removed for memory (no eviction yet: always 0).
    evicted_keys_total,
    /// Reads that found their key.
    keyspace_hits_total,
    /// Reads that did not.
    keyspace_misses_total,
    /// Bytes read from clients.
    net_input_bytes_total,
    /// Bytes sent to clients.
    net_output_bytes_total,
    /// Reads from sockets.
    reads_total,
    /// Those of them that another loop than the first made.
    reads_beside_total,
    /// Writes to sockets.
    writes_total,
    /// Those of them that another loop than the first made.
    writes_beside_total,
    /// Error replies.
    error_replies_total,
    /// Bytes of keyspace memory.
    used_memory_bytes,
    /// Highest value of it.
    used_memory_peak_bytes,
    /// Resident bytes of the process.
    used_memory_rss_bytes,
    /// Changes since the last save.
    dirty,
    /// Forks made.
    forks_total,
    /// Copy-on-write bytes of the last child.
    cow_bytes_last,
    /// Commands a second, lately.
    commands_per_second,
    /// Bytes read a second, lately.
    input_bytes_per_second,
    /// Bytes sent a second, lately.
    output_bytes_per_second,
    /// Time spent on deleting keys whose time was over, microseconds.
    expire_cycle_us_total,
    /// Turns of the expiry cycle that ended at their bound, with more to delete.
    expire_cycle_cut_short_total,
    /// Keys that the running child is to write; 0 without one.
    child_keys_total,
    /// Keys that it has written.
    child_keys_written,
    /// Keys that the last load of `dump.rdb` gave.
    load_keys_loaded,
    /// Keys that it left out, since their time was over.
    load_keys_expired,
    /// Commands that the last load replayed from a log.
    load_commands,
    /// Time that it took, microseconds.
    load_us,
    /// Bytes of the log's torn tail that it cut off.
    load_torn_bytes,
    /// Bytes of the allocator's memory that sit on huge pages; refreshed every few seconds.
    huge_pages_bytes,
    /// Bytes that were put back on huge pages after a child.
    collapsed_bytes_total,
    /// Blocks that could not be put back, and threads for it that did not start.
    collapse_failures_total,
    /// Bytes to load.
    loading_total_bytes,
    /// Bytes loaded.
    loading_loaded_bytes,
}

/// All that can be read from any thread at any time.
#[derive(Debug, Default)]
pub struct Stats {
    /// Plain numbers.
    pub counters: Counters,
    /// Unix seconds of the last save of `dump.rdb` (or the start).
    pub last_save_unix_s: AtomicI64,
    /// Unix ms of the oldest change that no save holds, or 0.
    pub unsaved_since_unix_ms: AtomicI64,
    /// Whether the last background save succeeded.
    pub is_last_bgsave_failed: AtomicBool,
    /// Whether a save child that writes `dump.rdb` runs.
    pub is_bgsave_running: AtomicBool,
    /// Whether the data set is being loaded.
    pub is_loading: AtomicBool,
    /// Whether the expiry cycle's last turn was cut short.
    pub is_expiry_behind: AtomicBool,
    /// Port of the RESP door, as it was bound.
    pub resp_port: AtomicU16,
    /// Whether writes wait for a commit.
    pub are_writes_paused: AtomicBool,
    /// Keys and keys with an expiry, by database.
    pub databases: Mutex<Vec<(u64, u64)>>,
    /// Duration of forks in seconds, by purpose (`bgsave`, `cut`, `safety`).
    pub forks: Mutex<Vec<(&'static str, Histogram)>>,
    /// The last fork, microseconds.
    pub last_fork_us: AtomicU64,
    /// Calls on the data door.
    pub rpc: RpcFigures,
    /// What the log in files does.
    pub log: Arc<LogFigures>,
    /// Its sizes and rewrites.
    pub growth: Mutex<GrowthFigures>,
}

/// How the log has grown, as `aof::growth` has it under the lock.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrowthFigures {
    /// Bytes of all files but the one that is written to.
    pub settled_bytes: u64,
    /// Bytes after the last rewrite or load.
    pub base_bytes: u64,
    /// Rewrites that ended well, and that failed.
    pub ended_total: [u64; 2],
    /// Whether one runs.
    pub is_rewriting: bool,
    /// Seconds that the last one took, if there was one.
    pub last_seconds: Option<f64>,
}

/// Upper edges of duration histograms, seconds: 1-2.5-5 steps from 100 us to 10 s.
pub const DURATION_EDGES_SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Counts by edge (not cumulative; the last is above every edge), sum and count.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// One count for each edge and one above.
    pub buckets: [u64; DURATION_EDGES_SECONDS.len() + 1],
    /// Sum of the values, seconds.
    pub sum_seconds: f64,
    /// Number of values.
    pub count: u64,
}

impl Histogram {
    /// Add one value.
    pub fn observe(&mut self, seconds: f64) {
        let at = DURATION_EDGES_SECONDS.partition_point(|edge| *edge < seconds);
        self.buckets[at] += 1;
        self.sum_seconds += seconds;
        self.count += 1;
    }
}

impl Stats {
    /// Count one fork.
    pub fn observe_fork(&self, purpose: &'static str, seconds: f64) {
        self.counters.forks_total.fetch_add(1, Ordering::Relaxed);
        self.last_fork_us.store((seconds * 1e6) as u64, Ordering::Relaxed);
        let mut forks = self.forks.lock();
        match forks.iter_mut().find(|(name, _)| *name == purpose) {
            Some((_, histogram)) => histogram.observe(seconds),
            None => {
                let mut histogram = Histogram::default();
                histogram.observe(seconds);
                forks.push((purpose, histogram));
            }
        }
    }
}
