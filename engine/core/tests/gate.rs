//! The reply gate over real sockets (I10): no reply leaves before its log position is
//! released, reads of other connections included; a failed log lets reads answer, refuses new
//! writes and keeps the replies of those it cut short.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod support;

use std::sync::atomic::Ordering::SeqCst;

use support::{Server, encode, wait_until};

/// Wait until so many commands have been executed since the start, and the turn has ended.
fn wait_for_commands(server: &Server, count: u64) {
    let total = &server.shared.stats.counters.commands_total;
    wait_until("commands are executed", || total.load(SeqCst) >= count);
    server.pass_a_turn();
}

#[test]
fn no_reply_leaves_while_the_log_holds_reads_of_others_included() {
    let server = Server::start();
    let log = server.attach_log();
    let (mut writer, mut reader) = (server.connect(), server.connect());
    writer.ask("SET k old", "+OK\r\n");
    log.hold();
    writer.send_command(&[b"SET", b"k", b"new"]);
    wait_for_commands(&server, 2);
    reader.send_command(&[b"GET", b"k"]);
    wait_for_commands(&server, 3);
    writer.expect_nothing();
    reader.expect_nothing();
    assert!(log.bytes().ends_with(&encode(&[b"SET", b"k", b"new"])), "executed and logged");
    log.release_all();
    writer.expect(b"+OK\r\n");
    reader.expect(b"$3\r\nnew\r\n");
    writer.ask("GET k", "$3\r\nnew\r\n");
}

#[test]
fn a_released_position_frees_exactly_the_replies_up_to_it() {
    let server = Server::start();
    let log = server.attach_log();
    let (mut first, mut second) = (server.connect(), server.connect());
    log.hold();
    first.send_command(&[b"SET", b"a", b"1"]);
    wait_for_commands(&server, 1);
    let position = server.shared.gate.appended();
    second.send_command(&[b"SET", b"b", b"2"]);
    wait_for_commands(&server, 2);
    log.release_to(position);
    first.expect(b"+OK\r\n");
    server.pass_a_turn();
    second.expect_nothing();
    log.release_all();
    second.expect(b"+OK\r\n");
}

#[test]
fn replies_of_one_connection_stay_in_order_behind_a_held_one() {
    let server = Server::start();
    let log = server.attach_log();
    let mut client = server.connect();
    log.hold();
    client.send_command(&[b"SET", b"k", b"v"]);
    wait_for_commands(&server, 1);
    log.fail(); // from here on reads may leave, but not past the held write of the same connection
    client.send_command(&[b"GET", b"k"]);
    wait_for_commands(&server, 2);
    client.expect_nothing();
    log.recover();
    client.expect(b"+OK\r\n$1\r\nv\r\n");
}

#[test]
fn a_failed_log_answers_reads_refuses_writes_and_keeps_unsure_replies() {
    let server = Server::start();
    let log = server.attach_log();
    let (mut unlucky, mut other) = (server.connect(), server.connect());
    log.hold();
    unlucky.send_command(&[b"SET", b"k", b"v"]);
    wait_for_commands(&server, 1);
    log.fail();
    other.ask("GET k", "$1\r\nv\r\n");
    other.send_command(&[b"SET", b"k", b"w"]);
    other.expect_line("-MISCONF ");
    server.pass_a_turn();
    unlucky.expect_nothing();
    log.recover();
    unlucky.expect(b"+OK\r\n");
    other.ask("SET k w", "+OK\r\n");
}

#[test]
fn a_client_may_leave_while_its_reply_is_held() {
    let server = Server::start();
    let log = server.attach_log();
    let mut client = server.connect();
    log.hold();
    client.send_command(&[b"SET", b"k", b"v"]);
    wait_for_commands(&server, 1);
    log.fail();
    drop(client); // the end of its stream alone closes nothing: a half-closed client may still read
    log.recover();
    wait_until("the connection is closed", || server.clients() == 0);
    assert!(server.shared.state.lock().clients.is_empty());
    server.connect().ask("GET k", "$1\r\nv\r\n");
}

#[test]
fn a_delayed_log_delays_every_pipelined_reply_but_loses_none() {
    let server = Server::start();
    let log = server.attach_log();
    let mut client = server.connect();
    log.hold();
    let commands = 3_000;
    for number in 0..commands {
        client.send_command(&[b"SET", b"k", number.to_string().as_bytes()]);
    }
    wait_for_commands(&server, commands);
    client.expect_nothing();
    let released = log.release_after(std::time::Duration::from_millis(20));
    client.expect(&b"+OK\r\n".repeat(commands as usize));
    released.join().unwrap();
    client.ask("GET k", "$4\r\n2999\r\n");
}

#[test]
fn a_command_that_asks_where_the_log_ends_is_told_of_what_its_pipeline_wrote_before_it() {
    let server = Server::start();
    let log = server.attach_log();
    let mut client = server.connect();
    log.hold();
    client.send(b"SET k v\r\nWAITAOF 1 0 0\r\nSET k w\r\n");
    let blocked = &server.shared.stats.counters.blocked_clients;
    wait_until("it waits", || blocked.load(SeqCst) == 1);
    assert_eq!(log.asked(), log.bytes().len() as u64);
    assert_eq!(server.shared.gate.appended(), log.asked());
    log.release_all();
    client.expect(b"+OK\r\n*2\r\n:1\r\n:0\r\n+OK\r\n");
}

#[test]
fn of_a_pipeline_the_last_write_counts_for_a_later_waitaof() {
    let server = Server::start();
    let log = server.attach_log();
    let mut client = server.connect();
    log.hold();
    client.send(b"SET k v\r\nSET k w\r\n");
    wait_for_commands(&server, 2);
    client.send(b"WAITAOF 1 0 0\r\n");
    wait_for_commands(&server, 3);
    assert_eq!(log.asked(), server.shared.gate.appended());
    log.release_all();
    client.expect(b"+OK\r\n+OK\r\n*2\r\n:1\r\n:0\r\n");
}
