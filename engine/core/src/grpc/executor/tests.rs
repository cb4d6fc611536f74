//! The executor without its thread: jobs are pushed, and each take and hold is a step of the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::state::LoopWaker;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Receiver};

use super::super::queue::Answer;

type Coming = Receiver<Result<Answer, Refusal>>;

fn executor() -> (Executor, Arc<Shared>, Arc<Queue>) {
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), "0".repeat(40)));
    let queue = Arc::<Queue>::default();
    (Executor::new(&shared, &queue), shared, queue)
}

/// `times` the same command, in a lane.
fn push(queue: &Queue, lane: Option<u64>, line: &str, times: usize) -> Coming {
    let mut commands = Commands::default();
    for _ in 0..times {
        let words = line.split(' ').map(str::as_bytes);
        commands.push(words.clone().count(), words);
    }
    let (answer, coming) = oneshot::channel();
    let work = Work::Commands(commands);
    queue.push(Job { work, db: 0, asked: Durability::Unspecified, lane, answer }).unwrap();
    coming
}

fn replies(mut coming: Coming) -> String {
    let answer = coming.try_recv().unwrap().unwrap();
    String::from_utf8(answer.replies.to_vec()).unwrap()
}

impl Executor {
    fn turn(&mut self) {
        self.take();
        self.hold();
        let shared = Arc::clone(&self.shared);
        self.gated.release(&shared);
    }
}

#[test]
fn what_was_put_off_goes_on_before_what_came_after_it_in_its_lane() {
    let (mut executor, shared, queue) = executor();
    let lane = Some(1);
    shared.state.lock().are_writes_paused = true;
    let first = push(&queue, lane, "SET x first", 1);
    let second = push(&queue, lane, "SET x second", 1);
    executor.turn();
    let long = push(&queue, None, "PING", BATCH_COMMANDS_MAX + 1);
    let third = push(&queue, lane, "GET x", 1);
    executor.turn(); // the long one is not over, so the third has not been looked at
    shared.state.lock().are_writes_paused = false;
    LoopWaker::wake(&*queue);
    executor.turn();
    executor.turn();
    assert_eq!((replies(first), replies(second)), ("+OK\r\n".to_owned(), "+OK\r\n".to_owned()));
    assert_eq!(replies(third), "$6\r\nsecond\r\n");
    assert_eq!(replies(long).len(), "+PONG\r\n".len() * (BATCH_COMMANDS_MAX + 1));
}

#[test]
fn a_review_looks_at_a_bounded_number_of_jobs_under_one_hold_of_the_lock() {
    let (mut executor, shared, queue) = executor();
    shared.state.lock().are_writes_paused = true;
    let jobs = 3 * BATCH_COMMANDS_MAX;
    let push_one = |at| push(&queue, Some(at as u64 % 2), "INCR n", 1);
    let mut comings: Vec<Coming> = (0..jobs).map(push_one).collect();
    executor.turn();
    assert_eq!(executor.parked.len(), BATCH_COMMANDS_MAX, "the others come in the next holds");
    executor.turn();
    executor.turn();
    assert_eq!((executor.parked.len(), executor.ready.len()), (jobs, 0));
    for coming in &mut comings {
        assert!(matches!(coming.try_recv(), Err(TryRecvError::Empty)));
    }
    shared.state.lock().are_writes_paused = false;
    LoopWaker::wake(&*queue);
    (0..3).for_each(|_| executor.turn());
    let expected: Vec<String> = (1..=jobs).map(|at| format!(":{at}\r\n")).collect();
    assert_eq!(comings.into_iter().map(replies).collect::<Vec<_>>(), expected);
}
