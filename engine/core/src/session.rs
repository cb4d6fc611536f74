//! What the server knows of one client between commands: its database, protocol, transaction and watched keys.
//! Owned by the loop that owns the socket; `ClientInfo` is the part that other threads may read or poke.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::effects::WatchFlag;
use crate::wait::Wait;

/// The protocol version a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, until `HELLO 3`.
    Resp2,
    /// RESP3.
    Resp3,
}

/// What `CLIENT REPLY` asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// Answer every command.
    On,
    /// Answer none.
    Off,
    /// Do not answer the next command, then go on.
    SkipNext,
    /// This is the command that is not answered.
    Skip,
}

/// [`ClientInfo::last_command`] of a client that has not sent one.
pub const NO_COMMAND: u16 = u16::MAX;

/// The part of a client that `CLIENT LIST`, `CLIENT KILL` and the metrics reach from any thread.
#[derive(Debug)]
pub struct ClientInfo {
    /// Unique number, never reused.
    pub id: u64,
    /// Peer address `ip:port`.
    pub address: String,
    /// Local address `ip:port`.
    pub local_address: String,
    /// File descriptor, for CLIENT LIST only.
    pub fd: i32,
    /// Which loop owns the socket.
    pub loop_index: usize,
    /// Unix ms when the client connected.
    pub connected_at_ms: i64,
    /// Unix ms of the last command.
    pub active_at_ms: AtomicI64,
    /// Selected database.
    pub db: AtomicU32,
    /// `CLIENT SETNAME`.
    pub name: Mutex<Vec<u8>>,
    /// Last command, as the command table numbers it; [`NO_COMMAND`] before the first.
    pub last_command: AtomicU16,
    /// Queued commands in MULTI, or -1.
    pub multi_queued: AtomicI64,
    /// Speaks RESP3.
    pub is_resp3: AtomicBool,
    /// Bytes in the query buffer.
    pub query_bytes: AtomicU64,
    /// Bytes waiting to be sent.
    pub output_bytes: AtomicU64,
    /// Set by CLIENT KILL; the owner closes the socket.
    pub is_killed: AtomicBool,
}

/// One client's state. Only its owner (a loop, or a test) touches it.
pub struct Session {
    /// The shared part.
    pub info: Arc<ClientInfo>,
    /// Selected database.
    pub db: usize,
    /// Protocol of the replies.
    pub protocol: Protocol,
    /// What CLIENT REPLY asked for.
    pub reply_mode: ReplyMode,
    /// The open transaction, if any.
    pub transaction: Option<Transaction>,
    /// Set when a watched key changed.
    pub watch_flag: WatchFlag,
    /// Watched keys, to forget them again.
    pub watched: HashSet<(usize, Vec<u8>)>,
    /// Bytes that they take, about.
    pub watched_bytes: usize,
    /// Close the connection once what is in the output buffer has left.
    pub is_closing: bool,
    /// CLIENT NO-EVICT.
    pub is_no_evict: bool,
    /// The gate offset after the client's last write to the log.
    pub written_at: u64,
    /// The reply that is still to come. Nothing is executed for the client meanwhile.
    pub wait: Option<Wait>,
}

/// Commands queued since MULTI.
#[derive(Default)]
pub struct Transaction {
    /// The commands, each a vector of arguments.
    pub commands: Vec<Vec<Vec<u8>>>,
    /// A queued command was refused, so EXEC answers EXECABORT.
    pub is_aborted: bool,
    /// Bytes held by the queue, its vectors included.
    pub bytes: usize,
}

impl Session {
    /// A new client's state.
    pub fn new(info: Arc<ClientInfo>) -> Self {
        Self {
            info,
            db: 0,
            protocol: Protocol::Resp2,
            reply_mode: ReplyMode::On,
            transaction: None,
            watch_flag: Arc::default(),
            watched: HashSet::new(),
            watched_bytes: 0,
            is_closing: false,
            is_no_evict: false,
            written_at: 0,
            wait: None,
        }
    }

    /// Whether a key that this client watches has changed.
    pub fn is_watch_dirty(&self) -> bool {
        self.watch_flag.load(Ordering::Acquire)
    }
}
