//! What the codec allocates, watched by a counting global allocator: a save nothing at all after
//! `SaveScratch::new` (I1), a load of a file with lying lengths no more than the file warrants
//! (I7), a load of large collections only small pieces. A binary of its own, because the allocator
//! is the whole process's; counts are per thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking
#![allow(unsafe_code)] // the counting allocator

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use perdure_engine::aof::save_commands;
use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{self, LoadOptions, SaveOptions, SaveScratch};
use perdure_engine::value::NewValue;

#[allow(dead_code)] // a part of the pen is used
#[path = "rdb/encoder.rs"]
mod encoder;

use encoder as pen;

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

/// A file in the temporary directory, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("perdure-{name}-{}.rdb", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const ELEMENTS: usize = 200_000;

fn text(number: usize) -> Vec<u8> {
    format!("element:{number:026}").into_bytes()
}

/// A collection of [`ELEMENTS`] elements of 34 bytes: its type number and value.
fn large(type_number: u8) -> Vec<u8> {
    let texts: Vec<Vec<u8>> = (0..ELEMENTS).map(text).collect();
    let elements: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    match type_number {
        4 => pen::strings(ELEMENTS / 2, &elements),
        5 => {
            let scored = |(number, member): (usize, &&'_ [u8])| -> Vec<u8> {
                [pen::string(member).as_slice(), &(number as f64).to_le_bytes()].concat()
            };
            let members: Vec<u8> = elements.iter().enumerate().flat_map(scored).collect();
            [pen::length(ELEMENTS as u64), members].concat()
        }
        14 => {
            let nodes: Vec<&[&[u8]]> = elements.chunks(200).collect();
            pen::quicklist_1(&nodes)
        }
        18 => {
            let nodes: Vec<_> = elements.chunks(200).map(pen::Node::Packed).collect();
            pen::quicklist_2(&nodes)
        }
        _ => pen::strings(ELEMENTS, &elements),
    }
}

const LARGE_TYPES: [(u8, &str); 6] =
    [(1, "list"), (2, "set"), (4, "hash"), (5, "zset"), (14, "quicklist"), (18, "quicklist 2")];

/// Add large and small collections of every type.
fn load_collections(scratch: &Scratch) -> Keyspace {
    let mut file = pen::File::new(12);
    for (type_number, name) in LARGE_TYPES {
        file.key(type_number, name, &large(type_number));
    }
    file.key(11, "ints", &pen::string(&pen::intset(4, &[1, 2, 70_000])));
    file.key(16, "small hash", &pen::string(&pen::listpack(&[b"f", b"v"])));
    file.key(17, "small zset", &pen::string(&pen::listpack(&[b"m", b"1.5"])));
    file.key(20, "small set", &pen::string(&pen::listpack(&[b"a", b"b"])));
    std::fs::write(&scratch.0, file.end(true)).unwrap();
    let progress = &mut |_, _| true;
    rdb::load(&scratch.0, LoadOptions::new(16, progress)).unwrap().0
}

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
    let scratch = Scratch::new("allocation");
    save_counted(&keyspace(), &scratch, 6);
    // About every MiB, so within a collection too.
    save_counted(&load_collections(&scratch), &scratch, 15);
    // The counter counts: this test can fail.
    let before = CALLS.get();
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(CALLS.get() - before, 2);
}

fn save_counted(keyspace: &Keyspace, scratch: &Scratch, told_min: u64) {
    for (is_compressed, is_checksummed) in [(true, true), (false, false)] {
        let options = SaveOptions { is_compressed, is_checksummed, ..SaveOptions::default() };
        let file = std::fs::File::create(&scratch.0).unwrap();
        let mut work = SaveScratch::new(&options);
        let mut told = 0;
        let before = CALLS.get();
        let saved = rdb::save(keyspace, &options, &mut work, file.as_raw_fd(), &mut |_| {
            told += 1;
            true
        });
        let after = CALLS.get();
        assert_eq!(after - before, 0, "calls of the allocator while saving");
        assert_eq!(saved.unwrap().keys, keyspace.len() as u64);
        assert!(told >= told_min, "told {told} times");
    }
    let options = SaveOptions { is_timestamped: true, ..SaveOptions::default() };
    let file = std::fs::File::create(&scratch.0).unwrap();
    let mut work = SaveScratch::new(&options);
    let before = CALLS.get();
    let saved = save_commands(keyspace, &options, &mut work, file.as_raw_fd(), &mut |_| true);
    assert_eq!(CALLS.get() - before, 0, "calls of the allocator while saving commands");
    assert_eq!(saved.unwrap().keys, keyspace.len() as u64);
}

#[test]
fn a_large_collection_is_read_in_small_pieces() {
    let scratch = Scratch::new("large");
    for (type_number, name) in LARGE_TYPES {
        let mut file = pen::File::new(12);
        file.key(type_number, name, &large(type_number));
        std::fs::write(&scratch.0, file.end(true)).unwrap();
        LARGEST_BYTES.set(0);
        let progress = &mut |_, _| true;
        let (keyspace, _) = rdb::load(&scratch.0, LoadOptions::new(16, progress)).unwrap();
        assert!(keyspace.memory_bytes() > ELEMENTS * 34, "{name}");
        // What the keyspace holds comes through another allocator: `rdb::load` has its test.
        assert!(LARGEST_BYTES.get() < 256 << 10, "{name}: {} at once", LARGEST_BYTES.get());
    }
}

/// Files of a few dozen bytes that claim gigabytes: refused, or loaded, in little memory.
#[test]
fn a_file_with_lying_lengths_gets_no_memory_for_them() {
    let Scratch(path) = &Scratch::new("lying");
    let all_ones = [&[0x81], [0xFF; 8].as_slice()].concat();
    let half_gib = [0x80, 0x20, 0, 0, 0];
    let lzf = [b"\0\x01k\xC3\x03".as_slice(), &half_gib, &[0xE0, 0xFF, 0]].concat();
    let sizes = [&[0xFB], all_ones.as_slice(), &all_ones, b"\0\x01k\x01v"].concat();
    let plain = [b"\0\x01k".as_slice(), &half_gib].concat();
    let mut items = vec![(lzf, false), (plain, false), (sizes, true)];
    for type_number in [1, 2, 3, 4, 5, 14, 18] {
        for count in [&half_gib[..], &all_ones] {
            items.push(([&[type_number, 1, b'k'], count, b"\x01a\x01b"].concat(), false));
        }
    }
    // Packed forms whose own header claims half a GiB.
    for (type_number, header) in [(10, 4), (13, 4), (11, 8), (16, 4), (20, 4), (9, 6)] {
        let blob: Vec<u8> =
            [0xFE, 0xFF, 0xFF, 0xFF, 0x1F].into_iter().cycle().take(header + 9).collect();
        items.push(([&[type_number, 1, b'k'], pen::string(&blob).as_slice()].concat(), false));
    }
    for (item, is_loaded) in items {
        let bytes = [b"REDIS0010".as_slice(), &item, &[0xFF; 1], &[0; 8]].concat();
        std::fs::write(path, bytes).unwrap();
        LARGEST_BYTES.set(0);
        let progress = &mut |_, _| true;
        let options = LoadOptions::new(16, progress);
        let loaded = rdb::load(path, options);
        assert!(LARGEST_BYTES.get() < 100_000, "{} bytes at once", LARGEST_BYTES.get());
        assert_eq!(loaded.is_ok(), is_loaded);
        if let Ok((keyspace, _)) = loaded {
            assert!(keyspace.memory_bytes() < 1 << 20, "{} bytes", keyspace.memory_bytes());
        }
    }
}
