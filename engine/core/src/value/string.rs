//! What changes a string in place: APPEND and SETRANGE (and, on top of them, the bit commands).
//! Safe code over `entry`; limits on the resulting length are the commands'
//! (`limits::BULK_BYTES_MAX`).

use super::entry::Entry;
use crate::alloc::Ledger;

/// Add bytes at the end; gives the entry (it may have moved) and the new length. An integer becomes
/// text first.
pub(crate) fn append(entry: Entry, bytes: &[u8], ledger: &mut Ledger) -> (Entry, usize) {
    let old_len = entry.as_ref().value().text().len();
    let mut entry = entry.into_raw(old_len + bytes.len(), ledger);
    entry.raw_bytes_mut()[old_len..].copy_from_slice(bytes);
    (entry, old_len + bytes.len())
}

/// Overwrite from `offset`, with zeros up to it; gives the entry (it may have moved) and the new
/// length.
pub(crate) fn set_range(
    entry: Entry,
    offset: usize,
    bytes: &[u8],
    ledger: &mut Ledger,
) -> (Entry, usize) {
    let len = entry.as_ref().value().text().len().max(offset + bytes.len());
    let mut entry = entry.into_raw(len, ledger);
    entry.raw_bytes_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    (entry, len)
}
