//! SIGKILL at each step of a commit: the next boot finds one whole data set, the old one before the
//! rename and the new one after it, and sweeps what was left half done.

#![allow(clippy::unwrap_used)] // what fails in a test ends it

mod running;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use perdure_engine::failpoint;
use running::{Dir, start};

const OLD_KEYS: usize = 300;
const NEW_KEYS: usize = 200;

/// Not a test of its own (nothing without the variables): the process that is killed at a step.
#[test]
fn commit_to_be_killed() {
    let Ok(directory) = std::env::var("PERDURE_TEST_DIR") else { return };
    let step = std::env::var("PERDURE_TEST_STEP").unwrap();
    let dir = std::mem::ManuallyDrop::new(Dir(PathBuf::from(directory)));
    let engine = start(&dir);
    let mut client = engine.client();
    client.fill("new", NEW_KEYS, "new-value");
    let path = dir.file("cut.rdb");
    engine.end_of(engine.handle.cut(path.clone(), String::new())).unwrap();
    client.command(&["FLUSHALL"]);
    client.fill("old", OLD_KEYS, "old-value");
    assert_eq!(client.command(&["SAVE"]), "+OK");
    let stage = engine.end_of(engine.handle.load_beside(path)).unwrap();
    failpoint::arm(&format!("{step}=kill")).unwrap();
    let job = engine.handle.commit(stage["stage"].as_u64().unwrap(), dir.file("safety.rdb"));
    let _ = engine.end_of(job);
}

fn kill_at(step: &str) -> Dir {
    let dir = Dir::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit_to_be_killed"])
        .env("PERDURE_TEST_DIR", &dir.0)
        .env("PERDURE_TEST_STEP", step)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{step} is passed");
    dir
}

#[test]
fn a_kill_at_each_step_leaves_one_whole_data_set() {
    let steps = [
        ("durable.written", OLD_KEYS),
        ("durable.fsynced", OLD_KEYS),
        ("commit.base_written", OLD_KEYS),
        ("snapshot.fork", OLD_KEYS),
        ("commit.writes_paused", OLD_KEYS),
        ("snapshot.forked", OLD_KEYS),
        ("snapshot.before_rename", OLD_KEYS),
        ("snapshot.after_rename", OLD_KEYS),
        ("commit.safety_cut", OLD_KEYS),
        ("commit.before_rename", OLD_KEYS),
        ("commit.after_rename", NEW_KEYS),
        ("commit.before_fsync_directory", NEW_KEYS),
    ];
    for (step, keys) in steps {
        let dir = kill_at(step);
        let engine = start(&dir);
        assert_eq!(engine.client().command(&["DBSIZE"]), format!(":{keys}"), "{step}");
        let half_done: Vec<String> =
            dir.names().into_iter().filter(|name| name.contains(".tmp-")).collect();
        assert!(half_done.is_empty(), "{step}: {half_done:?}");
        if dir.names().contains(&"safety.rdb".to_owned()) {
            let safety = engine.end_of(engine.handle.verify(dir.file("safety.rdb"))).unwrap();
            assert_eq!(safety["keys"], OLD_KEYS, "{step}: the undo is whole where it has a name");
        }
        engine.stop();
    }
}
