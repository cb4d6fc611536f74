//! Save points: when Redis's `save <seconds> <changes>` asks for a background save. Pure rules, no
//! clock of their own.

use super::SaveState;

/// After a failed attempt the next one waits this long (Redis: CONFIG_BGSAVE_RETRY_DELAY).
pub const RETRY_DELAY_SECONDS: i64 = 5;

/// Whether one of the points (seconds, changes) is reached at `now_unix_s` with `dirty` changes
/// since the last save.
pub fn is_save_due(points: &[(u64, u64)], save: &SaveState, dirty: u64, now_unix_s: i64) -> bool {
    let since_save = now_unix_s.saturating_sub(save.last_save_unix_s);
    let since_attempt = now_unix_s.saturating_sub(save.last_attempt_unix_s);
    let may_try = !save.is_last_bgsave_failed || since_attempt > RETRY_DELAY_SECONDS;
    may_try
        && points.iter().any(|&(seconds, changes)| {
            dirty >= changes && since_save > i64::try_from(seconds).unwrap_or(i64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: &[(u64, u64)] = &[(3600, 1), (300, 100), (60, 10_000)];

    #[test]
    fn a_point_is_reached_by_enough_changes_and_enough_time() {
        let save = SaveState { last_save_unix_s: 1000, ..SaveState::default() };
        for (dirty, seconds, is_due) in [
            (0, 100_000, false),
            (1, 3600, false),
            (1, 3601, true),
            (99, 301, false),
            (100, 301, true),
            (10_000, 60, false),
            (10_000, 61, true),
        ] {
            assert_eq!(
                is_save_due(POINTS, &save, dirty, 1000 + seconds),
                is_due,
                "{dirty} {seconds}"
            );
        }
        assert!(!is_save_due(&[], &save, 1_000_000, 1_000_000));
    }

    #[test]
    fn a_failed_save_is_tried_again_after_a_delay() {
        let save = SaveState {
            last_save_unix_s: 0,
            last_attempt_unix_s: 10_000,
            is_last_bgsave_failed: true,
            ..SaveState::default()
        };
        assert!(!is_save_due(POINTS, &save, 5, 10_005));
        assert!(is_save_due(POINTS, &save, 5, 10_006));
    }
}
