//! Dropping something big where nobody waits for the allocator: one thread that only frees (I8).
//! Not here: what is big (`value::large`, `job`). Invariant: what was handed over is no longer
//! counted by any ledger.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Things that may wait to be freed; past it the caller frees its own.
const WAITING_MAX: usize = 4096;

type Waiting = Box<dyn Send>;

/// Things handed over, and those of them that are freed by now. Of the process, as the thread is.
static HANDED_OVER: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

/// Things that wait to be freed, and those that were freed here since the start.
pub fn dropped_elsewhere() -> (u64, u64) {
    let freed = FREED.load(Ordering::Acquire);
    (HANDED_OVER.load(Ordering::Acquire).saturating_sub(freed), freed)
}

/// Drop something big on another thread, so that nobody waits for the allocator (FLUSHALL ASYNC,
/// a large collection, a switched keyspace). Falls back to dropping it here when that thread is behind or
/// cannot be started.
pub fn drop_elsewhere<T: Send + 'static>(value: T) {
    static DROPPER: OnceLock<Option<SyncSender<Waiting>>> = OnceLock::new();
    let dropper = DROPPER.get_or_init(|| {
        let (sender, receiver) = sync_channel::<Waiting>(WAITING_MAX);
        std::thread::Builder::new()
            .name("perdure-drop".to_owned())
            .spawn(move || {
                for waiting in receiver {
                    drop(waiting);
                    FREED.fetch_add(1, Ordering::AcqRel);
                }
            })
            .ok()
            .map(|_| sender)
    });
    if let Some(dropper) = dropper {
        HANDED_OVER.fetch_add(1, Ordering::AcqRel);
        // A refusal gives the value back inside the error, which is dropped here.
        if dropper.try_send(Box::new(value)).is_err() {
            HANDED_OVER.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
