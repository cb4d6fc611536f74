//! What the codec allocates, watched by a counting global allocator: a save nothing at all after
//! `SaveScratch::new` (I1), a load of a file with lying lengths no more than the file warrants
//! (I7). A binary of its own, because the allocator is the whole process's; counts are per thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(unsafe_code)] // the counting allocator

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::AsRawFd;

use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{self, LoadOptions, SaveOptions, SaveScratch};
use perdure_engine::value::NewValue;

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LARGEST_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn note(size_bytes: usize) {
    CALLS.set(CALLS.get() + 1);
    LARGEST_BYTES.set(LARGEST_BYTES.get().max(size_bytes));
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(0);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(16);
    for number in 0..30_000_i64 {
        let name = format!("key:{number}");
        let expiry = if number % 3 == 0 { Expiry::At(4_000_000_000_000) } else { Expiry::Never };
        let db = keyspace.db_mut((number % 5) as usize);
        match number % 4 {
            0 => db.set(name.as_bytes(), NewValue::Int(number << (number % 48)), expiry),
            1 => db.set(name.as_bytes(), NewValue::Bytes(b"short"), expiry),
            2 => db.set(name.as_bytes(), NewValue::Bytes(&[b'z'; 300]), expiry),
            _ => db.set(name.as_bytes(), NewValue::Bytes(name.repeat(7).as_bytes()), expiry),
        };
    }
    // Longer than the memory for packing (a mapping is taken) and than the write buffer.
    let noise: Vec<u8> = (0..5_000_000_u64).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    keyspace.db_mut(0).set(b"noise", NewValue::Bytes(&noise), Expiry::Never);
    keyspace.db_mut(0).set(b"zeros", NewValue::Bytes(&vec![0; 5_000_000]), Expiry::Never);
    keyspace
}

#[test]
fn a_save_allocates_and_frees_nothing() {
    let keyspace = keyspace();
    let name = format!("perdure-allocation-{}.rdb", std::process::id());
    let path = std::env::temp_dir().join(name);
    for (is_compressed, is_checksummed) in [(true, true), (false, false)] {
        let options =
            SaveOptions { is_compressed, is_checksummed, ctime_unix_s: 1, used_memory_bytes: 1 };
        let file = std::fs::File::create(&path).unwrap();
        let mut scratch = SaveScratch::new(&options);
        let mut told = 0;
        let before = CALLS.get();
        let saved = rdb::save(&keyspace, &options, &mut scratch, file.as_raw_fd(), &mut |_| {
            told += 1;
            true
        });
        let after = CALLS.get();
        assert_eq!(after - before, 0, "calls of the allocator while saving");
        assert_eq!(saved.unwrap().keys, keyspace.len() as u64);
        assert!(told > 5);
    }
    std::fs::remove_file(path).unwrap();
    // The counter counts: this test can fail.
    let before = CALLS.get();
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(CALLS.get() - before, 2);
}

/// Files of a few dozen bytes that claim gigabytes: refused, or loaded, in little memory.
#[test]
fn a_file_with_lying_lengths_gets_no_memory_for_them() {
    let name = format!("perdure-lying-{}.rdb", std::process::id());
    let path = std::env::temp_dir().join(name);
    let all_ones = [&[0x81], [0xFF; 8].as_slice()].concat();
    let half_gib = [0x80, 0x20, 0, 0, 0];
    let lzf = [b"\0\x01k\xC3\x03".as_slice(), &half_gib, &[0xE0, 0xFF, 0]].concat();
    let sizes = [&[0xFB], all_ones.as_slice(), &all_ones, b"\0\x01k\x01v"].concat();
    let plain = [b"\0\x01k".as_slice(), &half_gib].concat();
    for (item, is_loaded) in [(lzf, false), (plain, false), (sizes, true)] {
        let bytes = [b"REDIS0010".as_slice(), &item, &[0xFF; 1], &[0; 8]].concat();
        std::fs::write(&path, bytes).unwrap();
        LARGEST_BYTES.set(0);
        let progress = &mut |_, _| true;
        let options = LoadOptions::new(16, progress);
        let loaded = rdb::load(&path, options);
        assert!(LARGEST_BYTES.get() < 100_000, "{} bytes at once", LARGEST_BYTES.get());
        assert_eq!(loaded.is_ok(), is_loaded);
        if let Ok((keyspace, _)) = loaded {
            assert!(keyspace.memory_bytes() < 1 << 20, "{} bytes", keyspace.memory_bytes());
        }
    }
    std::fs::remove_file(path).unwrap();
}
