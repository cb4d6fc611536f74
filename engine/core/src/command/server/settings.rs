//! CONFIG: reading and changing directives. What they are stands in `config`.

use std::sync::atomic::Ordering;

use crate::command::{Cx, texts};
use crate::job::{self, SetOutcome, Setting};
use crate::resp::Args;
use crate::wait::Wait;

/// CONFIG GET pattern [pattern ...].
pub fn get(cx: &mut Cx<'_>, args: Args<'_>) {
    let mut found: Vec<(String, String)> = Vec::new();
    for pattern in args.iter().skip(2) {
        let is_name = !pattern.iter().any(|byte| b"[*?".contains(byte));
        for (name, value) in cx.state.config.get(pattern) {
            // Redis answers a plain name as it was asked for.
            let name = if is_name { String::from_utf8_lossy(pattern).into_owned() } else { name };
            if !found.iter().any(|(known, _)| *known == name) {
                found.push((name, value));
            }
        }
    }
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
}

/// CONFIG SET name value [name value ...]: all or none.
pub fn set(cx: &mut Cx<'_>, args: Args<'_>) {
    if !args.len().is_multiple_of(2) {
        return cx.reply.error(texts::SYNTAX);
    }
    let pairs: Vec<(String, Vec<u8>)> = (2..args.len())
        .step_by(2)
        .map(|at| (String::from_utf8_lossy(args.get(at)).into_owned(), args.get(at + 1).to_vec()))
        .collect();
    let allow_protected = cx.is_allowed(cx.state.config.enable_protected_configs);
    let setting = Setting { pairs, allow_protected };
    match job::set_directives(cx.state, cx.shared, &setting) {
        Ok(SetOutcome::Set) => cx.reply.ok(),
        Ok(SetOutcome::Switches) => switch_log(cx, setting),
        Err(text) => cx.reply.error(&format!("ERR {text}")),
    }
}

/// The log is to be switched on or off: the reply comes when the disk has it, and only this client
/// waits.
fn switch_log(cx: &mut Cx<'_>, setting: Setting) {
    if cx.is_in_exec {
        return cx.reply.error(
            "ERR CONFIG SET failed (possibly related to argument 'appendonly') - it cannot be \
             switched inside a transaction",
        );
    }
    match job::switch_in_background(cx.shared, setting) {
        Ok(answer) => cx.session.wait = Some(Wait::answered(answer)),
        Err(error) => cx.reply.error(&format!("ERR {}", error.message)),
    }
}

/// CONFIG RESETSTAT.
pub fn resetstat(cx: &mut Cx<'_>, _args: Args<'_>) {
    cx.state.figures.reset();
    let counters = &cx.shared.stats.counters;
    for counter in [
        &counters.commands_total,
        &counters.connections_total,
        &counters.rejected_connections_total,
        &counters.expired_keys_total,
        &counters.evicted_keys_total,
        &counters.keyspace_hits_total,
        &counters.keyspace_misses_total,
        &counters.net_input_bytes_total,
        &counters.net_output_bytes_total,
        &counters.error_replies_total,
        &counters.forks_total,
        &counters.reads_total,
        &counters.reads_beside_total,
        &counters.writes_total,
        &counters.writes_beside_total,
        &counters.expire_cycle_us_total,
        &counters.expire_cycle_cut_short_total,
    ] {
        counter.store(0, Ordering::Relaxed);
    }
    cx.shared.stats.last_fork_us.store(0, Ordering::Relaxed);
    cx.state.save.saves_total = 0;
    (cx.state.growth.rewrites_total, cx.state.growth.failures) = (0, 0);
    cx.shared.stats.log.delayed_fsyncs_total.store(0, Ordering::Relaxed);
    cx.reply.errors = 0; // of this batch: they are not counted yet
    cx.reply.ok();
}

/// CONFIG REWRITE: all directives in force, whatever layer they came from, into the redis.conf of
/// the start. Under the lock, as in Redis.
pub fn rewrite(cx: &mut Cx<'_>, _args: Args<'_>) {
    match cx.state.config.rewrite() {
        Ok(true) => cx.reply.ok(),
        Ok(false) => cx.reply.error("ERR The server is running without a config file"),
        Err(error) => {
            cx.shared.events.log_error("config_rewrite_failed", &error);
            cx.reply.error(&format!("ERR Rewriting config file: {}", error.message));
        }
    }
}

/// CONFIG HELP.
pub fn help(cx: &mut Cx<'_>, _args: Args<'_>) {
    texts::help(
        cx,
        "CONFIG",
        &[
            ("GET <pattern> [<pattern> ...]", "Directives whose names match, with their values."),
            ("SET <directive> <value> [...]", "Change directives, all or none."),
            ("RESETSTAT", "Set the counters of INFO to zero."),
            ("REWRITE", "Write the directives to the configuration file."),
        ],
    );
}
