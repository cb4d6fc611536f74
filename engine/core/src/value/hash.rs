//! A hash: what reading and changing one mean, whatever its form. Small, it is a listpack of fields,
//! each followed by its value; past the thresholds of `packing` a table, field to value, for good:
//! as in Redis nothing packs it again.
//! Not here: keys (`keyspace`), what commands answer (`command::hash`).
//! Guards I1: a [`HashRef`] reads without allocating.

use super::large::Content;
use super::listpack::{self, Element, Encoded, Entries, Listpack};
use super::packing::Packing;
use super::{Kind, NewValue, Text, ValueMut, ValueRef};
use crate::table::{Iter, Table};

/// A hash as it is read.
#[derive(Debug, Clone, Copy)]
pub enum HashRef<'a> {
    /// A listpack of fields, each followed by its value.
    Packed(Listpack<'a>),
    /// A table of fields with their values.
    Large(&'a Table),
}

impl<'a> HashRef<'a> {
    /// Number of fields.
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Large(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Redis 7.0's name of the encoding.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Large(_) => "hashtable",
        }
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<Text<'a>> {
        match self {
            Self::Packed(packed) => {
                let at = packed.find(packed.first()?, field, 1)?;
                Some(packed.get(packed.next(at)?))
            }
            Self::Large(table) => table.get(field).map(|entry| entry.text()),
        }
    }

    /// Whether a field is there.
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// A field at random with its value, `draw` being 64 random bits.
    pub fn random(self, draw: u64) -> Option<(Text<'a>, Text<'a>)> {
        match self {
            Self::Packed(packed) => {
                let index = (u128::from(draw) * self.len() as u128) >> 64;
                let at = packed.seek(index as i64 * 2)?;
                Some((packed.get(at), packed.get(packed.next(at)?)))
            }
            Self::Large(table) => {
                table.random(draw).map(|entry| (Text::Borrowed(entry.key()), entry.text()))
            }
        }
    }

    /// The fields with their values, in the order of the form.
    pub fn iter(self) -> HashIter<'a> {
        match self {
            Self::Packed(packed) => HashIter::Packed(packed.entries()),
            Self::Large(table) => HashIter::Large(table.iter()),
        }
    }
}

/// The fields of a hash with their values.
#[derive(Debug, Clone)]
pub enum HashIter<'a> {
    /// Of a listpack.
    Packed(Entries<'a>),
    /// Of a table.
    Large(Iter<'a>),
}

impl<'a> Iterator for HashIter<'a> {
    type Item = (Text<'a>, Text<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(entries) => {
                let (_, field) = entries.next()?;
                let value = entries.next().map_or(Element::Bytes(&[]), |(_, value)| value);
                Some((field.text(), value.text()))
            }
            Self::Large(entries) => {
                let entry = entries.next()?;
                Some((Text::Borrowed(entry.key()), entry.text()))
            }
        }
    }
}

/// A hash that may be changed.
#[derive(Debug)]
pub struct HashMut<'a, 'v> {
    value: &'a mut ValueMut<'v>,
    packing: Packing,
}

impl<'a, 'v> HashMut<'a, 'v> {
    /// Change `value`, which is a hash.
    pub fn of(value: &'a mut ValueMut<'v>, packing: Packing) -> Self {
        Self { value, packing }
    }

    /// Read it.
    pub fn view(&self) -> HashRef<'_> {
        match self.value.value() {
            ValueRef::Hash(hash) => hash,
            _ => HashRef::Packed(Listpack::new(&listpack::EMPTY)),
        }
    }

    /// Set a field; gives whether it is new.
    pub fn put(&mut self, field: &[u8], value: &[u8]) -> bool {
        if let Some(table) = self.table() {
            return !table.put(field, NewValue::Bytes(value));
        }
        if self.is_too_much(field, value) {
            self.promote(0);
            return self.put(field, value);
        }
        let packed = Listpack::new(self.value.packed());
        let held = packed
            .first()
            .and_then(|first| packed.find(first, field, 1))
            .and_then(|at| packed.next(at));
        match held {
            Some(at) => listpack::replace(self.value, at, value),
            None => {
                listpack::push_back_all(self.value, [Encoded::of(field), Encoded::of(value)]);
            }
        }
        if self.view().len() > self.packing.hash_entries {
            self.promote(0);
        }
        held.is_none()
    }

    /// Remove a field; gives whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if let Some(table) = self.table() {
            return table.remove(field);
        }
        let packed = Listpack::new(self.value.packed());
        let held = packed.first().and_then(|first| packed.find(first, field, 1));
        if let Some(at) = held {
            listpack::remove(self.value, at, 2);
        }
        held.is_some()
    }

    /// Expect so many fields in all: what will not fit a listpack is a table at once, with room.
    pub fn reserve(&mut self, fields: usize) {
        if let Some(table) = self.table() {
            table.reserve(fields);
        } else if fields > self.packing.hash_entries {
            self.promote(fields);
        }
    }

    fn table(&mut self) -> Option<&mut Table> {
        match self.value.large_mut() {
            Some(Content::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Whether a listpack may not hold that, whatever else it holds.
    fn is_too_much(&self, field: &[u8], value: &[u8]) -> bool {
        let longest = field.len().max(value.len());
        let pair_bytes = field.len() + value.len() + 2 * listpack::ELEMENT_OVERHEAD_BYTES;
        longest > self.packing.hash_value_bytes
            || self.value.packed().len() + pair_bytes > listpack::BYTES_MAX
    }

    /// Go from listpack to table, with room for `fields` in all if that is more than there are.
    fn promote(&mut self, fields: usize) {
        let mut table = Table::new();
        let packed = self.view();
        table.reserve(fields.max(packed.len() + 1));
        for (field, value) in packed.iter() {
            table.put(&field, NewValue::Bytes(&value));
        }
        self.value.set_large(Kind::Hash, Content::Table(table));
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
