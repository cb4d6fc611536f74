//! When two replies to the same call say the same: bytes, but for orders that Redis does not
//! promise, times, and what is drawn at random (of which `chance` checks more).

use crate::effects::TOLERANCE_MS;
use crate::generator::Call;
use crate::replies::Reply;

/// OBJECT REFCOUNT of a shared number.
const SHARED: i64 = i32::MAX as i64;

/// What may differ in the replies to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freedom {
    /// Nothing.
    None,
    /// The order of the elements.
    Order,
    /// The order of the pairs.
    PairOrder,
    /// Cursor and share of a walk; where both sides walked through all, only the order.
    Walk,
    /// Which elements, not how many.
    Draw,
    /// A time, a little.
    Time,
    /// How a whole number is kept: Redis leaves what INCRBYFLOAT makes text, and shares small ones
    /// unless they were copied.
    NumberObject,
    /// Everything about one key drawn from the database.
    Key,
}

/// Whether both servers answered `call` the same; `queued` is what an EXEC ran.
pub fn is_same(call: &[Vec<u8>], queued: &[Call], real: &[u8], ours: &[u8]) -> bool {
    if real == ours {
        return true;
    }
    let (real, ours) = (Reply::parse(real), Reply::parse(ours));
    if !call[0].eq_ignore_ascii_case(b"EXEC") {
        return is_same_tree(call, &real, &ours);
    }
    match (real.items(), ours.items()) {
        (Some(a), Some(b)) if a.len() == b.len() && a.len() == queued.len() => {
            queued.iter().zip(a.iter().zip(b)).all(|(call, (a, b))| is_same_tree(call, a, b))
        }
        _ => false,
    }
}

fn is_same_tree(call: &[Vec<u8>], real: &Reply, ours: &Reply) -> bool {
    if real == ours {
        return true;
    }
    if real.is_error() || ours.is_error() {
        return false;
    }
    match freedom(call) {
        Freedom::None => false,
        Freedom::Order => sorted(real, 1).is_some_and(|real| Some(real) == sorted(ours, 1)),
        Freedom::PairOrder => sorted(real, 2).is_some_and(|real| Some(real) == sorted(ours, 2)),
        Freedom::Walk => is_same_walk(call, real, ours),
        Freedom::Draw => shape(real) == shape(ours),
        Freedom::Time => match (real.int(), ours.int()) {
            (Some(a), Some(b)) => a > 60 && (a - b).abs() <= TOLERANCE_MS,
            _ => false,
        },
        Freedom::NumberObject => {
            let is_number = |reply: &Reply| matches!(reply, Reply::Bulk(t) if t == b"int");
            let is_text = |reply: &Reply| matches!(reply, Reply::Bulk(t) if t == b"embstr");
            let is_count = |reply: &Reply| matches!(reply.int(), Some(1 | SHARED));
            is_number(ours) && is_text(real)
                || is_number(real) && is_text(ours)
                || is_count(real) && is_count(ours)
        }
        Freedom::Key => matches!((real, ours), (Reply::Bulk(_), Reply::Bulk(_))),
    }
}

fn freedom(call: &[Vec<u8>]) -> Freedom {
    let name = call[0].to_ascii_lowercase();
    let has = |word: &[u8]| call.iter().skip(2).any(|other| other.eq_ignore_ascii_case(word));
    match name.as_slice() {
        b"keys" | b"smembers" | b"sinter" | b"sunion" | b"sdiff" | b"hkeys" | b"hvals" => {
            Freedom::Order
        }
        b"hgetall" | b"config" => Freedom::PairOrder,
        b"scan" | b"sscan" | b"hscan" | b"zscan" => Freedom::Walk,
        b"srandmember" | b"hrandfield" | b"zrandmember" | b"spop" | b"memory" => Freedom::Draw,
        b"randomkey" => Freedom::Key,
        b"ttl" | b"pttl" | b"expiretime" | b"pexpiretime" => Freedom::Time,
        b"object" => Freedom::NumberObject,
        // Elements of equal weight, or of a set, stand in any order, and LIMIT cuts anywhere.
        b"sort" | b"sort_ro" if has(b"store") => Freedom::None,
        b"sort" | b"sort_ro" if has(b"by") && has(b"limit") && !has(b"get") => Freedom::Draw,
        b"sort" | b"sort_ro" if has(b"by") || has(b"alpha") => Freedom::Order,
        _ => Freedom::None,
    }
}

/// Elements in groups of `size`, sorted, with the mark of what holds them.
fn sorted(reply: &Reply, size: usize) -> Option<(u8, Vec<&[Reply]>)> {
    match reply {
        Reply::Many(mark, items) => {
            let mut groups: Vec<&[Reply]> = items.chunks(size).collect();
            groups.sort();
            Some((*mark, groups))
        }
        _ => None,
    }
}

/// Marks and counts without what stands there; a double counts as a double, text as text.
fn shape(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Line(line) => vec![char::from(line[0]).to_string()],
        Reply::Bulk(_) => vec!["text".to_owned()],
        Reply::Null => vec!["null".to_owned()],
        Reply::Many(mark, items) => {
            let head = format!("{}{}", char::from(*mark), items.len());
            std::iter::once(head).chain(items.iter().flat_map(shape)).collect()
        }
    }
}

fn is_same_walk(call: &[Vec<u8>], real: &Reply, ours: &Reply) -> bool {
    let (Some([from_real, real]), Some([from_ours, ours])) = (real.items(), ours.items()) else {
        return false;
    };
    let is_scan = call[0].eq_ignore_ascii_case(b"SCAN");
    let cursor = call.get(if is_scan { 1 } else { 2 });
    let is_whole = [from_real, from_ours].iter().all(|from| **from == Reply::Bulk(b"0".to_vec()))
        && cursor.is_some_and(|cursor| cursor.iter().all(|byte| b"0 +-".contains(byte)));
    if !is_whole {
        return real.items().is_some() && ours.items().is_some();
    }
    let size = if has_pairs(call) { 2 } else { 1 };
    sorted(real, size).is_some_and(|real| Some(real) == sorted(ours, size))
}

/// Whether a walk gives pairs.
pub fn has_pairs(call: &[Vec<u8>]) -> bool {
    [b"HSCAN".as_slice(), b"ZSCAN"].iter().any(|name| call[0].eq_ignore_ascii_case(name))
}
