//! One database: finding, changing and deleting keys, and the counts that go with them.
//! Not here: walking (`scan`), the expiry cycle (`expire`), what a value is (`value`).
//! Invariants: the ledger counts exactly what the stripes own; `len` and `expires` are the sums
//! over the stripes.

use super::directory::Directory;
use super::hash::{KeyHash, KeyHasher};
use super::stripe::{Stripe, tag_of};
use crate::alloc::{self, Ledger};
use crate::value::entry::Entry;
use crate::value::entry_ref::EntryRef;
use crate::value::layout::access_of;
use crate::value::{NewValue, string};

/// What happens to a key's expiry when its value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Keep what there is (KEEPTTL).
    Keep,
    /// The key does not expire.
    Never,
    /// Unix ms.
    At(i64),
}

/// One database: an extendible directory of stripes.
#[derive(Debug)]
pub struct Db {
    pub(super) directory: Directory,
    pub(super) hasher: KeyHasher,
    pub(super) ledger: Ledger,
    len: usize,
    expires: usize,
    /// No key ends before this instant (a lower bound).
    pub(super) next_due_ms: i64,
    /// Where the expiry cycle goes on, as a bound in hash space.
    pub(super) due_cursor: u64,
    /// What new and replaced entries get as their last access.
    access_seconds: u32,
}

impl Default for Db {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let directory = std::mem::replace(&mut self.directory, Directory::new());
        directory.into_stripes().into_iter().for_each(|stripe| stripe.free(&mut self.ledger));
        debug_assert_eq!(self.ledger.bytes(), 0, "a dropped database leaves nothing behind");
    }
}

impl Db {
    /// An empty database.
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
            due_cursor: 0,
            access_seconds: 0,
        }
    }

    /// Number of keys (expired and not yet deleted ones included, as in Redis).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of keys with an expiry.
    pub fn expires_len(&self) -> usize {
        self.expires
    }

    /// Bytes of memory held by entries and tables.
    pub fn memory_bytes(&self) -> usize {
        self.ledger.bytes() + self.directory.memory_bytes()
    }

    /// Make room for `keys` keys in all, so that a load does not split stripes. Slots are allocated
    /// as keys come, and the directory is bounded, so a hint that lies costs at most 12 MB.
    pub fn reserve(&mut self, keys: usize) {
        self.directory.reserve(keys, &self.hasher, &mut self.ledger);
    }

    /// Tell the time that sets stamp entries with (OBJECT IDLETIME). Coarse: once a batch is
    /// enough.
    pub fn tick(&mut self, now_ms: i64) {
        self.access_seconds = access_of(now_ms);
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

    /// Find a key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.get_hashed(self.hasher.hash(key), key)
    }

    /// Find a key whose hash is known ([`Db::prefetch`]; the same in every database).
    #[inline]
    pub fn get_hashed(&self, hash: KeyHash, key: &[u8]) -> Option<EntryRef<'_>> {
        let stripe = self.directory.stripe(hash);
        stripe.entry_at(stripe.find(tag_of(hash, stripe.local_depth()), key)?)
    }

    /// Find a key and note the access for OBJECT IDLETIME, in one lookup. While a child runs use
    /// [`Db::get`]: a note writes to the entry's page, which is then copied.
    #[inline]
    pub fn get_and_note(&mut self, key: &[u8], now_ms: i64) -> Option<EntryRef<'_>> {
        let (hash, index) = self.find(key)?;
        let stripe = self.directory.stripe_mut(hash);
        stripe.note_access(index, access_of(now_ms));
        stripe.entry_at(index)
    }

    /// Note an access for OBJECT IDLETIME.
    pub fn note_access(&mut self, key: &[u8], now_ms: i64) {
        let _ = self.get_and_note(key, now_ms);
    }

    /// Insert or replace a value. Gives whether the key was there.
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, expiry: Expiry) -> bool {
        self.set_hashed(self.hasher.hash(key), key, value, expiry)
    }

    /// Insert or replace the value of a key whose hash is known. Gives whether the key was there.
    pub fn set_hashed(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        value: NewValue<'_>,
        expiry: Expiry,
    ) -> bool {
        let access = self.access_seconds;
        if let Some(index) = self.find_hashed(hash, key) {
            self.change(hash, index, |entry, ledger| {
                let at_ms = match expiry {
                    Expiry::Keep => entry.as_ref().expire_at_ms(),
                    Expiry::Never => None,
                    Expiry::At(at_ms) => Some(at_ms),
                };
                entry.with_value(value, at_ms, access, ledger)
            });
            return true;
        }
        let at_ms = if let Expiry::At(at_ms) = expiry { Some(at_ms) } else { None };
        let entry = Entry::new(key, value, at_ms, access, &mut self.ledger);
        self.insert(hash, entry);
        false
    }

    /// Append to a string (made if absent; an int becomes raw); gives the new length in bytes.
    pub fn append(&mut self, key: &[u8], bytes: &[u8]) -> usize {
        let Some((hash, index)) = self.find(key) else {
            self.set(key, NewValue::Bytes(bytes), Expiry::Never);
            return bytes.len();
        };
        let mut len = 0;
        self.change(hash, index, |entry, ledger| {
            let (entry, new_len) = string::append(entry, bytes, ledger);
            len = new_len;
            entry
        });
        len
    }

    /// Overwrite a string from `offset` (made if absent), zero-filled up to it; gives the new
    /// length in bytes. No bytes change nothing.
    pub fn set_range(&mut self, key: &[u8], offset: usize, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return self.get(key).map_or(0, |entry| entry.value().text().len());
        }
        if self.get(key).is_none() {
            self.set(key, NewValue::Bytes(b""), Expiry::Never);
        }
        let mut len = 0;
        if let Some((hash, index)) = self.find(key) {
            self.change(hash, index, |entry, ledger| {
                let (entry, new_len) = string::set_range(entry, offset, bytes, ledger);
                len = new_len;
                entry
            });
        }
        len
    }

    /// Delete a key. Gives whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some((hash, index)) = self.find(key) else { return false };
        let entry = self.take(hash, index);
        entry.free(&mut self.ledger);
        true
    }

    /// Change a key's expiry (`None`: never). Gives whether the key was there.
    pub fn set_expire(&mut self, key: &[u8], expire_at_ms: Option<i64>) -> bool {
        let Some((hash, index)) = self.find(key) else { return false };
        self.change(hash, index, |entry, ledger| entry.with_expiry(expire_at_ms, ledger));
        true
    }

    /// Give an entry another name, its value and expiry unchanged; what had that name is deleted.
    /// False: no such key. A long value is not copied.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some((hash, index)) = self.find(from) else { return false };
        if from != to {
            let entry = self.take(hash, index).with_key(to, &mut self.ledger);
            self.remove(to);
            self.insert(self.hasher.hash(to), entry);
        }
        true
    }

    /// Move a key to another database, as it is. False, and nothing done, when it is not here or
    /// already there.
    pub(super) fn move_key(&mut self, key: &[u8], to: &mut Self) -> bool {
        if to.get(key).is_some() {
            return false;
        }
        let Some((hash, index)) = self.find(key) else { return false };
        let entry = self.take(hash, index);
        to.ledger.take_over(entry.as_ref().memory_bytes(), &mut self.ledger);
        to.insert(to.hasher.hash(key), entry);
        true
    }

    /// Copy a key (value, expiry) to a name in another database, replacing what is there. False: no
    /// such key.
    pub(super) fn copy_key_to(&self, from: &[u8], other: &mut Self, to: &[u8]) -> bool {
        let Some(entry) = self.get(from) else { return false };
        let copy = Entry::copy_of(entry, to, &mut other.ledger);
        other.replace(to, copy);
        true
    }

    /// Copy a key (value, expiry) to another name here, replacing what is there. False: no such
    /// key.
    pub(super) fn copy_key(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some((hash, index)) = self.find(from) else { return false };
        let stripe = self.directory.stripe(hash);
        let Some(entry) = stripe.entry_at(index) else { return false };
        if from != to {
            let copy = Entry::copy_of(entry, to, &mut self.ledger);
            self.replace(to, copy);
        }
        true
    }

    /// Delete all keys. The memory can be freed elsewhere by dropping what is returned.
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        let mut fresh = Self::with_hasher(self.hasher.clone());
        fresh.access_seconds = self.access_seconds;
        std::mem::replace(self, fresh)
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
                return Err("the database's due bound is too late".to_owned());
            }
        }
        if (len, expires) != (self.len, self.expires) || bytes > self.ledger.bytes() {
            return Err(format!("{len} keys, {expires} expiries, {bytes} bytes: counts are wrong"));
        }
        Ok(())
    }

    fn find(&self, key: &[u8]) -> Option<(KeyHash, usize)> {
        let hash = self.hasher.hash(key);
        Some((hash, self.find_hashed(hash, key)?))
    }

    #[inline]
    fn find_hashed(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        let stripe = self.directory.stripe(hash);
        stripe.find(tag_of(hash, stripe.local_depth()), key)
    }

    /// Change the entry at a slot through `Stripe::change`, keeping the database's counts.
    fn change(
        &mut self,
        hash: KeyHash,
        index: usize,
        change: impl FnOnce(Entry, &mut Ledger) -> Entry,
    ) {
        let stripe = self.directory.stripe_mut(hash);
        let before = stripe.expires_len();
        stripe.change(index, |entry| change(entry, &mut self.ledger));
        self.expires = self.expires + stripe.expires_len() - before;
        self.next_due_ms = self.next_due_ms.min(stripe.next_due_ms());
    }

    fn insert(&mut self, hash: KeyHash, entry: Entry) {
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

    fn replace(&mut self, key: &[u8], entry: Entry) {
        self.remove(key);
        self.insert(self.hasher.hash(key), entry);
    }

    fn take(&mut self, hash: KeyHash, index: usize) -> Entry {
        let stripe = self.directory.stripe_mut(hash);
        let before = stripe.expires_len();
        let entry = stripe.take(index, &mut self.ledger);
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
}
