//! The ends of ranges as commands give them: `(1.5` and `inf` for scores, `[a` and `+` for members,
//! ranks that count from either end. Not here: what lies in a range (`value::zset`).

use crate::command::texts;
use crate::value::integer::parse_i64;
use crate::value::score::parse_prefix;
use crate::value::zset::{LexBound, LexRange, ScoreRange};

/// The text for a range of scores that is none.
const NOT_SCORES: &str = "ERR min or max is not a float";
/// The text for a range of members that is none.
const NOT_MEMBERS: &str = "ERR min or max not valid string range item";

/// A range of scores.
pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, &'static str> {
    let (min, is_min_exclusive) = score_bound(min).ok_or(NOT_SCORES)?;
    let (max, is_max_exclusive) = score_bound(max).ok_or(NOT_SCORES)?;
    Ok(ScoreRange { min, max, is_min_exclusive, is_max_exclusive })
}

/// What C's `strtod` makes of a whole C string (so a NUL ends it, blanks may lead, and nothing at
/// all is 0), with a `(` before it if the bound itself is out.
fn score_bound(text: &[u8]) -> Option<(f64, bool)> {
    let (digits, is_exclusive) = match text {
        [b'(', rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let digits = texts::c_text(digits, digits.len());
    let prefix = parse_prefix(digits);
    (prefix.bytes == digits.len() && !prefix.value.is_nan()).then_some((prefix.value, is_exclusive))
}

/// A range of members.
pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, &'static str> {
    let (min, max) = lex_bound(min).zip(lex_bound(max)).ok_or(NOT_MEMBERS)?;
    Ok(LexRange { min, max })
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::First),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Last),
        [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
        _ => None,
    }
}

/// First and last rank, counted from the end when negative.
#[derive(Debug, Clone, Copy)]
pub(super) struct RankRange {
    first: i64,
    last: i64,
}

impl RankRange {
    pub fn read(first: &[u8], last: &[u8]) -> Result<Self, &'static str> {
        let first = parse_i64(first).ok_or(texts::NOT_INTEGER)?;
        let last = parse_i64(last).ok_or(texts::NOT_INTEGER)?;
        Ok(Self { first, last })
    }

    /// The same as `from..to` in a set of `len` elements, counted from the front or, in reverse,
    /// from the back.
    pub fn ranks(self, len: usize, is_reverse: bool) -> (usize, usize) {
        let count = len as i64;
        let first = if self.first < 0 { self.first.saturating_add(count) } else { self.first };
        let last = if self.last < 0 { self.last.saturating_add(count) } else { self.last };
        let (first, last) = (first.max(0), last.min(count - 1));
        if first > last {
            return (0, 0);
        }
        let (from, to) = (first as usize, last as usize + 1);
        if is_reverse { (len - to, len - from) } else { (from, to) }
    }
}
