//! WAITAOF over real sockets, and the replies that come later in general: nothing is executed for a
//! client that waits, what it sent meanwhile is executed afterwards, in order.

use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::aof::FsyncPolicy;
use perdure_engine::clock::Clock;

use crate::setting::{Logged, NOW_MS};
use crate::support::{Server, wait_until};

const BOTH: &str = "*2\r\n:1\r\n:0\r\n";
const NEITHER: &str = "*2\r\n:0\r\n:0\r\n";

#[test]
fn waitaof_answers_when_the_clients_write_is_fsynced_whatever_the_policy() {
    for policy in [FsyncPolicy::Always, FsyncPolicy::Everysec, FsyncPolicy::No] {
        let logged = Logged::start(policy);
        let gate = logged.server.shared.gate.clone();
        let mut client = logged.server.connect();
        client.ask("WAITAOF 1 0 0", BOTH);
        client.ask("SET a 1", "+OK\r\n");
        let end = gate.appended();
        client.ask("WAITAOF 1 0 0", BOTH);
        assert!(gate.fsynced() >= end, "{policy:?}");
    }
}

#[test]
fn nothing_is_executed_for_a_client_that_waits_and_all_of_it_afterwards() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let (mut client, mut other) = (logged.server.connect(), logged.server.connect());
    let blocked = &logged.server.shared.stats.counters.blocked_clients;
    let marker = logged.hold("aof.fsync");
    client.send(b"SET a 1\r\nWAITAOF 1 0 0\r\nINCR a\r\nGET a\r\n");
    client.expect(b"+OK\r\n");
    wait_until("the fsync is held", || marker.exists());
    wait_until("it waits", || blocked.load(SeqCst) == 1);
    other.ask("GET a", "$1\r\n1\r\n");
    client.send(b"PING\r\n");
    logged.server.pass_a_turn();
    client.expect_nothing();
    logged.let_go(&marker);
    client.expect(format!("{BOTH}:2\r\n$1\r\n2\r\n+PONG\r\n").as_bytes());
    assert_eq!(blocked.load(SeqCst), 0);
}

#[test]
fn a_timeout_answers_how_far_it_has_come() {
    let logged = Logged::unbound(FsyncPolicy::Everysec, Clock::driven(NOW_MS));
    logged.log.bind(crate::support::PATIENCE).unwrap();
    logged.log.put_in_force();
    let clock = logged.server.shared.clock.clone();
    let blocked = &logged.server.shared.stats.counters.blocked_clients;
    let marker = logged.hold("aof.fsync");
    let (mut first, mut second) = (logged.server.connect(), logged.server.connect());
    first.send(b"SET a 1\r\nWAITAOF 1 0 5000\r\n");
    first.expect(b"+OK\r\n");
    second.send(b"WAITAOF 0 1 7000\r\n"); // no replica will ever have it
    wait_until("both wait", || blocked.load(SeqCst) == 2);
    clock.drive_to(NOW_MS + 4999);
    logged.server.pass_a_turn();
    first.expect_nothing();
    clock.drive_to(NOW_MS + 5000);
    first.expect(NEITHER.as_bytes());
    second.expect_nothing();
    clock.drive_to(NOW_MS + 7000);
    second.expect(BOTH.as_bytes());
    logged.let_go(&marker);
}

#[test]
fn a_transaction_does_not_wait() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let marker = logged.hold("aof.fsync");
    let mut client = logged.server.connect();
    client.ask("SET a 1", "+OK\r\n");
    client.ask("MULTI", "+OK\r\n");
    client.ask("WAITAOF 1 0 0", "+QUEUED\r\n");
    client.ask("EXEC", &format!("*1\r\n{NEITHER}"));
    logged.let_go(&marker);
}

#[test]
fn a_client_that_wants_no_replies_gets_none_later() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let blocked = &logged.server.shared.stats.counters.blocked_clients;
    let marker = logged.hold("aof.fsync");
    let mut client = logged.server.connect();
    client.send(b"SET a 1\r\nCLIENT REPLY SKIP\r\nWAITAOF 1 0 0\r\nPING\r\n");
    client.expect(b"+OK\r\n");
    wait_until("it waits", || blocked.load(SeqCst) == 1);
    logged.let_go(&marker);
    client.expect(b"+PONG\r\n");
}

#[test]
fn a_client_may_leave_or_be_killed_while_it_waits() {
    let logged = Logged::start(FsyncPolicy::Everysec);
    let blocked = &logged.server.shared.stats.counters.blocked_clients;
    let mut client = logged.server.connect();
    client.send(b"WAITAOF 0 1 0\r\n");
    wait_until("it waits", || blocked.load(SeqCst) == 1);
    let mut other = logged.server.connect();
    other.ask("CLIENT KILL TYPE normal SKIPME yes", ":1\r\n");
    client.expect_end();
    wait_until("it waits no more", || blocked.load(SeqCst) == 0);
}

#[test]
fn without_a_log_waitaof_is_refused_and_wrong_arguments_always() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("WAITAOF 0 0 0", NEITHER);
    let refused = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    client.ask("WAITAOF 1 0 0", &format!("{refused}\r\n"));
    client.ask("WAITAOF 0 1 1", NEITHER);
    for (arguments, text) in [
        ("2 0 0", "value is out of range, value must between 0 and 1"),
        ("-1 x x", "value is out of range, value must between 0 and 1"),
        ("x 0 0", "value is not an integer or out of range"),
        ("0 x 0", "value is out of range, must be positive"),
        ("0 -1 0", "value is out of range, must be positive"),
        ("0 0 -1", "timeout is negative"),
        ("0 0 x", "timeout is not an integer or out of range"),
    ] {
        client.ask(&format!("WAITAOF {arguments}"), &format!("-ERR {text}\r\n"));
    }
}
