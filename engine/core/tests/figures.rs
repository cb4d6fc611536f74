//! What INFO says of commands and errors: calls, refusals and failures are counted as Redis 7.0
//! counts them (the same calls were tried there). Durations are looked at only for being there.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may fail so

mod harness;

use harness::{Client, Engine};

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
