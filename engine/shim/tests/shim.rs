//! The shim itself, preloaded into small programs: it counts, journals and makes go wrong what it
//! is told, below its folder and nowhere else; a text that it does not understand ends the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod preload;

use std::process::Command;

use preload::{Folder, Shim};

/// Run a line of shell with the shim; gives its exit code and what it said.
fn shell(shim: &Shim, line: &str) -> (i32, String) {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    let done = shim.preload(&mut command).output().unwrap();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn calls_below_the_folder_are_counted_and_journalled() {
    let folder = Folder::new();
    let shim = Shim::on(&folder.0);
    let inside = folder.0.join("a");
    let line = format!("dd if=/dev/zero of={} bs=10 count=3 conv=fdatasync", inside.display());
    assert_eq!(shell(&shim, &line).0, 0);
    assert_eq!((shim.count("write"), shim.count("fdatasync")), (3, 1));
    let path = inside.display();
    let journal = shim.journal();
    let from = journal.find("write").unwrap();
    let wanted =
        format!("write 0 10 {path}\nwrite 0 20 {path}\nwrite 0 30 {path}\nfdatasync 0 30 {path}\n");
    assert_eq!(journal[from..], wanted);
}

#[test]
fn the_call_that_was_named_fails_and_no_other() {
    let folder = Folder::new();
    let file = folder.0.join("a");
    let write = format!("dd if=/dev/zero of={} bs=10 count=3", file.display());
    for (order, length, said) in [
        ("write@2=ENOSPC", 10, "No space left"),
        ("write@3=EIO", 20, "Input/output error"),
        ("write@4=EIO", 30, ""),
    ] {
        let shim = Shim::on(&folder.0).order(order);
        let (_, error) = shell(&shim, &write);
        assert!(error.contains(said), "{order}: {error}");
        assert_eq!(std::fs::metadata(&file).unwrap().len(), length, "{order}");
    }
    let elsewhere = Folder::new();
    let shim = Shim::on(&elsewhere.0).order("any@1..=EIO");
    assert_eq!(shell(&shim, &write).0, 0, "another folder");
}

#[test]
fn a_short_write_takes_half_and_a_kill_kills() {
    let folder = Folder::new();
    let file = folder.0.join("a");
    let write = format!("exec dd if=/dev/zero of={} bs=10 count=1", file.display());
    let shim = Shim::on(&folder.0).order("write@1=short").order("write@2=kill");
    assert_eq!(shell(&shim, &write).0, -1, "by a signal, at the second half");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 5);
}

#[test]
fn a_text_in_another_form_ends_the_process() {
    let folder = Folder::new();
    let (code, error) = shell(&Shim::on(&folder.0).order("write@x=EIO"), "true");
    assert_eq!(code, 97);
    assert!(error.contains("no number of a call"), "{error}");
}
