//! Commands that read strings, and those that change a part: GET, GETDEL, GETEX, MGET, STRLEN,
//! GETRANGE, SETRANGE, APPEND.

use super::options::{Options, Reader, Unit, expiry_ms};
use crate::command::{Cx, texts};
use crate::keyspace::Expiry;
use crate::resp::{Args, Reply};
use crate::value::integer::{IntText, parse_i64};
use crate::value::{NewValue, ValueRef};

fn write_value(reply: &mut Reply, value: ValueRef<'_>) {
    match value {
        ValueRef::Bytes(bytes) => reply.bulk(bytes),
        ValueRef::Int(number) => reply.bulk_int(number),
    }
}

/// Answer the value of `key`, or null; gives whether it is there. One lookup when the key is there
/// and was read lately.
pub fn reply_value(cx: &mut Cx<'_>, key: &[u8]) -> bool {
    let db = cx.session.db;
    let found = if cx.state.save.child.is_none() {
        cx.state.keyspace.db_mut(db).get_and_note(key, cx.now_ms)
    } else {
        cx.state.keyspace.db(db).get(key)
    };
    if let Some(entry) = found {
        if !entry.is_expired(cx.now_ms) {
            write_value(cx.reply, entry.value());
            cx.count_read(true);
            return true;
        }
        cx.is_there(db, key); // deletes it
    }
    cx.count_read(false);
    cx.reply.null();
    false
}

/// GET key.
pub fn get(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_value(cx, args.get(1));
}

/// MGET key [key ...].
pub fn mget(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.reply.array(args.len() - 1);
    for key in args.iter().skip(1) {
        reply_value(cx, key);
    }
}

/// GETDEL key.
pub fn getdel(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    if reply_value(cx, key) {
        cx.delete(key);
        cx.rewrite(&[b"DEL".as_slice(), key]);
    }
}

/// GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST].
pub fn getex(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let options = match Options::read(Reader::GetEx, args, 2) {
        Ok(options) => options,
        Err(text) => return cx.reply.error(text),
    };
    let mark = cx.reply.len();
    if !reply_value(cx, key) {
        return;
    }
    if let Some((unit, at)) = options.expiry {
        match expiry_ms(args.get(at), unit, cx.now_ms, "getex") {
            Ok(at_ms) => expire_read(cx, key, unit, at_ms),
            Err(text) => {
                cx.reply.truncate(mark);
                cx.reply.error(&text);
            }
        }
    } else if options.is_persist {
        let db = cx.session.db;
        if cx.state.keyspace.db(db).get(key).is_some_and(|entry| entry.expire_at_ms().is_some()) {
            cx.state.keyspace.db_mut(db).set_expire(key, None);
            cx.state.effects.changed(db, key);
            cx.rewrite(&[b"PERSIST".as_slice(), key]);
        }
    }
}

fn expire_read(cx: &mut Cx<'_>, key: &[u8], unit: Unit, at_ms: i64) {
    if matches!(unit, Unit::ExAt | Unit::PxAt) && at_ms <= cx.now_ms {
        cx.delete(key);
        cx.rewrite(&[b"DEL".as_slice(), key]);
        return;
    }
    let db = cx.session.db;
    cx.state.keyspace.db_mut(db).set_expire(key, Some(at_ms));
    cx.state.effects.changed(db, key);
    let at = IntText::new(at_ms);
    cx.rewrite(&[b"PEXPIREAT".as_slice(), key, &at]);
}

/// STRLEN key.
pub fn strlen(cx: &mut Cx<'_>, args: Args<'_>) {
    let length = cx.read(args.get(1)).map_or(0, |value| value.text().len());
    cx.reply.int(length as i64);
}

/// GETRANGE key start end, and SUBSTR.
pub fn getrange(cx: &mut Cx<'_>, args: Args<'_>) {
    let (Some(start), Some(end)) = (parse_i64(args.get(2)), parse_i64(args.get(3))) else {
        return cx.reply.error(texts::NOT_INTEGER);
    };
    let part = cx.read(args.get(1)).map(|value| slice(&value.text(), start, end).to_vec());
    cx.reply.bulk(&part.unwrap_or_default());
}

/// The bytes from `start` to `end`, both included; negative ones count from the end.
fn slice(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let length = bytes.len() as i64;
    if length == 0 || (start < 0 && end < 0 && start > end) {
        return &[];
    }
    let from_end = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    if start > end { &[] } else { &bytes[start as usize..=end as usize] }
}

/// SETRANGE key offset value.
pub fn setrange(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, bytes) = (args.get(1), args.get(3));
    let offset = match parse_i64(args.get(2)) {
        None => return cx.reply.error(texts::NOT_INTEGER),
        Some(offset) if offset < 0 => return cx.reply.error("ERR offset is out of range"),
        Some(offset) => offset as u64,
    };
    let length = cx.find(key).map(|entry| entry.value().text().len());
    if bytes.is_empty() {
        return cx.reply.int(length.unwrap_or(0) as i64);
    }
    if is_too_long(cx, offset, bytes.len()) {
        return cx.reply.error(texts::TOO_LONG);
    }
    let db = cx.session.db;
    let length = cx.state.keyspace.db_mut(db).set_range(key, offset as usize, bytes);
    cx.state.effects.changed(db, key);
    cx.reply.int(length as i64);
}

fn is_too_long(cx: &Cx<'_>, held: u64, added: usize) -> bool {
    held.saturating_add(added as u64) > cx.state.config.proto_max_bulk_len as u64
}

/// APPEND key value.
pub fn append(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, bytes) = (args.get(1), args.get(2));
    let held = cx.find(key).map(|entry| entry.value().text().len());
    let length = match held {
        None => {
            cx.store(key, NewValue::Bytes(bytes), Expiry::Never);
            bytes.len()
        }
        Some(held) if is_too_long(cx, held as u64, bytes.len()) => {
            return cx.reply.error(texts::TOO_LONG);
        }
        Some(_) => {
            let db = cx.session.db;
            let length = cx.state.keyspace.db_mut(db).append(key, bytes);
            cx.state.effects.changed(db, key);
            length
        }
    };
    cx.reply.int(length as i64);
}
