//! The seam under the packed codecs: bytes that can be changed in place, wherever they lie (an
//! entry's block, a node of a quicklist, a `Vec` in tests and loaders).
//! Not here: the codecs themselves (`listpack`, `intset`).
//! Invariant: one call of [`Growable::splice`] moves the tail at most once.

/// Bytes that can grow, shrink and be written over.
pub trait Growable {
    /// All of the bytes.
    fn bytes(&self) -> &[u8];

    /// Replace `removed` bytes at `at` by `inserted`, one part after the other. Positions past the
    /// end count as the end.
    fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]);

    /// Write `bytes` over what is at `at`. What would lie past the end is not written.
    fn overwrite(&mut self, at: usize, bytes: &[u8]);
}

/// Sum of the parts' lengths.
pub fn parts_bytes(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Copy the parts one after the other to the start of `into`; stops where `into` ends.
pub fn copy_parts(mut into: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let len = part.len().min(into.len());
        let (here, rest) = into.split_at_mut(len);
        here.copy_from_slice(part.get(..len).unwrap_or_default());
        into = rest;
    }
}

impl Growable for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[&[u8]]) {
        let (old_len, added) = (self.len(), parts_bytes(inserted));
        let at = at.min(old_len);
        let tail = at.saturating_add(removed).min(old_len);
        let len = at + added + (old_len - tail);
        if len > old_len {
            self.resize(len, 0);
        }
        self.copy_within(tail..old_len, at + added);
        self.truncate(len);
        copy_parts(self.get_mut(at..at + added).unwrap_or_default(), inserted);
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        copy_parts(self.get_mut(at..).unwrap_or_default(), &[bytes]);
    }
}
