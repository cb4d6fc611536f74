//! A clock for durations that may be read for each command: the processor's own counter where it
//! runs evenly, else the system's monotonic clock (three times as dear, tried on a machine where
//! both work: 31 ns and 10 ns). Only for figures: what must be right asks `clock`.
#![allow(unsafe_code)] // reading the counter is an intrinsic

use std::time::{Duration, Instant};

/// Waited at the start, so that the length of a tick is known from the first reading on.
const CALIBRATION: Duration = Duration::from_micros(100);

/// Counts ticks of a length that it knows only by and by: [`Stopwatch::ticks_a_microsecond`].
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    first: u64,
    has_counter: bool,
}

impl Stopwatch {
    /// Start to count. Takes a tenth of a millisecond.
    pub fn start() -> Self {
        let has_counter = counter::is_even();
        let first = if has_counter { counter::read() } else { 0 };
        let watch = Self { started: Instant::now(), first, has_counter };
        while watch.started.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        watch
    }

    /// Ticks since the start; 1 at least.
    #[inline]
    pub fn ticks(&self) -> u64 {
        let ticks = if self.has_counter {
            counter::read().wrapping_sub(self.first)
        } else {
            u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
        };
        ticks.max(1)
    }

    /// How many ticks make a microsecond, found by comparing with the system's clock.
    pub fn ticks_a_microsecond(&self) -> f64 {
        let microseconds = self.started.elapsed().as_secs_f64() * 1e6;
        (self.ticks() as f64 / microseconds.max(1e-3)).max(1e-3)
    }
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};

    /// Whether the counter runs at one rate whatever the processor does ("invariant TSC").
    pub fn is_even() -> bool {
        const POWER_LEAF: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        __cpuid(0x8000_0000).eax >= POWER_LEAF && __cpuid(POWER_LEAF).edx & INVARIANT != 0
    }

    #[inline]
    pub fn read() -> u64 {
        // SAFETY: the instruction is there on every x86-64 and touches no memory.
        unsafe { _rdtsc() }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    pub fn is_even() -> bool {
        false
    }

    pub fn read() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_go_back_and_have_a_length() {
        let watch = Stopwatch::start();
        let mut last = watch.ticks();
        for _ in 0..10_000 {
            let now = watch.ticks();
            assert!(now >= last);
            last = now;
        }
        assert!(watch.ticks_a_microsecond() > 0.0);
    }
}
