//! A set: what reading and changing one mean, whatever its form. Integers alone are an intset, a few
//! short strings a listpack of members, everything else a table whose entries have empty values. As
//! in Redis a form is left for good when something does not fit it.
//! Not here: keys (`keyspace`), what commands answer (`command::set`).
//! Guards I1: a [`SetRef`] reads without allocating.

use std::cell::OnceCell;

use super::integer::{IntText, parse_i64};
use super::intset::{self, Intset};
use super::large::Content;
use super::listpack::{self, Entries, Listpack};
use super::packing::{Packing, SET_ENTRIES, SET_VALUE_BYTES};
use super::{Kind, NewValue, Text, ValueMut, ValueRef};
use crate::table::{Iter, KeyHash, Table};

/// A set as it is read.
#[derive(Debug, Clone, Copy)]
pub enum SetRef<'a> {
    /// An intset.
    Ints(Intset<'a>),
    /// A listpack of its members.
    Packed(Listpack<'a>),
    /// A table whose keys are the members.
    Large(&'a Table),
}

impl<'a> SetRef<'a> {
    /// Number of members.
    pub fn len(self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Packed(packed) => packed.len(),
            Self::Large(table) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Redis 7.0's name of the encoding. A packed set of strings is called what Redis 7.0 would
    /// have: it packs integers only.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Ints(_) => "intset",
            Self::Packed(_) | Self::Large(_) => "hashtable",
        }
    }

    /// Whether `member` is in it.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Ints(ints) => parse_i64(member).is_some_and(|member| ints.contains(member)),
            Self::Packed(packed) => {
                packed.first().is_some_and(|first| packed.find(first, member, 0).is_some())
            }
            Self::Large(table) => table.find(member).is_some(),
        }
    }

    /// As [`SetRef::contains`], of a member that several sets are asked for.
    pub fn has(self, probe: &Probe<'_>) -> bool {
        match self {
            Self::Ints(ints) => probe.int().is_some_and(|member| ints.contains(member)),
            Self::Packed(_) => self.contains(probe.member),
            Self::Large(table) => table.find_hashed(probe.hash(table), probe.member).is_some(),
        }
    }

    /// A member at random, `draw` being 64 random bits.
    pub fn random(self, draw: u64) -> Option<Text<'a>> {
        let index = || (u128::from(draw) * self.len() as u128) >> 64;
        match self {
            Self::Ints(ints) => Some(Text::Digits(IntText::new(ints.get(index() as usize)?))),
            Self::Packed(packed) => packed.seek(index() as i64).map(|at| packed.get(at)),
            Self::Large(table) => table.random(draw).map(|entry| Text::Borrowed(entry.key())),
        }
    }

    /// The members, in the order of the form.
    pub fn iter(self) -> SetIter<'a> {
        match self {
            Self::Ints(ints) => SetIter::Ints(ints, 0),
            Self::Packed(packed) => SetIter::Packed(packed.entries()),
            Self::Large(table) => SetIter::Large(table.iter()),
        }
    }
}

/// The members of a set.
#[derive(Debug, Clone)]
pub enum SetIter<'a> {
    /// Of an intset, from an index on.
    Ints(Intset<'a>, usize),
    /// Of a listpack.
    Packed(Entries<'a>),
    /// Of a table.
    Large(Iter<'a>),
}

impl<'a> Iterator for SetIter<'a> {
    type Item = Text<'a>;

    fn next(&mut self) -> Option<Text<'a>> {
        match self {
            Self::Ints(ints, index) => {
                let member = ints.get(*index)?;
                *index += 1;
                Some(Text::Digits(IntText::new(member)))
            }
            Self::Packed(entries) => entries.next().map(|(_, member)| member.text()),
            Self::Large(entries) => entries.next().map(|entry| Text::Borrowed(entry.key())),
        }
    }
}

/// A member that several sets are asked for: read as an integer and hashed at most once. (All tables
/// of collections have the process's hash function.)
#[derive(Debug)]
pub struct Probe<'a> {
    member: &'a [u8],
    int: OnceCell<Option<i64>>,
    hash: OnceCell<KeyHash>,
}

impl<'a> Probe<'a> {
    /// Ask for `member`.
    pub fn new(member: &'a [u8]) -> Self {
        Self { member, int: OnceCell::new(), hash: OnceCell::new() }
    }

    fn int(&self) -> Option<i64> {
        *self.int.get_or_init(|| parse_i64(self.member))
    }

    fn hash(&self, table: &Table) -> KeyHash {
        *self.hash.get_or_init(|| table.hash(self.member))
    }
}

/// A set that may be changed.
#[derive(Debug)]
pub struct SetMut<'a, 'v> {
    value: &'a mut ValueMut<'v>,
    packing: Packing,
}

impl<'a, 'v> SetMut<'a, 'v> {
    /// Change `value`, which is a set.
    pub fn of(value: &'a mut ValueMut<'v>, packing: Packing) -> Self {
        Self { value, packing }
    }

    /// Read it.
    pub fn view(&self) -> SetRef<'_> {
        match self.value.value() {
            ValueRef::Set(set) => set,
            _ => SetRef::Ints(Intset::new(&intset::EMPTY)),
        }
    }

    /// Add a member; gives whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if let Some(table) = self.table() {
            return add_to(table, member);
        }
        if self.value.kind() == Kind::IntSet {
            match parse_i64(member) {
                Some(int) => return self.add_int(int),
                None => self.leave_ints(member.len()),
            }
            return self.add(member);
        }
        let packed = Listpack::new(self.value.packed());
        if packed.first().is_some_and(|first| packed.find(first, member, 0).is_some()) {
            return false;
        }
        if member.len() > SET_VALUE_BYTES || packed.len() >= SET_ENTRIES {
            self.promote(0);
            return self.add(member);
        }
        listpack::push_back(self.value, member);
        true
    }

    /// Remove a member; gives whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Some(table) = self.table() {
            return table.remove(member);
        }
        if self.value.kind() == Kind::IntSet {
            return parse_i64(member).is_some_and(|int| intset::remove(self.value, int));
        }
        let packed = Listpack::new(self.value.packed());
        let held = packed.first().and_then(|first| packed.find(first, member, 0));
        if let Some(at) = held {
            listpack::remove(self.value, at, 1);
        }
        held.is_some()
    }

    /// Remove all members; what is added next begins a new set.
    pub fn clear(&mut self) {
        self.value.set_packed(Kind::IntSet, &intset::EMPTY);
    }

    /// Expect so many members in all: what will not fit a packed form is a table at once, with
    /// room.
    pub fn reserve(&mut self, members: usize) {
        if let Some(table) = self.table() {
            table.reserve(members);
        } else if members > self.packing.ints_max().max(SET_ENTRIES) {
            self.promote(members);
        } else if members > self.packing.ints_max() && self.value.kind() == Kind::IntSet {
            self.leave_ints(0);
        }
    }

    fn table(&mut self) -> Option<&mut Table> {
        match self.value.large_mut() {
            Some(Content::Table(table)) => Some(table),
            _ => None,
        }
    }

    fn add_int(&mut self, member: i64) -> bool {
        if !intset::add(self.value, member) {
            return false;
        }
        if self.view().len() > self.packing.ints_max() {
            self.leave_ints(0);
        }
        true
    }

    /// Go from intset to the form that fits the members and a new one of so many bytes.
    fn leave_ints(&mut self, member_bytes: usize) {
        let ints = Intset::new(self.value.packed());
        if ints.len() >= SET_ENTRIES || member_bytes > SET_VALUE_BYTES {
            return self.promote(0);
        }
        if ints.is_empty() {
            return self.value.set_packed(Kind::Set, &listpack::EMPTY);
        }
        let mut packed = listpack::EMPTY.to_vec();
        for member in ints.iter() {
            listpack::push_back_all(&mut packed, [listpack::Encoded::int(member)]);
        }
        self.value.set_packed(Kind::Set, &packed);
    }

    /// Go from a packed form to a table, with room for `members` in all if that is more than there
    /// are.
    fn promote(&mut self, members: usize) {
        let mut table = Table::new();
        let packed = self.view();
        table.reserve(members.max(packed.len() + 1));
        for member in packed.iter() {
            add_to(&mut table, &member);
        }
        self.value.set_large(Kind::Set, Content::Table(table));
    }
}

fn add_to(table: &mut Table, member: &[u8]) -> bool {
    table.add(member, NewValue::Bytes(b""))
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
