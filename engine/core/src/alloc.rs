//! The allocator seam: every entry, long value and slot array of the keyspace comes through here
//! (mimalloc underneath). A [`Ledger`] counts what one database holds, in usable bytes, so that its
//! memory figure is exact and costs no atomics.
//! Not here: what the bytes mean (`value::entry`), and the small vectors of a directory (std;
//! counted by their owner).
//! Out of memory ends the process (`std::alloc::handle_alloc_error` aborts): a command half done
//! under the engine lock could not be undone, and with overcommit an allocation hardly ever fails.
#![allow(unsafe_code)] // calls into mimalloc, raw slot arrays; what is above gets safe types

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use libmimalloc_sys as mi;

/// Bits of an address that a slot has room for (`keyspace::stripe`). Linux gives user space 47
/// (x86-64) or 48 (arm64).
const ADDRESS_BITS: u32 = 48;

#[cfg(test)]
thread_local! {
    /// Bytes that this thread allocated and has not freed: tests compare it before and after.
    static LIVE_BYTES: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
    /// The most that it held since a test set this back.
    pub(crate) static PEAK_BYTES: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
}

/// Bytes that this thread holds through the seam.
#[cfg(test)]
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

#[cfg(test)]
fn note_live(change: isize) {
    LIVE_BYTES.set(LIVE_BYTES.get() + change);
    PEAK_BYTES.set(PEAK_BYTES.get().max(LIVE_BYTES.get()));
}

#[cfg(not(test))]
fn note_live(_change: isize) {}

/// Where the last block was given out.
static LATEST: AtomicUsize = AtomicUsize::new(0);

/// Where the last block was given out: what comes next is likely to stand behind it.
pub(crate) fn latest() -> usize {
    LATEST.load(Ordering::Relaxed)
}

/// Set the allocator up, once, before the first allocation that matters.
///
/// mimalloc (3.3) advises its arenas for transparent huge pages by itself; with `allow_thp` = 2 it
/// also gives memory back in whole huge pages only, so that purging does not split them (a fork
/// costs twenty times more on small pages). The numbers are its enumeration's, which the binding
/// does not name yet; hence the check of the enumeration's end.
pub fn tune() {
    const ALLOW_THP: mi::mi_option_t = 43;
    const KNOWN_OPTION_LAST: mi::mi_option_t = 47;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if mi::_mi_option_last == KNOWN_OPTION_LAST {
            // SAFETY: sets an integer in mimalloc's option table; the index was checked against the
            // table's end.
            unsafe { mi::mi_option_set(ALLOW_THP, 2) };
        }
    });
}

/// Give free memory back to the system, as far as it is whole pages.
pub fn purge() {
    // SAFETY: takes no memory of ours.
    unsafe { mi::mi_collect(true) };
}

/// Count of the bytes that one owner holds, allocator slack included.
#[derive(Debug, Default)]
pub struct Ledger {
    bytes: usize,
}

impl Ledger {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Move the count of `bytes` from `other` to here (an entry changed its database).
    pub fn take_over(&mut self, bytes: usize, other: &mut Self) {
        other.bytes -= bytes;
        self.bytes += bytes;
    }

    /// Count memory that a collection holds in a ledger of its own as this owner's too.
    pub fn charge(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Take a [`Ledger::charge`] back.
    pub fn discharge(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// Allocate at least `size_bytes` (8-aligned, not initialised). Aborts the process when there
    /// is no memory.
    pub fn allocate(&mut self, size_bytes: usize) -> NonNull<u8> {
        // SAFETY: mi_malloc takes any size; null is handled by `admit`.
        let block = admit(unsafe { mi::mi_malloc(size_bytes) }, size_bytes);
        self.note_allocated(block);
        block
    }

    /// Like [`Ledger::allocate`], all zeros.
    pub fn allocate_zeroed(&mut self, size_bytes: usize) -> NonNull<u8> {
        // SAFETY: mi_zalloc takes any size; null is handled by `admit`.
        let block = admit(unsafe { mi::mi_zalloc(size_bytes) }, size_bytes);
        self.note_allocated(block);
        block
    }

    /// Resize a block, keeping what fits.
    ///
    /// # Safety
    /// `block` came from this module, is not freed, and is counted in this ledger. It must not be
    /// used afterwards.
    pub unsafe fn reallocate(&mut self, block: NonNull<u8>, size_bytes: usize) -> NonNull<u8> {
        self.note_freed(block);
        // SAFETY: the caller's promise.
        let moved = unsafe { mi::mi_realloc(block.as_ptr().cast(), size_bytes) };
        let block = admit(moved, size_bytes);
        self.note_allocated(block);
        block
    }

    /// Free a block.
    ///
    /// # Safety
    /// `block` came from this module, is not freed yet, and is counted in this ledger. It must not
    /// be used afterwards.
    pub unsafe fn free(&mut self, block: NonNull<u8>) {
        self.note_freed(block);
        // SAFETY: the caller's promise.
        unsafe { mi::mi_free(block.as_ptr().cast()) };
    }

    fn note_allocated(&mut self, block: NonNull<u8>) {
        LATEST.store(block.as_ptr().expose_provenance(), Ordering::Relaxed);
        // SAFETY: `block` was just given out by mimalloc.
        let bytes = unsafe { usable_bytes(block) };
        self.bytes += bytes;
        note_live(bytes as isize);
    }

    fn note_freed(&mut self, block: NonNull<u8>) {
        // SAFETY: both callers were promised a live block of this module.
        let bytes = unsafe { usable_bytes(block) };
        self.bytes -= bytes;
        note_live(-(bytes as isize));
    }
}

/// Check what mimalloc gave: not null, and an address that fits a slot.
fn admit(block: *mut c_void, size_bytes: usize) -> NonNull<u8> {
    let out_of_memory = || -> ! {
        let layout = Layout::from_size_align(size_bytes, 8).unwrap_or(Layout::new::<u64>());
        handle_alloc_error(layout)
    };
    match NonNull::new(block.cast::<u8>()) {
        Some(block) if block.as_ptr().addr() >> ADDRESS_BITS == 0 => block,
        _ => out_of_memory(),
    }
}

/// Bytes that a block can really hold (its size class).
///
/// # Safety
/// `block` came from this module and is not freed.
pub unsafe fn usable_bytes(block: NonNull<u8>) -> usize {
    // SAFETY: the caller's promise.
    unsafe { mi::mi_usable_size(block.as_ptr().cast()) }
}

/// The size class that a request of `size_bytes` falls into.
pub fn class_bytes(size_bytes: usize) -> usize {
    // SAFETY: a pure computation.
    unsafe { mi::mi_good_size(size_bytes) }
}

/// Ask the processor to load the cache line at `address`. Any address will do: a prefetch never
/// faults.
#[inline]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint without architectural effect, valid for any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// A zeroed array of words from the seam. Has no `Drop`: its owner frees it with the ledger that
/// counted it.
#[derive(Debug)]
pub struct Words {
    start: NonNull<u64>,
    len: usize,
}

// SAFETY: `Words` owns its block, as a `Vec<u64>` does; mimalloc lets any thread free.
unsafe impl Send for Words {}
// SAFETY: shared access only reads.
unsafe impl Sync for Words {}

impl Words {
    /// No words, no memory.
    pub const fn empty() -> Self {
        Self { start: NonNull::dangling(), len: 0 }
    }

    /// Zeroed words: at least `len_min`, at most what the size class holds anyway.
    pub fn zeroed(len_min: usize, ledger: &mut Ledger) -> Self {
        let len = class_bytes(len_min * size_of::<u64>()) / size_of::<u64>();
        Self { start: ledger.allocate_zeroed(len * size_of::<u64>()).cast(), len }
    }

    /// Give the memory back.
    pub fn free(self, ledger: &mut Ledger) {
        if self.len > 0 {
            // SAFETY: not empty, so `start` is a live block from `zeroed`, and `self` ends here.
            unsafe { ledger.free(self.start.cast()) };
        }
    }

    /// The words.
    #[inline]
    pub fn as_slice(&self) -> &[u64] {
        // SAFETY: `start` holds `len` initialised words (or is dangling with `len` 0).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The words, to change them.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u64] {
        // SAFETY: as above, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledger_returns_to_zero_after_every_free() {
        tune();
        let before = live_bytes();
        let mut ledger = Ledger::default();
        let small = ledger.allocate(92);
        assert_eq!(ledger.bytes(), 96, "a 92-byte entry sits in the 96-byte class");
        let large = ledger.allocate(3 << 20);
        // SAFETY: both blocks are live and from this ledger; each is given up once.
        unsafe {
            let large = ledger.reallocate(large, 9 << 20);
            assert!(ledger.bytes() >= 96 + (9 << 20));
            ledger.free(large);
            ledger.free(small);
        }
        let words = Words::zeroed(100, &mut ledger);
        assert!(words.as_slice().len() >= 100 && words.as_slice().iter().all(|word| *word == 0));
        words.free(&mut ledger);
        Words::empty().free(&mut ledger);
        assert_eq!(ledger.bytes(), 0);
        assert_eq!(live_bytes(), before);
    }
}
