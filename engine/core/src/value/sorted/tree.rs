//! The order of a sorted set: a B+ tree whose inner nodes count what is below each child. Elements
//! are ordered by score, then by member. Here: what changes it. `seek` reads it, `node` has the
//! nodes.
//! Invariants ([`Tree::check`]): every leaf is at height 0 and in the list of leaves, in order; an
//! inner node says of each child its least element and its true count; a node but the root is not
//! empty, and is not thin (a quarter full) unless it stands at an edge or alone.
//! Splits at the ends of the tree leave the full node full, so that a set filled in order (a load, a
//! log by time) has full leaves; leaves at the ends may run dry before they are given up, so that
//! ZPOPMIN moves nothing between leaves.

use super::node::{
    Address, Child, INNER_KEYS, InnerId, Key, LEAF_KEYS, LeafId, NodeId, Nodes, Row,
};

/// Higher than any tree gets: nodes but the edges' are a quarter full, so that 15^16 elements fit.
const HEIGHT_MAX: usize = 16;
/// A node with fewer items is filled up or merged.
const THIN: usize = LEAF_KEYS / 4;
/// Two nodes merge when together they are no fuller than this, so that the next insertion does not
/// split them again.
const MERGED_MAX: usize = LEAF_KEYS - LEAF_KEYS / 8;

/// The tree. Has no elements of its own: the entries belong to the member table.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Nodes,
    pub(super) root: NodeId,
    /// Inner levels above the leaves.
    pub(super) height: usize,
    pub(super) first: LeafId,
    pub(super) last: LeafId,
    len: usize,
}

/// A step on the way down: an inner node, and which child was taken.
#[derive(Debug, Clone, Copy)]
struct Step {
    inner: InnerId,
    index: usize,
}

/// The way from the root to a leaf.
struct Path {
    steps: [Step; HEIGHT_MAX],
    len: usize,
}

impl Path {
    fn new() -> Self {
        let nowhere = Step { inner: InnerId::NOWHERE, index: 0 };
        Self { steps: [nowhere; HEIGHT_MAX], len: 0 }
    }

    fn steps(&self) -> &[Step] {
        self.steps.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, step: Step) {
        self.steps[self.len] = step;
        self.len += 1;
    }
}

/// At which end of the tree something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
    Neither,
}

impl Default for Tree {
    fn default() -> Self {
        let mut nodes = Nodes::default();
        let leaf = nodes.new_leaf();
        Self { nodes, root: leaf.node(), height: 0, first: leaf, last: leaf, len: 0 }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let (root, height) = (self.root, self.height);
        self.free_below(root, height);
        debug_assert_eq!(self.memory_bytes(), 0, "a dropped tree leaves nothing behind");
    }
}

impl Tree {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the nodes.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes()
    }

    /// Insert an element that is not here.
    pub fn insert(&mut self, score: f64, member: &[u8], entry: Address) {
        let (path, leaf) = self.way_to(score, member);
        let at = self.position_in(leaf, score, member);
        let key = Key { score, entry };
        for step in path.steps() {
            let inner = self.nodes.inner_mut(step.inner);
            inner.set_count(step.index, inner.counts()[step.index] + 1);
            if at == 0 {
                // Only the least of all elements comes first in its leaf: the way is the first one.
                inner.set_low(step.index, key);
            }
        }
        self.len += 1;
        if self.nodes.leaf(leaf).len() < LEAF_KEYS {
            self.nodes.leaf_mut(leaf).insert(at, key);
        } else {
            self.split_leaf(&path, leaf, at, key);
        }
    }

    /// Remove an element; false when it is not here.
    pub fn remove(&mut self, score: f64, member: &[u8], entry: Address) -> bool {
        let (path, leaf) = self.way_to(score, member);
        let at = self.position_in(leaf, score, member);
        if self.nodes.leaf(leaf).entries().get(at) != Some(&entry) {
            return false;
        }
        self.take_out(&path, leaf, at);
        true
    }

    /// Remove the element of a rank; gives its entry, which the caller frees.
    pub fn remove_at(&mut self, rank: usize) -> Option<Address> {
        let mut path = Path::new();
        let (mut rest, mut node) = (rank, self.root);
        for _ in 0..self.height {
            let inner = node.inner();
            let index = self.child_of_rank(inner, &mut rest);
            path.push(Step { inner, index });
            node = self.nodes.inner(inner).child(index)?;
        }
        let entry = self.nodes.leaf(node.leaf()).key(rest)?.entry;
        self.take_out(&path, node.leaf(), rest);
        Some(entry)
    }

    fn take_out(&mut self, path: &Path, leaf: LeafId, at: usize) {
        for step in path.steps() {
            let inner = self.nodes.inner_mut(step.inner);
            inner.set_count(step.index, inner.counts()[step.index] - 1);
        }
        self.len -= 1;
        self.nodes.leaf_mut(leaf).remove(at);
        if at == 0 || self.nodes.leaf(leaf).len() < THIN {
            self.mend(path, leaf);
        }
    }

    /// The way to the leaf where an element is or belongs.
    fn way_to(&self, score: f64, member: &[u8]) -> (Path, LeafId) {
        let mut path = Path::new();
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = node.inner();
            let index = self.child_index(inner, score, member);
            path.push(Step { inner, index });
            // There always is one; without, the walk stays where it is.
            node = self.nodes.inner(inner).child(index).unwrap_or(node);
            self.nodes.prefetch(node);
        }
        (path, node.leaf())
    }

    fn split_leaf(&mut self, path: &Path, leaf: LeafId, at: usize, key: Key) {
        let (prev, next) = (self.nodes.leaf(leaf).prev, self.nodes.leaf(leaf).next);
        let end = match at {
            LEAF_KEYS if next.is_none() => End::Last,
            0 if prev.is_none() => End::First,
            _ => End::Neither,
        };
        let kept = match end {
            End::Last => LEAF_KEYS,
            End::First => 0,
            End::Neither => LEAF_KEYS / 2,
        };
        let right = self.nodes.new_leaf();
        let (one, other) = self.nodes.leaves_mut(leaf, right);
        one.give_last(LEAF_KEYS - kept, other);
        if at > kept || end == End::Last {
            other.insert(at - kept, key);
        } else {
            one.insert(at, key);
        }
        (one.next, other.prev, other.next) = (Some(right), Some(leaf), next);
        let low = other.key(0).unwrap_or(key);
        let child = Child { low, node: right.node(), count: other.len() };
        match next {
            Some(next) => self.nodes.leaf_mut(next).prev = Some(right),
            None => self.last = right,
        }
        self.add_child(path, child, end);
    }

    /// Put a node that was split off beside the one that it came from, at the end of `path`.
    fn add_child(&mut self, path: &Path, mut child: Child, end: End) {
        for step in path.steps().iter().rev() {
            let inner = self.nodes.inner_mut(step.inner);
            inner.set_count(step.index, inner.counts()[step.index] - child.count);
            let at = step.index + 1;
            if inner.len() < INNER_KEYS {
                return inner.insert(at, child);
            }
            let kept = match (at, end) {
                (INNER_KEYS, End::Last) => INNER_KEYS,
                (1, End::First) => 1,
                _ => INNER_KEYS / 2,
            };
            let right = self.nodes.new_inner();
            let (one, other) = self.nodes.inners_mut(step.inner, right);
            one.give_last(INNER_KEYS - kept, other);
            if at > kept || kept == INNER_KEYS {
                other.insert(at - kept, child);
            } else {
                one.insert(at, child);
            }
            let count = other.counts().iter().sum();
            child = Child { low: other.low(0).unwrap_or(child.low), node: right.node(), count };
        }
        self.grow(child);
    }

    /// Put a root over the old one and what was split off it.
    fn grow(&mut self, child: Child) {
        let Some(low) = self.nodes.leaf(self.first).key(0) else { return };
        let count = self.len - child.count;
        let root = self.nodes.new_inner();
        let inner = self.nodes.inner_mut(root);
        inner.insert(0, Child { low, node: self.root, count });
        inner.insert(1, child);
        self.root = root.node();
        self.height += 1;
    }

    /// After a removal: from the leaf up, say what is least now, give up what is empty and fill up
    /// what is thin.
    fn mend(&mut self, path: &Path, leaf: LeafId) {
        for (above, step) in path.steps().iter().rev().enumerate() {
            let below = if above == 0 {
                let leaf = self.nodes.leaf(leaf);
                (leaf.len(), leaf.key(0), leaf.prev.is_none() || leaf.next.is_none())
            } else {
                let Some(id) = self.nodes.inner(step.inner).child(step.index) else { return };
                let inner = self.nodes.inner(id.inner());
                (inner.len(), inner.low(0), false)
            };
            match below {
                (0, ..) => self.drop_child(*step, above == 0),
                (len, low, is_edge) => {
                    if let Some(low) = low {
                        self.nodes.inner_mut(step.inner).set_low(step.index, low);
                    }
                    if len < THIN && !is_edge {
                        self.fill_up(*step, above == 0);
                    }
                }
            }
        }
        while self.height > 0 && self.nodes.inner(self.root.inner()).len() == 1 {
            let Some(child) = self.nodes.inner(self.root.inner()).child(0) else { return };
            self.nodes.free(std::mem::replace(&mut self.root, child));
            self.height -= 1;
        }
    }

    fn drop_child(&mut self, step: Step, is_leaf: bool) {
        let Some(child) = self.nodes.inner(step.inner).child(step.index) else { return };
        if is_leaf {
            self.unlink(child.leaf());
        }
        self.nodes.inner_mut(step.inner).remove(step.index);
        self.nodes.free(child);
    }

    fn unlink(&mut self, leaf: LeafId) {
        let (prev, next) = (self.nodes.leaf(leaf).prev, self.nodes.leaf(leaf).next);
        match prev {
            Some(prev) => self.nodes.leaf_mut(prev).next = next,
            None => self.first = next.unwrap_or(leaf),
        }
        match next {
            Some(next) => self.nodes.leaf_mut(next).prev = prev,
            None => self.last = prev.unwrap_or(leaf),
        }
    }

    /// Merge a thin child with a neighbour, or let the neighbour give it some; an only child stays
    /// as it is.
    fn fill_up(&mut self, step: Step, is_leaf: bool) {
        let inner = self.nodes.inner(step.inner);
        let left = if step.index + 1 < inner.len() { step.index } else { step.index.max(1) - 1 };
        let right = left + 1;
        let (Some(one), Some(other)) = (inner.child(left), inner.child(right)) else { return };
        let total = inner.counts()[left] + inner.counts()[right];
        let is_merged;
        let counts;
        if is_leaf {
            let (one, other) = self.nodes.leaves_mut(one.leaf(), other.leaf());
            is_merged = level(one, other);
            counts = (one.len(), other.key(0));
        } else {
            let (one, other) = self.nodes.inners_mut(one.inner(), other.inner());
            is_merged = level(one, other);
            counts = (one.counts().iter().sum(), other.low(0));
        }
        let parent = self.nodes.inner_mut(step.inner);
        parent.set_count(left, counts.0);
        parent.set_count(right, total - counts.0);
        if let Some(low) = counts.1 {
            parent.set_low(right, low);
        }
        if is_merged {
            self.drop_child(Step { inner: step.inner, index: right }, is_leaf);
        }
    }

    fn free_below(&mut self, node: NodeId, height: usize) {
        if height > 0 {
            let mut index = 0;
            while let Some(child) = self.nodes.inner(node.inner()).child(index) {
                self.free_below(child, height - 1);
                index += 1;
            }
        }
        self.nodes.free(node);
    }
}

/// Let `one` take all of its right neighbour when that fits (true), else give both as much.
fn level<R: Row>(one: &mut R, other: &mut R) -> bool {
    if one.len() + other.len() <= MERGED_MAX {
        other.give_first(other.len(), one);
        return true;
    }
    if one.len() > other.len() {
        one.give_last((one.len() - other.len()) / 2, other);
    } else {
        other.give_first((other.len() - one.len()) / 2, one);
    }
    false
}
