//! Prints what operations on one large sorted set cost, and the bytes that an element takes.
//! `cargo run --release --example zset_speed [elements]`; for people to look at, not a test.
//! Not here: sockets, parsing, the engine lock (`bench/` measures the whole).

use perdure_engine::keyspace::Db;
use perdure_engine::value::packing::Packing;
use perdure_engine::value::{Type, ValueRef, ZSetMut, ZSetRef};

const MEMBER_BYTES: usize = 20;

/// The member of a number.
fn member_of(number: usize) -> [u8; MEMBER_BYTES] {
    let mut member = *b"element:000000000000";
    let (mut rest, mut place) = (number, MEMBER_BYTES);
    while rest > 0 {
        place -= 1;
        member[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    member
}

/// The numbers below `elements` in an order without order; another `turn`, another one.
fn scattered(elements: usize, turn: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..elements).collect();
    let mut state = turn;
    for place in (1..elements).rev() {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        numbers.swap(place, (mixed ^ (mixed >> 31)) as usize % (place + 1));
    }
    numbers
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

fn put(db: &mut Db, member: &[u8], score: f64) {
    db.edit_or_make(b"z", Type::ZSet, |value| {
        ZSetMut::of(value, Packing::default()).put(member, score);
    });
}

fn read(db: &Db) -> Option<ZSetRef<'_>> {
    match db.get(b"z")?.value() {
        ValueRef::ZSet(zset) => Some(zset),
        _ => None,
    }
}

/// Fill, change, read and drain one set whose scores are what `score` makes of a number.
fn measure(name: &str, elements: usize, score: impl Fn(usize) -> f64) {
    println!("{name}:");
    let mut db = Db::new();
    let (one, other) = (scattered(elements, 1), scattered(elements, 2));
    report("  ZADD, new", elements, || {
        one.iter().for_each(|it| put(&mut db, &member_of(*it), score(*it)));
    });
    println!("  bytes an element {:>25.1}", db.memory_bytes() as f64 / elements as f64);
    let mut total = 0;
    report("  ZADD, the same score", elements, || {
        other.iter().for_each(|it| put(&mut db, &member_of(*it), score(*it)));
    });
    report("  ZRANK", elements, || {
        for it in &other {
            let rank = read(&db).and_then(|zset| zset.rank(&member_of(*it)));
            total += rank.map_or(0, |(rank, _)| rank);
        }
    });
    report("  walk", elements, || {
        total += read(&db).map_or(0, |zset| zset.iter().map(|(member, _)| member.len()).sum());
    });
    report("  ZADD, another score", elements, || {
        for it in &other {
            put(&mut db, &member_of(*it), score(elements - 1 - it) + 1.0);
        }
    });
    report("  ZPOPMIN", elements / 2, || {
        (0..elements / 2).for_each(|_| {
            db.edit(b"z", |value| ZSetMut::of(value, Packing::default()).remove_range(0, 1));
        });
    });
    report("  ZREM", elements, || {
        for it in &one {
            db.edit(b"z", |value| ZSetMut::of(value, Packing::default()).remove(&member_of(*it)));
        }
    });
    println!("  ({total})");
}

fn main() {
    let elements: usize =
        std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let scores = scattered(elements, 3);
    measure("scores that differ", elements, |it| scores[it] as f64);
    measure("one score", elements, |_| 0.0);
    let mut db = Db::new();
    report("in order, as a load", elements, || {
        (0..elements).for_each(|it| put(&mut db, &member_of(it), it as f64));
    });
    println!("  bytes an element {:>25.1}", db.memory_bytes() as f64 / elements as f64);
}
