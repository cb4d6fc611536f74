//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queued commands are kept as sent; EXEC runs them under one
//! hold of the lock and as one unit of effects. A watched key that had already expired is deleted
//! when WATCH looks at it, so that only a change after WATCH (a later expiry included) spoils the
//! transaction.

use crate::command::table::{self, Resolved, Spec};
use crate::command::{Cx, texts};
use crate::effects::Effects;
use crate::limits::QUERY_BUFFER_BYTES_MAX;
use crate::resp::Args;
use crate::session::{Session, Transaction};

/// Commands that run inside MULTI instead of being queued.
pub fn runs_at_once(spec: &Spec) -> bool {
    matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Queue a command of an open transaction.
///
/// # Errors
/// The queue has reached its bound; the transaction is then spoiled.
pub fn queue(session: &mut Session, _spec: &Spec, args: Args<'_>) -> Result<(), &'static str> {
    let Some(transaction) = &mut session.transaction else { return Ok(()) };
    if transaction.is_aborted {
        return Ok(()); // it never runs: nothing is kept for it, as in Redis
    }
    // With what the allocator and the vectors take: arguments may be empty.
    const ARG_BYTES: usize = size_of::<Vec<u8>>() + 16;
    let args_bytes = args.iter().map(|arg| arg.len() + ARG_BYTES).sum::<usize>();
    transaction.bytes += args_bytes + size_of::<Vec<Vec<u8>>>() + 16;
    if transaction.bytes > QUERY_BUFFER_BYTES_MAX {
        transaction.is_aborted = true;
        transaction.commands = Vec::new();
        return Err("ERR the transaction is too big");
    }
    transaction.commands.push(args.to_vecs());
    publish_queue_length(session);
    Ok(())
}

/// The command that queued arguments call (they were checked when queued).
pub fn resolve_queued(args: &[Vec<u8>]) -> Option<&'static Spec> {
    let spec = table::find(args.first()?)?;
    match args.get(1) {
        Some(name) if !spec.subcommands.is_empty() => table::find_sub(spec, name),
        _ => Some(spec),
    }
}

/// Forget all watched keys.
pub fn forget_watched(effects: &mut Effects, session: &mut Session) {
    for (db, key) in std::mem::take(&mut session.watched) {
        effects.unwatch(db, &key, &session.watch_flag);
    }
    session.watched_bytes = 0;
    session.watch_flag.store(false, std::sync::atomic::Ordering::Release);
}

/// End the open transaction without running it, and forget the watched keys.
pub fn discard_all(cx: &mut Cx<'_>) {
    cx.session.transaction = None;
    publish_queue_length(cx.session);
    forget_watched(&mut cx.state.effects, cx.session);
}

fn publish_queue_length(session: &Session) {
    let length = session
        .transaction
        .as_ref()
        .map_or(-1, |transaction| i64::try_from(transaction.commands.len()).unwrap_or(i64::MAX));
    session.info.multi_queued.store(length, std::sync::atomic::Ordering::Relaxed);
}

/// MULTI.
pub fn multi(cx: &mut Cx<'_>, _args: Args<'_>) {
    if cx.session.transaction.is_some() {
        return cx.reply.error("ERR MULTI calls can not be nested");
    }
    cx.session.transaction = Some(Transaction::default());
    publish_queue_length(cx.session);
    cx.reply.ok();
}

/// DISCARD.
pub fn discard(cx: &mut Cx<'_>, _args: Args<'_>) {
    if cx.session.transaction.is_none() {
        return cx.reply.error("ERR DISCARD without MULTI");
    }
    discard_all(cx);
    cx.reply.ok();
}

/// WATCH key [key ...].
pub fn watch(cx: &mut Cx<'_>, args: Args<'_>) {
    if cx.session.transaction.is_some() {
        return cx.reply.error("ERR WATCH inside MULTI is not allowed");
    }
    let db = cx.session.db;
    for key in args.iter().skip(1) {
        // The key stands in two tables.
        const ENTRY_BYTES: usize = 160;
        let bytes = 2 * key.len() + ENTRY_BYTES;
        if cx.session.watched_bytes + bytes > QUERY_BUFFER_BYTES_MAX {
            return cx.reply.error("ERR too many keys are watched");
        }
        cx.is_there(db, key);
        if cx.session.watched.insert((db, key.to_vec())) {
            cx.session.watched_bytes += bytes;
            cx.state.effects.watch(db, key, &cx.session.watch_flag);
        }
    }
    cx.reply.ok();
}

/// UNWATCH.
pub fn unwatch(cx: &mut Cx<'_>, _args: Args<'_>) {
    forget_watched(&mut cx.state.effects, cx.session);
    cx.reply.ok();
}

/// EXEC.
pub fn exec(cx: &mut Cx<'_>, _args: Args<'_>) {
    let is_dirty = cx.session.is_watch_dirty() || has_watched_key_expired(cx);
    let Some(transaction) = cx.session.transaction.take() else {
        return cx.reply.error("ERR EXEC without MULTI");
    };
    discard_all(cx);
    if transaction.is_aborted {
        return cx.reply.error(texts::EXEC_ABORTED);
    }
    if is_dirty {
        return cx.reply.null_array();
    }
    cx.reply.array(transaction.commands.len());
    cx.is_in_exec = true;
    for command in &transaction.commands {
        run_queued(cx, command);
    }
    cx.is_in_exec = false;
}

/// A watched key whose time is over by now but that nobody has deleted yet. (One that was over at
/// WATCH is gone already, unless writes were paused then.)
fn has_watched_key_expired(cx: &Cx<'_>) -> bool {
    cx.session.watched.iter().any(|(db, key)| {
        cx.state.keyspace.db(*db).get(key).is_some_and(|entry| entry.is_expired(cx.now_ms))
    })
}

fn run_queued(cx: &mut Cx<'_>, command: &[Vec<u8>]) {
    let buffer = command.concat();
    let mut start = 0u32;
    let ranges: Vec<(u32, u32)> = command
        .iter()
        .map(|arg| {
            let range = (start, u32::try_from(arg.len()).unwrap_or(u32::MAX));
            start = start.saturating_add(range.1);
            range
        })
        .collect();
    let args = Args::new(&buffer, &ranges);
    match table::resolve(args) {
        Resolved::Found(spec) => cx.run(spec, args),
        Resolved::Unknown | Resolved::UnknownSub => cx.reply.error(texts::EXEC_ABORTED),
    }
}
