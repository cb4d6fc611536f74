//! A sorted set: what reading and changing one mean, whatever its form. Elements are ordered by
//! score, then by the member's bytes; ranks count from 0 in that order.
//! Here: [`ZSetRef`], [`ZSetMut`] and when packed becomes large. Not here: the forms themselves
//! (`packed`, `sorted`), bounds of score and member (`range`).
//! Invariant: a member is there once, and no score is NaN. `ZSetRef` and its walks allocate nothing
//! (I1).

mod packed;
mod range;
#[cfg(test)]
mod tests;

pub use packed::{PackedZSet, check_packed};
pub use range::{LexBound, LexRange, ScoreRange};

use super::growable::Growable;
use super::large::Content;
use super::listpack::{self, Cursor, Encoded, Listpack};
use super::packing::Packing;
use super::sorted::{self, Sorted};
use super::{Kind, Text, ValueMut, ValueRef};

pub use super::sorted::Put;

/// A sorted set as it is read.
#[derive(Debug, Clone, Copy)]
pub enum ZSetRef<'a> {
    /// A listpack of members, each followed by its score, in the order of scores.
    Packed(Listpack<'a>),
    /// What is outside its entry.
    Large(&'a Sorted),
}

impl<'a> ZSetRef<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Large(large) => large.len(),
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
            Self::Large(_) => "skiplist",
        }
    }

    /// The score of a member.
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(packed) => PackedZSet(packed).find(member).map(|(_, score)| score),
            Self::Large(large) => large.score(member),
        }
    }

    /// How many elements come before a member, and its score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            Self::Packed(packed) => PackedZSet(packed).rank(member),
            Self::Large(large) => large.rank(member),
        }
    }

    /// The elements in order, from both ends.
    pub fn iter(self) -> Elements<'a> {
        self.range(0, self.len())
    }

    /// The elements with ranks in `from..to`, from both ends.
    pub fn range(self, from: usize, to: usize) -> Elements<'a> {
        match self {
            Self::Packed(packed) => Elements::Packed(PackedZSet(packed).range(from, to)),
            Self::Large(large) => Elements::Large(LargeRange(large.range(from, to))),
        }
    }

    /// The ranks of the elements whose scores are in a range, as `from..to`; equal when there is
    /// none.
    pub fn ranks_of_scores(self, range: &ScoreRange) -> (usize, usize) {
        if range.is_empty() {
            return (0, 0);
        }
        match self {
            Self::Packed(packed) => PackedZSet(packed).ranks_of_scores(range),
            Self::Large(large) => (
                large.count_before(|score, _| !range.is_past_min(score)),
                large.count_before(|score, _| range.is_within_max(score)),
            ),
        }
    }

    /// The ranks of the elements whose members are in a range, less the first `skipped` of them, as
    /// `from..to`. Means something where all scores are equal; else what Redis finds in a packed
    /// set, walking from the front (`is_reverse`: from the back).
    pub fn ranks_of_members(
        self,
        range: &LexRange<'_>,
        is_reverse: bool,
        skipped: usize,
    ) -> (usize, usize) {
        if range.is_empty() {
            return (0, 0);
        }
        let large = match self {
            Self::Packed(packed) => {
                return PackedZSet(packed).ranks_of_members(range, is_reverse, skipped);
            }
            Self::Large(large) => large,
        };
        let from = large.count_before(|_, entry| !range.is_past_min(entry.key()));
        let to = large.count_before(|_, entry| range.is_within_max(entry.key())).max(from);
        let skipped = skipped.min(to - from);
        if is_reverse { (from, to - skipped) } else { (from + skipped, to) }
    }
}

/// Elements of a sorted set in order, from both ends: members with their scores.
#[derive(Debug, Clone)]
pub enum Elements<'a> {
    /// Of a packed one.
    Packed(packed::Range<'a>),
    /// Of a large one.
    Large(LargeRange<'a>),
}

/// Elements of a large sorted set.
#[derive(Debug, Clone)]
pub struct LargeRange<'a>(sorted::Range<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = (Text<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(range) => range.next(),
            Self::Large(range) => {
                range.0.next().map(|(it, score)| (Text::Borrowed(it.key()), score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Packed(range) => range.size_hint(),
            Self::Large(range) => range.0.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Packed(range) => range.next_back(),
            Self::Large(range) => {
                range.0.next_back().map(|(it, score)| (Text::Borrowed(it.key()), score))
            }
        }
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// A sorted set that may be changed.
#[derive(Debug)]
pub struct ZSetMut<'a, 'v> {
    value: &'a mut ValueMut<'v>,
    packing: Packing,
}

impl<'a, 'v> ZSetMut<'a, 'v> {
    /// The sorted set that `value` is.
    pub fn of(value: &'a mut ValueMut<'v>, packing: Packing) -> Self {
        Self { value, packing }
    }

    /// Read it.
    pub fn as_ref(&self) -> ZSetRef<'_> {
        match self.value.value() {
            ValueRef::ZSet(zset) => zset,
            _ => ZSetRef::Packed(Listpack::new(&listpack::EMPTY)),
        }
    }

    /// Make room for `members` in all: a set that will not stay packed becomes large at once.
    pub fn reserve(&mut self, members: usize) {
        self.reserve_for(members, 0);
    }

    /// As [`ZSetMut::reserve`], when it is known how long the longest member will be.
    pub fn reserve_for(&mut self, members: usize, longest_bytes: usize) {
        if let Some(Content::Sorted(sorted)) = self.value.large_mut() {
            sorted.reserve(members);
        } else if members > self.packing.zset_entries
            || longest_bytes > self.packing.zset_value_bytes
        {
            self.unpack(members);
        }
    }

    /// Insert a member or change its score. NaN, which has no place in an order, changes nothing.
    pub fn put(&mut self, member: &[u8], score: f64) -> Put {
        self.change(member, |_| Some(score))
    }

    /// As [`ZSetMut::put`], with the score that `decide` makes of the one that the member has (if
    /// it is there); `None` leaves things as they are.
    pub fn change(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Put {
        if let Some(Content::Sorted(sorted)) = self.value.large_mut() {
            return sorted.change(member, decide);
        }
        let packed = PackedZSet(Listpack::new(self.value.packed()));
        let found = packed.find(member);
        let Some(score) = decide(found.map(|(_, held)| held)).filter(|score| !score.is_nan())
        else {
            return Put::Same;
        };
        match found {
            Some((_, held)) if held == score => Put::Same,
            Some(_) if packed.has_no_room() => {
                self.unpack(packed.0.len() / 2);
                self.put_large(member, score)
            }
            Some((at, _)) => {
                self.move_packed(at, member, score);
                Put::Updated
            }
            None if packed.is_full(member, &self.packing) => {
                let members = packed.0.len() / 2 + 1;
                self.unpack(members);
                self.put_large(member, score)
            }
            None => {
                self.insert_packed(member, score);
                Put::Added
            }
        }
    }

    /// Remove a member. Gives whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Some(Content::Sorted(sorted)) = self.value.large_mut() {
            return sorted.remove(member);
        }
        let found = PackedZSet(Listpack::new(self.value.packed())).find(member);
        if let Some((at, _)) = found {
            listpack::remove(self.value, at, 2);
        }
        found.is_some()
    }

    /// Remove the elements with ranks in `from..to`. Gives how many there were.
    pub fn remove_range(&mut self, from: usize, to: usize) -> usize {
        let (from, to) = (from, to.min(self.as_ref().len()));
        if from >= to {
            return 0;
        }
        if let Some(Content::Sorted(sorted)) = self.value.large_mut() {
            return sorted.remove_range(from, to);
        }
        let packed = Listpack::new(self.value.packed());
        if let Some(at) = packed.seek(2 * from as i64) {
            listpack::remove(self.value, at, 2 * (to - from));
        }
        to - from
    }

    fn put_large(&mut self, member: &[u8], score: f64) -> Put {
        match self.value.large_mut() {
            Some(Content::Sorted(sorted)) => sorted.put(member, score),
            _ => Put::Same,
        }
    }

    /// Give the packed member at `at` another score.
    fn move_packed(&mut self, at: Cursor, member: &[u8], score: f64) {
        let packed = PackedZSet(Listpack::new(self.value.packed()));
        if let Some(place) = packed.score_in_place(at, member, score) {
            let stored = packed::StoredScore::of(score);
            return listpack::replace_encoded(self.value, place, stored.encoded());
        }
        listpack::remove(self.value, at, 2);
        self.insert_packed(member, score);
    }

    fn insert_packed(&mut self, member: &[u8], score: f64) {
        let at = PackedZSet(Listpack::new(self.value.bytes())).place_of(member, score);
        let text = packed::StoredScore::of(score);
        listpack::insert_all(self.value, at, [Encoded::of(member), text.encoded()]);
    }

    /// Make a packed set large, with room for `members`.
    pub fn unpack(&mut self, members: usize) {
        if self.value.large_mut().is_some() {
            return;
        }
        let mut sorted = Sorted::default();
        sorted.reserve(members);
        self.as_ref().iter().for_each(|(member, score)| {
            sorted.put(&member, score);
        });
        self.value.set_large(Kind::ZSet, Content::Sorted(sorted));
    }
}
