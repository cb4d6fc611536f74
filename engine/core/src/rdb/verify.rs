//! The read-back that makes a snapshot count: a whole file, past the page cache, parsed as a load
//! would and kept nowhere. Stricter than a load: bytes after the end are refused. Knowingly not
//! found here: a key that stands in the file twice.

use std::path::Path;

use super::Summary;
use super::parse::{Key, Sink, Taken, parse};
use super::reader::{Manner, Reader};
use super::strings::Loaded;
use crate::error::Result;
use crate::limits::DATABASES_MAX;

/// Parse a whole file, past the page cache (it is fsynced first, since only clean pages can be
/// dropped), keeping nothing.
///
/// # Errors
/// As [`super::load`].
pub fn verify(path: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Summary> {
    let manner = Manner { is_past_cache: true, is_digested: true };
    parse(Reader::open(path, manner, progress)?, &mut Nothing, true)
}

struct Nothing;

impl Sink for Nothing {
    fn databases(&self) -> usize {
        DATABASES_MAX
    }

    fn reserve(&mut self, _db: usize, _keys: usize) {}

    fn string(&mut self, _key: Key<'_>, _value: Loaded<'_>) -> Taken {
        Taken::Kept
    }
}
