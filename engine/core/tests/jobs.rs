//! The bounds of jobs and children: how many, how long, who makes way for whom, and the typed error
//! of each. Failpoints are armed for the whole process, so the tests of this file take turns.

#![allow(clippy::unwrap_used, clippy::panic)] // what fails in a test ends it

mod running;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perdure_engine::failpoint;
use perdure_engine::job::commit::CommitRequest;
use perdure_engine::job::{Jobs, Stages, commit, load};
use perdure_engine::snapshot::lock_for_child;
use running::{Dir, hold, let_go, start, turn, wait_held};

#[test]
fn one_child_at_a_time_and_a_bounded_number_of_jobs() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let marker = hold(&dir, "snapshot.child_started");
    let first = engine.handle.cut(dir.file("first.rdb"), String::new());
    wait_held(&marker);
    let busy = lock_for_child(engine.handle.shared(), Duration::ZERO, &|| Ok(()));
    let error = busy.err().unwrap();
    assert_eq!((error.code, error.is_retryable), ("CHILD_BUSY", true));
    let jobs: Vec<u64> = (0..40)
        .map(|number| engine.handle.cut(dir.file(&format!("{number}.rdb")), String::new()))
        .collect();
    assert_eq!(engine.code_of(*jobs.last().unwrap()), "TOO_MANY_JOBS");
    for job in &jobs {
        engine.handle.cancel(*job);
    }
    assert_eq!(engine.code_of(jobs[0]), "CANCELLED");
    let_go(&marker);
    engine.end_of(first).unwrap();
}

#[test]
fn a_fork_that_fails_is_told_and_leaves_nothing() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    failpoint::arm("snapshot.fork=error:ENOMEM").unwrap();
    assert_eq!(engine.code_of(engine.handle.cut(dir.file("a.rdb"), String::new())), "FORK_FAILED");
    assert!(engine.client().command(&["BGSAVE"]).starts_with("-ERR fork failed"));
    assert_eq!(engine.stats()["last_bgsave_status"], "err");
    assert_eq!(dir.names(), Vec::<String>::new());
    failpoint::arm("").unwrap();
    engine.end_of(engine.handle.cut(dir.file("a.rdb"), String::new())).unwrap();
}

#[test]
fn a_child_makes_way_for_a_stop() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let marker = hold(&dir, "snapshot.child_fsynced");
    let cut = engine.handle.cut(dir.file("a.rdb"), String::new());
    wait_held(&marker);
    engine.stop();
    assert_eq!(engine.code_of(cut), "CHILD_ENDED");
    let_go(&marker);
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn writes_never_wait_longer_than_the_bound() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    engine.client().fill("k", 10, "v");
    let path = dir.file("a.rdb");
    engine.end_of(engine.handle.cut(path.clone(), String::new())).unwrap();
    let shared = Arc::clone(engine.handle.shared());
    let safety = dir.file("safety.rdb");
    let jobs = Arc::new(Jobs::new(&shared));
    jobs.start(|_| Ok(serde_json::Value::Null)); // its number is the cut's, too
    let job = jobs.start(move |job| {
        let stages = Stages::default();
        let staged = load::load_beside(&shared, job, &stages, Path::new(&path))?;
        let request = CommitRequest {
            stage: staged["stage"].as_u64().unwrap(),
            safety_path: Path::new(&safety),
            pause_max: Duration::ZERO,
        };
        commit::run(&shared, job, &stages, request)
    });
    assert_eq!(engine.code_of(job), "COMMIT_PAUSE_TOO_LONG");
    assert_eq!(engine.client().command(&["SET", "k:1", "w"]), "+OK");
}

#[test]
fn a_job_that_panics_ends_with_a_typed_error() {
    let _turn = turn();
    let dir = Dir::new();
    let engine = start(&dir);
    let jobs = Arc::new(Jobs::new(engine.handle.shared()));
    assert_eq!(engine.code_of(jobs.start(|_| panic!("on purpose"))), "INTERNAL");
}
