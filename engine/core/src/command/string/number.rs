//! Strings as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. The expiry stays.

use crate::command::extended::Extended;
use crate::command::{Cx, texts};
use crate::keyspace::Expiry;
use crate::resp::Args;
use crate::value::NewValue;
use crate::value::integer::parse_i64;

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
    let held = cx.find(key).map_or(Some(0), |entry| entry.value().as_int());
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
    let held = match cx.find(key) {
        None => Some(Extended::ZERO),
        Some(entry) => Extended::parse(&entry.value().text()),
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
