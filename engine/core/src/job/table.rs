//! Running jobs: numbers, cancellation, one thread each, and exactly one `done` or `failed` event
//! at the end. What a job does is in its own file; this one only starts, counts and ends them.
//! Running jobs are bounded (I7).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::error::{EngineError, Result};
use crate::state::Shared;

/// Jobs that may run at once; more are refused with `TOO_MANY_JOBS`.
const JOBS_MAX: usize = 32;

/// One running job, as its own thread sees it.
#[derive(Debug)]
pub struct Job {
    /// Its number, never reused.
    pub id: u64,
    /// It stops the engine.
    is_stop: bool,
    is_cancelled: AtomicBool,
}

impl Job {
    /// Whether somebody asked the job to end.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// # Errors
    /// `CANCELLED` when somebody asked the job to end.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }
}

/// The error of a job that was asked to end.
pub fn cancelled() -> EngineError {
    EngineError::new("CANCELLED", "the job was cancelled", "Nothing was changed; start it again.")
}

/// All running jobs.
pub struct Jobs {
    shared: Arc<Shared>,
    last_id: AtomicU64,
    is_closed: AtomicBool,
    running: Mutex<HashMap<u64, Arc<Job>>>,
    has_ended: Condvar,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            last_id: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            running: Mutex::default(),
            has_ended: Condvar::new(),
        }
    }

    /// Run `work` on a thread of its own; its result or error becomes the job's last event. Gives
    /// the job's number.
    pub fn start(
        self: &Arc<Self>,
        work: impl FnOnce(&Job) -> Result<Value> + Send + 'static,
    ) -> u64 {
        self.start_job(false, work)
    }

    /// As [`Jobs::start`], for the job that stops the engine: never refused.
    pub fn start_last(
        self: &Arc<Self>,
        work: impl FnOnce(&Job) -> Result<Value> + Send + 'static,
    ) -> u64 {
        self.start_job(true, work)
    }

    fn start_job(
        self: &Arc<Self>,
        is_stop: bool,
        work: impl FnOnce(&Job) -> Result<Value> + Send + 'static,
    ) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let job = Arc::new(Job { id, is_stop, is_cancelled: AtomicBool::new(false) });
        if let Err(error) = self.admit(&job, is_stop) {
            self.tell(id, Err(error));
            return id;
        }
        let jobs = Arc::clone(self);
        let name = format!("perdure-job-{id}");
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&job)));
            let outcome = outcome.unwrap_or_else(|_| Err(panicked()));
            jobs.end(id, outcome);
        });
        if let Err(error) = spawned {
            self.end(id, Err(thread_failed(&error)));
        }
        id
    }

    fn admit(&self, job: &Arc<Job>, is_stop: bool) -> Result<()> {
        let mut running = self.running.lock();
        if !is_stop && self.is_closed.load(Ordering::Acquire) {
            return Err(EngineError::new(
                "ENGINE_NOT_READY",
                "the engine is stopping",
                "Start the server again.",
            ));
        }
        if !is_stop && running.len() >= JOBS_MAX {
            return Err(EngineError::new(
                "TOO_MANY_JOBS",
                format!("{JOBS_MAX} jobs run already"),
                "Wait for one of them to end, then try again.",
            )
            .retryable());
        }
        running.insert(job.id, Arc::clone(job));
        Ok(())
    }

    fn end(&self, id: u64, outcome: Result<Value>) {
        self.tell(id, outcome);
        self.running.lock().remove(&id);
        self.has_ended.notify_all();
    }

    fn tell(&self, id: u64, outcome: Result<Value>) {
        self.shared.events.push(&match outcome {
            Ok(result) => json!({"event": "done", "job": id, "result": result}),
            Err(error) => json!({"event": "failed", "job": id, "error": error.to_json()}),
        });
    }

    /// Ask a job to end. Nothing happens when it has ended.
    pub fn cancel(&self, id: u64) {
        if let Some(job) = self.running.lock().get(&id) {
            job.is_cancelled.store(true, Ordering::Release);
        }
    }

    /// Refuse new jobs, cancel all but those that stop the engine (two must not wait for one
    /// another) and wait until they have ended, at most `patience`. Gives whether they have.
    pub fn close(&self, patience: Duration) -> bool {
        self.is_closed.store(true, Ordering::Release);
        let deadline = Instant::now() + patience;
        let mut running = self.running.lock();
        for job in running.values().filter(|job| !job.is_stop) {
            job.is_cancelled.store(true, Ordering::Release);
        }
        while running.values().any(|job| !job.is_stop) {
            if self.has_ended.wait_until(&mut running, deadline).timed_out() {
                return false;
            }
        }
        true
    }
}

/// The error of work that ended by a panic.
pub fn panicked() -> EngineError {
    let hint = "Report this with the server's log of this moment.";
    EngineError::new("INTERNAL", "a job of the engine ended by a panic", hint)
}

/// The error when the system gives no thread.
pub fn thread_failed(error: &std::io::Error) -> EngineError {
    EngineError::new(
        "THREAD_FAILED",
        format!("the system gives no thread: {error}"),
        "Raise the limit of threads (ulimit -u, pids.max) or free memory, then try again.",
    )
    .retryable()
}
