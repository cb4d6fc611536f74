//! A sorted set: what reading and changing one mean, whatever its form.

use super::listpack::Listpack;
use super::sorted::Sorted;

/// A sorted set as it is read.
#[derive(Debug, Clone, Copy)]
pub enum ZSetRef<'a> {
    /// A listpack of members, each followed by its score, in the order of scores.
    Packed(Listpack<'a>),
    /// What is outside its entry.
    Large(&'a Sorted),
}

impl ZSetRef<'_> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len() / 2,
            Self::Large(large) => large.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Redis 7.0's name of the encoding.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Large(_) => "skiplist",
        }
    }
}
