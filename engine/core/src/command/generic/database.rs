//! Whole databases: SELECT, DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use std::sync::atomic::Ordering;

use crate::command::{Cx, texts};
use crate::job;
use crate::keyspace::Db;
use crate::reclaim::drop_elsewhere;
use crate::resp::Args;
use crate::value::integer::parse_i64;

/// A 32-bit integer.
fn parse_int(text: &[u8]) -> Result<i64, String> {
    let number = parse_i64(text).ok_or(texts::NOT_INTEGER)?;
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    range.contains(&number).then_some(number).ok_or_else(|| {
        format!("ERR value is out of range, value must between {} and {}", i32::MIN, i32::MAX)
    })
}

fn db_index(cx: &Cx<'_>, number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&index| index < cx.state.keyspace.databases())
}

/// The database that an argument names.
///
/// # Errors
/// Not an integer, out of range.
pub fn parse_db(cx: &Cx<'_>, text: &[u8]) -> Result<usize, String> {
    db_index(cx, parse_int(text)?).ok_or_else(|| texts::DB_OUT_OF_RANGE.to_owned())
}

/// SELECT index.
pub fn select(cx: &mut Cx<'_>, args: Args<'_>) {
    match parse_db(cx, args.get(1)) {
        Ok(db) => {
            cx.session.db = db;
            cx.session.info.db.store(db as u32, Ordering::Relaxed);
            cx.reply.ok();
        }
        Err(text) => cx.reply.error(&text),
    }
}

/// DBSIZE.
pub fn dbsize(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.int(cx.state.keyspace.db(cx.session.db).len() as i64);
}

/// FLUSHDB [ASYNC|SYNC].
pub fn flushdb(cx: &mut Cx<'_>, args: Args<'_>) {
    if flush(cx, args, cx.session.db..cx.session.db + 1) {
        cx.reply.ok();
    }
}

/// FLUSHALL [ASYNC|SYNC]. As in Redis a background save under way is ended, and with save points
/// `dump.rdb` is saved before the answer: what was flushed must not come back after a crash.
pub fn flushall(cx: &mut Cx<'_>, args: Args<'_>) {
    let all = 0..cx.state.keyspace.databases();
    if flush(cx, args, all) {
        job::save_flushed(cx.state, cx.shared);
        cx.reply.ok();
    }
}

/// Empty the databases; false, and an error is answered, when the arguments are wrong.
fn flush(cx: &mut Cx<'_>, args: Args<'_>, dbs: std::ops::Range<usize>) -> bool {
    let is_async = args.get(1).eq_ignore_ascii_case(b"async");
    let is_known = args.len() == 1 || is_async || args.get(1).eq_ignore_ascii_case(b"sync");
    if args.len() > 2 || !is_known {
        cx.reply.error(texts::SYNTAX);
        return false;
    }
    let state = &mut *cx.state;
    state
        .effects
        .touch_where(|db, key| dbs.contains(&db) && state.keyspace.db(db).get(key).is_some());
    let mut emptied: Vec<Db> = Vec::new();
    for db in dbs {
        state.effects.dirty += state.keyspace.db(db).len() as u64;
        if !state.keyspace.db(db).is_empty() {
            emptied.push(state.keyspace.db_mut(db).take_all());
        }
    }
    if is_async && !emptied.is_empty() {
        drop_elsewhere(emptied);
    }
    let sent: Vec<&[u8]> = args.iter().collect();
    cx.rewrite(&sent); // logged even if there was nothing, as in Redis
    true
}

/// SWAPDB index index.
pub fn swapdb(cx: &mut Cx<'_>, args: Args<'_>) {
    let Ok(a) = parse_int(args.get(1)) else {
        return cx.reply.error("ERR invalid first DB index");
    };
    let Ok(b) = parse_int(args.get(2)) else {
        return cx.reply.error("ERR invalid second DB index");
    };
    let (Some(a), Some(b)) = (db_index(cx, a), db_index(cx, b)) else {
        return cx.reply.error(texts::DB_OUT_OF_RANGE);
    };
    let state = &mut *cx.state;
    if a != b {
        state.effects.touch_where(|db, key| {
            let is_held = |index| state.keyspace.db(index).get(key).is_some();
            (db == a || db == b) && (is_held(a) || is_held(b))
        });
        state.keyspace.swap(a, b);
    }
    state.effects.dirty += 1;
    cx.reply.ok();
}
