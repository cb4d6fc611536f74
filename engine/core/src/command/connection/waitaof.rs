//! WAITAOF (Redis 7.2): answer when the client's own last write is fsynced. Here it also asks for
//! that fsync, so nobody waits for `everysec` to come round, and `appendfsync no` does not wait for
//! ever. There are no replicas: who waits for one waits until the timeout.

use crate::command::{Cx, texts};
use crate::resp::Args;
use crate::value::integer::parse_i64;
use crate::wait::{FsyncWait, Until, Wait};

const LOCAL_OUT_OF_RANGE: &str = "ERR value is out of range, value must between 0 and 1";
const NO_LOG: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// WAITAOF numlocal numreplicas timeout.
pub fn waitaof(cx: &mut Cx<'_>, args: Args<'_>) {
    let (is_local, replicas, timeout_ms) = match parse(args) {
        Ok(asked) => asked,
        Err(text) => return cx.reply.error(text),
    };
    let log = cx.shared.log.get().filter(|log| log.is_in_force());
    if is_local && log.is_none() {
        return cx.reply.error(NO_LOG);
    }
    let wait =
        FsyncWait { offset: cx.session.written_at, has_log: log.is_some(), is_local, replicas };
    if wait.answer(&cx.shared.gate, cx.reply) {
        return;
    }
    if cx.is_in_exec {
        return wait.answer_as_it_is(&cx.shared.gate, cx.reply); // a transaction waits for nothing
    }
    if let Some(log) = log.filter(|_| is_local) {
        log.ask_fsync(wait.offset);
    }
    let deadline_ms = (timeout_ms > 0).then(|| cx.now_ms.saturating_add(timeout_ms));
    cx.session.wait = Some(Wait { until: Until::Fsynced(wait), deadline_ms, is_silent: false });
}

fn parse(args: Args<'_>) -> Result<(bool, i64, i64), &'static str> {
    let is_local = match parse_i64(args.get(1)) {
        Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(LOCAL_OUT_OF_RANGE),
        None => return Err(texts::NOT_INTEGER),
    };
    let replicas = match parse_i64(args.get(2)) {
        Some(replicas) if replicas >= 0 => replicas,
        _ => return Err(texts::NOT_POSITIVE),
    };
    let timeout_ms = parse_i64(args.get(3)).ok_or(texts::TIMEOUT_NOT_INTEGER)?;
    if timeout_ms < 0 {
        return Err(texts::TIMEOUT_NEGATIVE);
    }
    Ok((is_local, replicas, timeout_ms))
}
