//! Making, changing and freeing entries (drawn in `layout`, read by `entry_ref`).
//! Not here: where entries are kept (`keyspace::stripe`), what commands do to strings (`string`).
//! Invariant: an [`Entry`] is owned by exactly one slot, and freed with the ledger that counted it.
#![allow(unsafe_code)] // raw layout; what leaves this file is bounded by lifetimes

use std::ptr::{self, NonNull};

use super::entry_ref::EntryRef;
use super::large::Large;
use super::layout::{
    ACCESS_MASK, ACCESS_SHIFT, Encoding, HAS_EXPIRY, HEADER_BYTES, Header, INLINE_BYTES_MAX,
    Payload, WORD_BYTES, length_u32, meta_of,
};
use super::{Kind, NewValue};
use crate::alloc::{self, Ledger};

/// Blocks of collections that shrank to less than a quarter are made smaller, down to this.
const SHRINKABLE_BYTES_MIN: usize = 256;

/// Whether so few bytes are left in a block that it is worth moving them to a smaller one.
fn is_mostly_unused(used: usize, usable: usize) -> bool {
    usable > SHRINKABLE_BYTES_MIN && used < usable / 4
}

/// An exactly sized buffer with a copy of `bytes`.
fn new_buffer(bytes: &[u8], ledger: &mut Ledger) -> NonNull<u8> {
    let buffer = ledger.allocate(bytes.len());
    // SAFETY: a fresh block of at least that length cannot overlap what the caller borrows.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.as_ptr(), bytes.len()) };
    buffer
}

/// An owned entry. Has no `Drop`: the owner calls [`Entry::free`] with the ledger that counted it.
#[derive(Debug)]
pub(crate) struct Entry(NonNull<u8>);

impl Entry {
    /// A new entry.
    pub fn new(
        key: &[u8],
        value: NewValue<'_>,
        expire_at_ms: Option<i64>,
        access_seconds: u32,
        ledger: &mut Ledger,
    ) -> Self {
        let payload = Payload::of(value);
        let has_expiry = expire_at_ms.is_some();
        let meta = meta_of(value.kind(), payload.encoding(), has_expiry, access_seconds);
        let (key_len, value_len) = (length_u32(key.len()), length_u32(payload.value_len()));
        let header = Header { key_len, value_len, meta };
        let entry = Self(ledger.allocate(header.stored_offset() + payload.stored_bytes()));
        // SAFETY: the block has room for the four parts in the order of the drawing.
        unsafe {
            entry.put_front(header, expire_at_ms);
            entry.put_bytes(header.key_offset(), key);
            entry.put_payload(header.stored_offset(), payload, ledger);
        }
        entry
    }

    /// The entry at an address that [`Entry::into_address`] gave.
    ///
    /// # Safety
    /// The caller owns the entry (takes it out of its slot), and no [`EntryRef`] to it lives.
    pub unsafe fn from_address(address: usize) -> Self {
        // SAFETY: the address came from a `NonNull`.
        Self(unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(address)) })
    }

    /// Give the entry away as an address (8-aligned, below 2^48).
    pub fn into_address(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    /// Borrow.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef::from_start(self.0)
    }

    /// Copy with another key (COPY): value, encoding, expiry and access time are the same.
    pub fn copy_of(from: EntryRef<'_>, key: &[u8], ledger: &mut Ledger) -> Self {
        let header = from.header();
        let copy = Self::rekeyed(from, key, ledger);
        let at = copy.header().stored_offset();
        match from.large() {
            // SAFETY: the copy stores a word there, which so far names the original's collection.
            Some(large) => unsafe { copy.put_word(at, large.duplicate(ledger).into_word()) },
            None if header.encoding() == Encoding::Boxed => {
                let buffer = new_buffer(from.stored_text(), ledger);
                // SAFETY: the same with the original's buffer.
                unsafe { copy.put_buffer(at, buffer) };
            }
            None => {}
        }
        copy
    }

    /// Free the entry with its buffer or collection.
    pub fn free(self, ledger: &mut Ledger) {
        self.free_outside(ledger);
        // SAFETY: `self` owns the block and ends here.
        unsafe { ledger.free(self.0) };
    }

    /// Note the last access. Writes only when the second has changed: a written page is copied
    /// while a child runs.
    pub fn set_access(&mut self, access_seconds: u32) {
        let mut header = self.header();
        if header.meta >> ACCESS_SHIFT != access_seconds & ACCESS_MASK {
            let low = header.meta & ((1 << ACCESS_SHIFT) - 1);
            header.meta = (access_seconds & ACCESS_MASK) << ACCESS_SHIFT | low;
            self.set_header(header);
        }
    }

    /// Change a stored integer. The entry does not move; one that stores something else stays as it
    /// is.
    #[inline]
    pub fn set_int(&mut self, value: i64) {
        let header = self.header();
        if header.encoding() == Encoding::Int {
            // SAFETY: an `Int` entry stores a word there; `&mut self` excludes every reader.
            unsafe { self.put_word(header.stored_offset(), value as u64) };
        }
    }

    /// Replace value and expiry, in place where the block's size allows.
    pub fn with_value(
        self,
        value: NewValue<'_>,
        expire_at_ms: Option<i64>,
        access_seconds: u32,
        ledger: &mut Ledger,
    ) -> Self {
        let payload = Payload::of(value);
        let old = self.header();
        let has_expiry = expire_at_ms.is_some();
        let meta = meta_of(value.kind(), payload.encoding(), has_expiry, access_seconds);
        let header =
            Header { key_len: old.key_len, value_len: length_u32(payload.value_len()), meta };
        let size = header.stored_offset() + payload.stored_bytes();
        // Asking for the block's size costs a cache line; the same size fits as well as before.
        let old_size = old.stored_offset() + old.stored_bytes();
        let is_alike = size == old_size && old.encoding() != Encoding::Raw;
        if !is_alike && !self.is_snug(size) {
            let made = Self::new(self.as_ref().key(), value, expire_at_ms, access_seconds, ledger);
            self.free(ledger);
            return made;
        }
        self.free_outside(ledger);
        // SAFETY: `is_snug` says that the block has room. The key moves first, before the front may
        // grow over it.
        unsafe {
            self.shift(old.key_offset(), header.key_offset(), old.key_len as usize);
            self.put_front(header, expire_at_ms);
            self.put_payload(header.stored_offset(), payload, ledger);
        }
        self
    }

    /// Replace the expiry, in place where the block's size allows.
    pub fn with_expiry(self, expire_at_ms: Option<i64>, ledger: &mut Ledger) -> Self {
        let old = self.header();
        let mut header = old;
        header.meta &= !HAS_EXPIRY;
        header.meta |= if expire_at_ms.is_some() { HAS_EXPIRY } else { 0 };
        let tail_bytes = old.key_len as usize + old.stored_bytes();
        let size = header.key_offset() + tail_bytes;
        let entry = if self.is_snug(size) {
            // SAFETY: there is room for the tail at its new place.
            unsafe { self.shift(old.key_offset(), header.key_offset(), tail_bytes) };
            self
        } else {
            let made = Self(ledger.allocate(size));
            // SAFETY: a fresh block of that size; the tail (with a buffer's address, if any) moves
            // over as it is.
            unsafe {
                made.put_bytes(
                    header.key_offset(),
                    self.as_ref().bytes(old.key_offset(), tail_bytes),
                );
                ledger.free(self.0);
            }
            made
        };
        // SAFETY: the front was made room for above.
        unsafe { entry.put_front(header, expire_at_ms) };
        entry
    }

    /// Change the key; a buffer changes its entry without being copied.
    pub fn with_key(self, key: &[u8], ledger: &mut Ledger) -> Self {
        let made = Self::rekeyed(self.as_ref(), key, ledger);
        // SAFETY: the new entry owns the buffer now, so only the old block goes.
        unsafe { ledger.free(self.0) };
        made
    }

    /// Make the value raw bytes of length `len`, keeping what was there and zeroing what is new.
    /// Growing an already raw string leaves room for half as much again, so that APPEND costs
    /// amortised constant time; a packed collection, which is short, an eighth. One that shrank far
    /// gives its memory back.
    pub fn into_raw(self, len: usize, ledger: &mut Ledger) -> Self {
        let header = self.header();
        let capacity = match (header.encoding(), header.kind()) {
            (Encoding::Raw | Encoding::Boxed, Kind::String) => len + len / 2,
            (Encoding::Raw | Encoding::Boxed, _) => len + len / 8,
            _ => len,
        };
        if header.encoding() == Encoding::Boxed {
            self.resize_buffer(len, capacity, ledger);
            return self;
        }
        if len > INLINE_BYTES_MAX {
            return self.into_boxed(len, capacity, ledger);
        }
        self.into_raw_inline(len, capacity.min(INLINE_BYTES_MAX), ledger)
    }

    /// The bytes of a value that [`Entry::into_raw`] made.
    pub fn raw_bytes_mut(&mut self) -> &mut [u8] {
        let header = self.header();
        let start = match header.encoding() {
            Encoding::Int | Encoding::Large => return &mut [],
            Encoding::Inline | Encoding::Raw => {
                // SAFETY: the stored bytes lie inside the block.
                unsafe { self.0.add(header.stored_offset()) }
            }
            Encoding::Boxed => self.as_ref().buffer(header),
        };
        // SAFETY: `value_len` initialised bytes start there, and `&mut self` excludes every other
        // access.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), header.value_len as usize) }
    }

    fn resize_buffer(&self, len: usize, capacity: usize, ledger: &mut Ledger) {
        let mut header = self.header();
        let old_len = header.value_len as usize;
        let mut buffer = self.as_ref().buffer(header);
        // SAFETY: the buffer is live, counted in this ledger, and stored back at once; the tail
        // lies inside its capacity.
        unsafe {
            let usable = alloc::usable_bytes(buffer);
            if len > usable || is_mostly_unused(len, usable) {
                buffer = ledger.reallocate(buffer, capacity);
                self.put_buffer(header.stored_offset(), buffer);
            }
            if len > old_len {
                buffer.add(old_len).write_bytes(0, len - old_len);
            }
        }
        header.value_len = length_u32(len);
        self.set_header(header);
    }

    fn into_boxed(self, len: usize, capacity: usize, ledger: &mut Ledger) -> Self {
        let text = self.as_ref().text();
        let buffer = ledger.allocate(capacity.max(len));
        let old = self.header();
        let mut header = old;
        header.set_encoding(Encoding::Boxed);
        header.value_len = length_u32(len);
        let made = Self(ledger.allocate(header.stored_offset() + WORD_BYTES));
        // SAFETY: both blocks are fresh and large enough: an inline text is shorter than `len`,
        // which is above the bound.
        unsafe {
            ptr::copy_nonoverlapping(text.as_ptr(), buffer.as_ptr(), text.len());
            buffer.add(text.len()).write_bytes(0, len - text.len());
            made.put_front(header, self.as_ref().expire_at_ms());
            made.put_bytes(header.key_offset(), self.as_ref().key());
            made.put_buffer(header.stored_offset(), buffer);
            ledger.free(self.0);
        }
        made
    }

    fn into_raw_inline(self, len: usize, capacity: usize, ledger: &mut Ledger) -> Self {
        let old = self.header();
        let mut header = old;
        header.set_encoding(Encoding::Raw);
        header.value_len = length_u32(len);
        let at = header.stored_offset();
        let text = self.as_ref().text();
        let text = &text[..text.len().min(len)];
        // SAFETY: the block is a live one of the seam.
        let usable = unsafe { alloc::usable_bytes(self.0) };
        let is_fitting = at + len <= usable && !is_mostly_unused(at + len, usable);
        if is_fitting && old.encoding() != Encoding::Int {
            // SAFETY: the text stays where it is; the block has room for the zeros behind it.
            unsafe { self.0.add(at + text.len()).write_bytes(0, len - text.len()) };
            self.set_header(header);
            return self;
        }
        let made = Self(ledger.allocate(at + capacity.max(len)));
        // SAFETY: a fresh block with room for all parts.
        unsafe {
            made.put_front(header, self.as_ref().expire_at_ms());
            made.put_bytes(header.key_offset(), self.as_ref().key());
            made.put_bytes(at, text);
            made.0.add(at + text.len()).write_bytes(0, len - text.len());
            ledger.free(self.0);
        }
        made
    }

    /// A new block with another key and the same stored part: a buffer is then named by both.
    fn rekeyed(from: EntryRef<'_>, key: &[u8], ledger: &mut Ledger) -> Self {
        let old = from.header();
        let header = Header { key_len: length_u32(key.len()), ..old };
        let made = Self(ledger.allocate(header.stored_offset() + header.stored_bytes()));
        // SAFETY: a fresh block with room for all parts.
        unsafe {
            made.put_front(header, from.expire_at_ms());
            made.put_bytes(header.key_offset(), key);
            made.put_bytes(
                header.stored_offset(),
                from.bytes(old.stored_offset(), old.stored_bytes()),
            );
        }
        made
    }

    /// Whether `size` bytes fit the block without wasting more than about a fifth of it.
    fn is_snug(&self, size: usize) -> bool {
        // SAFETY: `self` owns a live block.
        let usable = unsafe { alloc::usable_bytes(self.0) };
        size <= usable && size + size / 4 + 16 >= usable
    }

    /// Put a collection outside in the place of the stored bytes; key and expiry stay.
    pub fn into_large(self, kind: Kind, large: Box<Large>, ledger: &mut Ledger) -> Self {
        let old = self.header();
        let mut header = old;
        header.set_encoding(Encoding::Large);
        header.set_kind(kind);
        header.value_len = WORD_BYTES as u32;
        let made = Self(ledger.allocate(header.stored_offset() + WORD_BYTES));
        // SAFETY: a fresh block with room for all parts.
        unsafe {
            made.put_front(header, self.as_ref().expire_at_ms());
            made.put_bytes(header.key_offset(), self.as_ref().key());
            made.put_word(header.stored_offset(), large.into_word());
        }
        self.free(ledger);
        made
    }

    /// The collection outside, if that is what the entry holds.
    pub fn large_mut(&mut self) -> Option<&mut Large> {
        let word = self.as_ref().large_word()?;
        // SAFETY: the entry owns the collection that the word names, and is borrowed exclusively.
        Some(unsafe { Large::of_word_mut(word) })
    }

    /// A second handle to the entry, for a caller that stores what it makes of it over this one.
    pub fn take_out(&mut self) -> Self {
        Self(self.0)
    }

    fn free_outside(&self, ledger: &mut Ledger) {
        let header = self.header();
        if header.encoding() == Encoding::Boxed {
            // SAFETY: the entry owns its buffer; callers drop or overwrite the stored address next.
            unsafe { ledger.free(self.as_ref().buffer(header)) };
        } else if let Some(word) = self.as_ref().large_word() {
            // SAFETY: the entry owns the collection; as above.
            unsafe { Large::from_word(word) }.free(ledger);
        }
    }

    fn header(&self) -> Header {
        self.as_ref().header()
    }

    fn set_header(&self, header: Header) {
        // SAFETY: `self` owns the block; only callers that own it exclusively get here.
        unsafe { self.0.cast::<Header>().write(header) };
    }

    /// # Safety
    /// The block has room for the header and, if there is one, the expiry; the key does not stand
    /// there.
    unsafe fn put_front(&self, header: Header, expire_at_ms: Option<i64>) {
        self.set_header(header);
        if let Some(at) = expire_at_ms {
            // SAFETY: the caller's promise.
            unsafe { self.0.as_ptr().add(HEADER_BYTES).cast::<i64>().write_unaligned(at) };
        }
    }

    /// # Safety
    /// The block has room for `bytes` at `offset`, and `bytes` is not part of the block.
    unsafe fn put_bytes(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: the caller's promise.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(offset), bytes.len());
        }
    }

    /// # Safety
    /// The block has room for a word at `offset`.
    unsafe fn put_buffer(&self, offset: usize, buffer: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.put_word(offset, buffer.as_ptr().expose_provenance() as u64) };
    }

    /// # Safety
    /// The block has room for a word at `offset`.
    unsafe fn put_word(&self, offset: usize, word: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_ptr().add(offset).cast::<u64>().write_unaligned(word) };
    }

    /// # Safety
    /// The block has room for the payload's stored form at `offset`.
    unsafe fn put_payload(&self, offset: usize, payload: Payload<'_>, ledger: &mut Ledger) {
        // SAFETY: the caller's promise.
        unsafe {
            match payload {
                Payload::Int(value) => self.put_bytes(offset, &value.to_ne_bytes()),
                Payload::Inline(bytes) | Payload::Packed(bytes) => self.put_bytes(offset, bytes),
                Payload::Boxed(bytes) => self.put_buffer(offset, new_buffer(bytes, ledger)),
            }
        }
    }

    /// # Safety
    /// Both ranges lie in the block.
    unsafe fn shift(&self, from: usize, to: usize, len: usize) {
        if from != to {
            let start = self.0.as_ptr();
            // SAFETY: the caller's promise; the ranges may overlap.
            unsafe { ptr::copy(start.add(from), start.add(to), len) };
        }
    }
}
