//! Cutting a snapshot: fork under the engine lock, write in the child, collect in the parent. R5 owns this room.
//! `child` runs after `_Fork` and keeps I1: no allocation, no lock, no Python; it leaves by `_exit`.

/// Save points, the running child and what the last save did. Under the engine lock.
#[derive(Debug, Default)]
pub struct SaveState {
    /// Unix seconds of the last completed save, or of the start (LASTSAVE).
    pub last_save_unix_s: i64,
    /// `effects.dirty` at the cut of the running save: subtracted when it succeeds.
    pub dirty_at_cut: u64,
    /// The child that runs, whatever its purpose.
    pub child_pid: Option<i32>,
    /// BGSAVE SCHEDULE was asked for while a child ran.
    pub is_bgsave_scheduled: bool,
    /// Whether the last background save failed (stop-writes-on-bgsave-error).
    pub is_last_bgsave_failed: bool,
    /// Unix seconds of the last attempt.
    pub last_attempt_unix_s: i64,
    /// Seconds the last background save took, -1 before the first.
    pub last_bgsave_seconds: i64,
}
