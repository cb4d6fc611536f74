//! MEMORY: what keys take, what all of it takes. Bytes are those of the keyspace, in our own layout.

use std::sync::atomic::Ordering;

use crate::alloc;
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// MEMORY USAGE key [SAMPLES count]. Nothing needs sampling: what a collection holds is counted
/// when it changes.
pub fn usage(cx: &mut Cx<'_>, args: Args<'_>) {
    let mut at = 3;
    while at < args.len() {
        if !args.get(at).eq_ignore_ascii_case(b"samples") || at + 1 >= args.len() {
            return cx.reply.error(texts::SYNTAX);
        }
        match parse_i64(args.get(at + 1)) {
            None => return cx.reply.error(texts::NOT_INTEGER),
            Some(samples) if samples < 0 => return cx.reply.error(texts::SYNTAX),
            Some(_) => at += 2,
        }
    }
    match cx.state.keyspace.db(cx.session.db).get(args.get(2)) {
        Some(entry) => cx.reply.int(entry.memory_bytes() as i64),
        None => cx.reply.null(),
    }
}

/// What MEMORY STATS and DOCTOR look at.
struct Figures {
    used: u64,
    peak: u64,
    resident: u64,
    buffers: u64,
    log_buffer: u64,
    keys: u64,
}

impl Figures {
    fn of(cx: &Cx<'_>) -> Self {
        let counters = &cx.shared.stats.counters;
        let used = cx.state.keyspace.memory_bytes() as u64;
        let buffered = |it: &crate::session::ClientInfo| {
            it.query_bytes.load(Ordering::Relaxed) + it.output_bytes.load(Ordering::Relaxed)
        };
        Self {
            used,
            peak: counters.used_memory_peak_bytes.load(Ordering::Relaxed).max(used),
            resident: counters.used_memory_rss_bytes.load(Ordering::Relaxed),
            buffers: cx.state.clients.values().map(|it| buffered(it)).sum(),
            log_buffer: cx.shared.stats.log.buffered_bytes.load(Ordering::Relaxed),
            keys: cx.state.keyspace.len() as u64,
        }
    }

    fn share(&self, part: u64, whole: u64) -> f64 {
        part as f64 / whole.max(1) as f64
    }
}

/// MEMORY STATS: the fields of Redis that have a meaning here.
pub fn stats(cx: &mut Cx<'_>, _args: Args<'_>) {
    let it = Figures::of(cx);
    let numbers = [
        ("peak.allocated", it.peak),
        ("total.allocated", it.used),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", it.buffers),
        ("cluster.links", 0),
        ("aof.buffer", it.log_buffer),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("keys.count", it.keys),
        ("keys.bytes-per-key", it.used / it.keys.max(1)),
        ("fragmentation.bytes", it.resident.saturating_sub(it.used)),
    ];
    let shares = [
        ("peak.percentage", it.share(it.used, it.peak) * 100.0),
        ("fragmentation", it.share(it.resident, it.used)),
    ];
    cx.reply.map(numbers.len() + shares.len());
    for (name, number) in numbers {
        cx.reply.bulk(name.as_bytes());
        cx.reply.int(i64::try_from(number).unwrap_or(i64::MAX));
    }
    for (name, share) in shares {
        cx.reply.bulk(name.as_bytes());
        cx.reply.double(share);
    }
}

/// MEMORY DOCTOR: what the figures say, in words.
pub fn doctor(cx: &mut Cx<'_>, _args: Args<'_>) {
    const LITTLE_BYTES: u64 = 5 << 20;
    const BUFFERS_A_CLIENT_BYTES: u64 = 200 << 10;
    let it = Figures::of(cx);
    let clients = cx.state.clients.len().max(1) as u64;
    let mut found = Vec::new();
    if it.used < LITTLE_BYTES {
        found.push("There is so little data that its memory says nothing.".to_owned());
    } else {
        if it.share(it.peak, it.used) > 1.5 {
            found.push(
                "It once held more than half as much again: the allocator may keep the \
                        difference. MEMORY PURGE gives back what is free."
                    .to_owned(),
            );
        }
        if it.share(it.resident, it.used) > 1.4 {
            let ratio = it.share(it.resident, it.used);
            found.push(format!("The process takes {ratio:.2} times the memory of its data."));
        }
    }
    if it.buffers / clients > BUFFERS_A_CLIENT_BYTES {
        found.push("Clients hold big buffers: see qbuf and omem in CLIENT LIST.".to_owned());
    }
    if found.is_empty() {
        found.push("Nothing stands out.".to_owned());
    }
    cx.reply.verbatim(&(found.join("\n") + "\n"));
}

/// MEMORY PURGE: give free memory back to the system.
pub fn purge(cx: &mut Cx<'_>, _args: Args<'_>) {
    alloc::purge();
    cx.reply.ok();
}

/// MEMORY HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "MEMORY",
        &[
            ("DOCTOR", "What stands out in the figures."),
            ("PURGE", "Give free memory back to the system."),
            ("STATS", "Figures of memory."),
            ("USAGE <key> [SAMPLES <count>]", "Bytes that the key takes."),
        ],
    );
}
