//! Executing what one connection sent: parse the whole buffer, look `ahead`, run the batch under one
//! bounded hold of the engine lock. Output is stamped with the log position read under the same
//! hold, so it cannot leave early (I10).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::ahead::{Ahead, WINDOW};
use super::connection::Connection;
use super::output::{Spares, Stamp};
use crate::aof::Position;
use crate::command::{self, Call, Outcome};
use crate::config::Config;
use crate::limits::{BATCH_COMMANDS_MAX, BULK_BYTES_MAX};
use crate::resp::parse::{Bounds, Stop};
use crate::resp::{Batch, Reply};
use crate::session::{Protocol, ReplyMode};
use crate::state::Shared;

/// A batch that has produced this much output ends, so that one hold of the lock and one buffer
/// stay bounded.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Directives that the loops need, copied whenever a loop holds the engine lock.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// `maxclients`.
    pub clients_max: u64,
    /// `timeout`.
    pub timeout_seconds: u64,
    /// `tcp-keepalive`.
    pub keepalive_seconds: u64,
    /// `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
}

impl Settings {
    /// Copy from the configuration in force.
    pub fn new(config: &Config) -> Self {
        Self {
            clients_max: config.maxclients as u64,
            timeout_seconds: config.timeout,
            keepalive_seconds: config.tcp_keepalive,
            bulk_bytes_max: config.proto_max_bulk_len.min(BULK_BYTES_MAX),
        }
    }
}

/// What one loop executes batches with; all buffers are reused.
pub struct Runner {
    shared: Arc<Shared>,
    batch: Batch,
    reply: Reply,
    ahead: Ahead,
    /// Output buffers to reuse.
    pub spares: Spares,
    /// Directives as last seen.
    pub settings: Settings,
}

/// Why a batch ended early.
enum Cut {
    /// The bound on output was reached before that command.
    Output(usize),
    /// That command waits, since writes are paused.
    Paused(usize),
    /// That command's reply comes later ([`crate::wait`]).
    Waits(usize),
    Shutdown,
}

impl Runner {
    /// Buffers for one loop.
    pub fn new(shared: Arc<Shared>) -> Self {
        let settings = Settings::new(&shared.state.lock().config);
        Self {
            shared,
            batch: Batch::default(),
            reply: Reply::new(Protocol::Resp2),
            ahead: Ahead::default(),
            spares: Spares::default(),
            settings,
        }
    }

    /// Execute one batch of what `connection` has received, and append the replies to its output.
    /// Afterwards its flags (`has_more`, `is_paused`, `session.is_closing` ...) tell how to go on.
    pub fn run(&mut self, connection: &mut Connection) {
        let was_paused = std::mem::take(&mut connection.is_paused);
        connection.has_more = false;
        self.batch.clear();
        let bounds = Bounds {
            commands_max: BATCH_COMMANDS_MAX,
            bulk_bytes_max: self.settings.bulk_bytes_max,
        };
        let input = &connection.query[connection.consumed..];
        let (mut consumed, stop) = connection.parser.parse(input, &mut self.batch, bounds);
        let mut stamp = Stamp { position: self.shared.gate.position(), is_write: false };
        let cut = if self.batch.is_empty() {
            None
        } else {
            self.reply.protocol = connection.session.protocol;
            self.execute(connection, &mut stamp)
        };
        match cut {
            Some(Cut::Output(at) | Cut::Paused(at)) => {
                consumed = self.batch.start(at);
                connection.parser.reset();
                connection.is_paused = matches!(cut, Some(Cut::Paused(_)));
                connection.has_more = !connection.is_paused;
            }
            Some(Cut::Waits(at)) => {
                consumed = self.batch.end(at);
                connection.parser.reset();
            }
            Some(Cut::Shutdown) => connection.is_shut = true,
            None => match stop {
                // Only a log's parser stops at a line.
                Stop::NeedsMore | Stop::Line => {}
                Stop::Full => connection.has_more = true,
                Stop::Broken(_) if connection.session.is_closing => {} // nothing after QUIT counts
                Stop::Broken(error) => {
                    let is_answering = connection.session.reply_mode == ReplyMode::On;
                    if let Some(text) = error.text().filter(|_| is_answering) {
                        self.reply.error_bytes(&text);
                    }
                    connection.session.is_closing = true;
                }
            },
        }
        connection.consumed += consumed;
        self.count_blocked(was_paused, connection.is_blocked());
        self.hand_over_output(connection, stamp);
    }

    /// Answer what `connection` waits for, if that is over. Gives whether it is.
    pub fn end_wait(&mut self, connection: &mut Connection, now_ms: i64) -> bool {
        let Some(wait) = &connection.session.wait else { return false };
        self.reply.protocol = connection.session.protocol;
        if !wait.answer(&self.shared.gate, now_ms, &mut self.reply) {
            return false;
        }
        connection.session.wait = None;
        self.count_blocked(true, false);
        // It shows no data, so it waits for nothing but what stands before it.
        let position = Position { epoch: 0, offset: 0 };
        self.hand_over_output(connection, Stamp { position, is_write: false });
        true
    }

    fn execute(&mut self, connection: &mut Connection, stamp: &mut Stamp) -> Option<Cut> {
        let input = &connection.query[connection.consumed..];
        let session = &mut connection.session;
        let count = self.batch.len();
        let mut cut = None;
        let (mut executed, mut now_ms) = (0, 0);
        let mut state = self.shared.state.lock();
        self.settings = Settings::new(&state.config);
        state.figures.open(count);
        state.effects.open_batch();
        while executed < count && cut.is_none() && !session.is_closing {
            if executed % WINDOW == 0 {
                let db = state.keyspace.db(session.db);
                self.ahead.open(executed, db, &self.batch, input);
                now_ms = self.shared.clock.unix_ms();
            }
            let args = self.batch.args(executed, input);
            if is_http(args.get(0)) {
                session.is_closing = true;
                break;
            }
            let known = self.ahead.known(executed);
            let call = Call { args, known, now_ms };
            let reply = &mut self.reply;
            match command::execute_known(&mut state, &self.shared, session, reply, call) {
                Outcome::Done { is_write } => stamp.is_write |= is_write,
                Outcome::WritesPaused => {
                    cut = Some(Cut::Paused(executed));
                    break;
                }
                Outcome::Shutdown => cut = Some(Cut::Shutdown),
            }
            if session.wait.is_some() {
                cut = Some(Cut::Waits(executed));
            }
            executed += 1;
            if known.may_take_long() {
                now_ms = self.shared.clock.unix_ms();
            }
            session.is_closing |= self.reply.is_overfull();
            if self.reply.len() > OUTPUT_BYTES_MAX && executed < count && cut.is_none() {
                cut = Some(Cut::Output(executed));
            }
        }
        state.figures.close();
        if let Some(end) = state.effects.close_batch() {
            session.written_at = end;
        }
        stamp.position = self.shared.gate.position();
        drop(state);
        cut
    }

    fn count_blocked(&self, was_blocked: bool, is_blocked: bool) {
        let blocked = &self.shared.stats.counters.blocked_clients;
        match (was_blocked, is_blocked) {
            (false, true) => blocked.fetch_add(1, Relaxed),
            (true, false) => blocked.fetch_sub(1, Relaxed),
            _ => 0,
        };
    }

    fn hand_over_output(&mut self, connection: &mut Connection, stamp: Stamp) {
        let errors = std::mem::take(&mut self.reply.errors);
        if errors > 0 {
            self.shared.stats.counters.error_replies_total.fetch_add(errors, Relaxed);
        }
        if self.reply.is_overfull() {
            // Half a reply would be taken for a whole one: the connection closes without it.
            self.reply.drop_overfull();
        }
        if !self.reply.is_empty() {
            let bytes = self.reply.replace(self.spares.take());
            connection.output.push(bytes, stamp, &mut self.spares);
        }
    }
}

/// A browser or proxy speaks to us: a page on the web must not be able to run commands here.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
