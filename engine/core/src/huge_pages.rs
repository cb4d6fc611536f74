//! Transparent huge pages as the kernel tells of them: how much memory sits on
//! them, and putting back what a fork has split. A fork copies one entry for each page, so on small
//! pages it takes twenty times as long. mimalloc advises its arenas for huge pages (`alloc::tune`),
//! and so does the C library its heap, where `perdure serve` started the process: the advice is how
//! they are recognised here.
//! Not here: when to do it (`snapshot::collapse`, `cron`). Never on a path that a client waits for:
//! the kernel walks the page tables.
//! A collapse changes no byte: the kernel copies a block to a huge page while nobody can touch it.
#![allow(unsafe_code)] // madvise and mincore on ranges that the kernel named

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// Blocks that one call of the kernel collapses: it blocks page faults nearby for as long.
const BLOCKS_AT_ONCE: usize = 2;
/// So many failed blocks end a collapse: there is no memory in large pieces.
const FAILURES_MAX: u64 = 32;
/// Pages of a block that must be there; else a collapse would make memory out of nothing.
const EIGHTHS_PRESENT_MIN: usize = 7;
/// Longest pause between two calls.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A huge page is never taken for larger than this (some systems have pages of 512 MiB).
const BLOCK_BYTES_MAX: usize = 32 << 20;
const MADV_COLLAPSE: libc::c_int = 25;
const MODE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const BLOCK_BYTES: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// What the system's switch for transparent huge pages says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any memory may sit on them.
    Always,
    /// Memory whose owner asked for them.
    Madvise,
    /// None.
    Never,
    /// The kernel does not have them, or does not say.
    Unknown,
}

/// Read the switch.
pub fn mode() -> Mode {
    let text = std::fs::read_to_string(MODE).unwrap_or_default();
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some(("always", _)) => Mode::Always,
        Some(("madvise", _)) => Mode::Madvise,
        Some(("never", _)) => Mode::Never,
        _ => Mode::Unknown,
    }
}

/// A mapping that was advised for huge pages: an arena of the allocator, the C library's heap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: usize,
    /// First address behind it.
    pub end: usize,
    /// Bytes of memory there.
    pub resident_bytes: u64,
    /// How many of them sit on huge pages.
    pub huge_bytes: u64,
}

/// The advised mappings of this process; none if the kernel does not say. Takes about a millisecond,
/// and ten for each GiB on small pages; a fork waits as long.
pub fn advised_mappings() -> Vec<Mapping> {
    File::open("/proc/self/smaps").map(|file| parse(BufReader::new(file))).unwrap_or_default()
}

/// Bytes of the advised memory that sit on huge pages.
pub fn huge_bytes() -> u64 {
    advised_mappings().iter().map(|mapping| mapping.huge_bytes).sum()
}

fn parse(mut smaps: impl BufRead) -> Vec<Mapping> {
    let mut advised = Vec::new();
    let mut mapping = Mapping::default();
    let mut line = Vec::new();
    while smaps.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
        // A path need not be UTF-8; files are not advised, so such a line is passed over.
        let mut words = std::str::from_utf8(&line).unwrap_or("").split_ascii_whitespace();
        match words.next() {
            Some("Rss:") => mapping.resident_bytes = kilobytes(words.next()),
            Some("AnonHugePages:") => mapping.huge_bytes = kilobytes(words.next()),
            Some("VmFlags:") if words.any(|flag| flag == "hg") => advised.push(mapping),
            Some(first) if !first.ends_with(':') => {
                if let Some((start, end)) = addresses(first) {
                    mapping = Mapping { start, end, ..Mapping::default() };
                }
            }
            _ => {}
        }
        line.clear();
    }
    advised
}

fn kilobytes(word: Option<&str>) -> u64 {
    word.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn addresses(word: &str) -> Option<(usize, usize)> {
    let (start, end) = word.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// Whether the kernel collapses on request (Linux 6.1) and huge pages are not switched off.
pub fn can_collapse() -> bool {
    // SAFETY: no memory is named: the kernel only says whether it knows the advice.
    let is_known = unsafe { libc::madvise(std::ptr::null_mut(), 0, MADV_COLLAPSE) } == 0;
    is_known && matches!(mode(), Mode::Always | Mode::Madvise) && block_bytes().is_some()
}

/// Bytes of a huge page.
fn block_bytes() -> Option<usize> {
    let text = std::fs::read_to_string(BLOCK_BYTES).ok()?;
    text.trim().parse().ok().filter(|bytes: &usize| {
        bytes.is_power_of_two() && *bytes > page_bytes() && *bytes <= BLOCK_BYTES_MAX
    })
}

fn page_bytes() -> usize {
    // SAFETY: a plain integer.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// What a collapse did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collapsed {
    /// Bytes that sit on huge pages and did not before.
    pub bytes: u64,
    /// Calls that failed: no memory in large pieces, or pages in use by the kernel.
    pub failures: u64,
    /// Whether it went through all memory.
    pub is_complete: bool,
}

/// Put the advised memory back on huge pages, where all of a block is there, a few blocks at a time
/// and resting as long as it worked. `may_go_on` is asked between the calls. Any thread may use the
/// memory meanwhile.
pub fn collapse(may_go_on: &mut dyn FnMut() -> bool) -> Collapsed {
    let mut collapsed = Collapsed::default();
    let Some(block_bytes) = block_bytes() else { return collapsed };
    let before = advised_mappings();
    collapsed.is_complete = before.iter().all(|mapping| {
        let split_bytes = mapping.resident_bytes.saturating_sub(mapping.huge_bytes);
        split_bytes < block_bytes as u64
            || collapse_mapping(*mapping, block_bytes, &mut collapsed.failures, may_go_on)
    });
    let huge = |mappings: &[Mapping]| mappings.iter().map(|it| it.huge_bytes).sum::<u64>();
    collapsed.bytes = huge(&advised_mappings()).saturating_sub(huge(&before));
    collapsed
}

/// `false`: given up.
fn collapse_mapping(
    mapping: Mapping,
    block_bytes: usize,
    failures: &mut u64,
    may_go_on: &mut dyn FnMut() -> bool,
) -> bool {
    let mut pages = vec![0_u8; block_bytes / page_bytes()];
    let mut run = 0..0;
    let first = mapping.start.next_multiple_of(block_bytes);
    let ends = (first..mapping.end).step_by(block_bytes).map(|start| start + block_bytes);
    for end in ends.take_while(|end| *end <= mapping.end) {
        let start = end - block_bytes;
        if is_present(start, block_bytes, &mut pages) {
            run = if run.end == start { run.start..end } else { start..end };
        }
        let is_long = run.len() >= BLOCKS_AT_ONCE * block_bytes;
        if run.is_empty() || !(is_long || run.end < end || end + block_bytes > mapping.end) {
            continue;
        }
        if !may_go_on() || *failures >= FAILURES_MAX {
            return false;
        }
        let started = Instant::now();
        *failures += u64::from(!collapse_range(&run));
        run = 0..0;
        std::thread::sleep(started.elapsed().min(PAUSE_MAX));
    }
    true
}

/// Whether nearly all pages of a block are in memory.
fn is_present(start: usize, block_bytes: usize, pages: &mut [u8]) -> bool {
    let at = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the kernel fills one byte a page of `pages`, which has so many; the range itself is
    // only looked up, and one that is gone is an error.
    let answer = unsafe { libc::mincore(at, block_bytes, pages.as_mut_ptr()) };
    let present = pages.iter().filter(|page| **page & 1 == 1).count();
    answer == 0 && present * 8 >= pages.len() * EIGHTHS_PRESENT_MIN
}

fn collapse_range(range: &std::ops::Range<usize>) -> bool {
    let at = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: this advice changes no byte of any mapping, whoever owns the range by now.
    unsafe { libc::madvise(at, range.len(), MADV_COLLAPSE) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advised_mappings_are_found_in_the_kernel_s_text() {
        let text = "\
556ce8840000-556ce967f000 rw-p 00000000 00:00 0                          [heap]
Size:              14588 kB
Rss:               14512 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me ac
20000000000-20040000000 rw-p 00000000 00:00 0
Size:            1048576 kB
Rss:              112640 kB
AnonHugePages:    110592 kB
VmFlags: rd wr mr mw me nr hg
7f00-8f00 r-xp 000c4000 fe:00 10002660                   /a path/with-dashes and: colons
Rss:                   8 kB
AnonHugePages:         0 kB
VmFlags: rd ex mr mw me hg
";
        let found = parse(text.as_bytes());
        assert_eq!(found.len(), 2);
        let arena = Mapping {
            start: 0x200_0000_0000,
            end: 0x200_4000_0000,
            resident_bytes: 112_640 << 10,
            huge_bytes: 110_592 << 10,
        };
        assert_eq!(found[0], arena);
        assert_eq!((found[1].start, found[1].resident_bytes), (0x7f00, 8192));
        assert!(parse(b"".as_slice()).is_empty());
    }

    #[test]
    fn a_collapse_that_may_not_go_on_ends() {
        let asked = &mut 0;
        let collapsed = collapse(&mut || {
            *asked += 1;
            false
        });
        assert!(*asked <= 1 && collapsed.bytes <= (BLOCKS_AT_ONCE * BLOCK_BYTES_MAX) as u64);
    }
}
