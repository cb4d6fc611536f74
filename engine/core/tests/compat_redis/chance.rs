//! Calls whose outcome is drawn: members at random, walks with a small COUNT, and SORT's order of
//! equal weights when it is stored. Each side is held to what it may answer; then both are made
//! equal again. In a transaction such a call is replaced by one whose outcome is certain.

use std::collections::BTreeMap;

use crate::arena::Arena;
use crate::generator::Call;
use crate::replies::Reply;
use crate::same::has_pairs;

/// Steps of a walk; no collection of the generator needs so many.
const WALK_MAX: usize = 20_000;
const CERTAIN_COUNT: &[u8] = b"1000000";

/// Whether a call is one of those.
pub fn is_drawn(call: &[Vec<u8>]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"SPOP",
        b"SRANDMEMBER",
        b"HRANDFIELD",
        b"ZRANDMEMBER",
        b"RANDOMKEY",
        b"SCAN",
        b"SSCAN",
        b"HSCAN",
        b"ZSCAN",
    ];
    let name = call[0].to_ascii_uppercase();
    NAMES.contains(&name.as_slice()) || is_stored_by_text(call)
}

fn is_stored_by_text(call: &[Vec<u8>]) -> bool {
    let has = |word: &[u8]| call.iter().skip(2).any(|other| other.eq_ignore_ascii_case(word));
    call[0].eq_ignore_ascii_case(b"SORT") && has(b"STORE") && has(b"BY") && has(b"ALPHA")
}

/// Make such a call.
pub fn run(arena: &mut Arena, who: usize, mut call: Call) {
    let name = call[0].to_ascii_uppercase();
    if arena.pairs[who].queued.is_some() {
        if name == b"RANDOMKEY" {
            arena.run(who, &[whole_scan()]);
        }
        if let Some(call) = made_certain(call) {
            arena.run(who, &[call]);
        }
        return;
    }
    match name.as_slice() {
        b"SPOP" => pop(arena, who, &call),
        b"RANDOMKEY" => random_key(arena, who, &call),
        b"SCAN" | b"SSCAN" | b"HSCAN" | b"ZSCAN" => walk(arena, who, &mut call),
        b"SORT" => sort(arena, who, &call),
        _ => draw(arena, who, &call),
    }
}

/// A SCAN of all keys, which deletes what has expired.
fn whole_scan() -> Call {
    [b"SCAN".as_slice(), b"0", b"COUNT", CERTAIN_COUNT].map(<[u8]>::to_vec).into()
}

/// The call with a count that leaves nothing to chance.
fn made_certain(mut call: Call) -> Option<Call> {
    match call[0].to_ascii_uppercase().as_slice() {
        b"SPOP" if call.len() >= 2 => {
            call.truncate(2);
            call.push(CERTAIN_COUNT.to_vec());
        }
        b"SORT" => return None,
        _ => {
            for at in 1..call.len() {
                if call[at - 1].eq_ignore_ascii_case(b"COUNT") && number(&call[at]) > Some(0) {
                    call[at] = CERTAIN_COUNT.to_vec();
                }
            }
        }
    }
    Some(call)
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What both answered; nothing when there is no more to check: equal errors, or a difference that
/// was noted.
fn ask(arena: &mut Arena, who: usize, call: &Call) -> Option<[Reply; 2]> {
    let [real, ours] = arena.ask(who, call);
    if real == ours && (real.starts_with(b"-") || real.starts_with(b"+")) {
        return None;
    }
    let replies = [Reply::parse(&real), Reply::parse(&ours)];
    if replies.iter().any(Reply::is_error) {
        fail(arena, who, call, [real, ours], "the replies differ");
        return None;
    }
    Some(replies)
}

fn fail(arena: &mut Arena, who: usize, call: &Call, replies: [Vec<u8>; 2], why: &str) {
    arena.differ(who, std::slice::from_ref(call), [&replies[0], &replies[1]], why);
}

fn bytes(replies: &[Reply; 2]) -> [Vec<u8>; 2] {
    replies.each_ref().map(|reply| {
        format!(
            "{:?}",
            reply
                .words()
                .iter()
                .map(|word| { word.escape_ascii().to_string() })
                .collect::<Vec<_>>()
        )
        .into_bytes()
    })
}

/// SPOP: members that were there, each once, as many as on the other side. Then each side loses
/// what the other popped. What is left may be packed on one side only, after most was popped: then
/// both lose all.
fn pop(arena: &mut Arena, who: usize, call: &Call) {
    let Some(key) = call.get(1).cloned() else { return arena.run(who, std::slice::from_ref(call)) };
    let members = arena.ask(who, &vec![b"SMEMBERS".to_vec(), key.clone()]);
    let Some(replies) = ask(arena, who, call) else { return };
    let popped = replies.each_ref().map(Reply::words);
    for (side, members) in members.iter().enumerate() {
        let before = counted(&Reply::parse(members), 1);
        let after = counted_words(&popped[side], 1);
        let is_fair =
            after.iter().all(|(member, times)| *times == 1 && before.contains_key(member));
        if !is_fair || popped[0].len() != popped[1].len() {
            return fail(arena, who, call, bytes(&replies), "popped what it may not");
        }
    }
    let [mut real, mut ours] = popped.clone();
    real.retain(|member| !popped[1].contains(member));
    ours.retain(|member| !popped[0].contains(member));
    if real.is_empty() {
        return;
    }
    let taken = |members| [vec![b"SREM".to_vec(), key.clone()], members].concat();
    let pair = &mut arena.pairs[who];
    let removed = [pair.real.ask(&taken(ours)), pair.ours.ask(&taken(real))];
    if removed[0] != removed[1] {
        return fail(arena, who, call, removed, "not all of it was there");
    }
    let encoding: Call = [b"OBJECT".as_slice(), b"ENCODING", &key].map(<[u8]>::to_vec).into();
    let left = arena.ask(who, &encoding);
    if left[0] != left[1] {
        arena.run(who, &[vec![b"DEL".to_vec(), key]]);
    }
}

/// SRANDMEMBER, HRANDFIELD, ZRANDMEMBER: elements that are there, each once unless the count is
/// negative, as many as there must be, with their values.
fn draw(arena: &mut Arena, who: usize, call: &Call) {
    let Some(replies) = ask(arena, who, call) else { return };
    let key = call[1].clone();
    let (lister, size): (&[&[u8]], usize) = match call[0].to_ascii_uppercase().as_slice() {
        b"SRANDMEMBER" => (&[b"SMEMBERS"], 1),
        b"HRANDFIELD" => (&[b"HGETALL"], 2),
        _ => (&[b"ZRANGE", b"0", b"-1", b"WITHSCORES"], 2),
    };
    let mut list: Call = lister.iter().map(|word| word.to_vec()).collect();
    list.insert(1, key);
    let all = arena.ask(who, &list);
    let count = call.get(2).and_then(|text| number(text));
    let has_values = call.len() > 3;
    let lengths = replies.each_ref().map(|reply| reply.words().len());
    let is_right = (0..2).all(|side| {
        let all = Reply::parse(&all[side]);
        let there = counted(&all, size);
        let drawn = counted(&replies[side], if has_values { 2 } else { 1 });
        let is_there = drawn.iter().all(|(element, times)| {
            let is_found = there.keys().any(|other| other.starts_with(element.as_slice()));
            is_found && (*times == 1 || count.is_some_and(|count| count < 0))
        });
        let expected = match count {
            _ if there.is_empty() => 0,
            None => 1,
            Some(count) if count < 0 => usize::try_from(-count).unwrap_or_default(),
            Some(count) => there.len().min(usize::try_from(count).unwrap_or_default()),
        };
        is_there && drawn.values().sum::<usize>() == expected
    });
    if !is_right || lengths[0] != lengths[1] {
        fail(arena, who, call, bytes(&replies), "drew what it may not");
    }
}

/// How often each element stands in a reply, of `size` words.
fn counted(reply: &Reply, size: usize) -> BTreeMap<Call, usize> {
    counted_words(&reply.words(), size)
}

fn counted_words(words: &[Vec<u8>], size: usize) -> BTreeMap<Call, usize> {
    let mut counts = BTreeMap::new();
    words.chunks(size).for_each(|element| *counts.entry(element.to_vec()).or_default() += 1);
    counts
}

/// RANDOMKEY: a key that exists, after both have deleted what has expired.
fn random_key(arena: &mut Arena, who: usize, call: &Call) {
    arena.run(who, &[whole_scan()]);
    let Some(replies) = ask(arena, who, call) else { return };
    let is_there: Vec<bool> = (0..2)
        .map(|side| match &replies[side] {
            Reply::Bulk(key) => {
                let pair = &mut arena.pairs[who];
                let exists = vec![b"TYPE".to_vec(), key.clone()];
                let side = if side == 0 { &mut pair.real } else { &mut pair.ours };
                side.ask(&exists) != b"+none\r\n"
            }
            _ => false,
        })
        .collect();
    let are_empty = replies[0] == Reply::parse(b"$-1\r\n") || replies[0] == Reply::parse(b"_\r\n");
    let is_right = is_there == [true, true] || are_empty && replies[0] == replies[1];
    if !is_right {
        fail(arena, who, call, bytes(&replies), "gave no key");
    }
}

/// A walk from the beginning is taken to its end on each side: all that was there all the time
/// comes, and nothing else. One from anywhere else may give anything.
fn walk(arena: &mut Arena, who: usize, call: &mut Call) {
    let [real, ours] = arena.ask(who, call);
    let at = if call[0].eq_ignore_ascii_case(b"SCAN") { 1 } else { 2 };
    let is_from_start = call.get(at).is_some_and(|cursor| cursor == b"0");
    let replies = [Reply::parse(&real), Reply::parse(&ours)];
    let cursors = replies.each_ref().map(|reply| match reply.items() {
        Some([Reply::Bulk(cursor), _]) => Some(cursor.clone()),
        _ => None,
    });
    let [Some(_), Some(_)] = &cursors else {
        if real != ours {
            fail(arena, who, call, [real, ours], "the replies differ");
        }
        return;
    };
    if !is_from_start {
        return;
    }
    let size = if has_pairs(call) { 2 } else { 1 };
    let mut seen: [BTreeMap<Call, usize>; 2] = Default::default();
    for (side, first) in replies.iter().enumerate() {
        let mut cursor = cursors[side].clone().unwrap_or_default();
        seen[side] = counted(&first.items().unwrap()[1], size);
        let mut steps = 0;
        while cursor != b"0" {
            call[at] = cursor;
            let pair = &mut arena.pairs[who];
            let one = if side == 0 { &mut pair.real } else { &mut pair.ours };
            let reply = Reply::parse(&one.ask(call));
            let [Reply::Bulk(next), piece] = reply.items().unwrap() else { unreachable!() };
            seen[side].extend(counted(piece, size));
            cursor = next.clone();
            steps += 1;
            assert!(steps < WALK_MAX, "a walk without an end: {call:?}");
        }
        // Redis counts a hit for each step through a collection.
        arena.extra_hits[side] += if at == 2 { steps as i64 } else { 0 };
        call[at] = b"0".to_vec();
    }
    if !seen[0].keys().eq(seen[1].keys()) {
        let shown = seen.map(|seen| format!("{:?}", shown_keys(&seen)).into_bytes());
        fail(arena, who, call, shown, "walked through something else");
    }
}

fn shown_keys(seen: &BTreeMap<Call, usize>) -> Vec<String> {
    seen.keys().map(|words| crate::harness::shown(words)).collect()
}

/// SORT BY ... ALPHA ... STORE: as many elements; those of equal weight in any order, so the stored
/// list is compared as a set and deleted.
fn sort(arena: &mut Arena, who: usize, call: &Call) {
    arena.run(who, std::slice::from_ref(call));
    let at = call.iter().position(|word| word.eq_ignore_ascii_case(b"STORE")).unwrap_or_default();
    let Some(key) = call.get(at + 1).cloned() else { return };
    let has_limit = call.iter().any(|word| word.eq_ignore_ascii_case(b"LIMIT"));
    let all: Call = [b"LRANGE".as_slice(), &key, b"0", b"-1"].map(<[u8]>::to_vec).into();
    let lists = arena.ask(who, &all);
    let mut words = lists.each_ref().map(|list| Reply::parse(list).words());
    words.iter_mut().for_each(|words| words.sort());
    if words[0] != words[1] && !(has_limit && words[0].len() == words[1].len()) {
        return fail(arena, who, call, lists, "stored something else");
    }
    arena.run(who, &[vec![b"DEL".to_vec(), key]]);
}
