//! What the packed forms of a collection have in common while they are read: a cursor that never
//! leaves the blob, what is wrong with one and where, and the search for elements that stand there
//! twice. The forms themselves: `ziplist`, `zipmap`, and `value::listpack`, `value::intset`, which
//! are kept in memory as they are. Every byte is hostile (I7).

use std::hash::BuildHasher;

use ahash::RandomState;

use super::strings::Loaded;
use crate::value::integer::IntText;

/// What is wrong with a packed collection, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    /// Of the byte that does not fit, from the blob's beginning.
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

pub(super) type Checked<T> = Result<T, Damage>;

/// A place in a blob. Nothing is read past its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn damage(&self, reason: &'static str) -> Damage {
        Damage { offset: self.at, reason }
    }

    /// The next byte, without passing it.
    pub(super) fn peek(&self) -> Checked<u8> {
        self.bytes.get(self.at).copied().ok_or(self.damage("it ends inside an element"))
    }

    pub(super) fn byte(&mut self) -> Checked<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Checked<[u8; N]> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let array = found.copied().ok_or(self.damage("it ends inside an element"))?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn take(&mut self, size: usize) -> Checked<&'a [u8]> {
        let end = self.at.checked_add(size);
        let found = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = found.ok_or(self.damage("an element reaches past the end"))?;
        self.at += size;
        Ok(taken)
    }
}

/// Elements that are watched for twins; a collection of more is not searched to its end.
const WATCHED_MAX: usize = 1 << 20;

/// Finds out whether elements are all different, by 128 bits of keyed hashes: so that no file can
/// be made that looks wrong, or takes long. Keeps its memory for the next collection: 16 bytes an
/// element of the largest one, 16 MiB at the most.
pub(super) struct Distinct {
    hashers: [RandomState; 2],
    hashes: Vec<u128>,
}

impl Distinct {
    pub(super) fn new() -> Self {
        let random = || std::collections::hash_map::RandomState::new().hash_one(0_u8);
        let hasher = || RandomState::with_seeds(random(), random(), random(), random());
        Self { hashers: [hasher(), hasher()], hashes: Vec::new() }
    }

    /// Another collection begins.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
    }

    /// Watch one element, as the text that a client sees.
    pub(super) fn note(&mut self, element: Loaded<'_>) {
        if self.hashes.len() < WATCHED_MAX {
            let hash = |hasher: &RandomState, text: &[u8]| u128::from(hasher.hash_one(text));
            let [high, low] = &self.hashers;
            self.hashes.push(with_text(element, |text| hash(high, text) << 64 | hash(low, text)));
        }
    }

    /// Whether no two of the elements since [`Distinct::clear`] are the same. Forgets them.
    pub(super) fn is_distinct(&mut self) -> bool {
        self.hashes.sort_unstable();
        let is_distinct = self.hashes.windows(2).all(|pair| pair.first() != pair.last());
        self.hashes.clear();
        is_distinct
    }
}

/// An element's text: what a client sees, whichever way it is packed.
pub(super) fn with_text<T>(element: Loaded<'_>, then: impl FnOnce(&[u8]) -> T) -> T {
    match element {
        Loaded::Bytes(bytes) => then(bytes),
        Loaded::Int(value) => then(&IntText::new(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_distinct(elements: &[Loaded<'_>]) -> bool {
        let mut watched = Distinct::new();
        elements.iter().for_each(|element| watched.note(*element));
        watched.is_distinct()
    }

    #[test]
    fn twins_are_found_however_they_are_packed() {
        let (a, b, five) = (Loaded::Bytes(b"a"), Loaded::Bytes(b"b"), Loaded::Bytes(b"5"));
        assert!(is_distinct(&[]));
        assert!(is_distinct(&[a, b, five, Loaded::Int(-5)]));
        assert!(is_distinct(&[a, b, Loaded::Bytes(b"05"), Loaded::Int(5)]));
        assert!(!is_distinct(&[b, a, five, a]));
        assert!(!is_distinct(&[a, five, b, Loaded::Int(5)]));
        let empty = Loaded::Bytes(b"");
        assert!(!is_distinct(&[empty, a, empty]));
    }

    #[test]
    fn each_collection_is_watched_by_itself() {
        let mut watched = Distinct::new();
        for _ in 0..3 {
            watched.note(Loaded::Int(7));
            assert!(watched.is_distinct());
        }
        watched.note(Loaded::Int(7));
        watched.clear();
        watched.note(Loaded::Int(7));
        assert!(watched.is_distinct());
    }

    #[test]
    fn a_cursor_stops_at_the_end() {
        let mut cursor = Cursor::new(&[1, 2, 3], 0);
        assert_eq!(cursor.array(), Ok([1, 2]));
        assert!(cursor.array::<2>().is_err() && cursor.take(2).is_err());
        assert!(cursor.take(usize::MAX).is_err());
        assert_eq!(cursor.take(1), Ok(&[3][..]));
        assert_eq!(cursor.byte().map_err(|damage| damage.offset), Err(3));
    }
}
