//! TIME, LASTSAVE, SAVE, BGSAVE, BGREWRITEAOF, SHUTDOWN, ROLE, WAIT. What saving and stopping do stands in `job`.

use crate::command::{Cx, texts};
use crate::error::EngineError;
use crate::job::{self, BackgroundRewrite, BackgroundSave};
use crate::resp::Args;
use crate::value::integer::parse_i64;

const SAVE_RUNNING: &str = "ERR Background save already in progress";
const CHILD_BUSY: &str = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use \
    BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";

const REWRITE_FAILED: &str = "ERR Can't execute an AOF background rewriting. Please check the \
    server logs for more information.";

/// TIME: to the microsecond, so not that of the batch.
pub fn time(cx: &mut Cx<'_>, _args: Args<'_>) {
    let now_us = cx.shared.clock.unix_us();
    cx.reply.array(2);
    cx.reply.bulk((now_us / 1_000_000).to_string().as_bytes());
    cx.reply.bulk((now_us % 1_000_000).to_string().as_bytes());
}

/// LASTSAVE.
pub fn lastsave(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.int(cx.state.save.last_save_unix_s);
}

/// SAVE.
pub fn save(cx: &mut Cx<'_>, _args: Args<'_>) {
    match job::save_foreground(cx) {
        Ok(()) => cx.reply.ok(),
        Err(error) if error.code == "CHILD_RUNNING" => cx.reply.error(SAVE_RUNNING),
        Err(error) => cx.reply.error(&failure(&error)),
    }
}

/// BGSAVE [SCHEDULE].
pub fn bgsave(cx: &mut Cx<'_>, args: Args<'_>) {
    let is_schedulable = match args.len() {
        1 => false,
        2 if args.get(1).eq_ignore_ascii_case(b"schedule") => true,
        _ => return cx.reply.error(texts::SYNTAX),
    };
    match job::save_background(cx, is_schedulable) {
        Ok(BackgroundSave::Started) => cx.reply.simple("Background saving started"),
        Ok(BackgroundSave::Scheduled) => cx.reply.simple("Background saving scheduled"),
        Err(error) if error.code == "CHILD_RUNNING" => cx.reply.error(SAVE_RUNNING),
        Err(error) if error.code == "CHILD_BUSY" => cx.reply.error(CHILD_BUSY),
        Err(error) => cx.reply.error(&failure(&error)),
    }
}

/// BGREWRITEAOF.
pub fn bgrewriteaof(cx: &mut Cx<'_>, _args: Args<'_>) {
    match job::rewrite_background(cx) {
        Ok(BackgroundRewrite::Started) => {
            cx.reply.simple("Background append only file rewriting started");
        }
        Ok(BackgroundRewrite::Scheduled) => {
            cx.reply.simple("Background append only file rewriting scheduled");
        }
        Err(error) if error.code == "CHILD_RUNNING" => {
            cx.reply.error("ERR Background append only file rewriting already in progress");
        }
        Err(_) => cx.reply.error(REWRITE_FAILED),
    }
}

/// What a client sees of an engine error: Redis says only `ERR` here, the reason is more useful.
pub fn failure(error: &EngineError) -> String {
    format!("ERR {}", error.message)
}

/// SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT].
pub fn shutdown(cx: &mut Cx<'_>, args: Args<'_>) {
    let (mut save, mut is_forced, mut is_aborting, mut is_wrong) = (None, false, false, false);
    for word in args.iter().skip(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" => is_wrong |= save.replace(false) == Some(true),
            b"save" => is_wrong |= save.replace(true) == Some(false),
            b"now" => {} // nobody to wait for: there are no replicas
            b"force" => is_forced = true,
            b"abort" => is_aborting = true,
            _ => is_wrong = true,
        }
    }
    if is_wrong || (is_aborting && args.len() > 2) {
        return cx.reply.error(texts::SYNTAX);
    }
    if is_aborting {
        return cx.reply.error("ERR No shutdown in progress.");
    }
    let mut done = job::shut_down(cx, save);
    if done.is_err() && is_forced {
        done = job::shut_down(cx, Some(false));
    }
    match done {
        Ok(()) => cx.is_shutting_down = true,
        Err(_) => cx.reply.error("ERR Errors trying to SHUTDOWN. Check logs."),
    }
}

/// ROLE: always a primary without replicas.
pub fn role(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.int(0);
    cx.reply.array(0);
}

/// WAIT numreplicas timeout: there are no replicas, so nobody is waited for.
pub fn wait(cx: &mut Cx<'_>, args: Args<'_>) {
    match (parse_i64(args.get(1)), parse_i64(args.get(2))) {
        (None, _) => cx.reply.error(texts::NOT_INTEGER),
        (_, None) => cx.reply.error(texts::TIMEOUT_NOT_INTEGER),
        (_, Some(timeout)) if timeout < 0 => cx.reply.error(texts::TIMEOUT_NEGATIVE),
        _ => cx.reply.int(0),
    }
}
