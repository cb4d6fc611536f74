//! Starts after a power cut that left the log's end in the commit ring only, killed at each step, too.
//! The table of disk states is tested beside `recover`, each rule of filling beside `aof::ring`.

use std::path::PathBuf;

use perdure_engine::aof::annotation::{Line, parse};
use perdure_engine::aof::layout::Layout;
use perdure_engine::aof::ring::{Record, Ring, records};
use perdure_engine::aof::state_file::StateFile;

use crate::killed::{OF_KILLED_LOG, OF_LEFTOVERS, OF_TORN_LOG, STEPS, check, killed_log};
use crate::running::Dir;
use crate::{contents, copy_of, digest, refused, start_logged, turn};

/// Bytes at the end of the log that the ring holds.
const HELD: usize = 150;

fn incremental(dir: &Dir) -> PathBuf {
    dir.0.join("appendonlydir/appendonly.aof.1.incr.aof")
}

/// A killed log whose last bytes stand in the ring, with what is appended to both.
fn log_with_ring(appended: &[u8]) -> (Dir, String) {
    let (dir, held) = killed_log();
    let path = incremental(&dir);
    let bytes = [std::fs::read(&path).unwrap().as_slice(), appended].concat();
    std::fs::write(&path, &bytes).unwrap();
    let first_line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let Line::Position(annotation, _) = parse(first_line) else { panic!("{first_line:?}") };
    let (layout, seq) = Layout::of_incremental(&path).unwrap();
    let begin = bytes.len() - HELD;
    let (epoch, offset, payload) = (annotation.epoch, begin as u64, &bytes[begin..]);
    Ring::open(&layout.ring()).unwrap().commit(&Record { epoch, seq, offset, payload }).unwrap();
    let state = StateFile::read(&dir.0).unwrap().unwrap();
    StateFile { boot_id: "before the power cut".to_owned(), ..state }.replace(&dir.0).unwrap();
    (dir, held)
}

fn change_log(dir: &Dir, change: impl FnOnce(&mut Vec<u8>)) {
    let path = incremental(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_that_lost_what_the_ring_holds_is_loaded_whole_and_said_so() {
    let _turn = turn();
    let (source, held) = log_with_ring(b"");
    for lost in (0..=HELD).step_by(15) {
        for is_zeroed in [false, true] {
            let dir = copy_of(&source.0);
            change_log(&dir, |bytes| {
                let size = bytes.len();
                bytes.truncate(size - lost);
                bytes.resize(if is_zeroed { size } else { size - lost }, 0);
            });
            let engine = start_logged(&dir);
            assert_eq!(digest(&mut engine.client()), held, "{lost} bytes, zeros: {is_zeroed}");
            engine.stop();
            assert_eq!(digest(&mut start_logged(&dir).client()), held, "once more");
        }
    }
}

#[test]
fn a_start_that_fills_in_survives_a_kill_at_each_step() {
    let _turn = turn();
    let (dir, held) = log_with_ring(b"");
    change_log(&dir, |bytes| bytes.truncate(bytes.len() - HELD + 20));
    check(&dir, &held, &[&["aof.ring_filled"], STEPS, OF_KILLED_LOG]);
}

#[test]
fn a_torn_tail_that_the_ring_holds_too_is_cut_once_and_for_all() {
    let _turn = turn();
    let (dir, held) = log_with_ring(b"*3\r\n$3\r\nSE");
    change_log(&dir, |bytes| bytes.truncate(bytes.len() - 5));
    let steps: [&[&str]; 4] = [OF_LEFTOVERS, OF_TORN_LOG, OF_KILLED_LOG, &["aof.booted"]];
    check(&dir, &held, &[&["aof.ring_filled"], steps[0], steps[1], steps[2], steps[3]]);
}

#[test]
fn a_log_that_does_not_fit_the_ring_is_refused_and_stays_as_it_is() {
    let _turn = turn();
    let (dir, held) = log_with_ring(b"");
    change_log(&dir, |bytes| {
        bytes.truncate(bytes.len() - 20);
        bytes.extend_from_slice(b"*1\r\n$8\r\nFLUSHALL\r\n");
    });
    let before = contents(&dir.0);
    let error = refused(&dir);
    assert_eq!(error["code"], "AOF_RING_DIFFERS", "{error}");
    assert_eq!(error["context"]["path"], incremental(&dir).display().to_string());
    assert!(error["hint"].as_str().unwrap().contains("perdure aof check --fix"), "{error}");
    assert_eq!(contents(&dir.0), before);
    change_log(&dir, |bytes| bytes.truncate(bytes.len() - 28));
    assert_eq!(digest(&mut start_logged(&dir).client()), held);
}

/// A ring of `always` would bring back what a person cuts off the log after an orderly end, once the log
/// goes on under a policy that never opens it.
#[test]
fn a_start_clears_the_ring_whatever_its_policy_is() {
    let _turn = turn();
    let (dir, held) = log_with_ring(b"");
    let (layout, _) = Layout::of_incremental(&incremental(&dir)).unwrap();
    let ring = layout.ring();
    assert_eq!(records(&std::fs::read(&ring).unwrap()).len(), 1);
    let engine = start_logged(&dir);
    assert_eq!(digest(&mut engine.client()), held);
    assert_eq!(records(&std::fs::read(&ring).unwrap()), []);
}
