//! The format of one element of a listpack, both ways. Integers are kept in the shortest form:
//!
//! ```text
//! 0xxxxxxx                       integer 0..127              10xxxxxx data          0..63 bytes
//! 110xxxxx y                     -4096..4095, high bits x    1110xxxx y data        up to 4095
//! 0xF1..0xF4, 2 3 4 or 8 LE      integer                     0xF0, u32 LE, data     longer
//! ```
//! After it the length of that, 7 bits a byte, most significant first, the top bit set in all bytes
//! but the first: a walk backwards reads it from its end. Invariant (I7): no read past the bytes.

use super::Element;
use crate::value::integer::parse_i64;

/// The byte after the last element.
pub(super) const END: u8 = 0xFF;

const STRING_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// Longest encoding of an integer.
const HEAD_BYTES_MAX: usize = 9;
/// Longest form of a length at an element's end.
const BACKLEN_BYTES_MAX: usize = 5;

/// The element at `at` and the offset after it. `None` at the end, and where the bytes make no
/// sense.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let rest = bytes.get(at..)?;
    let (&first, tail) = rest.split_first()?;
    let (element, len) = match first {
        0..=0x7F => (Element::Int(i64::from(first)), 1),
        0x80..=0xBF => {
            let len = usize::from(first & 0x3F);
            (Element::Bytes(tail.get(..len)?), 1 + len)
        }
        0xC0..=0xDF => {
            let raw = i64::from(first & 0x1F) << 8 | i64::from(*tail.first()?);
            (Element::Int(if raw < 1 << 12 { raw } else { raw - (1 << 13) }), 2)
        }
        0xE0..=0xEF => {
            let len = usize::from(first & 0x0F) << 8 | usize::from(*tail.first()?);
            (Element::Bytes(tail.get(1..1 + len)?), 2 + len)
        }
        STRING_32 => {
            let len = u32::from_le_bytes(*tail.first_chunk()?) as usize;
            (Element::Bytes(tail.get(4..4 + len)?), 5 + len)
        }
        INT_16 => (Element::Int(i64::from(i16::from_le_bytes(*tail.first_chunk()?))), 3),
        INT_24 => {
            let [low, middle, high] = *tail.first_chunk()?;
            // In the upper three bytes, so that the shift back brings the sign along.
            (Element::Int(i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)), 4)
        }
        INT_32 => (Element::Int(i64::from(i32::from_le_bytes(*tail.first_chunk()?))), 5),
        INT_64 => (Element::Int(i64::from_le_bytes(*tail.first_chunk()?)), 9),
        _ => return None,
    };
    Some((element, at + len + backlen_bytes(len)))
}

/// Bytes that the element at `at` takes, without looking at its data. `None` at the end.
#[inline]
pub(super) fn entry_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let (&first, tail) = rest.split_first()?;
    let len = match first {
        0..=0x7F => 1,
        0x80..=0xBF => 1 + usize::from(first & 0x3F),
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 2 + (usize::from(first & 0x0F) << 8 | usize::from(*tail.first()?)),
        STRING_32 => 5 + u32::from_le_bytes(*tail.first_chunk()?) as usize,
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    };
    Some(len + backlen_bytes(len))
}

/// Bytes that the length `len` takes at an element's end. The bounds are one short of what the bits
/// could hold: Redis computes them so, and must find the next element where we put it.
#[inline]
pub(super) fn backlen_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The length of the element that ends at `end`, its own length not counted.
#[inline]
pub(super) fn backlen_before(bytes: &[u8], end: usize) -> Option<usize> {
    let mut len = 0;
    for step in 0..BACKLEN_BYTES_MAX.min(end) {
        let byte = *bytes.get(end - 1 - step)?;
        len |= usize::from(byte & 0x7F) << (7 * step);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// An element on its way into a listpack: encoding and length on the stack, data borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    head: [u8; HEAD_BYTES_MAX],
    head_len: u8,
    data: &'a [u8],
    backlen: [u8; BACKLEN_BYTES_MAX],
    backlen_len: u8,
}

impl<'a> Encoded<'a> {
    /// Encode a text: as an integer if it is the canonical form of one.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        match parse_i64(text) {
            Some(value) => Self::int(value),
            None => Self::string(text),
        }
    }

    /// Encode an element as it was read from another listpack.
    pub fn element(element: Element<'a>) -> Self {
        match element {
            Element::Int(value) => Self::int(value),
            Element::Bytes(bytes) => Self::string(bytes),
        }
    }

    /// Encode an integer, in the shortest form.
    pub fn int(value: i64) -> Self {
        let wide = value.to_le_bytes();
        let [b0, b1, b2, b3, ..] = wide;
        let mut head = [0; HEAD_BYTES_MAX];
        let head_len: u8 = match value {
            0..=127 => {
                head[0] = b0;
                1
            }
            -4096..=4095 => {
                head[..2].copy_from_slice(&[0xC0 | (b1 & 0x1F), b0]);
                2
            }
            -0x8000..=0x7FFF => {
                head[..3].copy_from_slice(&[INT_16, b0, b1]);
                3
            }
            -0x80_0000..=0x7F_FFFF => {
                head[..4].copy_from_slice(&[INT_24, b0, b1, b2]);
                4
            }
            -0x8000_0000..=0x7FFF_FFFF => {
                head[..5].copy_from_slice(&[INT_32, b0, b1, b2, b3]);
                5
            }
            _ => {
                head[0] = INT_64;
                head[1..].copy_from_slice(&wide);
                9
            }
        };
        Self::closed(head, head_len, &[])
    }

    /// Encode as bytes, whatever they are.
    #[inline]
    fn string(bytes: &'a [u8]) -> Self {
        let len = bytes.len() as u32;
        let [b0, b1, b2, b3] = len.to_le_bytes();
        let mut head = [0; HEAD_BYTES_MAX];
        let head_len = match len {
            0..=63 => {
                head[0] = 0x80 | b0;
                1
            }
            64..=4095 => {
                head[..2].copy_from_slice(&[0xE0 | b1, b0]);
                2
            }
            _ => {
                head[..5].copy_from_slice(&[STRING_32, b0, b1, b2, b3]);
                5
            }
        };
        Self::closed(head, head_len, bytes)
    }

    /// Add the length at the end.
    #[inline]
    fn closed(head: [u8; HEAD_BYTES_MAX], head_len: u8, data: &'a [u8]) -> Self {
        let len = usize::from(head_len) + data.len();
        let backlen_len = backlen_bytes(len);
        let mut backlen = [0; BACKLEN_BYTES_MAX];
        for (place, byte) in backlen[..backlen_len].iter_mut().enumerate() {
            let bits = (len >> (7 * (backlen_len - 1 - place))) as u8 & 0x7F;
            *byte = if place == 0 { bits } else { bits | 0x80 };
        }
        Self { head, head_len, data, backlen, backlen_len: backlen_len as u8 }
    }

    /// Bytes that the element takes.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        usize::from(self.head_len) + self.data.len() + usize::from(self.backlen_len)
    }

    /// The element's bytes, in three parts.
    #[inline]
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [
            self.head.get(..usize::from(self.head_len)).unwrap_or_default(),
            self.data,
            self.backlen.get(..usize::from(self.backlen_len)).unwrap_or_default(),
        ]
    }
}

/// Bytes that `element` would take in a listpack.
pub fn encoded_bytes(element: &[u8]) -> usize {
    Encoded::of(element).size_bytes()
}
