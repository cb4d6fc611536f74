//! SORT and SORT_RO: replies, errors and what the log gets, as observed on redis-server 7.0.15.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use std::sync::atomic::Ordering;

use harness::{assert_replies, set_up};

#[test]
fn elements_are_put_in_order_as_redis_does_it() {
    assert_replies(
        "PING",
        &[
            ("SET str x", "+OK"),
            ("RPUSH l 3 10 2 -1 2.5", ":5"),
            ("RPUSH bad 1 a", ":2"),
            ("RPUSH odd '' 1", ":2"),
            ("SADD s c a b", ":3"),
            ("ZADD z 3 x 1 y 2 w", ":3"),
            ("SORT str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("SORT str foo", "-ERR syntax error"),
            ("SORT str LIMIT a b", "-ERR value is not an integer or out of range"),
            ("SORT none", "*0"),
            ("SORT l", "*5 $2 -1 $1 2 $3 2.5 $1 3 $2 10"),
            ("SORT l DESC", "*5 $2 10 $1 3 $3 2.5 $1 2 $2 -1"),
            ("SORT l ALPHA", "*5 $2 -1 $2 10 $1 2 $3 2.5 $1 3"),
            ("SORT l LIMIT 1 2", "*2 $1 2 $3 2.5"),
            ("SORT l LIMIT -1 2", "*2 $2 -1 $1 2"),
            ("SORT l LIMIT 1 -1", "*4 $1 2 $3 2.5 $1 3 $2 10"),
            ("SORT l LIMIT 0 0", "*0"),
            ("SORT l LIMIT 9 1", "*0"),
            ("SORT l LIMIT 1 9223372036854775807", "*4 $1 2 $3 2.5 $1 3 $2 10"),
            ("SORT l LIMIT 1", "-ERR syntax error"),
            ("SORT l LIMIT a 1", "-ERR value is not an integer or out of range"),
            ("SORT l LIMIT 1 a FOO", "-ERR value is not an integer or out of range"),
            ("SORT bad", "-ERR One or more scores can't be converted into double"),
            ("SORT bad STORE str", "-ERR One or more scores can't be converted into double"),
            ("SORT bad ALPHA", "*2 $1 1 $1 a"),
            ("SORT odd", "*2 $0  $1 1"),
            ("SORT s", "-ERR One or more scores can't be converted into double"),
            ("SORT s ALPHA DESC", "*3 $1 c $1 b $1 a"),
            ("SORT z ALPHA", "*3 $1 w $1 x $1 y"),
            ("SORT z", "-ERR One or more scores can't be converted into double"),
            ("SORT z BY nosort", "*3 $1 y $1 w $1 x"),
            ("SORT z BY nosort DESC", "*3 $1 x $1 w $1 y"),
            ("SORT z BY nosort DESC LIMIT 1 1", "*1 $1 w"),
            ("SORT z BY nosort DESC LIMIT 0 2", "*2 $1 x $1 w"),
            ("SORT z BY nosort LIMIT 1 5", "*2 $1 w $1 x"),
            ("SORT z BY nosort LIMIT 7 5", "*0"),
            ("SORT l BY nosort", "*5 $1 3 $2 10 $1 2 $2 -1 $3 2.5"),
            ("SORT l BY nosort DESC", "*5 $3 2.5 $2 -1 $1 2 $2 10 $1 3"),
            ("SORT l BY nosort DESC LIMIT 1 2", "*2 $2 -1 $1 2"),
            ("SORT l BY nosort LIMIT 1 2", "*2 $2 10 $1 2"),
            ("SORT l BY nosort BY w_* LIMIT 0 2", "*2 $1 3 $2 10"),
            ("SORT_RO l STORE d", "-ERR syntax error"),
            ("SORT_RO l LIMIT 0 1", "*1 $2 -1"),
            ("SORT l STORE", "-ERR syntax error"),
            ("SORT l BY", "-ERR syntax error"),
            ("SORT l GET", "-ERR syntax error"),
            ("SORT l ASC DESC ASC", "*5 $2 -1 $1 2 $3 2.5 $1 3 $2 10"),
            ("RPUSH inf inf -inf 1e3 0x10", ":4"),
            ("SORT inf", "*4 $4 -inf $4 0x10 $3 1e3 $3 inf"),
            ("RPUSH nan nan", ":1"),
            ("SORT nan", "-ERR One or more scores can't be converted into double"),
            ("RPUSH ties 1 1.0 01 1", ":4"),
            ("SORT ties", "*4 $2 01 $1 1 $1 1 $3 1.0"),
            ("SORT ties DESC", "*4 $3 1.0 $1 1 $1 1 $2 01"),
            ("RPUSH huge 1e400", ":1"),
            ("SORT huge", "-ERR One or more scores can't be converted into double"),
        ],
    );
}

#[test]
fn patterns_name_what_other_keys_hold() {
    assert_replies(
        "PING",
        &[
            ("RPUSH l 3 10 2 -1 2.5", ":5"),
            ("SADD s c a b", ":3"),
            ("SET w_3 b", "+OK"),
            ("SET w_2 a", "+OK"),
            ("SET w_10 1", "+OK"),
            (
                "SORT l BY nosort GET # GET nostar GET w_*",
                "*15 $1 3 $-1 $1 b $2 10 $-1 $1 1 $1 2 $-1 $1 a $2 -1 $-1 $-1 $3 2.5 $-1 $-1",
            ),
            ("SORT l BY w_* ALPHA", "*5 $2 -1 $3 2.5 $2 10 $1 2 $1 3"),
            ("SORT l BY w_*", "-ERR One or more scores can't be converted into double"),
            ("SORT l BY w_* ALPHA DESC LIMIT 0 2", "*2 $1 3 $1 2"),
            ("HSET h_3 f 30 g x", ":2"),
            ("HSET h_2 f 20", ":1"),
            ("SORT l BY h_*->f", "*5 $2 -1 $2 10 $3 2.5 $1 2 $1 3"),
            (
                "SORT l GET h_*->f GET h_*-> GET h_*->g",
                "*15 $-1 $-1 $-1 $2 20 $-1 $-1 $-1 $-1 $-1 $2 30 $-1 $1 x $-1 $-1 $-1",
            ),
            ("SORT l BY h_*->f GET # DESC", "*5 $1 3 $1 2 $3 2.5 $2 10 $2 -1"),
            ("SORT l GET w_*->f GET h_*", "*10 $-1 $-1 $-1 $-1 $-1 $-1 $-1 $-1 $-1 $-1"),
            ("SORT l BY w*x GET w*x*", "*5 $-1 $-1 $-1 $-1 $-1"),
            ("SET w_->f odd", "+OK"),
            ("SET w_3-> odder", "+OK"),
            ("SORT l GET w_*-> GET w_->*", "*10 $-1 $-1 $-1 $-1 $-1 $-1 $5 odder $-1 $-1 $-1"),
            ("SORT s BY nosort STORE d", ":3"),
            ("LRANGE d 0 -1", "*3 $1 a $1 b $1 c"),
            ("SORT s BY nosort DESC STORE d", ":3"),
            ("LRANGE d 0 -1", "*3 $1 c $1 b $1 a"),
            ("SORT l GET w_* STORE d", ":5"),
            ("LRANGE d 0 -1", "*5 $0  $1 a $0  $1 b $1 1"),
            ("SORT l LIMIT 1 2 STORE l", ":2"),
            ("LRANGE l 0 -1", "*2 $1 2 $3 2.5"),
            ("SORT l STORE d STORE e", ":2"),
            ("EXISTS d e", ":2"),
            ("OBJECT ENCODING e", "$9 quicklist"),
            ("TYPE e", "+list"),
            ("SORT l LIMIT 5 5 STORE e", ":0"),
            ("EXISTS e", ":0"),
            ("SORT none STORE e", ":0"),
            ("COMMAND GETKEYS SORT k BY w_* GET store STORE d", "*2 $1 k $1 d"),
            ("COMMAND GETKEYS SORT k STORE", "*1 $1 k"),
            ("COMMAND GETKEYS SORT k LIMIT 1 STORE", "*1 $1 k"),
            (
                "COMMAND GETKEYSANDFLAGS SORT k STORE a STORE b",
                "*2 *2 $1 k *2 +RO +access *2 $1 b *2 +OW +update",
            ),
            ("COMMAND GETKEYS SORT_RO k BY x_* LIMIT 0 1", "*1 $1 k"),
            ("COMMAND GETKEYS ZUNIONSTORE d 2 a b WEIGHTS 1 2", "*3 $1 d $1 a $1 b"),
            ("COMMAND GETKEYS ZUNIONSTORE d 3 a b", "-ERR Invalid arguments specified for command"),
        ],
    );
}

#[test]
fn what_is_stored_counts_as_so_many_changes_and_is_logged_as_sent() {
    let (engine, mut client) = set_up();
    client.run("RPUSH l 3 1 2");
    client.run("SET w_1 7 EX 10");
    for (line, changes) in [
        ("SORT l STORE d", 3),
        ("SORT l BY w_* GET # GET w_* STORE d", 6),
        ("SORT l", 0),
        ("SORT none STORE d", 1),
        ("SORT none STORE d", 0),
        ("SORT l LIMIT 5 1 STORE d", 0),
    ] {
        let (before, lines) = (engine.dirty(), engine.logged().len());
        client.run(line);
        assert_eq!(engine.dirty() - before, changes, "{line}");
        let logged = &engine.logged()[lines..];
        assert_eq!(logged, if changes > 0 { vec![line] } else { vec![] }.as_slice());
    }
    engine.drive(10_001);
    let lines = engine.logged().len();
    assert_eq!(client.run("SORT l GET w_* STORE d"), ":3");
    let expected = ["MULTI", "DEL w_1", "SORT l GET w_* STORE d", "EXEC"];
    assert_eq!(engine.logged()[lines..], expected);
    assert_eq!(client.run("LRANGE d 0 -1"), "*3 $0  $0  $0");
    engine.shared.state.lock().keyspace.db(0).check_invariants().unwrap();
}

/// What BY names is looked up to the last element, though the first has told that there will be no
/// order: both counts show it, and what has expired is deleted.
#[test]
fn a_weight_that_is_no_number_does_not_end_the_looking_up() {
    let (engine, mut client) = set_up();
    let counts = || {
        let counters = &engine.shared.stats.counters;
        [&counters.keyspace_hits_total, &counters.keyspace_misses_total]
            .map(|count| count.load(Ordering::Relaxed))
    };
    client.run("RPUSH l 1 2 3");
    client.run("SET w_1 x");
    client.run("SET w_2 2");
    client.run("SET w_3 3 PX 100");
    engine.drive(101);
    let ([hits, misses], lines) = (counts(), engine.logged().len());
    let reply = client.run("SORT_RO l BY w_*");
    assert_eq!(reply, "-ERR One or more scores can't be converted into double");
    assert_eq!(counts(), [hits + 3, misses + 1]);
    assert_eq!(engine.logged()[lines..], ["DEL w_3"]);
}

/// A few words can ask for a terabyte of nulls, or of one value.
#[test]
fn an_answer_ends_at_the_bound_of_the_output() {
    let (_engine, mut client) = set_up();
    client.reply.bytes_max = 10_000;
    client.run("SADD s a b c d");
    for pattern in ["#", "none*", "-"] {
        let many = format!("SORT s ALPHA{}", format!(" GET {pattern}").repeat(50_000));
        let words: Vec<Vec<u8>> = many.split(' ').map(|word| word.into()).collect();
        let reply = client.call(&words).1;
        assert!(client.reply.is_overfull() && reply.len() < 10_100, "{} bytes", reply.len());
        client.reply.drop_overfull();
    }
}
