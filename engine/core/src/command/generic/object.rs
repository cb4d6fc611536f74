//! OBJECT: how a value is kept.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::ValueRef;

/// OBJECT ENCODING key.
pub fn encoding(cx: &mut Cx<'_>, args: Args<'_>) {
    match cx.peek(args.get(2)).map(|entry| entry.encoding()) {
        Some(name) => cx.reply.bulk(name.as_bytes()),
        None => cx.reply.null(),
    }
}

/// OBJECT FREQ key: there is no LFU policy, as in a Redis with default settings.
pub fn freq(cx: &mut Cx<'_>, args: Args<'_>) {
    if cx.peek(args.get(2)).is_none() {
        return cx.reply.null();
    }
    cx.reply.error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust.",
    );
}

/// OBJECT IDLETIME key.
pub fn idletime(cx: &mut Cx<'_>, args: Args<'_>) {
    let now_ms = cx.now_ms;
    match cx.peek(args.get(2)).map(|entry| entry.idle_seconds(now_ms)) {
        Some(seconds) => cx.reply.int(i64::try_from(seconds).unwrap_or(i64::MAX)),
        None => cx.reply.null(),
    }
}

/// OBJECT REFCOUNT key: small integers are shared in Redis, and clients see the count of a shared
/// object.
pub fn refcount(cx: &mut Cx<'_>, args: Args<'_>) {
    const SHARED: i64 = i32::MAX as i64;
    match cx.peek(args.get(2)).map(|entry| entry.value()) {
        Some(ValueRef::Int(0..10_000)) => cx.reply.int(SHARED),
        Some(_) => cx.reply.int(1),
        None => cx.reply.null(),
    }
}

/// OBJECT HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "OBJECT",
        &[
            ("ENCODING <key>", "How the value is kept."),
            ("FREQ <key>", "How often the key is used (needs an LFU policy)."),
            ("IDLETIME <key>", "Seconds since the last access."),
            ("REFCOUNT <key>", "References to the value."),
        ],
    );
}
