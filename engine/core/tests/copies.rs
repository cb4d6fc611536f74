//! COPY, RENAME and MOVE: a value of any type in any form goes to another name or database
//! as it is, encoding and time to live included, and what is done to a copy does not reach the
//! original. DEBUG DIGEST-VALUE is the witness. Which keys may be copied, and the replies, are
//! `commands`'s.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use harness::{Client, Engine, set_up};
use perdure_engine::config::Access;

/// A name, what makes it (words with `{}` are repeated with rising numbers), its encoding, and a
/// call that changes it.
const FORMS: [(&str, &str, usize, &str, &str); 15] = [
    ("int", "SET int 12345", 1, "int", "INCR int"),
    ("embstr", "SET embstr text", 1, "embstr", "APPEND embstr more"),
    ("raw", "APPEND raw {}-text", 30, "raw", "SETRANGE raw 2 x"),
    (
        "boxed",
        "APPEND boxed {}-0123456789012345678901234567890123456789",
        99,
        "raw",
        "APPEND boxed x",
    ),
    ("list", "RPUSH list {} e{}", 9, "quicklist", "LSET list 1 x"),
    ("nodes", "RPUSH nodes {} element:{}", 3000, "quicklist", "LREM nodes 1 7"),
    ("intset", "SADD intset {}", 100, "intset", "SREM intset 7"),
    ("members", "SADD members {} m{}", 20, "hashtable", "SADD members x"),
    ("set", "SADD set {} m{}", 1500, "hashtable", "SREM set m7"),
    ("fields", "HSET fields f{} {}", 50, "listpack", "HSET fields f7 x"),
    (
        "long",
        "HSET long f{} {}-0123456789012345678901234567890123456789",
        60,
        "listpack",
        "HDEL long f7",
    ),
    ("hash", "HSET hash f{} v{}", 1500, "hashtable", "HSET hash f7 x"),
    ("scores", "ZADD scores {}.5 m{}", 60, "listpack", "ZADD scores 9 m7"),
    ("zset", "ZADD zset {} m{}", 1500, "skiplist", "ZADD zset 9 m7"),
    ("ends", "ZADD ends inf a{} -inf b{}", 200, "skiplist", "ZREM ends a7"),
];

/// Every form under its name, each second one with a time to live.
fn fill(engine: &Engine, client: &mut Client) {
    engine.shared.state.lock().config.enable_debug_command = Access::Yes;
    for (at, (key, made, count, encoding, _)) in FORMS.into_iter().enumerate() {
        for number in 0..count {
            let reply = client.run(&made.replace("{}", &number.to_string()));
            assert!(!reply.starts_with('-'), "{reply}");
        }
        if at % 2 == 0 {
            client.run(&format!("PEXPIRE {key} {}", 100_000 + at));
        }
        let text = client.run(&format!("OBJECT ENCODING {key}"));
        assert_eq!(text, format!("${} {encoding}", encoding.len()), "{key}");
    }
}

/// All that a client can see of a key: its value, its form, how long it lives.
fn seen(client: &mut Client, db: usize, key: &str) -> [String; 4] {
    client.run(&format!("SELECT {db}"));
    let seen = ["DEBUG DIGEST-VALUE", "OBJECT ENCODING", "PTTL", "TYPE"];
    let seen = seen.map(|command| client.run(&format!("{command} {key}")));
    client.run("SELECT 0");
    seen
}

#[test]
fn a_value_in_any_form_goes_elsewhere_as_it_is() {
    for entries in ["512", "1"] {
        let (engine, mut client) = set_up();
        fill(&engine, &mut client);
        // The thresholds of the moment play no part.
        client.run(&format!("CONFIG SET hash-max-listpack-entries {entries}"));
        client.run(&format!("CONFIG SET set-max-intset-entries {entries}"));
        for (key, ..) in FORMS {
            let before = seen(&mut client, 0, key);
            for (line, reply, db, name) in [
                (format!("COPY {key} copy"), ":1", 0, "copy"),
                (format!("COPY {key} copy"), ":0", 0, "copy"),
                (format!("COPY {key} {key} DB 3"), ":1", 3, key),
                ("SET taken x".to_owned(), "+OK", 0, key),
                (format!("COPY {key} taken REPLACE"), ":1", 0, "taken"),
                ("RENAME taken renamed".to_owned(), "+OK", 0, "renamed"),
                ("MOVE renamed 5".to_owned(), ":1", 5, "renamed"),
                (format!("COPY {key} renamed DB 5 REPLACE"), ":1", 5, "renamed"),
            ] {
                assert_eq!(client.run(&line), reply, "{line}");
                assert_eq!(seen(&mut client, db, name), before, "{key}: {line}");
                assert_eq!(seen(&mut client, 0, key), before, "{key}: {line}");
            }
            for line in ["DEL copy", "SELECT 5", "DEL renamed", "SELECT 0"] {
                client.run(line);
            }
        }
        engine.check();
    }
}

#[test]
fn a_copy_and_its_original_go_ways_of_their_own() {
    let (engine, mut client) = set_up();
    fill(&engine, &mut client);
    for (key, _, _, _, change) in FORMS {
        let before = seen(&mut client, 0, key);
        client.run(&format!("COPY {key} copy"));
        client.run(&format!("COPY {key} {key} DB 3"));
        let reply = client.run(change);
        assert!(!reply.starts_with('-'), "{reply}");
        assert_ne!(seen(&mut client, 0, key), before, "{change}");
        assert_eq!(seen(&mut client, 0, "copy"), before, "{change}");
        client.run(&change.replacen(key, "copy", 1));
        assert_eq!(seen(&mut client, 0, "copy"), seen(&mut client, 0, key), "{change}, of both");
        client.run(&format!("DEL {key}"));
        engine.check();
        assert_eq!(seen(&mut client, 3, key), before, "{key} without its original");
        client.run("DEL copy");
    }
    client.run("SELECT 3");
    let memory = engine.shared.state.lock().keyspace.db(3).memory_bytes();
    FORMS.iter().for_each(|(key, ..)| assert_eq!(client.run(&format!("DEL {key}")), ":1"));
    let left = engine.shared.state.lock().keyspace.db(3).memory_bytes();
    assert!(left < memory / 100, "{left} of {memory} bytes are left without keys");
    engine.check();
}

/// Read from redis-server 7.0.15: whatever the key, with what shows whether it expires.
#[test]
fn the_digest_of_a_value_is_that_of_redis() {
    let (engine, mut client) = set_up();
    fill(&engine, &mut client);
    client.run("FLUSHALL");
    for line in ["RPUSH l a b 3", "SET s 12", "SADD st 1 2", "HSET h a b", "ZADD z 1.5 a"] {
        client.run(line);
    }
    client.run("SET e x PX 9999999");
    let expected = [
        "*7",
        "09eb1fc9381ee92790d59930ab462945f8cd948b",
        "655ac46b180ad2f61a3cee25f0b1780fa2ec879a",
        "5d9842e5bd79f833c83b3535ec4a6836aba6d1fd",
        "e74b6918422998016f954e98a1a8c89a0e1e4a25",
        "4abede9eeefb1bae2bf5394291a39b9e34b5b2b6",
        "0745672cb1bf060476eedeb8a28f5ffe1ff5a2be",
        "0000000000000000000000000000000000000000",
    ]
    .join(" +");
    assert_eq!(client.run("DEBUG DIGEST-VALUE l s st h z e none"), expected);
    assert_eq!(client.run("DEBUG digest-value"), "*0");
}

/// Commands that change a key count as an access to it, as in Redis; those that look at it do not.
#[test]
fn what_changes_a_key_is_an_access() {
    let (engine, mut client) = set_up();
    client.run("SET k 1");
    for (line, idle) in [
        ("TYPE k", ":7"),
        ("EXISTS k", ":14"),
        ("EXPIRE k 1000", ":0"),
        ("TTL k", ":7"),
        ("PERSIST k", ":0"),
        ("OBJECT ENCODING k", ":7"),
        ("SETRANGE k 0 ''", ":0"),
        ("EXPIRE k 1000 LT", ":0"),
    ] {
        engine.drive(7000);
        client.run(line);
        assert_eq!(client.run("OBJECT IDLETIME k"), idle, "{line}");
    }
    engine.drive(7000);
    client.run("RENAME k l");
    assert_eq!(client.run("OBJECT IDLETIME l"), ":0");
    engine.drive(7000);
    client.run("MOVE l 1");
    client.run("SELECT 1");
    assert_eq!(client.run("OBJECT IDLETIME l"), ":0");
}
