//! Chance, for the commands that pick: RANDOMKEY, SPOP, SRANDMEMBER, HRANDFIELD, ZRANDMEMBER. Good
//! enough to pick fairly, not for secrets.

use std::sync::atomic::{AtomicU64, Ordering};

/// 64 random bits (splitmix64).
pub fn draw() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = SEED.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number below `bound`; 0 when `bound` is 0.
pub fn below(bound: usize) -> usize {
    ((u128::from(draw()) * bound as u128) >> 64) as usize
}
