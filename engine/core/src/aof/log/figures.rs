//! What the log in files does, as numbers that anybody reads without a lock: how long fsyncs take,
//! how old the oldest write is that no fsync holds yet, what failed. Written by the log, shown by
//! INFO and the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::stats::{DURATION_EDGES_SECONDS, Histogram};

/// A histogram of durations that is written and read without a lock.
#[derive(Debug, Default)]
pub struct DurationCounts {
    buckets: [AtomicU64; DURATION_EDGES_SECONDS.len() + 1],
    sum_ns: AtomicU64,
    count: AtomicU64,
}

impl DurationCounts {
    /// Add one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let at = DURATION_EDGES_SECONDS.partition_point(|edge| *edge < seconds);
        self.buckets[at].fetch_add(1, Relaxed);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    /// A copy; what is being added meanwhile may be in it in part.
    pub fn read(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Relaxed)),
            sum_seconds: self.sum_ns.load(Relaxed) as f64 / 1e9,
            count: self.count.load(Relaxed),
        }
    }
}

/// The log's figures.
#[derive(Debug)]
pub struct LogFigures {
    /// How long an fsync took.
    pub fsync: DurationCounts,
    /// At each fsync: the age of the oldest write that it made durable.
    pub write_to_fsync: DurationCounts,
    /// Fsyncs of the commit ring, in place of the file's (`always`).
    pub ring_fsyncs_total: AtomicU64,
    /// Writes to the file (system calls).
    pub writes_total: AtomicU64,
    /// Fsyncs that took so long that replies waited for them (`aof_delayed_fsync`).
    pub delayed_fsyncs_total: AtomicU64,
    /// Writes that failed since the disk is full.
    pub disk_full_errors_total: AtomicU64,
    /// Writes that failed for another reason.
    pub write_errors_total: AtomicU64,
    /// Fsyncs that failed.
    pub fsync_errors_total: AtomicU64,
    /// Bytes that were appended and are not fsynced.
    pub unsynced_bytes: AtomicU64,
    /// Bytes that were appended and are not written (`aof_buffer_length`).
    pub buffered_bytes: AtomicU64,
    /// Bytes of the file that the log writes to now.
    pub file_bytes: AtomicU64,
    /// Whether an fsync runs (`aof_pending_bio_fsync`).
    pub is_fsync_running: AtomicBool,
    /// Whether the last write failed and has not succeeded since (`aof_last_write_status`).
    pub is_write_failing: AtomicBool,
    /// Microseconds from `started` to the oldest write that no fsync holds, 0 without one.
    unsynced_since_us: AtomicU64,
    started: Instant,
}

impl Default for LogFigures {
    fn default() -> Self {
        Self {
            fsync: DurationCounts::default(),
            write_to_fsync: DurationCounts::default(),
            ring_fsyncs_total: AtomicU64::default(),
            writes_total: AtomicU64::default(),
            delayed_fsyncs_total: AtomicU64::default(),
            disk_full_errors_total: AtomicU64::default(),
            write_errors_total: AtomicU64::default(),
            fsync_errors_total: AtomicU64::default(),
            unsynced_bytes: AtomicU64::default(),
            buffered_bytes: AtomicU64::default(),
            file_bytes: AtomicU64::default(),
            is_fsync_running: AtomicBool::default(),
            is_write_failing: AtomicBool::default(),
            unsynced_since_us: AtomicU64::default(),
            started: Instant::now(),
        }
    }
}

impl LogFigures {
    /// How old the oldest acknowledged write is that no fsync holds yet; zero when all is on disk.
    pub fn fsync_lag(&self) -> Duration {
        match self.unsynced_since_us.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.started.elapsed().saturating_sub(Duration::from_micros(since)),
        }
    }

    /// The oldest write that no fsync holds was made then; `None`: all is on disk.
    pub(super) fn set_unsynced_since(&self, since: Option<Instant>) {
        let us = since.map_or(0, |since| {
            let us = since.saturating_duration_since(self.started).as_micros();
            u64::try_from(us).unwrap_or(u64::MAX).max(1)
        });
        self.unsynced_since_us.store(us, Relaxed);
    }
}
