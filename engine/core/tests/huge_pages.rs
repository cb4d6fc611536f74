//! Memory that a child's life has split goes back on huge pages without a changed byte, while
//! somebody goes on writing to it. Where the machine has no huge pages, only the bytes are compared.

#![allow(clippy::unwrap_used)] // what fails in a test ends it
#![allow(unsafe_code)] // stops a child of its own

mod running;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use perdure_engine::clock::Clock;
use perdure_engine::config::Config;
use perdure_engine::error::{EngineError, Result};
use perdure_engine::huge_pages;
use perdure_engine::keyspace::{Expiry, Keyspace};
use perdure_engine::rdb::SaveOptions;
use perdure_engine::snapshot::{CutPlan, CutRequest, Form, Purpose, RunningCut, Watcher};
use perdure_engine::state::Shared;
use perdure_engine::value::NewValue;

use running::{Dir, wait_until};

const KEYS: usize = 400_000;
const BLOCK_BYTES: u64 = 2 << 20;

struct Impatient;

impl Watcher for Impatient {
    fn progress(&mut self, _keys: u64) {}
    fn check(&mut self) -> Result<()> {
        Err(EngineError::new("CANCELLED", "seen enough", "Nothing to do."))
    }
}

fn set(keyspace: &mut Keyspace, number: usize, round: u8) {
    let name = format!("key:{number:012}");
    keyspace.db_mut(0).set(name.as_bytes(), NewValue::Bytes(&[b'a' + round; 64]), Expiry::Never);
}

/// A child that does nothing but hold the pages as they are.
fn start_stopped(shared: &Arc<Shared>, dir: &Dir) -> RunningCut {
    let plan = CutPlan::prepare(CutRequest {
        purpose: Purpose::Cut,
        target: dir.file("cut.rdb").into(),
        is_replacing: false,
        form: Form::Rdb,
        options: SaveOptions {
            is_compressed: false,
            is_checksummed: true,
            ..SaveOptions::default()
        },
    })
    .unwrap();
    let mut state = shared.state.lock();
    let running = plan.start(&mut state, shared).unwrap();
    // SAFETY: our own child, not reaped yet.
    unsafe { libc::kill(state.save.child_pid.unwrap(), libc::SIGSTOP) };
    running
}

#[test]
fn memory_split_under_a_child_goes_back_on_huge_pages_with_every_byte_as_it_was() {
    let dir = Dir::new();
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), String::new()));
    let mut model = Keyspace::new(16);
    let both = |model: &mut Keyspace, number: usize, round: u8| {
        set(&mut shared.state.lock().keyspace, number, round);
        set(model, number, round);
    };
    (0..KEYS).for_each(|number| both(&mut model, number, 0));
    let whole = huge_pages::huge_bytes();

    let running = start_stopped(&shared, &dir);
    (0..KEYS).step_by(100).for_each(|number| both(&mut model, number, 1));
    let split = huge_pages::huge_bytes();
    running.finish(&shared, &mut Impatient, |_, _| {}).unwrap_err();

    let counters = &shared.stats.counters;
    let mut number = 0;
    let may_expect = huge_pages::can_collapse() && split + 4 * BLOCK_BYTES < whole;
    wait_until("the collapse", || {
        (0..1000).for_each(|_| {
            number = (number + 7919) % KEYS;
            both(&mut model, number, 2);
        });
        let done = counters.collapsed_bytes_total.load(Ordering::Relaxed)
            + counters.collapse_failures_total.load(Ordering::Relaxed);
        done > 0 || !may_expect
    });
    assert!(shared.state.lock().keyspace.digest() == model.digest());
    if may_expect && counters.collapse_failures_total.load(Ordering::Relaxed) == 0 {
        let put_back = counters.collapsed_bytes_total.load(Ordering::Relaxed);
        assert!(put_back >= 4 * BLOCK_BYTES, "{put_back} of {} bytes", whole - split);
    }
}

#[test]
fn the_next_child_s_start_ends_a_collapse() {
    let dir = Dir::new();
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), String::new()));
    (0..1000).for_each(|number| set(&mut shared.state.lock().keyspace, number, 0));
    for _ in 0..20 {
        let running = start_stopped(&shared, &dir);
        running.finish(&shared, &mut Impatient, |_, _| {}).unwrap_err();
    }
    let weak = Arc::downgrade(&shared);
    drop(shared);
    wait_until("no thread holds the state", || weak.strong_count() == 0);
}
