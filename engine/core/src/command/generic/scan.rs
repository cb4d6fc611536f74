//! Walking through keys: KEYS, SCAN, RANDOMKEY.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::glob::matches;
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;

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

/// A lone star takes every key, the empty one too (which no other pattern with a star does).
fn is_wanted(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || matches(pattern, key, false)
}

/// What a SCAN-like command was asked for.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Filter<'a> {
    fn read(args: Args<'a>, from: usize) -> Result<Self, &'static str> {
        const COUNT_DEFAULT: usize = 10;
        let mut filter = Self { pattern: None, type_name: None, count: COUNT_DEFAULT };
        let mut at = from;
        while at < args.len() {
            if at + 1 >= args.len() {
                return Err(texts::SYNTAX);
            }
            let value = args.get(at + 1);
            match args.get(at).to_ascii_lowercase().as_slice() {
                b"count" => {
                    let count = parse_i64(value).ok_or(texts::NOT_INTEGER)?;
                    filter.count = usize::try_from(count)
                        .ok()
                        .filter(|&count| count > 0)
                        .ok_or(texts::SYNTAX)?;
                }
                b"match" => filter.pattern = Some(value),
                b"type" => filter.type_name = Some(value),
                _ => return Err(texts::SYNTAX),
            }
            at += 2;
        }
        Ok(filter)
    }
}

/// A cursor as C's `strtoul` reads it (a sign, and nothing at all, included).
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (is_negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if is_negative { value.wrapping_neg() } else { value })
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Expired keys that it meets are deleted.
pub fn scan(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some(cursor) = parse_cursor(args.get(1)) else {
        return cx.reply.error("ERR invalid cursor");
    };
    let filter = match Filter::read(args, 2) {
        Ok(filter) => filter,
        Err(text) => return cx.reply.error(text),
    };
    let db = cx.session.db;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = cx.state.keyspace.db(db).scan(cursor, filter.count, &mut |entry| {
        if filter.pattern.is_none_or(|pattern| is_wanted(pattern, entry.key())) {
            found.push(entry.key().to_vec());
        }
    });
    found.retain(|key| match filter.type_name {
        None => cx.is_there(db, key),
        // Looking at the type is a read, as in Redis.
        Some(wanted) => cx.peek(key).is_some_and(|entry| {
            wanted.eq_ignore_ascii_case(entry.value().type_of().name().as_bytes())
        }),
    });
    cx.reply.array(2);
    cx.reply.bulk(next.to_string().as_bytes());
    cx.reply.array(found.len());
    found.iter().for_each(|key| cx.reply.bulk(key));
}

/// RANDOMKEY.
pub fn randomkey(cx: &mut Cx<'_>, _args: Args<'_>) {
    let db = cx.session.db;
    while let Some(entry) = cx.state.keyspace.db(db).random(draw()) {
        let key = entry.key().to_vec();
        let was_expired = entry.is_expired(cx.now_ms);
        if !was_expired || cx.state.are_writes_paused {
            return cx.reply.bulk(&key);
        }
        cx.is_there(db, &key);
    }
    cx.reply.null();
}

/// 64 random bits (splitmix64); good enough to pick a key, not for secrets.
fn draw() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = SEED.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
