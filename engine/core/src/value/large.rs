//! A collection that has outgrown its entry: the entry holds the address of a [`Large`], which owns
//! the collection's memory and remembers how much of it the database's ledger was charged.
//! Not here: what the collections are (`table`, `quicklist`, `sorted`), when they are made (`hash`,
//! `set`, `list`, `zset`). Invariant: a ledger was charged exactly `charged_bytes` for what it owns.
#![allow(unsafe_code)] // a word in an entry becomes a reference again

use std::ptr;

use super::quicklist::Quicklist;
use super::sorted::Sorted;
use crate::alloc::Ledger;
use crate::reclaim::drop_elsewhere;
use crate::table::Table;

/// Freeing so many blocks takes less time than waking the thread that frees more.
const BLOCKS_FREED_HERE_MAX: usize = 256;

/// What is outside.
#[derive(Debug)]
pub(crate) enum Content {
    /// The fields of a hash with their values, or the members of a set (with empty values).
    Table(Table),
    /// A list.
    List(Quicklist),
    /// A sorted set.
    Sorted(Sorted),
}

/// A collection with what was charged for it.
#[derive(Debug)]
pub(crate) struct Large {
    pub content: Content,
    charged_bytes: usize,
}

impl Large {
    /// Box a collection and charge it to the ledger of the database that will own it.
    pub fn new(content: Content, ledger: &mut Ledger) -> Box<Self> {
        let mut large = Box::new(Self { content, charged_bytes: 0 });
        large.settle(ledger);
        large
    }

    /// Charge what the collection has come to hold since the last time.
    pub fn settle(&mut self, ledger: &mut Ledger) {
        let bytes = size_of::<Self>() + self.content_bytes();
        if bytes != self.charged_bytes {
            ledger.discharge(self.charged_bytes);
            ledger.charge(bytes);
            self.charged_bytes = bytes;
        }
    }

    /// What the ledger was charged.
    pub fn charged_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// A copy, charged to `ledger`.
    pub fn duplicate(&self, ledger: &mut Ledger) -> Box<Self> {
        let content = match &self.content {
            Content::Table(table) => Content::Table(table.duplicate()),
            Content::List(list) => Content::List(list.duplicate()),
            Content::Sorted(sorted) => Content::Sorted(sorted.duplicate()),
        };
        Self::new(content, ledger)
    }

    /// Free it. One of many blocks is freed elsewhere, so that nobody waits; here it counts as gone
    /// at once.
    pub fn free(self: Box<Self>, ledger: &mut Ledger) {
        ledger.discharge(self.charged_bytes);
        // Unit tests compare what their own thread holds.
        if self.blocks() > BLOCKS_FREED_HERE_MAX && !cfg!(test) {
            drop_elsewhere(self);
        }
    }

    /// About how many blocks of memory it is made of.
    fn blocks(&self) -> usize {
        match &self.content {
            Content::Table(table) => table.len(),
            Content::List(list) => list.nodes().len(),
            Content::Sorted(sorted) => sorted.len(),
        }
    }

    /// The fields or members, if it is a table.
    pub fn table(&self) -> Option<&Table> {
        if let Content::Table(table) = &self.content { Some(table) } else { None }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&Quicklist> {
        if let Content::List(list) = &self.content { Some(list) } else { None }
    }

    /// The sorted set, if it is one.
    pub fn sorted(&self) -> Option<&Sorted> {
        if let Content::Sorted(sorted) = &self.content { Some(sorted) } else { None }
    }

    /// The table in which members are looked up, whatever the collection is.
    pub fn members(&self) -> Option<&Table> {
        match &self.content {
            Content::Table(table) => Some(table),
            Content::Sorted(sorted) => Some(sorted.members()),
            Content::List(_) => None,
        }
    }

    /// The first broken invariant, if any. Reads everything: for tests and debugging.
    pub fn check_invariants(&self) -> Result<(), String> {
        match &self.content {
            Content::Table(table) => table.check_invariants(),
            Content::List(list) => list.check_invariants(),
            Content::Sorted(sorted) => sorted.check_invariants(),
        }
    }

    fn content_bytes(&self) -> usize {
        match &self.content {
            Content::Table(table) => table.memory_bytes(),
            Content::List(list) => list.memory_bytes(),
            Content::Sorted(sorted) => sorted.memory_bytes(),
        }
    }

    /// Give the box away as the word that an entry stores.
    pub(super) fn into_word(self: Box<Self>) -> u64 {
        Box::into_raw(self).expose_provenance() as u64
    }

    /// The box again.
    ///
    /// # Safety
    /// The word came from [`Large::into_word`], and no entry keeps it.
    pub(super) unsafe fn from_word(word: u64) -> Box<Self> {
        // SAFETY: the caller's promise.
        unsafe { Box::from_raw(ptr::with_exposed_provenance_mut(word as usize)) }
    }

    /// Borrow.
    ///
    /// # Safety
    /// The word came from [`Large::into_word`]; nothing changes or frees it for `'a`.
    pub(super) unsafe fn of_word<'a>(word: u64) -> &'a Self {
        // SAFETY: the caller's promise.
        unsafe { &*ptr::with_exposed_provenance::<Self>(word as usize) }
    }

    /// Borrow exclusively.
    ///
    /// # Safety
    /// As [`Large::of_word`], and nothing else reads it for `'a`.
    pub(super) unsafe fn of_word_mut<'a>(word: u64) -> &'a mut Self {
        // SAFETY: the caller's promise.
        unsafe { &mut *ptr::with_exposed_provenance_mut::<Self>(word as usize) }
    }
}
