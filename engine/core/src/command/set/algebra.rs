//! Sets made of sets: SINTER, SINTERSTORE, SINTERCARD, SUNION, SUNIONSTORE, SDIFF, SDIFFSTORE.
//! What is stored is built beside the data first (in a database of its own), since the sets that it
//! is made of are read meanwhile, the old value of the destination perhaps among them.

use crate::command::{Cx, texts};
use crate::keyspace::Db;
use crate::resp::{Args, Reply};
use crate::value::integer::parse_i64;
use crate::value::packing::Packing;
use crate::value::set::Probe;
use crate::value::{SetMut, SetRef, Type, ValueRef};

/// SINTER key [key ...].
pub fn sinter(cx: &mut Cx<'_>, args: Args<'_>) {
    let Some((sets, reply)) = sets_of(cx, args.skip(1)) else { return };
    reply_each(reply, |visit| intersect(sets, visit));
}

/// SINTERSTORE destination key [key ...].
pub fn sinterstore(cx: &mut Cx<'_>, args: Args<'_>) {
    store(cx, args, |made, sets| {
        intersect(sets, &mut |member| {
            made.add(member);
            true
        });
    });
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit].
pub fn sintercard(cx: &mut Cx<'_>, args: Args<'_>) {
    let (keys, limit) = match read_card(args) {
        Ok(read) => read,
        Err(text) => return cx.reply.error(text),
    };
    let Some((sets, reply)) = sets_of(cx, keys) else { return };
    let mut count = 0;
    intersect(sets, &mut |_| {
        count += 1;
        count < limit
    });
    reply.int(count as i64);
}

/// The keys of SINTERCARD, and where counting ends.
fn read_card(args: Args<'_>) -> Result<(Args<'_>, usize), &'static str> {
    let number = |at| parse_i64(args.get(at)).and_then(|number| usize::try_from(number).ok());
    let keys = number(1).filter(|&keys| keys > 0).ok_or("ERR numkeys should be greater than 0")?;
    if keys > args.len() - 2 {
        return Err("ERR Number of keys can't be greater than number of args");
    }
    let (mut limit, mut at) = (0, 2 + keys);
    while at < args.len() {
        if !args.get(at).eq_ignore_ascii_case(b"limit") || at + 1 == args.len() {
            return Err(texts::SYNTAX);
        }
        limit = number(at + 1).ok_or("ERR LIMIT can't be negative")?;
        at += 2;
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    Ok((args.skip(2).first(keys), limit))
}

/// SUNION key [key ...].
pub fn sunion(cx: &mut Cx<'_>, args: Args<'_>) {
    let packing = cx.state.config.packing;
    let Some((sets, reply)) = sets_of(cx, args.skip(1)) else { return };
    reply_made(reply, packing, |made| unite(made, &sets));
}

/// SUNIONSTORE destination key [key ...].
pub fn sunionstore(cx: &mut Cx<'_>, args: Args<'_>) {
    store(cx, args, |made, sets| unite(made, &sets));
}

/// SDIFF key [key ...].
pub fn sdiff(cx: &mut Cx<'_>, args: Args<'_>) {
    let packing = cx.state.config.packing;
    let is_same_twice = names_first_again(args.skip(1));
    let Some((sets, reply)) = sets_of(cx, args.skip(1)) else { return };
    match first_of(&sets) {
        Some((first, others)) if !is_same_twice => {
            if is_probing_cheaper(first, others) {
                return reply_each(reply, |visit| probe_others(first, others, visit));
            }
            reply_made(reply, packing, |made| subtract(made, first, others));
        }
        _ => reply.set(0),
    }
}

/// SDIFFSTORE destination key [key ...].
pub fn sdiffstore(cx: &mut Cx<'_>, args: Args<'_>) {
    let is_same_twice = names_first_again(args.skip(2));
    store(cx, args, |made, sets| match first_of(&sets) {
        Some((first, others)) if !is_same_twice => {
            if is_probing_cheaper(first, others) {
                return probe_others(first, others, &mut |member| {
                    made.add(member);
                    true
                });
            }
            subtract(made, first, others);
        }
        _ => {}
    });
}

/// The sets at `keys`, in order; `None` where there is none, and `None` for all when another type is
/// among them, which has been answered.
fn sets_of<'a>(
    cx: &'a mut Cx<'_>,
    keys: Args<'_>,
) -> Option<(Vec<Option<SetRef<'a>>>, &'a mut Reply)> {
    let mut is_there = Vec::with_capacity(keys.len());
    for key in keys.iter() {
        is_there.push(cx.read_set(key)?.0.is_some());
    }
    let db = cx.state.keyspace.db(cx.session.db);
    let held = |key| match db.get(key)?.value() {
        ValueRef::Set(set) => Some(set),
        _ => None,
    };
    let sets = keys.iter().zip(is_there).map(|(key, is)| if is { held(key) } else { None });
    Some((sets.collect(), cx.reply))
}

/// Visit the members that all sets have, until `visit` says that it is enough.
fn intersect(sets: Vec<Option<SetRef<'_>>>, visit: &mut dyn FnMut(&[u8]) -> bool) {
    let Some(mut sets) = sets.into_iter().collect::<Option<Vec<_>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        let probe = Probe::new(&member);
        if others.iter().all(|set| set.has(&probe)) && !visit(&member) {
            return;
        }
    }
}

/// Add the members of all sets.
fn unite(made: &mut SetMut<'_, '_>, sets: &[Option<SetRef<'_>>]) {
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        made.add(&member);
    }
}

/// Whether the first key stands among the others: nothing is left of it then.
fn names_first_again(keys: Args<'_>) -> bool {
    keys.iter().skip(1).any(|key| key == keys.get(0))
}

/// The set to take from, and what to take.
fn first_of<'a, 's>(
    sets: &'s [Option<SetRef<'a>>],
) -> Option<(SetRef<'a>, &'s [Option<SetRef<'a>>])> {
    let (first, others) = sets.split_first()?;
    Some(((*first)?, others))
}

/// Whether to look each member up in the other sets, or to take the others' members out of a copy:
/// Redis's estimate. It shows: a copy that had a string for a while is no intset.
fn is_probing_cheaper(first: SetRef<'_>, others: &[Option<SetRef<'_>>]) -> bool {
    let others = || others.iter().flatten();
    let probing = (1 + others().count()).saturating_mul(first.len()) / 2;
    probing <= first.len() + others().map(|set| set.len()).sum::<usize>()
}

/// Visit the members of the first set that no other one has.
fn probe_others(
    first: SetRef<'_>,
    others: &[Option<SetRef<'_>>],
    visit: &mut dyn FnMut(&[u8]) -> bool,
) {
    // The larger it is, the likelier it has the member.
    let mut others: Vec<SetRef<'_>> = others.iter().flatten().copied().collect();
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    for member in first.iter() {
        let probe = Probe::new(&member);
        if !others.iter().any(|set| set.has(&probe)) {
            visit(&member);
        }
    }
}

/// Copy the first set and take the members of the others out.
fn subtract(made: &mut SetMut<'_, '_>, first: SetRef<'_>, others: &[Option<SetRef<'_>>]) {
    first.iter().for_each(|member| {
        made.add(&member);
    });
    for member in others.iter().flatten().flat_map(|set| set.iter()) {
        if made.remove(&member) && made.view().is_empty() {
            return;
        }
    }
}

/// Answer the set of what is visited.
fn reply_each(reply: &mut Reply, walk: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool)) {
    let (mark, mut count) = (reply.len(), 0);
    walk(&mut |member| {
        reply.bulk(member);
        count += 1;
        !reply.is_overfull()
    });
    reply.set_before(mark, count);
}

/// Answer a set that is made for it.
fn reply_made(reply: &mut Reply, packing: Packing, make: impl FnOnce(&mut SetMut<'_, '_>)) {
    const KEY: &[u8] = b"";
    let made = made(KEY, packing, make);
    let set = made.get(KEY).map(|entry| entry.value());
    reply.set(set.and_then(ValueRef::elements).unwrap_or(0));
    if let Some(ValueRef::Set(set)) = set {
        set.iter().for_each(|member| reply.bulk(&member));
    }
}

/// A database with one set, unless that is empty.
fn made(key: &[u8], packing: Packing, make: impl FnOnce(&mut SetMut<'_, '_>)) -> Db {
    let mut beside = Db::new();
    beside.edit_or_make(key, Type::Set, |value| make(&mut SetMut::of(value, packing)));
    beside
}

/// Put what is made of the sets that the arguments from the third on name in place of what is at
/// the second.
fn store(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    make: impl FnOnce(&mut SetMut<'_, '_>, Vec<Option<SetRef<'_>>>),
) {
    let (key, packing) = (args.get(1), cx.state.config.packing);
    let Some((sets, _)) = sets_of(cx, args.skip(2)) else { return };
    let made = made(key, packing, |set| make(set, sets));
    let count = cx.put_made(key, made, 1);
    cx.reply.int(count as i64);
}
