//! Commands that read strings, and those that change a part: GET, GETDEL, GETEX, MGET, STRLEN,
//! GETRANGE, SETRANGE, APPEND.

use super::options::{Options, Reader, Unit, expiry_ms};
use crate::command::{Cx, texts};
use crate::keyspace::Expiry;
use crate::resp::{Args, Reply};
use crate::value::integer::{IntText, parse_i64};
use crate::value::{NewValue, Type, ValueRef};

fn write_value(reply: &mut Reply, value: ValueRef<'_>) {
    match value {
        ValueRef::Int(number) => reply.bulk_int(number),
        value => reply.bulk(&value.text()),
    }
}

/// Answer the string at `key`, or null; gives whether it is there. `None`: another type is there,
/// and that has been answered.
pub fn reply_value(cx: &mut Cx<'_>, key: &[u8]) -> Option<bool> {
    match cx.read_typed(key, Type::String)? {
        (Some(value), reply) => {
            write_value(reply, value);
            Some(true)
        }
        (None, reply) => {
            reply.null();
            Some(false)
        }
    }
}

/// GET key.
pub fn get(cx: &mut Cx<'_>, args: Args<'_>) {
    reply_value(cx, args.get(1));
}

/// MGET key [key ...].
pub fn mget(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.reply.array(args.len() - 1);
    cx.for_each_key(args, 1, |cx, at| match cx.read_any(args.get(at)) {
        (Some(value), reply) if value.type_of() == Type::String => write_value(reply, value),
        (_, reply) => reply.null(),
    });
}

/// GETDEL key.
pub fn getdel(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    if reply_value(cx, key) == Some(true) {
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
    if reply_value(cx, key) != Some(true) {
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
    if matches!(unit, Unit::ExAt | Unit::PxAt) && cx.is_past(at_ms) {
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
    let Some((value, reply)) = cx.read_typed(args.get(1), Type::String) else { return };
    reply.int(value.map_or(0, |value| value.text().len()) as i64);
}

/// GETRANGE key start end, and SUBSTR.
pub fn getrange(cx: &mut Cx<'_>, args: Args<'_>) {
    let (Some(start), Some(end)) = (parse_i64(args.get(2)), parse_i64(args.get(3))) else {
        return cx.reply.error(texts::NOT_INTEGER);
    };
    let Some((value, reply)) = cx.read_typed(args.get(1), Type::String) else { return };
    match value.map(ValueRef::text) {
        Some(text) => reply.bulk(slice(&text, start, end)),
        None => reply.bulk(b""),
    }
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
    let Some(held) = cx.find_string(key) else { return };
    let length = held.map(|value| value.text().len());
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
    let Some(held) = cx.find_string(key) else { return };
    let length = match held.map(|value| value.text().len()) {
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
