//! Chance, for the commands that pick: RANDOMKEY, SPOP, SRANDMEMBER, HRANDFIELD, ZRANDMEMBER. Good
//! enough to pick fairly, not for secrets.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::texts;
use crate::keyspace::EntryRef;
use crate::table::Table;
use crate::value::integer::parse_i64;

/// 64 random bits (splitmix64).
pub fn draw() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = SEED.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number below `bound`; 0 when `bound` is 0.
pub fn below(bound: usize) -> usize {
    ((u128::from(draw()) * bound as u128) >> 64) as usize
}

/// The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER; negative: with repetitions.
///
/// # Errors
/// Redis's text.
pub fn parse_count(text: &[u8]) -> Result<i64, &'static str> {
    const OUT_OF_RANGE: &str = "ERR value is out of range, value must between \
        -9223372036854775807 and 9223372036854775807";
    match parse_i64(text) {
        None => Err(texts::NOT_INTEGER),
        Some(i64::MIN) => Err(OUT_OF_RANGE),
        Some(count) => Ok(count),
    }
}

/// `count` of the `len` items, in their order, every choice alike likely (selection sampling: one
/// walk, no memory).
pub fn select<I: Iterator>(items: I, len: usize, count: usize) -> impl Iterator<Item = I::Item> {
    let (mut left, mut wanted) = (len, count);
    items.filter(move |_| {
        let is_taken = below(left) < wanted;
        left = left.saturating_sub(1);
        wanted -= usize::from(is_taken);
        is_taken
    })
}

/// `count` different entries at random, of a table with many more. Takes memory for what it gives.
pub fn distinct(table: &Table, count: usize) -> Vec<EntryRef<'_>> {
    /// A table that is nearly empty after many deletions repeats itself; then a walk fills up.
    const DRAWS_PER_ENTRY: usize = 16;
    let mut seen: HashSet<&[u8]> = HashSet::with_capacity(count);
    let mut found = Vec::with_capacity(count);
    let draws = (0..count.saturating_mul(DRAWS_PER_ENTRY)).filter_map(|_| table.random(draw()));
    for entry in draws.chain(table.iter()) {
        if found.len() == count {
            break;
        }
        if seen.insert(entry.key()) {
            found.push(entry);
        }
    }
    found
}
