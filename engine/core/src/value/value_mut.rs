//! Changing a collection in place: its packed bytes, or what is outside its entry. The types' own
//! files (`list`, `hash`, `set`, `zset`) say what a change means and when packed becomes large.
//! Not here: finding the key and deleting one that became empty (`keyspace::Db::edit`).

use super::entry::Entry;
use super::entry_ref::EntryRef;
use super::growable::{Growable, copy_parts, parts_bytes};
use super::large::{Content, Large};
use super::{Kind, ValueRef};
use crate::alloc::Ledger;

/// A value that may be changed, with the ledger of its database.
#[derive(Debug)]
pub struct ValueMut<'a> {
    entry: &'a mut Entry,
    ledger: &'a mut Ledger,
}

impl<'a> ValueMut<'a> {
    pub(crate) fn new(entry: &'a mut Entry, ledger: &'a mut Ledger) -> Self {
        Self { entry, ledger }
    }

    /// Charge the ledger for what a large collection has come to hold: the last step of every edit.
    pub(crate) fn finish(self) {
        if let Some(large) = self.entry.large_mut() {
            large.settle(self.ledger);
        }
    }

    /// Read the value.
    pub fn value(&self) -> ValueRef<'_> {
        self.entry_ref().value()
    }

    pub(crate) fn entry_ref(&self) -> EntryRef<'_> {
        self.entry.as_ref()
    }

    /// What the stored bytes are.
    pub(crate) fn kind(&self) -> Kind {
        self.entry_ref().kind()
    }

    /// The packed bytes; none of a large collection.
    #[inline]
    pub(crate) fn packed(&self) -> &[u8] {
        self.entry_ref().stored_text()
    }

    fn resize(&mut self, len: usize) {
        let entry = self.entry.take_out();
        *self.entry = entry.into_raw(len, self.ledger);
    }

    /// Replace the value by packed bytes of that kind (from packed or large).
    pub(crate) fn set_packed(&mut self, kind: Kind, bytes: &[u8]) {
        let (expiry, access) = (self.entry_ref().expire_at_ms(), self.entry_ref().access_seconds());
        let entry = self.entry.take_out();
        let value = super::NewValue::Packed(kind, bytes);
        *self.entry = entry.with_value(value, expiry, access, self.ledger);
    }

    /// Replace the value by a large collection.
    pub(crate) fn set_large(&mut self, kind: Kind, content: Content) {
        let large = Large::new(content, self.ledger);
        let entry = self.entry.take_out();
        *self.entry = entry.into_large(kind, large, self.ledger);
    }

    /// The large collection, to change it; `None` while it is packed.
    #[inline]
    pub(crate) fn large_mut(&mut self) -> Option<&mut Content> {
        self.entry.large_mut().map(|large| &mut large.content)
    }
}

impl Growable for ValueMut<'_> {
    /// The packed bytes; none of a large collection.
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.packed()
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]) {
        let (old_len, added) = (self.packed().len(), parts_bytes(inserted));
        let at = at.min(old_len);
        let tail = at.saturating_add(removed).min(old_len);
        let new_len = at + added + (old_len - tail);
        if new_len > old_len {
            self.resize(new_len);
        }
        let bytes = self.entry.raw_bytes_mut();
        bytes.copy_within(tail..old_len, at + added);
        copy_parts(&mut bytes[at..at + added], inserted);
        if new_len < old_len {
            self.resize(new_len);
        }
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        copy_parts(self.entry.raw_bytes_mut().get_mut(at..).unwrap_or_default(), &[bytes]);
    }
}
