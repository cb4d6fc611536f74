//! Accepting connections: loop 0 accepts for all loops and hands sockets over in turn.
//! Over `maxclients` a client is told so and closed. Out of descriptors, a listener rests for a
//! tick instead of spinning.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64};

use parking_lot::Mutex;

use super::batch::Settings;
use super::connection::Connection;
use super::epoll::{Epoll, Interest, accept, send, set_keepalive};
use super::event_loop::EventLoop;
use crate::session::{ClientInfo, NO_COMMAND, Session};

/// Accepted in one turn.
const ACCEPTS_MAX: usize = 256;

/// The listening sockets of a loop.
#[derive(Default)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
    is_resting: bool,
}

impl Listeners {
    /// Own bound, non-blocking sockets.
    pub fn new(sockets: Vec<TcpListener>) -> Self {
        Self { sockets, is_resting: false }
    }

    /// Watch all, with the tokens below `top`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn watch(&self, epoll: &Epoll, top: u64) -> io::Result<()> {
        let interest = Interest { read: true, write: false };
        let mut tokens = (0..top).rev();
        self.sockets
            .iter()
            .zip(&mut tokens)
            .try_for_each(|(socket, token)| epoll.add(socket.as_raw_fd(), token, interest))
    }

    /// Which listener a token means.
    pub fn index_of(&self, token: u64, top: u64) -> Option<usize> {
        let index = usize::try_from(top - 1 - token.min(top - 1)).ok()?;
        (index < self.sockets.len()).then_some(index)
    }

    /// Listen again after a rest.
    pub fn resume(&mut self, epoll: &Epoll, top: u64) {
        if std::mem::take(&mut self.is_resting) {
            self.set_interest(epoll, top, true);
        }
    }

    fn rest(&mut self, epoll: &Epoll, top: u64) {
        self.is_resting = true;
        self.set_interest(epoll, top, false);
    }

    fn set_interest(&self, epoll: &Epoll, top: u64, read: bool) {
        for (socket, token) in self.sockets.iter().zip((0..top).rev()) {
            // A failure leaves the old interest: at worst the loop spins or waits one more tick.
            drop(epoll.modify(socket.as_raw_fd(), token, Interest { read, write: false }));
        }
    }
}

impl EventLoop {
    /// Accept what waits at one listener.
    pub(super) fn accept_all(&mut self, listener: usize) {
        self.runner.settings = Settings::new(&self.door.shared.state.lock().config);
        let mut own = Vec::new();
        for _ in 0..ACCEPTS_MAX {
            match accept(self.listeners.sockets[listener].as_raw_fd()) {
                Ok(socket) => {
                    if !self.admit(&socket) {
                        continue;
                    }
                    let loops = self.door.inboxes.len();
                    let to = self.door.next_loop.fetch_add(1, Relaxed) % loops;
                    if to == self.index {
                        own.push(socket);
                    } else {
                        self.door.inboxes[to].hand_over(socket);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    if [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].contains(&errno) {
                        self.rest_listeners(&error);
                        break;
                    } // else: that one peer has gone already
                }
            }
        }
        self.adopt(own);
    }

    fn rest_listeners(&mut self, error: &io::Error) {
        self.listeners.rest(&self.epoll, super::event_loop::INBOX_TOKEN);
        let fields = serde_json::json!({"error": error.to_string()});
        self.door.shared.events.log("error", "accept_failed", &fields);
    }

    /// Count a new client, or tell it that there are too many.
    fn admit(&self, socket: &TcpStream) -> bool {
        let counters = &self.door.shared.stats.counters;
        counters.connections_total.fetch_add(1, Relaxed);
        if counters.clients.fetch_add(1, Relaxed) < self.runner.settings.clients_max {
            return true;
        }
        counters.clients.fetch_sub(1, Relaxed);
        counters.rejected_connections_total.fetch_add(1, Relaxed);
        let text = io::IoSlice::new(b"-ERR max number of clients reached\r\n");
        drop(send(socket.as_raw_fd(), &[text])); // best effort, as in Redis
        false
    }

    /// Own new connections: register them with epoll and in the client table.
    pub(super) fn adopt(&mut self, sockets: Vec<TcpStream>) {
        let mut adopted = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let session = Session::new(Arc::new(self.client_info(&socket)));
            let fd = socket.as_raw_fd();
            // A failed option costs speed, not correctness.
            drop(socket.set_nodelay(true));
            drop(set_keepalive(fd, self.runner.settings.keepalive_seconds));
            let info = Arc::clone(&session.info);
            let connection = Box::new(Connection::new(socket, session));
            let interest = connection.interest;
            let token = self.slots.insert(connection);
            adopted.push(info);
            if self.epoll.add(fd, token, interest).is_err() {
                adopted.pop();
                self.close(token);
            }
        }
        if !adopted.is_empty() {
            let mut state = self.door.shared.state.lock();
            state.clients.extend(adopted.into_iter().map(|info| (info.id, info)));
        }
    }

    fn client_info(&self, socket: &TcpStream) -> ClientInfo {
        let text = |address: io::Result<std::net::SocketAddr>| {
            address.map_or_else(|_| String::new(), |address| address.to_string())
        };
        ClientInfo {
            id: self.door.next_client_id.fetch_add(1, Relaxed),
            address: text(socket.peer_addr()),
            local_address: text(socket.local_addr()),
            fd: socket.as_raw_fd(),
            loop_index: self.index,
            connected_at_ms: self.now_ms,
            active_at_ms: AtomicI64::new(self.now_ms),
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
}
