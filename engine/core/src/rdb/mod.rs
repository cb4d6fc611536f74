//! The RDB format, version 10 written, versions 1-12 framed on reading (strings today; other types are refused by name with
//! their key). Pure codec: no fork, no thread, no log. R2 owns this room. `save` runs in the fork child: it allocates nothing (I1).

use std::os::fd::RawFd;
use std::path::Path;

use crate::error::Result;
use crate::keyspace::Keyspace;

/// Aux fields and switches of a file to be written. Text is prepared before a fork.
#[derive(Debug, Clone)]
pub struct SaveOptions {
    /// `rdbcompression`.
    pub is_compressed: bool,
    /// `rdbchecksum`.
    pub is_checksummed: bool,
    /// Unix seconds for the aux field `ctime`.
    pub ctime_unix_s: i64,
    /// Bytes for the aux field `used-mem`.
    pub used_memory_bytes: u64,
}

/// Memory that a save works in, made before the fork (write buffer, LZF table, number texts).
pub struct SaveScratch {}

impl SaveScratch {
    /// Allocate everything that [`save`] needs.
    pub fn new(_options: &SaveOptions) -> Self {
        Self {}
    }
}

/// Progress of a save, told every few thousand keys; answering `false` ends the save (the parent is gone, or it was cancelled).
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Keys in it.
    pub keys: u64,
}

/// Write the whole keyspace to `fd` (not fsynced). Allocates nothing, takes no lock.
///
/// # Errors
/// The operating system's error number, or `ECANCELED` when `progress` said stop.
pub fn save(
    _keyspace: &Keyspace,
    _options: &SaveOptions,
    _scratch: &mut SaveScratch,
    _fd: RawFd,
    _progress: Progress<'_>,
) -> std::result::Result<Saved, i32> {
    todo!()
}

/// What a file says of itself and what was counted in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Version in the header.
    pub rdb_version: u32,
    /// Aux fields in order.
    pub aux: Vec<(String, String)>,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Per database: index, keys, keys with an expiry, keys by type name.
    pub databases: Vec<DatabaseSummary>,
    /// Keys left out because their time was over when loading.
    pub expired_skipped: u64,
    /// SHA-256 of the whole file, lower-case hex (filled by [`verify`] and [`load`]).
    pub sha256: String,
}

/// Counts of one database of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseSummary {
    /// Its number.
    pub index: u32,
    /// Keys.
    pub keys: u64,
    /// Keys with an expiry.
    pub expires: u64,
    /// Keys by type name.
    pub types: Vec<(&'static str, u64)>,
}

/// How to load.
pub struct LoadOptions<'a> {
    /// Databases of the target; a file that selects a higher one is refused.
    pub databases: usize,
    /// Keys that end at or before this instant are left out (`None` keeps all).
    pub expire_before_ms: Option<i64>,
    /// Bytes read so far and in all; answering `false` cancels (`CANCELLED`).
    pub progress: &'a mut dyn FnMut(u64, u64) -> bool,
}

/// Parse a whole file into a new keyspace. Nothing is kept when it fails.
///
/// # Errors
/// `RDB_CORRUPT` (offset and reason), `RDB_TRUNCATED`, `RDB_VERSION_UNSUPPORTED`, `RDB_TYPE_UNSUPPORTED` (names db and key),
/// `RDB_ALIEN` (not an RDB file), `CANCELLED`, I/O codes.
pub fn load(_path: &Path, _options: LoadOptions<'_>) -> Result<(Keyspace, Summary)> {
    todo!()
}

/// Parse a whole file, past the page cache, keeping nothing: the read-back that makes a snapshot count.
///
/// # Errors
/// As [`load`].
pub fn verify(_path: &Path, _progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Summary> {
    todo!()
}
