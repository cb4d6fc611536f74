//! How the methods reach the executor: a place among the calls under way, a job, its answer. Also
//! what methods share in reading requests: durability, expiries, bounds on keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prost_types::{Duration, Timestamp};
use tokio::sync::oneshot;
use tonic::Status;

use super::answers::{Account, Lane};
use super::commands::Commands;
use super::errors::Refusal;
use super::queue::{Answer, Job, Queue, Work};
use super::replies::Replies;
use super::wire::{Durability, WriteReceipt};
use crate::limits::DATA_KEYS_MAX;
use crate::state::Shared;

/// What all methods share.
pub(super) struct Calls {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    lanes: AtomicU64,
}

/// A job that was handed over: its answer will come.
pub(super) type Coming = oneshot::Receiver<Result<Answer, Refusal>>;

/// What a request says besides its work.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) database: u32,
    pub(super) durability: Durability,
    pub(super) lane: Option<Arc<Lane>>,
}

impl Ask {
    /// Of a call that only reads.
    pub(super) fn read(database: u32) -> Self {
        Self { database, durability: Durability::Unspecified, lane: None }
    }

    /// Of a call that may write: `durability` as it is on the wire.
    pub(super) fn write(database: u32, durability: i32) -> Result<Self, Refusal> {
        Ok(Self { durability: parse_durability(durability)?, ..Self::read(database) })
    }
}

impl Calls {
    pub(super) fn new(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Self {
        let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
        Self { shared, queue, lanes: AtomicU64::new(0) }
    }

    /// A lane for jobs that are executed in their order.
    pub(super) fn new_lane(&self) -> Arc<Lane> {
        Lane::new(self.lanes.fetch_add(1, Relaxed))
    }

    /// Hand a job over.
    pub(super) fn start(&self, work: Work, ask: Ask) -> Result<Coming, Refusal> {
        let (answer, coming) = oneshot::channel();
        let db = ask.database as usize;
        self.queue.push(Job { work, db, asked: ask.durability, lane: ask.lane, answer })?;
        Ok(coming)
    }

    /// Do some work and wait for its answer. Dropped before its execution, it is not executed.
    pub(super) async fn run(&self, work: Work, ask: Ask) -> Result<Answer, Refusal> {
        let _place = self.queue.enter()?;
        let mut answer = settle(self.start(work, ask)?.await)?;
        Account::keep(answer.held.take());
        Ok(answer)
    }

    /// Run one command: its reply and receipt.
    pub(super) async fn command(
        &self,
        args: &[&[u8]],
        ask: Ask,
    ) -> Result<(Replies, WriteReceipt), Refusal> {
        let answer = self.run(Work::Commands(Commands::one(args)), ask).await?;
        Ok((Replies::new(answer.replies), answer.receipt))
    }
}

/// The answer of a job; one that was dropped without an answer belongs to a server that ended.
pub(super) fn settle(
    answered: Result<Result<Answer, Refusal>, oneshot::error::RecvError>,
) -> Result<Answer, Refusal> {
    answered.unwrap_or_else(|_| {
        Err(Refusal::outcome_unknown("the server stopped before the call was answered"))
    })
}

pub(super) fn parse_durability(durability: i32) -> Result<Durability, Refusal> {
    match Durability::try_from(durability) {
        Ok(Durability::Memory) => {
            Err(Refusal::invalid("DURABILITY_MEMORY cannot be asked for: leave `durability` unset"))
        }
        Ok(durability) => Ok(durability),
        Err(_) => Err(Refusal::invalid(&format!("{durability} is no durability"))),
    }
}

/// Refuse too many keys, or none.
pub(super) fn check_keys(count: usize, field: &str) -> Result<(), Refusal> {
    match count {
        0 => Err(Refusal::invalid(&format!("`{field}` is empty: give at least one"))),
        1..=DATA_KEYS_MAX => Ok(()),
        _ => Err(Refusal::too_many(&format!("{count} keys, at most {DATA_KEYS_MAX} fit a call"))),
    }
}

/// A span in whole milliseconds, rounded down.
pub(super) fn duration_ms(span: &Duration) -> Result<i64, Refusal> {
    milliseconds(span.seconds, span.nanos)
}

/// An instant in whole milliseconds, rounded down.
pub(super) fn instant_ms(instant: &Timestamp) -> Result<i64, Refusal> {
    milliseconds(instant.seconds, instant.nanos)
}

fn milliseconds(seconds: i64, nanos: i32) -> Result<i64, Refusal> {
    let ms = seconds.checked_mul(1000);
    let ms = ms.and_then(|ms| ms.checked_add(i64::from(nanos.div_euclid(1_000_000))));
    ms.ok_or_else(|| Refusal::invalid("the expiry is out of range"))
}

/// A refusal as the methods answer it.
pub(super) fn refuse<T>(refusal: Refusal) -> Result<T, Status> {
    Err(refusal.into())
}
