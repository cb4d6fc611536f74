//! Fields as numbers: HINCRBY, HINCRBYFLOAT. A field that is not there counts as 0.

use crate::command::extended::Extended;
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::{IntText, parse_i64};
use crate::value::{HashMut, Type};

/// HINCRBY key field increment.
pub fn hincrby(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, field) = (args.get(1), args.get(2));
    let Some(step) = parse_i64(args.get(3)) else { return cx.reply.error(texts::NOT_INTEGER) };
    let sum = cx.edit(key, Type::Hash, |value, packing| {
        let mut hash = HashMut::of(value, *packing);
        let held = match hash.view().get(field) {
            None => 0,
            Some(text) => parse_i64(&text).ok_or("ERR hash value is not an integer")?,
        };
        let sum = held.checked_add(step).ok_or("ERR increment or decrement would overflow")?;
        hash.put(field, &IntText::new(sum));
        Ok(sum)
    });
    match sum {
        None => {}
        Some(Err(text)) => cx.reply.error(text),
        Some(Ok(sum)) => {
            cx.changed(key, 1);
            cx.reply.int(sum);
        }
    }
}

/// HINCRBYFLOAT key field increment. Logged as the result, so that no replay computes again.
pub fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, field) = (args.get(1), args.get(2));
    let Some(step) = Extended::parse(args.get(3)) else { return cx.reply.error(texts::NOT_FLOAT) };
    if !step.is_finite() {
        return cx.reply.error("ERR value is NaN or Infinity");
    }
    let sum = cx.edit(key, Type::Hash, |value, packing| {
        let mut hash = HashMut::of(value, *packing);
        let held = match hash.view().get(field) {
            None => Extended::ZERO,
            Some(text) => Extended::parse(&text).ok_or("ERR hash value is not a float")?,
        };
        let sum = held.add(step);
        if !sum.is_finite() {
            return Err("ERR increment would produce NaN or Infinity");
        }
        let text = sum.to_text().into_bytes();
        hash.put(field, &text);
        Ok(text)
    });
    match sum {
        None => {}
        Some(Err(text)) => cx.reply.error(text),
        Some(Ok(text)) => {
            cx.changed(key, 1);
            cx.reply.bulk(&text);
            cx.rewrite(&[b"HSET".as_slice(), key, field, &text]);
        }
    }
}
