//! How many keys a database will have when its log is replayed, guessed from how it grows: so that
//! stripes are split while they hold little, and not each thousand keys in turn. A guess, told to
//! `Db::expect`, which costs next to nothing where it is wrong.

use crate::keyspace::Keyspace;

/// Files shorter than this are replayed before anything is known.
const FILE_BYTES_MIN: u64 = 8 << 20;
/// The first look comes after this part of a file, the others each time as much again was replayed.
const FIRST_LOOK_PART: u64 = 64;
/// A database is not expected to become more than so many times as large until the next look.
const GROWTH_MAX: usize = 8;

/// What was seen of the growth.
#[derive(Debug, Default)]
pub struct Foresight {
    /// The next look, in bytes of the file.
    next_at: u64,
    /// At the last one.
    done: u64,
    db: usize,
    keys: usize,
}

impl Foresight {
    /// `done` bytes of a file of `size` are replayed, and commands go to `db`.
    pub fn note(&mut self, done: u64, size: u64, db: usize, keyspace: &mut Keyspace) {
        let database = keyspace.db_mut(db);
        if let Some(keys) = self.look((done, size), db, database.len()) {
            database.expect(keys);
        }
    }

    /// How many keys to expect in `db`, if it is time to say and something is known.
    fn look(&mut self, (done, size): (u64, u64), db: usize, keys: usize) -> Option<usize> {
        if size < FILE_BYTES_MIN || done < self.next_at {
            return None;
        }
        let next_at = done.saturating_mul(2).max(size / FIRST_LOOK_PART);
        let before = std::mem::replace(self, Self { next_at, done, db, keys });
        if before.next_at == 0 || before.db != db {
            return None;
        }
        let grown = keys.saturating_sub(before.keys) as u64;
        let (span, left) = (done.saturating_sub(before.done).max(1), size.saturating_sub(done));
        let to_come = usize::try_from(grown.saturating_mul(left) / span).unwrap_or(usize::MAX);
        Some(keys.saturating_add(to_come).min(keys.saturating_mul(GROWTH_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64 << 20;

    /// What is expected while a file of 64 MiB is replayed a MiB at a time; `keys` after so many.
    fn expected(keys: impl Fn(u64) -> usize) -> Vec<usize> {
        let mut foresight = Foresight::default();
        let mib = 1..=SIZE >> 20;
        mib.filter_map(|it| foresight.look((it << 20, SIZE), 0, keys(it))).collect()
    }

    #[test]
    fn a_log_of_new_keys_is_foreseen_within_a_few_looks() {
        let found = expected(|mib| 1000 * mib as usize);
        assert_eq!(found, [16_000, 32_000, 64_000, 64_000, 64_000, 64_000]);
    }

    #[test]
    fn keys_that_were_there_are_no_growth_and_those_that_go_are_none() {
        assert_eq!(expected(|_| 5000), [5000; 6]);
        assert_eq!(expected(|mib| 5000 - 10 * mib as usize).last(), Some(&4360));
    }

    #[test]
    fn nothing_is_said_of_a_short_file_or_of_another_database() {
        let mut foresight = Foresight::default();
        assert_eq!(foresight.look((1, FILE_BYTES_MIN - 1), 0, 10), None);
        assert_eq!(foresight.look((0, SIZE), 0, 0), None);
        assert_eq!(foresight.look((SIZE / 2, SIZE), 1, 1000), None);
        assert_eq!(foresight.look((SIZE, SIZE), 1, 2000), Some(2000));
    }

    #[test]
    fn figures_that_overflow_are_bounded() {
        let mut foresight = Foresight::default();
        foresight.look((0, u64::MAX), 0, 0);
        assert!(foresight.look((u64::MAX / 4, u64::MAX), 0, usize::MAX).is_some());
    }
}
