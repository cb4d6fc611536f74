//! List commands: replies as a real server gave them (`replies.txt`), its DEBUG DIGEST of long
//! lists, what the log and those who watch get, and how long lists are kept. Random calls against
//! a real server are `compat_redis`'s.

#![allow(clippy::unwrap_used)] // a test may fail so

#[path = "../harness/mod.rs"]
mod harness;

use harness::{Client, assert_changes, set_up};

fn call(client: &mut Client, words: &[&[u8]]) -> String {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
    String::from_utf8_lossy(&client.call(&words).1).trim_end().to_owned()
}

#[test]
fn every_reply_is_the_real_servers() {
    let (_engine, mut client) = set_up();
    for line in include_str!("replies.txt").lines().filter(|line| !line.starts_with('#')) {
        let (sent, expected) = line.split_once(" => ").unwrap();
        assert_eq!(client.run(sent), expected, "{sent}");
    }
}

#[test]
fn nothing_is_one_null_in_the_newer_protocol() {
    let (_engine, mut client) = set_up();
    client.run("HELLO 3");
    client.run("RPUSH l a");
    for line in [
        "LINDEX l 9",
        "LPOP nokey",
        "LPOP nokey 1",
        "LPOS l nomatch",
        "LMOVE nokey l left left",
        "RPOPLPUSH nokey l",
        "LMPOP 1 nokey LEFT",
    ] {
        assert_eq!(client.run(line), "_", "{line}");
    }
}

/// The digests were read from redis-server 7.0.15 after the same calls.
#[test]
fn digest_of_lists_is_the_real_servers() {
    let (engine, mut client) = set_up();
    let x = [b'x'; 100];
    call(&mut client, &[b"RPUSH", b"l", b"a", b"", b"12345678901234567890", b"-7", &x]);
    assert_eq!(engine.digest(), "b077a71d4e86b97a6c495a5e11fa5dda5770c9f4");
    for value in 0..3000 {
        let name = if value % 3 == 0 { "RPUSH" } else { "LPUSH" };
        client.run(&format!("{name} big element:{value:06}"));
    }
    call(&mut client, &[b"LPUSH", b"big", &[b'y'; 20_000]]);
    assert_eq!(engine.digest(), "f1af9bbff7d5821d4935d34f106d54a4bcb31ced");
    client.run("LTRIM big 100 -200");
    client.run("LREM big 0 element:000500");
    call(&mut client, &[b"LINSERT", b"big", b"BEFORE", b"element:001000", &[b'z'; 9000]]);
    client.run("LSET big 1234 ''");
    assert_eq!(engine.digest(), "0cd6033fdef69d5b377e1beb264c2772b3fee625");
    assert_eq!(client.run("LLEN big"), ":2702");
}

#[test]
fn the_log_holds_what_was_popped_and_what_was_sent() {
    let (engine, mut client) = set_up();
    for line in [
        "RPUSH l a b c d e f",
        "LMPOP 2 nokey l RIGHT COUNT 2",
        "LMPOP 1 l LEFT",
        "LMOVE l m LEFT RIGHT",
        "RPOPLPUSH m l",
        "LPOP l 99",
        "LPOP l",
        "LREM l 0 a",
        "LPUSHX l a",
        "LTRIM l 0 1",
    ] {
        client.run(line);
    }
    let expected = [
        "SELECT 0",
        "RPUSH l a b c d e f",
        "RPOP l 2",
        "LPOP l 1",
        "LMOVE l m LEFT RIGHT",
        "RPOPLPUSH m l",
        "LPOP l 99",
    ];
    assert_eq!(engine.logged(), expected);
}

/// Changes as `rdb_changes_since_last_save` counts them, observed at a real server.
#[test]
fn changes_are_counted_as_the_real_server_counts_them() {
    assert_changes(&[
        ("RPUSH l a b c d e f g h", 8),
        ("LPOP l", 1),
        ("LPOP l 0", 0),
        ("RPOP l 2", 2),
        ("LSET l 0 b", 1),
        ("LINSERT l BEFORE c x", 1),
        ("LINSERT l BEFORE nopivot x", 0),
        ("LREM l 0 x", 1),
        ("LMOVE l l LEFT LEFT", 1),
        ("LMOVE l m LEFT LEFT", 1),
        ("RPOPLPUSH l m", 1),
        ("LTRIM l 0 -1", 0),
        ("LTRIM l 1 -2", 2),
        ("LMPOP 1 l LEFT COUNT 9", 1),
        ("LPUSHX l a", 0),
    ]);
}

#[test]
fn watch_notices_a_trim_that_left_the_list_as_it_was() {
    for (line, expected) in [("LTRIM l 0 -1", "*-1"), ("LREM l 0 nothing", "*1 +PONG")] {
        let (engine, mut client) = set_up();
        let mut other = engine.client(2);
        client.run("RPUSH l a b");
        client.run("WATCH l");
        other.run(line);
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC"), expected, "{line}");
    }
}

/// Goal: a list keeps its elements, its expiry and an exact memory figure through every form it
/// takes, and leaves nothing behind. Method: grow past the entry and past several nodes, copy,
/// rename, move, shrink to nothing.
#[test]
fn list_outgrows_its_entry_and_leaves_nothing_behind() {
    let (engine, mut client) = set_up();
    let memory = || engine.shared.state.lock().keyspace.memory_bytes();
    let at_first = memory();
    client.run("RPUSH l element:0");
    client.run("PEXPIRE l 100000");
    for value in 1..5000 {
        client.run(&format!("RPUSH l element:{value}"));
    }
    assert_eq!(client.run("OBJECT ENCODING l"), "$9 quicklist");
    assert_eq!(client.run("LRANGE l 4998 -1"), "*2 $12 element:4998 $12 element:4999");
    assert_eq!(client.run("PTTL l"), ":100000");
    let held = memory() - at_first;
    assert!((60_000..100_000).contains(&held), "{held} bytes for 5000 elements");
    client.run("COPY l copy");
    client.run("RENAME l renamed");
    client.run("LSET copy 0 changed");
    client.run("MOVE copy 1");
    assert_eq!(client.run("LINDEX renamed 0"), "$9 element:0");
    assert_eq!(client.run("LLEN renamed"), ":5000");
    assert!(memory() - at_first > held + 60_000, "the copy has memory of its own");
    client.run("LTRIM renamed 1 0");
    client.run("SELECT 1");
    assert_eq!(client.run("LINDEX copy 0"), "$7 changed");
    engine.digest();
    while client.run("LPOP copy 999") != "*-1" {}
    assert_eq!(memory(), at_first);
}

#[test]
fn node_size_follows_its_directive() {
    let (engine, mut client) = set_up();
    for (setting, elements) in [("3", 5), ("-1", 300)] {
        client.run(&format!("CONFIG SET list-max-listpack-size {setting}"));
        for value in 0..elements {
            client.run(&format!("RPUSH l {value} {}", "x".repeat(20)));
        }
        engine.digest();
        assert_eq!(client.run("LLEN l"), format!(":{}", elements * 2));
        client.run("DEL l");
    }
}
