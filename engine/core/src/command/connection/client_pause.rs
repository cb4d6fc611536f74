//! CLIENT PAUSE and UNPAUSE: commands wait, at most so long. Waiting connections keep what they
//! sent and are looked at again when `cron` or UNPAUSE ends the pause. Independent of the pause of
//! a restore, which `job::commit` makes. While either lasts, nothing expires.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::state::{ClientPause, State};
use crate::value::integer::parse_i64;

/// CLIENT PAUSE milliseconds [WRITE|ALL]. A second one never makes a pause shorter or milder.
pub fn pause(cx: &mut Cx<'_>, args: Args<'_>) {
    let is_all = match args.len() {
        3 => true,
        4 if args.get(3).eq_ignore_ascii_case(b"all") => true,
        4 if args.get(3).eq_ignore_ascii_case(b"write") => false,
        4 => return cx.reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
        _ => {
            let text = "ERR unknown subcommand or wrong number of arguments for 'pause'. Try \
                CLIENT HELP.";
            return cx.reply.error(text);
        }
    };
    match parse_i64(args.get(2)) {
        None => cx.reply.error(texts::TIMEOUT_NOT_INTEGER),
        Some(timeout) if timeout < 0 => cx.reply.error(texts::TIMEOUT_NEGATIVE),
        Some(timeout) => {
            let until_ms = cx.now_ms.saturating_add(timeout);
            let last = cx.state.pause.unwrap_or(ClientPause { until_ms, is_all });
            cx.state.pause = Some(ClientPause {
                until_ms: until_ms.max(last.until_ms),
                is_all: is_all || last.is_all,
            });
            cx.reply.ok();
        }
    }
}

/// CLIENT UNPAUSE.
pub fn unpause(cx: &mut Cx<'_>, _args: Args<'_>) {
    if cx.state.pause.take().is_some() {
        cx.shared.wake_loops();
    }
    cx.reply.ok();
}

/// Whether a command must wait now. `may_write`: whether it changes data.
pub fn must_wait(state: &State, now_ms: i64, may_write: impl FnOnce() -> bool) -> bool {
    let Some(pause) = state.pause else { return false };
    now_ms < pause.until_ms && (pause.is_all || may_write())
}
