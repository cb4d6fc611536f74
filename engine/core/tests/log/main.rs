//! The log's files while the server runs: rewritten, switched on and off, replaced after a failure,
//! in a restore's commit. What is on the disk is judged by a real redis-server 7.0 that starts on it
//! (and by our own start). One binary of several rooms; failpoints are armed for the whole process,
//! so its tests take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod committing;
mod failing;
mod killing;
mod load;
#[path = "../rdb/peer.rs"]
mod peer;
mod replies;
mod rewriting;
#[path = "../running/mod.rs"]
mod running;
mod switching;

use std::path::Path;
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};
use peer::Peer;
use perdure_engine::clock::Clock;
use perdure_engine::failpoint;
use running::{Client, Dir, Engine, PATIENCE, launch, start, start_with, wait_until};
use serde_json::Value;

/// Tests of this file take turns; what one armed is gone when the next begins.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock();
    failpoint::arm("").unwrap();
    turn
}

/// An engine that was started without a log, and a client.
fn without_log() -> (Dir, Engine, Client) {
    let dir = Dir::new();
    let engine = start(&dir);
    let client = engine.client();
    (dir, engine, client)
}

/// An engine whose log was switched on.
fn with_log() -> (Dir, Engine, Client) {
    let (dir, engine, mut client) = without_log();
    assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "yes"]), "+OK");
    (dir, engine, client)
}

/// Our own start on the log in `dir` finds so many keys, and this data.
#[track_caller]
fn assert_starts(dir: &Dir, keys: usize, digest: &str, step: &str) {
    let copy = copy_of(dir);
    let engine = start_on_log(&copy);
    assert_eq!(engine.client().command(&["DBSIZE"]), format!(":{keys}"), "{step}");
    assert_eq!(engine.client().digest(), digest, "{step}");
}

fn start_on_log(dir: &Dir) -> Engine {
    start_with(&options_with_log(dir), Clock::system())
}

fn options_with_log(dir: &Dir) -> Value {
    let mut options = running::options(&dir.0);
    let args = options["redis_args"].as_array_mut().unwrap();
    args.extend(["--appendonly", "yes"].map(Into::into));
    options
}

/// The code with which our own start on the log in `dir` refuses.
fn refusal_of(dir: &Dir) -> String {
    let copy = copy_of(dir);
    let engine = launch(&options_with_log(&copy), Clock::system());
    let failed = |event: &Value| event["event"] == "state" && event["state"] == "failed";
    engine.wait_event(failed)["error"]["code"].as_str().unwrap().to_owned()
}

/// Ask for a rewrite and wait until its manifest stands.
fn rewrite(engine: &Engine, client: &mut Client) {
    let before = client.info("aof_rewrites");
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background append only file"));
    wait_until("the rewrite has begun", || client.info("aof_rewrites") != before);
    wait_until("the rewrite has ended", || {
        client.info("aof_rewrite_in_progress") == "0" && client.info("aof_rewrite_scheduled") == "0"
    });
    assert_eq!(client.info("aof_last_bgrewrite_status"), "ok");
    assert!(!engine.has_event(|event| event["name"] == "aof_rewrite_failed"));
}

impl Client {
    /// A field of INFO.
    fn info(&mut self, name: &str) -> String {
        let text = self.command(&["INFO", "everything"]);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in INFO")).to_owned()
    }

    fn digest(&mut self) -> String {
        self.command(&["DEBUG", "DIGEST"]).trim_start_matches('+').to_owned()
    }
}

/// What a kill now would leave: a copy of the data dir.
fn copy_of(dir: &Dir) -> Dir {
    let copy = Dir::new();
    let copied = Command::new("cp").arg("-a").arg(dir.0.join(".")).arg(&copy.0).status().unwrap();
    assert!(copied.success());
    copy
}

/// A real redis-server on the log in `dir`.
fn redis_on(dir: &Path) -> Peer {
    let checked = Command::new("/usr/bin/redis-check-aof")
        .arg(dir.join("appendonlydir/appendonly.aof.manifest"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("All AOF files"), "{said}");
    Peer::start_with(dir, &["--appendonly", "yes", "--aof-load-truncated", "no"])
}

/// The digest that a real redis-server has of the log in a copy of `dir`.
fn replayed(dir: &Dir) -> String {
    let copy = copy_of(dir);
    redis_on(&copy.0).digest()
}

/// Names in the log's directory.
fn log_files(dir: &Dir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.0.join("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The files that the manifest names, with their types.
fn listed(dir: &Dir) -> Vec<String> {
    let text = std::fs::read_to_string(dir.0.join("appendonlydir/appendonly.aof.manifest"));
    text.unwrap().lines().map(|line| line.replace("file appendonly.aof.", "")).collect()
}

fn event<'a>(name: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event["event"] == "log" && event["name"] == name
}
