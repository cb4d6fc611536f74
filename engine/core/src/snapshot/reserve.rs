//! Memory that a fork can have at once. For each 2 MiB of the parent the kernel makes a page of page
//! table, under the engine lock: two thousand for 4 GiB. Looking for them takes longer than the rest
//! of the fork (a virtual machine's host may have to look for each one too), so as many are held
//! here, in memory, and given back to the kernel just before the fork: it hands out first what it
//! got last. Costs one byte for each 512 that are resident; filled by the cron, never under the
//! engine lock. Without it a fork is only slower.
#![allow(unsafe_code)] // mmap and munmap of ranges that nobody else knows

use parking_lot::Mutex;

/// Memory behind one page of page table, in pages (x86-64 and others with pages of 4 KiB).
const PAGES_BEHIND: u64 = 512;

/// A private mapping of ours, all of it in memory.
#[derive(Debug)]
struct Held {
    start: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: the range belongs to this value alone.
unsafe impl Send for Held {}

impl Held {
    fn take(bytes: usize) -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a fresh mapping wherever the kernel likes.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start, bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody has ever looked into.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// What is held for the next fork.
#[derive(Debug, Default)]
pub struct Reserve(Mutex<Option<Held>>);

impl Reserve {
    /// Hold as much as a fork of so much resident memory takes. Not under the engine lock: the
    /// kernel may have to look for it.
    pub fn fill(&self, resident_bytes: u64) {
        let wanted = wanted_bytes(resident_bytes);
        if self.0.lock().as_ref().is_some_and(|held| is_about(held.bytes, wanted)) {
            return;
        }
        // Taken beside the mutex: a fork that comes now does not wait for it.
        let taken = Held::take(wanted);
        let before = std::mem::replace(&mut *self.0.lock(), taken);
        drop(before);
    }

    /// Give it back to the kernel: a fork is next.
    pub(super) fn give_back(&self) {
        *self.0.lock() = None;
    }
}

/// Whether so much held is near enough to what is wanted to stay as it is.
fn is_about(held: usize, wanted: usize) -> bool {
    held >= wanted - wanted / 8 && held <= wanted.saturating_mul(2)
}

/// One page of page table for each [`PAGES_BEHIND`] pages, and a few.
fn wanted_bytes(resident_bytes: u64) -> usize {
    let bytes = (resident_bytes / PAGES_BEHIND).next_multiple_of(64 * 1024) + 64 * 1024;
    usize::try_from(bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(reserve: &Reserve) -> usize {
        reserve.0.lock().as_ref().map_or(0, |held| held.bytes)
    }

    #[test]
    fn holds_a_page_of_page_table_for_each_2_mib_until_a_fork() {
        let reserve = Reserve::default();
        reserve.fill(4 << 30);
        assert_eq!(held(&reserve), (8 << 20) + (64 << 10));
        reserve.give_back();
        assert_eq!(held(&reserve), 0);
    }

    #[test]
    fn follows_what_is_resident_in_steps() {
        let reserve = Reserve::default();
        reserve.fill(1 << 30);
        let first = held(&reserve);
        reserve.fill((1 << 30) + (64 << 20));
        assert_eq!(held(&reserve), first);
        reserve.fill(2 << 30);
        assert_eq!(held(&reserve), (4 << 20) + (64 << 10));
        reserve.fill(0);
        assert_eq!(held(&reserve), 64 << 10);
    }
}
