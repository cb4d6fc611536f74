//! After a child has ended, memory goes back on huge pages: every write while it ran has split one,
//! and the next fork would pay for it. A thread of its own does it in the background, without the
//! engine lock; the next child's start ends it. How is in `huge_pages`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use serde_json::json;

use crate::huge_pages;
use crate::state::Shared;

/// A second pass finds what was in use by the kernel in the first.
const PASSES_MAX: u32 = 2;

/// Which collapse counts, and whether the kernel has refused them.
#[derive(Debug, Default)]
pub struct Collapse {
    /// Grows at each start and end of a child: a thread that knows an older number leaves.
    turn: AtomicU64,
    is_refusal_told: AtomicBool,
}

impl Collapse {
    /// A child is about to start: whoever collapses leaves.
    pub(super) fn stop(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
    }
}

/// Begin after a child. Never fails: without it forks are only slower.
pub(super) fn begin(shared: &Arc<Shared>) {
    let turn = shared.collapse.turn.fetch_add(1, Ordering::AcqRel) + 1;
    if !huge_pages::can_collapse() {
        if !shared.collapse.is_refusal_told.swap(true, Ordering::AcqRel) {
            let fields = json!({
                "hint": "Forks get slower after each snapshot; a kernel from 6.1 on, with \
                         transparent huge pages at madvise or always, keeps them short.",
            });
            shared.events.log("info", "huge_pages_not_restored", &fields);
        }
        return;
    }
    let owner = Arc::downgrade(shared);
    let thread = std::thread::Builder::new().name("perdure-collapse".to_owned());
    if thread.spawn(move || run(&owner, turn)).is_err() {
        shared.stats.counters.collapse_failures_total.fetch_add(1, Ordering::Relaxed);
    }
}

fn run(owner: &Weak<Shared>, turn: u64) {
    for _ in 0..PASSES_MAX {
        let collapsed = huge_pages::collapse(&mut || is_wanted(owner, turn));
        let Some(shared) = owner.upgrade() else { return };
        let counters = &shared.stats.counters;
        counters.collapsed_bytes_total.fetch_add(collapsed.bytes, Ordering::Relaxed);
        counters.collapse_failures_total.fetch_add(collapsed.failures, Ordering::Relaxed);
        counters.huge_pages_bytes.store(huge_pages::huge_bytes(), Ordering::Relaxed);
        if collapsed.failures == 0 {
            return;
        }
    }
}

fn is_wanted(owner: &Weak<Shared>, turn: u64) -> bool {
    owner.upgrade().is_some_and(|shared| {
        shared.collapse.turn.load(Ordering::Acquire) == turn
            && !shared.is_stopping.load(Ordering::Acquire)
    })
}
