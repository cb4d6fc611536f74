//! `always`: when a group has gathered that is worth an fsync. An fsync costs the processor as much
//! as executing a dozen commands, whoever shares it; begun at once after the last one it takes only
//! those who came meanwhile, and writers fall into two halves that wait for each other. So the
//! thread waits until most of the writers that it knows of are back, and no longer than a few fsyncs
//! take; a lone writer never waits. Nothing here touches a disk or a lock.
//!
//! ```text
//! the last fsync  │ group │ came meanwhile │ wanted: 3/4 of both, or the patience is over
//! ```

use std::time::{Duration, Instant};

/// A group is waited for as long as so many fsyncs take: its writers need the processor in turn.
const PATIENCE_FSYNCS: u32 = 4;
/// No write waits longer than this for others.
const PATIENCE_MAX: Duration = Duration::from_millis(1);

/// What the next group should be.
#[derive(Debug, Default)]
pub struct Pace {
    /// The gate offset that is worth an fsync.
    target: u64,
    /// When it is begun all the same; `None` before the first fsync.
    deadline: Option<Instant>,
}

impl Pace {
    /// An fsync has made `from..upto` durable, and the log has come to `appended` meanwhile.
    pub fn settle(&mut self, group: std::ops::Range<u64>, appended: u64, took: Duration) {
        let size = group.end.saturating_sub(group.start);
        let came = appended.saturating_sub(group.end);
        self.target = group.end + (size + came) / 4 * 3;
        self.deadline = Instant::now().checked_add((took * PATIENCE_FSYNCS).min(PATIENCE_MAX));
    }

    /// How long to wait for more, unless `appended` is enough.
    pub fn pause(&self, appended: u64, now: Instant) -> Option<Duration> {
        let left = self.deadline?.checked_duration_since(now).filter(|left| !left.is_zero())?;
        (appended < self.target).then_some(left)
    }

    /// The gate offset at which waiting ends.
    pub fn target(&self) -> u64 {
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSYNC: Duration = Duration::from_micros(200);

    fn after(group: std::ops::Range<u64>, appended: u64) -> Pace {
        let mut pace = Pace::default();
        pace.settle(group, appended, FSYNC);
        pace
    }

    #[test]
    fn the_first_write_waits_for_nobody() {
        assert_eq!(Pace::default().pause(0, Instant::now()), None);
    }

    #[test]
    fn a_lone_writer_does_not_wait_once_it_is_back() {
        let pace = after(100..190, 190);
        assert_eq!(pace.pause(280, Instant::now()), None);
    }

    #[test]
    fn half_of_the_writers_wait_for_the_other_half() {
        let pace = after(0..1000, 2000);
        let now = Instant::now();
        assert!(pace.pause(2000, now).is_some_and(|left| left <= PATIENCE_FSYNCS * FSYNC));
        assert_eq!(pace.target(), 2500);
        assert_eq!(pace.pause(2500, now), None);
    }

    #[test]
    fn nobody_waits_longer_than_some_fsyncs_or_the_patience() {
        let later = Instant::now() + 2 * PATIENCE_FSYNCS * FSYNC;
        assert_eq!(after(0..1000, 2000).pause(2000, later), None);
        let mut slow = Pace::default();
        slow.settle(0..1000, 2000, Duration::from_secs(1));
        assert!(slow.pause(2000, Instant::now()).is_some_and(|left| left <= PATIENCE_MAX));
    }
}
