//! The shim itself, preloaded into small programs: it counts, journals and makes go wrong what it
//! is told, below its folder and nowhere else; a text that it does not understand ends the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

mod preload;

use std::os::unix::fs::FileExt as _;
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

/// Not a test of its own (nothing without the variable): overwrites the middle of a file in place
/// and fdatasyncs it; its end is its exit code.
#[test]
fn overwrite() {
    let Ok(path) = std::env::var("PERDURE_TEST_OVERWRITTEN") else { return };
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let written = file.write_at(b"newnew", 3).and_then(|_| file.sync_data());
    let errno = written.map_or_else(|error| error.raw_os_error().unwrap(), |()| 0);
    std::process::exit(errno);
}

#[test]
fn an_overwrite_of_a_named_file_goes_wrong_as_it_is_told() {
    let [whole, untouched, half] = ["oldnewnewold", "oldoldoldold", "oldnewoldold"];
    for (order, wanted, left, journal) in [
        ("pwrite@2=EIO", Some(0), whole, "pwrite 0 12 PATH\nfdatasync 0 12 PATH\n"),
        ("pwrite@1=EIO", Some(5), untouched, "pwrite 5 0 PATH\n"),
        ("pwrite@1=ENOSPC", Some(28), untouched, "pwrite 28 0 PATH\n"),
        ("pwrite@1=EINTR", Some(4), untouched, "pwrite 4 0 PATH\n"),
        ("pwrite@1=short", Some(0), half, "pwrite 0 12 PATH\nfdatasync 0 12 PATH\n"),
        ("pwrite@1=slow:5", Some(0), whole, "pwrite 0 12 PATH\nfdatasync 0 12 PATH\n"),
        ("pwrite@1=kill", None, untouched, ""),
        ("fdatasync@1=EIO", Some(5), whole, "pwrite 0 12 PATH\nfdatasync 5 0 PATH\n"),
        ("fdatasync@1=kill", None, whole, "pwrite 0 12 PATH\n"),
    ] {
        for name in ["a.aof.ring", "a.aof.1.incr.aof"] {
            let folder = Folder::new();
            let file = folder.0.join(name);
            std::fs::write(&file, untouched).unwrap();
            let shim = Shim::on(&folder.0).order("named=aof.ring").order(order);
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "overwrite"]).env("PERDURE_TEST_OVERWRITTEN", &file);
            let code = shim.preload(&mut command).output().unwrap().status.code();
            let found = std::fs::read_to_string(&file).unwrap();
            let lines: String = shim
                .journal()
                .split_inclusive('\n')
                .filter(|line| line.starts_with("pwrite") || line.starts_with("fdatasync"))
                .collect();
            let path = file.display().to_string();
            if name == "a.aof.ring" {
                assert_eq!((code, found.as_str()), (wanted, left), "{order}");
                assert_eq!(lines, journal.replace("PATH", &path), "{order}");
            } else {
                assert_eq!((code, found.as_str()), (Some(0), whole), "{order}, another name");
                assert_eq!(
                    (lines.lines().count(), shim.count("any")),
                    (2, 0),
                    "{order}: a journal"
                );
            }
        }
    }
}

#[test]
fn a_text_in_another_form_ends_the_process() {
    let folder = Folder::new();
    let (code, error) = shell(&Shim::on(&folder.0).order("write@x=EIO"), "true");
    assert_eq!(code, 97);
    assert!(error.contains("no number of a call"), "{error}");
}
