//! SLOWLOG: the last commands that took long. What is kept of them stands in `figures::slow`.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// SLOWLOG GET [count]: ten entries unless told; -1 is all.
pub fn get(cx: &mut Cx<'_>, args: Args<'_>) {
    let count = match args.len() {
        2 => 10,
        3 => match parse_i64(args.get(2)) {
            Some(-1) => i64::MAX,
            Some(count) if count >= 0 => count,
            _ => return cx.reply.error("ERR count should be greater than or equal to -1"),
        },
        _ => {
            let text = "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG \
                HELP.";
            return cx.reply.error(text);
        }
    };
    let log = &cx.state.figures.slow;
    let count = log.entries().len().min(usize::try_from(count).unwrap_or(usize::MAX));
    cx.reply.array(count);
    for entry in log.entries().take(count) {
        cx.reply.array(6);
        cx.reply.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        cx.reply.int(entry.at_unix_s);
        cx.reply.int(i64::try_from(entry.microseconds).unwrap_or(i64::MAX));
        cx.reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| cx.reply.bulk(arg));
        cx.reply.bulk(entry.address.as_bytes());
        cx.reply.bulk(&entry.name);
    }
}

/// SLOWLOG LEN.
pub fn len(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.int(cx.state.figures.slow.entries().len() as i64);
}

/// SLOWLOG RESET.
pub fn reset(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.state.figures.slow.truncate(0);
    cx.reply.ok();
}

/// SLOWLOG HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "SLOWLOG",
        &[
            ("GET [<count>]", "The newest entries: number, time, microseconds, command, client."),
            ("LEN", "Number of entries."),
            ("RESET", "Forget all entries."),
        ],
    );
}
