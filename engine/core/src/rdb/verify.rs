//! The read-back that makes a snapshot count: a whole file, past the page cache, parsed as a load
//! would and kept nowhere. Stricter than a load: bytes after the end are refused. Knowingly not
//! found here, since nothing is kept: a key that stands in the file twice, and an element that
//! stands twice in a collection of more than a million (`packed::Distinct`).

use std::path::Path;

use super::Summary;
use super::packed::Distinct;
use super::parse::{Form, Key, Sink, Taken, parse};
use super::reader::{Manner, Reader};
use super::strings::Loaded;
use crate::error::Result;
use crate::limits::DATABASES_MAX;
use crate::value::Type;

/// Parse a whole file, past the page cache (it is fsynced first, since only clean pages can be
/// dropped), keeping nothing.
///
/// # Errors
/// As [`super::load`].
pub fn verify(path: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Summary> {
    let manner = Manner { is_past_cache: true, is_digested: true };
    parse(Reader::open(path, manner, progress)?, &mut Nothing::new(), true)
}

/// Takes everything and keeps nothing; notices what stands twice in one collection.
pub(super) struct Nothing {
    distinct: Distinct,
    made: Type,
    is_empty: bool,
}

impl Nothing {
    pub(super) fn new() -> Self {
        Self { distinct: Distinct::new(), made: Type::String, is_empty: true }
    }

    fn take(&mut self, watched: Loaded<'_>) -> bool {
        self.is_empty = false;
        self.distinct.note(watched);
        true
    }
}

impl Sink for Nothing {
    fn databases(&self) -> usize {
        DATABASES_MAX
    }

    fn reserve(&mut self, _db: usize, _keys: usize) {}

    fn function(&mut self, _source: &[u8]) {}

    fn string(&mut self, _key: Key<'_>, _value: Loaded<'_>) -> Taken {
        Taken::Kept
    }

    fn whole(&mut self, _key: Key<'_>, _made: Type, _form: Form<'_>) -> Option<Taken> {
        Some(Taken::Kept)
    }

    fn begin(&mut self, _key: Key<'_>, made: Type, _elements: usize) {
        self.distinct.clear();
        (self.made, self.is_empty) = (made, true);
    }

    fn node(&mut self, _form: Form<'_>) -> bool {
        self.is_empty = false;
        true
    }

    fn element(&mut self, element: Loaded<'_>) -> bool {
        self.is_empty = false;
        self.made == Type::List || self.take(element)
    }

    fn field(&mut self, field: Loaded<'_>, _value: Loaded<'_>) -> bool {
        self.take(field)
    }

    fn member(&mut self, member: Loaded<'_>, _score: f64) -> bool {
        self.take(member)
    }

    fn end(&mut self) -> Taken {
        match (self.is_empty, self.distinct.is_distinct()) {
            (true, _) => Taken::Empty,
            (false, true) => Taken::Kept,
            (false, false) => Taken::Twins,
        }
    }
}
