//! How long a fork holds the engine: `fork_4gib [GIB] [VALUE BYTES]`, 4 GiB of 64-byte values
//! unless said otherwise. Through the code of a cut: a fork on huge pages; one after a child under
//! which every 2 MiB were written to; one after the memory went back on huge pages. The child is
//! ended at once, so that nothing big is written. For people to look at, not a test.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use perdure_engine::clock::Clock;
use perdure_engine::config::Config;
use perdure_engine::error::{EngineError, Result};
use perdure_engine::huge_pages;
use perdure_engine::keyspace::Expiry;
use perdure_engine::rdb::SaveOptions;
use perdure_engine::snapshot::{CutPlan, CutRequest, Form, Purpose, RunningCut, Watcher};
use perdure_engine::state::Shared;
use perdure_engine::value::NewValue;

const FORKS: usize = 5;
/// Written keys lie so far apart in the order of insertion that every huge page gets some.
const STRIDE: u64 = 2_000;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut number =
        |default: usize| words.next().and_then(|word| word.parse().ok()).unwrap_or(default);
    let (gib, value_bytes) = (number(4), number(64));
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), String::new()));
    let value = vec![b'v'; value_bytes];
    let started = Instant::now();
    let keys = fill(&shared, gib << 30, &value);
    println!("{keys} keys in {:.1} s; huge pages: {:?}", seconds(started), huge_pages::mode());
    show_memory(&shared);
    forks(&shared, "as filled")?;

    let running = start(&shared)?;
    for number in (0..keys).step_by(STRIDE as usize) {
        set(&shared, number, &value);
    }
    // The next child starts before anything is put back.
    let _ = running.finish(&shared, &mut Impatient, |_, _| {});
    let running = start(&shared)?;
    println!("after a write to every 2 MiB: {:.2} ms", running.fork_duration.as_secs_f64() * 1e3);
    show_memory(&shared);
    let _ = running.finish(&shared, &mut Impatient, |_, _| {});
    wait_for_collapse(&shared);
    forks(&shared, "back on huge pages")
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn set(shared: &Shared, number: u64, value: &[u8]) {
    let name = format!("key:{number:012}");
    let mut state = shared.state.lock();
    state.keyspace.db_mut(0).set(name.as_bytes(), NewValue::Bytes(value), Expiry::Never);
}

fn fill(shared: &Shared, bytes: usize, value: &[u8]) -> u64 {
    let mut number = 0;
    while shared.state.lock().keyspace.memory_bytes() < bytes {
        (number..number + 1000).for_each(|number| set(shared, number, value));
        number += 1000;
    }
    number
}

fn show_memory(shared: &Shared) {
    let started = Instant::now();
    let (mut resident, mut huge) = (0, 0);
    for mapping in huge_pages::advised_mappings() {
        resident += mapping.resident_bytes;
        huge += mapping.huge_bytes;
    }
    println!(
        "  {} MiB of keys, {} MiB resident, {} MiB on huge pages (read in {:.1} ms)",
        shared.state.lock().keyspace.memory_bytes() >> 20,
        resident >> 20,
        huge >> 20,
        seconds(started) * 1e3
    );
}

/// A cut whose child is killed as soon as it is looked after.
fn start(shared: &Arc<Shared>) -> Result<RunningCut> {
    let name = format!("perdure-fork-{}.rdb", std::process::id());
    let target: PathBuf = std::env::temp_dir().join(name);
    let plan = CutPlan::prepare(CutRequest {
        purpose: Purpose::Cut,
        target,
        is_replacing: false,
        form: Form::Rdb,
        options: SaveOptions {
            is_compressed: false,
            is_checksummed: false,
            ..SaveOptions::default()
        },
    })?;
    plan.start(&mut shared.state.lock(), shared)
}

struct Impatient;

impl Watcher for Impatient {
    fn progress(&mut self, _keys: u64) {}
    fn check(&mut self) -> Result<()> {
        Err(EngineError::new("CANCELLED", "seen enough", "Nothing to do."))
    }
}

fn forks(shared: &Arc<Shared>, name: &str) -> Result<()> {
    let mut spans: Vec<f64> = Vec::new();
    for _ in 0..FORKS {
        let running = start(shared)?;
        spans.push(running.fork_duration.as_secs_f64() * 1e3);
        let _ = running.finish(shared, &mut Impatient, |_, _| {});
        wait_for_collapse(shared);
    }
    spans.sort_by(f64::total_cmp);
    let (least, most) = (spans[0], spans[FORKS - 1]);
    println!("{name}: fork {:.2} ms (from {least:.2} to {most:.2})", spans[FORKS / 2]);
    Ok(())
}

/// Wait until what is on huge pages grows no more.
fn wait_for_collapse(shared: &Shared) {
    let started = Instant::now();
    let (mut before, mut still) = (huge_pages::huge_bytes(), 0);
    while still < 3 {
        std::thread::sleep(Duration::from_millis(100));
        let now = huge_pages::huge_bytes();
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
    let counters = &shared.stats.counters;
    let bytes = counters.collapsed_bytes_total.swap(0, Ordering::Relaxed);
    if bytes > 0 {
        let failures = counters.collapse_failures_total.load(Ordering::Relaxed);
        let spent = seconds(started) - 0.3;
        println!("  {} MiB put back in {spent:.1} s, {failures} failures", bytes >> 20);
    }
}
