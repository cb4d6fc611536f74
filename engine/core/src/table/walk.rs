//! Walking a table: SCAN, random entries, the whole iteration of snapshots and digests, and the
//! steps of the expiry cycle.
//! All of it goes in hash order, which the stripes keep by themselves. Allocates nothing (I1: the
//! fork child walks here).
//!
//! A SCAN cursor is a lower bound in hash space, not a place in a table: `bound >> 16`, where the
//! bound's low 16 bits are zero at every depth. So splits, growth and deletions between two calls
//! cannot move a key across it: each call visits every key with a hash in `[bound, next bound)`,
//! and the calls together cover the whole space, so a key that is there all the time is visited at
//! least once (exactly once, unless the table was emptied in between, which makes bounds
//! coarser). Keys that share prefix and tag cannot be told apart by a bound and are visited
//! together. Cursors stay below 2^48, since some clients parse them as signed numbers or doubles.

use super::Table;
use super::directory::Directory;
use super::hash::KeyHash;
use super::stripe::{PREFETCH_DISTANCE, TAG_BITS, tag_of};
use crate::value::entry_ref::EntryRef;

/// Low bits of a bound that are always zero.
const CURSOR_SHIFT: u32 = 16;
/// Slots that one call may look at for each key that it is asked for (sparse stripes), and at
/// least.
const SLOTS_PER_KEY: usize = 16;
const SLOTS_MIN: usize = 256;

impl Table {
    /// SCAN: visit about `count` keys from `cursor` (0 starts); gives the next cursor (0 ends). A
    /// key that is there during the whole iteration is visited at least once. Any cursor is taken:
    /// one that was never given out just starts somewhere.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(EntryRef<'a>),
    ) -> u64 {
        let mut bound = KeyHash(cursor << CURSOR_SHIFT);
        let mut slots_left = count.saturating_mul(SLOTS_PER_KEY).max(SLOTS_MIN);
        let mut keys_left = count.max(1);
        loop {
            let place = self.directory.place_of(bound);
            let stripe = self.directory.at_place(place);
            let depth = stripe.local_depth();
            let mut index = stripe.lower_bound(tag_of(bound, depth));
            let mut last_tag = None;
            while index < stripe.slots_len() {
                if let Some((tag, entry)) = stripe.tagged_entry_at(index) {
                    if (keys_left == 0 || slots_left == 0)
                        && last_tag.is_some_and(|last| last < tag)
                    {
                        return next_bound(self.directory.prefix(place), depth, last_tag);
                    }
                    stripe.prefetch_entry_at(index + PREFETCH_DISTANCE);
                    visit(entry);
                    keys_left = keys_left.saturating_sub(1);
                    last_tag = Some(tag);
                }
                slots_left = slots_left.saturating_sub(1);
                index += 1;
            }
            slots_left = slots_left.saturating_sub(1);
            let next = next_bound(self.directory.prefix(place), depth, None);
            if next == 0 || keys_left == 0 || slots_left == 0 {
                return next;
            }
            bound = KeyHash(next << CURSOR_SHIFT);
        }
    }

    /// A key at random, `draw` being 64 random bits.
    ///
    /// A place of the directory is drawn and kept in proportion to how full its stripe is, against
    /// four times the mean, so that keys in thin and in full stripes come up alike; then slots in
    /// it until one is occupied. Both loops are bounded: a table that is nearly empty after many
    /// deletions takes the next key there is.
    pub fn random(&self, draw: u64) -> Option<EntryRef<'_>> {
        let directory = &self.directory;
        let full = 4 * self.len().div_ceil(directory.places()) as u64;
        let mut draws = Draws(draw);
        let mut place = 0;
        for _ in 0..DRAWS_MAX {
            place = directory.place_of(KeyHash(draws.next()));
            let span = (directory.next_place(place) - directory.first_place(place)) as u64;
            if draws.below(full * span) < directory.at_place(place).len() as u64 {
                break;
            }
        }
        let mut stripes_left = directory.places();
        while directory.at_place(place).len() == 0 && stripes_left > 0 {
            place = directory.next_place(place) % directory.places();
            stripes_left -= 1;
        }
        let stripe = directory.at_place(place);
        let slots = stripe.slots_len();
        (0..DRAWS_MAX)
            .find_map(|_| stripe.entry_at(draws.below(slots as u64) as usize))
            .or_else(|| (0..slots).find_map(|index| stripe.entry_at(index)))
    }

    /// All entries in hash order. Allocates nothing (the fork child walks it, I1).
    pub fn iter(&self) -> Iter<'_> {
        Iter { directory: &self.directory, place: 0, index: 0 }
    }
}

/// Draws of RANDOMKEY, at most, before it takes what is near.
const DRAWS_MAX: usize = 128;

/// Random numbers from one (splitmix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// The cursor behind a tag, or behind the whole stripe; 0 behind the last one.
fn next_bound(prefix: u64, depth: u32, tag: Option<u64>) -> u64 {
    let granule = match tag {
        Some(tag) => (prefix << TAG_BITS | tag) + 1,
        None => (prefix + 1) << TAG_BITS,
    };
    // Granules are the hash's top `depth + 16` bits; a cursor is its top 48.
    let unit = 64 - CURSOR_SHIFT - TAG_BITS - depth;
    (granule << unit) & (u64::MAX >> CURSOR_SHIFT)
}

/// All entries of a table, in hash order.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    directory: &'a Directory,
    place: usize,
    index: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        while self.place < self.directory.places() {
            let stripe = self.directory.at_place(self.place);
            while self.index < stripe.slots_len() {
                stripe.prefetch_entry_at(self.index + PREFETCH_DISTANCE);
                let entry = stripe.entry_at(self.index);
                self.index += 1;
                if entry.is_some() {
                    return entry;
                }
            }
            self.place = self.directory.next_place(self.place);
            self.index = 0;
        }
        None
    }
}
