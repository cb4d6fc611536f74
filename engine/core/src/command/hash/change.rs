//! Setting and removing fields: HSET, HMSET, HSETNX, HDEL.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::{HashMut, Type};

/// HSET key field value [field value ...].
pub fn hset(cx: &mut Cx<'_>, args: Args<'_>) {
    if let Some(created) = set_fields(cx, args, "hset") {
        cx.reply.int(created as i64);
    }
}

/// HMSET key field value [field value ...]: HSET with another answer.
pub fn hmset(cx: &mut Cx<'_>, args: Args<'_>) {
    if set_fields(cx, args, "hmset").is_some() {
        cx.reply.ok();
    }
}

/// Set the fields of a call; gives how many are new. `None`: an error has been answered.
fn set_fields(cx: &mut Cx<'_>, args: Args<'_>, name: &str) -> Option<usize> {
    if !args.len().is_multiple_of(2) {
        cx.reply.error(&texts::arity(name));
        return None;
    }
    let key = args.get(1);
    let created = cx.edit(key, Type::Hash, |value, packing| {
        let mut hash = HashMut::of(value, *packing);
        let fields = (2..args.len()).step_by(2);
        fields.filter(|&at| hash.put(args.get(at), args.get(at + 1))).count()
    })?;
    cx.changed(key, args.len() / 2 - 1);
    Some(created)
}

/// HSETNX key field value.
pub fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, field) = (args.get(1), args.get(2));
    let is_new = cx.edit(key, Type::Hash, |value, packing| {
        let mut hash = HashMut::of(value, *packing);
        !hash.view().contains(field) && hash.put(field, args.get(3))
    });
    if let Some(is_new) = is_new {
        cx.changed(key, usize::from(is_new));
        cx.reply.int(i64::from(is_new));
    }
}

/// HDEL key field [field ...].
pub fn hdel(cx: &mut Cx<'_>, args: Args<'_>) {
    let key = args.get(1);
    let removed = cx.edit_present(key, Type::Hash, |value, packing| {
        let mut hash = HashMut::of(value, *packing);
        args.iter().skip(2).filter(|field| hash.remove(field)).count()
    });
    if let Some(removed) = removed {
        cx.changed(key, removed.unwrap_or(0));
        cx.reply.int(removed.unwrap_or(0) as i64);
    }
}
