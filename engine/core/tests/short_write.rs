//! A write that the file takes only in part, or that a signal interrupts: the log goes on from there,
//! now or when the file takes bytes again. A limit on the size of files and a full pipe make real
//! ones; limits and signals are the whole process's, so these tests stand alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(unsafe_code)] // system calls: setrlimit, sigaction, mkfifo, tgkill, ioctl

mod support;

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::aof::{FileLog, FsyncPolicy, LogSettings, Segment};
use support::{PATIENCE, Server, wait_until};

static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("perdure-short-{name}-{}", std::process::id()))
}

/// A server with a log in this new file.
fn start(path: &Path, policy: FsyncPolicy) -> (Server, Arc<FileLog>) {
    let server = Server::start();
    let file = OpenOptions::new().append(true).create_new(true).open(path).unwrap();
    let segment = Segment { file, path: path.to_owned(), epoch: 1 };
    let settings = LogSettings { policy, is_timestamped: false, is_fsync_held: false };
    let log = FileLog::start(&server.shared, segment, settings).unwrap();
    server.shared.state.lock().effects.attach_file(Arc::clone(&log));
    log.bind(PATIENCE).unwrap();
    (server, log)
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| *window == wanted).count()
}

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
    let _alone = ALONE.lock();
    let path = path("limit");
    let (server, log) = start(&path, FsyncPolicy::Always);
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
    assert!(!server.shared.gate.has_failed());
    log.stop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let command = support::encode(&[b"SET", b"a", &value]);
    assert_eq!(count(&bytes, &command), 1, "whole, and once");
}

extern "C" fn nothing(_: libc::c_int) {}

/// Interrupt every thread of this process.
fn interrupt_all() {
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let name = task.unwrap().file_name();
        let thread: libc::c_long = name.to_str().unwrap().parse().unwrap();
        // SAFETY: plain numbers; a thread that has ended meanwhile is an error that nobody minds.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::c_long::from(libc::getpid()), thread, SIGNAL);
        }
    }
}

const SIGNAL: libc::c_long = libc::SIGUSR1 as libc::c_long;

fn handle_signal() {
    // SAFETY: an all-zero sigaction is valid (no flags, so calls are not restarted), and the handler
    // does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
}

fn make_pipe(path: &Path) -> (File, File) {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a C string that lives through the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let both = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (OpenOptions::new().write(true).open(path).unwrap(), both)
}

fn readable_bytes(file: &File) -> i32 {
    let mut bytes = 0;
    // SAFETY: the kernel writes one int.
    assert_eq!(unsafe { libc::ioctl(file.as_raw_fd(), libc::FIONREAD, &raw mut bytes) }, 0);
    bytes
}

#[test]
fn an_interrupted_write_is_gone_on_with_at_once() {
    const PIPE_BYTES: i32 = 65_536;
    // What was written by itself has a page of the pipe for itself.
    const PAGE_BYTES: i32 = 4096;
    let _alone = ALONE.lock();
    handle_signal();
    let (path, pipe) = (path("regular"), path("pipe"));
    let (server, log) = start(&path, FsyncPolicy::No);
    let (file, mut reader) = make_pipe(&pipe);
    let next = Segment { file, path: pipe.clone(), epoch: 1 };
    server.shared.state.lock().effects.switch_log(&log, next);
    let mut client = server.connect();
    let value = vec![b'x'; 500_000];
    client.send_command(&[b"SET", b"a", &value]);
    wait_until("the pipe is full", || readable_bytes(&reader) > PIPE_BYTES - PAGE_BYTES);
    for _ in 0..100 {
        interrupt_all(); // first a short write, then EINTR
        std::thread::yield_now();
    }
    client.expect_nothing();
    let command = support::encode(&[b"SET", b"a", &value]);
    let mut bytes = Vec::new();
    while !bytes.ends_with(&command) {
        let mut some = vec![0; PIPE_BYTES as usize];
        let read = reader.read(&mut some).unwrap();
        bytes.extend_from_slice(&some[..read]);
        assert!(bytes.len() < 600_000, "something was written twice");
        interrupt_all();
    }
    client.expect(b"+OK\r\n");
    assert!(!server.shared.gate.has_failed() && count(&bytes, &command) == 1);
    let _ = log.stop(); // a pipe cannot be fsynced
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&pipe).unwrap();
}
