//! Bytes of answers, counted from the execution until their caller has taken them, so that callers
//! who do not read cannot fill the memory (I7): a pipeline whose answers wait is put off until they
//! are read, and past a bound for all the executor executes nothing. A unary call's answer is held by
//! the body of its response (`bounded`), a stream's by the stream until it is asked for the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;

use super::queue::Queue;
use crate::limits::{DATA_ANSWERS_BYTES_MAX, DATA_STREAM_ANSWERS_BYTES_MAX};
use crate::state::LoopWaker;

/// Jobs that are executed in their order: those of one pipeline.
pub(super) struct Lane {
    /// No other has it.
    pub(super) id: u64,
    /// One of its jobs was refused; none that follows is executed.
    pub(super) is_dead: AtomicBool,
    answers_bytes: AtomicUsize,
    is_put_off: AtomicBool,
}

impl Lane {
    pub(super) fn new(id: u64) -> Arc<Self> {
        Arc::new(Self {
            id,
            is_dead: AtomicBool::new(false),
            answers_bytes: AtomicUsize::new(0),
            is_put_off: AtomicBool::new(false),
        })
    }

    /// Whether too much of it waits to be read. If so, a review comes when that is over.
    pub(super) fn must_wait(&self) -> bool {
        if self.answers_bytes.load(SeqCst) <= DATA_STREAM_ANSWERS_BYTES_MAX {
            return false;
        }
        self.is_put_off.store(true, SeqCst);
        // Asked again, since it may have been read before anybody was told to wait.
        self.answers_bytes.load(SeqCst) > DATA_STREAM_ANSWERS_BYTES_MAX
    }
}

/// Bytes of an answer, counted until this is dropped.
pub(super) struct Held {
    queue: Arc<Queue>,
    lane: Option<Arc<Lane>>,
    bytes: usize,
}

impl Held {
    /// Of an answer that has no bytes yet.
    pub(super) fn new(queue: &Arc<Queue>, lane: Option<&Arc<Lane>>) -> Self {
        Self { queue: Arc::clone(queue), lane: lane.cloned(), bytes: 0 }
    }

    /// It has so many bytes now, not fewer than before.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        self.queue.answers_bytes.fetch_add(more, SeqCst);
        if let Some(lane) = &self.lane {
            lane.answers_bytes.fetch_add(more, SeqCst);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.queue.answers_bytes.fetch_sub(self.bytes, SeqCst);
        let Some(lane) = &self.lane else { return };
        let before = lane.answers_bytes.fetch_sub(self.bytes, SeqCst);
        let has_room = before - self.bytes <= DATA_STREAM_ANSWERS_BYTES_MAX;
        if has_room && lane.is_put_off.swap(false, SeqCst) {
            LoopWaker::wake(&*self.queue);
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} bytes)", self.bytes)
    }
}

impl Queue {
    /// Whether no more may be executed before answers are read.
    pub(super) fn has_too_many_answers(&self) -> bool {
        self.answers_bytes.load(SeqCst) > DATA_ANSWERS_BYTES_MAX
    }
}

/// What one response holds; dropped when its caller has it.
#[derive(Clone, Default)]
pub(super) struct Account(Arc<Mutex<Vec<Held>>>);

tokio::task_local! {
    static ACCOUNT: Account;
}

impl Account {
    /// Run a call, so that what it answers is held here.
    pub(super) async fn over<T>(&self, call: impl Future<Output = T>) -> T {
        ACCOUNT.scope(self.clone(), call).await
    }

    /// Hold something in the account of the call under way.
    pub(super) fn keep(held: Option<Held>) {
        // Without an account it ends here, as its bytes do.
        ACCOUNT.try_with(|account| account.0.lock().extend(held)).unwrap_or_default();
    }
}
