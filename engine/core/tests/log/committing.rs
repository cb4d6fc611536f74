//! A restore's commit with a log on: the manifest's replacement is the commit point, and both the
//! log and `dump.rdb` show the restored data afterwards.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use perdure_engine::failpoint;

use crate::load::Load;
use crate::running::{Client, Dir, Engine, start};
use crate::{copy_of, listed, log_files, redis_on, replayed, turn};

const OLD_KEYS: usize = 300;
const NEW_KEYS: usize = 200;

/// Old data live and logged, new data staged; gives the stage.
fn set_scene(dir: &Dir) -> (Engine, Client, u64) {
    let engine = start(dir);
    let mut client = engine.client();
    client.fill("new", NEW_KEYS, "new-value");
    let path = dir.file("cut.rdb");
    engine.end_of(engine.handle.cut(path.clone(), String::new())).unwrap();
    client.command(&["FLUSHALL"]);
    assert_eq!(client.command(&["CONFIG", "SET", "appendonly", "yes"]), "+OK");
    client.fill("old", OLD_KEYS, "old-value");
    let staged = engine.end_of(engine.handle.load_beside(path)).unwrap();
    let stage = staged["stage"].as_u64().unwrap();
    (engine, client, stage)
}

fn rdb_digest(dir: &Dir) -> String {
    let copy = copy_of(dir);
    crate::peer::Peer::start(&copy.0).digest()
}

#[test]
fn a_commit_with_a_log_switches_the_log_and_dump_rdb() {
    let _turn = turn();
    let dir = Dir::new();
    let (engine, mut client, stage) = set_scene(&dir);
    let result = engine.end_of(engine.handle.commit(stage, dir.file("safety.rdb"))).unwrap();
    assert_eq!((&result["keys"], &result["previous_keys"]), (&200.into(), &300.into()));
    assert_eq!(client.command(&["DBSIZE"]), ":200");
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(rdb_digest(&dir), client.digest());
    assert_eq!(listed(&dir).len(), 2);
    assert_eq!(log_files(&dir).len(), 3, "{:?}", log_files(&dir));
    client.fill("later", 100, "value");
    assert_eq!(replayed(&dir), client.digest(), "the new log goes on");
    let safety = engine.handle.load_beside(dir.file("safety.rdb"));
    assert_eq!(engine.end_of(safety).unwrap()["keys"], 300);
    let digest = client.digest();
    engine.stop();
    crate::assert_starts(&dir, 300, &digest, "after a stop");
}

#[test]
fn a_commit_under_load_and_a_rewrite_keeps_the_log_true() {
    let _turn = turn();
    let dir = Dir::new();
    let (engine, mut client, stage) = set_scene(&dir);
    let held = dir.file("held");
    failpoint::arm(&format!("snapshot.child_started=pause:{held}")).unwrap();
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background"));
    crate::wait_until("the child is held", || std::path::Path::new(&held).exists());
    failpoint::arm("").unwrap();
    let load = Load::start(engine.handle.ports().0, 3);
    engine.end_of(engine.handle.commit(stage, dir.file("safety.rdb"))).unwrap();
    load.end();
    assert_eq!(replayed(&dir), client.digest());
    assert_eq!(client.command(&["EXISTS", "old:1"]), ":0");
    let _ = std::fs::remove_file(&held);
}

#[test]
fn a_failure_before_the_commit_point_leaves_the_old_log() {
    let _turn = turn();
    let dir = Dir::new();
    let (engine, mut client, stage) = set_scene(&dir);
    let steps = [
        "durable.written",
        "commit.base_written",
        "commit.writes_paused",
        "snapshot.child_written",
        "commit.safety_cut",
        "commit.base_named",
        "aof.incr_created",
        "commit.before_rename",
    ];
    let files = log_files(&dir);
    for (number, step) in steps.iter().enumerate() {
        failpoint::arm(&format!("{step}=error:ENOSPC")).unwrap();
        let job = engine.handle.commit(stage, dir.file(&format!("safety-{number}.rdb")));
        assert_eq!(engine.code_of(job), "DISK_FULL", "{step}");
        failpoint::arm("").unwrap();
        assert_eq!(client.command(&["SET", "old:7", "old-value"]), "+OK", "{step}: writes resumed");
        assert_eq!(replayed(&dir), client.digest(), "{step}");
        if *step != "aof.incr_created" {
            assert_eq!(log_files(&dir), files, "{step}");
        } else {
            let left = log_files(&dir).into_iter().find(|name| !files.contains(name)).unwrap();
            std::fs::remove_file(dir.0.join("appendonlydir").join(left)).unwrap();
        }
    }
    engine.end_of(engine.handle.commit(stage, dir.file("safety.rdb"))).unwrap();
    assert_eq!(replayed(&dir), client.digest());
}

/// Not a test of its own (nothing without the variables): the process that is killed at a step.
#[test]
fn commit_to_be_killed() {
    let Ok(directory) = std::env::var("PERDURE_TEST_DIR") else { return };
    let step = std::env::var("PERDURE_TEST_STEP").unwrap();
    let dir = std::mem::ManuallyDrop::new(Dir(PathBuf::from(directory)));
    let (engine, _client, stage) = set_scene(&dir);
    failpoint::arm(&format!("{step}=kill")).unwrap();
    let _ = engine.end_of(engine.handle.commit(stage, dir.file("safety.rdb")));
}

#[test]
fn a_kill_at_each_step_of_a_commit_leaves_one_whole_data_set() {
    let _turn = turn();
    let steps = [
        ("commit.base_written", OLD_KEYS),
        ("commit.writes_paused", OLD_KEYS),
        ("commit.safety_cut", OLD_KEYS),
        ("commit.base_named", OLD_KEYS),
        ("aof.incr_created", OLD_KEYS),
        ("commit.before_rename", OLD_KEYS),
        ("commit.after_rename", NEW_KEYS),
        ("commit.before_fsync_directory", NEW_KEYS),
        ("aof.before_state", NEW_KEYS),
        ("commit.durable", NEW_KEYS),
        ("aof.history_deleted", NEW_KEYS),
    ];
    for (step, keys) in steps {
        let dir = Dir::new();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "committing::commit_to_be_killed"])
            .env("PERDURE_TEST_DIR", &dir.0)
            .env("PERDURE_TEST_STEP", step)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{step} is passed");
        let copy = copy_of(&dir);
        let redis = redis_on(&copy.0);
        assert_eq!(redis.run("DBSIZE\n").trim(), keys.to_string(), "{step}");
        crate::assert_starts(&dir, keys, &redis.digest(), step);
    }
}
