//! What the data API promises of durability (I5, I10): an answer waits as the policy says and as the
//! call asked, other calls go on meanwhile, a write that was executed is never answered by an error,
//! and one whose caller has gone is not executed. With a log that the test holds and fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod data_door;
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use data_door::{Client, Door, assert_refused, bytes};
use perdure_engine::aof::held::HeldLog;
use perdure_engine::grpc::wire::*;
use support::wait_until;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

type Answering<T> = JoinHandle<Result<Response<T>, Status>>;

/// A log whose positions have an epoch.
fn attach(door: &Door) -> Arc<HeldLog> {
    let log = door.server.attach_log();
    let gate = &door.server.shared.gate;
    gate.begin_log_epoch(7, 0);
    gate.set_log_parent(Some(perdure_engine::aof::LogPosition { epoch: 5, offset: 100 }));
    log
}

fn start_set(client: &Client, key: &str, durability: Durability) -> Answering<SetResponse> {
    let mut client = client.clone();
    let durability = durability.into();
    let request =
        SetRequest { key: bytes(key), value: bytes("v"), durability, ..Default::default() };
    tokio::spawn(async move { client.set(request).await })
}

async fn get(client: &Client, key: &str) -> Option<Bytes> {
    let request = GetRequest { key: bytes(key), ..Default::default() };
    client.clone().get(request).await.unwrap().into_inner().value
}

/// Let the calls under way reach the server until so many commands have been executed.
async fn executed(door: &Door, commands: u64) {
    let total = &door.server.shared.stats.counters.commands_total;
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while total.load(SeqCst) < commands {
        assert!(std::time::Instant::now() < deadline, "{commands} commands are not executed");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Every answer that may leave has left: a call that never waits at the gate has gone through.
async fn pass_a_turn(client: &Client) {
    for _ in 0..2 {
        let position = Some(LogPosition { epoch: 7, offset: 0 });
        let request = WaitDurableRequest { position, ..Default::default() };
        client.clone().wait_durable(request).await.unwrap();
    }
}

#[test]
fn no_answer_leaves_while_the_log_holds_and_other_calls_are_executed() {
    Door::run(async |door| {
        let log = attach(door);
        let client = door.client().await;
        log.hold();
        let writing = start_set(&client, "a", Durability::Unspecified);
        executed(door, 1).await;
        let mut reader = client.clone();
        let request = GetRequest { key: bytes("a"), ..Default::default() };
        let reading = tokio::spawn(async move { reader.get(request).await });
        executed(door, 2).await;
        pass_a_turn(&client).await;
        assert!(!writing.is_finished() && !reading.is_finished(), "the gate holds both");
        log.release_all();
        let receipt = writing.await.unwrap().unwrap().into_inner().receipt.unwrap();
        assert_eq!(receipt.durability(), Durability::Fsynced);
        let offset = door.server.shared.gate.appended();
        assert_eq!(receipt.position, Some(LogPosition { epoch: 7, offset }));
        assert_eq!(reading.await.unwrap().unwrap().into_inner().value, Some(bytes("v")));
    });
}

#[test]
fn an_fsync_is_asked_for_and_waited_for_whatever_the_policy() {
    Door::run(async |door| {
        let log = attach(door);
        let client = door.client().await;
        let gate = &door.server.shared.gate;
        log.hold();
        let plain = start_set(&client, "a", Durability::Unspecified);
        executed(door, 1).await;
        let first = gate.appended();
        let fsynced = start_set(&client, "b", Durability::Fsynced);
        executed(door, 2).await;
        gate.release(gate.appended()); // the kernel has both, as under `everysec`
        let receipt = plain.await.unwrap().unwrap().into_inner().receipt.unwrap();
        assert_eq!(receipt.durability(), Durability::Written);
        assert_eq!(receipt.position.unwrap().offset, first);
        pass_a_turn(&client).await;
        assert!(!fsynced.is_finished());
        assert_eq!(log.asked(), gate.appended());
        gate.advance_fsynced(gate.appended());
        let receipt = fsynced.await.unwrap().unwrap().into_inner().receipt.unwrap();
        assert_eq!(receipt.durability(), Durability::Fsynced);
    });
}

#[test]
fn without_a_log_a_durability_is_refused_before_anything_is_executed() {
    Door::run(async |door| {
        let client = door.client().await;
        for asked in [Durability::Fsynced, Durability::Written] {
            let answer = start_set(&client, "k", asked).await.unwrap();
            assert_refused(answer, Code::FailedPrecondition, "NO_LOG");
        }
        let answer = start_set(&client, "k", Durability::Memory).await.unwrap();
        assert_refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(get(&client, "k").await, None);
        let position = Some(LogPosition { epoch: 1, offset: 1 });
        let request = WaitDurableRequest { position, ..Default::default() };
        let answer = client.clone().wait_durable(request).await;
        assert_refused(answer, Code::FailedPrecondition, "NO_LOG");
    });
}

#[test]
fn while_the_data_is_loaded_a_durability_is_refused_as_loading() {
    Door::run(async |door| {
        let client = door.client().await;
        door.server.shared.stats.is_loading.store(true, SeqCst);
        let answer = start_set(&client, "k", Durability::Fsynced).await.unwrap();
        assert_refused(answer, Code::Unavailable, "LOADING");
        let position = Some(LogPosition { epoch: 1, offset: 1 });
        let request = WaitDurableRequest { position, ..Default::default() };
        let answer = client.clone().wait_durable(request).await;
        assert_refused(answer, Code::Unavailable, "LOADING");
    });
}

#[test]
fn a_write_that_was_executed_waits_for_the_log_to_be_well_again() {
    Door::run(async |door| {
        let log = attach(door);
        let client = door.client().await;
        log.hold();
        let unlucky = start_set(&client, "k", Durability::Unspecified);
        executed(door, 1).await;
        log.fail();
        assert_eq!(get(&client, "k").await, Some(bytes("v")), "reads answer from memory");
        let refused = start_set(&client, "other", Durability::Unspecified).await.unwrap();
        assert_refused(refused, Code::Unavailable, "MISCONF");
        assert!(!unlucky.is_finished());
        log.recover();
        assert!(unlucky.await.unwrap().unwrap().into_inner().applied);
        assert_eq!(get(&client, "other").await, None);
    });
}

#[test]
fn a_position_is_waited_for() {
    Door::run(async |door| {
        let log = attach(door);
        let client = door.client().await;
        log.hold();
        let writing = start_set(&client, "k", Durability::Unspecified);
        executed(door, 1).await;
        let end = door.server.shared.gate.appended();
        let wait = |epoch, offset| {
            let mut client = client.clone();
            let position = Some(LogPosition { epoch, offset });
            let request = WaitDurableRequest { position, ..Default::default() };
            tokio::spawn(async move { client.wait_durable(request).await })
        };
        let waiting = wait(7, end);
        wait(5, 100).await.unwrap().unwrap(); // of the log that was loaded
        for unknown in [wait(7, end + 1), wait(8, 0), wait(5, 101), wait(6, 0), wait(4, 1)] {
            assert_refused(unknown.await.unwrap(), Code::OutOfRange, "POSITION_NOT_REACHED");
        }
        assert!(!waiting.is_finished());
        assert_eq!(log.asked(), end);
        log.release_all();
        let receipt = waiting.await.unwrap().unwrap().into_inner().receipt.unwrap();
        assert_eq!(receipt.position, Some(LogPosition { epoch: 7, offset: end }));
        writing.await.unwrap().unwrap();
    });
}

#[test]
#[allow(clippy::await_holding_lock, reason = "that others cannot have it is the point")]
fn a_call_whose_caller_has_gone_is_not_executed() {
    Door::run(async |door| {
        let client = door.client().await;
        let state = door.server.shared.state.lock();
        let first = start_set(&client, "first", Durability::Unspecified); // its executor waits here
        let second = start_set(&client, "second", Durability::Unspecified);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        second.abort();
        first.abort();
        let gone = || {
            let read = door.server.shared.stats.rpc.read();
            let set = read.iter().find(|it| it.name == "Set").unwrap();
            set.codes.iter().find(|(code, _)| code == "CANCELLED").map_or(0, |(_, count)| *count)
        };
        let deadline = std::time::Instant::now() + support::PATIENCE;
        while gone() < 2 {
            assert!(std::time::Instant::now() < deadline, "the server does not notice");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        drop(state);
        assert_eq!((get(&client, "first").await, get(&client, "second").await), (None, None));
    });
}

#[test]
fn a_paused_write_waits_and_reads_go_on() {
    Door::run(async |door| {
        let client = door.client().await;
        door.server.shared.state.lock().are_writes_paused = true;
        let writing = start_set(&client, "k", Durability::Unspecified);
        let blocked = || door.server.shared.stats.counters.blocked_clients.load(SeqCst);
        while blocked() == 0 {
            assert_eq!(get(&client, "k").await, None);
        }
        assert!(!writing.is_finished());
        door.server.shared.state.lock().are_writes_paused = false;
        door.server.shared.wake_loops();
        assert!(writing.await.unwrap().unwrap().into_inner().applied);
        wait_until("nobody is blocked", || blocked() == 0);
    });
}
