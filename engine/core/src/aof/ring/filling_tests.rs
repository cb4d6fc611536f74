//! Each rule of filling, on files made by hand; a real start over them is `recover`'s tests'.
#![allow(clippy::unwrap_used, clippy::panic)] // how a test fails

use std::time::{Duration, SystemTime};

use super::*;
use crate::aof::annotation::{Annotation, FIELD_BYTES};
use crate::aof::manifest::Listed;
use crate::aof::ring::Ring;

const EPOCH: u64 = 7;

struct Bench {
    dir: PathBuf,
    layout: Layout,
    manifest: Manifest,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    /// A log of two incrementals, numbers 1 and 2.
    fn new(name: &str) -> Self {
        let unique = format!("perdure-filling-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let layout = Layout { directory: dir.clone(), filename: "my.aof".to_owned() };
        let mut manifest = Manifest::default();
        for seq in [1, 2] {
            manifest.add_incr(Listed { name: layout.incr_name(seq), seq });
        }
        Self { dir, layout, manifest }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.layout.path(&self.layout.incr_name(seq))
    }

    fn put(&self, seq: u64, bytes: &[u8]) {
        std::fs::write(self.path(seq), bytes).unwrap();
    }

    fn get(&self, seq: u64) -> Vec<u8> {
        std::fs::read(self.path(seq)).unwrap()
    }

    /// Commit bytes as (number of the file, offset, bytes).
    fn commit(&self, put: &[(u64, usize, &[u8])]) {
        let mut ring = Ring::open(&self.layout.ring()).unwrap();
        for (seq, offset, payload) in put {
            let offset = *offset as u64;
            ring.commit(&Record { epoch: EPOCH, seq: *seq, offset, payload }).unwrap();
        }
    }

    /// What [`missing`] tells is what [`fill`] fills in, and then nothing is missing.
    fn fill(&self) -> Vec<(u64, u64)> {
        let told = missing(&self.layout, &self.manifest, &[EPOCH]).unwrap();
        let filled = fill(&self.layout, &self.manifest, &[EPOCH]).unwrap();
        assert_eq!(told, filled);
        assert_eq!(missing(&self.layout, &self.manifest, &[EPOCH]).unwrap(), []);
        filled.iter().map(|it| (it.offset, it.bytes)).collect()
    }

    fn refused_at(&self) -> u64 {
        let before = [1, 2].map(|seq| std::fs::read(self.path(seq)).ok());
        let error = missing(&self.layout, &self.manifest, &[EPOCH]).unwrap_err();
        assert_eq!(error.code, "AOF_RING_DIFFERS");
        let again = fill(&self.layout, &self.manifest, &[EPOCH]).unwrap_err();
        assert_eq!(again.message, error.message);
        assert_eq!([1, 2].map(|seq| std::fs::read(self.path(seq)).ok()), before, "nothing changed");
        let at = again.context.iter().find(|(name, _)| *name == "offset").unwrap();
        at.1.parse().unwrap()
    }
}

/// A file's first line, and what follows it: bytes with zeros among them.
fn whole(epoch: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let line = Annotation { epoch, offset: 0, fsynced: 0, unix_ms: 1 };
    let field = line.write(&mut bytes);
    bytes[field..field + FIELD_BYTES].fill(b'a');
    bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$9\r\nab\0\0cd\0ef\r\n");
    bytes
}

#[test]
fn a_file_that_was_cut_anywhere_is_whole_again() {
    let bench = Bench::new("cut");
    let whole = whole(EPOCH);
    for size in 0..=whole.len() {
        for begin in [0, size.saturating_sub(1), size] {
            bench.put(1, &whole[..size]);
            bench.commit(&[(1, begin, &whole[begin..])]);
            let lacked = whole.len() - size;
            let filled = if lacked == 0 { vec![] } else { vec![(size as u64, lacked as u64)] };
            assert_eq!(bench.fill(), filled, "cut at {size}, the record begins at {begin}");
            assert_eq!(bench.get(1), whole);
        }
    }
}

#[test]
fn zeros_anywhere_are_filled_in() {
    let bench = Bench::new("zeros");
    let whole = whole(EPOCH);
    for from in 0..whole.len() {
        for to in [from + 1, from + 9, whole.len()] {
            let mut lost = whole.clone();
            let to = to.min(whole.len());
            lost[from..to].fill(0);
            let places = (from..to).filter(|at| whole[*at] != 0);
            let bytes = places.clone().count() as u64;
            let filled: Vec<_> = places.clone().take(1).map(|at| (at as u64, bytes)).collect();
            bench.put(1, &lost);
            bench.commit(&[(1, 0, &whole)]);
            assert_eq!(bench.fill(), filled, "zeros from {from} to {to}");
            assert_eq!(bench.get(1), whole);
        }
    }
}

#[test]
fn zeros_and_a_lost_end_in_one_record_are_filled_in() {
    let bench = Bench::new("both");
    let whole = whole(EPOCH);
    let end = whole.len();
    let mut lost = whole[..end - 5].to_vec();
    lost[end - 20..end - 18].fill(0);
    bench.put(1, &lost);
    bench.commit(&[(1, end - 30, &whole[end - 30..])]);
    let zeroed = whole[end - 20..end - 18].iter().filter(|byte| **byte != 0).count() as u64;
    let filled = bench.fill();
    assert_eq!(filled.iter().map(|it| it.1).sum::<u64>(), zeroed + 5);
    assert_eq!(bench.get(1), whole);
}

#[test]
fn records_are_taken_in_the_order_of_their_places_and_may_lie_over_another() {
    let bench = Bench::new("order");
    let whole = whole(EPOCH);
    let end = whole.len();
    bench.put(1, &whole[..end - 20]);
    let from = |at: usize, to: usize| (1, end - at, &whole[end - at..end - to]);
    bench.commit(&[from(8, 0), from(30, 15), from(20, 15), from(15, 8)]);
    assert_eq!(bench.fill(), [(end as u64 - 20, 20)]);
    assert_eq!(bench.get(1), whole);
}

#[test]
fn a_record_that_is_wholly_there_changes_nothing() {
    let bench = Bench::new("stale");
    let whole = whole(EPOCH);
    let behind = [whole.as_slice(), b"what came later"].concat();
    bench.put(1, &behind);
    bench.commit(&[(1, 0, &whole), (1, 20, &whole[20..40])]);
    assert_eq!(bench.fill(), []);
    assert_eq!(bench.get(1), behind);
}

#[test]
fn several_files_are_filled_and_others_are_nobody_s() {
    let bench = Bench::new("files");
    let whole = whole(EPOCH);
    for seq in [1, 2, 3] {
        bench.put(seq, &whole[..whole.len() - seq as usize]);
    }
    let put = [3, 2, 1, 4].map(|seq| (seq, 0, whole.as_slice()));
    bench.commit(&put);
    assert_eq!(bench.fill().len(), 2);
    assert_eq!([bench.get(1), bench.get(2)], [whole.clone(), whole.clone()]);
    assert_eq!(bench.get(3), whole[..whole.len() - 3], "not in the manifest");
    assert!(!bench.path(4).exists());
}

#[test]
fn a_listed_file_that_is_not_there_is_for_others_to_refuse() {
    let bench = Bench::new("gone");
    bench.commit(&[(1, 0, &whole(EPOCH))]);
    assert_eq!(bench.fill(), []);
    assert!(!bench.path(1).exists());
}

#[test]
fn the_ring_of_another_log_is_not_heeded() {
    let bench = Bench::new("another");
    let ours = whole(EPOCH);
    let behind = (1, ours.len() + 9, b"behind the end".as_slice());
    for head in [whole(EPOCH + 1), b"*1\r\n$4\r\nPING\r\n".to_vec(), vec![b'x'; LINE_BYTES_MAX]] {
        bench.put(1, &head);
        bench.commit(&[(1, 0, &ours), behind]);
        assert_eq!(bench.fill(), []);
        assert_eq!(bench.get(1), head);
    }
}

#[test]
fn a_byte_that_is_another_is_refused_wherever_it_is() {
    let bench = Bench::new("byte");
    let whole = whole(EPOCH);
    let begin = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bench.put(2, &whole[..whole.len() - 1]);
    for at in begin..whole.len() {
        let mut other = whole.clone();
        other[at] = b'?';
        bench.put(1, &other[..whole.len().min(at + 3)]);
        bench.commit(&[(1, 0, &whole), (2, 0, &whole)]);
        assert_eq!(bench.refused_at(), at as u64);
    }
}

#[test]
fn a_record_behind_the_end_is_refused_unless_one_before_reaches_it() {
    let bench = Bench::new("behind");
    let whole = whole(EPOCH);
    let size = whole.len() - 20;
    bench.put(1, &whole[..size]);
    bench.put(2, &[]);
    let gap = (1, size + 1, &whole[size + 1..]);
    bench.commit(&[gap]);
    assert_eq!(bench.refused_at(), size as u64);
    bench.commit(&[(2, 0, &whole), gap]);
    assert_eq!(bench.refused_at(), size as u64, "and the other file is not filled");
    bench.commit(&[gap, (1, size - 4, &whole[size - 4..=size])]);
    assert_eq!(bench.fill(), [(size as u64, 20)]);
    bench.put(1, b"");
    bench.commit(&[(1, 5, &whole[5..])]);
    assert_eq!(bench.refused_at(), 0);
}

#[test]
fn what_is_no_ring_holds_nothing() {
    let bench = Bench::new("none");
    let whole = whole(EPOCH);
    bench.put(1, &whole[..40]);
    assert_eq!(bench.fill(), [], "none is there");
    bench.commit(&[(1, 0, &whole)]);
    let mut bytes = std::fs::read(bench.layout.ring()).unwrap();
    bytes[9] ^= 1; // its nonce
    for bytes in [bytes.as_slice(), &[], &[0; RING_BYTES], &bytes[..100]] {
        std::fs::write(bench.layout.ring(), bytes).unwrap();
        assert_eq!(bench.fill(), []);
        assert!(!holds_behind(&bench.path(1), 0).unwrap());
    }
    assert_eq!(bench.get(1), whole[..40]);
}

#[test]
fn filling_leaves_the_time_of_the_last_write() {
    let bench = Bench::new("time");
    let whole = whole(EPOCH);
    bench.put(1, &whole[..40]);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let file = OpenOptions::new().write(true).open(bench.path(1)).unwrap();
    file.set_modified(at).unwrap();
    bench.commit(&[(1, 0, &whole)]);
    assert_eq!(bench.fill().len(), 1);
    assert_eq!(bench.path(1).metadata().unwrap().modified().unwrap(), at);
}

#[test]
fn what_the_ring_holds_behind_a_place_is_known() {
    let bench = Bench::new("holds");
    bench.commit(&[(1, 10, b"0123456789")]);
    assert!(holds_behind(&bench.path(1), 19).unwrap());
    assert!(!holds_behind(&bench.path(1), 20).unwrap());
    assert!(!holds_behind(&bench.path(2), 0).unwrap());
    bench.commit(&[(2, 10, b"0123456789")]);
    assert!(holds_behind(&bench.path(1), 99).unwrap(), "a later file");
    assert!(!holds_behind(&bench.layout.path("my.aof"), 0).unwrap());
}

#[test]
fn a_file_that_does_not_tell_its_epoch_is_of_a_recent_one() {
    let bench = Bench::new("recent");
    bench.put(1, b"");
    bench.put(2, b"");
    bench.commit(&[(1, 0, b"old")]);
    let of = |recent: &[u64]| missing(&bench.layout, &bench.manifest, recent).unwrap().len();
    assert_eq!([of(&[]), of(&[EPOCH + 1]), of(&[EPOCH + 1, EPOCH])], [1, 0, 1]);
}
