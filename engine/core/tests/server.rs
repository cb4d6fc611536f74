//! The RESP door with real sockets: order and completeness of replies, clients that misbehave,
//! bounds, stopping.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod support;

use std::net::Shutdown;
use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::clock::Clock;
use perdure_engine::config::Access;
use support::{Client, PATIENCE, Server, encode, wait_until};

#[test]
fn ten_thousand_pipelined_commands_are_answered_in_order() {
    let server = Server::start();
    let client = server.connect();
    let mut writer = Client::new(client.stream.try_clone().unwrap());
    let mut reader = client;
    let commands = 10_000_u32;
    let sending = std::thread::spawn(move || {
        let all: Vec<u8> =
            (0..commands).flat_map(|n| encode(&[b"ECHO", n.to_string().as_bytes()])).collect();
        all.chunks(3_001).for_each(|chunk| writer.send(chunk)); // commands are cut anywhere
    });
    for number in 0..commands {
        let text = number.to_string();
        reader.expect(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    }
    sending.join().unwrap();
}

#[test]
fn large_values_pass_both_ways() {
    let server = Server::start();
    let mut client = server.connect();
    let value: Vec<u8> = (0..5_000_000_u32).map(|n| (n * 31) as u8).collect();
    client.send_command(&[b"SET", b"big", &value]);
    client.expect(b"+OK\r\n");
    client.send_command(&[b"GET", b"big"]);
    client.expect(format!("${}\r\n", value.len()).as_bytes());
    client.expect(&value);
    client.expect(b"\r\n");
    client.ask("PING", "+PONG\r\n");
}

#[test]
fn a_command_of_many_arguments_arrives_in_pieces() {
    let server = Server::start();
    let mut client = server.connect();
    let keys: Vec<String> = (0..100_000).map(|number| format!("key:{number}")).collect();
    let args: Vec<&[u8]> = std::iter::once("MSET")
        .chain(keys.iter().flat_map(|key| [key.as_str(), "v"]))
        .map(str::as_bytes)
        .collect();
    client.send_command(&args);
    client.expect(b"+OK\r\n");
    client.ask("DBSIZE", ":100000\r\n");
    let numbers: Vec<String> = (0..41).map(|number| (number * 2500).to_string()).collect();
    let pairs: Vec<String> = numbers.iter().map(|it| format!("key:{it} {it}")).collect();
    client.ask(&format!("MSET {}", pairs.join(" ")), "+OK\r\n");
    let names: Vec<String> = numbers.iter().map(|it| format!("key:{it}")).collect();
    let values: Vec<String> =
        numbers.iter().map(|it| format!("${}\r\n{it}\r\n", it.len())).collect();
    client.ask(&format!("MGET {}", names.join(" ")), &format!("*41\r\n{}", values.concat()));
    client.ask(&format!("DEL {}", names.join(" ")), ":41\r\n");
    client.ask("DBSIZE", ":99960\r\n");
}

#[test]
fn a_client_that_never_reads_holds_up_nobody_and_loses_nothing() {
    let server = Server::start();
    let (mut lazy, mut other) = (server.connect(), server.connect());
    let value = vec![b'x'; 1 << 20];
    other.send_command(&[b"SET", b"k", &value]);
    other.expect(b"+OK\r\n");
    let gets = 64;
    lazy.send(&encode(&[b"GET", b"k"]).repeat(gets));
    let total = &server.shared.stats.counters.commands_total;
    wait_until("all are executed", || total.load(SeqCst) > gets as u64);
    other.ask("PING", "+PONG\r\n");
    for _ in 0..gets {
        lazy.expect(b"$1048576\r\n");
        lazy.expect(&value);
        lazy.expect(b"\r\n");
    }
}

#[test]
fn a_half_closed_client_gets_all_its_replies() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&encode(&[b"PING"]).repeat(2_000));
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect(&b"+PONG\r\n".repeat(2_000));
    client.expect_end();
    wait_until("it is forgotten", || server.clients() == 0);
}

#[test]
fn inline_commands_work_as_typed_by_hand() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"\r\n  set \"a key\" 'a value'\r\nget \"a\\x20key\"\n");
    client.expect(b"+OK\r\n$7\r\na value\r\n");
    client.send(b"QUIT\r\nPING\r\n");
    client.expect(b"+OK\r\n");
    client.expect_end();
}

#[test]
fn a_protocol_error_is_answered_after_what_came_before_and_closes() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"PING\r\n*1\r\n:4\r\n");
    client.expect(b"+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n");
    client.expect_end();
    let mut client = server.connect();
    client.send(b"get \"unbalanced\r\n");
    client.expect(b"-ERR Protocol error: unbalanced quotes in request\r\n");
    client.expect_end();
}

#[test]
fn http_is_cut_off_without_an_answer() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n");
    client.expect_end();
}

#[test]
fn clients_over_maxclients_are_told_and_closed() {
    let server = Server::start_with(1, Clock::system(), |config| config.maxclients = 2);
    let (mut first, mut second) = (server.connect(), server.connect());
    first.ask("PING", "+PONG\r\n");
    second.ask("PING", "+PONG\r\n");
    let mut third = server.connect();
    third.expect(b"-ERR max number of clients reached\r\n");
    third.expect_end();
    drop(first);
    wait_until("a place is free", || server.clients() == 1);
    server.connect().ask("PING", "+PONG\r\n");
    assert_eq!(server.shared.stats.counters.rejected_connections_total.load(SeqCst), 1);
}

#[test]
fn many_connections_over_several_loops_are_served_and_forgotten() {
    let server = Server::start_with(3, Clock::system(), |_| {});
    let mut clients: Vec<Client> = (0..400).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send_command(&[b"INCR", b"n"]);
    }
    for client in &mut clients {
        client.expect_line(":");
    }
    clients[0].ask("GET n", "$3\r\n400\r\n");
    assert_eq!((server.clients(), server.shared.state.lock().clients.len()), (400, 400));
    let loops: std::collections::HashSet<usize> =
        server.shared.state.lock().clients.values().map(|info| info.loop_index).collect();
    assert_eq!(loops.len(), 3, "connections are spread");
    drop(clients);
    wait_until("all are forgotten", || server.clients() == 0);
    assert!(server.shared.state.lock().clients.is_empty());
}

#[test]
fn a_killed_client_is_closed_by_its_owner() {
    let server = Server::start();
    let (mut victim, mut other) = (server.connect(), server.connect());
    victim.ask("PING", "+PONG\r\n");
    let address = victim.stream.local_addr().unwrap();
    other.ask(&format!("CLIENT KILL ADDR {address}"), ":1\r\n");
    victim.expect_end();
    other.ask("PING", "+PONG\r\n");
}

#[test]
fn paused_writes_wait_with_all_that_follows_and_then_run() {
    let server = Server::start();
    let (mut writer, mut reader) = (server.connect(), server.connect());
    writer.ask("SET k old", "+OK\r\n");
    server.shared.state.lock().are_writes_paused = true;
    writer.send(b"ping\r\nset \"k\" 'new'\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nget \"k\"\r\n");
    writer.expect(b"+PONG\r\n");
    let blocked = &server.shared.stats.counters.blocked_clients;
    wait_until("the writer waits", || blocked.load(SeqCst) == 1);
    reader.ask("GET k", "$3\r\nold\r\n");
    server.shared.wake_loops(); // still paused: nothing may change
    server.pass_a_turn();
    writer.expect_nothing();
    server.shared.state.lock().are_writes_paused = false;
    server.shared.wake_loops();
    writer.expect(b"+OK\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
    assert_eq!(blocked.load(SeqCst), 0);
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Server::start_with(1, Clock::driven(1_000_000), |config| config.timeout = 10);
    let mut client = server.connect();
    client.ask("PING", "+PONG\r\n");
    server.shared.clock.drive_to(1_000_000 + 10_000);
    server.pass_a_turn();
    client.ask("PING", "+PONG\r\n");
    server.shared.clock.drive_to(1_000_000 + 30_000);
    client.expect_end();
}

#[test]
fn stopping_sends_what_is_ready_and_closes() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("PING", "+PONG\r\n");
    let address = server.address;
    server.stop();
    client.expect_end();
    let refused = std::net::TcpStream::connect_timeout(&address, PATIENCE);
    assert!(refused.is_err(), "the listener is closed");
}

#[test]
fn error_replies_are_counted_whoever_made_them() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("INCR", "-ERR wrong number of arguments for 'incr' command\r\n");
    client.ask("SETRANGE k -1 x", "-ERR offset is out of range\r\n");
    client.ask("PING", "+PONG\r\n");
    let errors = &server.shared.stats.counters.error_replies_total;
    assert_eq!(errors.load(SeqCst), 2);
    client.send(b"*x\r\n");
    client.expect_line("-ERR Protocol error");
    client.expect_end();
    wait_until("the protocol error is counted", || errors.load(SeqCst) == 3);
}

#[test]
fn time_passes_inside_a_batch() {
    let server = Server::start_with(1, Clock::system(), |config| {
        config.enable_debug_command = Access::Yes;
    });
    let mut client = server.connect();
    let batch: [&[&[u8]]; 3] =
        [&[b"SET", b"k", b"v", b"PX", b"10"], &[b"DEBUG", b"SLEEP", b"0.05"], &[b"GET", b"k"]];
    client.send(&batch.map(encode).concat());
    client.expect(b"+OK\r\n+OK\r\n$-1\r\n");
}
