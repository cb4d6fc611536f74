//! From arguments to an effect: which command it is, whether it may run now, MULTI queueing, the
//! handler, the unit of effects, the figures. The order of refusals is Redis's, since a client sees
//! the first one that applies.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::{client_pause, transaction};
use super::figures::{self, SlowEntry};
use super::lookup::count;
use super::table::spec::{FAST, LOADING, NO_MULTI, PROTECTED, SKIP_SLOWLOG, WRITE};
use super::table::{self, Resolved, Spec, resolve_known};
use super::{Cx, Outcome, texts};
use crate::config::Access;
use crate::resp::{Args, Reply};
use crate::session::{ReplyMode, Session};
use crate::state::{Shared, State};

/// A command that was looked up: once, for prefetching and executing.
#[derive(Clone, Copy, Default)]
pub struct Known(Option<&'static Spec>);

impl Known {
    /// Look a command up by name; one that does not exist is known as such.
    pub fn look_up(name: &[u8]) -> Self {
        Self(table::find(name))
    }

    /// The index of the first key argument, for prefetching; `None` if there is none.
    pub fn first_key_index(self) -> Option<usize> {
        self.0?.first_key_index()
    }

    /// The index of the first argument that names something inside the value of the first key, for
    /// prefetching; `None` if there is none.
    pub fn first_member_index(self) -> Option<usize> {
        Some(usize::from(self.0?.first_member)).filter(|&index| index > 0)
    }

    /// Whether there is no such command.
    pub(super) fn is_none(self) -> bool {
        self.0.is_none()
    }

    /// The command, or the subcommand, that a call of it names.
    pub(super) fn resolve(self, args: Args<'_>) -> Resolved {
        resolve_known(self.0, args)
    }

    /// Whether it changes data.
    pub fn is_write(self) -> bool {
        self.0.is_some_and(|spec| spec.has(WRITE))
    }

    /// Whether it may run so long that the time read before it is old afterwards (DEBUG SLEEP,
    /// KEYS, EXEC, SAVE ...): all but those that Redis calls fast, and those that set one string.
    pub fn may_take_long(self) -> bool {
        self.0.is_some_and(Spec::may_take_long)
    }
}

/// Execute one command now. As [`execute_known`], which a batch calls.
pub fn execute(
    state: &mut State,
    shared: &Arc<Shared>,
    session: &mut Session,
    reply: &mut Reply,
    args: Args<'_>,
) -> Outcome {
    let call = Call { args, known: Known::look_up(args.get(0)), now_ms: shared.clock.unix_ms() };
    execute_known(state, shared, session, reply, call)
}

/// One call: its arguments, what they call, and when.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The arguments, name first.
    pub args: Args<'a>,
    /// What the name is.
    pub known: Known,
    /// Unix ms.
    pub now_ms: i64,
}

/// Execute one command: arity, MULTI queueing, refusals (LOADING, MISCONF), the handler, the
/// effects' unit, statistics.
pub fn execute_known(
    state: &mut State,
    shared: &Arc<Shared>,
    session: &mut Session,
    reply: &mut Reply,
    call: Call<'_>,
) -> Outcome {
    let Call { args, known, now_ms } = call;
    let written = reply.len();
    state.keyspace.tick(now_ms);
    let mut cx = Cx {
        state,
        shared,
        session,
        reply,
        now_ms,
        is_rewritten: false,
        is_shutting_down: false,
        is_in_exec: false,
    };
    let outcome = cx.dispatch(args, known);
    if outcome == Outcome::WritesPaused {
        return outcome;
    }
    cx.session.info.active_at_ms.store(now_ms, Ordering::Relaxed);
    if cx.reply.errors > 0 {
        for (word, count) in cx.reply.take_error_words() {
            cx.state.figures.count_error(&word, count);
        }
    }
    if let Some(wait) = &mut cx.session.wait {
        wait.is_silent = cx.session.reply_mode != ReplyMode::On;
    }
    cx.silence(written);
    outcome
}

/// Forget what the session left behind in the state (watched keys, client table): called by the
/// loop when it closes.
pub fn disconnect(state: &mut State, session: &mut Session) {
    transaction::forget_watched(&mut state.effects, session);
    session.transaction = None;
    state.clients.remove(&session.info.id);
}

impl Cx<'_> {
    /// Decide and run; the reply is complete afterwards.
    fn dispatch(&mut self, args: Args<'_>, known: Known) -> Outcome {
        let spec = match self.admit(args, known) {
            Ok(spec) => spec,
            Err(text) => {
                if let Resolved::Found(spec) = resolve_known(known.0, args) {
                    self.state.figures.reject(spec);
                }
                self.refuse(args, &text);
                return Outcome::Done { is_write: false };
            }
        };
        if client_pause::must_wait(self.state, self.now_ms, || self.may_write(spec)) {
            return Outcome::WritesPaused;
        }
        if self.session.transaction.is_some() && !transaction::runs_at_once(spec) {
            match transaction::queue(self.session, spec, args) {
                Ok(()) => self.reply.simple("QUEUED"),
                Err(text) => self.reply.error(text),
            }
            return Outcome::Done { is_write: false };
        }
        if self.state.are_writes_paused && self.may_write(spec) {
            return Outcome::WritesPaused;
        }
        self.session.info.last_command.store(spec.id, Ordering::Relaxed);
        if spec.may_take_long()
            && let Some(end) = self.state.effects.hand_over()
        {
            self.session.written_at = end; // it may ask where the log ends
        }
        let dirty = self.state.effects.dirty;
        self.run(spec, args);
        let has_effects = self.state.effects.unit_commands() > 0;
        if let Some(end) = self.state.effects.end_unit() {
            self.session.written_at = end;
        }
        if self.is_shutting_down {
            return Outcome::Shutdown;
        }
        Outcome::Done { is_write: has_effects || self.state.effects.dirty != dirty }
    }

    /// Run one command that has been admitted and let its effect be logged. EXEC calls this for
    /// each queued one.
    pub(super) fn run(&mut self, spec: &'static Spec, args: Args<'_>) {
        count(&self.shared.stats.counters.commands_total);
        self.is_rewritten = false;
        let (dirty, db) = (self.state.effects.dirty, self.session.db);
        let written = self.reply.len();
        let started = self.state.figures.begin(spec, args.len(), self.reply.errors);
        (spec.handler)(self, args);
        let bytes = self.reply.len().saturating_sub(written);
        let ticks = self.state.figures.end(spec, started, self.reply.errors, bytes);
        if let Some(microseconds) = self.state.figures.watched(ticks) {
            self.note_long(spec, args, microseconds);
        }
        let has_changed = self.state.effects.dirty != dirty && spec.has(WRITE);
        if has_changed && !self.is_rewritten && self.state.effects.is_logging() {
            self.state.effects.log_sent(db, args);
        }
    }

    /// A command took long: for the latency monitor and the slow log.
    #[cold]
    fn note_long(&mut self, spec: &Spec, args: Args<'_>, microseconds: u64) {
        let at_unix_s = self.shared.clock.unix_ms().div_euclid(1000);
        let event = if spec.has(FAST) { "fast-command" } else { "command" };
        let (figures, config) = (&mut self.state.figures, &self.state.config);
        figures.monitor.note(event, at_unix_s, microseconds / 1000);
        let slow_us = u64::try_from(config.slowlog_log_slower_than);
        if slow_us.is_ok_and(|slow_us| microseconds >= slow_us) && !spec.has(SKIP_SLOWLOG) {
            let entry = SlowEntry {
                id: 0,
                at_unix_s,
                microseconds,
                args: figures::shortened(spec, args),
                address: self.session.info.address.clone(),
                name: self.session.info.name.lock().clone(),
            };
            figures.slow.push(entry, config.slowlog_max_len);
        }
    }

    /// Find the command and check whether it may run now.
    fn admit(&self, args: Args<'_>, known: Known) -> Result<&'static Spec, Vec<u8>> {
        let spec = match resolve_known(known.0, args) {
            Resolved::Found(spec) => spec,
            Resolved::Unknown => return Err(unknown(args)),
            Resolved::UnknownSub => return Err(unknown_sub(args)),
        };
        if !spec.takes(args.len()) {
            return Err(texts::arity(spec.name).into());
        }
        if spec.has(PROTECTED) && !self.is_allowed(self.state.config.enable_debug_command) {
            return Err(protected("DEBUG", "enable-debug-command").into());
        }
        let is_write = self.is_write(spec);
        if is_write || spec.name == "ping" {
            self.check_disk()?;
        }
        if self.shared.stats.is_loading.load(Ordering::Relaxed) && !self.runs_while_loading(spec) {
            return Err(texts::LOADING.into());
        }
        if self.session.transaction.is_some() && spec.has(NO_MULTI) {
            return Err(b"ERR Command not allowed inside a transaction".to_vec());
        }
        Ok(spec)
    }

    /// Refuse writes (and PING, by which health checks notice) after a failed save or log.
    fn check_disk(&self) -> Result<(), Vec<u8>> {
        let config = &self.state.config;
        if config.stop_writes_on_bgsave_error
            && !config.save.is_empty()
            && self.state.save.is_last_bgsave_failed
        {
            return Err(texts::MISCONF_RDB.into());
        }
        if self.shared.gate.has_failed() {
            return Err(texts::misconf_log(self.shared.gate.errno()).into());
        }
        Ok(())
    }

    /// Whether the command, or for EXEC a queued one, changes data.
    fn is_write(&self, spec: &Spec) -> bool {
        spec.has(WRITE) || (spec.name == "exec" && self.has_queued(|queued| queued.has(WRITE)))
    }

    /// As [`Cx::is_write`], with DEBUG, which can replace the data (RELOAD), among the writes.
    fn may_write(&self, spec: &Spec) -> bool {
        let may = |spec: &Spec| spec.has(WRITE) || spec.has(PROTECTED);
        may(spec) || (spec.name == "exec" && self.has_queued(may))
    }

    fn runs_while_loading(&self, spec: &Spec) -> bool {
        spec.has(LOADING)
            && !(spec.name == "exec" && self.has_queued(|queued| !queued.has(LOADING)))
    }

    fn has_queued(&self, is_meant: impl Fn(&Spec) -> bool) -> bool {
        let Some(transaction) = &self.session.transaction else { return false };
        transaction
            .commands
            .iter()
            .any(|args| transaction::resolve_queued(args).is_some_and(&is_meant))
    }

    /// Whether this client may use what `access` guards.
    pub(super) fn is_allowed(&self, access: Access) -> bool {
        match access {
            Access::No => false,
            Access::Yes => true,
            Access::Local => {
                let host = self.session.info.address.rsplit_once(':').map_or("", |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// Answer a refusal; inside MULTI it spoils the transaction, and at EXEC it ends it.
    fn refuse(&mut self, args: Args<'_>, text: &[u8]) {
        if args.get(0).eq_ignore_ascii_case(b"exec") {
            transaction::discard_all(self);
            let why = b"EXECABORT Transaction discarded because of: ";
            let text = text.strip_prefix(b"ERR ").unwrap_or(text);
            return self.error_bytes(&[why.as_slice(), text].concat());
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.is_aborted = true;
        }
        self.error_bytes(text);
    }

    /// An error reply that may quote bytes of the client which are not UTF-8.
    pub(super) fn error_bytes(&mut self, text: &[u8]) {
        let end = text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
        self.reply.error_bytes(&text[..end]);
    }

    /// CLIENT REPLY: take back what was written since `written`, if this command is not to be
    /// answered.
    fn silence(&mut self, written: usize) {
        self.session.reply_mode = match self.session.reply_mode {
            ReplyMode::On => return,
            ReplyMode::Off => ReplyMode::Off,
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
        };
        self.reply.truncate(written);
    }
}

/// The text for a command that does not exist: its name and the first 128 bytes of its arguments.
fn unknown(args: Args<'_>) -> Vec<u8> {
    const SHOWN_BYTES: usize = 128;
    let mut shown: Vec<u8> = Vec::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= SHOWN_BYTES {
            break;
        }
        shown.push(b'\'');
        shown.extend_from_slice(texts::c_text(arg, SHOWN_BYTES - (shown.len() - 1)));
        shown.extend_from_slice(b"' ");
    }
    let name = texts::c_text(args.get(0), SHOWN_BYTES);
    [b"ERR unknown command '", name, b"', with args beginning with: ", &shown].concat()
}

fn unknown_sub(args: Args<'_>) -> Vec<u8> {
    let container = args.get(0).to_ascii_uppercase();
    let name = texts::c_text(args.get(1), 128);
    [b"ERR unknown subcommand '", name, b"'. Try ", &container, b" HELP."].concat()
}

/// The text for a command that a directive guards.
fn protected(command: &str, directive: &str) -> String {
    format!(
        "ERR {command} command not allowed. If the {directive} option is set to \"local\", you can \
         run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server."
    )
}
