//! When a small collection stops being packed: Redis's thresholds, as `config` reads them from the
//! directives that each field names. What packed forms look like stands with each type. A threshold
//! is looked at when a collection changes, so a new one touches what exists only then.

use crate::limits::BULK_BYTES_MAX;

/// Most members of a set that is packed as a listpack. Redis 7.0 has no such form, so no directive
/// names this; it is what later versions have.
pub const SET_ENTRIES: usize = 128;
/// Longest member in one.
pub const SET_VALUE_BYTES: usize = 64;
/// However large `set-max-intset-entries` is, an intset stops here: the next integer, whatever its
/// width and theirs, still fits an entry.
pub const SET_INTS_MAX: usize = BULK_BYTES_MAX / 8 - 2;

/// The thresholds in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// `hash-max-listpack-entries`: most fields of a packed hash.
    pub hash_entries: usize,
    /// `hash-max-listpack-value`: longest field or value in one.
    pub hash_value_bytes: usize,
    /// `zset-max-listpack-entries`: most members of a packed sorted set.
    pub zset_entries: usize,
    /// `zset-max-listpack-value`: longest member in one.
    pub zset_value_bytes: usize,
    /// `set-max-intset-entries`: most integers of a packed set.
    pub set_int_entries: usize,
    /// `list-max-listpack-size`: a list's node holds so many elements, or, below zero, so many
    /// bytes: -1 is 4 KiB, -2 8 KiB and so on to -5 (and anything less), 64 KiB.
    pub list_node: i32,
}

impl Packing {
    /// Most integers of an intset.
    pub fn ints_max(&self) -> usize {
        self.set_int_entries.min(SET_INTS_MAX)
    }
}

impl Default for Packing {
    /// Redis 7.0's.
    fn default() -> Self {
        Self {
            hash_entries: 512,
            hash_value_bytes: 64,
            zset_entries: 128,
            zset_value_bytes: 64,
            set_int_entries: 512,
            list_node: -2,
        }
    }
}
