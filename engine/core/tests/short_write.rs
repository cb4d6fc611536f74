//! A write that the file takes only in part, then an error: the log goes on from there once the
//! file takes bytes again. The limit on the size of files makes a real short write; it is the whole
//! process's, so this test stands alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(unsafe_code)] // system calls: setrlimit, signal

mod support;

use std::fs::OpenOptions;
use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::aof::{FileLog, FsyncPolicy, LogSettings, Segment};
use support::{PATIENCE, Server, wait_until};

fn limit_files_to(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` lives through the call; ignoring a signal takes plain numbers.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

#[test]
fn a_short_write_is_gone_on_with_where_it_ended() {
    let server = Server::start();
    let path = std::env::temp_dir().join(format!("perdure-short-{}", std::process::id()));
    let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
    let settings =
        LogSettings { policy: FsyncPolicy::Always, is_timestamped: false, is_fsync_held: false };
    let segment = Segment { file, path: path.clone(), epoch: 1 };
    let log = FileLog::start(&server.shared, segment, settings).unwrap();
    server.shared.state.lock().effects.attach_file(log.clone());
    log.bind(PATIENCE).unwrap();
    let mut client = server.connect();
    client.ask("SET a 1", "+OK\r\n");
    let before = std::fs::metadata(&path).unwrap().len();
    limit_files_to(before + 10_000);
    let value = vec![b'x'; 50_000];
    client.send_command(&[b"SET", b"a", &value]);
    wait_until("the log has failed", || server.shared.gate.has_failed());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before + 10_000, "a part was written");
    client.expect_nothing();
    limit_files_to(libc::RLIM_INFINITY);
    client.expect(b"+OK\r\n");
    assert!(server.shared.stats.log.write_errors_total.load(SeqCst) > 0);
    log.stop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let command = support::encode(&[b"SET", b"a", &value]);
    let found = bytes.windows(command.len()).filter(|window| *window == command).count();
    assert_eq!(found, 1, "whole, and once");
    assert!(!server.shared.gate.has_failed());
}
