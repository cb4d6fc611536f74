//! Reading the order: where an element is or belongs, how many come before a bound, which one has a
//! rank, and walking from there both ways. Nothing here allocates or panics (I1: the fork child
//! walks a set to save it).

use super::node::{Address, InnerId, LeafId, Nodes, Row};
use super::tree::Tree;
use crate::value::entry_ref::EntryRef;

/// How far a walk asks for entries ahead.
const PREFETCH_DISTANCE: usize = 8;

/// Whether an element that is equal in score and member counts as before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Equal {
    Before,
    NotBefore,
}

/// How many of a node's keys come before (score, member). Scores first, which reads no entry; then,
/// among equal ones, members.
fn keys_before(
    nodes: &Nodes,
    (scores, entries): (&[f64], &[Address]),
    (score, member): (f64, &[u8]),
    equal: Equal,
) -> usize {
    let low = scores.partition_point(|other| *other < score);
    let same = scores.get(low..).unwrap_or_default();
    if same.first() != Some(&score) {
        return low;
    }
    let same = if same.last() == Some(&score) {
        same.len()
    } else {
        same.partition_point(|other| *other <= score)
    };
    let entries = entries.get(low..low + same).unwrap_or_default();
    low + members_before(nodes, entries, member, equal)
}

/// How many of these entries, whose scores are equal, come before a member. Each of them is a line
/// of memory of its own, so a round asks for seven at once and leaves an eighth to look at.
fn members_before(nodes: &Nodes, entries: &[Address], member: &[u8], equal: Equal) -> usize {
    const PARTS: usize = 8;
    let is_before = |entry: Address| match nodes.entry(entry).key().cmp(member) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => equal == Equal::Before,
        std::cmp::Ordering::Greater => false,
    };
    let (mut low, mut high) = (0, entries.len());
    while low < high {
        let len = high - low;
        let pivot = |part: usize| low + len * part / PARTS;
        for part in 1..PARTS {
            entries.get(pivot(part)).iter().for_each(|entry| nodes.prefetch_entry(**entry));
        }
        let found = partition(PARTS - 1, |at| {
            entries.get(pivot(at + 1)).is_some_and(|entry| is_before(*entry))
        });
        let (from, to) = (pivot(found), pivot(found + 1));
        // Behind a pivot that is before, and not behind one that is not.
        low = if found > 0 { from + 1 } else { low };
        high = if found + 1 < PARTS { to.max(low) } else { high };
    }
    low
}

/// A place in the order.
#[derive(Debug, Clone, Copy)]
struct Place {
    leaf: LeafId,
    index: usize,
}

impl Tree {
    /// The child below which an element is or belongs: the last one that does not begin after it.
    pub(super) fn child_index(&self, id: InnerId, score: f64, member: &[u8]) -> usize {
        let inner = self.nodes.inner(id);
        let keys = (inner.scores(), inner.entries());
        keys_before(&self.nodes, keys, (score, member), Equal::Before).saturating_sub(1)
    }

    /// The index in its leaf where an element is or belongs.
    pub(super) fn position_in(&self, id: LeafId, score: f64, member: &[u8]) -> usize {
        let leaf = self.nodes.leaf(id);
        let keys = (leaf.scores(), leaf.entries());
        keys_before(&self.nodes, keys, (score, member), Equal::NotBefore)
    }

    /// The entry at an address that [`Tree::remove_at`] gave, until it is freed.
    pub fn entry(&self, at: Address) -> EntryRef<'_> {
        self.nodes.entry(at)
    }

    /// How many elements come before (score, member).
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        let mut before = 0;
        let mut node = self.root;
        for _ in 0..self.height {
            let index = self.child_index(node.inner(), score, member);
            let inner = self.nodes.inner(node.inner());
            before += inner.counts().iter().take(index).sum::<usize>();
            let Some(child) = inner.child(index) else { return before };
            self.nodes.prefetch(child);
            node = child;
        }
        before + self.position_in(node.leaf(), score, member)
    }

    /// How many elements come before a bound: `is_before` holds of those and no others.
    pub fn count_before(&self, is_before: impl Fn(f64, EntryRef<'_>) -> bool) -> usize {
        let holds = |scores: &[f64], entries: &[Address]| {
            partition(scores.len().min(entries.len()), |at| {
                let key = scores.get(at).zip(entries.get(at));
                key.is_some_and(|(score, entry)| is_before(*score, self.nodes.entry(*entry)))
            })
        };
        let mut before = 0;
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.nodes.inner(node.inner());
            let index = holds(inner.scores(), inner.entries()).saturating_sub(1);
            before += inner.counts().iter().take(index).sum::<usize>();
            let Some(child) = inner.child(index) else { return before };
            node = child;
        }
        let leaf = self.nodes.leaf(node.leaf());
        before + holds(leaf.scores(), leaf.entries())
    }

    /// The child below which the element of a rank is; takes what is before that child off `rest`.
    pub(super) fn child_of_rank(&self, id: InnerId, rest: &mut usize) -> usize {
        let mut index = 0;
        let counts = self.nodes.inner(id).counts();
        while let Some(count) = counts.get(index).filter(|count| *rest >= **count) {
            *rest -= count;
            index += 1;
        }
        index
    }

    /// The place of a rank.
    fn select(&self, rank: usize) -> Option<Place> {
        let (mut rest, mut node) = (rank, self.root);
        for _ in 0..self.height {
            let index = self.child_of_rank(node.inner(), &mut rest);
            node = self.nodes.inner(node.inner()).child(index)?;
        }
        let leaf = node.leaf();
        (rest < self.nodes.leaf(leaf).len()).then_some(Place { leaf, index: rest })
    }

    fn after(&self, place: Place) -> Option<Place> {
        let leaf = self.nodes.leaf(place.leaf);
        if place.index + 1 < leaf.len() {
            return Some(Place { index: place.index + 1, ..place });
        }
        leaf.next.map(|leaf| Place { leaf, index: 0 })
    }

    fn before(&self, place: Place) -> Option<Place> {
        if place.index > 0 {
            return Some(Place { index: place.index - 1, ..place });
        }
        let leaf = self.nodes.leaf(place.leaf).prev?;
        Some(Place { leaf, index: self.nodes.leaf(leaf).len().checked_sub(1)? })
    }

    fn element(&self, place: Place) -> Option<(EntryRef<'_>, f64)> {
        let key = self.nodes.leaf(place.leaf).key(place.index)?;
        Some((self.nodes.entry(key.entry), key.score))
    }

    fn prefetch_at(&self, leaf: LeafId, index: usize) {
        if let Some(entry) = self.nodes.leaf(leaf).entries().get(index) {
            self.nodes.prefetch_entry(*entry);
        }
    }

    /// The elements with ranks in `from..to`.
    pub fn range(&self, from: usize, to: usize) -> Range<'_> {
        let to = to.min(self.len());
        Range { tree: self, from: from.min(to), to, front: None, back: None }
    }
}

/// As `slice::partition_point`, of anything that has an index.
fn partition(len: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Elements between two ranks, from both ends: entries of the member table with their scores.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a> {
    tree: &'a Tree,
    from: usize,
    to: usize,
    /// The place of rank `from`, once it was looked for.
    front: Option<Place>,
    /// The place of rank `to - 1`, likewise.
    back: Option<Place>,
}

impl<'a> Iterator for Range<'a> {
    type Item = (EntryRef<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let place = self.front.or_else(|| self.tree.select(self.from))?;
        self.tree.prefetch_at(place.leaf, place.index + PREFETCH_DISTANCE);
        self.from += 1;
        self.front = self.tree.after(place);
        self.tree.element(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.to - self.from, Some(self.to - self.from))
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let place = self.back.or_else(|| self.tree.select(self.to - 1))?;
        self.tree.prefetch_at(place.leaf, place.index.wrapping_sub(PREFETCH_DISTANCE));
        self.to -= 1;
        self.back = self.tree.before(place);
        self.tree.element(place)
    }
}
