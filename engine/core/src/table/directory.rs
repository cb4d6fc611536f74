//! The extendible directory: the top bits of a hash name a stripe.
//! Growth never stops the world: a stripe that is full splits alone (a thousand keys), and only
//! when it was as deep as the directory does the map double (4 bytes a stripe, copied in order). It
//! shrinks when the database becomes empty, no sooner.
//!
//! ```text
//!  depth 2      map        stripes
//!  hash 00...   [0] ─────► local depth 1: every hash that begins with 0
//!  hash 01...   [1] ────┘
//!  hash 10...   [2] ─────► local depth 2: 10
//!  hash 11...   [3] ─────► local depth 2: 11
//! ```
//! Invariant: a stripe of local depth `l` is named by the `2^(depth-l)` neighbours of the map that
//! share its prefix.
//! Limit: `stripes` is one vector, so adding the stripe that doubles it copies 40 bytes a stripe
//! (10 MB at 200 M keys).

use super::hash::{KeyHash, KeyHasher};
use super::stripe::{LOCAL_DEPTH_MAX, SPLIT_ENTRIES, Stripe};
use crate::alloc::Ledger;

/// Deepest directory that a hint from outside (a file's key count) can ask for: 200 M keys, 12 MB.
const RESERVE_DEPTH_MAX: u32 = 18;
/// Mean entries of a reserved stripe, at most: far enough below the split that chance does not
/// split it.
const RESERVE_ENTRIES: usize = 900;

/// Map and stripes.
#[derive(Debug)]
pub(super) struct Directory {
    depth: u32,
    map: Vec<u32>,
    stripes: Vec<Stripe>,
    /// Entries to expect in a new stripe; 0 when nothing was reserved.
    presize: usize,
}

impl Directory {
    pub fn new() -> Self {
        Self { depth: 0, map: vec![0], stripes: vec![Stripe::new(0)], presize: 0 }
    }

    /// Whether there is just the first stripe.
    pub fn is_single(&self) -> bool {
        self.stripes.len() == 1
    }

    /// Bytes of the map and the stripes' heads.
    pub fn memory_bytes(&self) -> usize {
        self.map.capacity() * size_of::<u32>() + self.stripes.capacity() * size_of::<Stripe>()
    }

    /// Entries to expect in a new stripe.
    pub fn presize(&self) -> usize {
        self.presize
    }

    /// Places in the map.
    pub fn places(&self) -> usize {
        self.map.len()
    }

    /// The place in the map that a hash belongs to.
    #[inline]
    pub fn place_of(&self, hash: KeyHash) -> usize {
        // Two shifts: shifting by all 64 bits at once (depth 0) is not defined.
        ((hash.0 >> 1) >> (63 - self.depth)) as usize
    }

    /// The stripe that a place names.
    #[inline]
    pub fn at_place(&self, place: usize) -> &Stripe {
        &self.stripes[self.map[place] as usize]
    }

    /// The stripe that a place names, to change it.
    #[inline]
    pub fn at_place_mut(&mut self, place: usize) -> &mut Stripe {
        &mut self.stripes[self.map[place] as usize]
    }

    /// The stripe of a hash.
    #[inline]
    pub fn stripe(&self, hash: KeyHash) -> &Stripe {
        self.at_place(self.place_of(hash))
    }

    /// The stripe of a hash, to change it.
    #[inline]
    pub fn stripe_mut(&mut self, hash: KeyHash) -> &mut Stripe {
        self.at_place_mut(self.place_of(hash))
    }

    /// The first place that names the same stripe as `place`.
    pub fn first_place(&self, place: usize) -> usize {
        place & !(self.span(place) - 1)
    }

    /// The first place of the stripe after the one that `place` names.
    pub fn next_place(&self, place: usize) -> usize {
        self.first_place(place) + self.span(place)
    }

    /// The value of the top `local_depth` bits in the stripe that `place` names.
    pub fn prefix(&self, place: usize) -> u64 {
        (place as u64) >> (self.depth - self.at_place(place).local_depth())
    }

    /// Where the hashes of a place begin.
    pub fn start_of(&self, place: usize) -> u64 {
        // Two shifts, as in `place_of`.
        ((place as u64) << (63 - self.depth)) << 1
    }

    /// The soonest bound of all stripes.
    pub fn next_due_ms(&self) -> i64 {
        self.stripes.iter().map(Stripe::next_due_ms).min().unwrap_or(i64::MAX)
    }

    fn span(&self, place: usize) -> usize {
        1 << (self.depth - self.at_place(place).local_depth())
    }

    /// Whether the stripe of a hash should split before it takes another entry.
    pub fn is_full(&self, hash: KeyHash) -> bool {
        let stripe = self.stripe(hash);
        stripe.len() >= SPLIT_ENTRIES as usize && stripe.local_depth() < LOCAL_DEPTH_MAX
    }

    /// Split the stripe that `place` names.
    pub fn split(&mut self, mut place: usize, hasher: &KeyHasher, ledger: &mut Ledger) {
        if self.at_place(place).local_depth() == self.depth {
            self.map = self.map.iter().flat_map(|index| [*index, *index]).collect();
            self.depth += 1;
            place *= 2;
        }
        let (first, end) = (self.first_place(place), self.next_place(place));
        let upper = self.at_place_mut(place).split(hasher, ledger);
        let upper_index = self.stripes.len() as u32;
        self.stripes.push(upper);
        self.map[first.midpoint(end)..end].fill(upper_index);
        for place in [first, end - 1] {
            debug_assert_eq!(self.at_place(place).check(self.prefix(place), hasher), Ok(()));
        }
    }

    /// Make room for `keys` keys in all: deep enough that stripes do not split, and new stripes
    /// with slots enough.
    pub fn reserve(&mut self, keys: usize, hasher: &KeyHasher, ledger: &mut Ledger) {
        let mean = (keys >> depth_for(keys)).min(RESERVE_ENTRIES);
        self.presize = mean + mean / 4;
        self.deepen(keys, hasher, ledger);
    }

    /// Split what would split before there are `keys` keys in all: the fewer it has, the less that
    /// costs. A guess that is too high costs a stripe's head for each thousand keys.
    pub fn deepen(&mut self, keys: usize, hasher: &KeyHasher, ledger: &mut Ledger) {
        let depth = depth_for(keys);
        let mut place = 0;
        while place < self.places() {
            if self.at_place(place).local_depth() >= depth {
                place = self.next_place(place);
                continue;
            }
            let was_as_deep = self.at_place(place).local_depth() == self.depth;
            self.split(place, hasher, ledger);
            place = if was_as_deep { place * 2 } else { place };
        }
    }

    /// All stripes, in no order.
    pub fn into_stripes(self) -> Vec<Stripe> {
        self.stripes
    }

    /// The first broken invariant, if any.
    pub fn check(&self, hasher: &KeyHasher) -> Result<(), String> {
        let mut seen = vec![false; self.stripes.len()];
        let mut place = 0;
        while place < self.places() {
            let (index, next) = (self.map[place], self.next_place(place));
            if std::mem::replace(&mut seen[index as usize], true) {
                return Err(format!("stripe {index} has two prefixes"));
            }
            if self.map[place..next].iter().any(|other| *other != index) {
                return Err(format!("stripe {index} does not own its places"));
            }
            self.at_place(place).check(self.prefix(place), hasher)?;
            place = next;
        }
        seen.iter().all(|seen| *seen).then_some(()).ok_or_else(|| "a stripe is lost".to_owned())
    }
}

/// How deep stripes are to be for `keys` keys.
fn depth_for(keys: usize) -> u32 {
    let is_enough = |depth: &u32| keys >> depth <= RESERVE_ENTRIES;
    (0..RESERVE_DEPTH_MAX).find(is_enough).unwrap_or(RESERVE_DEPTH_MAX)
}
