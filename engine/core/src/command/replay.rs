//! Executing what a log says, on a data set that nobody else sees yet: by the handlers and with the
//! look-ahead of a connection, without what concerns clients only (LOADING, MISCONF, pauses, bounds
//! that they configured, figures), and without effects of its own. Nothing expires meanwhile: a key
//! goes when the log says so. A command that does not exist, does not belong in a log, or fails is
//! a flaw, never passed over (I9). Where the bytes come from is `aof::replay`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64};

use parking_lot::Mutex;

use super::replay_foresight::Foresight;
use super::replay_functions::replay_function;
use super::replay_hsetex;
use super::table::spec::{READONLY, WRITE};
use super::table::{Resolved, Spec};
use super::{Cx, Known};
use crate::clock::Clock;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::limits::BULK_BYTES_MAX;
use crate::resp::{Args, Batch, Reply};
use crate::server::ahead::{Ahead, WINDOW};
use crate::session::{ClientInfo, NO_COMMAND, Protocol, Session};
use crate::state::{Shared, State};

/// A reply's memory that is kept for the next command.
const REPLY_BYTES_KEPT: usize = 64 * 1024;

/// What a log's commands are for.
pub trait Reader {
    /// Another file begins: in database 0, as Redis replays them.
    fn begin_file(&mut self);

    /// Take a batch.
    ///
    /// # Errors
    /// The first command that cannot be; those before it have been taken.
    fn run(&mut self, batch: &Batch, input: &[u8]) -> Result<(), Flaw>;

    /// So many bytes of the file's `size` are taken.
    fn note_progress(&mut self, _done: u64, _size: u64) {}

    /// Whether a MULTI waits for its EXEC.
    fn is_in_transaction(&self) -> bool;
}

/// A data set that grows by a log's commands. What stands in a transaction runs at once: whoever
/// replays knows that the EXEC is there, or throws the data set away.
pub struct Replayer {
    /// Nobody else's: the lock is there since handlers work under one.
    shared: Arc<Shared>,
    session: Session,
    reply: Reply,
    ahead: Ahead,
    frame: Frame,
    foresight: Foresight,
}

/// The first command of a batch that cannot be executed.
#[derive(Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its place in the batch.
    pub index: usize,
    /// What is wrong, without a full stop.
    pub reason: String,
}

impl Replayer {
    /// Go on from `keyspace`, under the directives of `config`.
    pub fn new(config: &Config, clock: &Arc<Clock>, keyspace: Keyspace) -> Self {
        let mut config = config.clone();
        config.save = Vec::new(); // FLUSHALL saves nothing
        config.proto_max_bulk_len = BULK_BYTES_MAX;
        let mut shared = Shared::new(config, Clock::system(), String::new());
        shared.clock = Arc::clone(clock);
        let state = shared.state.get_mut();
        state.keyspace = keyspace;
        state.is_replaying = true;
        Self {
            shared: Arc::new(shared),
            session: Session::new(Arc::new(nobody())),
            reply: Reply::new(Protocol::Resp2),
            ahead: Ahead::default(),
            frame: Frame::default(),
            foresight: Foresight::default(),
        }
    }

    /// The data set.
    pub fn finish(self) -> Keyspace {
        let mut state = self.shared.state.lock();
        let databases = state.keyspace.databases();
        std::mem::replace(&mut state.keyspace, Keyspace::new(databases))
    }

    fn step(
        &mut self,
        state: &mut State,
        args: Args<'_>,
        known: Known,
        now_ms: i64,
    ) -> Result<(), String> {
        if known.is_none() && args.get(0).eq_ignore_ascii_case(b"function") {
            return replay_function(&mut state.keyspace, args);
        }
        if known.is_none() && args.get(0).eq_ignore_ascii_case(replay_hsetex::NAME) {
            let ranges = replay_hsetex::as_hset(args)?;
            let known = Known::look_up(replay_hsetex::STANDS_FOR);
            return self.step(state, args.at(&ranges), known, now_ms);
        }
        let spec = admit(args, known)?;
        if !spec.has(WRITE) && self.frame.takes(spec)? {
            return Ok(());
        }
        let errors = self.reply.errors;
        let mut cx = Cx {
            state,
            shared: &self.shared,
            session: &mut self.session,
            reply: &mut self.reply,
            now_ms,
            is_rewritten: false,
            is_shutting_down: false,
            is_in_exec: false,
        };
        (spec.handler)(&mut cx, args);
        if self.reply.errors > errors {
            return Err(self.refused(args));
        }
        if self.reply.len() > REPLY_BYTES_KEPT {
            self.reply.drop_overfull();
        }
        self.reply.clear();
        Ok(())
    }

    #[cold]
    fn refused(&self, args: Args<'_>) -> String {
        let reply = self.reply.bytes();
        let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let text = String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line));
        format!("'{}' fails: {text}", shown(args.get(0)))
    }
}

impl Reader for Replayer {
    fn begin_file(&mut self) {
        self.session.db = 0;
        self.frame = Frame::default();
        self.foresight = Foresight::default();
    }

    fn note_progress(&mut self, done: u64, size: u64) {
        let mut state = self.shared.state.lock();
        self.foresight.note(done, size, self.session.db, &mut state.keyspace);
    }

    fn is_in_transaction(&self) -> bool {
        self.frame.is_open
    }

    fn run(&mut self, batch: &Batch, input: &[u8]) -> Result<(), Flaw> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        let mut now_ms = 0;
        for index in 0..batch.len() {
            if index % WINDOW == 0 {
                self.ahead.open(index, state.keyspace.db(self.session.db), batch, input);
                now_ms = self.shared.clock.unix_ms();
                state.keyspace.tick(now_ms);
            }
            let (args, known) = (batch.args(index, input), self.ahead.known(index));
            self.step(&mut state, args, known, now_ms).map_err(|reason| Flaw { index, reason })?;
        }
        Ok(())
    }
}

/// Whether a transaction is open.
#[derive(Default)]
struct Frame {
    is_open: bool,
}

impl Frame {
    /// What is no write: true for MULTI and EXEC, which are done then.
    #[cold]
    fn takes(&mut self, spec: &Spec) -> Result<bool, String> {
        match (spec.name, self.is_open) {
            ("multi", false) => self.is_open = true,
            ("exec", true) => self.is_open = false,
            ("multi", true) => return Err("a MULTI inside a MULTI".to_owned()),
            ("exec", false) => return Err("an EXEC without its MULTI".to_owned()),
            ("select", _) => return Ok(false),
            _ if spec.has(READONLY) => return Ok(false),
            (name, _) => return Err(format!("'{name}' does not belong in a log")),
        }
        Ok(true)
    }
}

/// Counts a log's commands and executes none: whether each exists, belongs in a log, and has as
/// many arguments as it takes.
#[derive(Default)]
pub struct Survey {
    frame: Frame,
    counts: BTreeMap<&'static str, u64>,
}

impl Survey {
    /// Commands by name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(name, count)| (*name, *count))
    }

    fn look(&mut self, args: Args<'_>) -> Result<&'static str, String> {
        let known = Known::look_up(args.get(0));
        if known.is_none() && args.get(0).eq_ignore_ascii_case(b"function") {
            return Ok("function");
        }
        if known.is_none() && args.get(0).eq_ignore_ascii_case(replay_hsetex::NAME) {
            return replay_hsetex::as_hset(args).map(|_| "hsetex");
        }
        let spec = admit(args, known)?;
        if !spec.has(WRITE) {
            self.frame.takes(spec)?;
        }
        Ok(spec.name)
    }
}

impl Reader for Survey {
    fn begin_file(&mut self) {
        self.frame = Frame::default();
    }

    fn is_in_transaction(&self) -> bool {
        self.frame.is_open
    }

    fn run(&mut self, batch: &Batch, input: &[u8]) -> Result<(), Flaw> {
        for index in 0..batch.len() {
            let name =
                self.look(batch.args(index, input)).map_err(|reason| Flaw { index, reason })?;
            *self.counts.entry(name).or_default() += 1;
        }
        Ok(())
    }
}

fn admit(args: Args<'_>, known: Known) -> Result<&'static Spec, String> {
    match known.resolve(args) {
        Resolved::Found(spec) if spec.takes(args.len()) => Ok(spec),
        Resolved::Found(spec) => Err(format!("'{}' with {} arguments", spec.name, args.len() - 1)),
        Resolved::Unknown => Err(format!("unknown command '{}'", shown(args.get(0)))),
        Resolved::UnknownSub => {
            Err(format!("unknown command '{} {}'", shown(args.get(0)), shown(args.get(1))))
        }
    }
}

/// A name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN_BYTES: usize = 64;
    name.get(..SHOWN_BYTES).unwrap_or(name).escape_ascii().to_string()
}

/// The client that handlers see.
fn nobody() -> ClientInfo {
    ClientInfo {
        id: 0,
        address: String::new(),
        local_address: String::new(),
        fd: -1,
        loop_index: 0,
        connected_at_ms: 0,
        active_at_ms: AtomicI64::new(0),
        db: AtomicU32::new(0),
        name: Mutex::default(),
        last_command: AtomicU16::new(NO_COMMAND),
        multi_queued: AtomicI64::new(-1),
        is_resp3: AtomicBool::new(false),
        query_bytes: AtomicU64::new(0),
        output_bytes: AtomicU64::new(0),
        is_killed: AtomicBool::new(false),
    }
}
