//! Rates of the last moments, as INFO shows them (`instantaneous_ops_per_sec` ...): the mean of
//! sixteen samples a tenth of a second apart, as in Redis. Sampled by `cron`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::stats::Stats;

const SAMPLES: usize = 16;
const SAMPLE_SECONDS: f64 = 0.1;

/// The last samples of one counter.
#[derive(Debug, Default)]
struct Rate {
    per_second: [f64; SAMPLES],
    last: u64,
}

impl Rate {
    /// Take a sample; gives the mean.
    fn sample(&mut self, at: usize, now: u64, seconds: f64) -> u64 {
        // A counter that was set to zero (CONFIG RESETSTAT) has not gone backwards.
        let change = now.checked_sub(self.last).unwrap_or(now);
        self.last = now;
        self.per_second[at] = change as f64 / seconds;
        (self.per_second.iter().sum::<f64>() / SAMPLES as f64) as u64
    }
}

/// Samples of all counters that have a rate.
#[derive(Debug)]
pub struct Rates {
    sampled_at: Instant,
    next: usize,
    commands: Rate,
    input: Rate,
    output: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        let (commands, input, output) = (Rate::default(), Rate::default(), Rate::default());
        Self { sampled_at: Instant::now(), next: 0, commands, input, output }
    }
}

impl Rates {
    /// Take a sample if it is time for one, and publish the means.
    pub fn sample(&mut self, stats: &Stats) {
        let seconds = self.sampled_at.elapsed().as_secs_f64();
        if seconds >= SAMPLE_SECONDS {
            self.sampled_at = Instant::now();
            self.add(stats, seconds);
        }
    }

    fn add(&mut self, stats: &Stats, seconds: f64) {
        let (at, counters) = (self.next, &stats.counters);
        let publish = |rate: &mut Rate, from: &AtomicU64, to: &AtomicU64| {
            to.store(rate.sample(at, from.load(Ordering::Relaxed), seconds), Ordering::Relaxed);
        };
        publish(&mut self.commands, &counters.commands_total, &counters.commands_per_second);
        publish(&mut self.input, &counters.net_input_bytes_total, &counters.input_bytes_per_second);
        publish(
            &mut self.output,
            &counters.net_output_bytes_total,
            &counters.output_bytes_per_second,
        );
        self.next = (at + 1) % SAMPLES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_sixteen_samples_and_survives_a_reset() {
        let (stats, mut rates) = (Stats::default(), Rates::default());
        let commands = &stats.counters.commands_total;
        for _ in 0..SAMPLES {
            commands.fetch_add(50, Ordering::Relaxed);
            rates.add(&stats, 0.1);
        }
        let rate = || stats.counters.commands_per_second.load(Ordering::Relaxed);
        assert_eq!(rate(), 500);
        commands.store(50, Ordering::Relaxed);
        rates.add(&stats, 0.1);
        assert_eq!(rate(), 500);
        (0..SAMPLES).for_each(|_| rates.add(&stats, 0.1));
        assert_eq!(rate(), 0);
    }
}
