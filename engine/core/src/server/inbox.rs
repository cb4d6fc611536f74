//! How other threads reach a loop: a bounded set of reasons, new sockets, and one eventfd. Only the
//! owner touches its connections. Nothing here takes the engine lock, so that commands may wake
//! loops while they hold it.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::epoll::EventFd;
use crate::aof::{Gate, GateWaker};
use crate::state::LoopWaker;

/// The door of one loop.
pub struct Inbox {
    eventfd: EventFd,
    /// A signal is on its way: one is enough.
    is_signalled: AtomicBool,
    /// Look again at killed clients, paused writes and the stop flag.
    is_review_due: AtomicBool,
    /// Replies of this loop wait at the gate.
    is_gated: AtomicBool,
    /// Sockets accepted by loop 0 for this one. Bounded by `maxclients`, which is checked before.
    sockets: Mutex<Vec<TcpStream>>,
}

impl Inbox {
    /// An empty inbox.
    ///
    /// # Errors
    /// The operating system's (out of descriptors).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            eventfd: EventFd::new()?,
            is_signalled: AtomicBool::new(false),
            is_review_due: AtomicBool::new(false),
            is_gated: AtomicBool::new(false),
            sockets: Mutex::new(Vec::new()),
        })
    }

    /// The descriptor that becomes readable when the owner should look.
    pub fn raw_fd(&self) -> std::os::fd::RawFd {
        self.eventfd.raw()
    }

    /// Hand over a new connection.
    pub fn hand_over(&self, socket: TcpStream) {
        self.sockets.lock().push(socket);
        self.signal();
    }

    /// The owner begins to look: a signal from here on makes the descriptor readable again. Call
    /// before looking.
    pub fn begin(&self) {
        self.eventfd.drain();
        self.is_signalled.swap(false, Ordering::SeqCst);
    }

    /// The next change of the gate makes the descriptor readable, once.
    pub fn watch_gate(&self, gate: &Gate) {
        self.is_gated.store(true, Ordering::SeqCst);
        gate.watch();
    }

    /// Sockets handed over since the last call.
    pub fn take_sockets(&self) -> Vec<TcpStream> {
        std::mem::take(&mut *self.sockets.lock())
    }

    /// Whether a review was asked for since the last call.
    pub fn take_review(&self) -> bool {
        self.is_review_due.swap(false, Ordering::SeqCst)
    }

    fn signal(&self) {
        if !self.is_signalled.swap(true, Ordering::SeqCst) {
            self.eventfd.signal();
        }
    }
}

impl LoopWaker for Inbox {
    fn wake(&self) {
        self.is_review_due.store(true, Ordering::SeqCst);
        self.signal();
    }
}

impl GateWaker for Inbox {
    fn wake(&self) {
        if self.is_gated.swap(false, Ordering::SeqCst) {
            self.signal();
        }
    }
}
