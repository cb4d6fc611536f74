//! The executor without its thread: jobs are pushed, and each take and hold is a step of the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::state::LoopWaker;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Receiver};

use super::super::answers::Lane;
use super::super::queue::Answer;
use crate::limits::DATA_ANSWERS_BYTES_MAX;

type Coming = Receiver<Result<Answer, Refusal>>;

fn executor() -> (Executor, Arc<Shared>, Arc<Queue>) {
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), "0".repeat(40)));
    let queue = Arc::<Queue>::default();
    (Executor::new(&shared, &queue), shared, queue)
}

/// `times` the same command, in a lane.
fn push(queue: &Queue, lane: Option<&Arc<Lane>>, line: &str, times: usize) -> Coming {
    push_in(queue, 0, lane, line, times)
}

fn push_in(queue: &Queue, db: usize, lane: Option<&Arc<Lane>>, line: &str, times: usize) -> Coming {
    let mut commands = Commands::default();
    for _ in 0..times {
        let words = line.split(' ').map(str::as_bytes);
        commands.push(words.clone().count(), words);
    }
    let (answer, coming) = oneshot::channel();
    let work = Work::Commands(commands);
    let lane = lane.cloned();
    queue.push(Job { work, db, asked: Durability::Unspecified, lane, answer }).unwrap();
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
    let lane = &Lane::new(1);
    let lane = Some(lane);
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
    let lanes = [Lane::new(1), Lane::new(2)];
    let push_one = |at: usize| push(&queue, Some(&lanes[at % 2]), "INCR n", 1);
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

const BIG: usize = 9 << 20;

#[test]
fn a_pipeline_whose_answers_are_not_read_is_put_off_and_keeps_nobody_else() {
    let (mut executor, _, queue) = executor();
    let lane = Lane::new(1);
    let set = push(&queue, None, &format!("SET big {}", "x".repeat(BIG)), 1);
    let push_one = |_| push(&queue, Some(&lane), "GET big", 1);
    let mut comings: VecDeque<Coming> = (0..4).map(push_one).collect();
    let other = push(&queue, None, "STRLEN big", 1);
    executor.turn();
    assert_eq!((replies(set), replies(other)), ("+OK\r\n".to_owned(), format!(":{BIG}\r\n")));
    let mut first = comings.pop_front().unwrap();
    let mut second = comings.pop_front().unwrap();
    let first = first.try_recv().unwrap().unwrap();
    assert!(second.try_recv().is_ok_and(|answer| answer.is_ok()), "dropped: so it was read");
    assert_eq!(executor.parked.len(), 2, "the second was past the bound");
    executor.turn();
    assert_eq!(executor.parked.len(), 1, "again two are unread");
    drop(first);
    executor.turn();
    assert_eq!(executor.parked.len(), 0);
    for mut coming in comings {
        assert!(coming.try_recv().unwrap().unwrap().replies.len() > BIG);
    }
    executor.turn();
    assert_eq!(queue.answers_bytes.load(Relaxed), 0);
    assert!(executor.reply.take().capacity() <= REPLY_KEPT_BYTES, "a large buffer is given back");
}

#[test]
fn nothing_is_executed_while_too_many_answers_wait() {
    let (mut executor, _, queue) = executor();
    queue.answers_bytes.store(DATA_ANSWERS_BYTES_MAX + 1, Relaxed);
    let mut refused = push(&queue, None, "INCR n", 1);
    executor.turn();
    assert!(format!("{:?}", refused.try_recv().unwrap().unwrap_err()).contains("OVERLOADED"));
    queue.answers_bytes.store(0, Relaxed);
    let executed = push(&queue, None, "INCR n", 1);
    executor.turn();
    assert_eq!(replies(executed), ":1\r\n");
}

#[test]
fn a_refused_batch_is_the_last_of_its_pipeline() {
    let (mut executor, _, queue) = executor();
    let lane = Lane::new(1);
    let before = push(&queue, Some(&lane), "INCR n", 1);
    let mut refused = push_in(&queue, 1_000, Some(&lane), "INCR n", 1);
    let mut after = push(&queue, Some(&lane), "INCR n", 1);
    let other = push(&queue, Some(&Lane::new(2)), "INCR n", 1);
    executor.turn();
    let mut later = push(&queue, Some(&lane), "INCR n", 1);
    executor.turn();
    assert_eq!((replies(before), replies(other)), (":1\r\n".to_owned(), ":2\r\n".to_owned()));
    assert!(refused.try_recv().unwrap().is_err());
    assert!(matches!(after.try_recv(), Err(TryRecvError::Closed)));
    assert!(matches!(later.try_recv(), Err(TryRecvError::Closed)));
}
