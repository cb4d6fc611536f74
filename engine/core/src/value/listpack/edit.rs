//! Changing a listpack in place over [`Growable`]: one splice an edit, then the header.
//! Not here: when a listpack is too large and must become something else (its owner's decision,
//! before the edit: [`super::encoded_bytes`], [`super::BYTES_MAX`]).
//! Invariant: header, elements and end byte agree after every call.

use super::encode::{Encoded, entry_bytes};
use super::{COUNT_UNKNOWN, Cursor, HEADER_BYTES, Listpack, Needle};
use crate::value::growable::{Growable, parts_bytes};

/// Insert elements, in their order, with one move of what follows. `at` is the element to insert
/// before, `None` the end. Gives the place of the first one.
pub fn insert_all<const N: usize>(
    into: &mut impl Growable,
    at: Option<Cursor>,
    elements: [Encoded<'_>; N],
) -> Cursor {
    let at = at.map_or(into.bytes().len().saturating_sub(1), Cursor::offset);
    let parts = elements.each_ref().map(Encoded::parts);
    into.splice(at, 0, parts.as_flattened());
    note(into, N as i64);
    Cursor(at)
}

/// Insert before the element at `at`; gives the new one's place.
pub fn insert_before(into: &mut impl Growable, at: Cursor, element: &[u8]) -> Cursor {
    insert_all(into, Some(at), [Encoded::of(element)])
}

/// Insert after the element at `at`; gives the new one's place.
pub fn insert_after(into: &mut impl Growable, at: Cursor, element: &[u8]) -> Cursor {
    let next = Listpack::new(into.bytes()).next(at);
    insert_all(into, next, [Encoded::of(element)])
}

/// Add at the end.
#[inline]
pub fn push_back(into: &mut impl Growable, element: &[u8]) -> Cursor {
    push_back_all(into, [Encoded::of(element)])
}

/// Add several at the end (a field and its value, a member and its score).
#[inline]
pub fn push_back_all<const N: usize>(
    into: &mut impl Growable,
    elements: [Encoded<'_>; N],
) -> Cursor {
    insert_all(into, None, elements)
}

/// Add before the first one.
pub fn push_front(into: &mut impl Growable, element: &[u8]) -> Cursor {
    insert_all(into, Some(Cursor(HEADER_BYTES)), [Encoded::of(element)])
}

/// Replace the element at `at`, which keeps its place.
pub fn replace(into: &mut impl Growable, at: Cursor, element: &[u8]) {
    replace_encoded(into, at, Encoded::of(element));
}

/// As [`replace`].
pub fn replace_encoded(into: &mut impl Growable, at: Cursor, element: Encoded<'_>) {
    let Some(old_bytes) = entry_bytes(into.bytes(), at.0) else { return };
    let parts = element.parts();
    if parts_bytes(&parts) == old_bytes {
        let mut place = at.0;
        for part in parts {
            into.overwrite(place, part);
            place += part.len();
        }
        return;
    }
    into.splice(at.0, old_bytes, &parts);
    note(into, 0);
}

/// Remove up to `count` elements from `at` on. Gives the place of the one that follows them, which
/// is `at`, if there is one.
pub fn remove(into: &mut impl Growable, at: Cursor, count: usize) -> Option<Cursor> {
    let mut end = at.0;
    let mut removed = 0;
    while removed < count {
        let Some(bytes) = entry_bytes(into.bytes(), end) else { break };
        end += bytes;
        removed += 1;
    }
    if removed > 0 {
        into.splice(at.0, end - at.0, &[]);
        note(into, -(removed as i64));
    }
    Listpack::new(into.bytes()).cursor_at(at.0)
}

/// Remove the last element, if there is one.
pub fn remove_last(into: &mut impl Growable) {
    if let Some(at) = Listpack::new(into.bytes()).last() {
        remove(into, at, 1);
    }
}

/// Add the elements of another listpack from `at` on, which are `count`, at the end.
pub fn append_from(into: &mut impl Growable, from: Listpack<'_>, at: Cursor, count: usize) {
    let elements = from.bytes().get(at.0..from.end()).unwrap_or_default();
    into.splice(into.bytes().len().saturating_sub(1), 0, &[elements]);
    note(into, count as i64);
}

/// Remove up to `count` elements that are `needle`, from the first on or from the last; gives how
/// many.
pub fn remove_matches(
    into: &mut impl Growable,
    needle: &Needle<'_>,
    count: usize,
    is_backward: bool,
) -> usize {
    let view = Listpack::new(into.bytes());
    let mut place = if is_backward { view.last() } else { view.first() };
    let mut removed = 0;
    while let Some(at) = place {
        if removed == count {
            break;
        }
        let view = Listpack::new(into.bytes());
        // A place before `at` outlives what happens there.
        let before = if is_backward { view.prev(at) } else { None };
        let is_match = needle.is(view.element(at));
        place = match (is_match, is_backward) {
            (true, _) => remove(into, at, 1),
            (false, true) => None,
            (false, false) => view.next(at),
        };
        removed += usize::from(is_match);
        if is_backward {
            place = before;
        }
    }
    removed
}

/// Bring the header up to date: the size as it is, the count changed by `change`. A count that
/// left the range is found out again by walking once it may be back in it.
#[inline]
fn note(into: &mut impl Growable, change: i64) {
    let view = Listpack::new(into.bytes());
    let size = view.size_bytes() as u32;
    let count = match view.stored_count() {
        Some(count) => count as i64 + change,
        None if change < 0 => view.entries().count() as i64,
        None => i64::from(COUNT_UNKNOWN),
    };
    let count = u16::try_from(count).unwrap_or(COUNT_UNKNOWN);
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&size.to_le_bytes());
    header[4..].copy_from_slice(&count.to_le_bytes());
    into.overwrite(0, &header);
}
