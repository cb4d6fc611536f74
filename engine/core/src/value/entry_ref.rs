//! Reading an entry: key, value, expiry, and what OBJECT and MEMORY tell about it. Allocates
//! nothing (the fork child reads entries, I1). The layout is drawn in `layout`; `entry` owns and
//! changes. Invariant: an [`EntryRef`] borrows the table, so what it points at is whole and does
//! not change.
#![allow(unsafe_code)] // raw layout; what leaves this file is bounded by lifetimes

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::integer::IntText;
use super::intset::Intset;
use super::large::Large;
use super::layout::{
    ACCESS_MASK, ACCESS_SHIFT, EMBSTR_BYTES_MAX, Encoding, HEADER_BYTES, Header, access_of,
};
use super::listpack::Listpack;
use super::{HashRef, Kind, ListRef, SetRef, Text, Type, ValueRef, ZSetRef};
use crate::alloc;
use crate::table::Table;

/// A key with its value, borrowed from the table.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    start: NonNull<u8>,
    table: PhantomData<&'a [u8]>,
}

// SAFETY: an `EntryRef` is a shared borrow of plain bytes; nothing behind it changes while it
// lives.
unsafe impl Send for EntryRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for EntryRef<'_> {}

impl<'a> EntryRef<'a> {
    /// The entry at an address that [`Entry::into_address`] gave.
    ///
    /// # Safety
    /// The entry is not freed or changed for the lifetime `'a`.
    #[inline]
    pub(crate) unsafe fn from_address(address: usize) -> Self {
        let start = ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: the address came from a `NonNull`.
        Self { start: unsafe { NonNull::new_unchecked(start) }, table: PhantomData }
    }

    /// The entry that starts at a live block.
    #[inline]
    pub(super) fn from_start(start: NonNull<u8>) -> Self {
        Self { start, table: PhantomData }
    }

    #[inline]
    pub(super) fn header(self) -> Header {
        // SAFETY: every entry begins with an initialised header, 8-aligned by the allocator.
        unsafe { self.start.cast::<Header>().read() }
    }

    #[inline]
    pub(super) fn bytes(self, offset: usize, len: usize) -> &'a [u8] {
        // SAFETY: callers pass parts that the header says are there; entries are written whole
        // before they are shared.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), len) }
    }

    #[inline]
    fn word(self, offset: usize) -> u64 {
        // SAFETY: as `bytes`; the word may stand at any alignment.
        unsafe { self.start.as_ptr().add(offset).cast::<u64>().read_unaligned() }
    }

    /// The buffer of a `Boxed` value.
    #[inline]
    pub(super) fn buffer(self, header: Header) -> NonNull<u8> {
        let address = self.word(header.stored_offset()) as usize;
        // SAFETY: a `Boxed` entry stores the exposed address of a live block, never null.
        unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(address)) }
    }

    /// Where the entry is, for [`EntryRef::from_address`].
    #[inline]
    pub(crate) fn address(self) -> usize {
        self.start.as_ptr().expose_provenance()
    }

    /// The key's bytes.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let header = self.header();
        self.bytes(header.key_offset(), header.key_len as usize)
    }

    /// The value.
    #[inline]
    pub fn value(self) -> ValueRef<'a> {
        let header = self.header();
        if header.kind() == Kind::String {
            return match header.encoding() {
                Encoding::Int => ValueRef::Int(self.word(header.stored_offset()) as i64),
                _ => ValueRef::Bytes(self.stored_text()),
            };
        }
        self.collection(header)
    }

    fn collection(self, header: Header) -> ValueRef<'a> {
        let large = self.large();
        match header.kind() {
            Kind::List => ValueRef::List(match large.and_then(Large::list) {
                Some(list) => ListRef::Large(list),
                None => ListRef::Packed(Listpack::new(self.stored_text())),
            }),
            Kind::Set => ValueRef::Set(match large.and_then(Large::table) {
                Some(table) => SetRef::Large(table),
                None => SetRef::Packed(Listpack::new(self.stored_text())),
            }),
            Kind::IntSet => ValueRef::Set(SetRef::Ints(Intset::new(self.stored_text()))),
            Kind::ZSet => ValueRef::ZSet(match large.and_then(Large::sorted) {
                Some(sorted) => ZSetRef::Large(sorted),
                None => ZSetRef::Packed(Listpack::new(self.stored_text())),
            }),
            Kind::Hash => ValueRef::Hash(match large.and_then(Large::table) {
                Some(table) => HashRef::Large(table),
                None => HashRef::Packed(Listpack::new(self.stored_text())),
            }),
            Kind::String => ValueRef::Bytes(self.stored_text()),
        }
    }

    /// The type, without touching the value.
    #[inline]
    pub fn type_of(self) -> Type {
        self.header().kind().type_of()
    }

    /// What the stored bytes are.
    pub(crate) fn kind(self) -> Kind {
        self.header().kind()
    }

    /// The string's text: an integer is written out. Only for strings.
    #[inline]
    pub(crate) fn text(self) -> Text<'a> {
        let header = self.header();
        match header.encoding() {
            Encoding::Int => Text::Digits(IntText::new(self.word(header.stored_offset()) as i64)),
            _ => Text::Borrowed(self.stored_text()),
        }
    }

    /// The stored bytes of a string or a packed collection; none of an integer or a large one.
    #[inline]
    pub(crate) fn stored_text(self) -> &'a [u8] {
        let header = self.header();
        match header.encoding() {
            Encoding::Int | Encoding::Large => &[],
            Encoding::Inline | Encoding::Raw => {
                self.bytes(header.stored_offset(), header.value_len as usize)
            }
            Encoding::Boxed => {
                let buffer = self.buffer(header);
                // SAFETY: the buffer holds `value_len` initialised bytes and lives as long as the
                // entry.
                unsafe { std::slice::from_raw_parts(buffer.as_ptr(), header.value_len as usize) }
            }
        }
    }

    /// The stored word that names a collection outside.
    pub(super) fn large_word(self) -> Option<u64> {
        let header = self.header();
        (header.encoding() == Encoding::Large).then(|| self.word(header.stored_offset()))
    }

    /// The collection outside, if that is what the entry holds.
    #[inline]
    pub(crate) fn large(self) -> Option<&'a Large> {
        // SAFETY: the entry owns the collection that the word names; both live as long as the
        // borrow of the table.
        self.large_word().map(|word| unsafe { Large::of_word(word) })
    }

    /// The table in which a large collection looks its members up.
    #[inline]
    pub(crate) fn members(self) -> Option<&'a Table> {
        self.large().and_then(Large::members)
    }

    /// The first broken rule of a large collection, if any.
    pub(crate) fn check_value(self) -> Result<(), String> {
        self.large().map_or(Ok(()), Large::check_invariants)
    }

    /// Unix ms at which the key ends, if it does.
    #[inline]
    pub fn expire_at_ms(self) -> Option<i64> {
        self.header().has_expiry().then(|| self.word(HEADER_BYTES) as i64)
    }

    /// Whether the key has ended at `now_ms`. As in Redis the instant itself is not past: `now >
    /// at`.
    #[inline]
    pub fn is_expired(self, now_ms: i64) -> bool {
        self.expire_at_ms().is_some_and(|at| now_ms > at)
    }

    /// Bytes of memory of this entry, allocator slack included (MEMORY USAGE).
    pub fn memory_bytes(self) -> usize {
        let header = self.header();
        // SAFETY: the entry is a live block of the seam.
        let own = unsafe { alloc::usable_bytes(self.start) };
        match header.encoding() {
            // SAFETY: so is its buffer.
            Encoding::Boxed => own + unsafe { alloc::usable_bytes(self.buffer(header)) },
            _ => own + self.large().map_or(0, Large::charged_bytes),
        }
    }

    /// Redis 7.0's name of the encoding (OBJECT ENCODING).
    pub fn encoding(self) -> &'static str {
        let header = self.header();
        match (self.value(), header.encoding()) {
            (ValueRef::List(list), _) => list.encoding(),
            (ValueRef::Set(set), _) => set.encoding(),
            (ValueRef::ZSet(zset), _) => zset.encoding(),
            (ValueRef::Hash(hash), _) => hash.encoding(),
            (_, Encoding::Int) => "int",
            (_, Encoding::Inline) if header.value_len as usize <= EMBSTR_BYTES_MAX => "embstr",
            _ => "raw",
        }
    }

    /// The access clock of the last access.
    pub(super) fn access_seconds(self) -> u32 {
        self.header().meta >> ACCESS_SHIFT
    }

    /// Seconds since the last access (OBJECT IDLETIME). The clock has 24 bits: it wraps after 194
    /// days.
    pub fn idle_seconds(self, now_ms: i64) -> u64 {
        u64::from(access_of(now_ms).wrapping_sub(self.access_seconds()) & ACCESS_MASK)
    }
}
