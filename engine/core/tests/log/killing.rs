//! SIGKILL at each step while clients write: what they were told is in the log that the next start
//! finds.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use perdure_engine::failpoint;

use crate::running::{Dir, start, wait_for};
use crate::{copy_of, redis_on};

const FIRST_KEYS: usize = 300;

/// Not a test of its own (nothing without the variables): the process that is killed.
#[test]
fn engine_to_be_killed() {
    let Ok(directory) = std::env::var("PERDURE_TEST_DIR") else { return };
    let word = |name: &str| std::env::var(name).unwrap();
    let (step, work) = (word("PERDURE_TEST_STEP"), word("PERDURE_TEST_WORK"));
    let dir = std::mem::ManuallyDrop::new(Dir(PathBuf::from(directory)));
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("first", FIRST_KEYS, "value");
    if work != "switch-on" {
        assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "yes"]), "+OK");
    }
    let policy = word("PERDURE_TEST_POLICY");
    client.command(&["CONFIG", "SET", "appendfsync", &policy]);
    if policy == "no" {
        client.command(&["CONFIG", "SET", "aof-use-rdb-preamble", "no"]); // for the other base
    }
    std::fs::write(dir.file("port.new"), engine.handle.ports().0.to_string()).unwrap();
    std::fs::rename(dir.file("port.new"), dir.file("port")).unwrap();
    wait_for("the writer", || dir.0.join("writing").exists().then_some(()));
    if step != "none" {
        let cause = if work == "replace" { "aof.fsync=error:EIO;" } else { "" };
        failpoint::arm(&format!("{cause}{step}=kill")).unwrap();
    }
    match work.as_str() {
        "replace" => {
            client.send(&["SET", "first:0", "value"]);
            client.send(&["WAITAOF", "1", "0", "0"]); // asks for the fsync that fails
        }
        "rewrite" => drop(client.command(&["BGREWRITEAOF"])),
        "switch-on" => {
            assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "yes"]), "+OK");
            std::fs::write(dir.file("told"), "").unwrap();
        }
        "switch-off" => assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "no"]), "+OK"),
        _ => panic!("unknown work {work}"),
    }
    wait_for("the end", || None::<()>);
}

/// A killed engine's directory, and how many writes were acknowledged.
struct Killed {
    dir: Dir,
    acknowledged: usize,
    /// Whether the client that asked was told OK.
    is_told: bool,
}

/// Write until the engine dies at `step` of `work`, or, without a step, until so much was
/// acknowledged after the OK.
fn kill_at(work: &str, step: &str, policy: &str) -> Killed {
    let dir = Dir::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killing::engine_to_be_killed"])
        .env("PERDURE_TEST_DIR", &dir.0)
        .env("PERDURE_TEST_STEP", step)
        .env("PERDURE_TEST_WORK", work)
        .env("PERDURE_TEST_POLICY", policy)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let port = wait_for("its port", || std::fs::read_to_string(dir.file("port")).ok());
    let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut requests = stream;
    let (mut acknowledged, mut after_the_ok) = (0, 0);
    loop {
        let line = format!("SET ack:{acknowledged} value\r\n");
        let mut reply = String::new();
        if requests.write_all(line.as_bytes()).is_err()
            || replies.read_line(&mut reply).unwrap_or(0) == 0
        {
            break;
        }
        if work == "replace" && reply.starts_with("-MISCONF") {
            continue;
        }
        assert_eq!(reply, "+OK\r\n");
        acknowledged += 1;
        if acknowledged == 5 {
            std::fs::write(dir.file("writing"), "").unwrap();
        }
        after_the_ok += usize::from(dir.0.join("told").exists());
        if after_the_ok == 5 {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{work}: {step} is passed");
    let is_told = dir.0.join("told").exists();
    Killed { dir, acknowledged, is_told }
}

impl Killed {
    /// Both servers start on what is there and hold all that was acknowledged.
    fn assert_nothing_is_lost(&self, step: &str) {
        let copy = copy_of(&self.dir);
        let redis = redis_on(&copy.0);
        let keys: usize = redis.run("DBSIZE\n").trim().parse().unwrap();
        let last = self.acknowledged.saturating_sub(1);
        assert_eq!(redis.run(&format!("GET ack:{last}\n")).trim(), "value", "{step}");
        // One more may have been executed than was acknowledged.
        let least = FIRST_KEYS + self.acknowledged;
        assert!((least..=least + 1).contains(&keys), "{step}: {keys} keys, told {least}");
        crate::assert_starts(&self.dir, keys, &redis.digest(), step);
    }
}

#[test]
fn a_kill_at_each_step_of_a_rewrite_loses_nothing() {
    let _turn = crate::turn();
    let steps = [
        "aof.incr_created",
        "aof.before_manifest",
        "durable.renamed",
        "aof.after_manifest",
        "snapshot.fork",
        "aof.switch",
        "snapshot.forked",
        "snapshot.before_rename",
        "snapshot.after_rename",
        "aof.base_named",
        "aof.base_listed",
        "aof.history_deleted",
    ];
    for (number, step) in steps.iter().enumerate() {
        let policy = ["always", "everysec", "no"][number % 3];
        kill_at("rewrite", step, policy).assert_nothing_is_lost(step);
    }
}

#[test]
fn a_kill_while_a_failed_log_is_replaced_loses_nothing() {
    let _turn = crate::turn();
    let steps = [
        "snapshot.forked",
        "aof.base_named",
        "aof.before_manifest",
        "aof.after_manifest",
        "aof.base_listed",
        "aof.before_state",
        "aof.after_state",
    ];
    for (number, step) in steps.iter().enumerate() {
        let policy = ["no", "everysec"][number % 2];
        kill_at("replace", step, policy).assert_nothing_is_lost(step);
    }
}

#[test]
fn a_kill_just_after_switching_on_loses_nothing() {
    let _turn = crate::turn();
    for policy in ["always", "everysec", "no"] {
        let killed = kill_at("switch-on", "none", policy);
        assert!(killed.is_told && killed.acknowledged >= 10);
        killed.assert_nothing_is_lost(policy);
    }
}

#[test]
fn a_kill_while_switching_on_leaves_the_old_state_or_the_whole_log() {
    let _turn = crate::turn();
    let without = [
        "aof.before_state",
        "aof.directory_created",
        "aof.incr_created",
        "snapshot.fork",
        "snapshot.forked",
        "snapshot.after_rename",
        "aof.bound",
        "aof.before_manifest",
    ];
    for step in without {
        let killed = kill_at("switch-on", step, "everysec");
        let manifest = killed.dir.0.join("appendonlydir/appendonly.aof.manifest");
        assert!(!killed.is_told && !manifest.exists(), "{step}");
        // The policy was dump.rdb's: there is none. Without a log the start is as before.
        let engine = start(&killed.dir);
        assert_eq!(engine.client().command(&["DBSIZE"]), ":0", "{step}");
    }
    for step in ["aof.after_manifest", "aof.switched_on"] {
        let killed = kill_at("switch-on", step, "everysec");
        assert!(!killed.is_told);
        killed.assert_nothing_is_lost(step);
    }
}

#[test]
fn a_kill_while_switching_off_finds_the_log() {
    let _turn = crate::turn();
    for step in ["aof.off_prepared", "aof.off_renamed"] {
        kill_at("switch-off", step, "everysec").assert_nothing_is_lost(step);
    }
}
