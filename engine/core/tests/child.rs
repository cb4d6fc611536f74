//! The snapshot child as the system sees it: which descriptors it holds, which signals it hears,
//! and that it ends with its parent. Failpoints are armed for the whole process, so the tests of
//! this file take turns.

#![allow(clippy::unwrap_used)] // what fails in a test ends it

mod running;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use perdure_engine::failpoint;
use running::{Dir, start, turn, wait_until};

/// What the descriptors of a process are.
fn descriptors(pid: i32) -> Vec<PathBuf> {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect()
}

/// A set of signals from the process's status, without the two that glibc keeps for itself (32 and
/// 33).
fn signals(pid: i32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let set = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
    set & !(0b11 << 31)
}

#[test]
fn the_child_holds_its_file_and_its_pipe_and_nothing_else() {
    let _turn = turn();
    for name in ["child_started", "child_written", "child_fsynced"] {
        let dir = Dir::new();
        let engine = start(&dir);
        let _clients = [engine.client(), engine.client()];
        let marker = dir.file("held");
        failpoint::arm(&format!("snapshot.{name}=pause:{marker}")).unwrap();
        let job = engine.handle.cut(dir.file("a.rdb"), String::new());
        wait_until("the child", || Path::new(&marker).exists());
        let pid = engine.handle.shared().state.lock().save.child_pid.unwrap();
        let held = descriptors(pid);
        let (blocked, caught) = (signals(pid, "SigBlk"), signals(pid, "SigCgt"));
        failpoint::arm("").unwrap();
        std::fs::remove_file(&marker).unwrap();
        engine.end_of(job).unwrap();
        assert_eq!(held.len(), 2, "{held:?}");
        assert!(held.iter().any(|it| it.to_string_lossy().starts_with("pipe:")), "{held:?}");
        assert!(held.iter().any(|it| it.to_string_lossy().contains("a.rdb")), "{held:?}");
        assert_eq!((blocked, caught), (0, 0));
    }
}

/// Not a test of its own (nothing without the variable): the parent that
/// `the_child_ends_with_its_parent_and_leaves_only_what_the_next_boot_sweeps` kills.
#[test]
fn parent_to_be_killed() {
    let Ok(directory) = std::env::var("PERDURE_TEST_DIR") else { return };
    let dir = std::mem::ManuallyDrop::new(Dir(PathBuf::from(directory)));
    let engine = start(&dir);
    engine.client().fill("k", 50_000, "value");
    let job = engine.handle.cut(dir.file("a.rdb"), String::new());
    wait_until("the child", || dir.0.join("held").exists());
    println!("child {}", engine.handle.shared().state.lock().save.child_pid.unwrap());
    let _ = engine.end_of(job); // the child is held, so the kill comes first
}

/// Whether the process is gone, or only waits to be reaped by whoever took it over.
fn has_ended(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |text| text.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

#[test]
fn the_child_ends_with_its_parent_and_leaves_only_what_the_next_boot_sweeps() {
    let _turn = turn();
    let dir = Dir::new();
    let marker = dir.file("held");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_to_be_killed", "--nocapture"])
        .env("PERDURE_TEST_DIR", &dir.0)
        .env("PERDURE_FAILPOINTS", format!("snapshot.child_started=pause:{marker}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid: i32 = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, pid)) = line.split_once("child ") {
            break pid.trim().parse().unwrap();
        }
    };
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(!has_ended(pid), "the child is held");
    std::fs::remove_file(&marker).unwrap();
    wait_until("the child's end", || has_ended(pid));
    let left = dir.names();
    assert!(left.iter().all(|name| name.contains(".tmp-")) && !left.is_empty(), "{left:?}");
    let engine = start(&dir);
    assert_eq!(dir.names(), Vec::<String>::new(), "swept");
    engine.stop();
}
