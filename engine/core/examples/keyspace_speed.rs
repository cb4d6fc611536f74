//! Prints what a SET and a GET cost in the keyspace alone, and the bytes that a key takes.
//! `cargo run --release --example keyspace_speed [keys]`; for people to look at, not a test.
//! Not here: sockets, parsing, the engine lock (`bench/` measures the whole).

use perdure_engine::keyspace::{Db, EntryRef, Expiry, KeyHash};
use perdure_engine::value::{NewValue, ValueRef};

const KEY_BYTES: usize = 16;
const VALUE: [u8; 64] = [b'v'; 64];
const BATCH: usize = 64;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// The key of a number; numbers are drawn in an order that the hash does not know anyway.
fn key_of(number: usize) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    let (mut rest, mut place) = (number, KEY_BYTES);
    while rest > 0 {
        place -= 1;
        key[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Keys of one whole round in a scattered order.
fn scattered(keys: usize) -> impl Iterator<Item = [u8; KEY_BYTES]> {
    let stride = 611_953;
    (0..keys).map(move |turn| key_of(turn * stride % keys))
}

/// Nanoseconds that this thread has been on a processor: other work on the machine does not count.
fn cpu_nanos() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

fn report(name: &str, count: usize, work: impl FnOnce()) {
    let start = cpu_nanos();
    work();
    println!("{name:<34} {:>8.1} ns of CPU", (cpu_nanos() - start) as f64 / count as f64);
}

fn length(entry: Option<EntryRef<'_>>) -> usize {
    match entry.map(EntryRef::value) {
        Some(ValueRef::Bytes(bytes)) => bytes.len() + usize::from(bytes[0] == 0),
        _ => 0,
    }
}

/// As a pipeline batch does it: hash and ask for slots, ask for entries, then execute.
fn in_batches(db: &mut Db, keys: usize, mut execute: impl FnMut(&mut Db, KeyHash, &[u8])) {
    let mut batch = Vec::with_capacity(BATCH);
    for key in scattered(keys) {
        batch.push((db.prefetch(&key), key));
        if batch.len() == BATCH {
            batch.iter().for_each(|(hash, _)| db.prefetch_entry(*hash));
            batch.drain(..).for_each(|(hash, key)| execute(db, hash, &key));
        }
    }
}

fn main() {
    let keys: usize =
        std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let before = resident_bytes();
    let mut db = Db::new();
    let value = NewValue::Bytes(&VALUE);
    report("SET, new", keys, || {
        scattered(keys).for_each(|key| {
            db.set(&key, value, Expiry::Never);
        });
    });
    let (used, resident) = (db.memory_bytes(), resident_bytes().saturating_sub(before));
    let mut total = 0;
    report("SET, replaced", keys, || {
        scattered(keys).for_each(|key| {
            db.set(&key, value, Expiry::Never);
        });
    });
    report("GET", keys, || {
        total += scattered(keys).map(|key| length(db.get(&key))).sum::<usize>();
    });
    report("SET, replaced, prefetched by 64", keys, || {
        in_batches(&mut db, keys, |db, hash, key| {
            db.set_hashed(hash, key, value, Expiry::Never);
        });
    });
    report("GET, prefetched by 64", keys, || {
        in_batches(&mut db, keys, |db, hash, key| total += length(db.get_hashed(hash, key)));
    });
    report("walk", keys, || total += db.iter().map(|entry| length(Some(entry))).sum::<usize>());
    println!(
        "bytes a key: {:.1} counted, {:.1} resident",
        used as f64 / keys as f64,
        resident as f64 / keys as f64
    );
    let mut loaded = Db::new();
    report("SET, new, in hash order, reserved", keys, || {
        loaded.reserve(keys);
        db.iter().for_each(|entry| {
            if let ValueRef::Bytes(bytes) = entry.value() {
                loaded.set(entry.key(), NewValue::Bytes(bytes), Expiry::Never);
            }
        });
    });
    report("drop", keys, || drop(db));
    println!("({total} value bytes read)");
}
