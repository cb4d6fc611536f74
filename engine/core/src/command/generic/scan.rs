//! Walking through keys: KEYS, SCAN, RANDOMKEY.

use crate::command::Cx;
use crate::command::chance::draw;
use crate::command::scanning::{Over, Scanning, is_wanted, parse_cursor, reply_head};
use crate::resp::Args;

/// KEYS pattern.
pub fn keys(cx: &mut Cx<'_>, args: Args<'_>) {
    let db = cx.state.keyspace.db(cx.session.db);
    let found: Vec<&[u8]> = db
        .iter()
        .filter(|entry| !entry.is_expired(cx.now_ms) && is_wanted(args.get(1), entry.key()))
        .map(|entry| entry.key())
        .collect();
    cx.reply.array(found.len());
    found.iter().for_each(|key| cx.reply.bulk(key));
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Expired keys that it meets are deleted.
pub fn scan(cx: &mut Cx<'_>, args: Args<'_>) {
    let read = parse_cursor(args.get(1))
        .and_then(|cursor| Ok((cursor, Scanning::read(args, 2, Over::Keys)?)));
    let (cursor, asked) = match read {
        Ok(read) => read,
        Err(text) => return cx.reply.error(text),
    };
    let db = cx.session.db;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = cx.state.keyspace.db(db).scan(cursor, asked.count, &mut |entry| {
        if asked.takes(entry.key()) {
            found.push(entry.key().to_vec());
        }
    });
    found.retain(|key| match asked.type_name {
        None => cx.is_there(db, key),
        // Looking at the type is a read, as in Redis.
        Some(wanted) => cx.peek(key).is_some_and(|entry| {
            wanted.eq_ignore_ascii_case(entry.value().type_of().name().as_bytes())
        }),
    });
    reply_head(cx.reply, next, found.len());
    found.iter().for_each(|key| cx.reply.bulk(key));
}

/// RANDOMKEY.
pub fn randomkey(cx: &mut Cx<'_>, _args: Args<'_>) {
    let db = cx.session.db;
    while let Some(entry) = cx.state.keyspace.db(db).random(draw()) {
        let key = entry.key().to_vec();
        let was_expired = entry.is_expired(cx.now_ms);
        if !was_expired || cx.state.is_data_held() {
            return cx.reply.bulk(&key);
        }
        cx.is_there(db, &key);
    }
    cx.reply.null();
}
