//! The hash of keys: keyed, 64 bits, the same key in every database of the process (entries move
//! between databases). The key is drawn anew at each start, so that nobody can choose keys that
//! collide (flooding). Not stored anywhere: SCAN cursors are bounds in this hash space and mean
//! nothing after a restart, as in Redis.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use ahash::RandomState;

/// The hash of a key, computed once: to prefetch first and look up later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub u64);

/// The hash function with its secret.
#[derive(Debug, Clone)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    /// The process's own, with random keys from the system (through the seeds of std's hash maps).
    pub fn of_process() -> Self {
        static PROCESS: OnceLock<RandomState> = OnceLock::new();
        let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self(
            PROCESS
                .get_or_init(|| RandomState::with_seeds(random(), random(), random(), random()))
                .clone(),
        )
    }

    /// A reproducible one, for tests.
    #[cfg(test)]
    pub fn of_seed(seed: u64) -> Self {
        Self(RandomState::with_seeds(seed, !seed, seed.rotate_left(17), seed ^ 0x9E37_79B9))
    }

    /// Hash a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.0.hash_one(key))
    }
}
