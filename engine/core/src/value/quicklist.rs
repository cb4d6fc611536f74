//! A large list: nodes of listpacks.

use crate::alloc::Ledger;

/// A large list: nodes of listpacks. Owns its memory.
#[derive(Debug, Default)]
pub struct Quicklist {
    ledger: Ledger,
    len: usize,
}

impl Quicklist {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// A copy in memory of its own.
    pub fn duplicate(&self) -> Self {
        Self::default()
    }

    /// The first broken invariant, if any.
    ///
    /// # Errors
    /// The invariant in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        Ok(())
    }
}
