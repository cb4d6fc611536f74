//! No dirty reads: under `always`, with the log held between write and fsync, nobody sees what a
//! power cut would undo. Writers and readers wait at the gate; whoever got an answer all the same
//! must find it again.

use std::time::Duration;

use crate::harness::Random;
use crate::power;
use crate::process::{Process, Start, beside};
use crate::running::{Dir, wait_until};
use crate::wire::{Reply, Wire, encode};

/// Nobody is answered within this; only a fault ends it early.
const LOOK: Duration = Duration::from_millis(100);

fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Text(text) => text.parse().unwrap(),
        Reply::Nil => 0,
        other => panic!("{other:?}"),
    }
}

/// Write while the log is held at `step`, look from another connection, cut the power. Gives what
/// anybody was told, and what is there afterwards.
fn told_and_left(step: &str, is_power_cut: bool, draw: &mut Random) -> (i64, i64) {
    let home = Dir::new();
    let [data, after, trace] = ["data", "after", "trace"].map(|name| home.0.join(name));
    std::fs::create_dir(&data).unwrap();
    let start = Start {
        data: &data,
        has_log: true,
        policy: "always",
        failpoints: String::new(),
        trace: Some(trace.clone()),
    };
    let mut process = Process::start(&start).unwrap();
    let [mut writer, mut reader] = [0; 2].map(|_| Wire::connect(process.port).unwrap());
    assert_eq!(writer.call(&["INCR", "count"]).unwrap(), Reply::Number(1));
    let held = home.0.join("held");
    process.order(&format!("arm {step}=pause:{}", held.display()));
    let mut bytes = Vec::new();
    encode(&mut bytes, &["INCR", "count"]);
    writer.send(&bytes).unwrap();
    wait_until("the log to be held", || held.exists());
    // The writer's effect is in memory by now: the reader's reply shows it, or waits.
    bytes.clear();
    encode(&mut bytes, &["GET", "count"]);
    reader.send(&bytes).unwrap();
    let seen = reader.receive_within(LOOK).map_or(1, |reply| number(&reply));
    let told = writer.receive_within(LOOK).map_or(1, |reply| reply.number());
    process.kill_after(Duration::ZERO).wait();
    process.reap();
    drop(process);
    let left = if is_power_cut {
        let [events, graves] = ["events", "graves"].map(|it| beside(&trace, it));
        power::cut(&data, &events, &graves, &after, draw);
        &after
    } else {
        &data
    };
    let process = Process::start(&Start { data: left, ..start }).unwrap();
    let mut wire = Wire::connect(process.port).unwrap();
    (seen.max(told), number(&wire.call(&["GET", "count"]).unwrap()))
}

#[test]
fn what_anybody_saw_while_the_log_was_held_is_there_after_a_crash() {
    let mut draw = Random::from_environment("dirty_reads");
    let to_the_ring = ["aof.write", "aof.written", "aof.ring_write", "aof.ring_written"];
    for step in to_the_ring.into_iter().chain(["aof.ring_fsynced", "aof.fsync", "aof.fsynced"]) {
        for is_power_cut in [false, true] {
            let (told, left) = told_and_left(step, is_power_cut, &mut draw);
            assert!(told <= left, "{step}: told {told}, left {left}");
            assert_eq!(told, 1, "{step}: the reply waits for the fsync");
        }
    }
}

/// A page of zeros behind the last checksum looks like one that never reached the disk.
#[test]
fn zeros_that_a_client_wrote_are_not_taken_for_a_lost_page() {
    let mut draw = Random::from_environment("zeros");
    let home = Dir::new();
    let [data, after, trace] = ["data", "after", "trace"].map(|name| home.0.join(name));
    std::fs::create_dir(&data).unwrap();
    let start = Start {
        data: &data,
        has_log: true,
        policy: "always",
        failpoints: String::new(),
        trace: Some(trace.clone()),
    };
    let mut process = Process::start(&start).unwrap();
    let zeros = "\0".repeat(20_000);
    let mut wire = Wire::connect(process.port).unwrap();
    assert_eq!(wire.call(&["SET", "zeros", &zeros]).unwrap(), Reply::Line("OK".to_owned()));
    assert_eq!(wire.call(&["INCR", "count"]).unwrap(), Reply::Number(1));
    process.kill_after(Duration::ZERO).wait();
    process.reap();
    drop(process);
    let [events, graves] = ["events", "graves"].map(|it| beside(&trace, it));
    power::cut(&data, &events, &graves, &after, &mut draw);
    let process = Process::start(&Start { data: &after, ..start }).unwrap();
    let mut wire = Wire::connect(process.port).unwrap();
    assert_eq!(number(&wire.call(&["GET", "count"]).unwrap()), 1);
    assert!(wire.call(&["GET", "zeros"]).unwrap() == Reply::Text(zeros));
}
