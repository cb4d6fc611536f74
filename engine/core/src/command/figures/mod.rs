//! What commands cost and how they failed: the figures behind INFO's commandstats, errorstats and
//! latencystats, kept under the engine lock in plain numbers. How they are shown stands in
//! `server::info_commands`.
//!
//! Counting a call is an addition; reading a clock costs a twentieth of a pipelined SET even with
//! the processor's counter. So a command that may run long, or is alone in its batch, is measured
//! by itself, and *quick* ones of a pipeline share a reading: up to sixteen make a *section*, whose
//! time they share equally. Rejected: reading at each command (5 % of SET at 64 in a pipeline).
//! Limit: in a pipeline the quick ones of one section look equally long, and the slow log, which
//! needs the time of one command, does not see them, unless it is asked for commands of less than a
//! millisecond: then each is measured.

mod latencies;
mod monitor;
mod slow;

use std::collections::BTreeMap;

pub use latencies::Latencies;
pub use monitor::Monitor;
pub use slow::{SlowEntry, SlowLog, shortened};

use super::table::spec::{BRIEF, FAST};
use super::table::{self, Spec};
use crate::config::Config;
use crate::stopwatch::Stopwatch;

/// Quick commands that share one reading of the clock.
const SECTION_COMMANDS_MAX: usize = 16;
/// Arguments that a quick command has at most.
const QUICK_ARGS_MAX: usize = 16;
/// A reply from which on a command is not quick, whatever it is; it is then given its section's
/// time.
const BIG_REPLY_BYTES: usize = 64 * 1024;
/// Words of errors that are told apart. They are our own texts' first words: there are few.
const ERROR_WORDS_MAX: usize = 128;

/// Figures of one command.
#[derive(Debug, Clone, Default)]
pub struct CommandFigures {
    /// Calls that ran.
    pub calls: u64,
    /// Time of them, in ticks.
    pub ticks: u64,
    /// Calls refused before they ran (arity, LOADING, MISCONF ...).
    pub rejected: u64,
    /// Calls that ran and answered an error.
    pub failed: u64,
    /// Time of each.
    pub latencies: Latencies,
}

/// Figures of all commands, and the measuring that is under way.
#[derive(Debug)]
pub struct Figures {
    watch: Stopwatch,
    commands: Box<[CommandFigures]>,
    errors: BTreeMap<Vec<u8>, u64>,
    /// When the section under way began: the last reading.
    read_at: u64,
    section: [u16; SECTION_COMMANDS_MAX],
    section_len: usize,
    /// Errors that had been written when the last command began, or that were its own.
    errors_seen: u64,
    is_batch_single: bool,
    is_each_timed: bool,
    has_latencies: bool,
    /// The slow log.
    pub slow: SlowLog,
    /// The latency monitor.
    pub monitor: Monitor,
    /// From how many ticks on a command is looked at for one of both.
    watched_ticks: u64,
}

/// A call under way: when it began, unless its section is measured instead.
#[derive(Debug, Clone, Copy)]
pub struct Started(Option<u64>);

impl Default for Figures {
    fn default() -> Self {
        Self {
            watch: Stopwatch::start(),
            commands: vec![CommandFigures::default(); table::COUNT].into(),
            errors: BTreeMap::new(),
            read_at: 0,
            section: [0; SECTION_COMMANDS_MAX],
            section_len: 0,
            errors_seen: 0,
            is_batch_single: true,
            is_each_timed: false,
            has_latencies: true,
            slow: SlowLog::default(),
            monitor: Monitor::default(),
            watched_ticks: u64::MAX,
        }
    }
}

impl Figures {
    /// A batch of `count` commands begins under one hold of the lock.
    #[inline]
    pub fn open(&mut self, count: usize) {
        self.is_batch_single = count == 1;
        if !self.is_batch_single {
            self.read_at = self.watch.ticks();
        }
    }

    /// The batch has ended.
    #[inline]
    pub fn close(&mut self) {
        if self.section_len > 0 {
            self.end_section();
        }
        self.is_batch_single = true;
    }

    /// A command begins: `args_len` arguments, `errors` error replies written before it.
    #[inline]
    pub fn begin(&mut self, spec: &Spec, args_len: usize, errors: u64) -> Started {
        self.errors_seen = errors;
        let is_quick = (spec.has(FAST) || spec.has(BRIEF)) && args_len <= QUICK_ARGS_MAX;
        if is_quick && !self.is_batch_single && !self.is_each_timed {
            if self.section_len == SECTION_COMMANDS_MAX {
                self.end_section();
            }
            self.section[self.section_len] = spec.id;
            self.section_len += 1;
            return Started(None);
        }
        Started(Some(self.end_section()))
    }

    /// The command has ended: `errors` and `reply_bytes` as they are after it. Gives how long it
    /// took, in ticks, if it was measured by itself.
    #[inline]
    pub fn end(&mut self, spec: &Spec, started: Started, errors: u64, bytes: usize) -> Option<u64> {
        let figures = self.commands.get_mut(usize::from(spec.id))?;
        figures.calls += 1;
        if errors > self.errors_seen {
            figures.failed += 1;
            self.errors_seen = errors;
        }
        let started = match started.0 {
            Some(started) => started,
            None if bytes < BIG_REPLY_BYTES => return None,
            None => {
                self.section_len = self.section_len.saturating_sub(1);
                std::mem::replace(&mut self.read_at, self.watch.ticks())
            }
        };
        // Of an EXEC, the quick ones that it ran: they end with it.
        let now = if self.section_len > 0 { self.end_section() } else { self.watch.ticks() };
        let ticks = now.saturating_sub(started);
        self.read_at = now;
        self.add_time(spec.id, ticks, 1);
        Some(ticks)
    }

    /// A call was refused before it ran.
    pub fn reject(&mut self, spec: &Spec) {
        if let Some(figures) = self.commands.get_mut(usize::from(spec.id)) {
            figures.rejected += 1;
        }
    }

    /// Read the clock and share the time since the last reading among the commands since then.
    fn end_section(&mut self) -> u64 {
        let now = self.watch.ticks();
        let (section, len) = (self.section, self.section_len);
        let share = now.saturating_sub(self.read_at) / (len as u64).max(1);
        let mut left = &section[..len];
        while let Some(&id) = left.first() {
            let same = left.iter().take_while(|other| **other == id).count();
            left = &left[same..];
            self.add_time(id, share, same as u64);
        }
        self.section_len = 0;
        self.read_at = now;
        now
    }

    fn add_time(&mut self, id: u16, ticks: u64, calls: u64) {
        let Some(figures) = self.commands.get_mut(usize::from(id)) else { return };
        figures.ticks += ticks * calls;
        if self.has_latencies {
            figures.latencies.add(ticks, calls);
        }
    }

    /// Count an error reply by its first word.
    pub fn count_error(&mut self, word: &[u8], count: u64) {
        if let Some(known) = self.errors.get_mut(word) {
            *known += count;
        } else if self.errors.len() < ERROR_WORDS_MAX {
            self.errors.insert(word.to_vec(), count);
        }
    }

    /// Take over what the directives say.
    pub fn heed(&mut self, config: &Config) {
        const QUICK_US: i64 = 1000;
        self.has_latencies = config.latency_tracking;
        self.slow.truncate(config.slowlog_max_len);
        self.monitor.threshold_ms = config.latency_monitor_threshold;
        let is_logging = config.slowlog_log_slower_than >= 0 && config.slowlog_max_len > 0;
        self.is_each_timed = is_logging && config.slowlog_log_slower_than < QUICK_US;
        let slow_us = u64::try_from(config.slowlog_log_slower_than).ok().filter(|_| is_logging);
        let long_us =
            Some(self.monitor.threshold_ms).filter(|it| *it > 0).map(|it| it.saturating_mul(1000));
        let watched_us = slow_us.into_iter().chain(long_us).min();
        let scale = self.ticks_a_microsecond();
        self.watched_ticks = watched_us.map_or(u64::MAX, |us| (us as f64 * scale) as u64);
    }

    /// Whether a command took so long that the slow log or the latency monitor may want it; gives
    /// microseconds.
    #[inline]
    pub fn watched(&self, ticks: Option<u64>) -> Option<u64> {
        let ticks = ticks.filter(|ticks| *ticks >= self.watched_ticks)?;
        Some((ticks as f64 / self.ticks_a_microsecond()) as u64)
    }

    /// Commands with their figures, in the table's order, those that nobody called left out.
    pub fn commands(&self) -> impl Iterator<Item = (&'static Spec, &CommandFigures)> {
        let called = |figures: &CommandFigures| figures.calls + figures.rejected + figures.failed;
        let numbered = (0..).zip(self.commands.iter()).filter(move |(_, it)| called(it) > 0);
        numbered.filter_map(|(id, it)| Some((table::by_id(id)?, it)))
    }

    /// Error replies by first word.
    pub fn errors(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.errors.iter().map(|(word, count)| (word.as_slice(), *count))
    }

    /// Ticks of a microsecond.
    pub fn ticks_a_microsecond(&self) -> f64 {
        self.watch.ticks_a_microsecond()
    }

    /// Set all to zero (CONFIG RESETSTAT).
    pub fn reset(&mut self) {
        self.commands.fill(CommandFigures::default());
        self.errors.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> &'static Spec {
        table::find(name.as_bytes()).unwrap()
    }

    /// Run commands of one batch; gives which were measured by themselves.
    fn run(figures: &mut Figures, names: &[&str]) -> Vec<bool> {
        figures.open(names.len());
        let run_one = |name: &&str| {
            let started = figures.begin(spec(name), 2, 0);
            figures.end(spec(name), started, 0, 10).is_some()
        };
        let measured = names.iter().map(run_one).collect();
        figures.close();
        measured
    }

    fn of<'a>(figures: &'a Figures, name: &str) -> &'a CommandFigures {
        &figures.commands[usize::from(spec(name).id)]
    }

    #[test]
    fn a_command_alone_is_measured_and_quick_ones_together_share() {
        let mut figures = Figures::default();
        assert_eq!(run(&mut figures, &["get"]), [true]);
        assert_eq!(run(&mut figures, &["get", "set", "keys", "get"]), [false, false, true, false]);
        assert_eq!(run(&mut figures, &["get"; 40]), [false; 40]);
        figures.is_each_timed = true;
        assert_eq!(run(&mut figures, &["get", "set"]), [true, true]);
        for (name, calls) in [("get", 44), ("set", 2), ("keys", 1)] {
            assert_eq!(of(&figures, name).calls, calls, "{name}");
            assert_eq!(of(&figures, name).latencies.calls(), calls, "{name}");
        }
        assert_eq!(figures.section_len, 0);
    }

    #[test]
    fn all_the_time_of_a_batch_is_somebody_s() {
        let mut figures = Figures::default();
        figures.open(4);
        let began = figures.read_at;
        for name in ["get", "set", "keys", "get"] {
            let started = figures.begin(spec(name), 2, 0);
            std::hint::black_box((0..1000).sum::<u64>());
            figures.end(spec(name), started, 0, 10);
        }
        figures.close();
        let given: u64 = ["get", "set", "keys"].iter().map(|name| of(&figures, name).ticks).sum();
        let all = figures.read_at - began;
        // A section's time is divided by its commands: what does not divide is lost.
        assert!(given <= all && all - given < 8, "{given} of {all}");
    }

    #[test]
    fn a_quick_command_with_a_big_reply_or_many_arguments_is_measured() {
        let mut figures = Figures::default();
        figures.open(3);
        let started = figures.begin(spec("mget"), QUICK_ARGS_MAX + 1, 0);
        assert!(figures.end(spec("mget"), started, 0, 10).is_some());
        let started = figures.begin(spec("get"), 2, 0);
        assert!(figures.end(spec("get"), started, 0, BIG_REPLY_BYTES).is_some());
        let started = figures.begin(spec("get"), 2, 0);
        assert!(figures.end(spec("get"), started, 0, 10).is_none());
        figures.close();
        assert_eq!(of(&figures, "get").latencies.calls(), 2);
    }

    #[test]
    fn an_error_is_the_innermost_command_s() {
        let mut figures = Figures::default();
        let outer = figures.begin(spec("exec"), 1, 5);
        let inner = figures.begin(spec("incr"), 2, 5);
        figures.end(spec("incr"), inner, 6, 10);
        figures.end(spec("exec"), outer, 6, 20);
        assert_eq!((of(&figures, "incr").failed, of(&figures, "exec").failed), (1, 0));
    }
}
