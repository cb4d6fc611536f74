//! A disk that fails: bytes that cannot be written wait in memory and are written when the disk
//! takes them; a failed fsync is never tried again and needs a new base. New writes are refused
//! meanwhile, reads go on, nothing that was executed is answered with an error.

use std::fs::OpenOptions;
use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::aof::{FsyncPolicy, Segment};
use perdure_engine::clock::Clock;

use crate::setting::{EPOCH, Logged};
use crate::support::{PATIENCE, wait_until};

const POLICIES: [FsyncPolicy; 3] = [FsyncPolicy::Always, FsyncPolicy::Everysec, FsyncPolicy::No];

#[test]
fn a_write_that_fails_holds_its_reply_until_the_disk_takes_it() {
    for policy in POLICIES {
        for (errno, is_full) in [("ENOSPC", true), ("EIO", false)] {
            let logged = Logged::start(policy);
            let shared = logged.server.shared.clone();
            let (mut unlucky, mut other) = (logged.server.connect(), logged.server.connect());
            unlucky.ask("SET a 1", "+OK\r\n");
            logged.arm(&format!("aof.write=error:{errno}"));
            unlucky.send_command(&[b"SET", b"a", b"2"]);
            wait_until("the log has failed", || shared.gate.has_failed());
            other.ask("GET a", "$1\r\n2\r\n");
            other.send_command(&[b"SET", b"a", b"3"]);
            other.expect_line("-MISCONF ");
            unlucky.expect_nothing();
            logged.wait_for_event("aof_write_failed");
            logged.disarm();
            unlucky.expect(b"+OK\r\n");
            other.ask("SET a 4", "+OK\r\n");
            logged.wait_for_event("aof_write_recovered");
            let expected = ["SELECT 0", "SET a 1", "SET a 2", "SET a 4"];
            assert_eq!(logged.read("1").commands, expected, "{policy:?}");
            let figures = &shared.stats.log;
            assert_eq!(figures.disk_full_errors_total.load(SeqCst) > 0, is_full);
            assert_eq!(figures.write_errors_total.load(SeqCst) > 0, !is_full);
            assert!(!logged.log.needs_base() && !figures.is_write_failing.load(SeqCst));
        }
    }
}

/// `always`: the fsync that a reply waits for fails.
#[test]
fn a_failed_fsync_is_never_tried_again_and_a_new_base_ends_it() {
    let logged = Logged::start(FsyncPolicy::Always);
    let shared = logged.server.shared.clone();
    let (mut unlucky, mut other) = (logged.server.connect(), logged.server.connect());
    unlucky.ask("SET a 1", "+OK\r\n");
    logged.arm("aof.fsync=error:EIO");
    unlucky.send_command(&[b"SET", b"a", b"2"]);
    wait_until("the log has failed", || shared.gate.has_failed());
    logged.wait_for_event("aof_fsync_failed");
    assert!(logged.log.needs_base());
    logged.disarm();
    let fsyncs = logged.fsyncs();
    other.ask("GET a", "$1\r\n2\r\n");
    other.send_command(&[b"SET", b"a", b"3"]);
    other.expect_line("-MISCONF ");
    let error = logged.log.wait_fsynced(shared.gate.appended(), PATIENCE).unwrap_err();
    assert_eq!(error.code, "LOG_FAILED");
    unlucky.expect_nothing();
    assert_eq!(logged.fsyncs(), fsyncs, "nobody asked the disk again");
    // The rewrite: its cut, then its base is durable.
    logged.switch_to("2", EPOCH + 1);
    logged.log.replaced_by(EPOCH); // an older base ends nothing
    assert!(logged.log.needs_base());
    unlucky.expect_nothing();
    logged.log.replaced_by(EPOCH + 1);
    unlucky.expect(b"+OK\r\n");
    other.ask("SET a 4", "+OK\r\n");
    assert!(!logged.log.needs_base() && !shared.gate.has_failed());
    assert_eq!(logged.read("2").commands, ["SELECT 0", "SET a 4"]);
    assert_eq!(shared.stats.log.fsync_errors_total.load(SeqCst), 1);
}

/// `everysec`: the fsync of the second fails when the reply has long left.
#[test]
fn a_failed_fsync_of_everysec_refuses_new_writes() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let shared = logged.server.shared.clone();
    let mut client = logged.server.connect();
    logged.arm("aof.fsync=error:EIO");
    client.ask("SET a 1", "+OK\r\n");
    wait_until("the fsync has failed", || logged.log.needs_base());
    client.send_command(&[b"SET", b"a", b"2"]);
    client.expect_line("-MISCONF ");
    client.ask("GET a", "$1\r\n1\r\n");
    logged.disarm();
    logged.switch_to("2", EPOCH + 1);
    logged.log.replaced_by(EPOCH + 1);
    client.ask("SET a 3", "+OK\r\n");
    logged.log.wait_fsynced(shared.gate.appended(), PATIENCE).unwrap();
    assert_eq!(logged.read("2").commands, ["SELECT 0", "SET a 3"]);
}

#[test]
fn a_failed_fsync_at_a_switch_keeps_the_new_file_empty() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    logged.arm("aof.fsync=error:EIO");
    logged.switch_to("2", EPOCH);
    wait_until("the fsync has failed", || logged.log.needs_base());
    logged.disarm();
    assert_eq!(logged.bytes("2"), b"", "a hole between the two files would be");
    logged.switch_to("3", EPOCH + 1);
    logged.log.replaced_by(EPOCH + 1);
    client.ask("SET a 2", "+OK\r\n");
    assert_eq!(logged.bytes("2"), b"");
    assert_eq!(logged.read("3").commands, ["SELECT 0", "SET a 2"]);
}

/// No failpoint: the device that is always full.
#[test]
fn a_disk_that_stays_full_is_left_for_a_new_base_elsewhere() {
    let logged = Logged::start(FsyncPolicy::Always);
    let shared = logged.server.shared.clone();
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    let path = std::path::PathBuf::from("/dev/full");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let full = Segment { file, path, epoch: EPOCH };
    shared.state.lock().effects.switch_log(&logged.log, full);
    client.send_command(&[b"SET", b"a", b"2"]);
    wait_until("the log has failed", || shared.gate.has_failed());
    client.expect_nothing();
    assert!(shared.stats.log.disk_full_errors_total.load(SeqCst) > 0);
    logged.switch_to("3", EPOCH + 1);
    logged.log.replaced_by(EPOCH + 1);
    client.expect(b"+OK\r\n");
    client.ask("SET a 3", "+OK\r\n");
    assert_eq!(logged.read("3").commands, ["SELECT 0", "SET a 3"]);
}

#[test]
fn a_log_that_is_being_switched_on_and_fails_refuses_nobody() {
    let logged = Logged::unbound(FsyncPolicy::Everysec, Clock::system());
    let shared = logged.server.shared.clone();
    logged.arm("aof.write=error:ENOSPC");
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    let error = logged.log.wait_fsynced(shared.gate.appended(), PATIENCE).unwrap_err();
    assert_eq!(error.code, "LOG_FAILED");
    assert!(logged.log.bind(PATIENCE).is_err() && !shared.gate.has_failed());
    client.ask("SET a 2", "+OK\r\n");
}

#[test]
fn a_stop_that_cannot_write_says_so_and_one_that_can_loses_nothing() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let shared = logged.server.shared.clone();
    logged.server.connect().ask("SET a 1", "+OK\r\n");
    logged.arm("aof.fsync=error:EIO");
    assert_eq!(logged.log.stop().unwrap_err().code, "LOG_FAILED");
    assert!(shared.gate.fsynced() < shared.gate.appended());
    drop(logged);
    let logged = Logged::start(FsyncPolicy::Always);
    let mut client = logged.server.connect();
    let marker = logged.hold("aof.fsync");
    client.send_command(&[b"SET", b"a", b"1"]);
    wait_until("the fsync is held", || marker.exists());
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| logged.log.stop());
        logged.let_go(&marker);
        stopping.join().unwrap().unwrap();
    });
    client.expect(b"+OK\r\n");
}

#[test]
fn a_wait_that_takes_too_long_ends() {
    let logged = Logged::start(FsyncPolicy::Always);
    let marker = logged.hold("aof.fsync");
    logged.server.connect().send_command(&[b"SET", b"a", b"1"]);
    wait_until("the fsync is held", || marker.exists());
    let end = logged.server.shared.gate.appended();
    let error = logged.log.wait_fsynced(end, std::time::Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.code, "LOG_TIMEOUT");
    logged.let_go(&marker);
    logged.log.wait_fsynced(end, PATIENCE).unwrap();
}
