//! Changing the middle of a list: LSET, LINSERT, LREM, LTRIM.

use super::read::part;
use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::Type;
use crate::value::integer::parse_i64;
use crate::value::list::{End, ListMut};
use crate::value::listpack::Needle;

/// LSET key index element.
pub fn lset(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let set = cx.edit_present(key, Type::List, |value, packing| {
        let mut list = ListMut::of(value, *packing);
        let index = parse_i64(args.get(2)).ok_or(texts::NOT_INTEGER)?;
        let place = list.as_ref().from_front(index).ok_or("ERR index out of range")?;
        list.replace(place, args.get(3));
        Ok(())
    });
    match set {
        None => {}
        Some(None) => cx.reply.error(texts::NO_SUCH_KEY),
        Some(Some(Err(text))) => cx.reply.error(text),
        Some(Some(Ok(()))) => {
            cx.changed(key, 1);
            cx.reply.ok();
        }
    }
}

/// LINSERT key BEFORE|AFTER pivot element.
pub fn linsert(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, pivot, element) = (args.get(1), args.get(3), args.get(4));
    let is_after = match args.get(2).to_ascii_lowercase().as_slice() {
        b"after" => true,
        b"before" => false,
        _ => return cx.reply.error(texts::SYNTAX),
    };
    let inserted = cx.edit_present(key, Type::List, |value, packing| {
        let mut list = ListMut::of(value, *packing);
        let needle = Needle::new(pivot);
        let place = list.as_ref().elements().position(|element| needle.is(element))?;
        if is_after {
            list.insert_after(place, element);
        } else {
            list.insert_before(place, element);
        }
        Some(list.as_ref().len())
    });
    match inserted {
        None => {}
        Some(None) => cx.reply.int(0),
        Some(Some(None)) => cx.reply.int(-1),
        Some(Some(Some(length))) => {
            cx.changed(key, 1);
            cx.reply.int(length as i64);
        }
    }
}

/// LREM key count element.
pub fn lrem(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let Some(count) = parse_i64(args.get(2)) else { return cx.reply.error(texts::NOT_INTEGER) };
    let from = if count < 0 { End::Back } else { End::Front };
    let most = match count.unsigned_abs() {
        0 => usize::MAX,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    let removed = cx.edit_present(key, Type::List, |value, packing| {
        ListMut::of(value, *packing).remove_matches(args.get(3), most, from)
    });
    if let Some(removed) = removed {
        cx.changed(key, removed.unwrap_or(0));
        cx.reply.int(removed.unwrap_or(0) as i64);
    }
}

/// LTRIM key start stop.
pub fn ltrim(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let (Some(start), Some(stop)) = (parse_i64(args.get(2)), parse_i64(args.get(3))) else {
        return cx.reply.error(texts::NOT_INTEGER);
    };
    let removed = cx.edit_present(key, Type::List, |value, packing| {
        let mut list = ListMut::of(value, *packing);
        let length = list.as_ref().len();
        let (start, count) = part(start, stop, length);
        list.remove_range(start + count, length - start - count);
        list.remove_range(0, start);
        length - count
    });
    match removed {
        None => return,
        Some(None) => {}
        Some(Some(removed)) => {
            cx.changed(key, removed);
            // A list that was left as it is counts as changed for those who watch it, as in Redis.
            cx.state.effects.touch(cx.session.db, key);
        }
    }
    cx.reply.ok();
}
