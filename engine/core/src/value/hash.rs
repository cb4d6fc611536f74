//! A hash: what reading and changing one mean, whatever its form.

use super::listpack::Listpack;
use crate::table::Table;

/// A hash as it is read.
#[derive(Debug, Clone, Copy)]
pub enum HashRef<'a> {
    /// A listpack of fields, each followed by its value.
    Packed(Listpack<'a>),
    /// What is outside its entry.
    Large(&'a Table),
}

impl HashRef<'_> {
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
            Self::Large(_) => "hashtable",
        }
    }
}
