//! The data: databases of striped tables (design.md section 4). R1 owns this room; this page is the contract that commands,
//! `rdb` and the fork child build on. Lazy expiry is NOT here: callers pass the time and decide (see `command::lookup`).

use crate::value::{NewValue, ValueRef};

/// All databases.
pub struct Keyspace {
    dbs: Vec<Db>,
}

impl Keyspace {
    /// Empty databases.
    pub fn new(databases: usize) -> Self {
        Self { dbs: (0..databases).map(|_| Db::new()).collect() }
    }
    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.dbs.len()
    }
    /// One database; `index < databases()` is the caller's duty (commands check SELECT).
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }
    /// One database, to change it.
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        &mut self.dbs[index]
    }
    /// Exchange two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }
    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.dbs.iter().map(Db::len).sum()
    }
    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of memory held by entries and tables.
    pub fn memory_bytes(&self) -> usize {
        todo!()
    }
    /// Redis's `DEBUG DIGEST` of the same data.
    pub fn digest(&self) -> [u8; 20] {
        todo!()
    }
}

/// One database: an extendible directory of stripes.
pub struct Db {}

/// A key with its value, borrowed from the table.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    marker: std::marker::PhantomData<&'a ()>,
}

impl<'a> EntryRef<'a> {
    /// The key's bytes.
    pub fn key(self) -> &'a [u8] {
        todo!()
    }
    /// The value.
    pub fn value(self) -> ValueRef<'a> {
        todo!()
    }
    /// Unix ms at which the key ends, if it does.
    pub fn expire_at_ms(self) -> Option<i64> {
        todo!()
    }
    /// Whether that instant is not after `now_ms` (Redis: expired when now > when; see R1's doc).
    pub fn is_expired(self, _now_ms: i64) -> bool {
        todo!()
    }
    /// Bytes of memory of this entry, allocator slack included (MEMORY USAGE).
    pub fn memory_bytes(self) -> usize {
        todo!()
    }
    /// Redis's name: `int`, `embstr` or `raw`.
    pub fn encoding(self) -> &'static str {
        todo!()
    }
    /// Seconds since the last access (OBJECT IDLETIME).
    pub fn idle_seconds(self, _now_ms: i64) -> u64 {
        todo!()
    }
}

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

/// The hash of a key, computed once: to prefetch first and look up later.
#[derive(Debug, Clone, Copy)]
pub struct KeyHash(pub u64);

impl Default for Db {
    fn default() -> Self {
        Self::new()
    }
}

impl Db {
    /// An empty database.
    pub fn new() -> Self {
        Self {}
    }
    /// Number of keys (expired and not yet deleted ones included, as in Redis).
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of keys with an expiry.
    pub fn expires_len(&self) -> usize {
        todo!()
    }
    /// Make room for `keys` keys in all, so that a load does not split stripes.
    pub fn reserve(&mut self, _keys: usize) {
        todo!()
    }
    /// Hash a key and prefetch the slot it would be in.
    pub fn prefetch(&self, _key: &[u8]) -> KeyHash {
        todo!()
    }
    /// Prefetch the entry that the slot names (second wave).
    pub fn prefetch_entry(&self, _hash: KeyHash) {
        todo!()
    }
    /// Find a key.
    pub fn get(&self, _key: &[u8]) -> Option<EntryRef<'_>> {
        todo!()
    }
    /// Note an access for OBJECT IDLETIME.
    pub fn note_access(&mut self, _key: &[u8], _now_ms: i64) {
        todo!()
    }
    /// Insert or replace a value. Gives whether the key was there.
    pub fn set(&mut self, _key: &[u8], _value: NewValue<'_>, _expiry: Expiry) -> bool {
        todo!()
    }
    /// Append to a string (made if absent; an int becomes raw); gives the new length in bytes.
    pub fn append(&mut self, _key: &[u8], _bytes: &[u8]) -> usize {
        todo!()
    }
    /// Overwrite a string from `offset`, zero-filled up to it; gives the new length in bytes.
    pub fn set_range(&mut self, _key: &[u8], _offset: usize, _bytes: &[u8]) -> usize {
        todo!()
    }
    /// Delete a key. Gives whether it was there.
    pub fn remove(&mut self, _key: &[u8]) -> bool {
        todo!()
    }
    /// Change a key's expiry (`None`: never). Gives whether the key was there.
    pub fn set_expire(&mut self, _key: &[u8], _expire_at_ms: Option<i64>) -> bool {
        todo!()
    }
    /// Move an entry to `to`'s name within this db or into another db without copying the value where possible.
    pub fn rename(&mut self, _from: &[u8], _to: &[u8]) -> bool {
        todo!()
    }
    /// A key at random, `draw` being 64 random bits.
    pub fn random(&self, _draw: u64) -> Option<EntryRef<'_>> {
        todo!()
    }
    /// SCAN: visit about `count` keys from `cursor` (0 starts); gives the next cursor (0 ends). A key that is there during the
    /// whole iteration is visited at least once.
    pub fn scan<'a>(
        &'a self,
        _cursor: u64,
        _count: usize,
        _visit: &mut dyn FnMut(EntryRef<'a>),
    ) -> u64 {
        todo!()
    }
    /// All entries in hash order. Allocates nothing (the fork child walks it, I1).
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        std::iter::empty()
    }
    /// One step of the expiry cycle: look at stripes that hold something due, report up to `max` expired keys.
    /// The caller deletes and logs them. Resumes where it stopped.
    pub fn take_due(&mut self, _now_ms: i64, _max: usize) -> Vec<Vec<u8>> {
        todo!()
    }
    /// Delete all keys. The memory can be freed elsewhere by dropping what is returned.
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }
}
