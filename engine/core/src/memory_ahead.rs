//! Memory asked for ahead of a load. The first touch of a page costs the kernel its clearing, and
//! under a hypervisor more than that: a third of a load's time, if the thread that loads meets each
//! of them. So a thread of its own touches the pages that the allocator gives out next.
//! Where that is, is guessed: it goes upwards through its mappings (`huge_pages::advised_mappings`).
//! A wrong guess costs at most [`WINDOW_BYTES`] of memory, and never more than is still to be read.
//! No byte of anybody's memory changes.
//!
//! ```text
//!  a mapping of the allocator   │ in use ..... latest │ window: touched here │ not there yet │
//! ```
#![allow(unsafe_code)] // madvise on ranges that the kernel named

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::alloc;
use crate::huge_pages::advised_mappings;

/// As far ahead as this.
const WINDOW_BYTES: usize = 32 << 20;
/// One call asks for so much: a huge page.
const STEP_BYTES: usize = 2 << 20;
/// Less than this to load is not worth a thread.
const LOAD_BYTES_MIN: u64 = 32 << 20;
/// From Linux 5.14 on.
const MADV_POPULATE_WRITE: libc::c_int = 23;

/// A thread that touches memory ahead of the one that loads; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct MemoryAhead {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
    /// The last address that the thread was woken for.
    woken_at: AtomicUsize,
}

/// What the loading thread says.
#[derive(Debug, Default)]
struct Told {
    latest: AtomicUsize,
    left_bytes: AtomicU64,
    is_over: AtomicBool,
}

impl MemoryAhead {
    /// For a load of so many bytes of files. None where that gains nothing: for few bytes, or with
    /// one processor, which the loading thread needs itself.
    pub(crate) fn start(load_bytes: u64) -> Option<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if load_bytes < LOAD_BYTES_MIN || processors < 2 {
            return None;
        }
        let told = Arc::new(Told::default());
        let of_thread = Arc::clone(&told);
        let named = std::thread::Builder::new().name("perdure-memory".to_owned());
        let thread = named.spawn(move || touch_ahead(&of_thread)).ok()?;
        Some(Self { told, thread: Some(thread), woken_at: AtomicUsize::new(alloc::latest()) })
    }

    /// So many bytes of files are still to be loaded. Cheap: for each block that is read.
    pub(crate) fn tell(&self, left_bytes: u64) {
        let latest = alloc::latest();
        self.told.left_bytes.store(left_bytes, Ordering::Relaxed);
        // Unless memory is taken, none is needed.
        if latest.abs_diff(self.woken_at.load(Ordering::Relaxed)) < STEP_BYTES {
            return;
        }
        self.woken_at.store(latest, Ordering::Relaxed);
        self.told.latest.store(latest, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for MemoryAhead {
    fn drop(&mut self) {
        self.told.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // it has nothing to say
        }
    }
}

/// The thread.
fn touch_ahead(told: &Told) {
    let mut touched = Touched::default();
    let mut seen = 0;
    while !told.is_over.load(Ordering::Acquire) {
        let latest = told.latest.load(Ordering::Acquire);
        if latest == seen {
            std::thread::park();
            continue;
        }
        seen = latest;
        let left_bytes = told.left_bytes.load(Ordering::Relaxed);
        for step in touched.next(latest, left_bytes).step_by(STEP_BYTES) {
            if told.is_over.load(Ordering::Relaxed) || !populate(step) {
                return;
            }
        }
    }
}

/// What was touched.
#[derive(Debug, Default)]
struct Touched {
    /// The mapping under way.
    mapping: Range<usize>,
    /// All of it before this is touched, or was passed.
    upto: usize,
}

impl Touched {
    /// What to touch now: whole blocks, in a mapping of the allocator's.
    fn next(&mut self, latest: usize, left_bytes: u64) -> Range<usize> {
        if !self.mapping.contains(&latest) {
            let mut mappings = advised_mappings().into_iter().map(|it| it.start..it.end);
            let Some(found) = mappings.find(|mapping| mapping.contains(&latest)) else {
                return 0..0;
            };
            (self.mapping, self.upto) = (found, 0);
        }
        let left = usize::try_from(left_bytes).unwrap_or(usize::MAX);
        let from = latest.next_multiple_of(STEP_BYTES).max(self.upto);
        let to = latest.saturating_add(WINDOW_BYTES.min(left)).min(self.mapping.end);
        let to = to - to % STEP_BYTES;
        self.upto = self.upto.max(to);
        from..to.max(from)
    }
}

/// Have the kernel put memory there; false if it does not do that.
fn populate(start: usize) -> bool {
    let at = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: this advice changes no byte of any mapping, whoever owns the range by now.
    unsafe { libc::madvise(at, STEP_BYTES, MADV_POPULATE_WRITE) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 1 << 40;

    fn in_mapping(blocks: usize) -> Touched {
        Touched { mapping: START..START + blocks * STEP_BYTES, upto: 0 }
    }

    #[test]
    fn a_window_moves_up_and_nothing_is_touched_twice() {
        let mut touched = in_mapping(100);
        let window = WINDOW_BYTES / STEP_BYTES;
        let block = |number: usize| START + number * STEP_BYTES;
        assert_eq!(touched.next(START + 1, u64::MAX), block(1)..block(window));
        let latest = block(3) + 1;
        assert_eq!(touched.next(latest, u64::MAX), block(window)..block(window + 3));
        assert!(touched.next(START + 1, u64::MAX).is_empty(), "an older block was given out again");
        assert_eq!(touched.next(block(60), u64::MAX).start, block(60), "what was passed stays");
    }

    #[test]
    fn the_end_of_the_mapping_and_of_the_load_are_bounds() {
        let mut touched = in_mapping(3);
        assert_eq!(touched.next(START, u64::MAX), START..START + 3 * STEP_BYTES);
        assert!(in_mapping(100).next(START + 1, STEP_BYTES as u64).is_empty());
        assert_eq!(in_mapping(100).next(START, 3 * STEP_BYTES as u64).len(), 3 * STEP_BYTES);
    }

    #[test]
    fn an_address_of_nobody_s_is_passed_over() {
        assert!(in_mapping(1).next(16, u64::MAX).is_empty());
    }

    #[test]
    fn touching_changes_no_byte() {
        let mut bytes = vec![0_u8; 3 * STEP_BYTES];
        let start = bytes.as_ptr().expose_provenance().next_multiple_of(STEP_BYTES);
        let at = start - bytes.as_ptr().addr();
        bytes[at] = 7;
        bytes[at + STEP_BYTES - 1] = 9;
        populate(start); // an old kernel says no
        assert_eq!((bytes[at], bytes[at + 1], bytes[at + STEP_BYTES - 1]), (7, 0, 9));
    }

    #[test]
    fn a_thread_follows_and_ends() {
        assert!(MemoryAhead::start(LOAD_BYTES_MIN - 1).is_none());
        let Some(memory) = MemoryAhead::start(u64::MAX) else { return }; // one processor
        for left in (0..10).rev() {
            memory.woken_at.store(0, Ordering::Relaxed);
            memory.tell(left * STEP_BYTES as u64);
        }
        drop(memory);
    }
}
