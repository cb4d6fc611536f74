//! Replies that come later. A command that cannot answer yet leaves a [`Wait`] in its session
//! instead of a reply; the loop that owns the session executes nothing more for it, asks at each
//! change that could matter, and goes on with what the client sent meanwhile once it has answered.
//! Who waits for what is the commands' business; nobody waits under the engine lock.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::aof::Gate;
use crate::resp::Reply;
use crate::state::Shared;

/// What a client waits for.
#[derive(Debug)]
pub struct Wait {
    /// What ends it.
    pub until: Until,
    /// Unix ms at which it ends whatever happened; `None`: never.
    pub deadline_ms: Option<i64>,
    /// The client asked for no reply (CLIENT REPLY).
    pub is_silent: bool,
}

/// What ends a wait.
#[derive(Debug)]
pub enum Until {
    /// The log is fsynced as WAITAOF asks.
    Fsynced(FsyncWait),
    /// A job has answered, which it always does.
    Answered(Arc<Answer>),
}

/// WAITAOF's condition.
#[derive(Debug, Clone, Copy)]
pub struct FsyncWait {
    /// The client's last write.
    pub offset: u64,
    /// Whether there is a log.
    pub has_log: bool,
    /// Whether it must be fsynced.
    pub is_local: bool,
    /// How many replicas must have it. There are none.
    pub replicas: i64,
}

impl FsyncWait {
    fn is_fsynced(self, gate: &Gate) -> bool {
        self.has_log && gate.proven() >= self.offset
    }

    /// Answer if the condition holds.
    pub fn answer(self, gate: &Gate, reply: &mut Reply) -> bool {
        let holds = (!self.is_local || self.is_fsynced(gate)) && self.replicas == 0;
        if holds {
            self.answer_as_it_is(gate, reply);
        }
        holds
    }

    /// Answer how far it has come: in how many logs of this server, of how many replicas.
    pub fn answer_as_it_is(self, gate: &Gate, reply: &mut Reply) {
        reply.array(2);
        reply.int(i64::from(self.is_fsynced(gate)));
        reply.int(0);
    }
}

/// An answer that a job gives, once.
#[derive(Debug, Default)]
pub struct Answer {
    outcome: Mutex<Option<Result<(), String>>>,
}

impl Answer {
    /// Answer `OK`, or an error with this text (its first word is the error's code).
    pub fn give(&self, shared: &Shared, outcome: Result<(), String>) {
        *self.outcome.lock() = Some(outcome);
        shared.wake_loops();
    }
}

impl Wait {
    /// A wait without an end of its own; its job must answer.
    pub fn answered(answer: Arc<Answer>) -> Self {
        Self { until: Until::Answered(answer), deadline_ms: None, is_silent: false }
    }

    /// Whether it is over; then the reply is written, unless none is to be.
    pub fn answer(&self, gate: &Gate, now_ms: i64, reply: &mut Reply) -> bool {
        let written = reply.len();
        let is_over = match &self.until {
            Until::Fsynced(wait) => {
                let is_late = self.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms);
                let is_answered = wait.answer(gate, reply);
                if is_late && !is_answered {
                    wait.answer_as_it_is(gate, reply);
                }
                is_late || is_answered
            }
            Until::Answered(answer) => match answer.outcome.lock().take() {
                None => false,
                Some(Ok(())) => {
                    reply.ok();
                    true
                }
                Some(Err(text)) => {
                    reply.error(&text);
                    true
                }
            },
        };
        if self.is_silent {
            reply.truncate(written);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Protocol;

    fn wait(until: Until, deadline_ms: Option<i64>, is_silent: bool) -> Wait {
        Wait { until, deadline_ms, is_silent }
    }

    #[test]
    fn a_job_answers_once_with_ok_or_an_error() {
        let shared = Shared::new(
            crate::config::Config::redis_defaults(),
            crate::clock::Clock::driven(0),
            String::new(),
        );
        for (outcome, expected) in [(Ok(()), "+OK\r\n"), (Err("ERR no".to_owned()), "-ERR no\r\n")]
        {
            let answer = Arc::new(Answer::default());
            let wait = Wait::answered(Arc::clone(&answer));
            let mut reply = Reply::new(Protocol::Resp2);
            assert!(!wait.answer(&shared.gate, i64::MAX, &mut reply) && reply.is_empty());
            answer.give(&shared, outcome);
            assert!(wait.answer(&shared.gate, 0, &mut reply));
            assert_eq!(reply.bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn an_fsync_or_a_deadline_ends_a_wait_and_a_silent_one_says_nothing() {
        let gate = Gate::default();
        let asked = FsyncWait { offset: 10, has_log: true, is_local: true, replicas: 0 };
        let until = |replicas| Until::Fsynced(FsyncWait { replicas, ..asked });
        let mut reply = Reply::new(Protocol::Resp2);
        assert!(!wait(until(0), Some(100), false).answer(&gate, 99, &mut reply));
        assert!(wait(until(0), Some(100), true).answer(&gate, 100, &mut reply));
        assert!(reply.is_empty());
        gate.advance_fsynced(10);
        assert!(!wait(until(1), None, false).answer(&gate, i64::MAX, &mut reply));
        assert!(wait(until(0), None, false).answer(&gate, 0, &mut reply));
        assert_eq!(reply.take(), b"*2\r\n:1\r\n:0\r\n");
    }
}
