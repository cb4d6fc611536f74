//! DEL, UNLINK, EXISTS, TYPE, TOUCH, RENAME, RENAMENX, MOVE, COPY.

use super::database::parse_db;
use crate::command::{Cx, texts};
use crate::resp::Args;

fn count_keys(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    mut is_counted: impl FnMut(&mut Cx<'_>, &[u8]) -> bool,
) {
    let mut count = 0;
    cx.for_each_key(args, 1, |cx, at| count += i64::from(is_counted(cx, args.get(at))));
    cx.reply.int(count);
}

/// DEL key [key ...].
pub fn del(cx: &mut Cx<'_>, args: Args<'_>) {
    count_keys(cx, args, |cx, key| cx.is_there(cx.session.db, key) && cx.delete(key));
}

/// UNLINK key [key ...]: as DEL. What is large is freed elsewhere after either (`value::large`).
pub fn unlink(cx: &mut Cx<'_>, args: Args<'_>) {
    del(cx, args);
}

/// EXISTS key [key ...]: a key named twice counts twice.
pub fn exists(cx: &mut Cx<'_>, args: Args<'_>) {
    count_keys(cx, args, |cx, key| cx.peek(key).is_some());
}

/// TOUCH key [key ...].
pub fn touch(cx: &mut Cx<'_>, args: Args<'_>) {
    count_keys(cx, args, |cx, key| cx.read(key).is_some());
}

/// TYPE key.
pub fn type_name(cx: &mut Cx<'_>, args: Args<'_>) {
    let name = cx.peek(args.get(1)).map_or("none", |entry| entry.value().type_of().name());
    cx.reply.simple(name);
}

/// RENAME key newkey.
pub fn rename(cx: &mut Cx<'_>, args: Args<'_>) {
    match rename_key(cx, args, true) {
        Some(_) => cx.reply.ok(),
        None => cx.reply.error(texts::NO_SUCH_KEY),
    }
}

/// RENAMENX key newkey.
pub fn renamenx(cx: &mut Cx<'_>, args: Args<'_>) {
    match rename_key(cx, args, false) {
        Some(is_renamed) => cx.reply.int(i64::from(is_renamed)),
        None => cx.reply.error(texts::NO_SUCH_KEY),
    }
}

/// `None`: no such key. `Some(false)`: the new name is taken and stays.
fn rename_key(cx: &mut Cx<'_>, args: Args<'_>, is_replacing: bool) -> Option<bool> {
    let (from, to, db) = (args.get(1), args.get(2), cx.session.db);
    cx.find(from)?;
    if from == to {
        return Some(false);
    }
    if cx.is_there(db, to) && !is_replacing {
        return Some(false);
    }
    cx.state.keyspace.db_mut(db).rename(from, to);
    cx.state.effects.changed(db, from);
    cx.state.effects.touch(db, to);
    Some(true)
}

/// MOVE key db.
pub fn move_key(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, from) = (args.get(1), cx.session.db);
    let to = match parse_db(cx, args.get(2)) {
        Ok(to) => to,
        Err(text) => return cx.reply.error(&text),
    };
    if from == to {
        return cx.reply.error(texts::SAME_OBJECT);
    }
    if cx.find(key).is_none() || cx.is_there(to, key) {
        return cx.reply.int(0);
    }
    cx.state.keyspace.move_key(key, from, to);
    cx.state.effects.changed(to, key);
    cx.state.effects.touch(from, key);
    cx.reply.int(1);
}

/// COPY source destination [DB index] [REPLACE].
pub fn copy(cx: &mut Cx<'_>, args: Args<'_>) {
    let (from, to) = (args.get(1), args.get(2));
    let (from_db, mut to_db, mut is_replacing) = (cx.session.db, cx.session.db, false);
    let mut at = 3;
    while at < args.len() {
        if args.get(at).eq_ignore_ascii_case(b"replace") {
            is_replacing = true;
        } else if args.get(at).eq_ignore_ascii_case(b"db") && at + 1 < args.len() {
            at += 1;
            match parse_db(cx, args.get(at)) {
                Ok(db) => to_db = db,
                Err(text) => return cx.reply.error(&text),
            }
        } else {
            return cx.reply.error(texts::SYNTAX);
        }
        at += 1;
    }
    if from_db == to_db && from == to {
        return cx.reply.error(texts::SAME_OBJECT);
    }
    if cx.read(from).is_none() || (cx.is_there(to_db, to) && !is_replacing) {
        return cx.reply.int(0);
    }
    cx.state.keyspace.copy_key((from_db, from), (to_db, to));
    cx.state.effects.changed(to_db, to);
    cx.reply.int(1);
}
