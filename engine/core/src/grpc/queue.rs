//! What stands between the calls (tokio tasks) and the executor's thread: jobs on their way, why the
//! executor should wake, and bounds on both. Nothing here takes the engine lock, and nobody waits
//! here but the executor.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::answers::{Held, Lane};
use super::commands::Commands;
use super::errors::Refusal;
use super::wire::{Durability, LogPosition, WriteReceipt};
use crate::aof::{Gate, GateWaker};
use crate::limits::{DATA_CALLS_MAX, DATA_WAITING_BYTES_MAX};
use crate::state::LoopWaker;

/// What must be so for a transaction to run.
#[derive(Debug)]
pub(super) struct Condition {
    /// The key.
    pub(super) key: Bytes,
    /// What must be so.
    pub(super) expected: Expected,
}

/// See [`Condition`].
#[derive(Debug)]
pub(super) enum Expected {
    /// A string with this content.
    Value(Bytes),
    /// Whether there is such a key.
    Present(bool),
}

impl Condition {
    fn size_bytes(&self) -> usize {
        let value = match &self.expected {
            Expected::Value(value) => value.len(),
            Expected::Present(_) => 0,
        };
        size_of::<Self>() + self.key.len() + value
    }
}

/// What a call wants.
pub(super) enum Work {
    /// Run commands, each a step of its own.
    Commands(Commands),
    /// Run commands as one step, if the conditions hold.
    Transaction(Commands, Vec<Condition>),
    /// Run nothing; wait until the log is durable up to there.
    Durable(LogPosition),
}

impl Work {
    /// A stand-in without commands.
    pub(super) fn nothing() -> Self {
        Self::Commands(Commands::default())
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Commands(commands) => commands.size_bytes(),
            Self::Transaction(commands, conditions) => {
                commands.size_bytes() + conditions.iter().map(Condition::size_bytes).sum::<usize>()
            }
            Self::Durable(_) => 0,
        }
    }
}

/// What became of a call.
#[derive(Debug)]
pub(super) struct Answer {
    /// The replies, RESP3, one after the other; of a transaction EXEC's.
    pub(super) replies: Bytes,
    /// Whether the transaction's conditions held.
    pub(super) is_applied: bool,
    /// How durable what they show is.
    pub(super) receipt: WriteReceipt,
    /// Counts the replies until the caller has them.
    pub(super) held: Option<Held>,
}

/// One call on its way.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) db: usize,
    pub(super) asked: Durability,
    /// Jobs of one lane are executed in their order.
    pub(super) lane: Option<Arc<Lane>>,
    pub(super) answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// The way to the executor.
#[derive(Default)]
pub(super) struct Queue {
    jobs: Mutex<Vec<Job>>,
    waiting_bytes: AtomicUsize,
    pub(super) answers_bytes: AtomicUsize,
    under_way: AtomicUsize,
    thread: OnceLock<Thread>,
    is_gated: AtomicBool,
    is_review_due: AtomicBool,
    is_ending: AtomicBool,
}

/// A place among the calls under way, given back when dropped.
pub(super) struct Place(Arc<Queue>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// Take a place for a call.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        let place = Place(Arc::clone(self));
        if self.under_way.fetch_add(1, Ordering::Relaxed) < DATA_CALLS_MAX {
            return Ok(place);
        }
        Err(Refusal::overloaded(&format!("{DATA_CALLS_MAX} calls are under way already")))
    }

    /// Hand a job over.
    pub(super) fn push(&self, job: Job) -> Result<(), Refusal> {
        if self.is_ending.load(Ordering::Acquire) {
            return Err(Refusal::stopping());
        }
        let bytes = job.work.size_bytes();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) > DATA_WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Refusal::overloaded("too many bytes of requests wait to be executed"));
        }
        self.jobs.lock().push(job);
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// The executor's thread, once it runs.
    pub(super) fn set_thread(&self, thread: Thread) {
        drop(self.thread.set(thread));
    }

    /// No more jobs are taken; the executor ends.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.wake();
    }

    /// See [`Queue::end`].
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Jobs handed over since the last call, in order.
    pub(super) fn take(&self) -> Vec<Job> {
        std::mem::take(&mut *self.jobs.lock())
    }

    /// A job's commands have been executed, or never will be.
    pub(super) fn forget_bytes(&self, work: &Work) {
        self.waiting_bytes.fetch_sub(work.size_bytes(), Ordering::Relaxed);
    }

    /// Whether jobs that were put off are to be tried again.
    pub(super) fn take_review(&self) -> bool {
        self.is_review_due.swap(false, Ordering::SeqCst)
    }

    /// The next change of the gate wakes the executor, once.
    pub(super) fn watch_gate(&self, gate: &Gate) {
        self.is_gated.store(true, Ordering::SeqCst);
        gate.watch();
    }

    /// Sleep until something has happened since the last sleep.
    pub(super) fn sleep(&self) {
        std::thread::park();
    }
}

impl GateWaker for Queue {
    fn wake(&self) {
        if self.is_gated.swap(false, Ordering::SeqCst) {
            Self::wake(self);
        }
    }
}

impl LoopWaker for Queue {
    fn wake(&self) {
        self.is_review_due.store(true, Ordering::SeqCst);
        Self::wake(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_with_its_conditions_and_with_what_stands_beside_it() {
        let mut commands = Commands::default();
        (0..1_000).for_each(|_| commands.push(1, [b"PING".as_slice()].into_iter()));
        let bytes = Work::Commands(commands).size_bytes();
        assert!(bytes > 1_000 * (b"*1\r\n$4\r\nPING\r\n".len() + 50), "{bytes}");
        let expected = Expected::Value(Bytes::from(vec![0; 1_000]));
        let condition = Condition { key: Bytes::from(vec![0; 500]), expected };
        let bytes = Work::Transaction(Commands::default(), vec![condition]).size_bytes();
        assert!(bytes >= 1_500, "{bytes}");
    }
}
