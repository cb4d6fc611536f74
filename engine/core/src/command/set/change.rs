//! Adding and removing members: SADD, SREM, SMOVE.

use crate::command::Cx;
use crate::resp::Args;
use crate::value::{SetMut, Type};

/// SADD key member [member ...].
pub fn sadd(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let added = cx.edit(key, Type::Set, |value, packing| {
        let mut set = SetMut::of(value, *packing);
        args.iter().skip(2).filter(|member| set.add(member)).count()
    });
    if let Some(added) = added {
        cx.changed(key, added);
        cx.reply.int(added as i64);
    }
}

/// SREM key member [member ...].
pub fn srem(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let removed = cx.edit_present(key, Type::Set, |value, packing| {
        let mut set = SetMut::of(value, *packing);
        args.iter().skip(2).filter(|member| set.remove(member)).count()
    });
    if let Some(removed) = removed {
        cx.changed(key, removed.unwrap_or(0));
        cx.reply.int(removed.unwrap_or(0) as i64);
    }
}

/// SMOVE source destination member.
pub fn smove(cx: &mut Cx<'_>, args: Args<'_>) {
    if let Some(is_moved) = move_member(cx, args) {
        cx.reply.int(i64::from(is_moved));
    }
}

/// Whether the member was in the source. `None`: another type is there, and that has been answered.
fn move_member(cx: &mut Cx<'_>, args: Args<'_>) -> Option<bool> {
    let (from, to, member) = (args.get(1), args.get(2), args.get(3));
    // Both are looked up first: one that has expired goes, even where the other is refused.
    for key in [from, to] {
        cx.find(key);
    }
    // Without a source Redis does not look at the type of the destination.
    if !cx.is_there_typed(from, Type::Set)? {
        return Some(false);
    }
    cx.is_there_typed(to, Type::Set)?;
    let is_member = cx.edit_present(from, Type::Set, |value, packing| {
        let mut set = SetMut::of(value, *packing);
        if from == to { set.view().contains(member) } else { set.remove(member) }
    })?;
    if is_member != Some(true) || from == to {
        return is_member;
    }
    cx.changed(from, 1);
    let is_new =
        cx.edit(to, Type::Set, |value, packing| SetMut::of(value, *packing).add(member))?;
    cx.changed(to, usize::from(is_new));
    Some(true)
}
