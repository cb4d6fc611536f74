//! Commands on sorted sets. `add` sets scores, `read` looks members up and counts, `range` gives
//! ranges of ranks, scores or members, `remove` takes elements out, `combine` unites, intersects and
//! subtracts, `random` and `scan` go through one; `bounds` reads what says where a range ends.
//! Not here: what a sorted set is (`value::zset`).

pub mod add;
mod bounds;
pub mod combine;
pub mod random;
pub mod range;
pub mod read;
pub mod remove;
pub mod scan;

use super::Cx;
use crate::resp::Reply;
use crate::session::Protocol;
use crate::value::Type;
use crate::value::zset::{Elements, ZSetMut};

/// How members and their scores are laid out in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Members alone.
    Members,
    /// Member, score, member, score.
    Flat,
    /// A pair each.
    Pairs,
}

impl Layout {
    /// What WITHSCORES gives: pairs in RESP3.
    fn with_scores(is_wanted: bool, reply: &Reply) -> Self {
        match (is_wanted, reply.protocol) {
            (false, _) => Self::Members,
            (true, Protocol::Resp2) => Self::Flat,
            (true, Protocol::Resp3) => Self::Pairs,
        }
    }

    /// The head of an array of so many elements.
    fn head(self, reply: &mut Reply, count: usize) {
        reply.array(if self == Self::Flat { count.saturating_mul(2) } else { count });
    }

    fn element(self, reply: &mut Reply, member: &[u8], score: f64) {
        if self == Self::Pairs {
            reply.array(2);
        }
        reply.bulk(member);
        if self != Self::Members {
            reply.double(score);
        }
    }
}

/// Answer elements in their order, or in reverse.
fn answer(reply: &mut Reply, layout: Layout, elements: Elements<'_>, is_reverse: bool) {
    layout.head(reply, elements.len());
    if is_reverse {
        elements.rev().for_each(|(member, score)| layout.element(reply, &member, score));
    } else {
        elements.for_each(|(member, score)| layout.element(reply, &member, score));
    }
}

/// What is known of the elements of a new sorted set before they come. It decides from when on the
/// set is large, which shows in one thing: a packed one does not keep the sign of -0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing: Redis takes them one by one.
    Nothing,
    /// How many there are.
    Count,
    /// How many, and how long the longest member is.
    LongestBytes(usize),
}

/// Make a sorted set of elements in place of whatever `key` holds; of none,
/// delete it. Answers how many there were.
fn store<'a>(
    cx: &mut Cx<'_>,
    key: &[u8],
    elements: impl ExactSizeIterator<Item = (&'a [u8], f64)>,
    known: Known,
) {
    let count = elements.len();
    if count == 0 {
        cx.delete(key);
        return cx.reply.int(0);
    }
    let packing = cx.state.config.packing;
    let db = cx.state.keyspace.db_mut(cx.session.db);
    db.remove(key);
    db.make_and_edit(key, Type::ZSet, |value| {
        let mut zset = ZSetMut::of(value, packing);
        match known {
            Known::Nothing => {}
            Known::Count => zset.reserve(count),
            Known::LongestBytes(bytes) => zset.reserve_for(count, bytes),
        }
        elements.for_each(|(member, score)| {
            zset.put(member, score);
        });
    });
    cx.changed(key, 1);
    cx.reply.int(count as i64);
}
