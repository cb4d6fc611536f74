//! `hz` times a second: the expiry cycle, save points, scheduled saves, mirrors of figures into
//! `stats`. Each turn holds the engine lock for a bounded time. What a save does is in `job`; when
//! one is due is in `snapshot::save`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;

use crate::command;
use crate::error::Result;
use crate::huge_pages::{self, Mode};
use crate::job;
use crate::rates::Rates;
use crate::snapshot::is_save_due;
use crate::state::{Shared, State};

/// How often the resident size is read.
const RSS_SECONDS: u64 = 1;
/// How often the memory on huge pages is counted: the kernel walks the page tables for it.
const HUGE_PAGES_SECONDS: u64 = 10;
/// Expired keys deleted under one hold of the lock.
const EXPIRE_KEYS_MAX: usize = 500;
/// Such holds in one turn.
const EXPIRE_HOLDS_MAX: usize = 40;

#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

/// The running thread.
pub struct Cron {
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
}

/// Start the thread.
///
/// # Errors
/// `THREAD_FAILED`.
pub fn start(shared: &Arc<Shared>) -> Result<Cron> {
    let bell = Arc::new(Bell::default());
    let (shared, heard) = (Arc::clone(shared), Arc::clone(&bell));
    let thread = std::thread::Builder::new()
        .name("perdure-cron".to_owned())
        .spawn(move || {
            let turns = AssertUnwindSafe(|| run(&shared, &heard));
            if catch_unwind(turns).is_err() {
                // A bug. Nobody would save or expire any more, and nothing would show it: end the
                // process, as a network loop does.
                std::process::abort();
            }
        })
        .map_err(|error| job::thread_failed(&error))?;
    Ok(Cron { bell, thread })
}

impl Cron {
    /// End the thread and wait for it. Not with the engine lock held.
    pub fn stop(self) {
        *self.bell.has_rung.lock() = true;
        self.bell.rings.notify_all();
        let _ = self.thread.join(); // a panic there has ended the process
    }
}

fn run(shared: &Arc<Shared>, bell: &Bell) {
    let (mut rss_read_at, mut huge_pages_read_at) = (None, None);
    let mut rates = Rates::default();
    let counters = &shared.stats.counters;
    tell_huge_pages(shared);
    loop {
        rates.sample(&shared.stats);
        if is_due(&mut rss_read_at, RSS_SECONDS) {
            counters.used_memory_rss_bytes.store(resident_bytes(), Ordering::Relaxed);
        }
        if is_due(&mut huge_pages_read_at, HUGE_PAGES_SECONDS) {
            counters.huge_pages_bytes.store(huge_pages::huge_bytes(), Ordering::Relaxed);
        }
        let hz = turn(shared);
        let mut has_rung = bell.has_rung.lock();
        let pause = Duration::from_millis(1000 / u64::from(hz.clamp(1, 500)));
        if !*has_rung {
            bell.rings.wait_for(&mut has_rung, pause);
        }
        if *has_rung {
            return;
        }
    }
}

fn is_due(read_at: &mut Option<Instant>, seconds: u64) -> bool {
    let is_due = read_at.is_none_or(|at| at.elapsed().as_secs() >= seconds);
    if is_due {
        *read_at = Some(Instant::now());
    }
    is_due
}

/// Without huge pages forks take twenty times as long: say so once, at the start.
fn tell_huge_pages(shared: &Shared) {
    if !matches!(huge_pages::mode(), Mode::Always | Mode::Madvise) {
        let fields = json!({
            "hint": "Forks hold the engine much longer without them: set \
                     /sys/kernel/mm/transparent_hugepage/enabled to madvise.",
        });
        shared.events.log("info", "huge_pages_off", &fields);
    }
}

/// One turn: public so that a test with a driven clock can turn by hand. Gives `hz`.
pub fn turn(shared: &Arc<Shared>) -> u32 {
    let is_serving = !is_set(&shared.stats.is_loading) && !is_set(&shared.is_stopping);
    let expire_time = if is_serving { expire(shared) } else { Duration::ZERO };
    let mut state = shared.state.lock();
    let now_ms = shared.clock.unix_ms();
    if state.end_pause(now_ms) {
        shared.wake_loops();
    }
    let expire_ms = u64::try_from(expire_time.as_millis()).unwrap_or(u64::MAX);
    state.figures.monitor.note("expire-cycle", now_ms.div_euclid(1000), expire_ms);
    if is_serving {
        job::rewrite_if_due(&mut state, shared);
        save_if_due(&mut state, shared);
    }
    mirror_figures(&state, shared);
    if let Some(log) = shared.log.file() {
        log.annotate(now_ms);
    }
    let hz = state.config.hz;
    drop(state);
    shared.log.push(); // what expired, and the annotation
    hz
}

/// Delete what is due, in short holds of the lock; what is left waits for the next turn (or for who
/// looks at it). Gives how long the holds were.
fn expire(shared: &Arc<Shared>) -> Duration {
    let mut held = Duration::ZERO;
    let mut is_behind = true;
    for _ in 0..EXPIRE_HOLDS_MAX {
        let mut state = shared.state.lock();
        if !state.is_active_expire_on || state.is_data_held() {
            is_behind = false;
            break;
        }
        let started = Instant::now();
        let now_ms = shared.clock.unix_ms();
        let deleted = command::expire_cycle(&mut state, shared, now_ms, EXPIRE_KEYS_MAX);
        held += started.elapsed();
        is_behind = deleted == EXPIRE_KEYS_MAX;
        if !is_behind {
            break;
        }
    }
    let counters = &shared.stats.counters;
    let us = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
    counters.expire_cycle_us_total.fetch_add(us, Ordering::Relaxed);
    counters.expire_cycle_cut_short_total.fetch_add(u64::from(is_behind), Ordering::Relaxed);
    shared.stats.is_expiry_behind.store(is_behind, Ordering::Relaxed);
    held
}

fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

fn save_if_due(state: &mut State, shared: &Arc<Shared>) {
    if state.save.is_place_taken() {
        return;
    }
    let now_unix_s = shared.clock.unix_ms().div_euclid(1000);
    let is_due = is_save_due(&state.config.save, &state.save, state.effects.dirty, now_unix_s);
    if is_due || state.save.is_bgsave_scheduled {
        // A failure is noted and told by `start_bgsave`; the next turn but some tries again.
        let _ = job::start_bgsave(state, shared);
    }
}

fn mirror_figures(state: &State, shared: &Shared) {
    let stats = &shared.stats;
    let used = state.keyspace.memory_bytes() as u64;
    stats.counters.used_memory_bytes.store(used, Ordering::Relaxed);
    stats.counters.used_memory_peak_bytes.fetch_max(used, Ordering::Relaxed);
    stats.counters.dirty.store(state.effects.dirty, Ordering::Relaxed);
    stats.last_save_unix_s.store(state.save.last_save_unix_s, Ordering::Relaxed);
    stats.is_last_bgsave_failed.store(state.save.is_last_bgsave_failed, Ordering::Relaxed);
    stats.is_bgsave_running.store(state.save.is_bgsave_running(), Ordering::Relaxed);
    stats.are_writes_paused.store(state.are_writes_paused, Ordering::Relaxed);
    *stats.growth.lock() = state.growth.figures();
    mirror_unsaved_since(state, shared);
    let mut databases = stats.databases.lock();
    databases.clear();
    databases.extend((0..state.keyspace.databases()).map(|index| {
        let db = state.keyspace.db(index);
        (db.len() as u64, db.expires_len() as u64)
    }));
}

/// Since when there are changes that no save holds: noticed within one turn of the first.
fn mirror_unsaved_since(state: &State, shared: &Shared) {
    let since = &shared.stats.unsaved_since_unix_ms;
    if state.effects.dirty == 0 {
        since.store(0, Ordering::Relaxed);
    } else if since.load(Ordering::Relaxed) == 0 {
        since.store(shared.clock.unix_ms(), Ordering::Relaxed);
    }
}

/// Resident bytes of the process, from `/proc/self/statm`; 0 if the kernel does not say.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages.saturating_mul(page_bytes())
}

#[allow(unsafe_code)] // a library call with a plain integer
fn page_bytes() -> u64 {
    // SAFETY: a plain integer.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
