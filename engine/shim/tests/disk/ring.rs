//! The commit ring fails: the small file that is overwritten in place under `always`, and fsynced
//! in the log's stead. That is no failure of the log: writes go on, nobody is told MISCONF, the
//! log's own file is fsynced before anybody is told of more, and after a SIGKILL nothing is lost.

use crate::running::wait_until;
use crate::server::{Load, Server};
use crate::{Scenario, assert_a_rewrite_goes_well, assert_no_fsync_is_asked_for_again};
use crate::{info, is_reached, sample};

const RING: &str = "aof.ring";
/// The line in the operator's log.
const FAILED: &str = "aof_ring_failed";

fn ring(order: &str) -> Scenario {
    Scenario::new("always", RING, order)
}

/// A fault at one of the first calls on it, once.
fn faults_of_the_ring() -> Vec<Scenario> {
    let calls = [
        ("pwrite", &["EIO", "ENOSPC", "EINTR", "short", "slow:50"][..]),
        ("fdatasync", &["EIO", "ENOSPC", "EINTR", "slow:50"]),
    ];
    let mut made = Vec::new();
    for (kind, faults) in calls {
        for fault in faults {
            made.extend((1..=4).map(|number| ring(&format!("{kind}@{number}={fault}"))));
        }
    }
    made
}

/// The server dies at one of them.
fn kills_at_the_ring() -> Vec<Scenario> {
    let orders = |kind| [1, 2, 7, 40].map(|number| ring(&format!("{kind}@{number}=kill")));
    [orders("pwrite"), orders("fdatasync")].concat()
}

/// Whoever writes is told OK, and INFO and the operator's log tell of a log that is well.
fn assert_log_is_well(server: &Server, what: &str) {
    let mut client = server.client();
    assert_eq!(info(&mut client, "aof_last_write_status"), "ok", "{what}");
    let errors = client.command(&["INFO", "errorstats"]);
    assert!(!errors.contains("MISCONF"), "{what}: {errors}");
    for name in ["aof_write_failed", "aof_fsync_failed"] {
        assert!(server.logged(name).is_none(), "{what}: {:?}", server.logged(name));
    }
}

/// Behind a call on the ring that failed, the first fsync that succeeds is one of the log's file:
/// nobody knows what the ring holds.
fn assert_log_is_fsynced_instead(server: &Server, what: &str) {
    let journal = server.shim.journal();
    let mut has_failed = false;
    for line in journal.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        let (kind, errno, _, path) = (word(), word(), word(), word());
        let is_sync = ["fsync", "fdatasync"].contains(&kind) && errno == "0";
        if has_failed && is_sync && path.ends_with(".incr.aof") {
            return;
        }
        assert!(!(has_failed && is_sync && path.contains(RING)), "{what}: {line}");
        has_failed |= errno != "0" && path.contains(RING);
    }
    panic!("{what}: no fsync of the log's file behind a failed call: {journal}");
}

fn assert_survives(scenario: &Scenario) {
    let what = format!("{scenario:?}");
    println!("{what}");
    let (server, load) = scenario.start();
    assert!(is_reached(scenario, &server), "{what}");
    load.wait_for_more(20);
    if scenario.order.ends_with("EIO") || scenario.order.ends_with("ENOSPC") {
        assert_log_is_fsynced_instead(&server, &what);
    }
    assert_a_rewrite_goes_well(&server, &what);
    load.wait_for_more(5);
    assert_no_fsync_is_asked_for_again(&server, &what);
    assert_log_is_well(&server, &what);
    server.assert_nothing_is_lost(&load.end(), &what);
}

fn assert_survives_kill(scenario: &Scenario) {
    let what = format!("{scenario:?}");
    println!("{what}");
    let (kind, rest) = scenario.order.split_once('@').unwrap();
    let number: u64 = rest.split('=').next().unwrap().parse().unwrap();
    let (server, load) = scenario.start();
    wait_until(&what, || server.shim.count(kind) >= number);
    server.assert_nothing_is_lost(&load.end_of_killed(), &what);
}

#[test]
fn a_fault_at_a_call_of_the_ring_is_none_of_the_log() {
    sample(&faults_of_the_ring(), 3).iter().for_each(assert_survives);
}

#[test]
#[ignore = "run by make soak"]
fn a_fault_at_each_call_of_the_ring_is_none_of_the_log() {
    faults_of_the_ring().iter().for_each(assert_survives);
}

#[test]
fn a_kill_at_a_call_of_the_ring_loses_nothing() {
    sample(&kills_at_the_ring(), 2).iter().for_each(assert_survives_kill);
}

#[test]
#[ignore = "run by make soak"]
fn a_kill_at_each_call_of_the_ring_loses_nothing() {
    kills_at_the_ring().iter().for_each(assert_survives_kill);
}

/// Whether the disk is mended or not.
#[test]
fn a_ring_that_goes_on_failing_is_done_without() {
    for fault in ["pwrite@2..=ENOSPC", "fdatasync@2..=EIO", "any@3..=EIO"] {
        for is_mended in [false, true] {
            let (server, load) = ring(&format!("{fault},while:{{held}}")).start();
            server.wait_failure(FAILED);
            load.wait_for_more(50);
            assert_log_is_fsynced_instead(&server, fault);
            assert_a_rewrite_goes_well(&server, fault);
            if is_mended {
                server.mend();
                load.wait_for_more(20);
            }
            assert_log_is_well(&server, fault);
            server.assert_nothing_is_lost(&load.end(), fault);
        }
    }
}

#[test]
fn a_start_that_cannot_make_the_ring_does_without() {
    for fault in ["any@1..=ENOSPC", "open@1..=EACCES", "pwrite@1..=ENOSPC", "fdatasync@1..=EIO"] {
        let server = Server::start_armed("always", RING, fault);
        let load = Load::start(&server);
        load.wait_for_more(20);
        wait_until("the fault", || server.shim.count("any") > 0);
        assert_log_is_well(&server, fault);
        server.assert_nothing_is_lost(&load.end(), fault);
    }
}
