//! Taking elements out: ZREM, the ZREMRANGEBY commands, ZPOPMIN, ZPOPMAX, ZMPOP.

use super::bounds::{self, RankRange};
use super::{Layout, answer};
use crate::command::{Cx, texts};
use crate::resp::{Args, Reply};
use crate::session::Protocol;
use crate::value::integer::{IntText, parse_i64};
use crate::value::zset::ZSetMut;
use crate::value::{Type, ZSetRef};

/// ZREM key member [member ...].
pub fn zrem(cx: &mut Cx<'_>, args: Args<'_>) {
    let removed = cx.edit_present(args.get(1), Type::ZSet, |value, packing| {
        let mut zset = ZSetMut::of(value, *packing);
        args.iter().skip(2).filter(|member| zset.remove(member)).count()
    });
    answer_removed(cx, args.get(1), removed);
}

/// ZREMRANGEBYRANK key start stop.
pub fn zremrangebyrank(cx: &mut Cx<'_>, args: Args<'_>) {
    match RankRange::read(args.get(2), args.get(3)) {
        Ok(range) => remove_range(cx, args, |zset| range.ranks(zset.len(), false)),
        Err(text) => cx.reply.error(text),
    }
}

/// ZREMRANGEBYSCORE key min max.
pub fn zremrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) {
    match bounds::score_range(args.get(2), args.get(3)) {
        Ok(range) => remove_range(cx, args, |zset| zset.ranks_of_scores(&range)),
        Err(text) => cx.reply.error(text),
    }
}

/// ZREMRANGEBYLEX key min max.
pub fn zremrangebylex(cx: &mut Cx<'_>, args: Args<'_>) {
    match bounds::lex_range(args.get(2), args.get(3)) {
        Ok(range) => remove_range(cx, args, |zset| zset.ranks_of_members(&range, false, 0)),
        Err(text) => cx.reply.error(text),
    }
}

fn remove_range(cx: &mut Cx<'_>, args: Args<'_>, ranks: impl Fn(ZSetRef<'_>) -> (usize, usize)) {
    let removed = cx.edit_present(args.get(1), Type::ZSet, |value, packing| {
        let mut zset = ZSetMut::of(value, *packing);
        let (from, to) = ranks(zset.as_ref());
        zset.remove_range(from, to)
    });
    answer_removed(cx, args.get(1), removed);
}

fn answer_removed(cx: &mut Cx<'_>, key: &[u8], removed: Option<Option<usize>>) {
    let Some(removed) = removed.map(Option::unwrap_or_default) else { return };
    cx.changed(key, removed);
    cx.reply.int(removed as i64);
}

/// From which end elements are popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

/// ZPOPMIN key [count].
pub fn zpopmin(cx: &mut Cx<'_>, args: Args<'_>) {
    pop_one(cx, args, End::Min);
}

/// ZPOPMAX key [count].
pub fn zpopmax(cx: &mut Cx<'_>, args: Args<'_>) {
    pop_one(cx, args, End::Max);
}

fn pop_one(cx: &mut Cx<'_>, args: Args<'_>, end: End) {
    if args.len() > 3 {
        return cx.reply.error(texts::SYNTAX);
    }
    let count = match args.len() {
        3 => parse_i64(args.get(2)).and_then(|count| usize::try_from(count).ok()),
        _ => Some(1),
    };
    let Some(count) = count else { return cx.reply.error(texts::NOT_POSITIVE) };
    // A pair each only where RESP3 asked for a count.
    let layout = match cx.reply.protocol {
        Protocol::Resp3 if args.len() == 3 => Layout::Pairs,
        _ => Layout::Flat,
    };
    let key = args.get(1);
    let popped = cx.edit_answering(key, Type::ZSet, |value, packing, reply| {
        pop(&mut ZSetMut::of(value, *packing), reply, (end, count), layout)
    });
    match popped {
        Some(Some(popped)) => cx.changed(key, popped),
        Some(None) => cx.reply.array(0),
        None => {}
    }
}

/// Answer elements of one end and remove them. Gives how many there were.
fn pop(
    zset: &mut ZSetMut<'_, '_>,
    reply: &mut Reply,
    (end, count): (End, usize),
    layout: Layout,
) -> usize {
    let len = zset.as_ref().len();
    let count = count.min(len);
    let (from, to) = if end == End::Min { (0, count) } else { (len - count, len) };
    answer(reply, layout, zset.as_ref().range(from, to), end == End::Max);
    zset.remove_range(from, to)
}

/// ZMPOP numkeys key [key ...] MIN | MAX [COUNT count]. Logged as what it popped from where.
pub fn zmpop(cx: &mut Cx<'_>, args: Args<'_>) {
    let (keys, end, count) = match read_zmpop(args) {
        Ok(read) => read,
        Err(text) => return cx.reply.error(text),
    };
    for key in args.iter().skip(2).take(keys) {
        let popped = cx.edit_answering(key, Type::ZSet, |value, packing, reply| {
            reply.array(2);
            reply.bulk(key);
            pop(&mut ZSetMut::of(value, *packing), reply, (end, count), Layout::Pairs)
        });
        match popped {
            None => return,
            Some(None) => {}
            Some(Some(popped)) => {
                cx.changed(key, popped);
                let name = if end == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" };
                let count = IntText::new(popped as i64);
                return cx.rewrite(&[name.as_slice(), key, &count]);
            }
        }
    }
    cx.reply.null_array();
}

/// How many keys, which end, how many elements.
fn read_zmpop(args: Args<'_>) -> Result<(usize, End, usize), &'static str> {
    let positive =
        |text| parse_i64(text).and_then(|it| usize::try_from(it).ok()).filter(|it| *it > 0);
    let keys = positive(args.get(1)).ok_or("ERR numkeys should be greater than 0")?;
    let at = keys.saturating_add(2);
    let end = match args.get(at) {
        word if word.eq_ignore_ascii_case(b"min") => End::Min,
        word if word.eq_ignore_ascii_case(b"max") => End::Max,
        _ => return Err(texts::SYNTAX),
    };
    match args.len() - at {
        1 => Ok((keys, end, 1)),
        words if words >= 3 && args.get(at + 1).eq_ignore_ascii_case(b"count") => {
            let count = positive(args.get(at + 2)).ok_or("ERR count should be greater than 0")?;
            if words > 3 { Err(texts::SYNTAX) } else { Ok((keys, end, count)) }
        }
        _ => Err(texts::SYNTAX),
    }
}
