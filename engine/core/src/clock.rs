//! The one clock: wall time for expiry and monotonic time for durations. Tests drive it.
//! Nothing else in the engine asks the system for the wall time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the engine gets the time from.
#[derive(Debug)]
pub struct Clock {
    /// Unix time in ms when driven by a test; `i64::MIN` when the system's clock is used.
    driven_ms: AtomicI64,
    started: Instant,
}

impl Clock {
    /// A clock that follows the system.
    pub fn system() -> Self {
        Self { driven_ms: AtomicI64::new(i64::MIN), started: Instant::now() }
    }

    /// A clock that stands still at `unix_ms` until [`Clock::drive_to`] moves it.
    pub fn driven(unix_ms: i64) -> Self {
        Self { driven_ms: AtomicI64::new(unix_ms), started: Instant::now() }
    }

    /// Move a driven clock.
    pub fn drive_to(&self, unix_ms: i64) {
        self.driven_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Unix time in milliseconds.
    pub fn unix_ms(&self) -> i64 {
        match self.driven_ms.load(Ordering::Relaxed) {
            i64::MIN => since_epoch(|since| since.as_millis()),
            driven => driven,
        }
    }

    /// Unix time in microseconds, for those who ask for the time itself.
    pub fn unix_us(&self) -> i64 {
        match self.driven_ms.load(Ordering::Relaxed) {
            i64::MIN => since_epoch(|since| since.as_micros()),
            driven => driven.saturating_mul(1000),
        }
    }

    /// Seconds since the engine started, from the monotonic clock.
    pub fn uptime_seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

/// The system's time in the unit that `count` takes of it.
fn since_epoch(count: impl FnOnce(Duration) -> u128) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(count(since)).unwrap_or(i64::MAX))
}
