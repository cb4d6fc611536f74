//! The layout of one entry in memory: header, expiry, key and value in one allocation.
//! Here: the drawing, the header, how a value is stored. `entry_ref` reads entries, `entry` makes
//! and changes them. Safe code: nothing here touches memory.
//! ```text
//!  0         4           8        12             12 or 20    + key_len
//!  ┌─────────┬───────────┬────────┬──────────────┬───────────┬─────────────────────────────┐
//!  │ key_len │ value_len │ meta   │ expiry, ms   │ key bytes │ stored: an i64, the bytes,  │
//!  │ u32     │ u32       │ u32    │ i64, if any  │           │ or the address of a buffer  │
//!  └─────────┴───────────┴────────┴──────────────┴───────────┴─────────────────────────────┘
//!  meta: 31..8 last access, unix seconds mod 2^24 │ 7..4 kind │ 3 has expiry │ 2..0 encoding
//! ```
//! Twelve bytes of header and no alignment of what follows: a 16-byte key with a 64-byte value
//! takes 92 bytes, which is mimalloc's class of 96; eight more would be the next class. An expiry
//! costs its eight bytes only where there is one. Rejected: lengths as varints (saves 4 bytes, a
//! class only for few sizes, for a branch on every access). A value above [`INLINE_BYTES_MAX`] has
//! a buffer of its own, so that renaming, expiring or growing does not copy it; the buffer's
//! capacity is what its size class holds, so nothing records it. A packed collection is bytes like a
//! string's; a large one is an address at the same place (`large`).

use super::integer::{INT_TEXT_BYTES_MAX, parse_i64};
use super::{Kind, NewValue};

pub(super) const HEADER_BYTES: usize = 12;
pub(super) const EXPIRY_BYTES: usize = 8;
/// Bytes of a stored integer and of a stored buffer address.
pub(super) const WORD_BYTES: usize = 8;
/// Longest value that stands in the entry itself.
pub const INLINE_BYTES_MAX: usize = 1024;
/// Longest string that Redis calls `embstr`.
pub const EMBSTR_BYTES_MAX: usize = 44;

const ENCODING_MASK: u32 = 0b111;
pub(super) const HAS_EXPIRY: u32 = 1 << 3;
/// Four bits for [`Kind`].
const KIND_SHIFT: u32 = 4;
const KIND_MASK: u32 = 0b1111 << KIND_SHIFT;
pub(super) const ACCESS_SHIFT: u32 = 8;
pub(super) const ACCESS_MASK: u32 = (1 << 24) - 1;

/// How the value is stored. `Inline` and `Raw` differ only in the name that OBJECT ENCODING gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Encoding {
    /// An `i64`.
    Int = 0,
    /// Bytes in the entry, never changed in place: `embstr` up to 44 bytes, else `raw`.
    Inline = 1,
    /// Bytes in the entry that a command changed in place: `raw`.
    Raw = 2,
    /// Bytes in a buffer of their own: `raw`.
    Boxed = 3,
    /// A collection outside the entry: the address of a [`super::large::Large`].
    Large = 4,
}

/// A value on its way into an entry.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Int(i64),
    Inline(&'a [u8]),
    /// Inline bytes that commands change in place.
    Packed(&'a [u8]),
    Boxed(&'a [u8]),
}

impl<'a> Payload<'a> {
    pub fn of(value: NewValue<'a>) -> Self {
        match value {
            NewValue::Int(value) => Self::Int(value),
            NewValue::Packed(_, bytes) if bytes.len() > INLINE_BYTES_MAX => Self::Boxed(bytes),
            NewValue::Packed(_, bytes) => Self::Packed(bytes),
            NewValue::Bytes(bytes) if bytes.len() > INLINE_BYTES_MAX => Self::Boxed(bytes),
            NewValue::Bytes(bytes) if bytes.len() > INT_TEXT_BYTES_MAX => Self::Inline(bytes),
            NewValue::Bytes(bytes) => parse_i64(bytes).map_or(Self::Inline(bytes), Self::Int),
        }
    }

    pub fn encoding(self) -> Encoding {
        match self {
            Self::Int(_) => Encoding::Int,
            Self::Inline(_) => Encoding::Inline,
            Self::Packed(_) => Encoding::Raw,
            Self::Boxed(_) => Encoding::Boxed,
        }
    }

    pub fn value_len(self) -> usize {
        match self {
            Self::Int(_) => WORD_BYTES,
            Self::Inline(bytes) | Self::Packed(bytes) | Self::Boxed(bytes) => bytes.len(),
        }
    }

    pub fn stored_bytes(self) -> usize {
        match self {
            Self::Int(_) | Self::Boxed(_) => WORD_BYTES,
            Self::Inline(bytes) | Self::Packed(bytes) => bytes.len(),
        }
    }
}

/// The fixed part of an entry, as it is read and written at once.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Header {
    pub key_len: u32,
    pub value_len: u32,
    pub meta: u32,
}

impl Header {
    pub fn encoding(self) -> Encoding {
        match self.meta & ENCODING_MASK {
            0 => Encoding::Int,
            1 => Encoding::Inline,
            2 => Encoding::Raw,
            3 => Encoding::Boxed,
            _ => Encoding::Large,
        }
    }

    pub fn kind(self) -> Kind {
        Kind::of_bits((self.meta & KIND_MASK) >> KIND_SHIFT)
    }

    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.meta = self.meta & !ENCODING_MASK | encoding as u32;
    }

    pub fn set_kind(&mut self, kind: Kind) {
        self.meta = self.meta & !KIND_MASK | (kind as u32) << KIND_SHIFT;
    }

    pub fn has_expiry(self) -> bool {
        self.meta & HAS_EXPIRY != 0
    }

    pub fn key_offset(self) -> usize {
        HEADER_BYTES + if self.has_expiry() { EXPIRY_BYTES } else { 0 }
    }

    pub fn stored_offset(self) -> usize {
        self.key_offset() + self.key_len as usize
    }

    pub fn stored_bytes(self) -> usize {
        match self.encoding() {
            Encoding::Int | Encoding::Boxed | Encoding::Large => WORD_BYTES,
            Encoding::Inline | Encoding::Raw => self.value_len as usize,
        }
    }
}

/// A length as the header holds it. Doors bound keys and values (`limits`), so a longer one is a
/// bug.
pub(super) fn length_u32(len: usize) -> u32 {
    assert!(
        len <= crate::limits::BULK_BYTES_MAX,
        "a key or value of {len} bytes passed the limits"
    );
    len as u32
}

pub(super) fn meta_of(
    kind: Kind,
    encoding: Encoding,
    has_expiry: bool,
    access_seconds: u32,
) -> u32 {
    let kind = (kind as u32) << KIND_SHIFT;
    let expiry = if has_expiry { HAS_EXPIRY } else { 0 };
    (access_seconds & ACCESS_MASK) << ACCESS_SHIFT | kind | expiry | encoding as u32
}

/// The access clock: unix seconds mod 2^24.
pub(crate) fn access_of(now_ms: i64) -> u32 {
    (now_ms.max(0) / 1000) as u32 & ACCESS_MASK
}
