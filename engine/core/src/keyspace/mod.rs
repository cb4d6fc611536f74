//! The data: databases over striped tables (design.md section 4). This page is the contract that
//! commands, `rdb` and the fork child build on; `db` has the operations on keys, `digest` the oracle
//! of tests; `table` finds and walks entries, `value` is what they hold. Lazy expiry is NOT here:
//! callers pass the time and decide. Invariant: the keyspace owns no lock and no thread. Shared
//! borrows only read (the fork child, I1); it may move between threads, so that it can be loaded on
//! one and dropped on another.

mod db;
mod digest;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod scan_tests;

use std::cmp::Ordering;

pub use db::{Db, Draft, Expiry};
pub use digest::{DatasetDigest, digest_text, value_digest};

pub use crate::table::{Iter, KeyHash, Spot};
pub use crate::value::entry_ref::EntryRef;

/// All databases.
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    /// The second of the last tick.
    tick_second: i64,
    /// Sources of function libraries: kept for the next save, not run.
    functions: Vec<Box<[u8]>>,
}

impl Keyspace {
    /// Empty databases.
    pub fn new(databases: usize) -> Self {
        let dbs = (0..databases).map(|_| Db::new()).collect();
        Self { dbs, tick_second: i64::MIN, functions: Vec::new() }
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

    /// Tell the time that writes stamp entries with (OBJECT IDLETIME): call it once a batch.
    /// Nothing happens within a second.
    pub fn tick(&mut self, now_ms: i64) {
        if self.tick_second != now_ms / 1000 {
            self.tick_second = now_ms / 1000;
            self.dbs.iter_mut().for_each(|db| db.tick(now_ms));
        }
    }

    /// Keep a function library that came with the data, to be saved with it again.
    pub fn add_function(&mut self, source: &[u8]) {
        self.functions.push(source.into());
    }

    /// Forget the first function library of which `is_meant(source)` holds; gives whether there was
    /// one.
    pub fn remove_function(&mut self, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let found = self.functions.iter().position(|source| is_meant(source));
        found.map(|at| self.functions.remove(at)).is_some()
    }

    /// The sources of the function libraries.
    pub fn functions(&self) -> impl Iterator<Item = &[u8]> {
        self.functions.iter().map(|source| &**source)
    }

    /// Exchange two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }

    /// Move a key to another database as it is (MOVE). False, and nothing done, when it is not in
    /// `from`, or already in `to`, or both are one.
    pub fn move_key(&mut self, key: &[u8], from: usize, to: usize) -> bool {
        self.pair(from, to).is_some_and(|(from, to)| from.move_key(key, to))
    }

    /// Copy a key with its value and expiry (COPY), replacing what is there; each end is a database
    /// and a key. False: there is no such key.
    pub fn copy_key(&mut self, from: (usize, &[u8]), to: (usize, &[u8])) -> bool {
        match self.pair(from.0, to.0) {
            Some((source, target)) => source.copy_key_to(from.1, target, to.1),
            None => self.dbs[from.0].copy_key(from.1, to.1),
        }
    }

    /// Two different databases at once.
    fn pair(&mut self, a: usize, b: usize) -> Option<(&mut Db, &mut Db)> {
        let (low, high) = self.dbs.split_at_mut(a.max(b));
        match a.cmp(&b) {
            Ordering::Less => Some((&mut low[a], &mut high[0])),
            Ordering::Greater => Some((&mut high[0], &mut low[b])),
            Ordering::Equal => None,
        }
    }

    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.dbs.iter().map(Db::len).sum()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().all(Db::is_empty)
    }

    /// Bytes of memory held by entries and tables.
    pub fn memory_bytes(&self) -> usize {
        self.dbs.iter().map(Db::memory_bytes).sum()
    }
}

/// Compiles only while a keyspace may be sent to and read from any thread.
const _: fn() = || {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Keyspace>();
};
