//! The zipmap: what Redis before 2.6 packed small hashes in. Read only, like `ziplist`: every byte
//! is checked, then fields and values are walked. Every byte is hostile (I7).
//!
//! ```text
//! <1 byte fields> (<length> <field> <length> <1 byte free> <value> <free bytes>)... FF
//! length   1 byte to FD, or FE and 4 bytes, little-endian
//! ```
//! With 254 fields or more their count is FE or FF and means nothing.

use super::packed::{Checked, Cursor, Damage};
use super::strings::Loaded;

const END: u8 = 0xFF;
const LENGTH_LONG: u8 = 0xFE;
/// Such a count and above mean nothing.
const FIELDS_UNKNOWN: u8 = 254;

/// A zipmap that was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zipmap<'a> {
    blob: &'a [u8],
    fields: usize,
}

impl<'a> Zipmap<'a> {
    /// Look at every byte.
    pub(super) fn check(blob: &'a [u8]) -> Checked<Self> {
        let mut cursor = Cursor::new(blob, 0);
        let claimed = cursor.byte()?;
        let mut fields = 0;
        while cursor.peek()? != END {
            pair(&mut cursor)?;
            fields += 1;
        }
        if cursor.offset() + 1 != blob.len() {
            return Err(cursor.damage("it ends before its last byte"));
        }
        if claimed < FIELDS_UNKNOWN && usize::from(claimed) != fields {
            return Err(Damage { offset: 0, reason: "its count is not that of its fields" });
        }
        Ok(Self { blob, fields })
    }

    /// Fields, which is half of its elements.
    pub(super) fn fields(&self) -> usize {
        self.fields
    }

    /// Field, value, field, value ...
    pub(super) fn iter(&self) -> Iter<'a> {
        Iter { cursor: Cursor::new(self.blob, 1), value: None }
    }
}

/// The elements of a zipmap that was checked.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a> {
    cursor: Cursor<'a>,
    /// Of the field that was given last.
    value: Option<&'a [u8]>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Loaded<'a>;

    fn next(&mut self) -> Option<Loaded<'a>> {
        if let Some(value) = self.value.take() {
            return Some(Loaded::Bytes(value));
        }
        if self.cursor.peek().ok()? == END {
            return None;
        }
        let (field, value) = pair(&mut self.cursor).ok()?;
        self.value = Some(value);
        Some(Loaded::Bytes(field))
    }
}

fn pair<'a>(cursor: &mut Cursor<'a>) -> Checked<(&'a [u8], &'a [u8])> {
    let size = length(cursor)?;
    let field = cursor.take(size)?;
    let size = length(cursor)?;
    let free = cursor.byte()?;
    let value = cursor.take(size)?;
    cursor.take(usize::from(free))?;
    Ok((field, value))
}

fn length(cursor: &mut Cursor<'_>) -> Checked<usize> {
    let at = *cursor;
    Ok(match cursor.byte()? {
        LENGTH_LONG => u32::from_le_bytes(cursor.array()?) as usize,
        END => return Err(at.damage("a field without a value")),
        size => usize::from(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let long = [&[0xFE, 254, 0, 0, 0, 0], [b'x'; 254].as_slice()].concat();
        [b"\x03\x03foo\x03\x00bar\x05hello\x05\x02world..\x00".as_slice(), &long, &[END]].concat()
    }

    #[test]
    fn fields_and_values_are_read_past_free_bytes() {
        let blob = sample();
        let map = Zipmap::check(&blob).expect("sound");
        let texts: Vec<Vec<u8>> = (map.iter())
            .map(|element| super::super::packed::with_text(element, <[u8]>::to_vec))
            .collect();
        let long = [b'x'; 254];
        let expected: [&[u8]; 6] = [b"foo", b"bar", b"hello", b"world", b"", &long];
        assert_eq!((texts, map.fields()), (expected.map(<[u8]>::to_vec).to_vec(), 3));
        assert_eq!(Zipmap::check(&[0, END]).expect("sound").fields(), 0);
        assert_eq!(Zipmap::check(b"\xFE\x01a\x01\x00b\xFF").expect("sound").fields(), 1);
    }

    #[test]
    fn any_cut_is_refused_and_any_flip_ends() {
        let blob = sample();
        for size in 0..blob.len() {
            assert!(Zipmap::check(&blob[..size]).is_err(), "cut at {size}");
        }
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut flipped = blob.clone();
                flipped[at] ^= 1 << bit;
                let Ok(map) = Zipmap::check(&flipped) else { continue };
                assert_eq!(map.iter().count(), map.fields() * 2, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn lies_are_named_with_their_place() {
        let damage = |blob: &[u8]| Zipmap::check(blob).expect_err("refused");
        assert_eq!(damage(b"\x02\x01a\x01\x00b\xFF").offset, 0, "a wrong count");
        assert_eq!(damage(b"\x01\x01a\xFF").reason, "a field without a value");
        assert_eq!(damage(b"\x00\xFF\x00").offset, 1, "bytes behind the end");
        let huge = b"\x01\xFE\xFF\xFF\xFF\xFFa\xFF";
        assert_eq!(damage(huge).reason, "an element reaches past the end");
    }
}
