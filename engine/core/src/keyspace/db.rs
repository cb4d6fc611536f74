//! One database: finding, changing and deleting keys, with their expiry and access times.
//! Not here: where entries stand and the walks over them (`table`), what a value is (`value`).

use crate::alloc::Ledger;
#[cfg(test)]
use crate::table::KeyHasher;
use crate::table::{Iter, KeyHash, Spot, Table};
use crate::value::entry::Entry;
use crate::value::entry_ref::EntryRef;
use crate::value::layout::access_of;
use crate::value::{NewValue, Type, ValueMut, string};

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

/// One database: a table of keys.
#[derive(Debug, Default)]
pub struct Db {
    pub(super) table: Table,
    /// Where the expiry cycle goes on, as a bound in hash space.
    due_cursor: u64,
    /// What new and replaced entries get as their last access.
    access_seconds: u32,
}

impl Db {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(crate) fn with_hasher(hasher: KeyHasher) -> Self {
        Self { table: Table::with_hasher(hasher), due_cursor: 0, access_seconds: 0 }
    }

    /// Number of keys (expired and not yet deleted ones included, as in Redis).
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of keys with an expiry.
    pub fn expires_len(&self) -> usize {
        self.table.expires_len()
    }

    /// Bytes of memory held by entries and tables, collections included.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Make room for `keys` keys in all ([`Table::reserve`]).
    pub fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys);
    }

    /// Be ready for about `keys` keys in all ([`Table::expect`]).
    pub(crate) fn expect(&mut self, keys: usize) {
        self.table.expect(keys);
    }

    /// Tell the time that sets stamp entries with (OBJECT IDLETIME). Coarse: once a batch is
    /// enough.
    pub fn tick(&mut self, now_ms: i64) {
        self.access_seconds = access_of(now_ms);
    }

    /// Hash a key and prefetch the slot it would be in.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) -> KeyHash {
        self.table.prefetch(key)
    }

    /// Prefetch the entry that the slot names (second wave).
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) {
        self.table.prefetch_entry(hash);
    }

    /// The table in which a large hash, set or sorted set looks its members up, for prefetching.
    #[inline]
    pub fn members_of(&self, hash: KeyHash, key: &[u8]) -> Option<&Table> {
        self.table.get_hashed(hash, key)?.members()
    }

    /// Find a key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.table.get(key)
    }

    /// Find a key whose hash is known ([`Db::prefetch`]; the same in every database).
    #[inline]
    pub fn get_hashed(&self, hash: KeyHash, key: &[u8]) -> Option<EntryRef<'_>> {
        self.table.get_hashed(hash, key)
    }

    /// Find where a key stands: for several steps with one lookup.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<Spot> {
        self.table.find(key)
    }

    /// The entry at a spot.
    #[inline]
    pub fn entry_at(&self, spot: Spot) -> Option<EntryRef<'_>> {
        self.table.entry_at(spot)
    }

    /// Note an access at a spot for OBJECT IDLETIME. Not while a child runs: a note writes to the
    /// entry's page, which is then copied.
    #[inline]
    pub fn note_access_at(&mut self, spot: Spot, now_ms: i64) {
        self.table.note_access(spot, access_of(now_ms));
    }

    /// Find a key and note the access for OBJECT IDLETIME, in one lookup. While a child runs use
    /// [`Db::get`].
    #[inline]
    pub fn get_and_note(&mut self, key: &[u8], now_ms: i64) -> Option<EntryRef<'_>> {
        let spot = self.find(key)?;
        self.note_access_at(spot, now_ms);
        self.entry_at(spot)
    }

    /// Insert or replace a value. Gives whether the key was there.
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, expiry: Expiry) -> bool {
        self.set_hashed(self.table.hash(key), key, value, expiry)
    }

    /// Insert or replace the value of a key whose hash is known. Gives whether the key was there.
    pub fn set_hashed(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        value: NewValue<'_>,
        expiry: Expiry,
    ) -> bool {
        if let Some(spot) = self.table.find_hashed(hash, key) {
            self.set_at(spot, value, expiry);
            return true;
        }
        let access = self.access_seconds;
        let at_ms = if let Expiry::At(at_ms) = expiry { Some(at_ms) } else { None };
        let entry = Entry::new(key, value, at_ms, access, self.table.ledger_mut());
        self.table.insert(hash, entry);
        false
    }

    /// Replace the value of a key that was found already.
    pub fn set_at(&mut self, spot: Spot, value: NewValue<'_>, expiry: Expiry) {
        let access = self.access_seconds;
        self.table.change(spot, |entry, ledger| {
            let at_ms = match expiry {
                Expiry::Keep => entry.as_ref().expire_at_ms(),
                Expiry::Never => None,
                Expiry::At(at_ms) => Some(at_ms),
            };
            entry.with_value(value, at_ms, access, ledger)
        });
    }

    /// Change the value of a key in place; `None` when there is no such key. A collection that is
    /// empty afterwards is deleted with its key.
    pub fn edit<R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut ValueMut<'_>) -> R,
    ) -> Option<R> {
        let spot = self.find(key)?;
        Some(self.edit_at(spot, change))
    }

    /// As [`Db::edit`], for a key that was found already.
    pub fn edit_at<R>(&mut self, spot: Spot, change: impl FnOnce(&mut ValueMut<'_>) -> R) -> R {
        let access = self.access_seconds;
        let (is_empty, result) = self.table.change_with(spot, |mut entry, ledger| {
            let mut value = ValueMut::new(&mut entry, ledger);
            let result = change(&mut value);
            value.finish();
            entry.set_access(access);
            let is_empty = entry.as_ref().value().is_empty_collection();
            (entry, (is_empty, result))
        });
        if is_empty {
            self.table.remove_at(spot);
        }
        result
    }

    /// As [`Db::edit`]; a key that is not there is made first, as an empty collection of that type.
    /// One that `change` leaves empty is not made.
    pub fn edit_or_make<R>(
        &mut self,
        key: &[u8],
        made: Type,
        change: impl FnOnce(&mut ValueMut<'_>) -> R,
    ) -> R {
        match self.find(key) {
            Some(spot) => self.edit_at(spot, change),
            None => self.make_and_edit(key, made, change),
        }
    }

    /// As [`Db::edit_or_make`], for a key that is known not to be there.
    pub fn make_and_edit<R>(
        &mut self,
        key: &[u8],
        made: Type,
        change: impl FnOnce(&mut ValueMut<'_>) -> R,
    ) -> R {
        let mut draft = self.draft(key, made, None);
        let mut value = self.draft_mut(&mut draft);
        let result = change(&mut value);
        value.finish();
        if draft.0.as_ref().value().is_empty_collection() {
            self.abandon(draft);
        } else {
            self.table.insert(self.table.hash(key), draft.0);
        }
        result
    }

    /// Begin a key whose value is built before anybody can see it: an empty collection. To be given
    /// to [`Db::finish`] or [`Db::abandon`].
    pub fn draft(&mut self, key: &[u8], made: Type, expire_at_ms: Option<i64>) -> Draft {
        let value = NewValue::empty(made);
        let access = self.access_seconds;
        Draft(Entry::new(key, value, expire_at_ms, access, self.table.ledger_mut()))
    }

    /// A key with its value that is inserted later ([`Db::finish_hashed`]): by then the slot that is
    /// asked for here has arrived.
    #[inline]
    pub fn draft_of(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        expire_at_ms: Option<i64>,
    ) -> (KeyHash, Draft) {
        let hash = self.table.prefetch(key);
        let access = self.access_seconds;
        (hash, Draft(Entry::new(key, value, expire_at_ms, access, self.table.ledger_mut())))
    }

    /// As [`Db::finish`], when the hash is known. When its key is there already, gives its name.
    ///
    /// # Errors
    /// The name of a key that is there already; nothing is kept of the draft.
    #[inline]
    pub fn finish_hashed(&mut self, hash: KeyHash, draft: Draft) -> Result<(), Vec<u8>> {
        let key = draft.0.as_ref().key();
        if self.table.find_hashed(hash, key).is_some() {
            let name = key.to_vec();
            self.abandon(draft);
            return Err(name);
        }
        self.table.insert(hash, draft.0);
        Ok(())
    }

    /// The value of a draft, to fill it; call [`ValueMut::finish`] when done (or before the next
    /// `draft_mut`).
    pub fn draft_mut<'a>(&'a mut self, draft: &'a mut Draft) -> ValueMut<'a> {
        ValueMut::new(&mut draft.0, self.table.ledger_mut())
    }

    /// Insert a draft. False, and nothing kept of it, when its key is there already.
    pub fn finish(&mut self, draft: Draft) -> bool {
        let hash = self.table.hash(draft.0.as_ref().key());
        if self.table.find_hashed(hash, draft.0.as_ref().key()).is_some() {
            self.abandon(draft);
            return false;
        }
        self.table.insert(hash, draft.0);
        true
    }

    /// Give a draft up.
    pub fn abandon(&mut self, draft: Draft) {
        draft.0.free(self.table.ledger_mut());
    }

    /// Append to a string (made if absent; an int becomes raw); gives the new length in bytes.
    pub fn append(&mut self, key: &[u8], bytes: &[u8]) -> usize {
        let Some(spot) = self.find(key) else {
            self.set(key, NewValue::Bytes(bytes), Expiry::Never);
            return bytes.len();
        };
        let mut len = 0;
        self.table.change(spot, |entry, ledger| {
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
        if let Some(spot) = self.find(key) {
            self.table.change(spot, |entry, ledger| {
                let (entry, new_len) = string::set_range(entry, offset, bytes, ledger);
                len = new_len;
                entry
            });
        }
        len
    }

    /// Delete a key. Gives whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.table.remove(key)
    }

    /// Change a key's expiry (`None`: never). Gives whether the key was there.
    pub fn set_expire(&mut self, key: &[u8], expire_at_ms: Option<i64>) -> bool {
        let Some(spot) = self.find(key) else { return false };
        self.table.change(spot, |entry, ledger| entry.with_expiry(expire_at_ms, ledger));
        true
    }

    /// Give an entry another name, its value and expiry unchanged; what had that name is deleted.
    /// False: no such key. A long value is not copied.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some(spot) = self.find(from) else { return false };
        if from != to {
            let entry = self.table.take(spot).with_key(to, self.table.ledger_mut());
            self.table.replace(to, entry);
        }
        true
    }

    /// Move a key to another database, as it is. False, and nothing done, when it is not here or
    /// already there.
    pub(super) fn move_key(&mut self, key: &[u8], to: &mut Self) -> bool {
        if to.get(key).is_some() {
            return false;
        }
        let Some(spot) = self.find(key) else { return false };
        let entry = self.table.take(spot);
        let bytes = entry.as_ref().memory_bytes();
        to.table.ledger_mut().take_over(bytes, self.table.ledger_mut());
        to.table.insert(to.table.hash(key), entry);
        true
    }

    /// Move a key from another database (with the same hash function) here, in place of what is
    /// here, as if it was set now.
    pub fn take_over(&mut self, key: &[u8], from: &mut Self) {
        self.remove(key);
        if from.move_key(key, self)
            && let Some(spot) = self.find(key)
        {
            self.table.note_access(spot, self.access_seconds);
        }
    }

    /// Copy a key (value, expiry) to a name in another database, replacing what is there. False: no
    /// such key.
    pub(super) fn copy_key_to(&self, from: &[u8], other: &mut Self, to: &[u8]) -> bool {
        let Some(entry) = self.get(from) else { return false };
        let copy = Entry::copy_of(entry, to, other.table.ledger_mut());
        other.table.replace(to, copy);
        true
    }

    /// Copy a key (value, expiry) to another name here, replacing what is there. False: no such
    /// key.
    pub(super) fn copy_key(&mut self, from: &[u8], to: &[u8]) -> bool {
        let Some(spot) = self.find(from) else { return false };
        if from != to {
            // The copy is counted by a ledger of its own first: the table is borrowed meanwhile.
            let mut made = Ledger::default();
            let Some(entry) = self.entry_at(spot) else { return false };
            let copy = Entry::copy_of(entry, to, &mut made);
            self.table.ledger_mut().take_over(made.bytes(), &mut made);
            self.table.replace(to, copy);
        }
        true
    }

    /// Delete all keys. The memory can be freed elsewhere by dropping what is returned.
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        self.due_cursor = 0;
        Self { table: self.table.take_all(), due_cursor: 0, access_seconds: self.access_seconds }
    }

    /// Mean time to live of the keys that have one, ms (of a sample); 0 without such keys.
    pub fn mean_ttl_ms(&self, now_ms: i64) -> i64 {
        self.table.mean_ttl_ms(now_ms)
    }

    /// One step of the expiry cycle ([`Table::take_due`]); resumes where it stopped.
    pub fn take_due(&mut self, now_ms: i64, max: usize) -> Vec<Vec<u8>> {
        self.table.take_due(&mut self.due_cursor, now_ms, max)
    }

    /// SCAN ([`Table::scan`]).
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(EntryRef<'a>),
    ) -> u64 {
        self.table.scan(cursor, count, visit)
    }

    /// A key at random ([`Table::random`]).
    pub fn random(&self, draw: u64) -> Option<EntryRef<'_>> {
        self.table.random(draw)
    }

    /// All entries in hash order. Allocates nothing (the fork child walks it, I1).
    pub fn iter(&self) -> Iter<'_> {
        self.table.iter()
    }

    /// The first broken invariant, if any ([`Table::check_invariants`]).
    ///
    /// # Errors
    /// The invariant in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.table.check_invariants()
    }
}

/// A key with a value that is being built, not yet in its database. Has no `Drop`: it goes back to
/// the database that began it.
#[derive(Debug)]
#[must_use]
pub struct Draft(Entry);
