//! The nodes of the order tree in memory: leaves of (score, entry), and inner nodes that say of each
//! child the least element below it and how many there are. Allocated and read here; what the tree
//! does with them stands in `tree` and `seek`.
//!
//! ```text
//!  leaf   │ len │ prev │ next │ score × 62  │ entry × 62 │                           1016 bytes
//!  inner  │ len │ score × 62 │ entry × 62 │ child × 62 │ elements below × 62 │       1992 bytes
//! ```
//! Scores stand together so that a search by score reads few cache lines, and no entry: an entry
//! (the member's bytes, in the table) is asked only where scores are equal. Both sizes fill a size
//! class of the allocator.
//! Invariant of the whole room: an identity (`LeafId`, `InnerId`, `NodeId`) or an [`Address`] that a
//! tree holds names something alive. Whoever frees it takes it out of the tree first; nothing
//! outside this room sees one. Rejected: nodes in a `Vec` with indices (no `unsafe`, but a set that
//! shrank would keep their memory).
#![allow(unsafe_code)] // identities of nodes and entries become references again

use std::ptr::NonNull;

use crate::alloc::{self, Ledger};
use crate::value::entry_ref::EntryRef;

/// Elements of a leaf, at most.
pub(super) const LEAF_KEYS: usize = 62;
/// Children of an inner node, at most.
pub(super) const INNER_KEYS: usize = 62;

/// Where an entry of the member table is: it does not move while its member exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Address(usize);

impl Address {
    /// The address of an entry.
    pub fn of(entry: EntryRef<'_>) -> Self {
        Self(entry.address())
    }
}

/// What nodes say of an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub score: f64,
    pub entry: Address,
}

/// What an inner node says of a child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    /// The least element below it.
    pub low: Key,
    pub node: NodeId,
    /// Elements below it.
    pub count: usize,
}

/// Names a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct LeafId(NonNull<Leaf>);

/// Names an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct InnerId(NonNull<Inner>);

/// Names either: which, its height in the tree says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct NodeId(NonNull<u8>);

// SAFETY: identities are plain addresses; what they name is owned by one tree, and reached through
// a borrow of it only.
unsafe impl Send for LeafId {}
// SAFETY: as above.
unsafe impl Sync for LeafId {}
// SAFETY: as above.
unsafe impl Send for InnerId {}
// SAFETY: as above.
unsafe impl Sync for InnerId {}
// SAFETY: as above.
unsafe impl Send for NodeId {}
// SAFETY: as above.
unsafe impl Sync for NodeId {}

impl LeafId {
    pub fn node(self) -> NodeId {
        NodeId(self.0.cast())
    }
}

impl InnerId {
    /// Names nothing: fills places that are never read.
    pub const NOWHERE: Self = Self(NonNull::dangling());

    pub fn node(self) -> NodeId {
        NodeId(self.0.cast())
    }
}

impl NodeId {
    /// The node as a leaf: it stands at height 0.
    pub fn leaf(self) -> LeafId {
        LeafId(self.0.cast())
    }

    /// The node as an inner one: it stands higher.
    pub fn inner(self) -> InnerId {
        InnerId(self.0.cast())
    }
}

/// A leaf. All zeros is an empty one.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Leaf {
    len: usize,
    pub prev: Option<LeafId>,
    pub next: Option<LeafId>,
    scores: [f64; LEAF_KEYS],
    entries: [Address; LEAF_KEYS],
}

/// An inner node. All zeros is an empty one (the children behind `len` are never read).
#[derive(Debug)]
#[repr(C)]
pub(super) struct Inner {
    len: usize,
    scores: [f64; INNER_KEYS],
    entries: [Address; INNER_KEYS],
    children: [Option<NodeId>; INNER_KEYS],
    counts: [usize; INNER_KEYS],
}

/// What leaves and inner nodes have in common: a row of items that neighbours give each other.
pub(super) trait Row {
    fn len(&self) -> usize;
    /// Move the last `count` items to the front of `to`.
    fn give_last(&mut self, count: usize, to: &mut Self);
    /// Move the first `count` items to the end of `to`.
    fn give_first(&mut self, count: usize, to: &mut Self);
}

impl Leaf {
    pub fn scores(&self) -> &[f64] {
        self.scores.get(..self.len).unwrap_or_default()
    }

    pub fn entries(&self) -> &[Address] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    pub fn key(&self, index: usize) -> Option<Key> {
        Some(Key { score: *self.scores().get(index)?, entry: *self.entries().get(index)? })
    }

    pub fn insert(&mut self, at: usize, key: Key) {
        insert(&mut self.scores, self.len, at, key.score);
        insert(&mut self.entries, self.len, at, key.entry);
        self.len += 1;
    }

    pub fn remove(&mut self, at: usize) {
        self.scores.copy_within(at + 1..self.len, at);
        self.entries.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }
}

impl Inner {
    pub fn scores(&self) -> &[f64] {
        self.scores.get(..self.len).unwrap_or_default()
    }

    pub fn entries(&self) -> &[Address] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    pub fn counts(&self) -> &[usize] {
        self.counts.get(..self.len).unwrap_or_default()
    }

    pub fn child(&self, index: usize) -> Option<NodeId> {
        *self.children.get(..self.len)?.get(index)?
    }

    pub fn low(&self, index: usize) -> Option<Key> {
        Some(Key { score: *self.scores().get(index)?, entry: *self.entries().get(index)? })
    }

    pub fn set_low(&mut self, index: usize, low: Key) {
        self.scores[index] = low.score;
        self.entries[index] = low.entry;
    }

    pub fn set_count(&mut self, index: usize, count: usize) {
        self.counts[index] = count;
    }

    pub fn insert(&mut self, at: usize, child: Child) {
        insert(&mut self.scores, self.len, at, child.low.score);
        insert(&mut self.entries, self.len, at, child.low.entry);
        insert(&mut self.children, self.len, at, Some(child.node));
        insert(&mut self.counts, self.len, at, child.count);
        self.len += 1;
    }

    pub fn remove(&mut self, at: usize) {
        self.scores.copy_within(at + 1..self.len, at);
        self.entries.copy_within(at + 1..self.len, at);
        self.children.copy_within(at + 1..self.len, at);
        self.counts.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }
}

impl Row for Leaf {
    fn len(&self) -> usize {
        self.len
    }

    fn give_last(&mut self, count: usize, to: &mut Self) {
        give_last(&self.scores, self.len, count, &mut to.scores, to.len);
        give_last(&self.entries, self.len, count, &mut to.entries, to.len);
        self.len -= count;
        to.len += count;
    }

    fn give_first(&mut self, count: usize, to: &mut Self) {
        give_first(&mut self.scores, self.len, count, &mut to.scores, to.len);
        give_first(&mut self.entries, self.len, count, &mut to.entries, to.len);
        self.len -= count;
        to.len += count;
    }
}

impl Row for Inner {
    fn len(&self) -> usize {
        self.len
    }

    fn give_last(&mut self, count: usize, to: &mut Self) {
        give_last(&self.scores, self.len, count, &mut to.scores, to.len);
        give_last(&self.entries, self.len, count, &mut to.entries, to.len);
        give_last(&self.children, self.len, count, &mut to.children, to.len);
        give_last(&self.counts, self.len, count, &mut to.counts, to.len);
        self.len -= count;
        to.len += count;
    }

    fn give_first(&mut self, count: usize, to: &mut Self) {
        give_first(&mut self.scores, self.len, count, &mut to.scores, to.len);
        give_first(&mut self.entries, self.len, count, &mut to.entries, to.len);
        give_first(&mut self.children, self.len, count, &mut to.children, to.len);
        give_first(&mut self.counts, self.len, count, &mut to.counts, to.len);
        self.len -= count;
        to.len += count;
    }
}

fn insert<T: Copy>(row: &mut [T], len: usize, at: usize, item: T) {
    row.copy_within(at..len, at + 1);
    row[at] = item;
}

fn give_last<T: Copy>(from: &[T], len: usize, count: usize, to: &mut [T], to_len: usize) {
    to.copy_within(..to_len, count);
    to[..count].copy_from_slice(&from[len - count..len]);
}

fn give_first<T: Copy>(from: &mut [T], len: usize, count: usize, to: &mut [T], to_len: usize) {
    to[to_len..to_len + count].copy_from_slice(&from[..count]);
    from.copy_within(count..len, 0);
}

/// The nodes of one tree, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    ledger: Ledger,
}

impl Nodes {
    pub fn memory_bytes(&self) -> usize {
        self.ledger.bytes()
    }

    pub fn new_leaf(&mut self) -> LeafId {
        LeafId(self.ledger.allocate_zeroed(size_of::<Leaf>()).cast())
    }

    pub fn new_inner(&mut self) -> InnerId {
        InnerId(self.ledger.allocate_zeroed(size_of::<Inner>()).cast())
    }

    /// Free a node that the tree no longer names.
    pub fn free(&mut self, id: NodeId) {
        // SAFETY: the node came from `new_leaf` or `new_inner` of this ledger, and the caller has
        // taken its identity out of the tree.
        unsafe { self.ledger.free(id.0) };
    }

    #[inline]
    pub fn leaf(&self, id: LeafId) -> &Leaf {
        // SAFETY: alive (the room's invariant), initialised (zeroed when it was made), and changed
        // only through `&mut self`.
        unsafe { id.0.as_ref() }
    }

    #[inline]
    pub fn leaf_mut(&mut self, mut id: LeafId) -> &mut Leaf {
        // SAFETY: as above; `&mut self` excludes every other reference.
        unsafe { id.0.as_mut() }
    }

    /// Two different leaves.
    pub fn leaves_mut(&mut self, mut one: LeafId, mut other: LeafId) -> (&mut Leaf, &mut Leaf) {
        assert!(one != other, "a leaf has no neighbour but another leaf");
        // SAFETY: as above, and they are two.
        unsafe { (one.0.as_mut(), other.0.as_mut()) }
    }

    #[inline]
    pub fn inner(&self, id: InnerId) -> &Inner {
        // SAFETY: as `leaf`.
        unsafe { id.0.as_ref() }
    }

    #[inline]
    pub fn inner_mut(&mut self, mut id: InnerId) -> &mut Inner {
        // SAFETY: as `leaf_mut`.
        unsafe { id.0.as_mut() }
    }

    /// Two different inner nodes.
    pub fn inners_mut(&mut self, mut one: InnerId, mut other: InnerId) -> (&mut Inner, &mut Inner) {
        assert!(one != other, "an inner node has no neighbour but another one");
        // SAFETY: as `leaves_mut`.
        unsafe { (one.0.as_mut(), other.0.as_mut()) }
    }

    /// The entry at an address that the tree holds.
    #[inline]
    pub fn entry(&self, at: Address) -> EntryRef<'_> {
        // SAFETY: the entry is alive (the room's invariant); the table that owns it is borrowed with
        // this tree, since both belong to one `Sorted`.
        unsafe { EntryRef::from_address(at.0) }
    }

    /// Ask for an entry to be in the cache soon.
    #[inline]
    pub fn prefetch_entry(&self, at: Address) {
        alloc::prefetch(at.0 as *const u8);
    }

    /// Ask for the part of a node that a search reads.
    #[inline]
    pub fn prefetch(&self, id: NodeId) {
        let start = id.0.as_ptr().cast_const();
        (0..LEAF_KEYS * size_of::<f64>() / 64 + 1)
            .for_each(|line| alloc::prefetch(start.wrapping_add(line * 64)));
    }
}
