//! The striped table: entries found by the hash of their keys (design.md section 4). A database is
//! one, and so is a large hash, a large set and the member side of a large sorted set, so that none
//! of them ever rehashes whole. From the top: a `Table` has a `directory` of `stripe`s, a stripe has
//! slots in the order of the hash, a slot names an entry (`value::entry`); `walk` goes through all, `due` finds what has ended.
//! Not here: what an entry's value means (`value`), time and expiry rules (`keyspace`).
//! Invariants: the ledger counts exactly what the stripes own; `len` and `expires` are the sums over
//! the stripes; a shared borrow only reads and allocates nothing (I1).

mod directory;
mod due;
mod hash;
mod stripe;
mod walk;

pub use hash::KeyHash;
pub(crate) use hash::KeyHasher;
pub use walk::Iter;

use directory::Directory;
use stripe::{Stripe, tag_of};

use crate::alloc::{self, Ledger};
use crate::value::NewValue;
use crate::value::entry::Entry;
use crate::value::entry_ref::EntryRef;

/// Where an entry stands: good until the next insertion or removal.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    hash: KeyHash,
    index: usize,
}

/// A striped table with its memory.
#[derive(Debug)]
pub struct Table {
    directory: Directory,
    hasher: KeyHasher,
    ledger: Ledger,
    len: usize,
    expires: usize,
    /// No entry ends before this instant (a lower bound).
    next_due_ms: i64,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let directory = std::mem::replace(&mut self.directory, Directory::new());
        directory.into_stripes().into_iter().for_each(|stripe| stripe.free(&mut self.ledger));
        debug_assert_eq!(self.ledger.bytes(), 0, "a dropped table leaves nothing behind");
    }
}

impl Table {
    /// An empty table, with the process's hasher.
    pub fn new() -> Self {
        Self::with_hasher(KeyHasher::of_process())
    }

    pub(crate) fn with_hasher(hasher: KeyHasher) -> Self {
        alloc::tune();
        Self {
            directory: Directory::new(),
            hasher,
            ledger: Ledger::default(),
            len: 0,
            expires: 0,
            next_due_ms: i64::MAX,
        }
    }

    /// An empty table with the same hash function, in exchange for this one.
    #[must_use]
    pub(crate) fn take_all(&mut self) -> Self {
        let fresh = Self::with_hasher(self.hasher.clone());
        std::mem::replace(self, fresh)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of entries with an expiry.
    pub fn expires_len(&self) -> usize {
        self.expires
    }

    /// Bytes of memory held by entries and slots.
    pub fn memory_bytes(&self) -> usize {
        self.ledger.bytes() + self.directory.memory_bytes()
    }

    /// The part of it that does not follow from entries and slots.
    #[cfg(test)]
    pub(crate) fn heads_bytes(&self) -> usize {
        self.directory.memory_bytes()
    }

    /// Make room for `entries` in all, so that filling does not split stripes. Slots are allocated
    /// as entries come, and the directory is bounded, so a hint that lies costs at most 12 MB.
    pub fn reserve(&mut self, entries: usize) {
        self.directory.reserve(entries, &self.hasher, &mut self.ledger);
    }

    /// Be ready for about `entries` in all: a guess, which reserves no slots.
    pub(crate) fn expect(&mut self, entries: usize) {
        self.directory.deepen(entries, &self.hasher, &mut self.ledger);
    }

    /// Hash a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// Hash a key and prefetch the slot it would be in.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) -> KeyHash {
        let hash = self.hasher.hash(key);
        let stripe = self.directory.stripe(hash);
        stripe.prefetch_home(tag_of(hash, stripe.local_depth()));
        hash
    }

    /// Prefetch the entry that the slot names (second wave).
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) {
        let stripe = self.directory.stripe(hash);
        stripe.prefetch_tag(tag_of(hash, stripe.local_depth()));
    }

    /// Find where a key stands.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<Spot> {
        self.find_hashed(self.hasher.hash(key), key)
    }

    /// Find where a key stands whose hash is known.
    #[inline]
    pub fn find_hashed(&self, hash: KeyHash, key: &[u8]) -> Option<Spot> {
        let stripe = self.directory.stripe(hash);
        let index = stripe.find(tag_of(hash, stripe.local_depth()), key)?;
        Some(Spot { hash, index })
    }

    /// The entry at a spot.
    #[inline]
    pub fn entry_at(&self, spot: Spot) -> Option<EntryRef<'_>> {
        self.directory.stripe(spot.hash).entry_at(spot.index)
    }

    /// Find an entry.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.get_hashed(self.hasher.hash(key), key)
    }

    /// Find the entry of a key whose hash is known.
    #[inline]
    pub fn get_hashed(&self, hash: KeyHash, key: &[u8]) -> Option<EntryRef<'_>> {
        let stripe = self.directory.stripe(hash);
        stripe.entry_at(stripe.find(tag_of(hash, stripe.local_depth()), key)?)
    }

    /// Insert or replace a value, without expiry (a field, a member). Gives whether the key was
    /// there.
    pub fn put(&mut self, key: &[u8], value: NewValue<'_>) -> bool {
        let hash = self.hasher.hash(key);
        if let Some(spot) = self.find_hashed(hash, key) {
            self.change(spot, |entry, ledger| entry.with_value(value, None, 0, ledger));
            return true;
        }
        let entry = Entry::new(key, value, None, 0, &mut self.ledger);
        self.insert(hash, entry);
        false
    }

    /// Insert a value without expiry unless the key is there; gives whether it was inserted. One
    /// that is there is not written to: its page may be shared with a child.
    pub fn add(&mut self, key: &[u8], value: NewValue<'_>) -> bool {
        let hash = self.hasher.hash(key);
        if self.find_hashed(hash, key).is_some() {
            return false;
        }
        let entry = Entry::new(key, value, None, 0, &mut self.ledger);
        self.insert(hash, entry);
        true
    }

    /// Delete a key. Gives whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(spot) = self.find(key) else { return false };
        self.remove_at(spot);
        true
    }

    /// Delete what stands at a spot.
    pub(crate) fn remove_at(&mut self, spot: Spot) {
        let entry = self.take(spot);
        entry.free(&mut self.ledger);
    }

    /// Note the last access of the entry at a spot.
    #[inline]
    pub(crate) fn note_access(&mut self, spot: Spot, access_seconds: u32) {
        self.directory.stripe_mut(spot.hash).note_access(spot.index, access_seconds);
    }

    /// For making an entry in this table's memory, to be given to [`Table::insert`].
    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Exchange the entry at a spot for what `change` makes of it (the same key).
    pub(crate) fn change(&mut self, spot: Spot, change: impl FnOnce(Entry, &mut Ledger) -> Entry) {
        self.change_with(spot, |entry, ledger| (change(entry, ledger), ()));
    }

    /// As [`Table::change`]; gives what `change` gives besides the entry.
    pub(crate) fn change_with<R>(
        &mut self,
        spot: Spot,
        change: impl FnOnce(Entry, &mut Ledger) -> (Entry, R),
    ) -> R {
        let stripe = self.directory.stripe_mut(spot.hash);
        let before = stripe.expires_len();
        let result = stripe.change(spot.index, |entry| change(entry, &mut self.ledger));
        self.expires = self.expires + stripe.expires_len() - before;
        self.next_due_ms = self.next_due_ms.min(stripe.next_due_ms());
        result
    }

    /// Insert an entry whose key is not here.
    pub(crate) fn insert(&mut self, hash: KeyHash, entry: Entry) {
        while self.directory.is_full(hash) {
            let place = self.directory.place_of(hash);
            self.directory.split(place, &self.hasher, &mut self.ledger);
        }
        let presize = self.directory.presize();
        let stripe: &mut Stripe = self.directory.stripe_mut(hash);
        let before = stripe.expires_len();
        stripe.insert(tag_of(hash, stripe.local_depth()), entry, presize, &mut self.ledger);
        self.expires += stripe.expires_len() - before;
        self.next_due_ms = self.next_due_ms.min(stripe.next_due_ms());
        self.len += 1;
    }

    /// Insert an entry in place of what has its key.
    pub(crate) fn replace(&mut self, key: &[u8], entry: Entry) {
        self.remove(key);
        self.insert(self.hasher.hash(key), entry);
    }

    /// Take the entry at a spot out; it stays counted in this table's ledger.
    pub(crate) fn take(&mut self, spot: Spot) -> Entry {
        let stripe = self.directory.stripe_mut(spot.hash);
        let before = stripe.expires_len();
        let entry = stripe.take(spot.index, &mut self.ledger);
        self.expires -= before - stripe.expires_len();
        self.len -= 1;
        if self.len == 0 && !self.directory.is_single() {
            // Empty stripes own no slots: dropping them frees all.
            self.directory = Directory::new();
        }
        if self.len == 0 {
            self.next_due_ms = i64::MAX;
        }
        entry
    }

    /// A copy in memory of its own.
    pub(crate) fn duplicate(&self) -> Self {
        let mut copy = Self::with_hasher(self.hasher.clone());
        copy.reserve(self.len);
        for entry in self.iter() {
            let made = Entry::copy_of(entry, entry.key(), &mut copy.ledger);
            copy.insert(copy.hasher.hash(entry.key()), made);
        }
        copy
    }

    /// The first broken invariant, if any. Reads every key: for tests and debugging.
    ///
    /// # Errors
    /// The invariant in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.directory.check(&self.hasher)?;
        let (mut len, mut expires, mut bytes) = (0, 0, 0);
        for entry in self.iter() {
            len += 1;
            expires += usize::from(entry.expire_at_ms().is_some());
            bytes += entry.memory_bytes();
            if entry.expire_at_ms().is_some_and(|at| at < self.next_due_ms) {
                return Err("the table's due bound is too late".to_owned());
            }
            entry.check_value()?;
        }
        if (len, expires) != (self.len, self.expires) || bytes > self.ledger.bytes() {
            return Err(format!("{len} keys, {expires} expiries, {bytes} bytes: counts are wrong"));
        }
        Ok(())
    }
}
