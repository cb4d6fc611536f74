//! Strings as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. The expiry stays.

use crate::command::extended::Extended;
use crate::command::{Cx, texts};
use crate::keyspace::Expiry;
use crate::resp::Args;
use crate::value::integer::parse_i64;
use crate::value::{NewValue, ValueRef};

/// INCR key.
pub fn incr(cx: &mut Cx<'_>, args: Args<'_>) {
    add(cx, args.get(1), 1);
}

/// DECR key.
pub fn decr(cx: &mut Cx<'_>, args: Args<'_>) {
    add(cx, args.get(1), -1);
}

/// INCRBY key increment.
pub fn incrby(cx: &mut Cx<'_>, args: Args<'_>) {
    match parse_i64(args.get(2)) {
        Some(step) => add(cx, args.get(1), step),
        None => cx.reply.error(texts::NOT_INTEGER),
    }
}

/// DECRBY key decrement.
pub fn decrby(cx: &mut Cx<'_>, args: Args<'_>) {
    match parse_i64(args.get(2)) {
        Some(i64::MIN) => cx.reply.error("ERR decrement would overflow"),
        Some(step) => add(cx, args.get(1), -step),
        None => cx.reply.error(texts::NOT_INTEGER),
    }
}

fn add(cx: &mut Cx<'_>, key: &[u8], step: i64) {
    let Some(held) = cx.find_string(key) else { return };
    let held = held.map_or(Some(0), ValueRef::as_int);
    let Some(held) = held else { return cx.reply.error(texts::NOT_INTEGER) };
    let Some(sum) = held.checked_add(step) else {
        return cx.reply.error("ERR increment or decrement would overflow");
    };
    cx.store(key, NewValue::Int(sum), Expiry::Keep);
    cx.reply.int(sum);
}

/// INCRBYFLOAT key increment. Logged as the result, so that no replay computes again.
pub fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let Some(held) = cx.find_string(key) else { return };
    let held = match held {
        None => Some(Extended::ZERO),
        Some(value) => Extended::parse(&value.text()),
    };
    let (Some(held), Some(step)) = (held, Extended::parse(args.get(2))) else {
        return cx.reply.error(texts::NOT_FLOAT);
    };
    let sum = held.add(step);
    if !sum.is_finite() {
        return cx.reply.error("ERR increment would produce NaN or Infinity");
    }
    let text = sum.to_text().into_bytes();
    cx.store(key, NewValue::Bytes(&text), Expiry::Keep);
    cx.reply.bulk(&text);
    cx.rewrite(&[b"SET".as_slice(), key, &text, b"KEEPTTL"]);
}
