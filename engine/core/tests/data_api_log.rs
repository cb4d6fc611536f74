//! What the data API claims while the log in files is lost in part, switched, or not known to be on
//! the disk: never more than a start would find. Failpoints hold each moment, so the tests take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod running;

use std::path::PathBuf;
use std::process::Command as Process;

use bytes::Bytes;
use perdure_engine::clock::Clock;
use perdure_engine::failpoint;
use perdure_engine::grpc::wire::data_service_client::DataServiceClient;
use perdure_engine::grpc::wire::*;
use running::{Dir, Engine, hold, launch, let_go, options, start_with, turn, wait_held};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

type Client = DataServiceClient<Channel>;

const ON: [&str; 4] = ["CONFIG", "SET", "appendonly", "yes"];
const OFF: [&str; 4] = ["CONFIG", "SET", "appendonly", "no"];

fn start_logged(dir: &Dir, policy: &str) -> Engine {
    start_with(&options_logged(dir, policy), Clock::system())
}

fn options_logged(dir: &Dir, policy: &str) -> serde_json::Value {
    let mut options = options(&dir.0);
    let args = options["redis_args"].as_array_mut().unwrap();
    args.extend(["--appendonly", "yes", "--appendfsync", policy].map(Into::into));
    options
}

/// Run a test on a runtime, with a client of the data door.
fn run_with(engine: &Engine, test: impl AsyncFnOnce(Client)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = format!("http://127.0.0.1:{}", engine.handle.ports().1);
        let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
        let test = test(DataServiceClient::new(channel));
        tokio::time::timeout(running::PATIENCE, test).await.expect("in time");
    });
}

async fn set(client: &Client, key: &str, durability: Durability) -> Result<WriteReceipt, Status> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let (value, durability) = (Bytes::from_static(b"v"), durability.into());
    let request = SetRequest { key, value, durability, ..Default::default() };
    client.clone().set(request).await.map(|answer| answer.into_inner().receipt.unwrap())
}

async fn wait_durable(
    client: &Client,
    position: Option<LogPosition>,
) -> Result<WriteReceipt, Status> {
    let request = WaitDurableRequest { position, ..Default::default() };
    client.clone().wait_durable(request).await.map(|answer| answer.into_inner().receipt.unwrap())
}

#[track_caller]
fn assert_refused(answer: Result<WriteReceipt, Status>, code: Code, expected: &str) {
    let status = answer.unwrap_err();
    let reason = status.get_error_details().error_info().unwrap().reason.clone();
    assert_eq!((status.code(), reason.as_str()), (code, expected), "{status:?}");
}

/// Let other tasks, and what they wait for, go on until `holds`.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + running::PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// The file that the log is written to.
fn newest_file(dir: &Dir) -> PathBuf {
    let entries = std::fs::read_dir(dir.0.join("appendonlydir")).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap()
}

#[test]
fn a_position_that_a_power_cut_took_is_not_called_durable() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir, "no");
    let (mut kept, mut lost, mut left) = (None, None, None);
    run_with(&engine, async |client| {
        kept = set(&client, "kept", Durability::Fsynced).await.unwrap().position;
        let fsynced_bytes = newest_file(&dir).metadata().unwrap().len();
        lost = set(&client, "lost", Durability::Written).await.unwrap().position;
        let copy = Dir::new();
        Process::new("cp").arg("-a").arg(dir.0.join(".")).arg(&copy.0).status().unwrap();
        let file = std::fs::File::options().write(true).open(newest_file(&copy)).unwrap();
        file.set_len(fsynced_bytes).unwrap();
        left = Some(copy);
    });
    engine.stop();
    let left = left.unwrap();
    // A start that repairs the log and ends before it goes on must not hide what is missing.
    failpoint::arm("aof.incr_created=error:EIO").unwrap();
    let repairs = launch(&options_logged(&left, "no"), Clock::system());
    repairs.wait_event(|event| event["event"] == "state" && event["state"] == "failed");
    failpoint::arm("").unwrap();
    drop(repairs);
    let engine = start_logged(&left, "no");
    run_with(&engine, async |client| {
        assert_eq!(engine.client().command(&["EXISTS", "kept", "lost"]), ":1");
        let waited = wait_durable(&client, kept).await.unwrap();
        assert_eq!(waited.durability(), Durability::Fsynced);
        let older = Some(LogPosition { epoch: 1, offset: 1 });
        for position in [lost, older] {
            let answer = wait_durable(&client, position).await;
            assert_refused(answer, Code::OutOfRange, "POSITION_NOT_REACHED");
        }
    });
    engine.stop();
}

#[test]
fn nothing_is_called_safe_in_a_log_that_no_start_would_read_yet() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = running::start(&dir);
    run_with(&engine, async |client| {
        let marker = hold(&dir, "aof.bound");
        let mut redis = engine.client();
        redis.send(&ON);
        wait_held(&marker);
        let answer = set(&client, "k", Durability::Fsynced).await;
        assert_refused(answer, Code::FailedPrecondition, "NO_LOG");
        let receipt = set(&client, "k", Durability::Unspecified).await.unwrap();
        assert_eq!((receipt.durability(), receipt.position), (Durability::Memory, None));
        let waited = engine.client().command(&["WAITAOF", "1", "0", "0"]);
        assert!(waited.starts_with("-ERR WAITAOF cannot be used"), "{waited}");
        assert_eq!(engine.stats()["log"]["is_on"], false);
        let_go(&marker);
        assert_eq!(redis.receive(), "+OK");
        let receipt = set(&client, "k", Durability::Fsynced).await.unwrap();
        assert_eq!(receipt.durability(), Durability::Fsynced);
    });
    engine.stop();
}

#[test]
fn a_write_that_waits_while_the_log_is_switched_off_is_not_told_ok() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir, "no");
    run_with(&engine, async |client| {
        let position = set(&client, "a", Durability::Written).await.unwrap().position;
        let marker = hold(&dir, "aof.fsync");
        let mut redis = engine.client();
        let other = client.clone();
        let waiting = tokio::spawn(async move { wait_durable(&other, position).await });
        let other = client.clone();
        let writing = tokio::spawn(async move { set(&other, "k", Durability::Fsynced).await });
        until("the fsync is held", || std::path::Path::new(&marker).exists()).await;
        let mut reader = engine.client();
        until("it is executed", || reader_has(&engine, "k")).await;
        redis.send(&OFF);
        until("the log is off", || engine.stats()["log"]["is_on"] == false).await;
        let_go(&marker);
        assert_refused(writing.await.unwrap(), Code::Unknown, "OUTCOME_UNKNOWN");
        assert_refused(waiting.await.unwrap(), Code::FailedPrecondition, "NO_LOG");
        assert_eq!(redis.receive(), "+OK");
        assert_eq!(reader.command(&["GET", "k"]), "v");
    });
    engine.stop();
}

fn reader_has(engine: &Engine, key: &str) -> bool {
    engine.client().command(&["EXISTS", key]) == ":1"
}

#[test]
fn after_a_commit_that_is_not_durable_nothing_is_called_fsynced_until_a_rewrite() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start_logged(&dir, "always");
    run_with(&engine, async |client| {
        let path = dir.file("cut.rdb");
        engine.end_of(engine.handle.cut(path.clone(), String::new())).unwrap();
        let staged = engine.end_of(engine.handle.load_beside(path)).unwrap();
        let held = dir.file("held");
        let points = format!("commit.before_fsync_directory=error:EIO;aof.base_named=pause:{held}");
        failpoint::arm(&points).unwrap();
        let job = engine.handle.commit(staged["stage"].as_u64().unwrap(), dir.file("safety.rdb"));
        assert_eq!(engine.code_of(job), "COMMIT_NOT_DURABLE");
        let receipt = set(&client, "plain", Durability::Unspecified).await.unwrap();
        assert_eq!(receipt.durability(), Durability::Written);
        let other = client.clone();
        let asking = tokio::spawn(async move { set(&other, "asked", Durability::Fsynced).await });
        until("a rewrite is held", || std::path::Path::new(&held).exists()).await;
        until("it is executed", || reader_has(&engine, "asked")).await;
        let mut redis = engine.client();
        assert_eq!(redis.command(&["SET", "k", "v"]), "+OK");
        assert_eq!(redis.command(&["WAITAOF", "1", "0", "1"]), "*2");
        assert_eq!((redis.receive(), redis.receive()), (":0".to_owned(), ":0".to_owned()));
        assert!(!asking.is_finished());
        let_go(&held);
        let receipt = asking.await.unwrap().unwrap();
        assert_eq!(receipt.durability(), Durability::Fsynced);
    });
    engine.stop();
}
