//! MEMORY: what keys take.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// MEMORY USAGE key [SAMPLES count]. Strings need no sampling: the figure is exact, in our own
/// layout.
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

/// MEMORY HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(cx, "MEMORY", &[("USAGE <key> [SAMPLES <count>]", "Bytes that the key takes.")]);
}
