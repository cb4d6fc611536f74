//! Answers of executed calls, from the execution until the reply gate lets them leave (I10), and what
//! they then say of their durability. An answer that asked for more than the policy waits for that,
//! too; one whose caller has gone is dropped.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::answers::Held;
use super::errors::Refusal;
use super::queue::Answer;
use super::wire::{Durability, LogPosition, WriteReceipt};
use crate::aof::{self, Gate, Position};
use crate::state::Shared;

/// An answer that may have to wait.
pub(super) struct Done {
    pub(super) outcome: Result<Bytes, Refusal>,
    pub(super) held: Held,
    pub(super) is_applied: bool,
    pub(super) is_write: bool,
    pub(super) position: Position,
    pub(super) asked: Durability,
    pub(super) answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Answers that wait, in no order: each has its own caller. Bounded by the calls under way.
#[derive(Default)]
pub(super) struct Gated {
    waiting: Vec<Done>,
    /// Up to where an fsync has been asked for.
    fsync_asked: u64,
}

impl Done {
    fn may_leave(&self, gate: &Gate) -> bool {
        let offset = self.position.offset;
        let is_durable = match self.asked {
            Durability::Fsynced => gate.fsynced() >= offset,
            Durability::Written => gate.released() >= offset,
            Durability::Memory | Durability::Unspecified => true,
        };
        (is_durable || self.outcome.is_err()) && gate.lets_pass(self.position, self.is_write)
    }

    fn leave(self, shared: &Shared) {
        let answered = self.outcome.map(|replies| Answer {
            replies,
            is_applied: self.is_applied,
            receipt: receipt(shared, self.position.offset),
            held: Some(self.held),
        });
        drop(self.answer.send(answered)); // nobody waits any more: nobody is told
    }
}

impl Gated {
    pub(super) fn push(&mut self, done: Done) {
        self.waiting.push(done);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Answer what may leave; ask for the fsync that others wait for.
    pub(super) fn release(&mut self, shared: &Shared) {
        let mut wanted = self.fsync_asked;
        let mut at = 0;
        while let Some(done) = self.waiting.get(at) {
            if done.may_leave(&shared.gate) {
                self.waiting.swap_remove(at).leave(shared);
            } else if done.answer.is_closed() {
                self.waiting.swap_remove(at);
            } else {
                if done.asked == Durability::Fsynced {
                    wanted = wanted.max(done.position.offset);
                }
                at += 1;
            }
        }
        if wanted > self.fsync_asked {
            self.fsync_asked = wanted;
            if let Some(log) = shared.log.get() {
                log.ask_fsync(wanted);
            }
        }
    }
}

/// What holds of everything up to a gate offset.
fn receipt(shared: &Shared, offset: u64) -> WriteReceipt {
    if !shared.log.get().is_some_and(|log| log.is_binding()) {
        return WriteReceipt { durability: Durability::Memory.into(), position: None };
    }
    let gate = &shared.gate;
    let durability = if gate.fsynced() >= offset {
        Durability::Fsynced
    } else if gate.released() >= offset {
        Durability::Written
    } else {
        Durability::Memory // a read while the log has failed
    };
    let position = gate.log_position(offset).map(LogPosition::from);
    WriteReceipt { durability: durability.into(), position }
}

impl From<LogPosition> for aof::LogPosition {
    fn from(position: LogPosition) -> Self {
        Self { epoch: position.epoch, offset: position.offset }
    }
}

impl From<aof::LogPosition> for LogPosition {
    fn from(position: aof::LogPosition) -> Self {
        Self { epoch: position.epoch, offset: position.offset }
    }
}
