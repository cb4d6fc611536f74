//! Hash commands: replies, errors and what the log gets, as observed on redis-server 7.0.15, in every
//! form that a hash can have.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use std::collections::{HashMap, HashSet};

use harness::{Client, Random, set_up, strings};

/// Both forms: as it is, and past the thresholds from the first field on.
fn in_both_forms(check: impl Fn(&mut Client, &str)) {
    for (entries, encoding) in [("512", "listpack"), ("0", "hashtable")] {
        let (_engine, mut client) = set_up();
        client.run(&format!("CONFIG SET hash-max-listpack-entries {entries}"));
        check(&mut client, encoding);
    }
}

fn assert_replies_of(client: &mut Client, cases: &[(&str, &str)], encoding: &str) {
    for (line, reply) in cases {
        let reply = reply.replace("$8 listpack", &format!("${} {encoding}", encoding.len()));
        assert_eq!(client.run(line), reply, "{line} of a {encoding}");
    }
}

#[test]
fn fields_are_set_read_and_removed_as_redis_does_it() {
    let cases = [
        ("SET str x", "+OK"),
        ("HSET h a", "-ERR wrong number of arguments for 'hset' command"),
        ("HSET str a 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command"),
        ("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command"),
        ("HMSET h a 1 b 2", "+OK"),
        ("HSET h a 2 c 3 c 4", ":1"),
        ("HGET h c", "$1 4"),
        ("HGET h none", "$-1"),
        ("HGET none a", "$-1"),
        ("HGET str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HMGET h a nope c", "*3 $1 2 $-1 $1 4"),
        ("HMGET none a b", "*2 $-1 $-1"),
        ("HMGET str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HSETNX h a 1", ":0"),
        ("HSETNX h d 1", ":1"),
        ("HSETNX str a 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HGETALL none", "*0"),
        ("HGETALL str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HKEYS none", "*0"),
        ("HVALS none", "*0"),
        ("HLEN h", ":4"),
        ("HLEN none", ":0"),
        ("HLEN str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HSTRLEN h a", ":1"),
        ("HSTRLEN h nope", ":0"),
        ("HSTRLEN none x", ":0"),
        ("HSTRLEN str x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HEXISTS h a", ":1"),
        ("HEXISTS h nope", ":0"),
        ("HEXISTS none a", ":0"),
        ("HEXISTS str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HDEL h nope nope2", ":0"),
        ("HDEL none a", ":0"),
        ("HDEL str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HDEL h a a b c", ":3"),
        ("HDEL h d", ":1"),
        ("EXISTS h", ":0"),
        ("HSET h '' ''", ":1"),
        ("HGETALL h", "*2 $0  $0"),
        ("HSTRLEN h ''", ":0"),
        ("OBJECT ENCODING h", "$8 listpack"),
        ("TYPE h", "+hash"),
    ];
    in_both_forms(|client, encoding| {
        assert_replies_of(client, &cases, encoding);
    });
}

#[test]
fn fields_are_numbers_where_redis_says_so() {
    let cases = [
        ("SET str x", "+OK"),
        ("HINCRBY h n 5", ":5"),
        ("HINCRBY h n -7", ":-2"),
        ("HSET h t text i inf big 12345678901234567890 m 9223372036854775807 z 007 s 3.50", ":6"),
        ("HINCRBY h big 1", "-ERR hash value is not an integer"),
        ("HINCRBY h t 1", "-ERR hash value is not an integer"),
        ("HINCRBY h z 1", "-ERR hash value is not an integer"),
        ("HINCRBY h m 1", "-ERR increment or decrement would overflow"),
        ("HINCRBY h m -1", ":9223372036854775806"),
        ("HINCRBY h n x", "-ERR value is not an integer or out of range"),
        ("HINCRBY str n x", "-ERR value is not an integer or out of range"),
        ("HINCRBY str n 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HINCRBYFLOAT h s 1.25", "$4 4.75"),
        ("HINCRBYFLOAT h s -4.75", "$1 0"),
        ("HINCRBYFLOAT h z 1", "$1 8"),
        ("HINCRBYFLOAT h new 3.0e3", "$4 3000"),
        ("HINCRBYFLOAT h big 1", "$20 12345678901234567891"),
        ("HINCRBYFLOAT h t 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h i 1", "-ERR increment would produce NaN or Infinity"),
        ("HINCRBYFLOAT h s inf", "-ERR value is NaN or Infinity"),
        ("HINCRBYFLOAT h s nan", "-ERR value is not a valid float"),
        ("HINCRBYFLOAT h s x", "-ERR value is not a valid float"),
        ("HINCRBYFLOAT str s x", "-ERR value is not a valid float"),
        (
            "HINCRBYFLOAT str s 1",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("HINCRBYFLOAT none s x", "-ERR value is not a valid float"),
        ("EXISTS none", ":0"),
    ];
    in_both_forms(|client, encoding| {
        assert_replies_of(client, &cases, encoding);
    });
}

#[test]
fn random_fields_and_scans_are_framed_as_in_redis() {
    let cases = [
        ("HSET h f 3000", ":1"),
        ("HRANDFIELD none", "$-1"),
        ("HRANDFIELD none 3", "*0"),
        ("HRANDFIELD none x", "-ERR value is not an integer or out of range"),
        ("HRANDFIELD none 3 WITHVALUES", "*0"),
        ("HRANDFIELD none 3 WITHVALUE", "-ERR syntax error"),
        ("HRANDFIELD none 3 WITHVALUES x", "-ERR syntax error"),
        (
            "HRANDFIELD none -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("HRANDFIELD none -9223372036854775807 WITHVALUES", "-ERR value is out of range"),
        ("HRANDFIELD none 9223372036854775807", "*0"),
        ("HRANDFIELD h 0", "*0"),
        ("HRANDFIELD h", "$1 f"),
        ("HRANDFIELD h 1", "*1 $1 f"),
        ("HRANDFIELD h 2 WITHVALUES", "*2 $1 f $4 3000"),
        ("HRANDFIELD h -2 withvalues", "*4 $1 f $4 3000 $1 f $4 3000"),
        ("HRANDFIELD h -2", "*2 $1 f $1 f"),
        ("HSCAN h 0", "*2 $1 0 *2 $1 f $4 3000"),
        ("HSCAN h 5 match f* count 1", "*2 $1 0 *2 $1 f $4 3000"),
        ("HSCAN h 0 match g*", "*2 $1 0 *0"),
        ("HSCAN none 0", "*2 $1 0 *0"),
        ("HSCAN none x", "-ERR invalid cursor"),
        ("HSCAN none 0 foo", "*2 $1 0 *0"),
        ("HSCAN h 0 foo", "-ERR syntax error"),
        ("HSCAN h 0 type hash", "-ERR syntax error"),
        ("HSCAN h 0 count 0", "-ERR syntax error"),
        ("HSCAN h 0 count x", "-ERR value is not an integer or out of range"),
        ("HSCAN h 0 match", "-ERR syntax error"),
    ];
    in_both_forms(|client, encoding| {
        assert_replies_of(client, &cases, encoding);
    });
}

#[test]
fn maps_and_pairs_have_the_shapes_of_resp3() {
    let cases = [
        ("HSET h f 3000", ":1"),
        ("HGETALL h", "%1 $1 f $4 3000"),
        ("HGETALL none", "%0"),
        ("HKEYS h", "*1 $1 f"),
        ("HKEYS none", "*0"),
        ("HVALS h", "*1 $4 3000"),
        ("HMGET h f x", "*2 $4 3000 _"),
        ("HGET h x", "_"),
        ("HRANDFIELD none", "_"),
        ("HRANDFIELD none 3", "*0"),
        ("HRANDFIELD none 3 WITHVALUES", "*0"),
        ("HRANDFIELD h 2 WITHVALUES", "*1 *2 $1 f $4 3000"),
        ("HRANDFIELD h -2 WITHVALUES", "*2 *2 $1 f $4 3000 *2 $1 f $4 3000"),
        ("HRANDFIELD h -2", "*2 $1 f $1 f"),
        ("HSCAN h 0", "*2 $1 0 *2 $1 f $4 3000"),
        ("HSCAN none 0", "*2 $1 0 *0"),
        ("HINCRBYFLOAT h f 1.5", "$6 3001.5"),
    ];
    in_both_forms(|client, encoding| {
        client.run("HELLO 3");
        assert_replies_of(client, &cases, encoding);
    });
}

#[test]
fn the_log_holds_results_and_nothing_that_changed_nothing() {
    let (engine, mut client) = set_up();
    for (line, changes, logged) in [
        ("HSET h a 1 b 2", 2, "HSET h a 1 b 2"),
        ("HSET h a 1", 1, "HSET h a 1"),
        ("HSETNX h a 1", 0, ""),
        ("HSETNX h z 1", 1, "HSETNX h z 1"),
        ("HMSET h a 1 c 3", 2, "HMSET h a 1 c 3"),
        ("HINCRBY h a 0", 1, "HINCRBY h a 0"),
        ("HINCRBYFLOAT h a 0.50", 1, "HSET h a 1.5"),
        ("HINCRBY h a 1", 0, ""),
        ("HDEL h a b c nope", 3, "HDEL h a b c nope"),
        ("HDEL h nope", 0, ""),
        ("HDEL h z", 1, "HDEL h z"),
        ("HGETALL h", 0, ""),
    ] {
        let (before, lines) = (engine.dirty(), engine.logged().len());
        client.run(line);
        assert_eq!(engine.dirty() - before, changes, "{line}");
        let new: Vec<String> = engine.logged().split_off(lines);
        assert_eq!(
            new.iter().filter(|it| !it.starts_with("SELECT")).any(|it| it == logged),
            !logged.is_empty(),
            "{line}: {new:?}"
        );
    }
}

#[test]
fn random_fields_are_different_and_have_their_values() {
    let mut random = Random::from_environment("hrandfield");
    for _ in 0..40 {
        let (_engine, mut client) = set_up();
        let most = *random.pick(&[60, 60, 3000]);
        let size = 1 + random.below(most);
        (0..size).for_each(|at| {
            client.run(&format!("HSET h field:{at} {at}"));
        });
        for _ in 0..10 {
            let count = 1 + random.below(size + size / 2 + 2);
            let different = strings(&client.run(&format!("HRANDFIELD h {count} WITHVALUES")));
            let pairs: HashMap<&String, &String> =
                different.chunks(2).map(|pair| (&pair[0], &pair[1])).collect();
            assert_eq!((different.len() / 2, pairs.len()), (count.min(size), count.min(size)));
            assert!(pairs.iter().all(|(field, value)| **field == format!("field:{value}")));
            let repeated = strings(&client.run(&format!("HRANDFIELD h -{count}")));
            assert_eq!(repeated.len(), count);
        }
    }
}

#[test]
fn every_field_is_picked_about_as_often_as_any_other() {
    const FIELDS: usize = 100;
    const DRAWS: usize = 40_000;
    in_both_forms(|client, encoding| {
        (0..FIELDS).for_each(|at| {
            client.run(&format!("HSET h {at} v"));
        });
        for one_call in [
            format!("HRANDFIELD h -{DRAWS}"),
            "HRANDFIELD h 5".to_owned(),
            "HRANDFIELD h 60".to_owned(),
        ] {
            let mut counts: HashMap<String, usize> = HashMap::new();
            let mut drawn = 0;
            while drawn < DRAWS {
                let fields = strings(&client.run(&one_call));
                drawn += fields.len();
                fields.into_iter().for_each(|field| *counts.entry(field).or_default() += 1);
            }
            // 400 each; the deviation is 20 or less, and six of it is not chance.
            let mean = drawn / FIELDS;
            assert_eq!(counts.len(), FIELDS);
            assert!(
                counts.values().all(|count| count.abs_diff(mean) < 120),
                "{one_call} {encoding}"
            );
        }
    });
}

#[test]
fn hscan_meets_every_field_that_stays_while_others_come_and_go() {
    let (_engine, mut client) = set_up();
    (0..3000).for_each(|at| {
        client.run(&format!("HSET h stays:{at} {at}"));
    });
    let (mut cursor, mut met, mut calls) = ("0".to_owned(), HashSet::new(), 0);
    loop {
        let reply = client.run(&format!("HSCAN h {cursor} COUNT 20 MATCH stays:*"));
        let mut words = strings(&reply);
        cursor = words.remove(0);
        met.extend(words.chunks(2).map(|pair| {
            assert_eq!(pair[0], format!("stays:{}", pair[1]));
            pair[0].clone()
        }));
        calls += 1;
        for at in 0..40 {
            client.run(&format!("HSET h comes:{calls}:{at} v"));
            client.run(&format!("HDEL h comes:{}:{at}", calls - 1));
        }
        if cursor == "0" {
            break;
        }
        assert!(cursor.parse::<u64>().unwrap() < 1 << 48);
    }
    assert!(calls > 10, "{calls} calls: the answer was not one piece");
    assert_eq!(met.len(), 3000);
}
