//! A listpack as it is read: a list of byte strings and integers packed into one run of bytes, in
//! exactly Redis's format, so that an RDB dumps and loads it as it is.
//! `encode` is the format of one element, `edit` changes a listpack, `check` judges a hostile one.
//! Guards I1 and I7: nothing here allocates, and no bytes, however wrong, make it panic or loop.
//!
//! ```text
//! | total bytes u32 LE | count u16 LE | element ... | 0xFF |      count 65535: walk to know
//! element = | encoding and length | data | length of the two, readable from its end |
//! ```

mod check;
mod edit;
mod encode;
#[cfg(test)]
mod tests;

pub use check::check;
pub use edit::{
    append_from, insert_after, insert_all, insert_before, push_back, push_back_all, push_front,
    remove, remove_last, remove_matches, replace, replace_encoded,
};
pub use encode::{Encoded, encoded_bytes};

use super::Text;
use super::integer::{IntText, parse_i64};
use encode::{END, backlen_before, backlen_bytes, decode, entry_bytes};

/// Bytes before the first element.
pub(super) const HEADER_BYTES: usize = 6;
/// The count that says "walk to know".
pub(super) const COUNT_UNKNOWN: u16 = u16::MAX;
/// A listpack that would grow past this is converted or split by its owner instead: what an entry
/// and a string of an RDB hold (Redis's limit is twice that; the format's own is the header's 32 bits).
pub const BYTES_MAX: usize = crate::limits::BULK_BYTES_MAX;
/// What an element takes beside its text, at most; of a listpack beside its elements likewise.
pub const ELEMENT_OVERHEAD_BYTES: usize = 10;
/// A listpack without elements.
pub const EMPTY: [u8; 7] = [7, 0, 0, 0, 0, 0, END];

/// Where an element begins. Holds until the listpack changes before or at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(usize);

impl Cursor {
    /// Bytes from the listpack's start.
    pub fn offset(self) -> usize {
        self.0
    }
}

/// An element as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    /// A canonical integer.
    Int(i64),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> Element<'a> {
    /// As text; an integer is written out on the stack.
    #[inline]
    pub fn text(self) -> Text<'a> {
        match self {
            Self::Int(value) => Text::Digits(IntText::new(value)),
            Self::Bytes(bytes) => Text::Borrowed(bytes),
        }
    }
}

/// What is looked for: parsed as an integer once, not at each element.
#[derive(Debug, Clone, Copy)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// Look for `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, int: parse_i64(bytes) }
    }

    /// Whether the element is what is looked for.
    #[inline]
    pub fn is(&self, element: Element<'_>) -> bool {
        match element {
            Element::Int(value) => self.int == Some(value),
            Element::Bytes(bytes) => bytes == self.bytes,
        }
    }
}

/// A listpack, borrowed. Every walk ends, at the first element that makes no sense if not before;
/// after [`check`] there is none.
#[derive(Debug, Clone, Copy)]
pub struct Listpack<'a>(&'a [u8]);

impl<'a> Listpack<'a> {
    /// View `bytes`, which are all of one listpack.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, as an RDB stores them.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Size of the whole.
    pub fn size_bytes(self) -> usize {
        self.0.len()
    }

    /// Number of elements: from the header, or by walking if there are 65535 or more.
    pub fn len(self) -> usize {
        match self.stored_count() {
            Some(count) => count,
            None => self.entries().count(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(self) -> bool {
        self.first().is_none()
    }

    /// The first element.
    #[inline]
    pub fn first(self) -> Option<Cursor> {
        self.cursor_at(HEADER_BYTES)
    }

    /// The last element.
    #[inline]
    pub fn last(self) -> Option<Cursor> {
        before(self.0, self.end()).map(Cursor)
    }

    /// The element after the one at `at`.
    #[inline]
    pub fn next(self, at: Cursor) -> Option<Cursor> {
        self.cursor_at(self.after(at)?)
    }

    /// The element before the one at `at`.
    #[inline]
    pub fn prev(self, at: Cursor) -> Option<Cursor> {
        before(self.0, at.0).map(Cursor)
    }

    /// The element as text. Empty where there is none.
    #[inline]
    pub fn get(self, at: Cursor) -> Text<'a> {
        self.element(at).text()
    }

    /// The element's value if it is stored as an integer.
    #[inline]
    pub fn get_int(self, at: Cursor) -> Option<i64> {
        match self.element(at) {
            Element::Int(value) => Some(value),
            Element::Bytes(_) => None,
        }
    }

    /// The element as it is stored. Empty where there is none.
    #[inline]
    pub fn element(self, at: Cursor) -> Element<'a> {
        decode(self.0, at.0).map_or(Element::Bytes(&[]), |(element, _)| element)
    }

    /// The element of an index, counted from the end if negative; walks from the nearer side.
    pub fn seek(self, index: i64) -> Option<Cursor> {
        let from_front = match (self.stored_count(), u64::try_from(index)) {
            (None, Ok(index)) => Ok(index),
            (None, Err(_)) => Err(index.unsigned_abs() - 1),
            (Some(count), parsed) => {
                let count = count as u64;
                let forward = match parsed {
                    Ok(index) => Some(index),
                    Err(_) => count.checked_sub(index.unsigned_abs()),
                };
                let forward = forward.filter(|index| *index < count)?;
                if forward <= count / 2 { Ok(forward) } else { Err(count - 1 - forward) }
            }
        };
        match from_front {
            Ok(steps) => (0..steps).try_fold(self.first()?, |at, _| self.next(at)),
            Err(steps) => (0..steps).try_fold(self.last()?, |at, _| self.prev(at)),
        }
    }

    /// Look for `needle` from `from` on; `skip` elements are passed over after each that was
    /// compared (1 to look through the fields of a hash).
    pub fn find(self, from: Cursor, needle: &[u8], skip: usize) -> Option<Cursor> {
        let needle = Needle::new(needle);
        let mut at = from.0;
        loop {
            let (element, mut next) = decode(self.0, at)?;
            if needle.is(element) {
                return Some(Cursor(at));
            }
            for _ in 0..skip {
                next += entry_bytes(self.0, next)?;
            }
            at = next;
        }
    }

    /// The elements as texts, from both ends.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Text<'a>> + use<'a> {
        self.entries().map(|(_, element)| element.text())
    }

    /// The elements as they are stored, with their places, from both ends.
    #[inline]
    pub fn entries(self) -> Entries<'a> {
        Entries { bytes: self.0, front: HEADER_BYTES, back: self.end() }
    }

    /// As [`Listpack::entries`], from the element at `at` to the last.
    #[inline]
    pub fn entries_from(self, at: Cursor) -> Entries<'a> {
        Entries { bytes: self.0, front: at.0, back: self.end() }
    }

    /// As [`Listpack::entries`], from the first element to the one at `at`.
    #[inline]
    pub fn entries_up_to(self, at: Cursor) -> Entries<'a> {
        let back = self.after(at).unwrap_or(at.0);
        Entries { bytes: self.0, front: HEADER_BYTES, back }
    }

    /// The count in the header, unless it is unknown.
    fn stored_count(self) -> Option<usize> {
        let count = self.0.get(4..HEADER_BYTES)?.try_into().ok().map(u16::from_le_bytes)?;
        (count != COUNT_UNKNOWN).then_some(usize::from(count))
    }

    /// Offset of the end byte.
    fn end(self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Offset after the element at `at`.
    fn after(self, at: Cursor) -> Option<usize> {
        Some(at.0 + entry_bytes(self.0, at.0)?)
    }

    fn cursor_at(self, offset: usize) -> Option<Cursor> {
        (offset < self.end()).then_some(Cursor(offset))
    }
}

/// Offset of the element that ends at `end`.
fn before(bytes: &[u8], end: usize) -> Option<usize> {
    let len = backlen_before(bytes, end)?;
    let start = end.checked_sub(len.checked_add(backlen_bytes(len))?)?;
    (start >= HEADER_BYTES && len > 0).then_some(start)
}

/// Elements between two places, from both ends.
#[derive(Debug, Clone, Default)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    front: usize,
    /// After the last one.
    back: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Cursor, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let at = self.front;
        match decode(self.bytes, at) {
            Some((element, next)) => {
                self.front = next;
                Some((Cursor(at), element))
            }
            None => {
                self.front = self.back;
                None
            }
        }
    }
}

impl DoubleEndedIterator for Entries<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let at = before(self.bytes, self.back).filter(|at| *at >= self.front);
        let found = at.and_then(|at| Some((at, decode(self.bytes, at)?.0)));
        self.back = found.map_or(self.front, |(at, _)| at);
        found.map(|(at, element)| (Cursor(at), element))
    }
}
