//! Calls of many commands: transactions with conditions, pipelines in order and bounded, scans that
//! can be resumed, and the bounds on what a call may send and get.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod data_door;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use data_door::{Door, assert_refused, blob, bytes, command, integer};
use perdure_engine::grpc::wire::*;
use perdure_engine::limits::{DATA_BATCHES_MAX, DATA_STREAM_ANSWERS_BYTES_MAX};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

fn value_of(result: &CommandResult) -> Value {
    match result.outcome.clone().unwrap() {
        command_result::Outcome::Value(value) => value,
        command_result::Outcome::Error(error) => panic!("{error:?}"),
    }
}

fn error_of(result: &CommandResult) -> String {
    match result.outcome.clone().unwrap() {
        command_result::Outcome::Error(error) => error.code,
        command_result::Outcome::Value(value) => panic!("{value:?}"),
    }
}

fn transaction(conditions: Vec<KeyCondition>, lines: &[&str]) -> TransactRequest {
    let commands = lines.iter().map(|line| command(line)).collect();
    TransactRequest { conditions, commands, ..Default::default() }
}

fn holds(key: &str, value: &str) -> KeyCondition {
    let expected = Some(key_condition::Expected::Value(bytes(value)));
    KeyCondition { key: bytes(key), expected }
}

fn is_there(key: &str, is_present: bool) -> KeyCondition {
    let expected = Some(key_condition::Expected::Present(is_present));
    KeyCondition { key: bytes(key), expected }
}

#[test]
fn a_transaction_runs_when_its_conditions_hold_and_is_one_unit_of_the_log() {
    Door::run(async |door| {
        let log = door.server.attach_log();
        let mut client = door.client().await;
        let request = transaction(vec![is_there("a", false)], &["SET a 1", "INCR a", "GET a"]);
        let answer = client.transact(request.clone()).await.unwrap().into_inner();
        assert!(answer.applied);
        let values: Vec<Value> = answer.results.iter().map(value_of).collect();
        assert_eq!(values[1..], [integer(2), blob("2")]);
        let logged = String::from_utf8(log.bytes()).unwrap();
        assert!(logged.contains("MULTI") && logged.ends_with("$4\r\nEXEC\r\n"), "{logged}");
        let answer = client.transact(request).await.unwrap().into_inner();
        assert!(!answer.applied && answer.results.is_empty());
        let request = transaction(vec![holds("a", "2"), is_there("b", false)], &["SET b x"]);
        assert!(client.transact(request).await.unwrap().into_inner().applied);
        let request = transaction(vec![holds("a", "3")], &["DEL a"]);
        assert!(!client.transact(request).await.unwrap().into_inner().applied);
        door.server.connect().ask("GET a", "$1\r\n2\r\n");
    });
}

#[test]
fn a_refused_command_spoils_a_transaction_only_when_it_cannot_be_understood() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let request = transaction(vec![], &["SET k v", "INCR k", "SET done 1"]);
        let answer = client.transact(request).await.unwrap().into_inner();
        assert_eq!(error_of(&answer.results[1]), "ERR");
        for lines in [["SET x 1", "NOSUCH"], ["SET x 1", "GET"]] {
            let answer = client.transact(transaction(vec![], &lines)).await;
            assert_refused(answer, Code::FailedPrecondition, "EXECABORT");
        }
        let answer = client.transact(transaction(vec![], &["SET x 1", "WATCH k"])).await;
        assert_refused(answer, Code::InvalidArgument, "NEEDS_CONNECTION");
        let answer = client.transact(transaction(vec![], &[])).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_REQUEST");
        let mut redis = door.server.connect();
        redis.ask("EXISTS x", ":0\r\n");
        redis.ask("GET done", "$1\r\n1\r\n");
        door.server.shared.stats.is_loading.store(true, SeqCst);
        let answer = client.transact(transaction(vec![], &["SET x 1"])).await;
        assert_refused(answer, Code::Unavailable, "LOADING");
    });
}

fn batch(id: u64, lines: &[&str]) -> PipelineRequest {
    let commands = lines.iter().map(|line| command(line)).collect();
    PipelineRequest { id, commands, ..Default::default() }
}

#[test]
fn a_pipeline_answers_in_order_and_reads_no_more_than_its_bound() {
    Door::run(async |door| {
        let log = door.server.attach_log();
        let mut client = door.client().await;
        log.hold();
        let (sender, receiver) = mpsc::channel(1000);
        let total = 3 * DATA_BATCHES_MAX as u64;
        for id in 1..=total {
            sender.send(batch(id, &["INCR n"])).await.unwrap();
        }
        let mut answers =
            client.pipeline(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let executed = &door.server.shared.stats.counters.commands_total;
        while executed.load(SeqCst) < DATA_BATCHES_MAX as u64 {
            tokio::task::yield_now().await;
        }
        let position = Some(LogPosition { epoch: 0, offset: 0 });
        let request = WaitDurableRequest { position, ..Default::default() };
        drop(client.wait_durable(request).await); // the connection has been served meanwhile
        assert_eq!(executed.load(SeqCst), DATA_BATCHES_MAX as u64, "more waits unread");
        log.release_all();
        for id in 1..=total {
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!((answer.id, value_of(&answer.results[0])), (id, integer(id as i64)));
        }
        sender.send(batch(0, &["INCR n", "GET", "SUBSCRIBE x", "GET n"])).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(error_of(&answer.results[1]), "ERR");
        assert_eq!(error_of(&answer.results[2]), "ERR");
        assert_eq!(value_of(&answer.results[3]), blob(&(total + 1).to_string()));
        sender.send(batch(9, &["INCR n"])).await.unwrap();
        sender.send(batch(10, &[])).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().id, 9, "what came before is answered");
        assert_refused(answers.message().await, Code::InvalidArgument, "INVALID_REQUEST");
    });
}

#[test]
fn a_long_batch_and_a_paused_one_keep_the_order_of_their_pipeline() {
    Door::run(async |door| {
        let mut client = door.client().await;
        door.server.shared.state.lock().are_writes_paused = true;
        let (sender, receiver) = mpsc::channel(10);
        let many = vec!["INCR n"; 2_000];
        sender.send(batch(1, &many)).await.unwrap();
        sender.send(batch(2, &["GET n"])).await.unwrap();
        drop(sender);
        let mut answers =
            client.pipeline(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let blocked = &door.server.shared.stats.counters.blocked_clients;
        while blocked.load(SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        door.server.shared.state.lock().are_writes_paused = false;
        door.server.shared.wake_loops();
        let first = answers.message().await.unwrap().unwrap();
        assert_eq!((first.id, first.results.len()), (1, 2_000));
        let second = answers.message().await.unwrap().unwrap();
        assert_eq!(value_of(&second.results[0]), blob("2000"), "it was executed behind the first");
        assert!(answers.message().await.unwrap().is_none());
    });
}

#[test]
fn a_pipeline_whose_answers_are_not_read_is_executed_no_further() {
    Door::run(async |door| {
        let client = door.client().await;
        let mut client = client.max_decoding_message_size(usize::MAX);
        let value = Bytes::from(vec![b'x'; 2 << 20]);
        let request = SetRequest { key: bytes("big"), value, ..Default::default() };
        client.set(request).await.unwrap();
        let (sender, receiver) = mpsc::channel(100);
        let total = DATA_BATCHES_MAX as u64;
        for id in 1..=total {
            sender.send(batch(id, &["GET big"])).await.unwrap();
        }
        let mut answers =
            client.pipeline(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let blocked = &door.server.shared.stats.counters.blocked_clients;
        while blocked.load(SeqCst) == 0 {
            tokio::task::yield_now().await; // a batch is put off
        }
        let executed = door.server.shared.stats.counters.commands_total.load(SeqCst);
        let most = (DATA_STREAM_ANSWERS_BYTES_MAX >> 20) as u64; // twice what fits, at least
        assert!(executed <= most, "{executed}");
        let mut other = door.client().await.max_decoding_message_size(usize::MAX);
        let request = GetRequest { key: bytes("big"), database: 0 };
        assert!(other.get(request).await.is_ok(), "it keeps nobody else");
        for id in 1..=total {
            assert_eq!(answers.message().await.unwrap().unwrap().id, id);
        }
    });
}

#[test]
fn a_scan_gives_all_keys_and_can_be_resumed_at_each_batch() {
    Door::run(async |door| {
        let mut client = door.client().await;
        let entries = |range: std::ops::Range<usize>| {
            let pair = |at| KeyValue { key: bytes(&format!("key:{at}")), value: bytes("v") };
            MultiSetRequest { entries: range.map(pair).collect(), ..Default::default() }
        };
        client.multi_set(entries(0..3_000)).await.unwrap();
        door.server.connect().ask("RPUSH list a", ":1\r\n");
        let mut found = BTreeSet::new();
        let mut cursor = 0;
        loop {
            let request =
                ScanRequest { cursor, batch_size: 50, with_values: true, ..Default::default() };
            let mut batches = client.scan(request).await.unwrap().into_inner();
            for _ in 0..3 {
                let Some(batch) = batches.message().await.unwrap() else { break };
                cursor = batch.next_cursor;
                for entry in batch.entries {
                    let expected = (entry.key != bytes("list")).then(|| bytes("v"));
                    assert_eq!(entry.value, expected);
                    found.insert(entry.key);
                }
                if cursor == 0 {
                    break;
                }
            }
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(found.len(), 3_001);
        let request = ScanRequest { r#type: "list".to_owned(), ..Default::default() };
        let mut batches = client.scan(request).await.unwrap().into_inner();
        let mut lists = Vec::new();
        while let Some(batch) = batches.message().await.unwrap() {
            lists.extend(batch.entries.into_iter().map(|entry| entry.key));
        }
        assert_eq!(lists, [bytes("list")]);
    });
}

#[test]
fn requests_and_answers_past_a_bound_are_refused() {
    Door::run(async |door| {
        let client = door.client().await;
        let mut client = client.max_decoding_message_size(usize::MAX);
        let value = Bytes::from(vec![b'x'; 65 << 20]);
        let request = SetRequest { key: bytes("k"), value, ..Default::default() };
        assert_refused(client.set(request).await, Code::ResourceExhausted, "REQUEST_TOO_BIG");
        let keys = vec![bytes("k"); 10_001];
        let request = MultiGetRequest { keys, database: 0 };
        assert_refused(client.multi_get(request).await, Code::ResourceExhausted, "TOO_MANY");
        let value = Bytes::from(vec![b'x'; 1 << 20]);
        for key in 0..80 {
            let key = bytes(&format!("big:{key}"));
            let request = SetRequest { key, value: value.clone(), ..Default::default() };
            client.set(request).await.unwrap();
        }
        let keys = vec![bytes("big:1"); 80];
        let request = MultiGetRequest { keys, database: 0 };
        assert_refused(client.multi_get(request).await, Code::ResourceExhausted, "ANSWER_TOO_BIG");
        let request = ScanRequest { with_values: true, ..Default::default() };
        let mut batches = client.scan(request).await.unwrap().into_inner();
        let mut found = BTreeSet::new();
        while let Some(batch) = batches.message().await.unwrap() {
            found.extend(batch.entries.into_iter().map(|entry| entry.key));
        }
        assert_eq!(found.len(), 80, "in smaller batches");
        for key in 0..70_u8 {
            let key = Bytes::from(vec![key; 1 << 20]);
            client.set(SetRequest { key, database: 1, ..Default::default() }).await.unwrap();
        }
        let request = ScanRequest { database: 1, ..Default::default() };
        let mut batches = client.scan(request).await.unwrap().into_inner();
        let mut keys = 0;
        while let Some(batch) = batches.message().await.unwrap() {
            keys += batch.entries.len();
        }
        assert_eq!(keys, 70, "where the keys themselves are large, too");
    });
}
