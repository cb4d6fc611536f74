//! LATENCY: what held the server for long (`figures::monitor`), and how long the calls of each
//! command take (`figures::latencies`). Limit: no GRAPH and no DOCTOR.

use crate::command::figures::Latencies;
use crate::command::table::Spec;
use crate::command::{Cx, texts};
use crate::resp::Args;

/// Microseconds, and how many calls took no longer.
type Steps = Vec<(u64, u64)>;

fn int(cx: &mut Cx<'_>, number: u64) {
    cx.reply.int(i64::try_from(number).unwrap_or(i64::MAX));
}

/// LATENCY LATEST.
pub fn latest(cx: &mut Cx<'_>, _args: Args<'_>) {
    let events: Vec<(&str, (i64, u64), u64)> = (cx.state.figures.monitor.events().iter())
        .filter_map(|(name, event)| Some((*name, *event.samples.back()?, event.longest_ms)))
        .collect();
    cx.reply.array(events.len());
    for (name, (second, milliseconds), longest) in events {
        cx.reply.array(4);
        cx.reply.bulk(name.as_bytes());
        cx.reply.int(second);
        int(cx, milliseconds);
        int(cx, longest);
    }
}

/// LATENCY HISTORY event.
pub fn history(cx: &mut Cx<'_>, args: Args<'_>) {
    let events = cx.state.figures.monitor.events();
    let found = events.iter().find(|(name, _)| name.as_bytes() == args.get(2));
    let samples = found.map(|(_, event)| event.samples.clone()).unwrap_or_default();
    cx.reply.array(samples.len());
    for (second, milliseconds) in samples {
        cx.reply.array(2);
        cx.reply.int(second);
        int(cx, milliseconds);
    }
}

/// LATENCY RESET [event ...].
pub fn reset(cx: &mut Cx<'_>, args: Args<'_>) {
    let monitor = &mut cx.state.figures.monitor;
    let forgotten = match args.len() {
        2 => monitor.forget_all(),
        _ => args.iter().skip(2).filter(|name| monitor.forget(name)).count(),
    };
    cx.reply.int(forgotten as i64);
}

/// LATENCY HISTOGRAM [command ...]: how many calls took at most so many microseconds, at powers of
/// two, where there are more than below.
pub fn histogram(cx: &mut Cx<'_>, args: Args<'_>) {
    let wanted: Vec<&[u8]> = args.iter().skip(2).collect();
    let is_wanted = |spec: &Spec| {
        let container = spec.name.split('|').next().unwrap_or_default();
        let is = |name: &&[u8]| {
            name.eq_ignore_ascii_case(spec.name.as_bytes())
                || name.eq_ignore_ascii_case(container.as_bytes())
        };
        wanted.is_empty() || wanted.iter().any(is)
    };
    let figures = &cx.state.figures;
    let scale = figures.ticks_a_microsecond();
    let found: Vec<(&str, u64, Steps)> = figures
        .commands()
        .filter(|(spec, it)| it.latencies.calls() > 0 && is_wanted(spec))
        .map(|(spec, it)| (spec.name, it.latencies.calls(), cumulative(&it.latencies, scale)))
        .collect();
    cx.reply.map(found.len());
    for (name, calls, counts) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.map(2);
        cx.reply.bulk(b"calls");
        int(cx, calls);
        cx.reply.bulk(b"histogram_usec");
        cx.reply.map(counts.len());
        for (microseconds, count) in counts {
            int(cx, microseconds);
            int(cx, count);
        }
    }
}

/// Redis's edges: 1024 ns, doubled, each with the slack of its histogram's precision.
fn cumulative(latencies: &Latencies, ticks_a_microsecond: f64) -> Steps {
    const FIRST_NS: u64 = 1024;
    let nanoseconds = |ticks: u64| (ticks as f64 / ticks_a_microsecond * 1000.0) as u64;
    let mut counts: Steps = Vec::new();
    let (mut edge, mut seen) = (FIRST_NS, 0);
    for (ticks, count) in latencies.counts() {
        while nanoseconds(ticks) > slack(edge) {
            edge = edge.saturating_mul(2);
        }
        seen += count;
        let label = slack(edge) / 1000;
        match counts.last_mut() {
            Some((last, total)) if *last == label => *total = seen,
            _ => counts.push((label, seen)),
        }
    }
    counts
}

fn slack(edge: u64) -> u64 {
    edge.saturating_add(edge / 128 - 1)
}

/// LATENCY HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "LATENCY",
        &[
            ("HISTOGRAM [<command> ...]", "How long the calls of commands take."),
            ("HISTORY <event>", "When an event held the server, and for how many milliseconds."),
            ("LATEST", "The last time and the longest of each event."),
            ("RESET [<event> ...]", "Forget events."),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_cumulative_at_redis_s_edges() {
        let mut latencies = Latencies::default();
        for ticks in [1, 1, 15, 33, 819] {
            latencies.add(ticks, 1);
        }
        let counts = cumulative(&latencies, 1.0);
        assert_eq!(counts, [(1, 2), (16, 3), (33, 4), (1056, 5)]);
    }
}
