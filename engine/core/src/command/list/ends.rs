//! What happens at the ends of a list: LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LMOVE, RPOPLPUSH,
//! LMPOP.

use super::write_element;
use crate::command::{Cx, texts};
use crate::resp::{Args, Reply};
use crate::value::Type;
use crate::value::integer::{IntText, parse_i64};
use crate::value::list::{End, ListMut};

/// LPUSH key element [element ...].
pub fn lpush(cx: &mut Cx<'_>, args: Args<'_>) {
    push(cx, args, End::Front);
}

/// RPUSH key element [element ...].
pub fn rpush(cx: &mut Cx<'_>, args: Args<'_>) {
    push(cx, args, End::Back);
}

/// LPUSHX key element [element ...].
pub fn lpushx(cx: &mut Cx<'_>, args: Args<'_>) {
    push_present(cx, args, End::Front);
}

/// RPUSHX key element [element ...].
pub fn rpushx(cx: &mut Cx<'_>, args: Args<'_>) {
    push_present(cx, args, End::Back);
}

/// Push the elements of a call one after the other; gives the new length.
fn push_all(mut list: ListMut<'_, '_>, args: Args<'_>, end: End) -> usize {
    args.iter().skip(2).for_each(|element| list.push(end, element));
    list.as_ref().len()
}

fn push(cx: &mut Cx<'_>, args: Args<'_>, end: End) {
    let pushed = cx.edit(args.get(1), Type::List, |value, packing| {
        push_all(ListMut::of(value, *packing), args, end)
    });
    if let Some(length) = pushed {
        cx.changed(args.get(1), args.len() - 2);
        cx.reply.int(length as i64);
    }
}

fn push_present(cx: &mut Cx<'_>, args: Args<'_>, end: End) {
    let pushed = cx.edit_present(args.get(1), Type::List, |value, packing| {
        push_all(ListMut::of(value, *packing), args, end)
    });
    match pushed {
        None => {}
        Some(None) => cx.reply.int(0),
        Some(Some(length)) => {
            cx.changed(args.get(1), args.len() - 2);
            cx.reply.int(length as i64);
        }
    }
}

/// LPOP key [count].
pub fn lpop(cx: &mut Cx<'_>, args: Args<'_>) {
    pop(cx, args, End::Front, "lpop");
}

/// RPOP key [count].
pub fn rpop(cx: &mut Cx<'_>, args: Args<'_>) {
    pop(cx, args, End::Back, "rpop");
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>, end: End, name: &str) {
    let key = args.get(1);
    let count = match args.len() {
        2 => None,
        3 => match parse_i64(args.get(2)).and_then(|count| usize::try_from(count).ok()) {
            Some(count) => Some(count),
            None => return cx.reply.error(texts::NOT_POSITIVE),
        },
        _ => return cx.reply.error(&texts::arity(name)),
    };
    let popped = cx.edit_answering(key, Type::List, |value, packing, reply| {
        let list = ListMut::of(value, *packing);
        match count {
            Some(count) => pop_many(list, end, count, reply),
            None => pop_one(list, end, reply),
        }
    });
    match popped {
        None => {}
        Some(Some(popped)) => cx.changed(key, popped),
        Some(None) if count.is_some() => cx.reply.null_array(),
        Some(None) => cx.reply.null(),
    }
}

fn pop_one(mut list: ListMut<'_, '_>, end: End, reply: &mut Reply) -> usize {
    match list.as_ref().end(end) {
        Some(element) => write_element(reply, element),
        None => return 0,
    }
    list.pop(end);
    1
}

/// Pop up to `count` elements and answer them as an array; gives how many.
fn pop_many(mut list: ListMut<'_, '_>, end: End, count: usize, reply: &mut Reply) -> usize {
    let view = list.as_ref();
    let length = view.len();
    let count = count.min(length);
    reply.array(count);
    let mut elements = view.elements();
    match end {
        End::Front => {
            elements.take(count).for_each(|element| write_element(reply, element));
            list.remove_range(0, count);
        }
        End::Back => {
            let mut last = || elements.next_back();
            std::iter::from_fn(&mut last)
                .take(count)
                .for_each(|element| write_element(reply, element));
            list.remove_range(length - count, count);
        }
    }
    count
}

/// The end that LEFT or RIGHT names.
fn parse_end(word: &[u8]) -> Option<End> {
    if word.eq_ignore_ascii_case(b"left") {
        Some(End::Front)
    } else if word.eq_ignore_ascii_case(b"right") {
        Some(End::Back)
    } else {
        None
    }
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT.
pub fn lmove(cx: &mut Cx<'_>, args: Args<'_>) {
    match (parse_end(args.get(3)), parse_end(args.get(4))) {
        (Some(from), Some(to)) => move_element(cx, args, from, to),
        _ => cx.reply.error(texts::SYNTAX),
    }
}

/// RPOPLPUSH source destination.
pub fn rpoplpush(cx: &mut Cx<'_>, args: Args<'_>) {
    move_element(cx, args, End::Back, End::Front);
}

fn move_element(cx: &mut Cx<'_>, args: Args<'_>, from: End, to: End) {
    let (source, target) = (args.get(1), args.get(2));
    match cx.is_there_typed(source, Type::List) {
        None => return,
        Some(false) => return cx.reply.null(),
        Some(true) => {}
    }
    if source != target && cx.is_there_typed(target, Type::List).is_none() {
        return;
    }
    // The text outlives the element: on its way it is in neither list, and in the reply already.
    let mut moved = Vec::new();
    cx.edit_answering(source, Type::List, |value, packing, reply| {
        let mut list = ListMut::of(value, *packing);
        if let Some(element) = list.as_ref().end(from) {
            write_element(reply, element);
            moved = element.text().to_vec();
        }
        list.pop(from);
        if source == target {
            list.push(to, &moved);
        }
    });
    if source != target {
        cx.edit(target, Type::List, |value, packing| ListMut::of(value, *packing).push(to, &moved));
    }
    // One change, of two keys.
    cx.changed(target, 1);
    cx.state.effects.touch(cx.session.db, source);
}

/// LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count].
pub fn lmpop(cx: &mut Cx<'_>, args: Args<'_>) {
    let call = match MultiPop::parse(args) {
        Ok(call) => call,
        Err(text) => return cx.reply.error(text),
    };
    for key in args.iter().skip(2).take(call.keys) {
        let popped = cx.edit_answering(key, Type::List, |value, packing, reply| {
            reply.array(2);
            reply.bulk(key);
            pop_many(ListMut::of(value, *packing), call.end, call.count, reply)
        });
        match popped {
            None => return,
            Some(None) => {}
            Some(Some(popped)) => {
                cx.changed(key, popped);
                let name: &[u8] = if call.end == End::Front { b"LPOP" } else { b"RPOP" };
                return cx.rewrite(&[name, key, &IntText::new(popped as i64)]);
            }
        }
    }
    cx.reply.null_array();
}

/// What LMPOP asks for.
struct MultiPop {
    keys: usize,
    end: End,
    count: usize,
}

impl MultiPop {
    fn parse(args: Args<'_>) -> Result<Self, &'static str> {
        let positive = |at| {
            let number = parse_i64(args.get(at)).and_then(|number| usize::try_from(number).ok());
            number.filter(|number| *number > 0)
        };
        let keys = positive(1).ok_or("ERR numkeys should be greater than 0")?;
        let at_end = keys.saturating_add(2);
        let end = parse_end(args.get(at_end)).ok_or(texts::SYNTAX)?;
        let count = match args.len() - at_end {
            1 => 1,
            // Redis reads option by option: a second COUNT, or what is none, is bad syntax.
            _ if !args.get(at_end + 1).eq_ignore_ascii_case(b"count") => return Err(texts::SYNTAX),
            2 => return Err(texts::SYNTAX),
            left => {
                let count = positive(at_end + 2).ok_or("ERR count should be greater than 0")?;
                if left > 3 {
                    return Err(texts::SYNTAX);
                }
                count
            }
        };
        Ok(Self { keys, end, count })
    }
}
