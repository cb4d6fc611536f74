//! What calls on the data door cost and how they ended: plain atomics, counted when a call ends,
//! read by the border without a lock. A call that its caller gave up counts as CANCELLED.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tonic::Code;

use crate::stats::{DURATION_EDGES_SECONDS, Histogram};

/// Names of the methods, as [`Method`] numbers them.
pub const METHODS: [&str; 12] = [
    "Get",
    "Set",
    "Delete",
    "MultiGet",
    "MultiSet",
    "Increment",
    "Expire",
    "Scan",
    "Execute",
    "Transact",
    "Pipeline",
    "WaitDurable",
];
const CODES: usize = 17;

/// A method of DataService.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    Get,
    Set,
    Delete,
    MultiGet,
    MultiSet,
    Increment,
    Expire,
    Scan,
    Execute,
    Transact,
    Pipeline,
    WaitDurable,
}

/// Figures of one method.
#[derive(Debug, Default)]
struct MethodFigures {
    codes: [AtomicU64; CODES],
    buckets: [AtomicU64; DURATION_EDGES_SECONDS.len() + 1],
    sum_us: AtomicU64,
}

/// Calls of one method.
#[derive(Debug, Clone)]
pub struct MethodCounts {
    /// The method.
    pub name: &'static str,
    /// Calls by the name of their status; those that have happened.
    pub codes: Vec<(String, u64)>,
    /// How long they took.
    pub durations: Histogram,
}

/// Figures of all methods, and of the door.
#[derive(Debug, Default)]
pub struct RpcFigures {
    methods: [MethodFigures; METHODS.len()],
    /// Open connections.
    pub connections: AtomicU64,
    /// Connections that were accepted, and that were refused.
    pub accepted_total: AtomicU64,
    /// See `accepted_total`.
    pub refused_total: AtomicU64,
}

impl RpcFigures {
    /// A call begins.
    pub(super) fn begin(&self, method: Method) -> Measured<'_> {
        Measured { figures: self, method, began: Instant::now(), code: Code::Cancelled }
    }

    /// What has happened so far, by method.
    pub fn read(&self) -> Vec<MethodCounts> {
        let read = |(name, it): (&&'static str, &MethodFigures)| MethodCounts {
            name,
            codes: it.codes(),
            durations: it.durations(),
        };
        METHODS.iter().zip(&self.methods).map(read).collect()
    }
}

impl MethodFigures {
    fn codes(&self) -> Vec<(String, u64)> {
        let counted = self.codes.iter().map(|count| count.load(Relaxed)).enumerate();
        counted
            .filter(|(_, count)| *count > 0)
            .map(|(at, count)| (code_name(Code::from(at as i32)), count))
            .collect()
    }

    fn durations(&self) -> Histogram {
        let mut histogram = Histogram::default();
        for (to, from) in histogram.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Relaxed);
        }
        histogram.count = histogram.buckets.iter().sum();
        histogram.sum_seconds = self.sum_us.load(Relaxed) as f64 / 1e6;
        histogram
    }
}

/// The name of a status as gRPC writes it: `FAILED_PRECONDITION`.
pub(super) fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// A call under way; counted when dropped.
pub(super) struct Measured<'a> {
    figures: &'a RpcFigures,
    method: Method,
    began: Instant,
    code: Code,
}

impl Measured<'_> {
    /// How it ends.
    pub(super) fn end(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        self.figures.count(self.method, self.code, self.began.elapsed());
    }
}

impl RpcFigures {
    pub(super) fn count(&self, method: Method, code: Code, took: std::time::Duration) {
        let figures = &self.methods[method as usize];
        let seconds = took.as_secs_f64();
        let at = DURATION_EDGES_SECONDS.partition_point(|edge| *edge < seconds);
        figures.codes[code as usize % CODES].fetch_add(1, Relaxed);
        figures.buckets[at].fetch_add(1, Relaxed);
        figures.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_status_when_they_end() {
        let figures = RpcFigures::default();
        figures.begin(Method::WaitDurable).end(Code::FailedPrecondition);
        drop(figures.begin(Method::WaitDurable));
        let read = figures.read();
        let counts = &read[Method::WaitDurable as usize];
        assert_eq!((counts.name, counts.durations.count), ("WaitDurable", 2));
        let expected = [("CANCELLED".to_owned(), 1), ("FAILED_PRECONDITION".to_owned(), 1)];
        assert_eq!(counts.codes[..], expected);
    }
}
