//! Commands that set whole strings: SET, SETNX, SETEX, PSETEX, GETSET, MSET, MSETNX.

use super::get::reply_value;
use super::options::{Options, Reader, Unit, expiry_ms};
use crate::command::{Cx, texts};
use crate::keyspace::Expiry;
use crate::resp::Args;
use crate::value::NewValue;
use crate::value::integer::IntText;

/// SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL].
pub fn set(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len() == 3 {
        cx.overwrite(args.get(1), NewValue::Bytes(args.get(2)), Expiry::Never);
        return cx.reply.ok();
    }
    let options = match Options::read(Reader::Set, args, 3) {
        Ok(options) => options,
        Err(text) => return cx.reply.error(text),
    };
    let expiry = match options.expiry {
        None if options.is_keep_ttl => Expiry::Keep,
        None => Expiry::Never,
        Some((unit, at)) => match expiry_ms(args.get(at), unit, cx.now_ms, "set") {
            Ok(at_ms) => Expiry::At(at_ms),
            Err(text) => return cx.reply.error(&text),
        },
    };
    set_with(cx, args, options, expiry);
}

fn set_with(cx: &mut Cx<'_>, args: Args<'_>, options: Options, expiry: Expiry) {
    let (key, value) = (args.get(1), args.get(2));
    let is_there = match options.is_get {
        true => match reply_value(cx, key) {
            Some(is_there) => is_there,
            None => return,
        },
        false => cx.is_there(cx.session.db, key),
    };
    if (options.is_nx && is_there) || (options.is_xx && !is_there) {
        if !options.is_get {
            cx.reply.null();
        }
        return;
    }
    cx.store(key, NewValue::Bytes(value), expiry);
    if !options.is_get {
        cx.reply.ok();
    }
    match expiry {
        Expiry::At(at_ms) => log_with_time(cx, key, value, at_ms),
        _ if options.is_get => log_without_get(cx, args),
        _ => {}
    }
}

fn log_with_time(cx: &mut Cx<'_>, key: &[u8], value: &[u8], at_ms: i64) {
    let at = IntText::new(at_ms);
    cx.rewrite(&[b"SET".as_slice(), key, value, b"PXAT", &at]);
}

/// A log replays no replies, so GET is left out.
fn log_without_get(cx: &mut Cx<'_>, args: Args<'_>) {
    let kept: Vec<&[u8]> = args
        .iter()
        .enumerate()
        .filter(|(index, arg)| *index < 3 || !arg.eq_ignore_ascii_case(b"get"))
        .map(|(_, arg)| arg)
        .collect();
    cx.rewrite(&kept);
}

/// SETNX key value.
pub fn setnx(cx: &mut Cx<'_>, args: Args<'_>) {
    if cx.is_there(cx.session.db, args.get(1)) {
        return cx.reply.int(0);
    }
    cx.store(args.get(1), NewValue::Bytes(args.get(2)), Expiry::Never);
    cx.reply.int(1);
}

/// SETEX key seconds value.
pub fn setex(cx: &mut Cx<'_>, args: Args<'_>) {
    set_for(cx, args, Unit::Ex, "setex");
}

/// PSETEX key milliseconds value.
pub fn psetex(cx: &mut Cx<'_>, args: Args<'_>) {
    set_for(cx, args, Unit::Px, "psetex");
}

fn set_for(cx: &mut Cx<'_>, args: Args<'_>, unit: Unit, name: &str) {
    let (key, value) = (args.get(1), args.get(3));
    match expiry_ms(args.get(2), unit, cx.now_ms, name) {
        Ok(at_ms) => {
            cx.overwrite(key, NewValue::Bytes(value), Expiry::At(at_ms));
            log_with_time(cx, key, value, at_ms);
            cx.reply.ok();
        }
        Err(text) => cx.reply.error(&text),
    }
}

/// GETSET key value.
pub fn getset(cx: &mut Cx<'_>, args: Args<'_>) {
    let (key, value) = (args.get(1), args.get(2));
    if reply_value(cx, key).is_none() {
        return;
    }
    cx.store(key, NewValue::Bytes(value), Expiry::Never);
    cx.rewrite(&[b"SET".as_slice(), key, value]);
}

/// MSET key value [key value ...].
pub fn mset(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len().is_multiple_of(2) {
        return cx.reply.error(&texts::arity("mset"));
    }
    set_pairs(cx, args);
    cx.reply.ok();
}

/// MSETNX key value [key value ...].
pub fn msetnx(cx: &mut Cx<'_>, args: Args<'_>) {
    if args.len().is_multiple_of(2) {
        return cx.reply.error(&texts::arity("msetnx"));
    }
    let db = cx.session.db;
    let is_any_there = (1..args.len()).step_by(2).any(|at| cx.is_there(db, args.get(at)));
    if is_any_there {
        return cx.reply.int(0);
    }
    set_pairs(cx, args);
    cx.reply.int(1);
}

fn set_pairs(cx: &mut Cx<'_>, args: Args<'_>) {
    cx.for_each_key(args, 2, |cx, at| {
        cx.overwrite(args.get(at), NewValue::Bytes(args.get(at + 1)), Expiry::Never);
    });
}
