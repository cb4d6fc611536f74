//! A large list: a ring of nodes, each a listpack of a bounded size, so that both ends are pushed to
//! and popped from in constant time and an index is found by the nodes' counts.
//! Here: reading, the ends, the memory figure. `edit` changes the middle, `node` is a node's memory.
//! Not here: when a list becomes large (`value::list`). Rejected: Redis's linked nodes (a cache miss
//! each to walk, where the ring reads 24 bytes a node in a row), and its plain nodes: an element
//! larger than a node's limit is alone in its node, as a listpack like the others.
//! Invariants: no node is empty; `len` is the sum of the nodes' counts; the ledger counts exactly
//! the nodes' blocks. Shared borrows only read (the fork child, I1).

mod edit;
mod node;
#[cfg(test)]
mod tests;

use std::collections::{VecDeque, vec_deque};

pub use node::End;
use node::{Node, NodeMut};

use super::growable::Growable;
use super::listpack::{self, Cursor, Element, Encoded, Entries, Listpack};
use crate::alloc::Ledger;

/// A ring with more places is made smaller when less than a quarter of them are taken.
const RING_NODES_MIN: usize = 64;

/// How much one node may hold: `list-max-listpack-size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLimit {
    /// Bytes of the listpack.
    pub bytes: usize,
    /// Elements.
    pub count: usize,
}

impl NodeLimit {
    /// Below zero a size: 4 KiB for -1 and so on to 64 KiB for -5 and less. From zero on a number
    /// of elements, in at most 8 KiB.
    pub fn of(list_max_listpack_size: i32) -> Self {
        // A listpack knows its count up to here.
        const COUNT_MAX: usize = 65_534;
        match usize::try_from(list_max_listpack_size) {
            Ok(count) => Self { bytes: 8192, count: count.clamp(1, COUNT_MAX) },
            Err(_) => {
                let step = list_max_listpack_size.unsigned_abs().min(5) - 1;
                Self { bytes: 4096 << step, count: COUNT_MAX }
            }
        }
    }

    /// Whether a listpack of that size and count is within the limit.
    #[inline]
    pub fn admits(self, size_bytes: usize, count: usize) -> bool {
        size_bytes <= self.bytes && count <= self.count
    }
}

/// A large list. Owns its memory.
#[derive(Debug, Default)]
pub struct Quicklist {
    nodes: VecDeque<Node>,
    len: usize,
    ledger: Ledger,
}

impl Drop for Quicklist {
    fn drop(&mut self) {
        self.nodes.drain(..).for_each(|node| node.free(&mut self.ledger));
        debug_assert_eq!(self.ledger.bytes(), 0, "a dropped list leaves nothing behind");
    }
}

impl Quicklist {
    /// A list without elements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory held outside of this structure.
    pub fn memory_bytes(&self) -> usize {
        self.ledger.bytes() + self.nodes.capacity() * size_of::<Node>()
    }

    /// The nodes' listpacks in order, for an RDB to write as they are.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = Listpack<'_>> {
        self.nodes.iter().map(|node| Listpack::new(node.bytes()))
    }

    /// Add a whole listpack at the end as a node, whatever its size (an RDB's node). The bytes have
    /// passed [`listpack::check`]; one without elements is left out.
    pub fn append_node(&mut self, listpack: &[u8]) {
        let count = Listpack::new(listpack).len();
        if count > 0 {
            let node = Node::new(listpack, count, listpack.len(), End::Back, &mut self.ledger);
            self.nodes.push_back(node);
            self.len += count;
        }
    }

    /// A copy in memory of its own.
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::new();
        copy.nodes.reserve_exact(self.nodes.len());
        self.nodes().for_each(|node| copy.append_node(node.bytes()));
        copy
    }

    /// The element of an index from the front.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        let (node, at) = self.seek(index)?;
        Some(self.listpack(node).element(at))
    }

    /// All elements.
    pub fn iter(&self) -> Walk<'_> {
        Walk { rest: self.nodes.iter(), ..Walk::default() }
    }

    /// The elements from an index on.
    pub fn iter_from(&self, index: usize) -> Walk<'_> {
        let Some((node, at)) = self.seek(index) else { return Walk::default() };
        let front = self.listpack(node).entries_from(at);
        Walk { front, rest: self.nodes.range(node + 1..), ..Walk::default() }
    }

    /// The elements up to an index, that one included.
    pub fn iter_up_to(&self, index: usize) -> Walk<'_> {
        let Some((node, at)) = self.seek(index) else { return Walk::default() };
        let back = self.listpack(node).entries_up_to(at);
        Walk { rest: self.nodes.range(..node), back, ..Walk::default() }
    }

    /// The element at an end.
    pub fn end(&self, end: End) -> Option<Element<'_>> {
        let node = self.listpack(self.end_index(end));
        let at = if end == End::Front { node.first() } else { node.last() }?;
        Some(node.element(at))
    }

    /// Add at an end.
    pub fn push(&mut self, end: End, element: &[u8], limit: NodeLimit) {
        let index = self.end_index(end);
        let encoded = Encoded::of(element);
        let has_room = self.nodes.get(index).is_some_and(|node| {
            limit.admits(node.size_bytes() + encoded.size_bytes(), node.count as usize + 1)
        });
        if !has_room {
            self.insert_node(end, &encoded, limit);
            return;
        }
        self.edit_node(index, limit, |node| {
            let first = Listpack::new(node.bytes()).first();
            let before = if end == End::Front { first } else { None };
            listpack::insert_all(node, before, [encoded]);
            node.node.count += 1;
        });
        self.len += 1;
    }

    /// Remove the element at an end.
    pub fn pop(&mut self, end: End, limit: NodeLimit) {
        let index = self.end_index(end);
        let Some(node) = self.nodes.get(index) else { return };
        self.len -= 1;
        if node.count == 1 {
            self.remove_nodes(index..index + 1);
            return;
        }
        self.edit_node(index, limit, |node| {
            let view = Listpack::new(node.bytes());
            let at = if end == End::Front { view.first() } else { view.last() };
            if let Some(at) = at {
                listpack::remove(node, at, 1);
                node.node.count -= 1;
            }
        });
    }

    /// The first broken invariant, if any. Reads everything: for tests and debugging.
    ///
    /// # Errors
    /// The invariant in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut len = 0;
        for node in &self.nodes {
            let count = listpack::check(node.bytes())?;
            if count == 0 || count != node.count as usize {
                return Err(format!("a node of {count} elements says {}", node.count));
            }
            len += count;
        }
        if len != self.len {
            return Err(format!("a list of {len} elements says {}", self.len));
        }
        Ok(())
    }

    /// The node and the place in it of an index; walks over the nodes from the nearer end.
    fn seek(&self, index: usize) -> Option<(usize, Cursor)> {
        let (node, inside) = self.locate(index)?;
        Some((node, self.listpack(node).seek(inside as i64)?))
    }

    /// The node of an index, and the index inside of it.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut left = index;
            for (place, node) in self.nodes.iter().enumerate() {
                match left.checked_sub(node.count as usize) {
                    Some(rest) => left = rest,
                    None => return Some((place, left)),
                }
            }
            return None;
        }
        let mut end = self.len;
        for (place, node) in self.nodes.iter().enumerate().rev() {
            end -= node.count as usize;
            if index >= end {
                return Some((place, index - end));
            }
        }
        None
    }

    /// The listpack of a node; one of no bytes where there is no node.
    fn listpack(&self, node: usize) -> Listpack<'_> {
        Listpack::new(self.nodes.get(node).map(Node::bytes).unwrap_or_default())
    }

    fn end_index(&self, end: End) -> usize {
        if end == End::Front { 0 } else { self.nodes.len().saturating_sub(1) }
    }

    /// Change a node in place.
    #[inline]
    fn edit_node(&mut self, index: usize, limit: NodeLimit, edit: impl FnOnce(&mut NodeMut<'_>)) {
        if let Some(node) = self.nodes.get_mut(index) {
            let ledger = &mut self.ledger;
            edit(&mut NodeMut { node, ledger, limit_bytes: limit.bytes });
        }
    }

    /// Free nodes, whose elements have been taken off `len` already.
    fn remove_nodes(&mut self, range: std::ops::Range<usize>) {
        self.nodes.drain(range).for_each(|node| node.free(&mut self.ledger));
        let (len, capacity) = (self.nodes.len(), self.nodes.capacity());
        if capacity > RING_NODES_MIN && len < capacity / 4 {
            self.nodes.shrink_to(len * 2);
        }
    }
}

/// Elements of a list, from both ends.
#[derive(Debug, Clone, Default)]
pub struct Walk<'a> {
    front: Entries<'a>,
    rest: vec_deque::Iter<'a, Node>,
    back: Entries<'a>,
}

impl<'a> Walk<'a> {
    /// Walk over elements of one listpack.
    pub(super) fn over(front: Entries<'a>) -> Self {
        Self { front, ..Self::default() }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some((_, element)) = self.front.next() {
                return Some(element);
            }
            match self.rest.next() {
                Some(node) => self.front = Listpack::new(node.bytes()).entries(),
                None => return self.back.next().map(|(_, element)| element),
            }
        }
    }
}

impl<'a> DoubleEndedIterator for Walk<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some((_, element)) = self.back.next_back() {
                return Some(element);
            }
            match self.rest.next_back() {
                Some(node) => self.back = Listpack::new(node.bytes()).entries(),
                None => return self.front.next_back().map(|(_, element)| element),
            }
        }
    }
}
