//! The commit ring: a small file that is overwritten in a circle. Under `always` a group of writes
//! goes to the log's file as ever, and into the ring, and only the ring is fsynced before the
//! replies leave: its blocks are there already, so that an fsync costs no journal of the file system.
//! `docs/formats/ring.md` has the layout. Here: what a ring is and what is in it; writing is
//! `writing`'s, the log's half of it `log`'s, and what a start takes from it `filling`'s business.
//!
//! A valid record is true for ever: those bytes stood at that offset of that file. So it does no
//! harm that old ones stay until they are overwritten.

mod filling;
mod writing;

pub use filling::{Filled, fill, holds_behind, missing};
pub use writing::{Ring, forget};

use crate::rdb::Crc64;

/// The file's length.
pub const RING_BYTES: usize = 1 << 20;
/// Records begin at multiples of this: a disk writes no less at once.
pub const BLOCK_BYTES: usize = 512;
/// A record before its payload.
pub const HEAD_BYTES: usize = 48;

const NONCE_BYTES: usize = 16;
const RING_MARK: &[u8; 8] = b"PDRING01";
const RECORD_MARK: &[u8; 8] = b"PDRINGRE";
const SUM_AT: usize = 40;

/// Drawn by each process that opens the ring. Every checksum depends on it: older records are valid
/// no more, and no value that a client writes can pass for a record.
pub type Nonce = [u8; NONCE_BYTES];

/// Bytes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of the log that they belong to.
    pub epoch: u64,
    /// The number of the incremental in which they stand.
    pub seq: u64,
    /// Where they stand in it.
    pub offset: u64,
    /// The bytes.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Append the record to `out`.
    fn write(&self, nonce: Nonce, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(RECORD_MARK);
        for number in [self.epoch, self.seq, self.offset, self.payload.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(nonce, &out[begin..begin + SUM_AT], self.payload);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// The first block of a ring.
fn first_block(nonce: Nonce) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..8].copy_from_slice(RING_MARK);
    block[8..24].copy_from_slice(&nonce);
    let sum = checksum(nonce, RING_MARK, &[]);
    block[24..32].copy_from_slice(&sum.to_le_bytes());
    block
}

/// The nonce of a ring; `None`: these bytes are none.
fn nonce_of(ring: &[u8]) -> Option<Nonce> {
    let nonce = ring.get(8..24)?.try_into().ok()?;
    (ring.get(..BLOCK_BYTES)? == first_block(nonce)).then_some(nonce)
}

/// The valid records of a ring, as they stand in it. None if these bytes are no ring.
pub fn records(ring: &[u8]) -> Vec<Record<'_>> {
    let Some(nonce) = nonce_of(ring) else { return Vec::new() };
    let mut found = Vec::new();
    let mut at = BLOCK_BYTES;
    while at + HEAD_BYTES <= ring.len() {
        // Inside of a valid record nothing else is looked for.
        let record = read_record(nonce, &ring[at..]);
        let bytes = record.map_or(1, |record| HEAD_BYTES + record.payload.len());
        at += bytes.next_multiple_of(BLOCK_BYTES);
        found.extend(record);
    }
    found
}

fn read_record(nonce: Nonce, bytes: &[u8]) -> Option<Record<'_>> {
    let head = bytes.get(..HEAD_BYTES)?;
    let number = |at: usize| head.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    if &head[..8] != RECORD_MARK {
        return None;
    }
    let length = usize::try_from(number(32)?).ok()?;
    let payload = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(length)?)?;
    let is_valid = number(SUM_AT)? == checksum(nonce, &head[..SUM_AT], payload);
    let record = Record { epoch: number(8)?, seq: number(16)?, offset: number(24)?, payload };
    is_valid.then_some(record)
}

fn checksum(nonce: Nonce, head: &[u8], payload: &[u8]) -> u64 {
    let mut sum = Crc64::new();
    sum.update(&nonce);
    sum.update(head);
    sum.update(payload);
    sum.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = [7; NONCE_BYTES];

    fn record(offset: u64, payload: &[u8]) -> Record<'_> {
        Record { epoch: 3, seq: 2, offset, payload }
    }

    fn ring_of(records: &[(usize, Record<'_>)]) -> Vec<u8> {
        let mut ring = vec![0; RING_BYTES];
        ring[..BLOCK_BYTES].copy_from_slice(&first_block(NONCE));
        for (block, record) in records {
            let mut bytes = Vec::new();
            record.write(NONCE, &mut bytes);
            ring[block * BLOCK_BYTES..][..bytes.len()].copy_from_slice(&bytes);
        }
        ring
    }

    #[test]
    fn what_was_written_is_read() {
        let long = vec![b'x'; 3000];
        let put = [(1, record(0, b"abc")), (2, record(3, &long)), (9, record(3003, b"d"))];
        assert_eq!(records(&ring_of(&put)), put.map(|(_, record)| record));
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_none() {
        let whole = ring_of(&[(1, record(5, b"abcdef"))]);
        for at in BLOCK_BYTES..BLOCK_BYTES + HEAD_BYTES + 6 {
            for bit in 0..8 {
                let mut ring = whole.clone();
                ring[at] ^= 1 << bit;
                assert_eq!(records(&ring), [], "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_inside_of_a_value_is_not_taken_without_the_nonce() {
        let mut forged = vec![0; BLOCK_BYTES - HEAD_BYTES];
        record(9, b"forged").write([0; NONCE_BYTES], &mut forged);
        let outer = record(0, &forged);
        assert_eq!(records(&ring_of(&[(1, outer)])), [outer]);
        let mut ring = ring_of(&[(1, outer)]);
        ring[BLOCK_BYTES] = b'?'; // the outer one is overwritten
        assert_eq!(records(&ring), []);
    }

    #[test]
    fn another_nonce_ends_all_records() {
        let mut ring = ring_of(&[(1, record(0, b"abc"))]);
        ring[..BLOCK_BYTES].copy_from_slice(&first_block([8; NONCE_BYTES]));
        assert_eq!(records(&ring), []);
        assert_eq!(records(&ring[..100]), []);
        assert_eq!(records(&[0; 4096]), []);
    }
}
