//! The two ways to make a file durable (I4): `replace_file` and `create_file`, callable as prepare and commit.
//! File calls go through libc, so that a fault-injection shim sees them. R2 owns this file.

use std::path::{Path, PathBuf};

use crate::error::Result;

/// A file that is written and fsynced under a temporary name in its directory, not yet visible. Dropped: removed.
pub struct Prepared {
    /// The temporary name.
    pub temporary: PathBuf,
    /// The name it will have.
    pub target: PathBuf,
    /// Whether an existing target is replaced (else refused).
    pub is_replacing: bool,
}

/// Write `fill`'s bytes beside `target`: temporary name, write, length check, fsync, close. Nothing is visible yet.
///
/// # Errors
/// I/O codes; the temporary file is gone then.
pub fn prepare_file(
    _target: &Path,
    _is_replacing: bool,
    _fill: &mut dyn FnMut(std::os::fd::RawFd) -> std::result::Result<u64, i32>,
) -> Result<Prepared> {
    todo!()
}

impl Prepared {
    /// The commit point: rename (or link, when not replacing). Not durable before [`fsync_directory`].
    ///
    /// # Errors
    /// I/O codes, `FILE_EXISTS`.
    pub fn rename(self) -> Result<()> {
        todo!()
    }
    /// Rename and fsync the directory.
    ///
    /// # Errors
    /// As [`Prepared::rename`].
    pub fn commit(self) -> Result<()> {
        todo!()
    }
}

/// Make the names in the directory of `path` durable.
///
/// # Errors
/// I/O codes.
pub fn fsync_directory(_path: &Path) -> Result<()> {
    todo!()
}
