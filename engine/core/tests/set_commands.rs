//! Set commands: replies, errors and what the log gets, as observed on redis-server 7.0.15, in every
//! form that a set can have.

#![allow(clippy::unwrap_used)] // a test may fail so

mod harness;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use harness::{Client, Random, assert_replies, set_up};

/// The members that a reply names.
fn named(reply: &str) -> BTreeSet<String> {
    harness::strings(reply).into_iter().collect()
}

fn add_all(client: &mut Client, key: &str, members: &BTreeSet<String>) {
    for member in members {
        client.run(&format!("SADD {key} {member}"));
    }
}

/// A set in any form: integers, few strings, many, and mixed.
fn any_members(random: &mut Random) -> BTreeSet<String> {
    let most = *random.pick(&[5, 60, 700]);
    let count = random.below(most);
    let kind = random.below(3);
    let range = 1 + random.below(1000);
    let member = |random: &mut Random| match kind {
        0 => random.below(range).to_string(),
        1 => format!("m{}", random.below(range)),
        _ if random.one_in(2) => random.below(range).to_string(),
        _ => format!("m{}", random.below(range)),
    };
    (0..count).map(|_| member(random)).collect()
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
    assert_replies("PING", &cases);
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
    assert_replies("PING", &cases);
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
    ];
    assert_replies("PING", &cases);
}

#[test]
fn sintercard_and_the_keys_of_sets_of_sets_are_what_redis_answers() {
    let cases = [
        ("SET str x", "+OK"),
        ("SADD s 1 2 3 a", ":4"),
        ("SADD t 2 a b", ":3"),
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
    assert_replies("PING", &cases);
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
    assert_replies("HELLO 3", &cases);
}

#[test]
fn the_log_holds_what_was_removed_and_stored() {
    let (engine, mut client) = set_up();
    for (line, changes, logged) in [
        ("SADD s 1 2 2", 2, "SADD s 1 2 2"),
        ("SADD s 1", 0, ""),
        ("SREM s 2 3", 1, "SREM s 2 3"),
        ("SPOP s", 1, "SREM s 1"),
        ("SPOP s", 0, ""),
        ("SADD s 1 2", 2, "SADD s 1 2"),
        ("SPOP s 2", 2, "DEL s"),
        ("SADD s 1", 1, "SADD s 1"),
        ("SPOP s 0", 0, ""),
        ("SRANDMEMBER s -2", 0, ""),
        ("SMOVE s s 1", 0, ""),
        ("SMOVE s d 1", 2, "SMOVE s d 1"),
        ("SADD s 1", 1, "SADD s 1"),
        ("SMOVE s d 1", 1, "SMOVE s d 1"),
        ("SUNIONSTORE x none", 0, ""),
        ("SUNIONSTORE x d", 1, "SUNIONSTORE x d"),
        ("SINTERSTORE x d none", 1, "SINTERSTORE x d none"),
        ("SINTERSTORE x d d", 1, "SINTERSTORE x d d"),
        ("SDIFFSTORE x x x", 1, "SDIFFSTORE x x x"),
        ("SDIFFSTORE x none", 0, ""),
    ] {
        let (before, lines) = (engine.dirty(), engine.logged().len());
        client.run(line);
        assert_eq!(engine.dirty() - before, changes, "{line}");
        let mut new: Vec<String> = engine.logged().split_off(lines);
        new.retain(|it| !it.starts_with("SELECT"));
        let expected: Vec<String> =
            if logged.is_empty() { vec![] } else { vec![logged.to_owned()] };
        assert_eq!(new, expected, "{line}");
    }
}

#[test]
fn spop_takes_different_members_and_logs_all_of_them() {
    let mut random = Random::from_environment("spop");
    for _ in 0..60 {
        let (engine, mut client) = set_up();
        let members = any_members(&mut random);
        add_all(&mut client, "s", &members);
        let lines = engine.logged().len();
        let count = match random.below(3) {
            0 => random.below(members.len() + 2),
            1 => members.len() - members.len() / 8,
            _ => members.len() / 8,
        };
        let popped = named(&client.run(&format!("SPOP s {count}")));
        let left = named(&client.run("SMEMBERS s"));
        assert_eq!(popped.len(), count.min(members.len()));
        assert!(popped.is_disjoint(&left));
        assert_eq!(popped.union(&left).cloned().collect::<BTreeSet<_>>(), members);
        let logged: BTreeSet<String> = engine.logged()[lines..]
            .iter()
            .filter_map(|line| line.strip_prefix("SREM s "))
            .flat_map(|members| members.split(' ').map(str::to_owned))
            .collect();
        if left.is_empty() && !members.is_empty() {
            assert_eq!(engine.logged().last().unwrap(), "DEL s");
        } else {
            assert_eq!(logged, popped);
        }
        engine.shared.state.lock().keyspace.db(0).check_invariants().unwrap();
    }
}

/// Redis builds a new set of the few that stay, and leaves a set that many stay in as it is.
#[test]
fn a_set_of_integers_that_had_a_string_is_packed_again_when_few_stay() {
    let (_engine, mut client) = set_up();
    client.run("SADD s text 1 2 3 4 5 6 7 8 9 10 11 12");
    client.run("SREM s text");
    assert_eq!(client.run("SPOP s 6").split(' ').next(), Some("*6"));
    assert_eq!(client.run("OBJECT ENCODING s"), "$9 hashtable");
    assert_eq!(client.run("SPOP s 5").split(' ').next(), Some("*5"));
    assert_eq!(client.run("OBJECT ENCODING s"), "$6 intset");
}

#[test]
fn sets_of_random_sets_agree_with_a_model() {
    let mut random = Random::from_environment("algebra");
    for _ in 0..80 {
        let (engine, mut client) = set_up();
        let sets: Vec<BTreeSet<String>> =
            (0..1 + random.below(4)).map(|_| any_members(&mut random)).collect();
        for (at, set) in sets.iter().enumerate() {
            add_all(&mut client, &format!("s{at}"), set);
        }
        let keys: Vec<String> = (0..sets.len()).map(|at| format!("s{at}")).collect();
        let keys = keys.join(" ");
        let (first, others) = sets.split_first().unwrap();
        let fold = |change: fn(&BTreeSet<String>, &BTreeSet<String>) -> BTreeSet<String>| {
            others.iter().fold(first.clone(), |made, other| change(&made, other))
        };
        let inter = fold(|a, b| a & b);
        let expected = [
            ("SINTER", inter.clone()),
            ("SUNION", fold(|a, b| a | b)),
            ("SDIFF", fold(|a, b| a - b)),
        ];
        for (command, expected) in expected {
            let reply = client.run(&format!("{command} {keys}"));
            assert_eq!(reply.split(' ').next().unwrap(), format!("*{}", expected.len()));
            assert_eq!(named(&reply), expected, "{command}");
            let count = client.run(&format!("{command}STORE s0 {keys}"));
            assert_eq!(count, format!(":{}", expected.len()));
            assert_eq!(named(&client.run("SMEMBERS s0")), expected, "{command}STORE");
            engine.shared.state.lock().keyspace.db(0).check_invariants().unwrap();
            client.run("DEL s0");
            add_all(&mut client, "s0", first);
        }
        let card = client.run(&format!("SINTERCARD {} {keys}", sets.len()));
        assert_eq!(card, format!(":{}", inter.len()));
        let card = client.run(&format!("SINTERCARD {} {keys} LIMIT 7", sets.len()));
        assert_eq!(card, format!(":{}", inter.len().min(7)));
    }
}

#[test]
fn what_is_stored_replaces_any_value_with_its_expiry_and_wakes_watchers() {
    let (engine, mut client) = set_up();
    let mut other = engine.client(2);
    client.run("SADD s a b");
    client.run("SET d text EX 100");
    client.run("WATCH d");
    assert_eq!(other.run("SUNIONSTORE d s"), ":2");
    client.run("MULTI");
    client.run("PING");
    assert_eq!(client.run("EXEC"), "*-1");
    assert_eq!(client.run("TTL d"), ":-1");
    assert_eq!(client.run("OBJECT IDLETIME d"), ":0");
    client.run("PEXPIRE s 5");
    engine.drive(6);
    assert_eq!(client.run("SINTERSTORE d s s"), ":0");
    assert_eq!(client.run("EXISTS d s"), ":0");
    assert_eq!(
        engine.logged()[engine.logged().len() - 4..],
        ["MULTI", "DEL s", "SINTERSTORE d s s", "EXEC"]
    );
}

#[test]
fn every_member_is_picked_about_as_often_as_any_other() {
    const MEMBERS: usize = 100;
    const DRAWS: usize = 40_000;
    for prefix in ["", "m", "a-member-that-is-too-long-for-any-packed-form-of-a-set-of-any-sort:"] {
        let (_engine, mut client) = set_up();
        (0..MEMBERS).for_each(|at| {
            client.run(&format!("SADD s {prefix}{at}"));
        });
        let mut counts: HashMap<String, usize> = HashMap::new();
        for _ in 0..DRAWS {
            let reply = client.run("SRANDMEMBER s");
            let member = reply.split(' ').nth(1).unwrap().to_owned();
            *counts.entry(member).or_default() += 1;
        }
        // 400 each; the deviation is 20, and six of it is not chance.
        assert_eq!(counts.len(), MEMBERS);
        assert!(counts.values().all(|count| count.abs_diff(DRAWS / MEMBERS) < 120), "{prefix}");
    }
}

#[test]
fn sscan_meets_every_member_that_stays() {
    let (_engine, mut client) = set_up();
    (0..2000).for_each(|at| {
        client.run(&format!("SADD s stays:{at}"));
    });
    let (mut cursor, mut met, mut calls) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let reply = client.run(&format!("SSCAN s {cursor} COUNT 15 MATCH stays:*"));
        let words: Vec<&str> =
            reply.split(' ').filter(|word| !word.starts_with(['$', '*'])).collect();
        cursor = words[0].to_owned();
        met.extend(words[1..].iter().map(|member| (*member).to_owned()));
        calls += 1;
        (0..30).for_each(|at| {
            client.run(&format!("SADD s comes:{calls}:{at}"));
        });
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 10 && met.len() == 2000, "{calls} calls, {} met", met.len());
}

#[test]
fn a_large_collection_counts_as_gone_at_once_and_is_freed_elsewhere() {
    let (engine, mut client) = set_up();
    let held = || engine.shared.state.lock().keyspace.memory_bytes();
    let freed = |client: &mut Client| {
        let info = client.run("INFO memory");
        let (_, after) = info.split_once("lazyfreed_objects:").unwrap();
        after.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    for end in
        ["DEL s", "UNLINK s", "SPOP s 3000", "RENAME t s", "SINTERSTORE s none", "PEXPIRE s -1"]
    {
        client.run("SET t x");
        let (bytes, objects) = (held(), freed(&mut client));
        for first in (0..3000).step_by(100) {
            let members: Vec<String> = (first..first + 100).map(|at| format!("m{at}")).collect();
            client.run(&format!("SADD s {}", members.join(" ")));
        }
        assert!(held() > bytes + 3000 * 16);
        client.run(end);
        assert!(held() <= bytes, "{end}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while freed(&mut client) == objects {
            assert!(Instant::now() < deadline, "{end}: nothing was freed");
            std::thread::sleep(Duration::from_millis(1));
        }
        client.run("FLUSHALL");
    }
}
