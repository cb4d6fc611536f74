//! What a connection has to send, in order, each part stamped with the log position at its
//! execution. A part leaves once the reply gate lets it pass, and never before one that stands
//! ahead of it (I10).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use super::epoll::{PARTS_MAX, send};
use crate::aof::{Gate, Position};

/// Parts with the same stamp grow together up to this size, so that slow readers do not collect
/// tiny ones.
const MERGE_BYTES_MAX: usize = 16 * 1024;
/// Sent to one connection in a turn: a fast reader of a big reply leaves room for others.
const TURN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Buffers up to this size are kept for the next batch.
const SPARE_BYTES_MAX: usize = 64 * 1024;
/// Buffers kept.
const SPARES_MAX: usize = 128;

/// Up to where the log must be released before a part may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// What the batch could see.
    pub position: Position,
    /// Whether a write took part in the batch.
    pub is_write: bool,
}

struct Part {
    bytes: Vec<u8>,
    stamp: Stamp,
}

/// Empty buffers that a loop reuses for its connections.
#[derive(Default)]
pub struct Spares(Vec<Vec<u8>>);

impl Spares {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }
    /// Give a buffer back.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= SPARE_BYTES_MAX && self.0.len() < SPARES_MAX {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

/// What became of the output in one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    Empty,
    /// The next part waits for the gate.
    Gated,
    /// The socket takes no more now.
    Full,
    /// The connection is broken.
    Broken,
}

/// The output of one connection.
#[derive(Default)]
pub struct Output {
    parts: VecDeque<Part>,
    /// Bytes of the first part that are sent.
    sent: usize,
    bytes: usize,
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Append a part; its buffer may be kept or given back to `spares`.
    pub fn push(&mut self, bytes: Vec<u8>, stamp: Stamp, spares: &mut Spares) {
        self.bytes += bytes.len();
        match self.parts.back_mut() {
            _ if bytes.is_empty() => spares.give(bytes),
            Some(last)
                if last.stamp == stamp && last.bytes.len() + bytes.len() <= MERGE_BYTES_MAX =>
            {
                last.bytes.extend_from_slice(&bytes);
                spares.give(bytes);
            }
            _ => self.parts.push_back(Part { bytes, stamp }),
        }
    }

    /// Send what the gate lets pass and the socket takes; `sent_total` grows by what left.
    pub fn flush(
        &mut self,
        socket: RawFd,
        gate: &Gate,
        spares: &mut Spares,
        sent_total: &mut u64,
    ) -> Flushed {
        let mut budget = TURN_BYTES_MAX;
        loop {
            if self.parts.is_empty() {
                return Flushed::Empty;
            }
            let count = self.count_passing(gate);
            if count == 0 {
                return Flushed::Gated;
            }
            if budget == 0 {
                return Flushed::Full;
            }
            match self.send_parts(socket, count) {
                Ok(sent) => {
                    *sent_total += sent as u64;
                    budget = budget.saturating_sub(sent);
                    self.drop_sent(sent, spares);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Full,
                Err(_) => return Flushed::Broken,
            }
        }
    }

    /// How many of the first parts may leave. Order holds: the first that may not holds back all
    /// that follow.
    fn count_passing(&self, gate: &Gate) -> usize {
        let passes = |part: &&Part| gate.lets_pass(part.stamp.position, part.stamp.is_write);
        self.parts.iter().take(PARTS_MAX).take_while(passes).count()
    }

    fn send_parts(&self, socket: RawFd, count: usize) -> io::Result<usize> {
        if count == 1 {
            return send(socket, &[IoSlice::new(&self.parts[0].bytes[self.sent..])]);
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        for (index, part) in self.parts.iter().take(count).enumerate() {
            let from = if index == 0 { self.sent } else { 0 };
            slices[index] = IoSlice::new(&part.bytes[from..]);
        }
        send(socket, &slices[..count])
    }

    fn drop_sent(&mut self, mut sent: usize, spares: &mut Spares) {
        self.bytes -= sent;
        while let Some(first) = self.parts.front() {
            let left = first.bytes.len() - self.sent;
            if sent < left {
                self.sent += sent;
                return;
            }
            sent -= left;
            self.sent = 0;
            if let Some(part) = self.parts.pop_front() {
                spares.give(part.bytes);
            }
        }
    }
}
