//! A packed sorted set: a listpack of members, each followed by its score, in order, as Redis packs
//! it. A score that is a whole number up to 2^62 is stored as an integer (so -0 becomes 0), any
//! other as the text of `%.17g`.
//! Here: reading, finding, walking, judging a hostile one. Not here: edits (`ZSetMut`).

use super::range::{LexRange, ScoreRange};
use crate::value::Text;
use crate::value::listpack::{
    BYTES_MAX, Cursor, Element, Encoded, Listpack, Needle, encoded_bytes,
};
use crate::value::packing::Packing;
use crate::value::score::{self, ScoreText};

/// More than any stored score takes.
const SCORE_BYTES_MAX: usize = 32;

/// A score as a listpack has it.
pub(super) enum StoredScore {
    Whole(i64),
    Text(ScoreText),
}

impl StoredScore {
    pub fn of(score: f64) -> Self {
        const WHOLE_MAX: f64 = (1_u64 << 62) as f64;
        let whole = score as i64;
        if score.abs() <= WHOLE_MAX && whole as f64 == score {
            Self::Whole(whole)
        } else {
            Self::Text(ScoreText::new(score))
        }
    }

    pub fn encoded(&self) -> Encoded<'_> {
        match self {
            Self::Whole(whole) => Encoded::int(*whole),
            Self::Text(text) => Encoded::of(text),
        }
    }
}

fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Int(whole) => whole as f64,
        Element::Bytes(text) => score::parse_prefix(text).value,
    }
}

/// Check that a listpack (that was itself checked) is a packed sorted set: members with scores that
/// are numbers, in order. Linear, without allocating.
///
/// # Errors
/// What is wrong, in words for a message.
pub fn check_packed(packed: Listpack<'_>) -> Result<(), &'static str> {
    let mut entries = packed.entries();
    let mut last: Option<(Element<'_>, f64)> = None;
    while let Some((_, member)) = entries.next() {
        let Some((_, element)) = entries.next() else {
            return Err("sorted set: a member without a score");
        };
        let is_number = match element {
            Element::Int(_) => true,
            Element::Bytes(text) => {
                let prefix = score::parse_prefix(text);
                prefix.bytes == text.len() && prefix.bytes > 0 && !prefix.value.is_nan()
            }
        };
        if !is_number {
            return Err("sorted set: a score that is no number");
        }
        let score = score_of(element);
        let is_after = last.is_none_or(|(other, low)| {
            low < score || (low == score && *other.text() < *member.text())
        });
        if !is_after {
            return Err("sorted set: its elements are not in order");
        }
        last = Some((member, score));
    }
    Ok(())
}

/// A listpack read as a sorted set.
#[derive(Debug, Clone, Copy)]
pub struct PackedZSet<'a>(pub(super) Listpack<'a>);

impl<'a> PackedZSet<'a> {
    /// Members with their places and scores, in order.
    fn elements(self) -> impl Iterator<Item = (Cursor, Element<'a>, f64)> {
        let mut entries = self.0.entries();
        std::iter::from_fn(move || {
            let (at, member) = entries.next()?;
            Some((at, member, score_of(entries.next()?.1)))
        })
    }

    /// The place of a member, and its score.
    pub(super) fn find(self, member: &[u8]) -> Option<(Cursor, f64)> {
        let at = self.0.find(self.0.first()?, member, 1)?;
        Some((at, score_of(self.0.element(self.0.next(at)?))))
    }

    pub(super) fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        let needle = Needle::new(member);
        let mut elements = self.elements().enumerate();
        elements.find(|(_, (_, it, _))| needle.is(*it)).map(|(rank, (_, _, score))| (rank, score))
    }

    /// Whether one member more would be too much for a packed set, or too long.
    pub(super) fn is_full(self, member: &[u8], packing: &Packing) -> bool {
        let pair_bytes = encoded_bytes(member) + SCORE_BYTES_MAX;
        self.0.len() / 2 >= packing.zset_entries
            || member.len() > packing.zset_value_bytes
            || self.0.size_bytes() + pair_bytes > BYTES_MAX
    }

    /// Whether another score of a member could be too much for a packed set.
    pub(super) fn has_no_room(self) -> bool {
        self.0.size_bytes() + SCORE_BYTES_MAX > BYTES_MAX
    }

    /// Whether the element at `at` comes after (member, score).
    fn is_after(self, at: Cursor, member: &[u8], score: f64) -> bool {
        let Some(score_at) = self.0.next(at) else { return true };
        let other = score_of(self.0.element(score_at));
        other > score || (other == score && *self.0.get(at) > *member)
    }

    /// The element to insert before; `None` at the end. Reading a score can mean parsing a text, so
    /// only one in some is read until the place has been passed.
    pub(super) fn place_of(self, member: &[u8], score: f64) -> Option<Cursor> {
        const STRIDE: usize = 8;
        let last = self.0.last().and_then(|last| self.0.prev(last))?;
        if !self.is_after(last, member, score) {
            return None;
        }
        let next = |at: Cursor| self.0.next(at).and_then(|score_at| self.0.next(score_at));
        let mut from = self.0.first()?;
        let mut ahead = from;
        while !self.is_after(ahead, member, score) {
            from = ahead;
            for _ in 0..STRIDE {
                ahead = next(ahead).unwrap_or(last);
            }
        }
        while !self.is_after(from, member, score) {
            from = next(from)?;
        }
        Some(from)
    }

    /// Where the score of the member at `at` is, if the member keeps its place with another one.
    pub(super) fn score_in_place(self, at: Cursor, member: &[u8], score: f64) -> Option<Cursor> {
        let before = self.0.prev(at).and_then(|score_at| self.0.prev(score_at));
        let place = self.0.next(at)?;
        let is_after_before = before.is_none_or(|it| !self.is_after(it, member, score));
        let is_before_next = self.0.next(place).is_none_or(|it| self.is_after(it, member, score));
        (is_after_before && is_before_next).then_some(place)
    }

    pub(super) fn range(self, from: usize, to: usize) -> Range<'a> {
        let to = to.min(self.0.len() / 2);
        Range { packed: self.0, from: from.min(to), to, front: None, back: None }
    }

    pub(super) fn ranks_of_scores(self, range: &ScoreRange) -> (usize, usize) {
        let mut scores = self.elements().map(|(_, _, score)| score).peekable();
        let mut from = 0;
        while scores.next_if(|score| !range.is_past_min(*score)).is_some() {
            from += 1;
        }
        (from, from + scores.take_while(|score| range.is_within_max(*score)).count())
    }

    /// As Redis looks: the first member past the minimum, `skipped` more whatever they are, then on
    /// while they are within the maximum; or, from the back, the last one within the maximum, then
    /// back while past the minimum.
    pub(super) fn ranks_of_members(
        self,
        range: &LexRange<'_>,
        is_reverse: bool,
        skipped: usize,
    ) -> (usize, usize) {
        let len = self.0.len() / 2;
        let ends = self.0.first().zip(self.0.last().and_then(|last| self.0.prev(last)));
        let Some((first, last)) = ends else { return (0, 0) };
        if !range.is_past_min(&self.0.get(last)) || !range.is_within_max(&self.0.get(first)) {
            return (0, 0);
        }
        let is_past = |member: &Text<'_>| range.is_past_min(member);
        let is_within = |member: &Text<'_>| range.is_within_max(member);
        let members = |range: Range<'a>| range.map(|(member, _)| member);
        if is_reverse {
            let above = members(self.range(0, len)).rev().take_while(|it| !is_within(it)).count();
            let to = (len - above).saturating_sub(skipped);
            let count = members(self.range(0, to)).rev().take_while(is_past).count();
            return (to - count, to);
        }
        let below = members(self.range(0, len)).take_while(|it| !is_past(it)).count();
        let from = below.saturating_add(skipped).min(len);
        (from, from + members(self.range(from, len)).take_while(is_within).count())
    }
}

/// Elements between two ranks, from both ends.
#[derive(Debug, Clone)]
pub struct Range<'a> {
    packed: Listpack<'a>,
    from: usize,
    to: usize,
    /// The member of rank `from`, once it was looked for.
    front: Option<Cursor>,
    /// The member of rank `to - 1`, likewise.
    back: Option<Cursor>,
}

impl<'a> Range<'a> {
    fn element(&self, at: Cursor) -> Option<(Text<'a>, f64, Cursor)> {
        let next = self.packed.next(at)?;
        Some((self.packed.get(at), score_of(self.packed.element(next)), next))
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (Text<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let at = self.front.or_else(|| self.packed.seek(2 * self.from as i64))?;
        let (member, score, next) = self.element(at)?;
        self.from += 1;
        self.front = self.packed.next(next);
        Some((member, score))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.to - self.from, Some(self.to - self.from))
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let at = self.back.or_else(|| self.packed.seek(2 * (self.to - 1) as i64))?;
        let (member, score, _) = self.element(at)?;
        self.to -= 1;
        self.back = self.packed.prev(at).and_then(|before| self.packed.prev(before));
        Some((member, score))
    }
}
