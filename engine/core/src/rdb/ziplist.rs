//! The ziplist: what Redis before 7.0 packed small lists, hashes and sorted sets in. Read only: a
//! file's ziplist becomes one of our own forms element by element. [`Ziplist::check`] looks at
//! every byte; after it the elements are walked without a doubt left. Every byte is hostile (I7).
//!
//! ```text
//! <4 bytes size> <4 bytes offset of the last entry> <2 bytes entries> <entry>... FF
//! entry   <size of the entry before: 1 byte to FD, or FE and 4 bytes> <kind> <data>
//! kind    00nnnnnn                          a string of n bytes
//!         01nnnnnn nnnnnnnn                 the same with 14 bits, big-endian
//!         10000000 <4 bytes, big-endian>    the same with 32 bits
//!         C0, F0, D0, E0, FE                an integer of 2, 3, 4, 8, 1 bytes, signed
//!         1111nnnn, n from 1 to 13          the integer n - 1, without data
//! ```
//! Numbers are little-endian where not said. With 65535 entries or more their count is FFFF and
//! means nothing.

use super::packed::{Checked, Cursor, Damage};
use super::strings::Loaded;

const HEADER_BYTES: usize = 10;
const END: u8 = 0xFF;
/// Of an entry's first byte: the size of the entry before stands in 4 bytes.
const SIZE_BEFORE_LONG: u8 = 0xFE;
/// A count that means nothing.
const ENTRIES_UNKNOWN: u16 = u16::MAX;

/// A ziplist that was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ziplist<'a> {
    blob: &'a [u8],
    len: usize,
}

impl<'a> Ziplist<'a> {
    /// Look at every byte: sizes, links, kinds, counts.
    pub(super) fn check(blob: &'a [u8]) -> Checked<Self> {
        let mut header = Cursor::new(blob, 0);
        let size_bytes = u32::from_le_bytes(header.array()?);
        let last = u32::from_le_bytes(header.array()?);
        let entries = u16::from_le_bytes(header.array()?);
        if size_bytes as usize != blob.len() {
            return Err(Damage { offset: 0, reason: "its size is not what it says" });
        }
        let mut cursor = header;
        let (mut len, mut before, mut start) = (0, 0, HEADER_BYTES);
        while cursor.peek()? != END {
            start = cursor.offset();
            if size_before(&mut cursor)? != before {
                let reason = "an entry does not know the size of the one before";
                return Err(Damage { offset: start, reason });
            }
            element(&mut cursor)?;
            before = cursor.offset() - start;
            len += 1;
        }
        if cursor.offset() + 1 != blob.len() {
            return Err(cursor.damage("it ends before its last byte"));
        }
        if last as usize != start {
            return Err(Damage { offset: 4, reason: "its last entry is elsewhere" });
        }
        if entries != ENTRIES_UNKNOWN && usize::from(entries) != len {
            return Err(Damage { offset: 8, reason: "its count is not that of its entries" });
        }
        Ok(Self { blob, len })
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The elements in order.
    pub(super) fn iter(&self) -> Iter<'a> {
        Iter(Cursor::new(self.blob, HEADER_BYTES))
    }
}

/// The elements of a ziplist that was checked.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a>(Cursor<'a>);

impl<'a> Iterator for Iter<'a> {
    type Item = Loaded<'a>;

    fn next(&mut self) -> Option<Loaded<'a>> {
        if self.0.peek().ok()? == END {
            return None;
        }
        size_before(&mut self.0).ok()?;
        element(&mut self.0).ok()
    }
}

fn size_before(cursor: &mut Cursor<'_>) -> Checked<usize> {
    Ok(match cursor.byte()? {
        SIZE_BEFORE_LONG => u32::from_le_bytes(cursor.array()?) as usize,
        size => usize::from(size),
    })
}

fn element<'a>(cursor: &mut Cursor<'a>) -> Checked<Loaded<'a>> {
    let at = *cursor;
    let kind = cursor.byte()?;
    let size = match (kind >> 6, kind) {
        (0, _) => usize::from(kind),
        (1, _) => usize::from(kind & 0x3F) << 8 | usize::from(cursor.byte()?),
        (_, 0x80) => u32::from_be_bytes(cursor.array()?) as usize,
        _ => return Ok(Loaded::Int(integer(cursor, kind)?.ok_or(at.damage("unknown kind"))?)),
    };
    Ok(Loaded::Bytes(cursor.take(size)?))
}

/// An integer; `None` when there is no such kind.
fn integer(cursor: &mut Cursor<'_>, kind: u8) -> Checked<Option<i64>> {
    Ok(Some(match kind {
        0xC0 => i64::from(i16::from_le_bytes(cursor.array()?)),
        0xD0 => i64::from(i32::from_le_bytes(cursor.array()?)),
        0xE0 => i64::from_le_bytes(cursor.array()?),
        0xF0 => {
            let [low, middle, high] = cursor.array()?;
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        0xFE => i64::from(i8::from_le_bytes(cursor.array()?)),
        0xF1..=0xFD => i64::from(kind & 0x0F) - 1,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read from Redis 6.2: `RPUSH k hello 1024 "" 12 13 -1 -8388608 2147483647 <2^40>`, and a
    /// string of 254 bytes, which makes the next entry's link a long one.
    fn sample() -> Vec<u8> {
        let mut entries: Vec<Vec<u8>> = vec![
            b"\x05hello".to_vec(),
            vec![0xC0, 0, 4],
            vec![0],
            vec![0xFD],
            vec![0xFE, 13],
            vec![0xFE, 0xFF],
            vec![0xF0, 0, 0, 0x80],
            vec![0xD0, 0xFF, 0xFF, 0xFF, 0x7F],
            [&[0xE0], (1_i64 << 40).to_le_bytes().as_slice()].concat(),
        ];
        entries.push([&[0x40, 254], [b'x'; 254].as_slice()].concat());
        entries.push(vec![0xF1]);
        build(&entries)
    }

    fn build(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        let (mut before, mut last) = (0, HEADER_BYTES);
        for entry in entries {
            last = HEADER_BYTES + body.len();
            match u8::try_from(before) {
                Ok(short) if short < SIZE_BEFORE_LONG => body.push(short),
                _ => {
                    body.push(SIZE_BEFORE_LONG);
                    body.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            body.extend_from_slice(entry);
            before = HEADER_BYTES + body.len() - last;
        }
        let size = (HEADER_BYTES + body.len() + 1) as u32;
        let count = (entries.len() as u16).to_le_bytes();
        [&size.to_le_bytes(), (last as u32).to_le_bytes().as_slice(), &count, &body, &[END]]
            .concat()
    }

    fn texts(list: &Ziplist<'_>) -> Vec<String> {
        let text = |element| match element {
            Loaded::Int(value) => value.to_string(),
            Loaded::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        list.iter().map(text).collect()
    }

    #[test]
    fn every_kind_is_read() {
        let blob = sample();
        let list = Ziplist::check(&blob).expect("sound");
        let long = "x".repeat(254);
        let expected = [
            "hello",
            "1024",
            "",
            "12",
            "13",
            "-1",
            "-8388608",
            "2147483647",
            "1099511627776",
            &long,
            "0",
        ];
        assert_eq!((texts(&list), list.len()), (expected.map(str::to_owned).to_vec(), 11));
        let long_kind = [&[0x80, 0, 0, 0, 3], b"abc".as_slice()].concat();
        let blob = build(&[long_kind]);
        assert_eq!(texts(&Ziplist::check(&blob).expect("sound")), ["abc"]);
        let empty = build(&[]);
        assert_eq!(Ziplist::check(&empty).expect("sound").len(), 0);
    }

    #[test]
    fn any_cut_and_any_flip_of_its_frame_is_refused() {
        let blob = sample();
        for size in 0..blob.len() {
            assert!(Ziplist::check(&blob[..size]).is_err(), "cut at {size}");
        }
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut flipped = blob.clone();
                flipped[at] ^= 1 << bit;
                // A flip in an element's data cannot be seen; the walk ends in any case.
                let left = Ziplist::check(&flipped).map_or(0, |list| list.iter().count());
                assert!(left == 0 || left == 11, "byte {at}, bit {bit}: {left} elements");
                if at < HEADER_BYTES {
                    assert!(Ziplist::check(&flipped).is_err(), "byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn lies_are_named_with_their_place() {
        let damage = |blob: &[u8]| Ziplist::check(blob).expect_err("refused");
        assert_eq!(damage(&[]).offset, 0);
        assert_eq!(damage(&build(&[vec![0xF1], vec![0xFF]])).reason, "unknown kind");
        let mut blob = build(&[vec![0xF1], vec![0xF2]]);
        blob[12] = 7;
        assert_eq!(damage(&blob).offset, 12, "a wrong link");
        let huge = build(&[vec![0x80, 0xFF, 0xFF, 0xFF, 0xFF]]);
        assert_eq!(damage(&huge).reason, "an element reaches past the end");
        let mut many = build(&[vec![0xF1], vec![0xF2]]);
        many[8..10].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(Ziplist::check(&many).expect("a count that means nothing").len(), 2);
    }
}
