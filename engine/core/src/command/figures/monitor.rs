//! The latency monitor: what held the server for longer than `latency-monitor-threshold`, by kind of
//! event, the worst one of each second. Bounded: the last 160 samples of a handful of events.

use std::collections::{BTreeMap, VecDeque};

const SAMPLES_MAX: usize = 160;

/// One kind of event.
#[derive(Debug, Default, Clone)]
pub struct Event {
    /// (unix seconds, milliseconds), oldest first.
    pub samples: VecDeque<(i64, u64)>,
    /// The longest ever, milliseconds.
    pub longest_ms: u64,
}

/// Events by name, in the words of Redis: `command`, `fast-command`, `fork`, `expire-cycle`.
#[derive(Debug, Default)]
pub struct Monitor {
    events: BTreeMap<&'static str, Event>,
    /// `latency-monitor-threshold`; 0 is off.
    pub threshold_ms: u64,
}

impl Monitor {
    /// Note an event, if it was long enough.
    pub fn note(&mut self, name: &'static str, at_unix_s: i64, milliseconds: u64) {
        if self.threshold_ms == 0 || milliseconds < self.threshold_ms {
            return;
        }
        let event = self.events.entry(name).or_default();
        event.longest_ms = event.longest_ms.max(milliseconds);
        match event.samples.back_mut() {
            Some((second, longest)) if *second == at_unix_s => {
                *longest = (*longest).max(milliseconds);
            }
            _ => event.samples.push_back((at_unix_s, milliseconds)),
        }
        if event.samples.len() > SAMPLES_MAX {
            event.samples.pop_front();
        }
    }

    /// Events that happened.
    pub fn events(&self) -> &BTreeMap<&'static str, Event> {
        &self.events
    }

    /// Forget an event; gives whether it had happened.
    pub fn forget(&mut self, name: &[u8]) -> bool {
        let known = self.events.keys().find(|known| known.as_bytes().eq_ignore_ascii_case(name));
        known.copied().is_some_and(|name| self.events.remove(name).is_some())
    }

    /// Forget all; gives how many there were.
    pub fn forget_all(&mut self) -> usize {
        std::mem::take(&mut self.events).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_the_oldest_seconds_go() {
        let mut monitor = Monitor::default();
        monitor.note("fork", 1, 500);
        assert!(monitor.events().is_empty());
        monitor.threshold_ms = 10;
        for (second, milliseconds) in [(1, 9), (2, 10), (2, 30), (2, 20), (3, 15)] {
            monitor.note("fork", second, milliseconds);
        }
        let event = &monitor.events()["fork"];
        assert_eq!(
            (event.samples.iter().copied().collect::<Vec<_>>(), event.longest_ms),
            (vec![(2, 30), (3, 15)], 30)
        );
        (10..1000).for_each(|second| monitor.note("fork", second, 11));
        assert_eq!(monitor.events()["fork"].samples.len(), SAMPLES_MAX);
        assert!(monitor.forget(b"FORK") && !monitor.forget(b"fork"));
    }
}
