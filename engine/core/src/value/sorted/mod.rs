//! A large sorted set: its members with their scores in a table, and their order in a counted tree
//! (`tree`) whose leaves name the entries of the table. So a member is found by its hash, and a
//! rank, a range of scores or the next one in order by a walk down the tree.
//! Not here: packed sets, thresholds (`zset`).
//! Invariants: table and tree have the same elements with the same scores (-0 and 0 are one place
//! in the order, so the entry has the score as it was given); no score is NaN, which would have no
//! place; an entry is made before the tree names it, and freed after.

mod check;
mod node;
mod seek;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use seek::Range;

use node::Address;
use tree::Tree;

use super::entry::Entry;
use super::entry_ref::EntryRef;
use super::{NewValue, ValueRef};
use crate::table::Table;

/// What became of an element that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Added,
    /// It has another score now.
    Updated,
    /// It had that score.
    Same,
}

/// A large sorted set. Owns its memory.
#[derive(Debug, Default)]
pub struct Sorted {
    // Dropped first: it names entries of the table.
    order: Tree,
    members: Table,
}

/// A score as a table keeps it.
pub(crate) fn stored(score: f64) -> NewValue<'static> {
    NewValue::Int(score.to_bits() as i64)
}

/// The score of an entry of a member table.
pub(crate) fn score_of(entry: EntryRef<'_>) -> f64 {
    match entry.value() {
        ValueRef::Int(bits) => f64::from_bits(bits as u64),
        _ => 0.0,
    }
}

impl Sorted {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.members.memory_bytes() + self.order.memory_bytes()
    }

    /// Make room for `members` in all.
    pub fn reserve(&mut self, members: usize) {
        self.members.reserve(members);
    }

    /// The members, for prefetching.
    pub fn members(&self) -> &Table {
        &self.members
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.members.get(member).map(score_of)
    }

    /// Insert a member or change its score. NaN changes nothing.
    pub fn put(&mut self, member: &[u8], score: f64) -> Put {
        self.change(member, |_| Some(score))
    }

    /// As [`Sorted::put`], with the score that `decide` makes of the one that the member has (if it
    /// is there); `None` leaves things as they are.
    pub fn change(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Put {
        let decide = |held| decide(held).filter(|score| !score.is_nan());
        let hash = self.members.hash(member);
        let Some(spot) = self.members.find_hashed(hash, member) else {
            let Some(score) = decide(None) else { return Put::Same };
            let entry = Entry::new(member, stored(score), None, 0, self.members.ledger_mut());
            let address = Address::of(entry.as_ref());
            self.members.insert(hash, entry);
            self.order.insert(score, member, address);
            return Put::Added;
        };
        let Some(entry) = self.members.entry_at(spot) else { return Put::Same };
        let (address, old) = (Address::of(entry), score_of(entry));
        let Some(score) = decide(Some(old)).filter(|score| *score != old) else {
            return Put::Same;
        };
        if !self.order.remove(old, member, address) {
            return Put::Same;
        }
        self.members.change(spot, |mut entry, _| {
            entry.set_int(score.to_bits() as i64);
            entry
        });
        self.order.insert(score, member, address);
        Put::Updated
    }

    /// Remove a member. Gives whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(spot) = self.members.find(member) else { return false };
        let Some(entry) = self.members.entry_at(spot) else { return false };
        if !self.order.remove(score_of(entry), member, Address::of(entry)) {
            return false;
        }
        self.members.remove_at(spot);
        true
    }

    /// Remove the elements with ranks in `from..to`. Gives how many there were.
    pub fn remove_range(&mut self, from: usize, to: usize) -> usize {
        let count = to.min(self.len()).saturating_sub(from);
        for _ in 0..count {
            let Some(address) = self.order.remove_at(from) else { break };
            if let Some(spot) = self.members.find(self.order.entry(address).key()) {
                self.members.remove_at(spot);
            }
        }
        count
    }

    /// How many elements come before a member, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.order.rank(score, member), score))
    }

    /// How many elements come before a bound: `is_before` says of a score and a member whether it
    /// does, and holds of a beginning of the order. Asks for the member only where it is used.
    pub fn count_before(&self, is_before: impl Fn(f64, EntryRef<'_>) -> bool) -> usize {
        self.order.count_before(is_before)
    }

    /// The elements with ranks in `from..to`, from both ends.
    pub(crate) fn range(&self, from: usize, to: usize) -> Range<'_> {
        self.order.range(from, to)
    }

    /// ZSCAN: as [`Table::scan`].
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(EntryRef<'a>),
    ) -> u64 {
        self.members.scan(cursor, count, visit)
    }

    /// A copy in memory of its own.
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::default();
        copy.reserve(self.len());
        for (entry, _) in self.range(0, self.len()) {
            copy.put(entry.key(), score_of(entry));
        }
        copy
    }

    /// The first broken invariant, if any. Reads everything: for tests and debugging.
    ///
    /// # Errors
    /// The invariant in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.members.check_invariants()?;
        if self.members.len() != self.order.len() {
            return Err("the table and the tree of a sorted set differ in length".to_owned());
        }
        // The table first: what the tree names must be alive before it is asked.
        self.order.check()?;
        for (entry, score) in self.range(0, self.len()) {
            let found = self.members.get(entry.key());
            let is_same = found.is_some_and(|found| Address::of(found) == Address::of(entry));
            if !is_same || score_of(entry) != score {
                return Err("the tree of a sorted set names another element".to_owned());
            }
        }
        Ok(())
    }
}
