//! A save allocates nothing after `SaveScratch::new` (I1): a counting global allocator watches it.
//! A binary of its own, because the allocator is the whole process's.

#![allow(unsafe_code)] // the counting allocator

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{self, SaveOptions, SaveScratch};
use perdure_engine::value::NewValue;

struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::SeqCst);
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
        let before = CALLS.load(Ordering::SeqCst);
        let saved = rdb::save(&keyspace, &options, &mut scratch, file.as_raw_fd(), &mut |_| {
            told += 1;
            true
        });
        let after = CALLS.load(Ordering::SeqCst);
        assert_eq!(after - before, 0, "calls of the allocator while saving");
        assert_eq!(saved.unwrap().keys, keyspace.len() as u64);
        assert!(told > 5);
    }
    std::fs::remove_file(path).unwrap();
    // The counter counts: this test can fail.
    let before = CALLS.load(Ordering::SeqCst);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(CALLS.load(Ordering::SeqCst) - before, 2);
}
