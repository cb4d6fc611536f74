//! When replies leave: with the kernel under `everysec` and `no`, fsynced under `always`, reads of
//! others included; many writers share one fsync; a disk that does not keep up holds replies.

use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::aof::{FsyncPolicy, Log as _};
use perdure_engine::clock::Clock;

use crate::setting::{Logged, settings};
use crate::support::{PATIENCE, wait_until};

#[test]
fn no_reply_leaves_before_the_kernel_has_its_bytes() {
    for policy in [FsyncPolicy::Everysec, FsyncPolicy::No] {
        let logged = Logged::start(policy);
        let mut client = logged.server.connect();
        client.ask("SET a 1", "+OK\r\n");
        let before = logged.bytes("1");
        let marker = logged.hold("aof.write");
        client.send_command(&[b"SET", b"a", b"2"]);
        wait_until("the write is held", || marker.exists());
        assert_eq!(logged.bytes("1"), before);
        client.expect_nothing();
        logged.let_go(&marker);
        client.expect(b"+OK\r\n");
        assert!(logged.bytes("1").ends_with(b"a\r\n$1\r\n2\r\n"), "{policy:?}");
    }
}

#[test]
fn everysec_and_no_do_not_wait_for_an_fsync() {
    for policy in [FsyncPolicy::Everysec, FsyncPolicy::No] {
        let logged = Logged::start(policy);
        let marker = logged.hold("aof.fsync");
        let mut client = logged.server.connect();
        client.ask("SET a 1", "+OK\r\n");
        let gate = &logged.server.shared.gate;
        assert!(gate.released() == gate.appended() && gate.fsynced() < gate.appended());
        logged.let_go(&marker);
    }
}

#[test]
fn always_holds_writes_and_reads_of_others_until_the_fsync() {
    let logged = Logged::start(FsyncPolicy::Always);
    let (mut writer, mut reader) = (logged.server.connect(), logged.server.connect());
    writer.ask("SET a 1", "+OK\r\n");
    let marker = logged.hold("aof.fsync");
    writer.send_command(&[b"SET", b"a", b"2"]);
    wait_until("the fsync is held", || marker.exists());
    assert!(logged.bytes("1").ends_with(b"$1\r\n2\r\n"), "written, not fsynced");
    reader.send_command(&[b"GET", b"a"]);
    logged.wait_for_commands(3);
    logged.server.pass_a_turn();
    writer.expect_nothing();
    reader.expect_nothing();
    logged.let_go(&marker);
    writer.expect(b"+OK\r\n");
    reader.expect(b"$1\r\n2\r\n");
}

#[test]
fn those_who_write_during_an_fsync_share_the_next_one() {
    let logged = Logged::start(FsyncPolicy::Always);
    let marker = logged.hold("aof.fsync");
    let mut first = logged.server.connect();
    first.send_command(&[b"SET", b"first", b"1"]);
    wait_until("the fsync is held", || marker.exists());
    let before = logged.fsyncs();
    let mut clients: Vec<_> = (0..50).map(|_| logged.server.connect()).collect();
    for client in &mut clients {
        client.send_command(&[b"INCR", b"n"]);
    }
    logged.wait_for_commands(51);
    logged.server.pass_a_turn();
    clients.iter_mut().for_each(|client| client.expect_nothing());
    logged.let_go(&marker);
    first.expect(b"+OK\r\n");
    for client in &mut clients {
        client.expect_line(":");
    }
    assert_eq!(logged.fsyncs() - before, 2, "the one that was held, and one for fifty");
}

#[test]
fn everysec_holds_replies_while_the_disk_does_not_keep_up_and_counts_it() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let figures = &logged.server.shared.stats.log;
    let marker = logged.hold("aof.fsync");
    let mut client = logged.server.connect();
    let mut sent = 0;
    while figures.delayed_fsyncs_total.load(SeqCst) == 0 {
        client.send_command(&[b"INCR", b"n"]);
        sent += 1;
        wait_until("it is answered, or the disk is behind", || {
            let gate = &logged.server.shared.gate;
            let is_pushed = gate.appended() > 0 && figures.buffered_bytes.load(SeqCst) == 0;
            let is_executed =
                logged.server.shared.stats.counters.commands_total.load(SeqCst) >= sent;
            is_executed && is_pushed
        });
    }
    logged.server.pass_a_turn();
    let gate = &logged.server.shared.gate;
    assert!(gate.released() < gate.appended());
    assert!(figures.fsync_lag().as_secs() >= 2 && figures.unsynced_bytes.load(SeqCst) > 0);
    logged.let_go(&marker);
    for number in 1..=sent {
        client.expect(format!(":{number}\r\n").as_bytes());
    }
    assert_eq!(figures.delayed_fsyncs_total.load(SeqCst), 1, "once for one slow fsync");
}

#[test]
fn a_log_that_is_being_switched_on_holds_nobody_until_it_binds() {
    let logged = Logged::unbound(FsyncPolicy::Always, Clock::system());
    let marker = logged.hold("aof.fsync");
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    wait_until("the fsync is held", || marker.exists());
    client.ask("SET a 2", "+OK\r\n");
    assert!(!logged.log.is_binding());
    std::thread::scope(|scope| {
        let binding = scope.spawn(|| logged.log.bind(PATIENCE));
        wait_until("it binds", || logged.log.is_binding());
        client.send_command(&[b"SET", b"a", b"3"]);
        logged.wait_for_commands(3);
        logged.server.pass_a_turn();
        client.expect_nothing();
        assert!(!binding.is_finished(), "what was acknowledged is not fsynced yet");
        logged.let_go(&marker);
        binding.join().unwrap().unwrap();
    });
    client.expect(b"+OK\r\n");
    assert_eq!(logged.read("1").commands.len(), 4);
}

#[test]
fn the_policy_changes_live() {
    let logged = Logged::start(FsyncPolicy::No);
    let mut client = logged.server.connect();
    let marker = logged.hold("aof.fsync");
    client.ask("SET a 1", "+OK\r\n");
    logged.log.set(settings(FsyncPolicy::Always));
    wait_until("what was written is fsynced", || marker.exists());
    client.send_command(&[b"SET", b"a", b"2"]);
    logged.wait_for_commands(2);
    logged.server.pass_a_turn();
    client.expect_nothing();
    logged.log.set(settings(FsyncPolicy::Everysec));
    logged.server.shared.log.push();
    client.expect(b"+OK\r\n");
    logged.let_go(&marker);
}

#[test]
fn nothing_is_fsynced_while_that_is_held_off_but_on_demand() {
    let logged = Logged::start(FsyncPolicy::Always);
    let held = perdure_engine::aof::LogSettings { is_fsync_held: true, ..logged.log.settings() };
    logged.log.set(held);
    let before = logged.fsyncs();
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    client.ask("SET a 2", "+OK\r\n");
    assert_eq!(logged.fsyncs(), before);
    logged.log.ask_fsync(logged.server.shared.gate.appended());
    wait_until("it is fsynced on demand", || logged.fsyncs() > before);
}
