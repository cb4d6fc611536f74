//! The RDB format: version 10 is written, versions 1-12 are read, every encoding of the five types
//! (others are refused by name with their key). Pure codec: no fork, no log. `save` runs in the
//! fork child and allocates nothing (I1).
//!
//! `format` the bytes · `save` and `parse` the framing, side by side · `save_collection` and
//! `load_collection` the collections · `strings` lengths and strings both ways · `ziplist`,
//! `zipmap` packed forms that are read only, `packed` what they share · `pass_over` what is not
//! kept · `lzf`, `crc` · `writer`, `reader` (over `read_ahead`) the file · `load` into a keyspace ·
//! `verify` into nothing · `inspect` into counts · `head` what stands before the keys. `docs/formats/rdb.md` is the same in prose.

mod crc;
mod format;
mod head;
mod inspect;
mod load;
mod load_collection;
mod lzf;
mod packed;
mod parse;
mod pass_over;
mod reader;
mod save;
mod save_collection;
mod strings;
mod verify;
mod writer;
mod ziplist;
mod zipmap;

pub(crate) use crc::Crc64;
pub use head::{data_end, is_rdb, log_position_of, parse_position};
pub use inspect::{BigKey, EncodingCounts, InspectOptions, Inspection, TOP_MAX, inspect};
pub use load::load;
pub use save::{AUX_LOG_POSITION, SaveScratch, save, saved_value_bytes};
pub use verify::verify;
pub(crate) use writer::Writer;

use crate::aof::LogPosition;
use crate::value::packing::Packing;

/// Aux fields and switches of a file to be written. Text is prepared before a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveOptions {
    /// `rdbcompression`.
    pub is_compressed: bool,
    /// `rdbchecksum`.
    pub is_checksummed: bool,
    /// Unix seconds for the aux field `ctime`.
    pub ctime_unix_s: i64,
    /// Bytes for the aux field `used-mem`.
    pub used_memory_bytes: u64,
    /// The file is the base of a log (aux field `aof-base`).
    pub is_log_base: bool,
    /// Where the log stood; none without a log ([`AUX_LOG_POSITION`]).
    pub log_position: Option<LogPosition>,
    /// A base of plain commands begins with a line that tells the time.
    pub is_timestamped: bool,
    /// The kernel is asked to begin writing back on the way, so that the fsync at the end does not
    /// wait for the whole file (`aof-rewrite-incremental-fsync`).
    pub is_written_back: bool,
}

impl Default for SaveOptions {
    /// Compressed, with a checksum, no base of a log.
    fn default() -> Self {
        Self {
            is_compressed: true,
            is_checksummed: true,
            ctime_unix_s: 0,
            used_memory_bytes: 0,
            is_log_base: false,
            log_position: None,
            is_timestamped: false,
            is_written_back: true,
        }
    }
}

/// Progress of a save: keys written so far, told every few thousand keys and every MiB. Answering
/// `false` ends the save (the parent is gone, or it was cancelled).
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Keys in it.
    pub keys: u64,
}

/// What a file says of itself and what was counted in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Version in the header.
    pub rdb_version: u32,
    /// Aux fields in order (at most 256; a value is cut after 1 KiB).
    pub aux: Vec<(String, String)>,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Per database that has keys: index, keys, keys with an expiry, keys by type name. Counts are
    /// the file's, keys left out by [`LoadOptions::expire_before_ms`] included.
    pub databases: Vec<DatabaseSummary>,
    /// Keys left out because their time was over when loading.
    pub expired_skipped: u64,
    /// Collections without elements, which are no keys: left out, and counted nowhere else.
    pub empty_skipped: u64,
    /// Function libraries.
    pub functions: u64,
    /// Whether the file carries a checksum (it was right then).
    pub is_checksummed: bool,
    /// Bytes after the end, which a load ignores and [`verify`] refuses.
    pub trailing_bytes: u64,
    /// SHA-256 of the whole file, lower-case hex; empty when it was not asked for.
    pub sha256: String,
}

impl Summary {
    /// Keys in the file.
    pub fn keys(&self) -> u64 {
        self.databases.iter().map(|db| db.keys).sum()
    }
    /// Keys with an expiry in the file.
    pub fn expires(&self) -> u64 {
        self.databases.iter().map(|db| db.expires).sum()
    }
    /// An aux field's value.
    pub fn aux_value(&self, name: &str) -> Option<&str> {
        self.aux.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
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
    /// Which collections stay packed.
    pub packing: Packing,
    /// Keys that end at or before this instant are left out (`None` keeps all).
    pub expire_before_ms: Option<i64>,
    /// When it is now, if all keys are kept nevertheless (the base of a log: what follows may give
    /// one a longer time). Keys begin to be idle then.
    pub now_ms: Option<i64>,
    /// Take the SHA-256 of the file on the way ([`Summary::sha256`]).
    pub is_digested: bool,
    /// Bytes read so far and in all, told about every MiB; answering `false` cancels (`CANCELLED`).
    pub progress: &'a mut dyn FnMut(u64, u64) -> bool,
}

impl<'a> LoadOptions<'a> {
    /// With Redis's thresholds, every key kept, no SHA-256.
    pub fn new(databases: usize, progress: &'a mut dyn FnMut(u64, u64) -> bool) -> Self {
        let packing = Packing::default();
        let (expire_before_ms, now_ms) = (None, None);
        Self { databases, packing, expire_before_ms, now_ms, is_digested: false, progress }
    }
}
