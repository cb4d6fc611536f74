//! A set: what reading and changing one mean, whatever its form.

use super::intset::Intset;
use super::listpack::Listpack;
use crate::table::Table;

/// A set as it is read.
#[derive(Debug, Clone, Copy)]
pub enum SetRef<'a> {
    /// An intset.
    Ints(Intset<'a>),
    /// A listpack of its members.
    Packed(Listpack<'a>),
    /// A table whose keys are the members.
    Large(&'a Table),
}

impl SetRef<'_> {
    /// Number of members.
    pub fn len(self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Packed(packed) => packed.len(),
            Self::Large(large) => large.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Redis 7.0's name of the encoding. A packed set of strings is called what Redis 7.0 would
    /// have: it packs integers only.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Ints(_) => "intset",
            Self::Packed(_) | Self::Large(_) => "hashtable",
        }
    }
}
