//! SIGKILL at each step of a start that touches the disk: the next start, and the one after it, find
//! the data whole, whatever it came from.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use perdure_engine::clock::Clock;
use perdure_engine::failpoint;

use crate::running::{Dir, launch, options, start_with};
use crate::{copy_of, digest, log_options, start_logged, turn};

/// Steps of every start with a log.
pub const STEPS: &[&str] = &[
    "aof.incr_created",
    "aof.write",
    "aof.written",
    "aof.fsync",
    "aof.fsynced",
    "aof.epoch_begun",
    "aof.before_manifest",
    "durable.written",
    "durable.fsynced",
    "durable.renamed",
    "aof.after_manifest",
    "aof.before_state",
    "aof.after_state",
    "aof.booted",
];
const OF_FIRST_LOG: &[&str] = &["aof.directory_created"];
pub const OF_TORN_LOG: &[&str] = &["aof.tail_kept", "aof.tail_cut", "aof.tail_fsynced"];
pub const OF_KILLED_LOG: &[&str] = &["aof.closed"];
const OF_SINGLE_FILE: &[&str] =
    &["aof.directory_created", "aof.upgrade_listed", "aof.upgrade_moved"];
pub const OF_LEFTOVERS: &[&str] = &["aof.set_aside"];

/// Not a test of its own (nothing without the variables): the process that is killed at a step.
#[test]
fn start_to_be_killed() {
    let Ok(directory) = std::env::var("PERDURE_TEST_DIR") else { return };
    let dir = std::mem::ManuallyDrop::new(PathBuf::from(directory));
    failpoint::arm(&std::env::var("PERDURE_TEST_STEP").unwrap()).unwrap();
    let engine = launch(&log_options(&dir), Clock::system());
    engine.wait_event(|event| event["state"] == "ready" || event["state"] == "failed");
}

fn kill_at(step: &str, dir: &Dir) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::start_to_be_killed"])
        .env("PERDURE_TEST_DIR", &dir.0)
        .env("PERDURE_TEST_STEP", format!("{step}=kill"))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{step} is passed");
}

/// Kill a start on a copy of `source` at each step, then start twice and write in between.
pub fn check(source: &Dir, held: &str, steps: &[&[&str]]) {
    for step in steps.iter().copied().flatten() {
        let dir = copy_of(&source.0);
        kill_at(step, &dir);
        let engine = start_logged(&dir);
        let mut client = engine.client();
        assert_eq!(digest(&mut client), held, "{step}");
        assert_eq!(client.command(&["SET", "after", "1"]), "+OK");
        let then = digest(&mut client);
        let killed = copy_of(&dir.0);
        engine.stop();
        for dir in [dir, killed] {
            assert_eq!(digest(&mut start_logged(&dir).client()), then, "{step}, once more");
        }
    }
}

pub fn killed_log() -> (Dir, String) {
    let dir = Dir::new();
    let engine = start_logged(&dir);
    let mut client = engine.client();
    client.fill("key", 50, "value");
    let held = digest(&mut client);
    (copy_of(&dir.0), held)
}

fn rdb() -> (Dir, String) {
    let dir = Dir::new();
    let engine = start_with(&options(&dir.0), Clock::system());
    let mut client = engine.client();
    client.fill("key", 50, "value");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    let held = digest(&mut client);
    engine.stop();
    (copy_of(&dir.0), held)
}

#[test]
fn a_start_from_a_log_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (dir, held) = killed_log();
    check(&dir, &held, &[STEPS, OF_KILLED_LOG]);
}

#[test]
fn a_start_that_cuts_a_torn_tail_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (dir, held) = killed_log();
    let path = dir.0.join("appendonlydir/appendonly.aof.1.incr.aof");
    let torn = [std::fs::read(&path).unwrap().as_slice(), b"*3\r\n$3\r\nSE"].concat();
    std::fs::write(&path, torn).unwrap();
    check(&dir, &held, &[OF_TORN_LOG, &["durable.written", "durable.renamed", "aof.booted"]]);
}

#[test]
fn a_start_that_sets_files_aside_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (dir, held) = killed_log();
    let stray = dir.0.join("appendonlydir/appendonly.aof.9.incr.aof");
    std::fs::write(stray, b"*1\r\n$8\r\nFLUSHALL\r\n").unwrap();
    check(&dir, &held, &[OF_LEFTOVERS, &["aof.booted"]]);
}

#[test]
fn the_first_log_after_an_rdb_file_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (dir, held) = rdb();
    check(&dir, &held, &[STEPS, OF_FIRST_LOG]);
}

#[test]
fn the_first_log_of_an_empty_folder_survives_a_kill_at_each_step() {
    let _turn = turn();
    let engine = start_with(&options(&Dir::new().0), Clock::system());
    let nothing = digest(&mut engine.client());
    check(&Dir::new(), &nothing, &[STEPS, OF_FIRST_LOG]);
}

#[test]
fn the_upgrade_of_a_log_of_redis_6_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (source, held) = rdb();
    let dir = Dir::new();
    let preamble = std::fs::read(source.0.join("dump.rdb")).unwrap();
    std::fs::write(dir.0.join("appendonly.aof"), [&preamble, b"*3\r\n".as_slice()].concat())
        .unwrap();
    check(&dir, &held, &[STEPS, OF_SINGLE_FILE, OF_TORN_LOG]);
}
