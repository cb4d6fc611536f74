//! Fields at random: HRANDFIELD.

use crate::command::chance::{below, distinct, draw, parse_count, select};
use crate::command::{Cx, texts};
use crate::resp::{Args, Reply};
use crate::session::Protocol;
use crate::value::{HashRef, Text};

/// HRANDFIELD key [count [WITHVALUES]].
pub fn hrandfield(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len() == 2 {
        let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
        return match hash.and_then(|hash| hash.random(draw())) {
            Some((field, _)) => reply.bulk(&field),
            None => reply.null(),
        };
    }
    let count = match parse_count(args.get(2)) {
        Ok(count) => count,
        Err(text) => return cx.reply.error(text),
    };
    let has_values = args.len() == 4 && args.get(3).eq_ignore_ascii_case(b"withvalues");
    if args.len() > 3 && !has_values {
        return cx.reply.error(texts::SYNTAX);
    }
    if has_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return cx.reply.error("ERR value is out of range");
    }
    let Some((hash, reply)) = cx.read_hash(args.get(1)) else { return };
    match hash {
        None => reply.array(0),
        Some(hash) if count < 0 => {
            repeated(hash, count.unsigned_abs() as usize, Fields { reply, has_values });
        }
        Some(hash) => different(hash, count as usize, Fields { reply, has_values }),
    }
}

/// Where fields are written to, with or without their values.
struct Fields<'a> {
    reply: &'a mut Reply,
    has_values: bool,
}

impl Fields<'_> {
    fn begin(&mut self, count: usize) {
        let is_flat = self.has_values && self.reply.protocol == Protocol::Resp2;
        self.reply.array(if is_flat { count * 2 } else { count });
    }

    fn write(&mut self, (field, value): (Text<'_>, Text<'_>)) {
        if self.has_values && self.reply.protocol == Protocol::Resp3 {
            self.reply.array(2);
        }
        self.reply.bulk(&field);
        if self.has_values {
            self.reply.bulk(&value);
        }
    }
}

/// `count` fields, each drawn from all of them.
fn repeated(hash: HashRef<'_>, count: usize, mut fields: Fields<'_>) {
    fields.begin(count);
    let packed: Vec<_> = match hash {
        HashRef::Packed(_) => hash.iter().collect(),
        HashRef::Large(_) => Vec::new(),
    };
    for _ in 0..count {
        let picked = match hash {
            HashRef::Packed(_) => packed.get(below(packed.len())).copied(),
            HashRef::Large(_) => hash.random(draw()),
        };
        let Some(pair) = picked.filter(|_| !fields.reply.is_overfull()) else { break };
        fields.write(pair);
    }
}

/// Up to `count` different fields.
fn different(hash: HashRef<'_>, count: usize, mut fields: Fields<'_>) {
    let length = hash.len();
    let count = count.min(length);
    fields.begin(count);
    match hash {
        HashRef::Large(table) if count < length / 3 => {
            let picked = distinct(table, count).into_iter();
            picked.for_each(|entry| fields.write((Text::Borrowed(entry.key()), entry.text())));
        }
        _ => select(hash.iter(), length, count).for_each(|pair| fields.write(pair)),
    }
}
