//! The log's end at an instant, for work that must not become durable before the log is: a
//! `dump.rdb` that shows more than the log would make the next start refuse both.

use std::sync::Arc;
use std::time::Duration;

use super::FileLog;
use crate::error::Result;

/// How long work waits for the log's fsync before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log, and a gate offset in it.
pub struct LogEnd {
    /// The log.
    pub log: Arc<FileLog>,
    /// What was appended then.
    pub offset: u64,
}

impl LogEnd {
    /// Wait until the log is fsynced up to here, whatever the policy.
    ///
    /// # Errors
    /// `LOG_FAILED`, `LOG_TIMEOUT`.
    pub fn wait_fsynced(&self) -> Result<()> {
        self.log.wait_fsynced(self.offset, PATIENCE)
    }
}
