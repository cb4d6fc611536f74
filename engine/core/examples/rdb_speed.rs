//! How long saving, loading and verifying take: `rdb_speed [KEYS] [VALUE BYTES] [FILE]`.
//! Keys of 16 bytes; values are noise (nothing to pack), then text (packs well). Prints seconds of
//! the best of five and the processor seconds of the calling thread and of the whole process in
//! that run (other work on the machine counts less there). Run with
//! `cargo run --release --example rdb_speed`.
#![allow(unsafe_code)] // reads the processor clocks

use std::path::{Path, PathBuf};
use std::time::Instant;

use perdure_engine::durable;
use perdure_engine::error::EngineError;
use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::{self, LoadOptions, SaveOptions, SaveScratch};
use perdure_engine::value::NewValue;

const RUNS: usize = 5;

fn main() -> Result<(), EngineError> {
    let mut words = std::env::args().skip(1);
    let mut number = |default| words.next().and_then(|word| word.parse().ok()).unwrap_or(default);
    let (keys, value_bytes) = (number(1_000_000), number(64) as usize);
    let in_temp = || std::env::temp_dir().join(format!("rdb-speed-{}.rdb", std::process::id()));
    let path = words.next().map_or_else(in_temp, PathBuf::from);
    for (name, is_noise) in [("noise", true), ("text", false)] {
        let keyspace = fill(keys, value_bytes, is_noise);
        for is_compressed in [true, false] {
            let (saved, size_bytes) = best(|| save(&keyspace, is_compressed, &path))?;
            let (loaded, count) = best(|| load(&path))?;
            let (verified, _) = best(|| rdb::verify(&path, &mut |_, _| true))?;
            println!(
                "{name}: {count} keys, rdbcompression {}: {size_bytes} bytes",
                if is_compressed { "yes" } else { "no" },
            );
            for (what, cost) in [("save", saved), ("load", loaded), ("verify", verified)] {
                let Cost { wall, thread, process } = cost;
                println!("  {what:<6} {wall:.3} s (cpu: thread {thread:.3}, process {process:.3})");
            }
        }
    }
    // A file that is gone already is as good.
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// Seconds, a save's fsync included.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    thread: f64,
    process: f64,
}

/// What the fastest run cost, and what it gave.
fn best<T>(mut run: impl FnMut() -> Result<T, EngineError>) -> Result<(Cost, T), EngineError> {
    let cpu = || [libc::CLOCK_THREAD_CPUTIME_ID, libc::CLOCK_PROCESS_CPUTIME_ID].map(seconds_of);
    let mut once = || {
        let (started, before) = (Instant::now(), cpu());
        let made = run()?;
        let (wall, after) = (started.elapsed().as_secs_f64(), cpu());
        let cost = Cost { wall, thread: after[0] - before[0], process: after[1] - before[1] };
        Ok::<_, EngineError>((cost, made))
    };
    let mut fastest = once()?;
    for _ in 1..RUNS {
        let next = once()?;
        if next.0.wall < fastest.0.wall {
            fastest = next;
        }
    }
    Ok(fastest)
}

fn seconds_of(clock: libc::clockid_t) -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills a struct of ours.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn fill(keys: u64, value_bytes: usize, is_noise: bool) -> Keyspace {
    let mut keyspace = Keyspace::new(16);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut value = vec![0; value_bytes];
    for number in 0..keys {
        for (place, byte) in value.iter_mut().enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = if is_noise { state as u8 } else { b'a' + (place % 12) as u8 };
        }
        let name = format!("key:{number:012}");
        keyspace.db_mut(0).set(name.as_bytes(), NewValue::Bytes(&value), Expiry::Never);
    }
    keyspace
}

fn save(keyspace: &Keyspace, is_compressed: bool, path: &Path) -> Result<u64, EngineError> {
    let options = SaveOptions {
        is_compressed,
        is_checksummed: true,
        ctime_unix_s: 0,
        used_memory_bytes: keyspace.memory_bytes() as u64,
        ..SaveOptions::default()
    };
    let mut scratch = SaveScratch::new(&options);
    let mut size_bytes = 0;
    let prepared = durable::prepare_file(path, true, &mut |fd| {
        let saved = rdb::save(keyspace, &options, &mut scratch, fd, &mut |_| true)?;
        size_bytes = saved.size_bytes;
        Ok(saved.size_bytes)
    })?;
    prepared.commit()?;
    Ok(size_bytes)
}

fn load(path: &Path) -> Result<usize, EngineError> {
    let progress = &mut |_, _| true;
    let options = LoadOptions::new(16, progress);
    rdb::load(path, options).map(|(keyspace, _)| keyspace.len())
}
