//! The memory of one node: a listpack inside a block that may have room on both sides, so that a
//! push or a pop at either end of a list moves the listpack's header and nothing else.
//! Not here: which node an element goes to (`mod`, `edit`), the listpack's format (`listpack`).
//! Invariant: `start + len <= capacity`, and those `len` bytes are initialised.
//!
//! ```text
//! block │ room │ listpack: header, elements, end byte │ room │
//!       0      start                            start + len  capacity
//! ```
#![allow(unsafe_code)] // a block of the allocator seam; what leaves this file is slices

use std::ptr::{self, NonNull};

use crate::alloc::{self, Ledger};
use crate::value::growable::{Growable, copy_parts, parts_bytes};

/// A block is made smaller when less than a quarter of it is used, down to this.
const SHRINKABLE_BYTES_MIN: usize = 256;

/// A node that is full may leave this part of its block unused.
const WASTED_SHARE: usize = 8;

/// The side on which a node is expected to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before the first element.
    Front,
    /// After the last one.
    Back,
}

/// A node. Has no `Drop`: the list frees it with the ledger that counted it.
#[derive(Debug)]
pub(super) struct Node {
    block: NonNull<u8>,
    capacity: u32,
    start: u32,
    len: u32,
    /// Elements, so that a walk by index need not touch the block.
    pub count: u32,
}

// SAFETY: a node owns its block, as a `Vec<u8>` does; mimalloc lets any thread free.
unsafe impl Send for Node {}
// SAFETY: shared access only reads.
unsafe impl Sync for Node {}

impl Node {
    /// A node with a copy of `listpack`, which has `count` elements. The block has room for
    /// `capacity` bytes at least; what is left over lies at `end`.
    pub fn new(
        listpack: &[u8],
        count: usize,
        capacity: usize,
        end: End,
        ledger: &mut Ledger,
    ) -> Self {
        let len = listpack.len();
        let block = ledger.allocate(capacity.max(len));
        // SAFETY: a live block of the seam.
        let capacity = unsafe { alloc::usable_bytes(block) };
        let start = if end == End::Front { capacity - len } else { 0 };
        // SAFETY: the block has room for `start + len` bytes and is not part of the slice.
        unsafe { ptr::copy_nonoverlapping(listpack.as_ptr(), block.as_ptr().add(start), len) };
        Self {
            block,
            capacity: capacity as u32,
            start: start as u32,
            len: len as u32,
            count: count as u32,
        }
    }

    /// The listpack.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the invariant.
        unsafe {
            std::slice::from_raw_parts(
                self.block.as_ptr().add(self.start as usize),
                self.len as usize,
            )
        }
    }

    /// The listpack's size.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.len as usize
    }

    /// Move to a block that fits, if much of this one is not used.
    pub fn trim(&mut self, ledger: &mut Ledger) {
        let unused = (self.capacity - self.len) as usize;
        if unused > self.capacity as usize / WASTED_SHARE
            && alloc::class_bytes(self.size_bytes()) < self.capacity as usize
        {
            let fitting =
                Self::new(self.bytes(), self.count as usize, self.size_bytes(), End::Back, ledger);
            std::mem::replace(self, fitting).free(ledger);
        }
    }

    /// Give the memory back.
    pub fn free(self, ledger: &mut Ledger) {
        // SAFETY: `self` owns the block and ends here.
        unsafe { ledger.free(self.block) };
    }
}

/// A node whose listpack changes. Its count is the caller's to keep.
pub(super) struct NodeMut<'a> {
    pub node: &'a mut Node,
    pub ledger: &'a mut Ledger,
    /// What a node holds at most, unless one element is larger: a block is not made larger than it
    /// in advance.
    pub limit_bytes: usize,
}

/// What a splice does to a listpack: `head` bytes stay in front, `tail` bytes behind, and between
/// them `removed` bytes give way to `added` ones.
#[derive(Clone, Copy)]
struct Cut {
    head: usize,
    removed: usize,
    added: usize,
    tail: usize,
}

impl Cut {
    fn new_len(self) -> usize {
        self.head + self.added + self.tail
    }
}

impl NodeMut<'_> {
    /// Where the listpack is to start: so that the shorter part moves, if there is room on its
    /// side. `None`: it needs another block.
    fn start_for(&self, cut: Cut) -> Option<usize> {
        let (start, capacity) = (self.node.start as usize, self.node.capacity as usize);
        let new_len = cut.new_len();
        let slack = capacity.checked_sub(new_len)?;
        let is_shrinking = cut.added < cut.removed;
        if is_shrinking && new_len < capacity / 4 && capacity > SHRINKABLE_BYTES_MIN {
            return None;
        }
        let is_front_shorter = cut.head < cut.tail;
        let wanted = if is_front_shorter {
            (start + cut.removed).checked_sub(cut.added)
        } else {
            Some(start)
        };
        // No room on that side: put what there is in equal shares on both.
        Some(wanted.filter(|start| *start <= slack).unwrap_or(slack / 2))
    }

    /// Move head and tail apart or together within the block.
    fn shift(&mut self, new_start: usize, cut: Cut) {
        let start = self.node.start as usize;
        let from = start + cut.head + cut.removed;
        let to = new_start + cut.head + cut.added;
        let base = self.node.block.as_ptr();
        // SAFETY: both places of both parts lie inside the block (`start_for`). A tail that goes
        // back leaves the head's way first, one that comes forward waits for the head to leave its
        // own: neither is written over unread.
        unsafe {
            if to >= from {
                shift_part(base, from, to, cut.tail);
                shift_part(base, start, new_start, cut.head);
            } else {
                shift_part(base, start, new_start, cut.head);
                shift_part(base, from, to, cut.tail);
            }
        }
    }

    /// Move head and tail to a block of another size; gives where the listpack starts in it.
    fn reblock(&mut self, cut: Cut) -> usize {
        let new_len = cut.new_len();
        let roomy = (new_len + new_len / 2).min(self.limit_bytes).max(new_len);
        let block = self.ledger.allocate(roomy);
        // SAFETY: a live block of the seam.
        let capacity = unsafe { alloc::usable_bytes(block) };
        let new_start = if cut.head < cut.tail { capacity - new_len } else { 0 };
        let (old, fresh) = (self.node.block.as_ptr(), block.as_ptr());
        let start = self.node.start as usize;
        // SAFETY: the parts lie inside the old block and fit the new one, which is another; the old
        // one is freed once, here.
        unsafe {
            ptr::copy_nonoverlapping(old.add(start), fresh.add(new_start), cut.head);
            let from = old.add(start + cut.head + cut.removed);
            let to = fresh.add(new_start + cut.head + cut.added);
            ptr::copy_nonoverlapping(from, to, cut.tail);
            self.ledger.free(self.node.block);
        }
        self.node.block = block;
        self.node.capacity = capacity as u32;
        new_start
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the invariant, and `&mut self` excludes every other access.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.node.block.as_ptr().add(self.node.start as usize),
                self.node.len as usize,
            )
        }
    }
}

/// Move `len` bytes of a block; the places may overlap.
///
/// # Safety
/// Both places lie inside the block that starts at `base`.
#[inline]
unsafe fn shift_part(base: *mut u8, from: usize, to: usize, len: usize) {
    if from != to {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy(base.add(from), base.add(to), len) };
    }
}

impl Growable for NodeMut<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.node.bytes()
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]) {
        let len = self.node.len as usize;
        let head = at.min(len);
        let removed = removed.min(len - head);
        let cut = Cut { head, removed, added: parts_bytes(inserted), tail: len - head - removed };
        let new_start = match self.start_for(cut) {
            Some(new_start) => {
                self.shift(new_start, cut);
                new_start
            }
            None => self.reblock(cut),
        };
        self.node.start = new_start as u32;
        self.node.len = cut.new_len() as u32;
        let mut to = new_start + head;
        for part in inserted {
            // SAFETY: the parts' lengths add up to `added`, for which there is room now; what is
            // inserted cannot lie in the block, since `&mut self` owns it.
            unsafe {
                let place = self.node.block.as_ptr().add(to);
                ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
            }
            to += part.len();
        }
    }

    #[inline]
    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        copy_parts(self.bytes_mut().get_mut(at..).unwrap_or_default(), &[bytes]);
    }
}
