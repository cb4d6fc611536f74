//! One stripe: a small hash table of about a thousand entries, kept in the order of the hash.
//! Not here: which stripe a hash belongs to (`directory`), counting per database (`db`).
//! Invariants (`Stripe::check`): tags never fall from one slot to the next; an entry stands at its
//! home slot or after it, with no empty slot between; the last slot is empty, so that every probe
//! ends.
//!
//! ```text
//!  a slot, 64 bits             63            48 47                              3 2  1 0
//!                             ┌────────────────┬─────────────────────────────────┬────┬─┐
//!                             │ tag            │ address of the entry / 8        │ 00 │E│
//!                             └────────────────┴─────────────────────────────────┴────┴─┘
//!  tag: the 16 bits of the hash right after the stripe's own prefix │ E: the entry has an expiry
//!  all zero: an empty slot
//!
//!  slots   │ 0 ................ capacity-1 │ overflow │ 0 │    home slot = tag * capacity >> 16
//! ```
//! Home grows with the tag and collisions are put in order (sorted linear probing), so the slots
//! always are in hash order: SCAN and the snapshot walk them as they lie, without sorting, and a
//! cursor is a bound in hash space. Nothing wraps: what is pushed past the end goes to the
//! overflow, and when that is full the stripe grows. The table may have any capacity: it grows by a
//! fifth, to the next size class, so its load stays between about 0.72 and 0.875 (10 bytes a key in
//! all). Growing needs no key, since tags are stored; only a split, which needs one more bit of
//! each hash, reads its thousand keys.
//! Rejected: chains or groups with a stash (walking them in order needs a sort); power-of-two
//! tables (17 bytes a key).
#![allow(unsafe_code)] // a slot's address becomes an entry again

use super::hash::{KeyHash, KeyHasher};
use crate::alloc::{self, Ledger, Words};
use crate::value::entry::Entry;
use crate::value::entry_ref::EntryRef;

/// Entries at which a stripe splits: just below what a slot array of 10 KiB holds.
pub(super) const SPLIT_ENTRIES: u32 = 1096;
/// Stripes do not split beyond this depth (a trillion keys); a cursor then has 48 bits.
pub(super) const LOCAL_DEPTH_MAX: u32 = 32;
/// Bits of a tag.
pub(super) const TAG_BITS: u32 = 16;

const CAPACITY_MIN: usize = 8;
const EMPTY: u64 = 0;
const TAG_SHIFT: u32 = 48;
const HAS_EXPIRY: u64 = 1;
const ADDRESS_MASK: u64 = (1 << TAG_SHIFT) - 8;
/// How many slots ahead a walk asks for the entries it will read.
pub(super) const PREFETCH_DISTANCE: usize = 8;

/// The tag of a hash in a stripe of that depth.
#[inline]
pub(super) fn tag_of(hash: KeyHash, local_depth: u32) -> u64 {
    (hash.0 << local_depth) >> TAG_SHIFT
}

#[inline]
fn slot_tag(slot: u64) -> u64 {
    slot >> TAG_SHIFT
}

fn pack(tag: u64, entry: Entry) -> u64 {
    let flag = if entry.as_ref().expire_at_ms().is_some() { HAS_EXPIRY } else { 0 };
    tag << TAG_SHIFT | entry.into_address() as u64 | flag
}

/// Borrow the entry of an occupied slot.
///
/// # Safety
/// `slot` is an occupied slot of a stripe that is borrowed for `'a`.
#[inline]
unsafe fn slot_entry<'a>(slot: u64) -> EntryRef<'a> {
    // SAFETY: an occupied slot owns a live entry, and the borrow of its stripe keeps it unchanged.
    unsafe { EntryRef::from_address((slot & ADDRESS_MASK) as usize) }
}

/// Take the entry out of a slot that is emptied or rewritten by the caller.
///
/// # Safety
/// `slot` is an occupied slot, exclusively borrowed, and the caller stores over it.
unsafe fn own_entry(slot: u64) -> Entry {
    // SAFETY: the slot owned the entry; the caller does now.
    unsafe { Entry::from_address((slot & ADDRESS_MASK) as usize) }
}

/// A stripe. Has no `Drop`: the database frees it with its ledger.
#[derive(Debug)]
pub(super) struct Stripe {
    slots: Words,
    /// Home slots; the words behind them are overflow and the empty end.
    capacity: u32,
    len: u32,
    expires: u32,
    local_depth: u8,
    /// No entry here ends before this instant. A lower bound: deleting the soonest key leaves it.
    next_due_ms: i64,
}

impl Stripe {
    pub fn new(local_depth: u32) -> Self {
        Self {
            slots: Words::empty(),
            capacity: 0,
            len: 0,
            expires: 0,
            local_depth: local_depth as u8,
            next_due_ms: i64::MAX,
        }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn expires_len(&self) -> usize {
        self.expires as usize
    }

    pub fn local_depth(&self) -> u32 {
        u32::from(self.local_depth)
    }

    pub fn next_due_ms(&self) -> i64 {
        self.next_due_ms
    }

    pub fn set_next_due_ms(&mut self, at_ms: i64) {
        self.next_due_ms = at_ms;
    }

    /// Slots, occupied or not.
    pub fn slots_len(&self) -> usize {
        self.slots.as_slice().len()
    }

    #[inline]
    fn home(&self, tag: u64) -> usize {
        ((tag * u64::from(self.capacity)) >> TAG_BITS) as usize
    }

    /// The entry at a slot.
    #[inline]
    pub fn entry_at(&self, index: usize) -> Option<EntryRef<'_>> {
        let slot = *self.slots.as_slice().get(index)?;
        // SAFETY: occupied, and borrowed with `self`.
        (slot != EMPTY).then(|| unsafe { slot_entry(slot) })
    }

    /// The entry at a slot with its tag.
    pub fn tagged_entry_at(&self, index: usize) -> Option<(u64, EntryRef<'_>)> {
        self.entry_at(index).map(|entry| (slot_tag(self.slots.as_slice()[index]), entry))
    }

    /// The entry at a slot, if it has an expiry. Does not touch entries that have none.
    pub fn expiring_entry_at(&self, index: usize) -> Option<EntryRef<'_>> {
        let slot = *self.slots.as_slice().get(index)?;
        // SAFETY: the flag is set in occupied slots only.
        (slot & HAS_EXPIRY != 0).then(|| unsafe { slot_entry(slot) })
    }

    /// Ask for the entry at a slot, if any, to be in the cache soon.
    #[inline]
    pub fn prefetch_entry_at(&self, index: usize) {
        if let Some(slot) = self.slots.as_slice().get(index) {
            alloc::prefetch((slot & ADDRESS_MASK) as usize as *const u8);
        }
    }

    /// The same for a slot whose entry has an expiry; others are left alone.
    pub fn prefetch_expiring_at(&self, index: usize) {
        if self.slots.as_slice().get(index).is_some_and(|slot| slot & HAS_EXPIRY != 0) {
            self.prefetch_entry_at(index);
        }
    }

    /// Note the last access of the entry at an occupied slot.
    pub fn note_access(&mut self, index: usize, access_seconds: u32) {
        let slot = self.slots.as_mut_slice()[index];
        debug_assert_ne!(slot, EMPTY);
        // SAFETY: occupied and borrowed exclusively. The address does not change, so the slot stays
        // as it is.
        unsafe { own_entry(slot) }.set_access(access_seconds);
    }

    /// Ask for the home slot of a tag.
    #[inline]
    pub fn prefetch_home(&self, tag: u64) {
        if let Some(slot) = self.slots.as_slice().get(self.home(tag)) {
            alloc::prefetch(slot);
        }
    }

    /// Ask for the entries of that tag (nearly always at most one): their first two cache lines.
    #[inline]
    pub fn prefetch_tag(&self, tag: u64) {
        let slots = self.slots.as_slice();
        for slot in slots.get(self.home(tag)..).unwrap_or_default() {
            if *slot == EMPTY || slot_tag(*slot) > tag {
                break;
            }
            if slot_tag(*slot) == tag {
                let address = (slot & ADDRESS_MASK) as usize as *const u8;
                alloc::prefetch(address);
                alloc::prefetch(address.wrapping_add(64));
            }
        }
    }

    /// The first slot, occupied or not, behind all tags below `tag`: a walk from there sees every
    /// tag from `tag` on.
    pub fn lower_bound(&self, tag: u64) -> usize {
        let slots = self.slots.as_slice();
        let mut index = self.home(tag);
        while slots.get(index).is_some_and(|slot| *slot != EMPTY && slot_tag(*slot) < tag) {
            index += 1;
        }
        index
    }

    /// The slot of a key.
    #[inline]
    pub fn find(&self, tag: u64, key: &[u8]) -> Option<usize> {
        let slots = self.slots.as_slice();
        let mut index = self.home(tag);
        loop {
            let slot = *slots.get(index)?;
            if slot == EMPTY || slot_tag(slot) > tag {
                return None;
            }
            // SAFETY: occupied, and borrowed with `self`.
            if slot_tag(slot) == tag && unsafe { slot_entry(slot) }.key() == key {
                return Some(index);
            }
            index += 1;
        }
    }

    /// Insert an entry whose key is not here.
    pub fn insert(&mut self, tag: u64, entry: Entry, presize: usize, ledger: &mut Ledger) {
        self.note_due(entry.as_ref().expire_at_ms());
        self.expires += u32::from(entry.as_ref().expire_at_ms().is_some());
        if (self.len as usize + 1) * 8 > self.capacity as usize * 7 {
            self.grow(presize, ledger);
        }
        let slot = pack(tag, entry);
        while !self.place(slot) {
            self.grow(0, ledger);
        }
        self.len += 1;
    }

    /// Put a slot where it belongs, shifting later ones; false, and nothing done, when the overflow
    /// is full.
    fn place(&mut self, slot: u64) -> bool {
        let mut index = self.home(slot_tag(slot));
        let slots = self.slots.as_mut_slice();
        let last = slots.len() - 1;
        while slots[index] != EMPTY && slot_tag(slots[index]) <= slot_tag(slot) {
            index += 1;
        }
        let mut free = index;
        while slots[free] != EMPTY {
            free += 1;
        }
        if free == last {
            return false;
        }
        slots.copy_within(index..free, index + 1);
        slots[index] = slot;
        true
    }

    /// Take an entry out; later ones move towards their homes.
    pub fn take(&mut self, index: usize, ledger: &mut Ledger) -> Entry {
        let capacity = u64::from(self.capacity);
        let slots = self.slots.as_mut_slice();
        let taken = slots[index];
        debug_assert_ne!(taken, EMPTY);
        let mut end = index + 1;
        while slots[end] != EMPTY && ((slot_tag(slots[end]) * capacity) >> TAG_BITS) < end as u64 {
            end += 1;
        }
        slots.copy_within(index + 1..end, index);
        slots[end - 1] = EMPTY;
        self.len -= 1;
        self.expires -= (taken & HAS_EXPIRY) as u32;
        if self.len == 0 {
            std::mem::replace(&mut self.slots, Words::empty()).free(ledger);
            self.capacity = 0;
            self.next_due_ms = i64::MAX;
        } else if self.capacity > 64 && self.len * 4 < self.capacity {
            self.rebuild(self.len as usize * 2, ledger);
        }
        // SAFETY: the slot was occupied and is gone now.
        unsafe { own_entry(taken) }
    }

    /// Exchange an entry for what `change` makes of it (the same key); gives what else it gives.
    pub fn change<R>(&mut self, index: usize, change: impl FnOnce(Entry) -> (Entry, R)) -> R {
        let slot = &mut self.slots.as_mut_slice()[index];
        debug_assert_ne!(*slot, EMPTY);
        let (tag, had_expiry) = (slot_tag(*slot), *slot & HAS_EXPIRY);
        // SAFETY: occupied, borrowed exclusively, and stored over in the next line.
        let (entry, result) = change(unsafe { own_entry(*slot) });
        let expire_at_ms = entry.as_ref().expire_at_ms();
        *slot = pack(tag, entry);
        self.expires = self.expires + u32::from(expire_at_ms.is_some()) - had_expiry as u32;
        self.note_due(expire_at_ms);
        result
    }

    fn note_due(&mut self, expire_at_ms: Option<i64>) {
        self.next_due_ms = self.next_due_ms.min(expire_at_ms.unwrap_or(i64::MAX));
    }

    /// Grow to the next size: doubling while small, then by a fifth; the first time to `presize`
    /// entries.
    fn grow(&mut self, presize: usize, ledger: &mut Ledger) {
        let capacity = self.capacity as usize;
        let wanted = match capacity {
            0 => presize.max(CAPACITY_MIN),
            1..128 => capacity * 2,
            _ => capacity + capacity / 6,
        };
        self.rebuild(wanted, ledger);
    }

    /// Move the slots to an array of at least `capacity` home slots. Reads no entry.
    fn rebuild(&mut self, capacity: usize, ledger: &mut Ledger) {
        let mut wanted = capacity.max(CAPACITY_MIN);
        loop {
            let slots = Words::zeroed(wanted + overflow_of(wanted) + 1, ledger);
            let words = slots.as_slice().len();
            // The size class may hold more than was asked for: make it home slots.
            let capacity = words - 1 - overflow_of(words);
            let old = std::mem::replace(&mut self.slots, slots);
            let old_capacity = std::mem::replace(&mut self.capacity, capacity as u32);
            if self.refill(old.as_slice()) {
                old.free(ledger);
                return;
            }
            std::mem::replace(&mut self.slots, old).free(ledger);
            self.capacity = old_capacity;
            wanted = capacity + capacity / 4 + 1;
        }
    }

    /// Lay the occupied slots of `old` out, in order; false when the overflow is full.
    fn refill(&mut self, old: &[u64]) -> bool {
        let mut next = 0;
        for slot in old.iter().filter(|slot| **slot != EMPTY) {
            let index = self.home(slot_tag(*slot)).max(next);
            let slots = self.slots.as_mut_slice();
            if index + 1 >= slots.len() {
                return false;
            }
            slots[index] = *slot;
            next = index + 1;
        }
        true
    }

    /// Split in two by the next bit of the hash: `self` keeps the lower half, the upper is
    /// returned.
    pub fn split(&mut self, hasher: &KeyHasher, ledger: &mut Ledger) -> Self {
        let depth = self.local_depth() + 1;
        let mut halves = [Self::new(depth), Self::new(depth)];
        let old = std::mem::replace(&mut self.slots, Words::empty());
        let half_len = self.len as usize / 2;
        for (index, slot) in old.as_slice().iter().enumerate() {
            if let Some(ahead) = old.as_slice().get(index + PREFETCH_DISTANCE) {
                alloc::prefetch((ahead & ADDRESS_MASK) as usize as *const u8);
            }
            if *slot == EMPTY {
                continue;
            }
            // SAFETY: occupied; the old array is given up below, so that the entry has one owner.
            let entry = unsafe { own_entry(*slot) };
            let tag = tag_of(hasher.hash(entry.as_ref().key()), depth);
            let upper = (slot_tag(*slot) >> (TAG_BITS - 1)) as usize;
            halves[upper].insert(tag, entry, half_len + half_len / 3, ledger);
        }
        old.free(ledger);
        let [lower, upper] = halves;
        *self = lower;
        upper
    }

    /// Free all entries and the slots.
    pub fn free(self, ledger: &mut Ledger) {
        let slots = self.slots.as_slice();
        for (index, slot) in slots.iter().enumerate() {
            self.prefetch_entry_at(index + PREFETCH_DISTANCE);
            if *slot != EMPTY {
                // SAFETY: occupied, and the slots end with `self`.
                unsafe { own_entry(*slot) }.free(ledger);
            }
        }
        self.slots.free(ledger);
    }

    /// The first broken invariant, if any; `prefix` is the value of the hash's top `local_depth`
    /// bits.
    pub fn check(&self, prefix: u64, hasher: &KeyHasher) -> Result<(), String> {
        let slots = self.slots.as_slice();
        let depth = self.local_depth();
        let (mut len, mut expires, mut last_tag) = (0, 0, 0);
        for (index, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != EMPTY) {
            let (tag, home) = (slot_tag(*slot), self.home(slot_tag(*slot)));
            // SAFETY: occupied, and borrowed with `self`.
            let entry = unsafe { slot_entry(*slot) };
            let hash = hasher.hash(entry.key());
            let at_ms = entry.expire_at_ms();
            let rules = [
                (tag >= last_tag, "tags fall"),
                (home <= index, "an entry stands before its home"),
                (slots[home..index].iter().all(|slot| *slot != EMPTY), "a gap before an entry"),
                (index + 1 < slots.len(), "the last slot is taken"),
                (tag == tag_of(hash, depth), "a tag is not the key's"),
                (depth == 0 || hash.0 >> (64 - depth) == prefix, "a key is in the wrong stripe"),
                (at_ms.is_some() == (slot & HAS_EXPIRY != 0), "an expiry flag is wrong"),
                (at_ms.is_none_or(|at| at >= self.next_due_ms), "the due bound is too late"),
            ];
            if let Some((_, broken)) = rules.iter().find(|(holds, _)| !holds) {
                return Err(format!("{broken}: stripe {prefix:#x}/{depth}, slot {index}"));
            }
            len += 1;
            expires += u32::from(at_ms.is_some());
            last_tag = tag;
        }
        if (len, expires) != (self.len, self.expires) {
            return Err(format!("counts are wrong: stripe {prefix:#x}/{depth}"));
        }
        Ok(())
    }
}

/// Overflow slots behind that many home slots.
fn overflow_of(capacity: usize) -> usize {
    4 + capacity / 64
}
