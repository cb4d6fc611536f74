//! How far logs are believed: truncated at every byte, flipped at every bit, with zeros and lost
//! pages, with lines that stand elsewhere. The property of all: what is left is a whole prefix.

use std::path::PathBuf;

use super::*;
use crate::aof::sample_log::SampleLog;

struct Held(PathBuf);

impl Held {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("perdure-scan-{name}-{}", std::process::id())))
    }

    fn scan(&self, bytes: &[u8]) -> Scan {
        self.scan_after(bytes, None)
    }

    fn scan_after(&self, bytes: &[u8], lost_power_in: Option<u64>) -> Scan {
        std::fs::write(&self.0, bytes).unwrap();
        scan(&self.0, Circumstances { from: 0, lost_power_in }).unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Everything that is kept stands in the log as it was written.
fn is_whole_prefix(scan: &Scan, log: &SampleLog, bytes: &[u8]) -> bool {
    let end = scan.end as usize;
    let kept = log.units.iter().filter(|unit| unit.1 <= end);
    log.ends.contains(&end)
        && kept.into_iter().all(|&(from, to)| bytes[from..to] == log.bytes[from..to])
}

#[test]
fn a_whole_log_is_believed_to_its_end() {
    let held = Held::new("whole");
    let mut log = SampleLog::families(7);
    let open = held.scan(&log.bytes);
    assert_eq!((open.damage, open.end), (None, log.bytes.len() as u64));
    assert_eq!(open.units, log.units.len() as u64);
    assert_eq!(open.origin, Some(LogPosition { epoch: 7, offset: 0 }));
    assert!(open.is_ours && open.last.unwrap().1 < open.end);
    let before_last = log.end();
    let scan = held.scan(&log.stop().bytes);
    assert_eq!(scan.promised, Some(LogPosition { epoch: 7, offset: before_last }));
    assert_eq!((scan.promised_here, scan.last.unwrap().1), (before_last, scan.end));
    assert_eq!((scan.units_end, open.units_end), (before_last, before_last));
    assert!(!scan.breaks_promise());
    let nothing = held.scan(b"");
    assert_eq!((nothing.end, nothing.damage, nothing.is_ours), (0, None, false));
}

#[test]
fn a_file_in_the_middle_of_an_epoch_knows_its_place() {
    let held = Held::new("place");
    let mut log = SampleLog::begun(7, 5000);
    log.set("a", "b").annotate(4000);
    let scan = held.scan(&log.bytes);
    assert_eq!(scan.origin, Some(LogPosition { epoch: 7, offset: 5000 }));
    assert_eq!(scan.end_position(), Some(LogPosition { epoch: 7, offset: log.end() }));
    // The first line says that all before this file is on the disk.
    assert_eq!(scan.promised, Some(LogPosition { epoch: 7, offset: 5000 }));
    assert_eq!(scan.promised_here, 0);
}

#[test]
fn truncated_at_any_byte_the_last_whole_unit_is_the_end() {
    let held = Held::new("cut");
    let mut log = SampleLog::families(7);
    log.stop();
    for size in 0..log.bytes.len() {
        let scan = held.scan(&log.bytes[..size]);
        assert_eq!(scan.end as usize, log.last_end(size), "cut at {size}");
        assert!(!scan.breaks_promise(), "cut at {size}");
        assert_eq!(scan.damage.is_some(), scan.end < size as u64, "cut at {size}");
        if let Some(damage) = scan.damage {
            assert_eq!((damage.kind, damage.offset), (FlawKind::Ends, size as u64));
        }
    }
}

#[test]
fn zeros_up_to_the_end_are_a_torn_tail() {
    let held = Held::new("zeros");
    let log = SampleLog::families(7);
    for from in 0..=log.bytes.len() {
        let mut bytes = log.bytes.clone();
        bytes[from..].fill(0);
        bytes.resize(bytes.len() + 5000, 0);
        let scan = held.scan(&bytes);
        assert_eq!(scan.end as usize, log.last_end(from), "zeros from {from}");
        assert_eq!(scan.damage.map(|it| it.kind), Some(FlawKind::Zeros), "zeros from {from}");
        assert!(!scan.breaks_promise(), "zeros from {from}");
    }
}

/// A log that was stopped: every flip is found, and nothing fsynced is dropped for it.
#[test]
fn any_flip_below_the_last_fsynced_offset_breaks_a_promise() {
    let held = Held::new("flip");
    let mut log = SampleLog::families(7);
    let fsynced = log.bytes.len();
    log.stop();
    for at in 0..log.bytes.len() {
        for bit in 0..8 {
            let mut bytes = log.bytes.clone();
            bytes[at] ^= 1 << bit;
            let scan = held.scan(&bytes);
            let place = format!("byte {at} bit {bit}: {scan:?}");
            assert!(is_whole_prefix(&scan, &log, &bytes), "{place}");
            if at < fsynced {
                assert!(scan.breaks_promise(), "{place}");
            }
        }
    }
}

/// A log whose server was killed: flips in what lines cover are found and what is kept is a prefix;
/// behind the last line nothing covers what arguments hold.
#[test]
fn any_flip_that_a_line_covers_leaves_a_whole_prefix() {
    let held = Held::new("flip-open");
    let log = SampleLog::families(7);
    let covered = held.scan(&log.bytes).last.unwrap().1 as usize;
    for at in 0..log.bytes.len() {
        for bit in 0..8 {
            let mut bytes = log.bytes.clone();
            bytes[at] ^= 1 << bit;
            let scan = held.scan(&bytes);
            let place = format!("byte {at} bit {bit}: {scan:?}");
            if at < covered {
                assert!(is_whole_prefix(&scan, &log, &bytes), "{place}");
            } else {
                assert!(scan.end as usize >= covered, "{place}");
            }
        }
    }
}

#[test]
fn damage_above_every_promise_is_torn_and_below_one_is_not() {
    let held = Held::new("middle");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let torn_at = log.bytes.len();
    log.set("b", "2").set("c", "3");
    for (fsynced, is_broken) in [(torn_at as u64, false), (torn_at as u64 + 1, true)] {
        let mut log = log.clone();
        log.annotate(fsynced).set("d", "4").annotate(fsynced);
        let mut bytes = log.bytes.clone();
        bytes[torn_at..torn_at + 3].fill(0);
        let scan = held.scan(&bytes);
        assert_eq!((scan.end, scan.breaks_promise()), (torn_at as u64, is_broken));
        assert!(scan.true_after_bytes > 0, "the second line's checksum is right");
    }
}

#[test]
fn a_page_lost_inside_of_an_argument_is_found_by_the_checksum() {
    let held = Held::new("page");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let before = log.bytes.len();
    log.set("big", &"v".repeat(20_000)).set("c", "3");
    for (fsynced, is_broken) in [(before as u64, false), (9000, true)] {
        let mut log = log.clone();
        log.annotate(fsynced);
        let mut bytes = log.bytes.clone();
        bytes[8192..12_288].fill(0);
        let scan = held.scan(&bytes);
        assert_eq!((scan.end, scan.breaks_promise()), (before as u64, is_broken));
        let damage = scan.damage.unwrap();
        assert_eq!((damage.offset, damage.kind), (8192.max(fsynced), FlawKind::Zeros));
        // A write that went on in a page, and was lost up to the end of a sector.
        let mut bytes = log.bytes.clone();
        bytes[9500..10_240].fill(0);
        let scan = held.scan(&bytes);
        assert_eq!((scan.end, scan.breaks_promise()), (before as u64, is_broken));
        assert_eq!(scan.damage.unwrap().offset, 9500);
    }
}

#[test]
fn a_page_lost_behind_the_last_checksum_is_found_after_a_power_cut_only() {
    let held = Held::new("page-open");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let before = log.bytes.len() as u64;
    log.set("big", &"v".repeat(20_000)).set("c", "3");
    let mut bytes = log.bytes.clone();
    bytes[8192..12_288].fill(0);
    assert_eq!(held.scan_after(&bytes, Some(7)).end, before);
    // A killed process loses no page: then the zeros are what the client sent.
    for other in [None, Some(6)] {
        assert_eq!(held.scan_after(&bytes, other).damage, None);
    }
    // Torn behind it as well: the page counts, it comes first.
    bytes.truncate(bytes.len() - 1);
    assert_eq!(held.scan_after(&bytes, Some(7)).end, before);
    assert_eq!(held.scan_after(&bytes, None).end as usize, log.last_end(bytes.len()));
}

#[test]
fn a_wrong_byte_for_no_reason_is_cut_at_the_last_right_checksum() {
    let held = Held::new("wrong");
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1").annotate(0);
    let believed = log.bytes.len();
    log.set("b", "2").set("c", "3");
    let value = log.bytes.len() - 3;
    log.annotate(0);
    let mut bytes = log.bytes.clone();
    bytes[value] = b'4';
    assert_eq!(held.scan(&bytes).end as usize, believed);
    // An argument fewer: the structure is wrong only behind the command that lost it.
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let before = log.bytes.len();
    log.unit(&[&["DEL", "b", "c"]]);
    let mut bytes = log.bytes.clone();
    bytes[before + 1] = b'2';
    assert_eq!(held.scan(&bytes).end as usize, before);
}

#[test]
fn what_another_server_wrote_is_taken_and_promises_nothing() {
    let held = Held::new("foreign");
    let mut foreign = SampleLog::new(0, 0);
    foreign
        .time(1_795_000_000)
        .unit(&[&["select", "0"]])
        .set("a", "1")
        .unit(&[&["incr", "a"], &["incr", "a"]]);
    let scan = held.scan(&foreign.bytes);
    assert_eq!((scan.damage, scan.is_ours, scan.origin), (None, false, None));
    // Behind our log.
    let mut ours = SampleLog::begun(7, 0);
    ours.set("a", "1").stop();
    let bytes = [ours.bytes.as_slice(), &foreign.bytes].concat();
    let scan = held.scan(&bytes);
    assert_eq!((scan.damage, scan.end, scan.is_ours), (None, bytes.len() as u64, true));
    // Our lines copied to another place.
    let bytes = [foreign.bytes.as_slice(), b"#PD:x\r\n#PD\n", &ours.bytes].concat();
    let scan = held.scan(&bytes);
    assert!(scan.damage.is_some_and(|it| it.kind == FlawKind::Alien), "its checksum covers more");
}

#[test]
fn a_line_in_a_value_is_no_annotation() {
    let held = Held::new("embedded");
    let mut inner = SampleLog::begun(7, 0);
    inner.set("x", "y").annotate(0);
    let text = String::from_utf8(inner.bytes.clone()).unwrap();
    let mut log = SampleLog::begun(7, 0);
    log.set("a", "1");
    let before = log.bytes.len();
    log.set("log", &format!("{text}{text}")).annotate(0);
    let scan = held.scan(&log.bytes);
    assert_eq!((scan.damage, scan.units), (None, 2));
    // Not behind damage either: they tell other places than their own.
    let mut bytes = log.bytes[..log.bytes.len() - 1].to_vec();
    bytes[before] = 0;
    let scan = held.scan(&bytes);
    assert_eq!((scan.end as usize, scan.promised_here), (before, 0));
}

#[test]
fn structure_is_as_strict_as_redis_and_the_parser_that_replays() {
    let held = Held::new("strict");
    let good = b"*1\r\n$4\r\nPING\r\n";
    for (bad, kind) in [
        (&b"PING\r\n"[..], FlawKind::Alien),
        (b"*0\r\n", FlawKind::Alien),
        (b"*-1\r\n", FlawKind::Alien),
        (b"*01\r\n$4\r\nPING\r\n", FlawKind::Alien),
        (b"*1\n$4\r\nPING\r\n", FlawKind::Alien),
        (b"*1\r\n$4\r\nPINGxx", FlawKind::Alien),
        (b"*1\r\n:4\r\n", FlawKind::Alien),
        (b"*1\r\n$999999999999\r\n", FlawKind::Alien),
        (b"*99999999999\r\n", FlawKind::Alien),
        (b"*1\r\n$4\r\nEXEC\r\n", FlawKind::Alien),
        (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n", FlawKind::Alien),
        (b"*1\r\n$5\r\nMULTI\r\n", FlawKind::Ends),
        (b"*1\r\n$5\r\nmulti\r\n*1\r\n$4\r\nPING\r\n#TS:1\r\n", FlawKind::Ends),
        (b"*1\r\n$600\r\n", FlawKind::Ends),
        (b"*", FlawKind::Ends),
        (b"#TS:17", FlawKind::Ends),
        (b"\0", FlawKind::Zeros),
        (b"*1\r\n$4\r\nPING\0\0", FlawKind::Zeros),
        (b"#TS:\0\0\0\r\n", FlawKind::Zeros),
    ] {
        let bytes = [&good[..], bad].concat();
        let scan = held.scan(&bytes);
        let shown = bad.escape_ascii().to_string();
        assert_eq!(scan.damage.map(|it| it.kind), Some(kind), "{shown}");
        assert_eq!(scan.end as usize, good.len(), "{shown}");
    }
    let long = [&good[..], b"#", &[b'x'; 1021], b"\n"].concat();
    assert_eq!(held.scan(&long).damage, None);
    let longer = [&good[..], b"#", &[b'x'; 1022], b"\n"].concat();
    assert_eq!(held.scan(&longer).damage.unwrap().kind, FlawKind::Alien);
}

#[test]
fn pieces_that_do_not_fit_the_buffer_are_read_as_well() {
    let held = Held::new("large");
    let mut log = SampleLog::begun(7, 0);
    for number in 0..40 {
        log.set(&format!("key-{number}"), &"v".repeat(number * 10_007)).annotate(0);
    }
    let before = log.bytes.len();
    log.set("huge", &"v".repeat(3 << 20)).set("last", "1").stop();
    let scan = held.scan(&log.bytes);
    assert_eq!((scan.damage, scan.units), (None, 42));
    let mut bytes = log.bytes.clone();
    bytes[before + 1] = b'9';
    let scan = held.scan(&bytes);
    assert_eq!((scan.end as usize, scan.breaks_promise()), (before, true));
    // Damage at the begin: the lines behind it are found wherever pieces of the file part them.
    bytes.clone_from(&log.bytes);
    let first = log.ends[2];
    bytes[first] = b'x';
    let scan = held.scan(&bytes);
    let right = log.bytes.len() - log.ends[4];
    assert!(scan.breaks_promise() && scan.true_after_bytes as usize > right - 1000, "{scan:?}");
}
