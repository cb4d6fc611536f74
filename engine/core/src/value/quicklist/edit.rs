//! Changing the middle of a large list: inserting (and splitting a full node), replacing, removing
//! ranges and matches, and bringing small neighbours together again.
//! Not here: the ends (`mod`), which never split or merge.
//! Invariants: those of `mod` hold after every public call.

use super::{End, Node, NodeLimit, NodeMut, Quicklist};
use crate::value::growable::Growable;
use crate::value::listpack::{self, Cursor, EMPTY, Encoded, Listpack, Needle};

/// A new node's block has room for this part of what the list already takes, so that at most so
/// much of a list's memory waits for elements.
const ROOM_AHEAD_SHARE: usize = 8;

impl Quicklist {
    /// Insert before the element of an index. False, and nothing done, where there is none.
    pub fn insert_before(&mut self, index: usize, element: &[u8], limit: NodeLimit) -> bool {
        let Some((place, at)) = self.seek(index) else { return false };
        let encoded = Encoded::of(element);
        let Some(node) = self.nodes.get(place) else { return false };
        if limit.admits(node.size_bytes() + encoded.size_bytes(), node.count as usize + 1) {
            self.insert_into(place, Some(at), encoded, limit);
        } else if index == 0 {
            self.push(End::Front, element, limit);
        } else {
            self.insert_at_seam(place, at, encoded, limit);
        }
        true
    }

    /// Insert after the element of an index. False, and nothing done, where there is none.
    pub fn insert_after(&mut self, index: usize, element: &[u8], limit: NodeLimit) -> bool {
        if index + 1 == self.len {
            self.push(End::Back, element, limit);
            return true;
        }
        self.insert_before(index + 1, element, limit)
    }

    /// Replace the element of an index. False, and nothing done, where there is none.
    pub fn replace(&mut self, index: usize, element: &[u8], limit: NodeLimit) -> bool {
        let Some((place, at)) = self.seek(index) else { return false };
        let Some(node) = self.nodes.get(place) else { return false };
        let encoded = Encoded::of(element);
        let old = Encoded::element(Listpack::new(node.bytes()).element(at)).size_bytes();
        let size = node.size_bytes().saturating_sub(old) + encoded.size_bytes();
        if node.count == 1 || limit.admits(size, node.count as usize) {
            self.edit_node(place, limit, |node| listpack::replace_encoded(node, at, encoded));
            return true;
        }
        // Two steps, since the node must be split: the list is never without elements in between.
        self.insert_before(index, element, limit);
        self.remove_range(index + 1, 1, limit);
        true
    }

    /// Remove `count` elements from an index on, or as many as there are.
    pub fn remove_range(&mut self, index: usize, count: usize, limit: NodeLimit) {
        let Some((first, inside)) = self.locate(index) else { return };
        let mut left = count.min(self.len - index);
        self.len -= left;
        let (mut place, mut skip) = (first, inside);
        while left > 0 {
            let Some(node) = self.nodes.get_mut(place) else { break };
            let here = left.min((node.count as usize).saturating_sub(skip));
            if here == node.count as usize {
                // Freed by `tidy`, all of them at once.
                node.count = 0;
            } else {
                self.remove_inside(place, skip, here, limit);
            }
            left -= here;
            (place, skip) = (place + 1, 0);
        }
        self.tidy(first, place, limit);
    }

    /// Remove up to `count` elements that are `needle`, from an end on; gives how many.
    pub fn remove_matches(
        &mut self,
        needle: &[u8],
        count: usize,
        from: End,
        limit: NodeLimit,
    ) -> usize {
        let needle = Needle::new(needle);
        let nodes = self.nodes.len();
        let (mut removed, mut touched) = (0, None::<(usize, usize)>);
        for step in 0..nodes {
            if removed == count {
                break;
            }
            let place = if from == End::Front { step } else { nodes - 1 - step };
            let mut here = 0;
            self.edit_node(place, limit, |node| {
                let is_backward = from == End::Back;
                here = listpack::remove_matches(node, &needle, count - removed, is_backward);
                node.node.count -= here as u32; // to be empty is what `tidy` sees to
            });
            if here > 0 {
                let (low, high) = touched.unwrap_or((place, place));
                touched = Some((low.min(place), high.max(place)));
            }
            removed += here;
        }
        self.len -= removed;
        if let Some((low, high)) = touched {
            self.tidy(low, high + 1, limit);
        }
        removed
    }

    /// Make a node of one element at an end of the list.
    pub(super) fn insert_node(&mut self, end: End, element: &Encoded<'_>, limit: NodeLimit) {
        // What was the end is full: room that was ahead there will not be used.
        let full = self.end_index(end);
        if let Some(node) = self.nodes.get_mut(full) {
            node.trim(&mut self.ledger);
        }
        let place = if end == End::Front { 0 } else { self.nodes.len() };
        self.insert_node_at(place, end, element, limit);
    }

    fn insert_node_at(&mut self, place: usize, room: End, element: &Encoded<'_>, limit: NodeLimit) {
        let size = EMPTY.len() + element.size_bytes();
        let useful = EMPTY.len() + element.size_bytes().saturating_mul(limit.count);
        let ahead = self.ledger.bytes() / ROOM_AHEAD_SHARE;
        let capacity = ahead.min(limit.bytes).min(useful).max(size);
        let node = Node::new(&EMPTY, 0, capacity, room, &mut self.ledger);
        self.nodes.insert(place, node);
        self.insert_into(place, None, *element, limit);
    }

    /// Insert into a node that has room.
    fn insert_into(
        &mut self,
        place: usize,
        before: Option<Cursor>,
        element: Encoded<'_>,
        limit: NodeLimit,
    ) {
        self.edit_node(place, limit, |node| {
            listpack::insert_all(node, before, [element]);
            node.node.count += 1;
        });
        self.len += 1;
    }

    /// Insert before `at` of a node that is full: split it there, then put the element where there
    /// is room, at the seam or in a node between.
    fn insert_at_seam(&mut self, place: usize, at: Cursor, element: Encoded<'_>, limit: NodeLimit) {
        let right = self.split(place, at);
        let has_room = |node: Option<&Node>| {
            node.is_some_and(|node| {
                limit.admits(node.size_bytes() + element.size_bytes(), node.count as usize + 1)
            })
        };
        let left = right.checked_sub(1);
        let front = self.nodes.get(right).and_then(|node| Listpack::new(node.bytes()).first());
        match left {
            Some(left) if has_room(self.nodes.get(left)) => {
                self.insert_into(left, None, element, limit);
            }
            _ if has_room(self.nodes.get(right)) => {
                self.insert_into(right, front, element, limit);
            }
            _ => self.insert_node_at(right, End::Back, &element, limit),
        }
        self.tidy(place, right + 1, limit);
    }

    /// Make `at` the first element of a node; gives which. What is before it stays where it was.
    fn split(&mut self, place: usize, at: Cursor) -> usize {
        let Some(node) = self.nodes.get(place) else { return place };
        let view = Listpack::new(node.bytes());
        if view.first() == Some(at) {
            return place;
        }
        let moved = view.entries_from(at).count();
        let mut tail = Node::new(&EMPTY, 0, node.size_bytes(), End::Back, &mut self.ledger);
        let Some(node) = self.nodes.get_mut(place) else { return place };
        let limit_bytes = node.size_bytes();
        let mut into = NodeMut { node: &mut tail, ledger: &mut self.ledger, limit_bytes };
        listpack::append_from(&mut into, Listpack::new(node.bytes()), at, moved);
        tail.count = moved as u32;
        let mut rest = NodeMut { node, ledger: &mut self.ledger, limit_bytes };
        listpack::remove(&mut rest, at, moved);
        node.count -= moved as u32;
        self.nodes.insert(place + 1, tail);
        place + 1
    }

    /// Remove elements of one node, not all of them.
    fn remove_inside(&mut self, place: usize, skip: usize, count: usize, limit: NodeLimit) {
        self.edit_node(place, limit, |node| {
            if let Some(at) = Listpack::new(node.bytes()).seek(skip as i64) {
                listpack::remove(node, at, count);
                node.node.count -= count as u32;
            }
        });
    }

    /// Free the empty nodes among those of `low..high`, and bring those and their neighbours
    /// together where one node can hold both. In one pass, whatever their number.
    fn tidy(&mut self, low: usize, high: usize, limit: NodeLimit) {
        let (low, high) = (low.saturating_sub(1), (high + 1).min(self.nodes.len()));
        let mut kept = low;
        for place in low..high {
            if self.nodes.get(place).is_none_or(|node| node.count == 0) {
                continue;
            }
            if kept > low && self.fits_together(kept - 1, place, limit) {
                self.append_to(kept - 1, place, limit);
                continue;
            }
            self.nodes.swap(kept, place);
            kept += 1;
        }
        self.remove_nodes(kept..high);
    }

    /// Whether one node can hold two. Not to the brim: else a node would be split and joined in
    /// turns by edits at its end.
    fn fits_together(&self, left: usize, right: usize, limit: NodeLimit) -> bool {
        let (Some(left), Some(right)) = (self.nodes.get(left), self.nodes.get(right)) else {
            return false;
        };
        let size = left.size_bytes() + right.size_bytes() - EMPTY.len();
        let count = (left.count + right.count) as usize;
        limit.admits(size + limit.bytes / 8, count) && count <= limit.count - limit.count / 8
    }

    /// Append the elements of a node to one before it; the first is then to be freed.
    fn append_to(&mut self, into: usize, from: usize, limit: NodeLimit) {
        let mut both = self.nodes.range_mut(into..=from);
        let (Some(node), Some(source)) = (both.next(), both.next_back()) else { return };
        let view = Listpack::new(source.bytes());
        if let Some(first) = view.first() {
            let count = source.count;
            let ledger = &mut self.ledger;
            let mut into = NodeMut { node, ledger, limit_bytes: limit.bytes };
            listpack::append_from(&mut into, view, first, count as usize);
            into.node.count += count;
        }
    }
}
