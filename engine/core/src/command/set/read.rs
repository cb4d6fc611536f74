//! Reading one set: SISMEMBER, SMISMEMBER, SCARD, SMEMBERS, SSCAN.

use crate::command::Cx;
use crate::command::scanning::{Over, Scanning, parse_cursor, reply_head};
use crate::resp::Args;
use crate::value::{SetRef, Text};

/// SISMEMBER key member.
pub fn sismember(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    reply.int(i64::from(set.is_some_and(|set| set.contains(args.get(2)))));
}

/// SMISMEMBER key member [member ...].
pub fn smismember(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    reply.array(args.len() - 2);
    for member in args.iter().skip(2) {
        reply.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
}

/// SCARD key.
pub fn scard(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    reply.int(set.map_or(0, SetRef::len) as i64);
}

/// SMEMBERS key.
pub fn smembers(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    reply.set(set.map_or(0, SetRef::len));
    set.into_iter().flat_map(SetRef::iter).for_each(|member| reply.bulk(&member));
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]. A packed set is answered at once.
pub fn sscan(cx: &mut Cx<'_>, args: Args<'_>) {
    let cursor = match parse_cursor(args.get(2)) {
        Ok(cursor) => cursor,
        Err(text) => return cx.reply.error(text),
    };
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    let Some(set) = set else { return reply_head(reply, 0, 0) };
    let asked = match Scanning::read(args, 3, Over::Elements) {
        Ok(asked) => asked,
        Err(text) => return reply.error(text),
    };
    let mut found: Vec<Text<'_>> = Vec::new();
    let next = match set {
        SetRef::Ints(_) | SetRef::Packed(_) => {
            found.extend(set.iter().filter(|member| asked.takes(member)));
            0
        }
        SetRef::Large(table) => table.scan(cursor, asked.count, &mut |entry| {
            if asked.takes(entry.key()) {
                found.push(Text::Borrowed(entry.key()));
            }
        }),
    };
    reply_head(reply, next, found.len());
    found.iter().for_each(|member| reply.bulk(member));
}
