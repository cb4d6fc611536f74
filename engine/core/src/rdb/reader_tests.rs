//! The reader over blocks: whatever is asked for at once comes whole and in order, read ahead or
//! not; what fails comes where the bytes would have stood.

use std::fs::File;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::crc::Crc64;
use super::{Manner, Reader};
use crate::read_ahead::{Blocks, HEADROOM_BYTES};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("perdure-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn crc_of(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::new();
    crc.update(bytes);
    crc.value()
}

/// Read `path` in pieces of all magnitudes, comparing bytes, offsets and checksums; stop early
/// after `bytes_max`. Gives what the end says.
fn read_in_pieces(path: &Path, whole: &[u8], seed: u64, bytes_max: usize) -> (u64, String) {
    let mut next = noise(seed);
    let manner = Manner { is_past_cache: false, is_digested: seed.is_multiple_of(2) };
    let mut progress = |done: u64, total: u64| done <= total;
    let mut reader = Reader::open(path, manner, &mut progress).unwrap();
    let mut at = 0;
    while at < bytes_max.min(whole.len()) {
        let magnitude = 1_usize << (next() % 21);
        let size = (next() as usize % magnitude + next() as usize % 2).min(whole.len() - at);
        assert_eq!(
            reader.take(size).unwrap(),
            &whole[at..at + size],
            "seed {seed}, {size} at {at}"
        );
        at += size;
        assert_eq!(reader.offset(), at as u64);
        if next().is_multiple_of(16) {
            assert_eq!(reader.checksum(), crc_of(&whole[..at]), "seed {seed} at {at}");
        }
    }
    if at == whole.len() {
        assert_eq!(reader.checksum(), crc_of(whole), "seed {seed}");
        assert_eq!(reader.take(1).unwrap_err().code, "RDB_TRUNCATED");
    }
    reader.finish().unwrap()
}

#[test]
fn bytes_come_whole_and_in_order_whatever_is_asked_for_at_once() {
    let mut next = noise(77);
    let whole: Vec<u8> = (0..9_000_000).map(|_| next() as u8).collect();
    for size in [0, 1, HEADROOM_BYTES, 262_144, 262_145, 524_289, 9_000_000] {
        let whole = &whole[..size];
        let scratch = Scratch::new("reader", whole);
        let sha256: String =
            Sha256::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect();
        for seed in 1..9 {
            let said = if seed % 2 == 0 { sha256.clone() } else { String::new() };
            assert_eq!(read_in_pieces(&scratch.0, whole, seed, size), (0, said.clone()));
            let (left, digest) = read_in_pieces(&scratch.0, whole, seed, size / 3);
            assert!(left <= size as u64);
            assert_eq!(digest, said, "{size} bytes, seed {seed}");
        }
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_truncated() {
    for (size, cut) in [(400_000, 100_000), (64 << 20, 7 << 20)] {
        let scratch = Scratch::new("cut", b"");
        let file = File::options().write(true).open(&scratch.0).unwrap();
        file.set_len(size).unwrap();
        let manner = Manner { is_past_cache: false, is_digested: true };
        let mut progress = |_, _| true;
        let mut reader = Reader::open(&scratch.0, manner, &mut progress).unwrap();
        file.set_len(cut).unwrap();
        let error = loop {
            if let Err(error) = reader.array::<1000>() {
                break error;
            }
        };
        assert_eq!(error.code, "RDB_TRUNCATED");
        assert_eq!(reader.offset(), cut / 1000 * 1000);
        assert_eq!(reader.finish().unwrap_err().code, "RDB_TRUNCATED", "of {size} bytes");
    }
}

#[test]
fn an_error_of_the_disk_reaches_the_parser() {
    for size in [1000, 64 << 20] {
        // Nothing is mapped at address 0 of this process: an I/O error.
        let mut blocks = Blocks::of(File::open("/proc/self/mem").unwrap(), size, false).unwrap();
        let error = blocks.next().err().expect("nothing is mapped at 0");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        assert!(blocks.next().is_ok_and(|block| block.is_none()) || size == 1000);
    }
}
