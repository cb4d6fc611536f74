//! The thread on which calls of the data door are executed: it takes the queue whole, runs what fits
//! one bounded hold of the engine lock by the same path as commands of sockets, lets the log have its
//! bytes, and answers what the reply gate lets pass (I10). Answers that the gate holds wait here and
//! keep nobody: the next jobs are executed meanwhile. A transaction's own steps are `transact`'s.
//!
//! ```text
//! take ► hold the lock: execute ► push the log ► answer what may leave ► sleep
//! ```

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use bytes::Bytes;

use super::answers::Held;
use super::commands::Commands;
use super::errors::Refusal;
use super::pending::{Done, Gated, refuse_asking};
use super::queue::{Job, Queue, Work};
use super::wire::Durability;
use crate::aof::{GateWaker, Position};
use crate::command::{self, Call, Outcome};
use crate::limits::{BATCH_COMMANDS_MAX, DATA_ANSWER_BYTES_MAX, OUTPUT_BUFFER_BYTES_MAX};
use crate::resp::Reply;
use crate::session::{ClientInfo, NO_COMMAND, Protocol, Session};
use crate::state::{LoopWaker, Shared, State};
use crate::wait::Wait;

/// Commands between two looks at the clock.
const CLOCK_COMMANDS: usize = 16;
/// A larger buffer of replies is given back after the hold.
const REPLY_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// A job and how far it has come.
pub(super) struct Running {
    pub(super) job: Job,
    next: usize,
    replies: Vec<u8>,
    held: Held,
    pub(super) is_write: bool,
    pub(super) is_applied: bool,
    wait: Option<Wait>,
}

/// How a job left a hold of the lock.
pub(super) enum Step {
    /// All was executed.
    Finished,
    /// More of it in the next hold.
    Unfinished,
    /// It goes on after a review: writes are paused, or a reply comes later.
    Parked,
    /// Answered with an error; nothing was changed.
    Refused(Refusal),
}

/// The executor, owned by its thread.
pub(super) struct Executor {
    pub(super) shared: Arc<Shared>,
    queue: Arc<Queue>,
    pub(super) session: Session,
    pub(super) reply: Reply,
    ready: VecDeque<Running>,
    /// In the order of their lanes.
    parked: Vec<Running>,
    parked_lanes: HashSet<u64>,
    gated: Gated,
    /// Parked jobs as they are counted among the blocked clients.
    blocked: u64,
    pub(super) now_ms: i64,
}

impl Executor {
    /// An executor of what `queue` brings.
    pub(super) fn new(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Self {
        let mut session = Session::new(Arc::new(client_info(shared.clock.unix_ms())));
        session.protocol = Protocol::Resp3;
        Self {
            shared: Arc::clone(shared),
            queue: Arc::clone(queue),
            session,
            reply: Reply::new(Protocol::Resp3),
            ready: VecDeque::new(),
            parked: Vec::new(),
            parked_lanes: HashSet::new(),
            gated: Gated::default(),
            blocked: 0,
            now_ms: 0,
        }
    }

    /// [`Executor::run`]; a panic, which is a bug, ends the process as one of a network loop does: the
    /// state may be half changed.
    pub(super) fn run_or_abort(self) {
        let run = std::panic::AssertUnwindSafe(|| self.run());
        if std::panic::catch_unwind(run).is_err() {
            std::process::abort();
        }
    }

    /// Serve until the queue ends.
    fn run(mut self) {
        self.queue.set_thread(std::thread::current());
        let waker = || Arc::clone(&self.queue);
        self.shared.gate.register(waker() as Arc<dyn GateWaker>);
        self.shared.loops.lock().push(waker() as Arc<dyn LoopWaker>);
        while !self.queue.is_ending() {
            let changes = self.shared.gate.changes();
            self.take();
            if !self.ready.is_empty() {
                self.hold();
                self.shared.log.push();
                self.count_blocked();
            }
            self.gated.release(&self.shared);
            if !self.ready.is_empty() {
                continue;
            }
            if !self.gated.is_empty() {
                self.queue.watch_gate(&self.shared.gate);
                if self.shared.gate.changes() != changes {
                    continue; // that was before anybody watched
                }
            }
            self.queue.sleep();
        }
        self.parked.clear();
        self.count_blocked();
    }

    /// What has come, and what was put off and may go on.
    fn take(&mut self) {
        if self.queue.take_review() {
            let now_ms = self.shared.clock.unix_ms();
            self.parked_lanes.clear();
            let mut reviewed = Vec::new();
            for mut running in std::mem::take(&mut self.parked) {
                let is_over = running.wait.as_ref().is_none_or(|wait| {
                    self.reply.clear();
                    wait.answer(&self.shared.gate, now_ms, &mut self.reply)
                });
                if !is_over {
                    self.park(running);
                    continue;
                }
                if running.wait.take().is_some() {
                    running.keep(self.reply.bytes());
                }
                reviewed.push(running);
            }
            // Before what came after them: a lane keeps its order.
            for running in reviewed.into_iter().rev() {
                self.ready.push_front(running);
            }
        }
        let new = self.queue.take().into_iter().map(|job| Running {
            held: Held::new(&self.queue, job.lane.as_ref()),
            job,
            next: 0,
            replies: Vec::new(),
            is_write: false,
            is_applied: true,
            wait: None,
        });
        self.ready.extend(new);
    }

    /// Execute under one hold of the lock.
    fn hold(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        let is_single = self.ready.len() == 1 && self.ready.iter().all(|it| it.job.is_single());
        state.figures.open(if is_single { 1 } else { 2 });
        self.now_ms = shared.clock.unix_ms();
        let mut left = BATCH_COMMANDS_MAX;
        while left > 0 {
            let Some(mut running) = self.ready.pop_front() else { break };
            if running.job.answer.is_closed() || running.is_of_dead_lane() {
                self.queue.forget_bytes(&running.job.work); // nobody waits for it any more
                left -= 1;
                continue;
            }
            if self.must_stay_behind(&running) {
                self.park(running);
                left -= 1;
                continue;
            }
            self.reply.clear();
            let before = left;
            let step = self.step(&mut state, &mut running, &mut left);
            left = left.min(before - 1); // a job that was only looked at takes time, too
            running.keep(self.reply.bytes());
            match step {
                Step::Unfinished => self.ready.push_front(running),
                Step::Parked => self.park(running),
                Step::Finished => self.finish(running, Ok(())),
                Step::Refused(refusal) => self.finish(running, Err(refusal)),
            }
        }
        state.figures.close();
        drop(state);
        self.reply.shrink(REPLY_KEPT_BYTES);
        let errors = std::mem::take(&mut self.reply.errors);
        if errors > 0 {
            shared.stats.counters.error_replies_total.fetch_add(errors, Relaxed);
        }
    }

    /// A job of its lane that came before has not been executed, or their answers are not read.
    fn must_stay_behind(&self, running: &Running) -> bool {
        let Some(lane) = &running.job.lane else { return false };
        self.parked_lanes.contains(&lane.id) || (running.next == 0 && lane.must_wait())
    }

    fn park(&mut self, running: Running) {
        self.parked_lanes.extend(running.job.lane.as_ref().map(|lane| lane.id));
        self.parked.push(running);
    }

    fn step(&mut self, state: &mut State, running: &mut Running, left: &mut usize) -> Step {
        if self.shared.is_stopping.load(Acquire) {
            return Step::Refused(match running.next {
                0 => Refusal::stopping(),
                _ => Refusal::outcome_unknown("the server stopped in the middle of the batch"),
            });
        }
        let is_bounded = !matches!(running.job.work, Work::Durable(_));
        if running.next == 0 && is_bounded && self.queue.has_too_many_answers() {
            let text = "too many bytes of answers wait to be read; nothing was executed";
            return Step::Refused(Refusal::overloaded(text));
        }
        if running.job.db >= state.keyspace.databases() {
            return Step::Refused(Refusal::of_command(b"ERR DB index is out of range"));
        }
        if running.job.asked != Durability::Unspecified
            && running.next == 0
            && let Some(refusal) = refuse_asking(&self.shared)
        {
            return Step::Refused(refusal);
        }
        self.session.db = running.job.db;
        let work = std::mem::replace(&mut running.job.work, Work::nothing());
        let step = match &work {
            Work::Commands(commands) => self.run_commands(state, running, commands, left),
            Work::Transaction(commands, conditions) => {
                *left = left.saturating_sub(commands.len().max(1));
                self.transact(state, running, commands, conditions)
            }
            Work::Durable(_) => {
                *left -= 1;
                Step::Finished
            }
        };
        running.job.work = work;
        step
    }

    fn run_commands(
        &mut self,
        state: &mut State,
        running: &mut Running,
        commands: &Commands,
        left: &mut usize,
    ) -> Step {
        while running.next < commands.len() {
            if *left == 0 {
                return Step::Unfinished;
            }
            *left -= 1;
            if left.is_multiple_of(CLOCK_COMMANDS) {
                self.now_ms = self.shared.clock.unix_ms();
            }
            let index = running.next;
            if let Some(text) = commands.refusal(index) {
                self.reply.error(text);
                running.next += 1;
                continue;
            }
            let known = commands.known(index);
            let is_bounded = !(running.is_write || known.is_write());
            let mark = self.reply.len();
            self.bound_reply(running.replies.len(), is_bounded);
            let call = Call { args: commands.args(index), known, now_ms: self.now_ms };
            let (session, reply) = (&mut self.session, &mut self.reply);
            match command::execute_known(state, &self.shared, session, reply, call) {
                Outcome::WritesPaused => return Step::Parked,
                Outcome::Done { is_write } => running.is_write |= is_write,
                Outcome::Shutdown => {}
            }
            running.next += 1;
            self.session.is_closing = false;
            if known.may_take_long() {
                self.now_ms = self.shared.clock.unix_ms();
            }
            if self.reply.is_overfull() {
                self.reply.cut_overfull(mark);
                if commands.len() == 1 {
                    return Step::Refused(too_long(running.is_write));
                }
                self.reply.error("ERR the reply does not fit the answer");
            }
            if let Some(wait) = self.session.wait.take() {
                running.wait = Some(wait);
                return Step::Parked;
            }
        }
        Step::Finished
    }

    /// Bound the reply that is written next, after `before` bytes of the same answer.
    pub(super) fn bound_reply(&mut self, before: usize, is_read: bool) {
        let most = if is_read { DATA_ANSWER_BYTES_MAX } else { OUTPUT_BUFFER_BYTES_MAX };
        self.reply.bytes_max = most.saturating_sub(before);
    }

    fn finish(&mut self, running: Running, outcome: Result<(), Refusal>) {
        self.queue.forget_bytes(&running.job.work);
        let gate = &self.shared.gate;
        let mut position = gate.position();
        let mut is_write = running.is_write;
        let mut outcome = outcome;
        if let Work::Durable(asked) = &running.job.work {
            is_write = true; // the exception of I10 is for those who read
            match gate.offset_of((*asked).into()) {
                Some(offset) => position.offset = offset,
                None => {
                    let text = "the log has not been there, or nothing is known of it any more";
                    outcome = outcome.and(Err(Refusal::not_reached(text)));
                    position = Position { epoch: 0, offset: 0 }; // it shows nothing
                }
            }
        }
        let Job { asked, answer, lane, .. } = running.job;
        if let (Err(_), Some(lane)) = (&outcome, lane) {
            lane.is_dead.store(true, Relaxed); // its stream ends with this
        }
        self.gated.push(Done {
            outcome: outcome.map(|()| Bytes::from(running.replies)),
            held: running.held,
            is_applied: running.is_applied,
            is_write,
            is_executed: !matches!(running.job.work, Work::Durable(_)),
            position,
            asked,
            answer,
        });
    }

    /// INFO's blocked clients count parked jobs, too.
    fn count_blocked(&mut self) {
        let blocked = &self.shared.stats.counters.blocked_clients;
        let now = self.parked.len() as u64;
        if now != self.blocked {
            blocked.fetch_add(now.wrapping_sub(self.blocked), Relaxed); // wraps round to a smaller one
            self.blocked = now;
        }
    }
}

impl Running {
    fn keep(&mut self, replies: &[u8]) {
        self.replies.extend_from_slice(replies);
        self.held.grow_to(self.replies.len());
    }

    /// A job before it in its lane was refused.
    fn is_of_dead_lane(&self) -> bool {
        self.job.lane.as_ref().is_some_and(|lane| lane.is_dead.load(Relaxed))
    }
}

/// An answer did not fit.
pub(super) fn too_long(is_write: bool) -> Refusal {
    if is_write {
        return Refusal::outcome_unknown("it was executed, and its reply is too long to be sent");
    }
    let text = format!("the reply has more than {DATA_ANSWER_BYTES_MAX} bytes: ask for less");
    Refusal::answer_too_big(&text)
}

impl Job {
    fn is_single(&self) -> bool {
        matches!(&self.work, Work::Commands(commands) if commands.len() == 1)
    }
}

/// What commands see of whoever calls: no address, so never a local client.
fn client_info(now_ms: i64) -> ClientInfo {
    ClientInfo {
        id: 0,
        address: "grpc".to_owned(),
        local_address: String::new(),
        fd: -1,
        loop_index: 0,
        connected_at_ms: now_ms,
        active_at_ms: now_ms.into(),
        db: Default::default(),
        name: Default::default(),
        last_command: NO_COMMAND.into(),
        multi_queued: (-1).into(),
        is_resp3: true.into(),
        query_bytes: Default::default(),
        output_bytes: Default::default(),
        is_killed: Default::default(),
    }
}

#[cfg(test)]
mod tests;
