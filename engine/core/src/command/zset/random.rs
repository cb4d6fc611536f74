//! ZRANDMEMBER: elements at random. Ranks are drawn, so every element is as likely as any other.

use std::collections::HashSet;

use super::{Layout, answer};
use crate::command::{Cx, chance, texts};
use crate::resp::{Args, Reply};
use crate::value::ZSetRef;
use crate::value::integer::parse_i64;

/// ZRANDMEMBER key [count [WITHSCORES]].
pub fn zrandmember(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len() == 2 {
        return one(cx, args.get(1));
    }
    let (count, has_scores) = match read_count(args) {
        Ok(read) => read,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let Some(zset) = zset.filter(|_| count != 0) else { return reply.array(0) };
    let layout = Layout::with_scores(has_scores, reply);
    match usize::try_from(count) {
        Ok(count) => different(zset, reply, layout, count),
        Err(_) => repeating(zset, reply, layout, count.unsigned_abs() as usize),
    }
}

fn read_count(args: Args<'_>) -> Result<(i64, bool), &'static str> {
    let count = parse_i64(args.get(2)).ok_or(texts::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err("ERR value is out of range, value must between -9223372036854775807 and \
                    9223372036854775807");
    }
    let has_scores = args.len() == 4 && args.get(3).eq_ignore_ascii_case(b"withscores");
    if args.len() > 3 && !has_scores {
        return Err(texts::SYNTAX);
    }
    if has_scores && count.abs() > i64::MAX / 2 {
        return Err("ERR value is out of range");
    }
    Ok((count, has_scores))
}

fn one(cx: &mut Cx<'_>, key: &[u8]) {
    let Some((zset, reply)) = cx.read_zset(key) else { return };
    let rank = chance::below(zset.map_or(0, ZSetRef::len));
    match zset.and_then(|zset| zset.range(rank, rank + 1).next()) {
        Some((member, _)) => reply.bulk(&member),
        None => reply.null(),
    }
}

/// So many draws, each from all elements. A reply that outgrows its bound ends it.
fn repeating(zset: ZSetRef<'_>, reply: &mut Reply, layout: Layout, count: usize) {
    layout.head(reply, count);
    for _ in 0..count {
        let rank = chance::below(zset.len());
        let Some((member, score)) = zset.range(rank, rank + 1).next() else { return };
        layout.element(reply, &member, score);
        if reply.is_overfull() {
            return;
        }
    }
}

/// So many different elements.
fn different(zset: ZSetRef<'_>, reply: &mut Reply, layout: Layout, count: usize) {
    /// From this share of all on, walking through the set is cheaper than drawing ranks.
    const WALK_FROM: usize = 8;
    let len = zset.len();
    if count >= len {
        return answer(reply, layout, zset.iter(), false);
    }
    layout.head(reply, count);
    if matches!(zset, ZSetRef::Packed(_)) || count >= len / WALK_FROM {
        let mut wanted = count;
        for (rank, (member, score)) in zset.iter().enumerate() {
            // What is left is wanted with equal chance.
            if chance::below(len - rank) < wanted {
                layout.element(reply, &member, score);
                wanted -= 1;
            }
        }
        return;
    }
    // Floyd's way: `count` different ranks with `count` draws.
    let mut drawn = HashSet::with_capacity(count);
    for last in len - count..len {
        let rank = chance::below(last + 1);
        let rank = if drawn.insert(rank) { rank } else { last };
        drawn.insert(rank);
        if let Some((member, score)) = zset.range(rank, rank + 1).next() {
            layout.element(reply, &member, score);
        }
    }
}
