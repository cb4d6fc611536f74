//! How long the calls of one command took: counts by duration, sixteen steps to each doubling, so
//! that a percentile is right to a sixteenth. In ticks of the stopwatch, since a multiplication for
//! each call would be dearer than the count.

/// Steps to a doubling, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: u64 = 1 << STEP_BITS;
/// Longest duration told apart: 2^43 ticks are about an hour.
const TICKS_MAX: u64 = (1 << 44) - 1;
const BUCKETS: usize = bucket_of(TICKS_MAX) + 1;

/// Counts by duration. Takes no memory before the first call.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    buckets: Option<Box<[u64; BUCKETS]>>,
}

/// Short durations each have a bucket; then the doubling and the bits after its first tell it.
const fn bucket_of(ticks: u64) -> usize {
    if ticks < STEPS {
        return ticks as usize;
    }
    let doubling = ticks.ilog2() - STEP_BITS;
    let step = (ticks >> doubling) & (STEPS - 1);
    (((doubling + 1) as u64) << STEP_BITS | step) as usize
}

/// The longest duration of a bucket.
const fn top_of(bucket: usize) -> u64 {
    let (doubling, step) = ((bucket as u64) >> STEP_BITS, bucket as u64 & (STEPS - 1));
    if doubling == 0 {
        return step;
    }
    ((STEPS + step + 1) << (doubling - 1)) - 1
}

impl Latencies {
    /// Count `calls` calls that took `ticks` each.
    #[inline]
    pub fn add(&mut self, ticks: u64, calls: u64) {
        let buckets = self.buckets.get_or_insert_with(|| Box::new([0; BUCKETS]));
        if let Some(count) = buckets.get_mut(bucket_of(ticks.min(TICKS_MAX))) {
            *count += calls;
        }
    }

    /// Forget all.
    pub fn clear(&mut self) {
        self.buckets = None;
    }

    /// Buckets that hold something, shortest first: the longest duration each, and its calls.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let buckets = self.buckets.as_deref().map_or([].as_slice(), |buckets| buckets.as_slice());
        let counted = buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (top_of(bucket), *count))
    }

    /// Calls counted.
    pub fn calls(&self) -> u64 {
        self.counts().map(|(_, count)| count).sum()
    }

    /// The duration that `percent` of the calls did not pass; 0 without any.
    pub fn percentile(&self, percent: f64) -> u64 {
        let calls = self.calls();
        let wanted = ((percent.clamp(0.0, 100.0) / 100.0 * calls as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (ticks, count) in self.counts() {
            seen += count;
            if seen >= wanted {
                return ticks;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_own_longest_duration_and_no_longer_one() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(top_of(bucket)), bucket);
            assert_eq!(bucket_of(top_of(bucket) + 1), bucket + 1);
        }
        assert_eq!(top_of(BUCKETS - 1), TICKS_MAX);
    }

    #[test]
    fn percentiles_are_right_to_a_sixteenth() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.percentile(50.0), latencies.calls()), (0, 0));
        (1..=100_000).for_each(|ticks| latencies.add(ticks, 1));
        latencies.add(u64::MAX, 3);
        assert_eq!(latencies.calls(), 100_003);
        for (percent, exact) in [(0.0, 1), (1.0, 1000), (50.0, 50_000), (99.0, 99_003)] {
            let found = latencies.percentile(percent);
            assert!(found >= exact && found <= exact + exact / 16 + 1, "{percent}: {found}");
        }
        assert_eq!(latencies.percentile(100.0), TICKS_MAX);
        latencies.clear();
        assert_eq!(latencies.calls(), 0);
    }
}
