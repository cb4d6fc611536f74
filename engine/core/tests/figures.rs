//! What INFO, SLOWLOG and LATENCY say of commands and errors, counted as Redis 7.0 counts them (the
//! same calls were tried there), and CLIENT PAUSE. Durations are looked at only for being there.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail so

mod harness;

use harness::{Client, Engine};
use perdure_engine::command::Outcome;
use perdure_engine::config::Access;
use perdure_engine::cron;

fn field(client: &mut Client, section: &str, name: &str) -> Option<String> {
    let info = client.run(&format!("INFO {section}"));
    let start = format!("{name}:");
    info.split(' ').find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}

/// `calls`, `rejected_calls`, `failed_calls` of a command.
fn counts(client: &mut Client, command: &str) -> (u64, u64, u64) {
    let Some(text) = field(client, "commandstats", &format!("cmdstat_{command}")) else {
        return (0, 0, 0);
    };
    let number = |name: &str| {
        let pair = text.split(',').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        pair.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    assert!(text.contains(",usec=") && text.contains(",usec_per_call="), "{text}");
    (number("calls"), number("rejected_calls"), number("failed_calls"))
}

#[test]
fn calls_refusals_and_failures_are_counted_as_in_redis() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    for line in ["SET a b", "INCR a", "foo", "GET", "CLIENT foo", "CONFIG", "get a"] {
        client.run(line);
    }
    for line in ["MULTI", "SET a", "EXEC", "MULTI", "INCR a", "GET a", "EXEC"] {
        client.run(line);
    }
    assert_eq!(counts(client, "multi"), (2, 0, 0));
    assert_eq!(counts(client, "incr"), (2, 0, 2));
    assert_eq!(counts(client, "set"), (1, 1, 0));
    // The EXEC that aborted failed; the error inside the other one is that of INCR.
    assert_eq!(counts(client, "exec"), (2, 0, 1));
    assert_eq!(counts(client, "get"), (2, 1, 0));
    assert_eq!(counts(client, "config"), (0, 1, 0));
    assert_eq!(counts(client, "client"), (0, 0, 0));
    assert_eq!(field(client, "errorstats", "errorstat_ERR").unwrap(), "count=7");
    assert_eq!(field(client, "errorstats", "errorstat_EXECABORT").unwrap(), "count=1");
    assert_eq!(field(client, "stats", "total_error_replies").unwrap(), "8");
}

#[test]
fn a_subcommand_is_counted_by_its_own_name() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    client.run("CONFIG GET port");
    client.run("config get port");
    assert_eq!(counts(client, "config|get"), (2, 0, 0));
    assert_eq!(counts(client, "config"), (0, 0, 0));
    assert!(client.run("CLIENT LIST").contains("cmd=client|list"));
}

#[test]
fn percentiles_are_those_that_the_directive_names() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    client.run("GET a");
    let text = field(client, "latencystats", "latency_percentiles_usec_get").unwrap();
    let names: Vec<&str> = text.split(',').map(|pair| pair.split('=').next().unwrap()).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    client.run("CONFIG SET latency-tracking-info-percentiles 75");
    let text = field(client, "latencystats", "latency_percentiles_usec_get").unwrap();
    assert!(text.starts_with("p75=") && !text.contains(','), "{text}");
    client.run("CONFIG SET latency-tracking no");
    assert_eq!(field(client, "latencystats", "latency_percentiles_usec_get"), None);
}

#[test]
fn resetstat_forgets_what_was_counted() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    for line in ["SET a 1", "GET a", "GET b", "foo", "CONFIG RESETSTAT"] {
        client.run(line);
    }
    assert_eq!(counts(client, "get"), (0, 0, 0));
    assert_eq!(field(client, "errorstats", "errorstat_ERR"), None);
    for name in ["keyspace_hits", "keyspace_misses", "total_error_replies", "total_forks"] {
        assert_eq!(field(client, "stats", name).unwrap(), "0", "{name}");
    }
}

#[test]
fn the_slow_log_has_what_took_long_newest_first() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    client.run("CLIENT SETNAME me");
    assert_eq!(client.run("SLOWLOG LEN"), ":0");
    client.run("CONFIG SET slowlog-log-slower-than 0");
    for line in ["MULTI", "GET a", "EXEC", "GET", "nosuch", "AUTH default pass"] {
        client.run(line);
    }
    client.run("CONFIG SET slowlog-log-slower-than -1");
    let log = client.run("SLOWLOG GET -1");
    let words: Vec<&str> = log.split(' ').filter(|word| !word.starts_with(['$', '*'])).collect();
    let names = ["AUTH", "GET", "MULTI", "SET"]
        .map(|name| words.iter().position(|word| *word == name).map(|at| (at, name)).unwrap());
    assert!(names.is_sorted(), "{log}"); // EXEC is not among them: what it ran is
    assert!(log.contains("(redacted)") && !log.contains("pass") && !log.contains("EXEC"), "{log}");
    assert!(log.contains("127.0.0.1:10001 $2 me"), "{log}");
    assert_eq!(client.run("SLOWLOG LEN"), ":4");
    assert_eq!(client.run("CONFIG SET slowlog-max-len 2"), "+OK");
    assert_eq!(client.run("SLOWLOG LEN"), ":2");
    assert!(client.run("SLOWLOG GET 1").starts_with("*1 *6 :3 :1000000 "));
    assert_eq!(client.run("SLOWLOG GET -2"), "-ERR count should be greater than or equal to -1");
    assert_eq!(client.run("SLOWLOG RESET"), "+OK");
    assert_eq!(client.run("SLOWLOG GET"), "*0");
}

#[test]
fn the_latency_monitor_has_what_held_the_server() {
    let engine = Engine::driven();
    engine.shared.state.lock().config.enable_debug_command = Access::Yes;
    let client = &mut engine.client(1);
    client.run("DEBUG SLEEP 0.002");
    assert_eq!(client.run("LATENCY LATEST"), "*0");
    client.run("CONFIG SET latency-monitor-threshold 1");
    client.run("DEBUG SLEEP 0.002");
    engine.drive(1000);
    client.run("DEBUG SLEEP 0.002");
    let latest = client.run("LATENCY LATEST");
    assert!(latest.starts_with("*1 *4 $7 command :1000001 :"), "{latest}");
    let history = client.run("LATENCY HISTORY command");
    assert!(history.starts_with("*2 *2 :1000000 :") && history.contains(" :1000001 "), "{history}");
    assert_eq!(client.run("LATENCY HISTORY nosuch"), "*0");
    assert_eq!(client.run("LATENCY RESET nosuch command"), ":1");
    assert_eq!(client.run("LATENCY RESET"), ":0");
    // The longest that can be said is never reached.
    let longest = format!("CONFIG SET latency-monitor-threshold {}", i64::MAX);
    assert_eq!(client.run(&longest), "+OK");
    client.run("DEBUG SLEEP 0.002");
    assert_eq!(client.run("LATENCY LATEST"), "*0");
}

#[test]
fn a_histogram_counts_the_calls_of_the_commands_asked_for() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    for line in ["SET a 1", "SET a 2", "CONFIG GET hz"] {
        client.run(line);
    }
    let sets = client.run("LATENCY HISTOGRAM set nosuch");
    assert!(sets.starts_with("*2 $3 set *4 $5 calls :2 $14 histogram_usec *"), "{sets}");
    assert!(sets.ends_with(" :2"), "{sets}");
    assert!(client.run("LATENCY HISTOGRAM config").starts_with("*2 $10 config|get *4 "));
    assert_eq!(client.run("LATENCY HISTOGRAM nosuch"), "*0");
}

#[test]
fn a_pause_lets_commands_wait_until_it_is_over() {
    let engine = Engine::driven();
    let (client, other) = (&mut engine.client(1), &mut engine.client(2));
    let call = |client: &mut Client, line: &str| {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        client.call(&words)
    };
    let waits = (Outcome::WritesPaused, Vec::new());
    client.run("SET gone 1 PX 50");
    assert_eq!(client.run("CLIENT PAUSE 100 WRITE"), "+OK");
    assert_eq!(call(other, "SET a 1"), waits);
    assert_eq!(other.run("GET a"), "$-1");
    engine.drive(60);
    assert_eq!(other.run("GET gone"), "$-1");
    assert_eq!(other.run("DBSIZE"), ":1"); // it stays while nothing may change
    assert_eq!(client.run("CLIENT PAUSE 10 ALL"), "+OK"); // neither shorter nor milder than both
    assert_eq!(call(other, "GET a"), waits);
    engine.drive(50);
    cron::turn(&engine.shared);
    cron::turn(&engine.shared);
    assert_eq!(other.run("SET a 1"), "+OK");
    assert_eq!(other.run("DBSIZE"), ":1");
    assert_eq!(client.run("CLIENT PAUSE 100000 write"), "+OK");
    assert_eq!(other.run("MULTI"), "+OK");
    assert_eq!(call(other, "SET a 2"), waits);
    assert_eq!(other.run("CLIENT UNPAUSE"), "+QUEUED");
    assert_eq!(client.run("CLIENT UNPAUSE"), "+OK");
    assert_eq!(other.run("SET a 2"), "+QUEUED");
    for (line, text) in [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
    ] {
        assert_eq!(client.run(line), text);
    }
}

#[test]
fn memory_commands_answer() {
    let engine = Engine::driven();
    let client = &mut engine.client(1);
    client.run("SET a 1");
    let stats = client.run("MEMORY STATS");
    assert!(stats.starts_with("*28 $14 peak.allocated :"), "{stats}");
    assert!(stats.contains("keys.count :1 "), "{stats}");
    assert_eq!(client.run("MEMORY PURGE"), "+OK");
    assert!(client.run("MEMORY DOCTOR").contains("so little data"));
}

#[test]
fn debug_object_tells_the_length_in_a_file() {
    let engine = Engine::driven();
    engine.shared.state.lock().config.enable_debug_command = Access::Yes;
    let client = &mut engine.client(1);
    // The lengths are those of redis-server 7.0.15.
    for (line, length) in [
        ("SET k hello", 6),
        ("SET k 1", 2),
        ("SET k 100000", 5),
        ("RPUSH k a b c", 19),
        ("SADD k 1 2 3", 15),
        ("SADD k a b c", 7),
        ("HSET k f v g w", 20),
        ("ZADD k 1 a 2 b", 18),
    ] {
        client.run("DEL k");
        client.run(line);
        let text = client.run("DEBUG OBJECT k");
        assert!(text.contains(&format!(" serializedlength:{length} ")), "{line}: {text}");
    }
}
