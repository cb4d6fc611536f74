//! Set commands: replies, errors and what the log gets, as observed on redis-server 7.0.15, in every
//! form that a set can have.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use harness::{Client, Engine};

fn set_up() -> (Engine, Client) {
    let engine = Engine::driven();
    let client = engine.client(1);
    (engine, client)
}

fn assert_replies(cases: &[(&str, &str)], first: &str) {
    let (_engine, mut client) = set_up();
    client.run(first);
    for (line, reply) in cases {
        assert_eq!(client.run(line), *reply, "{line}");
    }
}

#[test]
fn members_are_added_removed_and_moved_as_redis_does_it() {
    let cases = [
        ("SET str x", "+OK"),
        ("SADD s 1 2 3 a", ":4"),
        ("SADD str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SADD s 1 b b", ":1"),
        ("SREM s b nope", ":1"),
        ("SREM none a", ":0"),
        ("SREM str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SISMEMBER s a", ":1"),
        ("SISMEMBER s b", ":0"),
        ("SISMEMBER none a", ":0"),
        ("SISMEMBER str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SMISMEMBER s a b 1", "*3 :1 :0 :1"),
        ("SMISMEMBER none a b", "*2 :0 :0"),
        ("SMISMEMBER str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SCARD s", ":4"),
        ("SCARD none", ":0"),
        ("SCARD str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SMEMBERS none", "*0"),
        ("SMEMBERS str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SADD ints 3 -70000 1 1", ":3"),
        ("SMEMBERS ints", "*3 $6 -70000 $1 1 $1 3"),
        ("OBJECT ENCODING ints", "$6 intset"),
        ("SADD ints 01", ":1"),
        ("OBJECT ENCODING ints", "$9 hashtable"),
        ("SREM ints 01", ":1"),
        ("OBJECT ENCODING ints", "$9 hashtable"),
        ("SREM ints 1 3 -70000", ":3"),
        ("EXISTS ints", ":0"),
        ("SADD e ''", ":1"),
        ("SMEMBERS e", "*1 $0"),
        ("TYPE e", "+set"),
        ("SMOVE none s a", ":0"),
        ("SMOVE none str a", ":0"),
        ("SMOVE str s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SMOVE s str a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SMOVE s str nope", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SMOVE s s a", ":1"),
        ("SMOVE s s nope", ":0"),
        ("SMOVE s d nope", ":0"),
        ("EXISTS d", ":0"),
        ("SMOVE s d 1", ":1"),
        ("OBJECT ENCODING d", "$6 intset"),
        ("SMOVE s d a", ":1"),
        ("OBJECT ENCODING d", "$9 hashtable"),
        ("SADD s a", ":1"),
        ("SMOVE s d a", ":1"),
        ("SMOVE d s 1", ":1"),
        ("SMOVE d s a", ":1"),
        ("EXISTS d", ":0"),
    ];
    assert_replies(&cases, "PING");
}

#[test]
fn random_members_and_scans_are_framed_as_in_redis() {
    let cases = [
        ("SET str x", "+OK"),
        ("SADD one 1", ":1"),
        ("SPOP none", "$-1"),
        ("SPOP none 3", "*0"),
        ("SPOP none -1", "-ERR value is out of range, must be positive"),
        ("SPOP none x", "-ERR value is out of range, must be positive"),
        ("SPOP none 1 2", "-ERR syntax error"),
        ("SPOP str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SPOP str 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SPOP str -1", "-ERR value is out of range, must be positive"),
        ("SPOP one 0", "*0"),
        ("SPOP none 9223372036854775808", "-ERR value is out of range, must be positive"),
        ("SRANDMEMBER none", "$-1"),
        ("SRANDMEMBER none 3", "*0"),
        ("SRANDMEMBER none x", "-ERR value is not an integer or out of range"),
        ("SRANDMEMBER none 3 4", "-ERR syntax error"),
        ("SRANDMEMBER str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SRANDMEMBER str 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        (
            "SRANDMEMBER none -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("SRANDMEMBER one", "$1 1"),
        ("SRANDMEMBER one 0", "*0"),
        ("SRANDMEMBER one 100", "*1 $1 1"),
        ("SRANDMEMBER one -3", "*3 $1 1 $1 1 $1 1"),
        ("SPOP one", "$1 1"),
        ("EXISTS one", ":0"),
        ("SADD one 1", ":1"),
        ("SPOP one 5", "*1 $1 1"),
        ("EXISTS one", ":0"),
        ("SADD one 1", ":1"),
        ("SSCAN one 0", "*2 $1 0 *1 $1 1"),
        ("SSCAN one 7 count 5 match 1", "*2 $1 0 *1 $1 1"),
        ("SSCAN one 0 match 2", "*2 $1 0 *0"),
        ("SSCAN none 0", "*2 $1 0 *0"),
        ("SSCAN none 0 foo", "*2 $1 0 *0"),
        ("SSCAN none x", "-ERR invalid cursor"),
        ("SSCAN str 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SSCAN one 0 type set", "-ERR syntax error"),
        ("SSCAN one 0 count 0", "-ERR syntax error"),
    ];
    assert_replies(&cases, "PING");
}

#[test]
fn sets_of_sets_are_what_redis_answers() {
    let cases = [
        ("SET str x", "+OK"),
        ("SADD s 1 2 3 a", ":4"),
        ("SADD t 2 a b", ":3"),
        ("SADD one 1", ":1"),
        ("SINTER s none str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SINTER none str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SINTER str none", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SINTER one s one", "*1 $1 1"),
        ("SINTER s none", "*0"),
        (
            "SINTERSTORE d none str",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("SINTERSTORE str none", ":0"),
        ("EXISTS str", ":0"),
        ("SINTERSTORE d s one", ":1"),
        ("OBJECT ENCODING d", "$6 intset"),
        ("SINTERSTORE d s t", ":2"),
        ("OBJECT ENCODING d", "$9 hashtable"),
        ("SINTERSTORE d d one", ":0"),
        ("EXISTS d", ":0"),
        ("SET str x", "+OK"),
        ("SINTERCARD 0 s", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD -1 s", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD x s", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD 9999999999999999999 s", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD 2 s", "-ERR Number of keys can't be greater than number of args"),
        ("SINTERCARD 1 s s", "-ERR syntax error"),
        ("SINTERCARD 1 s LIMIT", "-ERR syntax error"),
        ("SINTERCARD 1 s LIMIT -1", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 s LIMIT x", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 s LIMIT 3", ":3"),
        ("SINTERCARD 1 s limit 0", ":4"),
        ("SINTERCARD 1 s LIMIT 1 LIMIT 5", ":4"),
        ("SINTERCARD 2 s t", ":2"),
        ("SINTERCARD 2 s t LIMIT 1", ":1"),
        ("SINTERCARD 1 s FOO 1", "-ERR syntax error"),
        ("SINTERCARD 1 str LIMIT x", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SINTERCARD 1 none", ":0"),
        (
            "SINTERCARD 2 none str",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("SUNION none str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SUNION none", "*0"),
        ("SUNION none one", "*1 $1 1"),
        ("SUNIONSTORE d none", ":0"),
        ("SUNIONSTORE str one one", ":1"),
        ("TYPE str", "+set"),
        ("OBJECT ENCODING str", "$6 intset"),
        ("SUNIONSTORE str one t", ":4"),
        ("OBJECT ENCODING str", "$9 hashtable"),
        ("SET str x", "+OK"),
        ("SDIFF str none", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SDIFF none str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SDIFF none s", "*0"),
        ("SDIFF s s", "*0"),
        ("SDIFF one t", "*1 $1 1"),
        ("SDIFF one s", "*0"),
        ("SDIFFSTORE d s s", ":0"),
        ("SDIFFSTORE d s none", ":4"),
        ("SDIFFSTORE d d s", ":0"),
        ("EXISTS d", ":0"),
        ("SDIFFSTORE d one t", ":1"),
        ("OBJECT ENCODING d", "$6 intset"),
        ("SADD m 1 2 x", ":3"),
        ("SADD x x", ":1"),
        ("SDIFFSTORE d m x", ":2"),
        ("OBJECT ENCODING d", "$6 intset"),
        ("SDIFFSTORE d m x none x x x x x x", ":2"),
        ("OBJECT ENCODING d", "$9 hashtable"),
        ("COMMAND GETKEYS SINTERCARD 2 a b LIMIT 3", "*2 $1 a $1 b"),
        ("COMMAND GETKEYS SINTERCARD 3 a b", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS SINTERCARD 0 a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS SINTERCARD x a", "-ERR Invalid arguments specified for command"),
        ("COMMAND GETKEYS SUNIONSTORE d a b", "*3 $1 d $1 a $1 b"),
        (
            "COMMAND GETKEYSANDFLAGS SDIFFSTORE d a",
            "*2 *2 $1 d *2 +OW +update *2 $1 a *2 +RO +access",
        ),
    ];
    assert_replies(&cases, "PING");
}

#[test]
fn sets_have_the_shapes_of_resp3() {
    let cases = [
        ("SADD one 1", ":1"),
        ("SADD two 1 2", ":2"),
        ("SMEMBERS one", "~1 $1 1"),
        ("SMEMBERS none", "~0"),
        ("SPOP none", "_"),
        ("SPOP none 3", "~0"),
        ("SRANDMEMBER none", "_"),
        ("SRANDMEMBER none 3", "*0"),
        ("SRANDMEMBER one 3", "*1 $1 1"),
        ("SRANDMEMBER one -2", "*2 $1 1 $1 1"),
        ("SINTER one none", "~0"),
        ("SINTER one two", "~1 $1 1"),
        ("SUNION none", "~0"),
        ("SUNION one one", "~1 $1 1"),
        ("SDIFF one", "~1 $1 1"),
        ("SDIFF none", "~0"),
        ("SDIFF two one", "~1 $1 2"),
        ("SSCAN one 0", "*2 $1 0 *1 $1 1"),
        ("SISMEMBER one 1", ":1"),
        ("SMISMEMBER one 1 4", "*2 :1 :0"),
        ("SPOP one 1", "~1 $1 1"),
    ];
    assert_replies(&cases, "HELLO 3");
}
