//! An intset, read and changed: a sorted run of integers of one width, in exactly Redis's format.
//! Not here: when a set stops being one (`set-max-intset-entries`, a member that is no integer).
//! Guards I1 and I7: views do not allocate, and wrong bytes make nothing panic or loop.
//!
//! ```text
//! | width 2, 4 or 8 as u32 LE | count u32 LE | integer LE ... strictly rising |
//! ```
//! The width is that of the widest integer that ever was in it; removing does not narrow it.

use super::growable::Growable;

const HEADER_BYTES: usize = 8;
/// An intset without members.
pub const EMPTY: [u8; HEADER_BYTES] = [2, 0, 0, 0, 0, 0, 0, 0];

/// An intset, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Intset<'a>(&'a [u8]);

impl<'a> Intset<'a> {
    /// View `bytes`, which are all of one intset.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, as an RDB stores them.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Number of members.
    #[inline]
    pub fn len(self) -> usize {
        self.0.len().saturating_sub(HEADER_BYTES) / self.width()
    }

    /// Whether there is no member.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The member of an index, in rising order.
    #[inline]
    pub fn get(self, index: usize) -> Option<i64> {
        let width = self.width();
        let at = HEADER_BYTES.checked_add(index.checked_mul(width)?)?;
        let bytes = self.0.get(at..at.checked_add(width)?)?;
        match width {
            2 => bytes.try_into().ok().map(i16::from_le_bytes).map(i64::from),
            4 => bytes.try_into().ok().map(i32::from_le_bytes).map(i64::from),
            _ => bytes.try_into().ok().map(i64::from_le_bytes),
        }
    }

    /// Whether `member` is in it.
    pub fn contains(self, member: i64) -> bool {
        self.search(member).is_ok()
    }

    /// The members in rising order, from both ends.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + use<'a> {
        (0..self.len()).map(move |index| self.get(index).unwrap_or_default())
    }

    /// The index of `member`, or the one that it would have.
    fn search(self, member: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(&Some(member)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Bytes of a member.
    #[inline]
    fn width(self) -> usize {
        match self.0.first() {
            Some(8) => 8,
            Some(4) => 4,
            _ => 2,
        }
    }
}

/// Bytes that `member` needs.
fn width_of(member: i64) -> usize {
    if i16::try_from(member).is_ok() {
        2
    } else if i32::try_from(member).is_ok() {
        4
    } else {
        8
    }
}

/// The lowest `width` bytes of a member: all of it, since it fits.
fn encode(member: &[u8; 8], width: usize) -> &[u8] {
    member.get(..width).unwrap_or(member)
}

/// Add `member`; says whether it is new. A member wider than the others widens them all.
pub fn add(into: &mut impl Growable, member: i64) -> bool {
    let view = Intset::new(into.bytes());
    let (count, width, wanted) = (view.len(), view.width(), width_of(member));
    if wanted > width {
        widen(into, count, wanted, member < 0);
        let place = if member < 0 { 0 } else { count };
        into.overwrite(HEADER_BYTES + place * wanted, encode(&member.to_le_bytes(), wanted));
    } else {
        let Err(place) = view.search(member) else { return false };
        let bytes = member.to_le_bytes();
        into.splice(HEADER_BYTES + place * width, 0, &[encode(&bytes, width)]);
    }
    put_header(into, width.max(wanted), count + 1);
    true
}

/// Remove `member`; says whether it was there.
pub fn remove(into: &mut impl Growable, member: i64) -> bool {
    let view = Intset::new(into.bytes());
    let (count, width) = (view.len(), view.width());
    let Ok(place) = view.search(member) else { return false };
    into.splice(HEADER_BYTES + place * width, width, &[]);
    put_header(into, width, count - 1);
    true
}

/// Give each of the `count` members `wanted` bytes, and leave room for one more: in front if
/// `is_room_in_front`, else behind. From the last to the first, so that none is written over
/// before it was read.
fn widen(into: &mut impl Growable, count: usize, wanted: usize, is_room_in_front: bool) {
    const ZEROS: [u8; 512] = [0; 512];
    let old_width = Intset::new(into.bytes()).width();
    let mut missing = (count + 1) * wanted - count * old_width;
    while missing > 0 {
        let zeros = ZEROS.get(..missing).unwrap_or(&ZEROS);
        into.splice(usize::MAX, 0, &[zeros]);
        missing -= zeros.len();
    }
    let shift = usize::from(is_room_in_front);
    for index in (0..count).rev() {
        let member = Intset::new(into.bytes()).get(index).unwrap_or_default().to_le_bytes();
        into.overwrite(HEADER_BYTES + (index + shift) * wanted, encode(&member, wanted));
    }
}

fn put_header(into: &mut impl Growable, width: usize, count: usize) {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(width as u32).to_le_bytes());
    header[4..].copy_from_slice(&(count as u32).to_le_bytes());
    into.overwrite(0, &header);
}

/// Check `bytes` as one whole intset; gives the number of members. Linear, without allocating.
///
/// # Errors
/// What is wrong, in words for a message.
pub fn check(bytes: &[u8]) -> Result<usize, &'static str> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word) as usize)
    };
    let (Some(width @ (2 | 4 | 8)), Some(count)) = (word(0), word(4)) else {
        return Err("intset: a width of no known encoding");
    };
    if bytes.len() as u64 != HEADER_BYTES as u64 + width as u64 * count as u64 {
        return Err("intset: its size is not what its header says");
    }
    let view = Intset::new(bytes);
    if !view.iter().zip(view.iter().skip(1)).all(|(one, next)| one < next) {
        return Err("intset: its members are not in rising order");
    }
    Ok(count)
}

#[cfg(test)]
#[path = "intset_tests.rs"]
mod tests;
