//! The checksum of RDB files: CRC-64 with Redis's polynomial, start and end value 0, reflected. The
//! arithmetic is `crc-fast`'s; this seam keeps it warm before a fork, since its first use detects
//! the processor's features (I1).

use crc_fast::{CrcAlgorithm, Digest};

/// A running checksum.
#[derive(Clone, Copy)]
pub(crate) struct Crc64(Digest);

impl Crc64 {
    /// The checksum of nothing.
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    /// Take every path that later input can take, so that nothing is initialised in the fork child.
    pub(crate) fn warm_up() {
        let zeros = [0_u8; 2048];
        let mut warm = Self::new();
        (0..zeros.len()).step_by(7).for_each(|size| warm.update(zeros.get(..size).unwrap_or(&[])));
        std::hint::black_box(warm.value());
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_redis_own_however_the_input_is_cut() {
        let mut whole = Crc64::new();
        whole.update(b"123456789");
        assert_eq!(whole.value(), 0xe9c6_d914_c4b8_d9ca);
        let bytes: Vec<u8> = (0..5000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let mut once = Crc64::new();
        once.update(&bytes);
        let mut pieces = Crc64::new();
        bytes.chunks(17).for_each(|piece| pieces.update(piece));
        assert_eq!(once.value(), pieces.value());
        assert_eq!(Crc64::new().value(), 0);
    }
}
