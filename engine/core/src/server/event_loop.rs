//! One network loop: wait, read, execute, then flush everything that this turn produced.
//! A loop owns its connections; others reach it through its inbox. Accepting is in `listen`,
//! executing in `batch`.
//!
//! A turn: events -> input is read and executed, one bounded batch a connection -> connections with
//! more input get another batch -> flush. So a long pipeline never keeps the others waiting for
//! more than one batch.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::Door;
use super::batch::Runner;
use super::connection::Connection;
use super::epoll::{Epoll, Interest, Ready};
use super::inbox::Inbox;
use super::listen::Listeners;
use super::output::Flushed;
use super::returning::Returning;
use super::slots::Slots;
use crate::aof::GateWaker;
use crate::command;
use crate::limits::{OUTPUT_BUFFER_BYTES_MAX, QUERY_BUFFER_BYTES_MAX};
use crate::wait::Wait;

/// Longest sleep: idle clients and paused listeners are looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// The token of the inbox; listeners have those below it.
pub(super) const INBOX_TOKEN: u64 = u64::MAX;

/// When connections that wait for a later reply are to be looked at.
#[derive(Default)]
struct WaitDue {
    /// The earliest deadline, unix ms.
    deadline_ms: Option<i64>,
    /// Somebody has answered, or may have.
    is_review: bool,
    /// How far the log was fsynced when they were looked at.
    fsynced: u64,
}

impl WaitDue {
    /// Somebody waits.
    fn note(&mut self, wait: &Wait) {
        self.deadline_ms = [self.deadline_ms, wait.deadline_ms].into_iter().flatten().min();
    }

    /// Whether they are to be looked at now; then all is forgotten until somebody waits on.
    fn take(&mut self, fsynced: u64, now_ms: i64) -> bool {
        let is_late = self.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms);
        let is_due = is_late || self.is_review || fsynced != self.fsynced;
        if is_due {
            *self = Self { fsynced, ..Self::default() };
        }
        is_due
    }
}

/// A loop and all that it owns.
pub struct EventLoop {
    pub(super) door: Arc<Door>,
    pub(super) index: usize,
    pub(super) epoll: Epoll,
    inbox: Arc<Inbox>,
    pub(super) listeners: Listeners,
    pub(super) slots: Slots,
    pub(super) runner: Runner,
    /// The read buffer, lent to one connection at a time.
    spare: Vec<u8>,
    /// Connections with more input than one batch.
    busy: Vec<u64>,
    to_flush: Vec<u64>,
    gated: Vec<u64>,
    returning: Returning,
    /// Connections whose reply is still to come, and when to look at them.
    waiting: Vec<u64>,
    wait_due: WaitDue,
    pub(super) now_ms: i64,
    next_sweep_ms: i64,
}

impl EventLoop {
    /// A loop that watches its inbox and `listeners` (only loop 0 has some).
    ///
    /// # Errors
    /// The operating system's (out of descriptors).
    pub fn new(door: Arc<Door>, index: usize, listeners: Listeners) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let inbox = Arc::clone(&door.inboxes[index]);
        epoll.add(inbox.raw_fd(), INBOX_TOKEN, Interest { read: true, write: false })?;
        listeners.watch(&epoll, INBOX_TOKEN)?;
        let runner = Runner::new(Arc::clone(&door.shared));
        Ok(Self {
            epoll,
            inbox,
            listeners,
            slots: Slots::default(),
            runner,
            spare: Vec::new(),
            busy: Vec::new(),
            to_flush: Vec::new(),
            gated: Vec::new(),
            returning: Returning::default(),
            waiting: Vec::new(),
            wait_due: WaitDue::default(),
            now_ms: door.shared.clock.unix_ms(),
            next_sweep_ms: 0,
            door,
            index,
        })
    }

    /// Serve until the door or the engine stops; then send what may leave and close everything.
    ///
    /// # Errors
    /// The wait itself failed, which is a bug.
    pub fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.is_stopping() {
            let timeout = if self.busy.is_empty() { self.sleep() } else { Duration::ZERO };
            if let Some(pause) = self.returning.pause(ready.len()).filter(|_| self.busy.is_empty())
            {
                std::thread::sleep(pause);
            }
            self.epoll.wait(timeout, &mut ready)?;
            self.now_ms = self.door.shared.clock.unix_ms();
            for event in &ready {
                self.dispatch(*event);
            }
            self.run_busy();
            self.end_waits();
            self.door.shared.log.push();
            self.flush_all();
            self.sweep();
        }
        self.close_all();
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.door.is_stopping.load(Acquire) || self.door.shared.is_stopping.load(Acquire)
    }

    fn dispatch(&mut self, event: Ready) {
        if event.token == INBOX_TOKEN {
            return self.read_inbox();
        }
        if let Some(listener) = self.listeners.index_of(event.token, INBOX_TOKEN) {
            return self.accept_all(listener);
        }
        let Some(connection) = self.slots.get(event.token) else { return };
        if event.is_writable {
            connection.is_full = false;
            self.list_to_flush(event.token);
        }
        if event.is_readable {
            self.read(event);
        }
    }

    fn read_inbox(&mut self) {
        self.inbox.begin();
        let sockets = self.inbox.take_sockets();
        self.adopt(sockets);
        self.list_gated();
        if self.inbox.take_review() {
            self.wait_due.is_review = true;
            self.review();
        }
    }

    /// Those whose replies wait at the gate are to be looked at again.
    fn list_gated(&mut self) {
        self.returning.release(self.gated.len());
        for token in std::mem::take(&mut self.gated) {
            if let Some(connection) = self.slots.get(token) {
                connection.is_gated = false;
                self.list_to_flush(token);
            }
        }
    }

    /// Close killed clients; let those try again whose writes were paused.
    fn review(&mut self) {
        for token in self.slots.tokens_where(|it| it.session.info.is_killed.load(Acquire)) {
            self.close(token);
        }
        for token in self.slots.tokens_where(|it| it.is_paused) {
            self.execute(token);
        }
    }

    fn read(&mut self, event: Ready) {
        let Some(connection) = self.slots.get(event.token) else { return };
        if !connection.can_read() {
            if event.is_hung_up && !connection.has_more {
                self.close(event.token); // nobody is there to read what is left
            }
            return;
        }
        let info = &connection.session.info;
        info.active_at_ms.store(self.now_ms, Relaxed);
        match connection.receive(&mut self.spare) {
            Ok(0) => {
                connection.is_eof = true;
                connection.settle(&mut self.spare);
                self.list_to_flush(event.token);
            }
            Ok(count) => {
                let counters = &self.door.shared.stats.counters;
                counters.net_input_bytes_total.fetch_add(count as u64, Relaxed);
                counters.reads_total.fetch_add(1, Relaxed);
                if self.index > 0 {
                    counters.reads_beside_total.fetch_add(1, Relaxed);
                }
                self.execute(event.token);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.settle(&mut self.spare);
            }
            Err(_) => self.close(event.token),
        }
    }

    fn execute(&mut self, token: u64) {
        let Some(connection) = self.slots.get(token) else { return };
        self.runner.run(connection);
        connection.settle(&mut self.spare);
        let (query, output) =
            (connection.query.len() - connection.consumed, connection.output.len());
        let info = &connection.session.info;
        info.query_bytes.store(query as u64, Relaxed);
        info.output_bytes.store(output as u64, Relaxed);
        if output > OUTPUT_BUFFER_BYTES_MAX || query > QUERY_BUFFER_BYTES_MAX {
            return self.close(token);
        }
        if connection.has_more {
            self.busy.push(token);
        }
        if let Some(wait) = &connection.session.wait {
            self.wait_due.note(wait);
            self.waiting.push(token);
        }
        self.list_to_flush(token);
    }

    /// Answer those whose wait is over, and go on with what they sent meanwhile.
    fn end_waits(&mut self) {
        let fsynced = self.door.shared.gate.fsynced();
        if self.waiting.is_empty() || !self.wait_due.take(fsynced, self.now_ms) {
            return;
        }
        for token in std::mem::take(&mut self.waiting) {
            let Some(connection) = self.slots.get(token) else { continue };
            if self.runner.end_wait(connection, self.now_ms) {
                self.execute(token); // lists it to be flushed, and again here if it waits again
            } else if let Some(wait) = &connection.session.wait {
                self.wait_due.note(wait);
                self.waiting.push(token);
            }
        }
    }

    /// How long to wait for events.
    fn sleep(&self) -> Duration {
        match self.wait_due.deadline_ms {
            Some(deadline_ms) if !self.waiting.is_empty() => {
                let ms = deadline_ms.saturating_sub(self.now_ms).clamp(0, 1000);
                TICK.min(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
            }
            _ => TICK,
        }
    }

    fn run_busy(&mut self) {
        for token in std::mem::take(&mut self.busy) {
            self.execute(token);
        }
    }

    pub(super) fn list_to_flush(&mut self, token: u64) {
        if let Some(connection) = self.slots.get(token)
            && !connection.is_to_flush
        {
            connection.is_to_flush = true;
            self.to_flush.push(token);
        }
    }

    /// Flush all that is listed; afterwards the gate wakes this loop if replies wait for it.
    fn flush_all(&mut self) {
        let changes = self.door.shared.gate.changes();
        self.flush_listed();
        if !(self.gated.is_empty() && self.waiting.is_empty()) {
            let gate = &self.door.shared.gate;
            self.inbox.watch_gate(gate);
            let has_opened = gate.changes() != changes;
            let is_awaited = !self.waiting.is_empty();
            if has_opened || (is_awaited && gate.fsynced() != self.wait_due.fsynced) {
                GateWaker::wake(&*self.inbox); // that was before anybody watched
            }
        }
    }

    fn flush_listed(&mut self) {
        let mut tokens = std::mem::take(&mut self.to_flush);
        let (mut sent, mut writes) = (0, 0);
        for token in tokens.drain(..) {
            let before = sent;
            self.flush(token, &mut sent);
            writes += u64::from(sent > before);
        }
        self.to_flush = tokens;
        if sent > 0 {
            let counters = &self.door.shared.stats.counters;
            counters.net_output_bytes_total.fetch_add(sent, Relaxed);
            counters.writes_total.fetch_add(writes, Relaxed);
            if self.index > 0 {
                counters.writes_beside_total.fetch_add(writes, Relaxed);
            }
        }
    }

    fn flush(&mut self, token: u64, sent: &mut u64) {
        let Some(connection) = self.slots.get(token) else { return };
        connection.is_to_flush = false;
        let flushed = if connection.is_full {
            Flushed::Full // told when there is room
        } else {
            let gate = &self.door.shared.gate;
            let fd = connection.fd();
            connection.output.flush(fd, gate, &mut self.runner.spares, sent)
        };
        connection.is_full = flushed == Flushed::Full;
        match flushed {
            Flushed::Broken => return self.close(token),
            Flushed::Empty if connection.is_finished() => return self.close(token),
            Flushed::Gated if !connection.is_gated => {
                connection.is_gated = true;
                self.gated.push(token);
            }
            _ => {}
        }
        let output = connection.output.len() as u64;
        connection.session.info.output_bytes.store(output, Relaxed);
        let wanted = connection.wanted_interest();
        if connection.interest != wanted {
            connection.interest = wanted;
            let fd = connection.fd();
            if self.epoll.modify(fd, token, wanted).is_err() {
                self.close(token);
            }
        }
    }

    /// Once a tick: close idle clients, let listeners try again that were out of descriptors.
    fn sweep(&mut self) {
        if self.now_ms < self.next_sweep_ms && self.next_sweep_ms - self.now_ms <= 1000 {
            return;
        }
        self.next_sweep_ms = self.now_ms + 1000;
        self.listeners.resume(&self.epoll, INBOX_TOKEN);
        let timeout_ms = self.runner.settings.timeout_seconds.saturating_mul(1000);
        if timeout_ms == 0 {
            return;
        }
        let now_ms = self.now_ms;
        let is_idle = |it: &Connection| {
            let active_at_ms = it.session.info.active_at_ms.load(Relaxed);
            let idle_ms = u64::try_from(now_ms - active_at_ms).unwrap_or(0);
            idle_ms > timeout_ms && it.can_read() && !it.is_gated
        };
        for token in self.slots.tokens_where(is_idle) {
            self.close(token);
        }
    }

    pub(super) fn close(&mut self, token: u64) {
        let Some(mut connection) = self.slots.remove(token) else { return };
        // A fork's child may still hold a duplicate for a moment, which would keep the registration
        // alive.
        self.epoll.remove(connection.fd());
        let counters = &self.door.shared.stats.counters;
        counters.clients.fetch_sub(1, Relaxed);
        if connection.is_blocked() {
            counters.blocked_clients.fetch_sub(1, Relaxed);
        }
        let mut state = self.door.shared.state.lock();
        command::disconnect(&mut state, &mut connection.session);
        drop(state);
    }

    fn close_all(&mut self) {
        for token in self.slots.tokens_where(|it| !it.output.is_empty()) {
            self.list_to_flush(token);
        }
        self.flush_all();
        for token in self.slots.tokens_where(|_| true) {
            self.close(token);
        }
        drop(self.inbox.take_sockets());
    }
}
