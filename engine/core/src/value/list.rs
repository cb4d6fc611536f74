//! A list: what reading and changing one mean, whatever its form.

use super::listpack::Listpack;
use super::quicklist::Quicklist;

/// A list as it is read.
#[derive(Debug, Clone, Copy)]
pub enum ListRef<'a> {
    /// A listpack of its elements.
    Packed(Listpack<'a>),
    /// What is outside its entry.
    Large(&'a Quicklist),
}

impl ListRef<'_> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Self::Packed(packed) => packed.len(),
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
            Self::Packed(_) => "quicklist",
            Self::Large(_) => "quicklist",
        }
    }
}
