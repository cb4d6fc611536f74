//! ZSCAN: a packed set is answered whole, a large one in steps of its member table.

use crate::command::Cx;
use crate::command::scanning::{Over, Scanning, parse_cursor, reply_head};
use crate::resp::Args;
use crate::value::ZSetRef;
use crate::value::score::ScoreText;
use crate::value::sorted::score_of;

/// ZSCAN key cursor [MATCH pattern] [COUNT count].
pub fn zscan(cx: &mut Cx<'_>, args: Args<'_>) {
    let cursor = match parse_cursor(args.get(2)) {
        Ok(cursor) => cursor,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let Some(zset) = zset else { return reply_head(reply, 0, 0) };
    let options = match Scanning::read(args, 3, Over::Elements) {
        Ok(options) => options,
        Err(text) => return reply.error(text),
    };
    match zset {
        ZSetRef::Packed(packed) => {
            let elements = || {
                let members = packed.iter().step_by(2);
                // Scores as they are stored: whole numbers in all their digits.
                members.zip(packed.iter().skip(1).step_by(2)).filter(|it| options.takes(&it.0))
            };
            reply_head(reply, 0, elements().count() * 2);
            elements().for_each(|(member, score)| {
                reply.bulk(&member);
                reply.bulk(&score);
            });
        }
        ZSetRef::Large(large) => {
            let mut found = Vec::new();
            let next = large.scan(cursor, options.count, &mut |entry| {
                if options.takes(entry.key()) {
                    found.push(entry);
                }
            });
            reply_head(reply, next, found.len() * 2);
            found.iter().for_each(|entry| {
                reply.bulk(entry.key());
                reply.bulk(&ScoreText::new(score_of(*entry)));
            });
        }
    }
}
