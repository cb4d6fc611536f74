//! Files become durable whole or not at all: prepare, commit, refusal to replace, leftovers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails
#![allow(unsafe_code)] // write to the descriptor that `prepare_file` gives

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use perdure_engine::durable::{self, Prepared};

/// A directory of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("perdure-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let items = std::fs::read_dir(&self.0).unwrap();
        let name = |item: std::io::Result<std::fs::DirEntry>| item.unwrap().file_name();
        let mut names: Vec<_> = items.map(|item| name(item).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(fd: RawFd, text: &str) -> Result<u64, i32> {
    // SAFETY: a live slice of that length.
    let wrote = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    assert_eq!(wrote, text.len() as isize);
    Ok(text.len() as u64)
}

fn prepare(target: &Path, is_replacing: bool, text: &str) -> Prepared {
    durable::prepare_file(target, is_replacing, &mut |fd| write(fd, text)).unwrap()
}

#[test]
fn nothing_is_visible_before_the_commit_and_all_of_it_after() {
    let scratch = Scratch::new("commit");
    let target = scratch.0.join("dump.rdb");
    std::fs::write(&target, "old").unwrap();
    let prepared = prepare(&target, true, "new");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
    let temporary = prepared.temporary.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(temporary.starts_with(&format!(".dump.rdb.tmp-{}-", std::process::id())));
    prepared.commit().unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
    assert_eq!(scratch.names(), ["dump.rdb"]);
}

#[test]
fn a_prepared_file_that_is_dropped_leaves_no_trace() {
    let scratch = Scratch::new("drop");
    drop(prepare(&scratch.0.join("a"), true, "text"));
    assert!(scratch.names().is_empty());
}

#[test]
fn creating_refuses_to_replace() {
    let scratch = Scratch::new("create");
    let target = scratch.0.join("a");
    prepare(&target, false, "first").commit().unwrap();
    let error = prepare(&target, false, "second").commit().unwrap_err();
    assert_eq!(error.code, "FILE_EXISTS");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "first");
    assert_eq!(scratch.names(), ["a"]);
    assert_eq!(durable::create_new(&target).unwrap_err().code, "FILE_EXISTS");
}

#[test]
fn a_failed_or_short_fill_leaves_the_target_and_no_temporary_file() {
    let scratch = Scratch::new("fill");
    let target = scratch.0.join("a");
    std::fs::write(&target, "old").unwrap();
    let full = durable::prepare_file(&target, true, &mut |_| Err(libc::ENOSPC)).unwrap_err();
    assert_eq!((full.code, full.is_retryable), ("DISK_FULL", true));
    let short =
        durable::prepare_file(&target, true, &mut |fd| write(fd, "half").map(|size| size * 2));
    let short = short.unwrap_err();
    assert_eq!(short.code, "IO_ERROR");
    assert!(short.message.contains("4 bytes on disk instead of 8"), "{short:?}");
    assert_eq!(scratch.names(), ["a"]);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
}

#[test]
fn a_missing_directory_is_named() {
    let scratch = Scratch::new("missing");
    let target = scratch.0.join("absent").join("a");
    let error = durable::prepare_file(&target, true, &mut |_| Ok(0)).unwrap_err();
    assert_eq!(error.code, "FILE_MISSING");
    assert_eq!(durable::fsync_directory(&target).unwrap_err().code, "FILE_MISSING");
}

#[test]
fn leftovers_of_dead_processes_are_swept_and_nothing_else() {
    let scratch = Scratch::new("sweep");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let me = std::process::id();
    let kept = prepare(&scratch.0.join("mine"), true, "in work");
    let swept = [
        format!(".dump.rdb.tmp-{dead}-0"),
        // An earlier process had our id: numbers that we have not given out yet are its.
        format!(".dump.rdb.tmp-{me}-{}", u64::MAX),
    ];
    let others = ["dump.rdb", ".hidden", "a.tmp-1-0", ".a.tmp-x-0", ".a.tmp-1", ".a.tmp-1-"];
    let alive = ".dump.rdb.tmp-1-0".to_owned();
    for name in swept.iter().map(String::as_str).chain(others).chain([alive.as_str()]) {
        std::fs::write(scratch.0.join(name), "x").unwrap();
    }
    let mut removed = durable::sweep_leftovers(&scratch.0).unwrap();
    removed.sort();
    let mut expected = swept.map(|name| scratch.0.join(name)).to_vec();
    expected.sort();
    assert_eq!(removed, expected);
    let mut left: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
    left.push(alive);
    left.push(kept.temporary.file_name().unwrap().to_str().unwrap().to_owned());
    left.sort();
    assert_eq!(scratch.names(), left);
}

/// Not a test of its own: what the crash test below runs in another process.
#[test]
#[ignore = "run by `a_crash_at_each_failpoint_leaves_the_old_or_the_new_file`"]
fn replace_the_file_named_by_the_environment() {
    perdure_engine::failpoint::arm_from_environment().unwrap();
    let target = PathBuf::from(std::env::var_os("PERDURE_TEST_TARGET").unwrap());
    let done = durable::prepare_file(&target, true, &mut |fd| write(fd, "new"));
    if let Err(error) = done.and_then(Prepared::commit) {
        println!("failed with {}", error.code);
    }
}

fn replace_in_another_process(target: &Path, failpoint: &str) -> std::process::Output {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "replace_the_file_named_by_the_environment"])
        .env("PERDURE_FAILPOINTS", failpoint)
        .env("PERDURE_TEST_TARGET", target)
        .output()
        .unwrap()
}

#[test]
fn a_crash_at_each_failpoint_leaves_the_old_or_the_new_file() {
    let scratch = Scratch::new("crash");
    let target = scratch.0.join("dump.rdb");
    for (name, found_after, leftovers) in [
        ("durable.written", "old", 1),
        ("durable.fsynced", "old", 1),
        ("durable.renamed", "new", 0),
    ] {
        std::fs::write(&target, "old").unwrap();
        let killed = replace_in_another_process(&target, &format!("{name}=kill"));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), found_after, "{name}");
        assert_eq!(scratch.names().len(), 1 + leftovers, "{name}");
        assert_eq!(durable::sweep_leftovers(&scratch.0).unwrap().len(), leftovers, "{name}");
        assert_eq!(scratch.names(), ["dump.rdb"]);
    }
}

#[test]
fn a_failing_fsync_is_an_error_and_leaves_the_old_file() {
    let scratch = Scratch::new("fsync");
    let target = scratch.0.join("dump.rdb");
    for (failpoint, code, found_after) in [
        ("durable.written=error:ENOSPC", "DISK_FULL", "old"),
        ("durable.fsynced=error:EIO", "IO_ERROR", "old"),
        ("durable.renamed=error:EIO", "IO_ERROR", "new"),
    ] {
        std::fs::write(&target, "old").unwrap();
        let output = replace_in_another_process(&target, failpoint);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("failed with {code}")), "{failpoint}: {said}");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), found_after, "{failpoint}");
        assert_eq!(scratch.names(), ["dump.rdb"]);
    }
}
