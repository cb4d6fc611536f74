//! Answers of executed calls, from the execution until the reply gate lets them leave (I10), and what
//! they then say of their durability. An answer that asked for more than the policy waits for that,
//! too; one whose caller has gone is dropped.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::answers::Held;
use super::errors::Refusal;
use super::queue::Answer;
use super::wire::{Durability, LogPosition, WriteReceipt};
use crate::aof::{self, Gate, Position};
use crate::command::LOADING;
use crate::state::Shared;

const SWITCHED_OFF: &str = "it was executed, and the log was switched off meanwhile";

/// An answer that may have to wait.
pub(super) struct Done {
    pub(super) outcome: Result<Bytes, Refusal>,
    pub(super) held: Held,
    pub(super) is_applied: bool,
    pub(super) is_write: bool,
    /// It has executed something; else it only waits.
    pub(super) is_executed: bool,
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
    /// `has_log`: else nothing can become as durable as was asked any more.
    fn may_leave(&self, gate: &Gate, has_log: bool) -> bool {
        let offset = self.position.offset;
        let is_durable = match self.asked {
            Durability::Fsynced => gate.proven() >= offset,
            Durability::Written => gate.released() >= offset,
            Durability::Memory | Durability::Unspecified => true,
        };
        let is_due = is_durable || !has_log || self.outcome.is_err();
        is_due && gate.lets_pass(self.position, self.is_write)
    }

    fn leave(self, shared: &Shared) {
        let receipt = receipt(shared, self.position.offset);
        let is_short = receipt.durability < i32::from(self.asked);
        let answered = self.outcome.and_then(|replies| match (is_short, self.is_executed) {
            (false, _) => {
                Ok(Answer { replies, is_applied: self.is_applied, receipt, held: Some(self.held) })
            }
            (true, true) => Err(Refusal::outcome_unknown(SWITCHED_OFF)),
            (true, false) => Err(Refusal::no_log()),
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
        let has_log = has_log(shared);
        let mut at = 0;
        while let Some(done) = self.waiting.get(at) {
            if done.may_leave(&shared.gate, has_log) {
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

/// Why no durability can be asked for now, if that is so.
pub(super) fn refuse_asking(shared: &Shared) -> Option<Refusal> {
    if shared.stats.is_loading.load(Ordering::Acquire) {
        return Some(Refusal::of_command(LOADING.as_bytes()));
    }
    (!has_log(shared)).then(Refusal::no_log)
}

/// Whether there is a log that a start would read.
fn has_log(shared: &Shared) -> bool {
    shared.log.get().is_some_and(|log| log.is_in_force())
}

/// What holds of everything up to a gate offset.
fn receipt(shared: &Shared, offset: u64) -> WriteReceipt {
    // A log that has begun since then does not say where that stands.
    let position = shared.gate.log_position(offset).filter(|_| has_log(shared));
    if position.is_none() {
        return WriteReceipt { durability: Durability::Memory.into(), position: None };
    }
    let gate = &shared.gate;
    let durability = if gate.proven() >= offset {
        Durability::Fsynced
    } else if gate.released() >= offset {
        Durability::Written
    } else {
        Durability::Memory // a read while the log has failed
    };
    WriteReceipt { durability: durability.into(), position: position.map(LogPosition::from) }
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
