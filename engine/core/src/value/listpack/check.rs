//! Whether bytes are a listpack: everything that a reader relies on, in one walk.
//! Guards I7: what comes from a file or a socket passes here before it becomes a value.

use super::encode::{END, backlen_before, backlen_bytes, entry_bytes};
use super::{COUNT_UNKNOWN, HEADER_BYTES};

/// Check `bytes` as one whole listpack; gives the number of elements. Linear in the bytes, without
/// allocating.
///
/// # Errors
/// What is wrong, in words for a message.
pub fn check(bytes: &[u8]) -> Result<usize, &'static str> {
    let size = bytes.first_chunk().map(|size| u32::from_le_bytes(*size) as usize);
    if size != Some(bytes.len()) || bytes.len() <= HEADER_BYTES {
        return Err("listpack: its size is not what its header says");
    }
    let end = bytes.len() - 1;
    let (mut at, mut count) = (HEADER_BYTES, 0_usize);
    while at < end {
        let size = entry_bytes(bytes, at).ok_or("listpack: an element of no known encoding")?;
        let next = at.saturating_add(size);
        if next > end {
            return Err("listpack: an element runs past the end");
        }
        let len = backlen_before(bytes, next);
        if len.map(|len| len + backlen_bytes(len)) != Some(size) {
            return Err("listpack: an element's length does not match the one after it");
        }
        at = next;
        count += 1;
    }
    if bytes.last() != Some(&END) {
        return Err("listpack: it does not end with its end byte");
    }
    let stored = bytes.get(4..HEADER_BYTES).and_then(|count| count.try_into().ok());
    match stored.map(u16::from_le_bytes) {
        Some(COUNT_UNKNOWN) => Ok(count),
        Some(stored) if usize::from(stored) == count => Ok(count),
        _ => Err("listpack: it does not have as many elements as its header says"),
    }
}
