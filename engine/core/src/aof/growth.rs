//! What is known of rewrites of the log, and when one is due: how much the log has grown, how often
//! rewriting failed lately. Pure rules and plain numbers under the engine lock, no clock of their
//! own. What a rewrite does is `job::rewrite`.

use std::time::Duration;

use crate::config::Config;
use crate::stats::GrowthFigures;

/// After so many failures in a row the next attempts wait (Redis: AOF_REWRITE_LIMITE_THRESHOLD).
const FAILURES_FREE: u64 = 3;
/// The longest wait.
const DELAY_MINUTES_MAX: i64 = 60;

/// Longest pause between attempts to replace a failed log.
const REPLACE_PAUSE_SECONDS_MAX: i64 = 30;

/// Who works on the log's files. One at a time: each reads the manifest, and puts another in its
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWork {
    /// A new base.
    Rewrite,
    /// A new base in a new epoch, since an fsync of the log has failed.
    Replace,
    /// `CONFIG SET appendonly yes`.
    SwitchOn,
    /// `CONFIG SET appendonly no`.
    SwitchOff,
    /// The commit of a restore.
    Commit,
}

/// Rewrites. Under the engine lock.
#[derive(Debug)]
pub struct Growth {
    /// Who works on the log's files.
    pub work: Option<LogWork>,
    /// BGREWRITEAOF was asked for while something else was under way.
    pub is_scheduled: bool,
    /// Bytes of the base and of the incrementals but the one that is written to.
    pub settled_bytes: u64,
    /// Bytes of the log after the last rewrite or load: what growth is measured from (Redis
    /// `aof_base_size`).
    pub base_bytes: u64,
    /// Rewrites that were begun since the start.
    pub rewrites_total: u64,
    /// How many failed since the last that did not.
    pub failures: u64,
    /// Rewrites that ended well, and that failed, since the start.
    pub ended_total: [u64; 2],
    /// Whether the last one failed.
    pub is_last_failed: bool,
    /// Seconds that the last one took, -1 before the first.
    pub last_seconds: i64,
    /// Unix seconds at which the one under way began.
    pub began_unix_s: i64,
    /// What the last one took, by whoever made it.
    pub last_duration: Option<Duration>,
    /// Bytes that were copied because somebody wrote while the last one's child ran.
    pub last_cow_bytes: u64,
    delay: Delay,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            work: None,
            is_scheduled: false,
            settled_bytes: 0,
            base_bytes: 0,
            rewrites_total: 0,
            failures: 0,
            ended_total: [0; 2],
            is_last_failed: false,
            last_seconds: -1,
            began_unix_s: 0,
            last_duration: None,
            last_cow_bytes: 0,
            delay: Delay::default(),
        }
    }
}

impl Growth {
    /// Whether a rewrite is under way, from its beginning until its manifest is on the disk.
    pub fn is_rewriting(&self) -> bool {
        matches!(self.work, Some(LogWork::Rewrite | LogWork::Replace | LogWork::SwitchOn))
    }

    /// What the metrics show of it.
    pub fn figures(&self) -> GrowthFigures {
        GrowthFigures {
            settled_bytes: self.settled_bytes,
            base_bytes: self.base_bytes,
            ended_total: self.ended_total,
            is_rewriting: self.is_rewriting(),
            last_seconds: self.last_duration.map(|duration| duration.as_secs_f64()),
        }
    }

    /// A rewrite begins.
    pub fn begin(&mut self, work: LogWork, now_unix_s: i64) {
        self.work = Some(work);
        self.is_scheduled = false;
        self.rewrites_total += 1;
        self.began_unix_s = now_unix_s;
    }

    /// It has ended; `None`: it made way for something else, which says nothing of the disk.
    pub fn end(&mut self, is_well: Option<bool>, now_unix_s: i64) {
        self.work = None;
        self.last_seconds = now_unix_s.saturating_sub(self.began_unix_s);
        if let Some(is_well) = is_well {
            self.is_last_failed = !is_well;
            self.ended_total[usize::from(!is_well)] += 1;
            self.failures = if is_well { 0 } else { self.failures + 1 };
        }
    }

    /// Whether the log, now of `size_bytes`, has grown so much that it is to be rewritten.
    pub fn is_due(&self, config: &Config, size_bytes: u64) -> bool {
        let percentage = u128::from(config.auto_aof_rewrite_percentage);
        if percentage == 0 || size_bytes <= config.auto_aof_rewrite_min_size {
            return false;
        }
        let base_bytes = u128::from(self.base_bytes.max(1));
        u128::from(size_bytes) * 100 / base_bytes >= 100 + percentage
    }

    /// Whether to try again to replace a log that has failed: nobody can write until that succeeds,
    /// so it is never far away.
    pub fn may_replace(&self, now_unix_s: i64) -> bool {
        let pause_seconds = REPLACE_PAUSE_SECONDS_MAX.min(1_i64 << self.failures.min(16));
        now_unix_s.saturating_sub(self.began_unix_s) >= pause_seconds
    }

    /// Whether an attempt must wait since the last ones failed. A minute after the third failure,
    /// then twice as long each time, at most an hour, as in Redis.
    pub fn must_wait(&mut self, now_unix_s: i64) -> bool {
        self.delay.must_wait(self.failures, now_unix_s)
    }
}

#[derive(Debug, Default)]
struct Delay {
    minutes: i64,
    until_unix_s: Option<i64>,
}

impl Delay {
    fn must_wait(&mut self, failures: u64, now_unix_s: i64) -> bool {
        if failures < FAILURES_FREE {
            *self = Self::default();
            return false;
        }
        match self.until_unix_s {
            Some(until) if now_unix_s < until => true,
            Some(_) => {
                self.until_unix_s = None;
                false
            }
            None => {
                self.minutes = (self.minutes * 2).clamp(1, DELAY_MINUTES_MAX);
                self.until_unix_s = Some(now_unix_s + self.minutes * 60);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(base_bytes: u64) -> Growth {
        Growth { base_bytes, ..Growth::default() }
    }

    #[test]
    fn a_rewrite_is_due_when_the_log_has_grown_by_the_percentage_past_the_size() {
        let mut config = Config::redis_defaults();
        config.auto_aof_rewrite_min_size = 1000;
        assert!(!growth(400).is_due(&config, 1000), "not past the size");
        assert!(growth(400).is_due(&config, 1001));
        assert!(!growth(501).is_due(&config, 1001), "less than twice as much");
        assert!(growth(500).is_due(&config, 1001));
        assert!(growth(0).is_due(&config, 1001), "after a start without a log");
        config.auto_aof_rewrite_percentage = 50;
        assert!(growth(1000).is_due(&config, 1500) && !growth(1000).is_due(&config, 1499));
        config.auto_aof_rewrite_percentage = 0;
        assert!(!growth(0).is_due(&config, u64::MAX));
        config.auto_aof_rewrite_percentage = i32::MAX as u64;
        assert!(growth(1).is_due(&config, u64::MAX));
    }

    #[test]
    fn attempts_wait_longer_and_longer_after_the_third_failure() {
        let mut growth = Growth::default();
        let mut now = 1000;
        for _ in 0..3 {
            assert!(!growth.must_wait(now));
            growth.begin(LogWork::Rewrite, now);
            growth.end(Some(false), now + 1);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(growth.must_wait(now) && growth.must_wait(now + minutes * 60 - 1));
            now += minutes * 60;
            assert!(!growth.must_wait(now), "after {minutes} minutes");
            growth.end(Some(false), now);
        }
        growth.end(None, now);
        assert_eq!((growth.failures, growth.is_last_failed), (11, true), "made way");
        growth.end(Some(true), now);
        assert!(!growth.must_wait(now) && !growth.is_last_failed);
    }
}
