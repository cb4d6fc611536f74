//! The disk fails at each call, under load, in each way that the shim knows: new writes are refused
//! and reads go on while the log has failed, it recovers by itself, a failed fsync is never asked for
//! again, and after a SIGKILL nothing is lost that anybody was told. Each failure is a line in the
//! operator's log with a hint, and a figure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test fails

#[path = "../preload/mod.rs"]
mod preload;
mod ring;
#[path = "../../../core/tests/running/mod.rs"]
mod running;
mod server;

use std::time::Duration;

use running::{Client, wait_until};
use server::{Load, Server};

/// What a scenario is: the policy, which files, which fault, and whether the log is rewritten
/// meanwhile.
#[derive(Debug, Clone)]
struct Scenario {
    policy: &'static str,
    named: &'static str,
    order: String,
    is_rewriting: bool,
}

impl Scenario {
    fn new(policy: &'static str, named: &'static str, order: &str) -> Self {
        Self { policy, named, order: order.to_owned(), is_rewriting: false }
    }

    fn rewriting(self) -> Self {
        Self { is_rewriting: true, ..self }
    }

    fn start(&self) -> (Server, Load) {
        let server = Server::start(self.policy, self.named, &self.order);
        let load = Load::start(&server);
        load.wait_for_more(20);
        server.arm();
        if self.is_rewriting {
            server.client().send(&["BGREWRITEAOF"]);
        }
        (server, load)
    }
}

fn info(client: &mut Client, name: &str) -> String {
    let text = client.command(&["INFO", "everything"]);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in INFO")).to_owned()
}

/// One fault, once. Whatever it hits, the server recovers by itself, and all that was acknowledged is
/// there after a kill.
fn assert_survives(scenario: &Scenario) {
    let what = format!("{scenario:?}");
    println!("{what}");
    let (server, load) = scenario.start();
    if !is_reached(scenario, &server) {
        println!("no such call");
        load.end();
        return;
    }
    load.wait_for_more(20);
    let mut client = server.client();
    wait_until("all is well", || {
        info(&mut client, "aof_last_write_status") == "ok"
            && info(&mut client, "aof_rewrite_in_progress") == "0"
    });
    assert_a_rewrite_goes_well(&server, &what);
    load.wait_for_more(5);
    assert_no_fsync_is_asked_for_again(&server, &what);
    server.assert_nothing_is_lost(&load.end(), &what);
}

fn assert_a_rewrite_goes_well(server: &Server, what: &str) {
    let mut client = server.client();
    assert!(client.command(&["BGREWRITEAOF"]).starts_with("+Background"), "{what}");
    wait_until("a rewrite goes well", || {
        info(&mut client, "aof_rewrite_in_progress") == "0"
            && info(&mut client, "aof_last_bgrewrite_status") == "ok"
    });
}

/// Wait for the call that was named. There is a first one of each kind; whether there are more, a
/// rewrite that ends well knows.
fn is_reached(scenario: &Scenario, server: &Server) -> bool {
    let (kind, rest) = scenario.order.split_once('@').unwrap();
    let number: u64 = rest.split('=').next().unwrap().parse().unwrap();
    let mut client = server.client();
    let mut has_ended = || {
        scenario.is_rewriting
            && number > 1
            && info(&mut client, "aof_rewrites") != "0"
            && info(&mut client, "aof_rewrite_in_progress") == "0"
    };
    let what = format!("{scenario:?} to come true");
    wait_until(&what, || server.shim.count(kind) >= number || has_ended());
    server.shim.count(kind) >= number
}

/// Behind an fsync of a log's file that failed, that file is never fsynced again, and nothing is written
/// to it but what a loop was writing meanwhile.
fn assert_no_fsync_is_asked_for_again(server: &Server, what: &str) {
    let journal = server.shim.journal();
    let (mut failed, mut written) = (Vec::new(), Vec::new());
    for line in journal.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        let (kind, errno, _, path) = (word(), word(), word(), word());
        if path.ends_with(".incr.aof") && failed.contains(&path) {
            let is_under_way = kind == "write" && !written.contains(&path);
            let is_new = ["write", "fdatasync", "fsync"].contains(&kind) && !is_under_way;
            assert!(!is_new, "{what}: after its failed fsync: {line}");
            written.push(path);
        }
        if kind == "fdatasync" && errno != "0" && errno != libc::EINTR.to_string() {
            failed.push(path);
        }
    }
}

/// The log's file, one of the first calls on it.
fn faults_of_the_log() -> Vec<Scenario> {
    let mut made = Vec::new();
    for policy in ["always", "everysec"] {
        for fault in ["ENOSPC", "EIO", "EINTR", "short"] {
            made.extend((1..=4).map(|number| {
                Scenario::new(policy, "incr.aof", &format!("write@{number}={fault}"))
            }));
        }
        for fault in ["ENOSPC", "EIO", "EINTR"] {
            made.extend((1..=2).map(|number| {
                Scenario::new(policy, "incr.aof", &format!("fdatasync@{number}={fault}"))
            }));
        }
    }
    made
}

/// A rewrite's own calls: its base, the new incremental, the manifest, the directory.
fn faults_of_a_rewrite() -> Vec<Scenario> {
    let calls = [
        ("base", "open", 2, &["ENOSPC", "EMFILE"][..]),
        ("base", "write", 2, &["ENOSPC", "EIO", "EINTR", "short"]),
        ("base", "fsync", 1, &["EIO", "ENOSPC"]),
        ("base", "rename", 1, &["EIO", "ENOSPC"]),
        ("base", "unlink", 1, &["EIO"]),
        ("manifest", "open", 2, &["ENOSPC", "EMFILE"]),
        ("manifest", "write", 2, &["ENOSPC", "EIO", "EINTR", "short"]),
        ("manifest", "fsync", 2, &["EIO", "ENOSPC"]),
        ("manifest", "rename", 2, &["EIO", "ENOSPC"]),
        ("appendonlydir", "fsync", 6, &["EIO"]),
        ("2.incr", "open", 1, &["ENOSPC", "EMFILE"]),
        ("2.incr", "write", 2, &["ENOSPC", "EIO", "short"]),
        ("2.incr", "fdatasync", 1, &["EIO"]),
        ("1.incr", "unlink", 1, &["EIO"]),
    ];
    let mut made = Vec::new();
    for (named, kind, numbers, faults) in calls {
        for number in 1..=numbers {
            made.extend(faults.iter().map(|fault| {
                Scenario::new("everysec", named, &format!("{kind}@{number}={fault}")).rewriting()
            }));
        }
    }
    made
}

/// Some of a list, another choice with each seed.
fn sample(scenarios: &[Scenario], count: usize) -> Vec<Scenario> {
    let told = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = told.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PERDURE_TEST_SEED={seed}");
    let mut chosen = scenarios.to_vec();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while chosen.len() > count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        chosen.swap_remove((random >> 8) as usize % chosen.len());
    }
    chosen
}

#[test]
fn a_fault_at_a_call_of_the_log_loses_nothing() {
    sample(&faults_of_the_log(), 3).iter().for_each(assert_survives);
}

#[test]
fn a_fault_at_a_call_of_a_rewrite_loses_nothing() {
    sample(&faults_of_a_rewrite(), 3).iter().for_each(assert_survives);
}

#[test]
#[ignore = "run by make soak"]
fn a_fault_at_each_call_of_the_log_loses_nothing() {
    faults_of_the_log().iter().for_each(assert_survives);
}

#[test]
#[ignore = "run by make soak"]
fn a_fault_at_each_call_of_a_rewrite_loses_nothing() {
    faults_of_a_rewrite().iter().for_each(assert_survives);
}

/// While the disk fails: new writes are refused, reads are answered, and INFO says so.
fn assert_refuses_and_reads(server: &Server, what: &str) {
    let mut client = server.client();
    wait_until("writes are refused", || {
        client.command(&["SET", "probe", "1"]).starts_with("-MISCONF")
    });
    assert_eq!(client.command(&["GET", "k:0:0"]), "value", "{what}: reads go on");
    assert_eq!(client.command(&["EXISTS", "probe"]), ":0", "{what}: it was not executed");
}

#[test]
fn a_disk_that_takes_no_bytes_refuses_writes_until_it_does() {
    for (policy, fault, kind) in [("always", "ENOSPC", "disk_full"), ("everysec", "EIO", "write")] {
        let order = format!("write@2..={fault},while:{{held}}");
        let scenario = Scenario::new(policy, "incr.aof", &order);
        let (server, load) = scenario.start();
        server.wait_failure("aof_write_failed");
        assert_refuses_and_reads(&server, &order);
        assert_eq!(info(&mut server.client(), "aof_last_write_status"), "err");
        assert!(server.log_stats()["errors"][kind].as_u64() > Some(0), "{}", server.log_stats());
        server.mend();
        load.wait_for_more(20);
        wait_until("it is told", || server.logged("aof_write_recovered").is_some());
        assert_eq!(info(&mut server.client(), "aof_last_write_status"), "ok");
        server.assert_nothing_is_lost(&load.end(), &order);
    }
}

/// Not even the new base's log can be fsynced, until the disk is mended.
#[test]
fn a_disk_that_fsyncs_nothing_refuses_writes_until_a_new_base_is_on_it() {
    for policy in ["always", "everysec"] {
        let order = "fdatasync@1..=EIO,while:{held}";
        let (server, load) = Scenario::new(policy, "incr.aof", order).start();
        server.wait_failure("aof_fsync_failed");
        assert_refuses_and_reads(&server, order);
        assert!(server.log_stats()["errors"]["fsync"].as_u64() > Some(0));
        server.mend();
        load.wait_for_more(20);
        assert_no_fsync_is_asked_for_again(&server, policy);
        server.assert_nothing_is_lost(&load.end(), policy);
    }
}

/// `everysec`, and an fsync that does not end: replies wait once it is two seconds behind.
#[test]
fn replies_wait_for_an_fsync_that_is_far_behind() {
    let (server, load) = Scenario::new("everysec", "incr.aof", "fdatasync@1=stop:{held}").start();
    let delayed = || server.log_stats()["delayed_fsyncs_total"].as_u64().unwrap_or(0);
    wait_until("replies wait", || delayed() == 1);
    let mut client = server.client();
    client.send(&["SET", "late", "1"]);
    assert!(!client.has_reply_within(Duration::from_millis(100)), "the fsync has not ended");
    assert!(server.log_stats()["fsync_lag_seconds"].as_f64() > Some(2.0));
    server.mend();
    assert_eq!(client.receive(), "+OK");
    assert_eq!(info(&mut client, "aof_delayed_fsync"), "1");
    load.wait_for_more(20);
    server.assert_nothing_is_lost(&load.end(), "a slow fsync");
}
