//! Sorted-set commands: replies as a real server gave them (`replies.txt`), the same ones again
//! from large sets, what the log and those who watch get, chance and walks. Random calls against a
//! real server are `compat_redis`'s.

#![allow(clippy::unwrap_used)] // a test may fail so

#[path = "../harness/mod.rs"]
mod harness;

use std::collections::BTreeSet;

use harness::{assert_changes, set_up, strings};

fn replies() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("replies.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").unwrap())
}

#[test]
fn every_reply_is_the_real_servers() {
    let (engine, mut client) = set_up();
    for (sent, expected) in replies() {
        let reply = client.run(sent);
        if expected != "*" {
            assert_eq!(reply, expected, "{sent}");
        }
    }
    engine.check();
}

/// A walk through a large set has an order of its own, which is the only difference, but for two
/// scores of zset `f`: -0 keeps its sign, and 1e17 is not written out.
#[test]
fn large_sets_answer_as_packed_ones() {
    let (engine, mut client) = set_up();
    client.run("CONFIG SET zset-max-listpack-entries 0");
    for (sent, expected) in replies() {
        let reply = client.run(sent);
        let is_walk = sent.starts_with("ZSCAN") && expected.starts_with("*2 $1 0 *");
        if sent.contains(" f ") {
            let expected = expected.replace("$1 d $1 0", "$1 d $2 -0").replace("d ,0", "d ,-0");
            let shown = expected.replace("$18 100000000000000000", "$5 1e+17");
            let sorted = |reply: &str| strings(reply).into_iter().collect();
            let (one, other): (BTreeSet<String>, BTreeSet<String>) =
                (sorted(&reply), sorted(&shown));
            assert_eq!(one, other, "{sent}");
        } else if is_walk {
            let sorted =
                |reply| BTreeSet::from_iter(strings(reply)[1..].chunks(2).map(<[_]>::to_vec));
            if !sent.contains(" 5 ") {
                assert_eq!(sorted(&reply), sorted(expected), "{sent}");
            }
        } else if expected != "*" {
            assert_eq!(reply, expected, "{sent}");
        }
    }
    engine.check();
}

#[test]
fn names_of_encodings_are_those_of_redis() {
    let (engine, mut client) = set_up();
    client.run("ZADD z 1 a");
    assert_eq!(client.run("OBJECT ENCODING z"), "$8 listpack");
    let long = "x".repeat(65);
    client.run(&format!("ZADD z 1 {long}"));
    assert_eq!(client.run("OBJECT ENCODING z"), "$8 skiplist");
    client.run(&format!("ZREM z {long}"));
    assert_eq!(client.run("OBJECT ENCODING z"), "$8 skiplist");
    client.run("ZUNIONSTORE to 1 z");
    assert_eq!(client.run("OBJECT ENCODING to"), "$8 listpack");
    for number in 0..129 {
        client.run(&format!("ZADD n {number} {number}"));
        let name = if number < 128 { "$8 listpack" } else { "$8 skiplist" };
        assert_eq!(client.run("OBJECT ENCODING n"), name, "{number}");
    }
    client.run("ZRANGESTORE to n 0 127");
    assert_eq!(client.run("OBJECT ENCODING to"), "$8 listpack");
    client.run("ZRANGESTORE to n 0 -1");
    assert_eq!(client.run("OBJECT ENCODING to"), "$8 skiplist");
    client.run("ZINTERSTORE to 2 n z");
    client.run("ZDIFFSTORE to 2 n z");
    assert_eq!(client.run("OBJECT ENCODING to"), "$8 skiplist");
    engine.check();
}

/// As the append-only file of a real server has them.
#[test]
fn the_log_holds_what_was_sent_or_what_was_popped() {
    let (engine, mut client) = set_up();
    for line in [
        "ZADD z 1 a 2 b 3 c 4 d 5 e",
        "ZADD z INCR 1 a",
        "ZINCRBY z 2 a",
        "ZADD z NX INCR 1 a",
        "ZADD z 4 a",
        "ZPOPMIN z 0",
        "ZPOPMIN z",
        "ZMPOP 2 nokey z MAX COUNT 2",
        "ZMPOP 1 nokey MIN",
        "ZUNIONSTORE d 2 z z",
        "ZRANGESTORE e z 0 -1",
        "ZRANGESTORE e z 5 6",
        "ZRANGESTORE e z 5 6",
        "ZREM z nosuch",
        "ZREMRANGEBYRANK z 5 6",
        "ZREMRANGEBYRANK z 0 0",
        "ZMPOP 1 z MIN COUNT 100",
        "ZADD nokey XX 1 a",
        "ZRANGE d 0 -1",
    ] {
        client.run(line);
    }
    let expected = [
        "SELECT 0",
        "ZADD z 1 a 2 b 3 c 4 d 5 e",
        "ZADD z INCR 1 a",
        "ZINCRBY z 2 a",
        "ZPOPMIN z",
        "ZPOPMAX z 2",
        "ZUNIONSTORE d 2 z z",
        "ZRANGESTORE e z 0 -1",
        "ZRANGESTORE e z 5 6",
        "ZREMRANGEBYRANK z 0 0",
        "ZPOPMIN z 1",
    ];
    assert_eq!(engine.logged(), expected);
}

#[test]
fn changes_are_counted_as_redis_counts_them() {
    assert_changes(&[
        ("ZADD z 1 a 2 b 3 c 4 d", 4),
        ("ZADD z 1 a 3 b 5 e", 2),
        ("ZINCRBY z 1 a", 1),
        ("ZINCRBY z 0 a", 0),
        ("ZREM z a nosuch", 1),
        ("ZREMRANGEBYSCORE z 3 4", 3),
        ("ZADD z 1 a 2 b 3 c", 3),
        ("ZPOPMIN z 2", 2),
        ("ZMPOP 1 z MAX COUNT 5", 2),
        ("ZADD z 1 a", 1),
        ("ZUNIONSTORE d 1 z", 1),
        ("ZINTERSTORE d 2 z nokey", 1),
        ("ZINTERSTORE d 2 z nokey", 0),
    ]);
}

#[test]
fn watch_notices_a_changed_score_and_a_stored_result() {
    for change in ["ZADD z 2 a", "ZPOPMIN z", "ZUNIONSTORE z 1 other", "ZREMRANGEBYRANK z 0 0"] {
        let (engine, mut client) = set_up();
        let mut other = engine.client(2);
        client.run("ZADD z 1 a");
        client.run("WATCH z");
        other.run("ZADD z 1 a");
        other.run(change);
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC"), "*-1", "{change}");
    }
}

#[test]
fn a_stored_result_replaces_any_value_and_its_expiry() {
    let (_engine, mut client) = set_up();
    client.run("ZADD z 1 a");
    client.run("SET to text EX 100");
    assert_eq!(client.run("ZRANGESTORE to z 0 -1"), ":1");
    assert_eq!(client.run("TTL to"), ":-1");
    assert_eq!(client.run("TYPE to"), "+zset");
    client.run("EXPIRE z 100");
    assert_eq!(client.run("ZUNIONSTORE z 2 z z"), ":1");
    assert_eq!(client.run("TTL z"), ":-1");
    assert_eq!(client.run("ZSCORE z a"), "$1 2");
}

#[test]
fn elements_at_random_are_elements_and_differ_when_they_should() {
    let (_engine, mut client) = set_up();
    for len in [20, 3000] {
        (0..len).for_each(|number| {
            client.run(&format!("ZADD z{len} {number} m{number}"));
        });
        for count in [1, 2, len / 9, len / 2, len - 1, len, len + 5] {
            let reply = client.run(&format!("ZRANDMEMBER z{len} {count} WITHSCORES"));
            let pairs: BTreeSet<Vec<String>> =
                strings(&reply).chunks(2).map(<[_]>::to_vec).collect();
            assert_eq!(pairs.len(), count.min(len), "{count} of {len}");
            assert!(pairs.iter().all(|pair| pair[0] == format!("m{}", pair[1])));
            let reply = client.run(&format!("ZRANDMEMBER z{len} -{count}"));
            assert_eq!(strings(&reply).len(), count);
        }
        let mut seen = BTreeSet::new();
        for _ in 0..len * 20 {
            seen.insert(client.run(&format!("ZRANDMEMBER z{len}")));
        }
        assert_eq!(seen.len(), len, "every element comes up");
    }
}

#[test]
fn a_walk_sees_every_element_of_a_large_set_that_changes_meanwhile() {
    let (engine, mut client) = set_up();
    const LEN: usize = 3000;
    (0..LEN).for_each(|number| {
        client.run(&format!("ZADD z {number} m{number}"));
    });
    let (mut cursor, mut seen, mut turn) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let reply = client.run(&format!("ZSCAN z {cursor} COUNT 50"));
        let found = strings(&reply);
        seen.extend(found[1..].iter().step_by(2).cloned());
        cursor = found[0].to_owned();
        turn += 1;
        client.run(&format!("ZADD z {turn} other{turn}"));
        client.run(&format!("ZADD z {turn}.5 m{turn}"));
        if cursor == "0" {
            break;
        }
    }
    assert!((0..LEN).all(|number| seen.contains(&format!("m{number}"))));
    engine.check();
}

#[test]
fn the_digest_does_not_depend_on_the_form() {
    let digests: BTreeSet<String> = [0, 128]
        .map(|entries| {
            let (engine, mut client) = set_up();
            client.run(&format!("CONFIG SET zset-max-listpack-entries {entries}"));
            (0..100).for_each(|number| {
                client.run(&format!("ZADD z {}.25 m{number}", number % 7));
            });
            (0..50).for_each(|number| {
                client.run(&format!("ZREM z m{}", number * 2));
            });
            engine.digest()
        })
        .into();
    assert_eq!(digests.len(), 1);
}

/// What is less work is done: members looked up in the others, or the others' taken out of a copy.
#[test]
fn a_difference_is_the_same_whichever_input_is_large() {
    let (engine, mut client) = set_up();
    for (key, members, step) in [("all", 400, 1), ("even", 400, 2), ("few", 3, 1)] {
        (0..members).step_by(step).for_each(|at| {
            client.run(&format!("ZADD {key} {at} m{at}"));
        });
    }
    client.run("SADD set m1 m2 m399 other");
    for (inputs, expected) in [
        ("2 all even", 200),
        ("2 even all", 0),
        ("5 all few few set even", 198),
        ("9 all few few few few few few set none", 396),
        ("2 few all", 0),
        ("2 few set", 1),
        ("2 all all", 0),
        ("2 none all", 0),
    ] {
        assert_eq!(client.run(&format!("ZDIFFSTORE d {inputs}")), format!(":{expected}"));
        let stored = strings(&client.run("ZRANGE d 0 -1 WITHSCORES"));
        assert_eq!(strings(&client.run(&format!("ZDIFF {inputs} WITHSCORES"))), stored);
        assert!(stored.chunks(2).all(|pair| pair[0] == format!("m{}", pair[1])), "{inputs}");
    }
    engine.check();
}
