//! Reading hashes: HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HSTRLEN, HEXISTS, HSCAN.

use crate::command::Cx;
use crate::command::scanning::{Over, Scanning, parse_cursor, reply_head};
use crate::resp::Args;
use crate::value::{HashRef, Text};

/// HGET key field.
pub fn hget(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    match hash.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => reply.bulk(&value),
        None => reply.null(),
    }
}

/// HMGET key field [field ...].
pub fn hmget(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    reply.array(args.len() - 2);
    for field in args.iter().skip(2) {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => reply.bulk(&value),
            None => reply.null(),
        }
    }
}

/// HGETALL key.
pub fn hgetall(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    reply.map(hash.map_or(0, HashRef::len));
    for (field, value) in hash.into_iter().flat_map(HashRef::iter) {
        reply.bulk(&field);
        reply.bulk(&value);
    }
}

/// HKEYS key.
pub fn hkeys(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_half(cx, args, |(field, _)| field);
}

/// HVALS key.
pub fn hvals(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_half(cx, args, |(_, value)| value);
}

fn reply_half(cx: &mut Cx<'_>, args: Args<'_>, half: for<'a> fn((Text<'a>, Text<'a>)) -> Text<'a>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    reply.array(hash.map_or(0, HashRef::len));
    hash.into_iter().flat_map(HashRef::iter).for_each(|pair| reply.bulk(&half(pair)));
}

/// HLEN key.
pub fn hlen(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    reply.int(hash.map_or(0, HashRef::len) as i64);
}

/// HSTRLEN key field.
pub fn hstrlen(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    let value = hash.and_then(|hash| hash.get(args.get(2)));
    reply.int(value.map_or(0, |value| value.len()) as i64);
}

/// HEXISTS key field.
pub fn hexists(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    reply.int(i64::from(hash.is_some_and(|hash| hash.contains(args.get(2)))));
}

/// HSCAN key cursor [MATCH pattern] [COUNT count]. A packed hash is answered at once.
pub fn hscan(cx: &mut Cx<'_>, args: Args<'_>) {
    let cursor = match parse_cursor(args.get(2)) {
        Ok(cursor) => cursor,
        Err(text) => return cx.reply.error(text),
    };
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    let Some(hash) = hash else { return reply_head(reply, 0, 0) };
    let asked = match Scanning::read(args, 3, Over::Elements) {
        Ok(asked) => asked,
        Err(text) => return reply.error(text),
    };
    let mut found: Vec<(Text<'_>, Text<'_>)> = Vec::new();
    let next = match hash {
        HashRef::Packed(_) => {
            found.extend(hash.iter().filter(|(field, _)| asked.takes(field)));
            0
        }
        HashRef::Large(table) => table.scan(cursor, asked.count, &mut |entry| {
            if asked.takes(entry.key()) {
                found.push((Text::Borrowed(entry.key()), entry.text()));
            }
        }),
    };
    reply_head(reply, next, found.len() * 2);
    for (field, value) in found {
        reply.bulk(&field);
        reply.bulk(&value);
    }
}
