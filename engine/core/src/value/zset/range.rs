//! Ranges of scores and of members: what lies in one. Not here: reading them from a command's
//! arguments (`command::zset`).

/// A range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// The least score.
    pub min: f64,
    /// The greatest score.
    pub max: f64,
    /// Whether `min` itself is out.
    pub is_min_exclusive: bool,
    /// Whether `max` itself is out.
    pub is_max_exclusive: bool,
}

impl ScoreRange {
    /// Whether no score can be in it.
    pub fn is_empty(&self) -> bool {
        let is_open = self.is_min_exclusive || self.is_max_exclusive;
        self.min > self.max || (self.min == self.max && is_open)
    }

    /// Whether a score is not below the range.
    #[inline]
    pub fn is_past_min(&self, score: f64) -> bool {
        if self.is_min_exclusive { score > self.min } else { score >= self.min }
    }

    /// Whether a score is not above the range.
    #[inline]
    pub fn is_within_max(&self, score: f64) -> bool {
        if self.is_max_exclusive { score < self.max } else { score <= self.max }
    }
}

/// An end of a range of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every member (`-`).
    First,
    /// After every member (`+`).
    Last,
    /// The member itself is in (`[`).
    Inclusive(&'a [u8]),
    /// The member itself is out (`(`).
    Exclusive(&'a [u8]),
}

/// A range of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// Where it begins.
    pub min: LexBound<'a>,
    /// Where it ends.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether no member can be in it.
    pub fn is_empty(&self) -> bool {
        use LexBound::{Exclusive, First, Inclusive, Last};
        match (self.min, self.max) {
            (Last, _) | (_, First) => true,
            (First, _) | (_, Last) => false,
            (Inclusive(min), Inclusive(max)) => min > max,
            (Inclusive(min) | Exclusive(min), Inclusive(max) | Exclusive(max)) => min >= max,
        }
    }

    /// Whether a member is not below the range.
    #[inline]
    pub fn is_past_min(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Inclusive(min) => member >= min,
            LexBound::Exclusive(min) => member > min,
        }
    }

    /// Whether a member is not above the range.
    #[inline]
    pub fn is_within_max(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(max) => member <= max,
            LexBound::Exclusive(max) => member < max,
        }
    }
}
