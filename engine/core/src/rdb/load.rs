//! Reading an RDB file into a new keyspace (its framing: `parse`). All or nothing: what fails
//! leaves no keyspace. Bytes after the end are ignored, as redis-server does on loading; `verify`
//! refuses them.

use std::path::Path;

use super::parse::{Key, Sink, Taken, parse};
use super::reader::{Manner, Reader};
use super::strings::Loaded;
use super::{LoadOptions, Summary};
use crate::error::Result;
use crate::keyspace::{Expiry, Keyspace};
use crate::value::NewValue;

/// Parse a whole file into a new keyspace. Nothing is kept when it fails.
///
/// # Errors
/// `RDB_CORRUPT` (offset and reason), `RDB_TRUNCATED`, `RDB_VERSION_UNSUPPORTED`,
/// `RDB_TYPE_UNSUPPORTED` (names db and key), `RDB_FUNCTIONS_UNSUPPORTED`,
/// `RDB_DATABASE_OUT_OF_RANGE`, `RDB_ALIEN` (not an RDB file), `CANCELLED`, I/O codes.
pub fn load(path: &Path, options: LoadOptions<'_>) -> Result<(Keyspace, Summary)> {
    let LoadOptions { databases, expire_before_ms, is_digested, progress } = options;
    let from = Reader::open(path, Manner { is_past_cache: false, is_digested }, progress)?;
    let mut sink = KeyspaceSink { keyspace: Keyspace::new(databases), expire_before_ms };
    if let Some(now_ms) = expire_before_ms {
        sink.keyspace.tick(now_ms); // keys begin to be idle when they are loaded
    }
    let summary = parse(from, &mut sink, false)?;
    Ok((sink.keyspace, summary))
}

struct KeyspaceSink {
    keyspace: Keyspace,
    expire_before_ms: Option<i64>,
}

impl Sink for KeyspaceSink {
    fn databases(&self) -> usize {
        self.keyspace.databases()
    }

    fn reserve(&mut self, db: usize, keys: usize) {
        self.keyspace.db_mut(db).reserve(keys);
    }

    #[inline]
    fn string(&mut self, key: Key<'_>, value: Loaded<'_>) -> Taken {
        let is_over = |at_ms: i64| self.expire_before_ms.is_some_and(|now_ms| at_ms <= now_ms);
        if key.expire_at_ms.is_some_and(is_over) {
            return Taken::Expired;
        }
        let value = match value {
            Loaded::Int(value) => NewValue::Int(value),
            Loaded::Bytes(bytes) => NewValue::Bytes(bytes),
        };
        let expiry = key.expire_at_ms.map_or(Expiry::Never, Expiry::At);
        match self.keyspace.db_mut(key.db).set(key.name, value, expiry) {
            true => Taken::Duplicate,
            false => Taken::Kept,
        }
    }
}
