//! One client's connection: its socket, what it sent, what it gets, and why it does not read at the
//! moment. Only the owning loop touches it. Idle connections hold no input buffer: they borrow the
//! loop's for one read.

use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

use super::epoll::{self, Interest};
use super::output::Output;
use crate::resp::Parser;
use crate::session::Session;

/// Size of the loop's read buffer, and of one read unless an argument is longer.
pub const READ_BYTES: usize = 64 * 1024;
/// Input left over up to this size moves to a buffer of its own, so that the loop gets its buffer
/// back.
const LEFTOVER_BYTES_MAX: usize = 8 * 1024;
/// Believed at once when a client announces an argument; beyond it, memory doubles as bytes really
/// arrive.
const TRUSTED_BYTES: usize = 1024 * 1024;

/// A connected client.
pub struct Connection {
    /// The socket.
    pub socket: TcpStream,
    /// What commands know of the client.
    pub session: Session,
    /// Where parsing stands.
    pub parser: Parser,
    /// Bytes received; those before `consumed` are done with.
    pub query: Vec<u8>,
    /// See `query`.
    pub consumed: usize,
    /// Replies not sent yet.
    pub output: Output,
    /// What epoll watches.
    pub interest: Interest,
    /// The client will send no more (it may still read).
    pub is_eof: bool,
    /// Whole commands may wait in `query`: the loop comes back without a new event.
    pub has_more: bool,
    /// A write waits until writes go on.
    pub is_paused: bool,
    /// The server is to stop: nothing of this client is executed any more.
    pub is_shut: bool,
    /// The socket took no more output.
    pub is_full: bool,
    /// Listed for the flush at the end of the turn.
    pub is_to_flush: bool,
    /// Listed for a flush when the gate opens.
    pub is_gated: bool,
}

impl Connection {
    /// A connection that nothing was received from.
    pub fn new(socket: TcpStream, session: Session) -> Self {
        Self {
            socket,
            session,
            parser: Parser::default(),
            query: Vec::new(),
            consumed: 0,
            output: Output::default(),
            interest: Interest { read: true, write: false },
            is_eof: false,
            has_more: false,
            is_paused: false,
            is_shut: false,
            is_full: false,
            is_to_flush: false,
            is_gated: false,
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether a command of this client waits for something.
    pub fn is_blocked(&self) -> bool {
        self.is_paused || self.session.wait.is_some()
    }

    /// Whether input is taken now.
    pub fn can_read(&self) -> bool {
        let is_still = self.is_eof || self.is_shut || self.session.is_closing;
        !(is_still || self.has_more || self.is_blocked())
    }

    /// Whether nothing is left to do: close once the output is empty.
    pub fn is_finished(&self) -> bool {
        self.session.is_closing || (self.is_eof && !self.has_more && !self.is_blocked())
    }

    /// What epoll should watch now. `has_more` does not count: it changes too often, events are
    /// skipped instead.
    pub fn wanted_interest(&self) -> Interest {
        let is_waiting =
            self.is_eof || self.is_blocked() || self.is_shut || self.session.is_closing;
        Interest { read: !is_waiting, write: self.is_full }
    }

    /// Receive once, into the loop's `spare` buffer when what is there is small.
    ///
    /// # Errors
    /// As [`epoll::receive`].
    pub fn receive(&mut self, spare: &mut Vec<u8>) -> std::io::Result<usize> {
        self.make_room(spare);
        epoll::receive(self.socket.as_raw_fd(), &mut self.query)
    }

    fn make_room(&mut self, spare: &mut Vec<u8>) {
        let needed = self.parser.needed_bytes();
        let left = self.query.len() - self.consumed;
        if needed <= READ_BYTES && self.query.capacity() < READ_BYTES && left < READ_BYTES / 2 {
            let mut buffer = std::mem::take(spare);
            buffer.clear();
            buffer.reserve_exact(READ_BYTES);
            buffer.extend_from_slice(&self.query[self.consumed..]);
            self.query = buffer;
            self.consumed = 0;
            return;
        }
        if self.consumed > 0 {
            self.query.drain(..self.consumed);
            self.consumed = 0;
        }
        let capacity = self.query.capacity();
        let wanted = if needed > capacity {
            needed.min((capacity * 2).max(TRUSTED_BYTES))
        } else if self.query.len() == capacity {
            (capacity * 2).max(READ_BYTES) // many small arguments: doubling keeps the copying linear
        } else {
            return;
        };
        self.query.reserve_exact(wanted.max(self.query.len() + 1) - self.query.len());
    }

    /// After a batch: give the buffer back to the loop (`spare`) unless much is left in it.
    pub fn settle(&mut self, spare: &mut Vec<u8>) {
        let left = self.query.len() - self.consumed;
        if left > LEFTOVER_BYTES_MAX || (left > 0 && self.query.capacity() < READ_BYTES) {
            return;
        }
        let kept = self.query[self.consumed..].to_vec();
        let buffer = std::mem::replace(&mut self.query, kept);
        self.consumed = 0;
        if spare.capacity() < READ_BYTES && buffer.capacity() <= READ_BYTES * 2 {
            *spare = buffer;
        }
    }
}
