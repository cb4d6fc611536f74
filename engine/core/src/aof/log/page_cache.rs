//! How much of the log's file the kernel keeps in memory. A log is read again by the next start only, yet
//! each page of it takes memory that data could have, counts against a container's limit, and costs
//! more to write than one that was just given back. So what is on the disk leaves the page cache,
//! but for the last piece.

#![allow(unsafe_code)] // posix_fadvise

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

/// The end of the file that stays, for those who look at it.
const KEPT_BYTES: u64 = 8 << 20;
/// Pages are dropped in multiples of this.
const STEP_BYTES: u64 = 1 << 20;

/// The file's pages, as far as they were not dropped.
#[derive(Debug, Default)]
pub struct PageCache {
    begins_at: u64,
}

impl PageCache {
    /// What may leave memory once the file's first `fsynced` bytes are on the disk; it counts as gone.
    pub fn take_surplus(&mut self, fsynced: u64) -> Range<u64> {
        let end = fsynced.saturating_sub(KEPT_BYTES) / STEP_BYTES * STEP_BYTES;
        let begin = self.begins_at.min(end);
        self.begins_at = self.begins_at.max(end);
        begin..end
    }
}

/// Drop pages that are on the disk. A file system that keeps them all the same is none the worse.
pub fn drop_pages(file: &File, range: &Range<u64>) {
    if range.is_empty() {
        return; // a length of zero would mean all of the file
    }
    let (begin, length) = (range.start as libc::off_t, (range.end - range.start) as libc::off_t);
    // SAFETY: plain numbers and our own descriptor. It is advice: the result says nothing.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), begin, length, libc::POSIX_FADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_stays_and_nothing_is_dropped_twice() {
        let mut cache = PageCache::default();
        assert!(cache.take_surplus(KEPT_BYTES + STEP_BYTES - 1).is_empty());
        assert_eq!(cache.take_surplus(KEPT_BYTES + 3 * STEP_BYTES + 5), 0..3 * STEP_BYTES);
        assert!(cache.take_surplus(KEPT_BYTES + 3 * STEP_BYTES + 6).is_empty());
        assert!(cache.take_surplus(1).is_empty(), "never backwards");
        let next = 3 * STEP_BYTES..4 * STEP_BYTES;
        assert_eq!(cache.take_surplus(KEPT_BYTES + 4 * STEP_BYTES), next);
    }
}
