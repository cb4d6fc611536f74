//! Looking members up and counting: ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT.

use super::bounds;
use crate::command::Cx;
use crate::resp::Args;
use crate::value::ZSetRef;

/// ZCARD key.
pub fn zcard(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    reply.int(zset.map_or(0, ZSetRef::len) as i64);
}

/// ZSCORE key member.
pub fn zscore(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    match zset.and_then(|zset| zset.score(args.get(2))) {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// ZMSCORE key member [member ...].
pub fn zmscore(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    reply.array(args.len() - 2);
    for member in args.iter().skip(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => reply.double(score),
            None => reply.null(),
        }
    }
}

/// ZRANK key member.
pub fn zrank(cx: &mut Cx<'_>, args: Args<'_>) {
    rank(cx, args, false);
}

/// ZREVRANK key member.
pub fn zrevrank(cx: &mut Cx<'_>, args: Args<'_>) {
    rank(cx, args, true);
}

fn rank(cx: &mut Cx<'_>, args: Args<'_>, is_reverse: bool) {
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let found = zset.and_then(|zset| Some((zset.len(), zset.rank(args.get(2))?.0)));
    match found {
        Some((len, rank)) if is_reverse => reply.int((len - 1 - rank) as i64),
        Some((_, rank)) => reply.int(rank as i64),
        None => reply.null(),
    }
}

/// ZCOUNT key min max.
pub fn zcount(cx: &mut Cx<'_>, args: Args<'_>) {
    let range = match bounds::score_range(args.get(2), args.get(3)) {
        Ok(range) => range,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let (from, to) = zset.map_or((0, 0), |zset| zset.ranks_of_scores(&range));
    reply.int((to - from) as i64);
}

/// ZLEXCOUNT key min max.
pub fn zlexcount(cx: &mut Cx<'_>, args: Args<'_>) {
    let range = match bounds::lex_range(args.get(2), args.get(3)) {
        Ok(range) => range,
        Err(text) => return cx.reply.error(text),
    };
    let Some((zset, reply)) = cx.read_zset(args.get(1)) else { return };
    let (from, to) = zset.map_or((0, 0), |zset| zset.ranks_of_members(&range, false, 0));
    reply.int((to - from) as i64);
}
