//! Members at random: SPOP, SRANDMEMBER.

use std::collections::HashSet;

use crate::command::chance::{below, distinct, draw, parse_count, select};
use crate::command::{Cx, texts};
use crate::resp::{Args, Reply};
use crate::value::integer::parse_i64;
use crate::value::{SetMut, SetRef, Text, Type};

/// SPOP key [count]. Logged as what was removed.
pub fn spop(cx: &mut Cx<'_>, args: Args<'_>) {
    match args.len() {
        2 => pop_one(cx, args.get(1)),
        3 => match parse_i64(args.get(2)).and_then(|count| usize::try_from(count).ok()) {
            Some(count) => pop_many(cx, args.get(1), count),
            None => cx.reply.error(texts::NOT_POSITIVE),
        },
        _ => cx.reply.error(texts::SYNTAX),
    }
}

fn pop_one(cx: &mut Cx<'_>, key: &[u8]) {
    let popped = cx.edit_answering(key, Type::Set, |value, packing, reply| {
        let mut set = SetMut::of(value, *packing);
        let member = set.view().random(draw())?.to_vec();
        reply.bulk(&member);
        set.remove(&member);
        Some(member)
    });
    match popped.map(Option::flatten) {
        None => {}
        Some(None) => cx.reply.null(),
        Some(Some(member)) => {
            cx.changed(key, 1);
            cx.rewrite(&[b"SREM".as_slice(), key, &member]);
        }
    }
}

fn pop_many(cx: &mut Cx<'_>, key: &[u8], count: usize) {
    /// Members in one SREM of the log.
    const LOGGED_MEMBERS_MAX: usize = 1024;
    /// Less than this part left: those that stay are picked, not those that go.
    const STAYING_SHARE: usize = 5;
    let popped = cx.edit_answering(key, Type::Set, |value, packing, reply| {
        let mut set = SetMut::of(value, *packing);
        let length = set.view().len();
        let count = count.min(length);
        reply.set(count);
        if count == length {
            set.view().iter().for_each(|member| reply.bulk(&member));
            set.clear();
            return (count, None);
        }
        let is_emptied = (length - count).saturating_mul(STAYING_SHARE) <= count;
        let members = if is_emptied {
            pop_most(&mut set, count, reply)
        } else {
            pop_few(&mut set, count, reply)
        };
        (count, Some(members))
    });
    match popped {
        None => {}
        Some(None) => cx.reply.set(0),
        Some(Some((count, members))) => {
            cx.changed(key, count);
            let Some(members) = members else {
                cx.count_read(true); // Redis answers the whole set as SUNION does, a read
                return cx.rewrite(&[b"DEL".as_slice(), key]);
            };
            for members in members.chunks(LOGGED_MEMBERS_MAX) {
                let mut logged = vec![b"SREM".as_slice(), key];
                logged.extend(members.iter().map(Vec::as_slice));
                cx.rewrite(&logged);
            }
        }
    }
}

/// Take `count` members out one by one; gives them.
fn pop_few(set: &mut SetMut<'_, '_>, count: usize, reply: &mut Reply) -> Vec<Vec<u8>> {
    let mut popped = Vec::new();
    while popped.len() < count {
        let Some(member) = set.view().random(draw()).map(|member| member.to_vec()) else { break };
        reply.bulk(&member);
        set.remove(&member);
        popped.push(member);
    }
    popped
}

/// Pick the few that stay, and take all others out: a new set takes the old one's place, as in
/// Redis, so it may be an intset again.
fn pop_most(set: &mut SetMut<'_, '_>, count: usize, reply: &mut Reply) -> Vec<Vec<u8>> {
    let length = set.view().len();
    let staying: HashSet<Vec<u8>> =
        different(set.view(), length - count).iter().map(|member| member.to_vec()).collect();
    let mut popped = Vec::with_capacity(count);
    for member in set.view().iter().filter(|member| !staying.contains(&**member)) {
        reply.bulk(&member);
        popped.push(member.to_vec());
    }
    set.clear();
    set.reserve(staying.len());
    staying.iter().for_each(|member| {
        set.add(member);
    });
    popped
}

/// `count` different members, fewer than there are.
fn different(set: SetRef<'_>, count: usize) -> Vec<Text<'_>> {
    let length = set.len();
    match set {
        SetRef::Large(table) if count < length / 3 => {
            let picked = distinct(table, count).into_iter();
            picked.map(|entry| Text::Borrowed(entry.key())).collect()
        }
        _ => select(set.iter(), length, count).collect(),
    }
}

/// SRANDMEMBER key [count].
pub fn srandmember(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len() > 3 {
        return cx.reply.error(texts::SYNTAX);
    }
    if args.len() == 2 {
        let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
        return match set.and_then(|set| set.random(draw())) {
            Some(member) => reply.bulk(&member),
            None => reply.null(),
        };
    }
    let count = match parse_count(args.get(2)) {
        Ok(count) => count,
        Err(text) => return cx.reply.error(text),
    };
    let Some((set, reply)) = cx.read_set(args.get(1)) else { return };
    match set {
        None => reply.array(0),
        Some(set) if count < 0 => repeated(set, count.unsigned_abs() as usize, reply),
        Some(set) => {
            let count = (count as usize).min(set.len());
            reply.array(count);
            if count == set.len() {
                set.iter().for_each(|member| reply.bulk(&member));
            } else {
                different(set, count).iter().for_each(|member| reply.bulk(member));
            }
        }
    }
}

/// `count` members, each drawn from all of them.
fn repeated(set: SetRef<'_>, count: usize, reply: &mut Reply) {
    reply.array(count);
    let packed: Vec<_> = match set {
        SetRef::Packed(_) => set.iter().collect(),
        SetRef::Ints(_) | SetRef::Large(_) => Vec::new(),
    };
    for _ in 0..count {
        let picked = match set {
            SetRef::Packed(_) => packed.get(below(packed.len())).copied(),
            SetRef::Ints(_) | SetRef::Large(_) => set.random(draw()),
        };
        let Some(member) = picked.filter(|_| !reply.is_overfull()) else { break };
        reply.bulk(&member);
    }
}
