//! Making the next file of a log: empty, with a name that is durable and that no file ever had.
//! Who lists it in the manifest, and when, is the caller's business: until then it is a leftover
//! that nobody reads.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;

use super::layout::Layout;
use super::manifest::{Listed, Manifest};
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;

/// As every file of the data dir: the group may read.
const FILE_MODE: u32 = 0o640;
/// Leftovers with names of ours that are passed over.
const LEFTOVERS_MAX: u64 = 10_000;

/// Create the next incremental of a log, open for appending. Blocks on the disk.
///
/// # Errors
/// I/O codes; nothing is left then but at most the empty file.
pub fn create_incr(layout: &Layout, manifest: &Manifest) -> Result<(Listed, File)> {
    let mut seq = manifest.next_incr();
    let last = seq.saturating_add(LEFTOVERS_MAX);
    loop {
        let name = layout.incr_name(seq);
        let path = layout.path(&name);
        let wrap = |error| EngineError::from_io("create", &path, &error);
        let opened = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&path);
        match opened {
            Ok(file) => {
                failpoint::hit("aof.incr_created").map_err(wrap)?;
                durable::fsync_directory(&path)?;
                return Ok((Listed { name, seq }, file));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && seq < last => seq += 1,
            Err(error) => return Err(wrap(error)),
        }
    }
}

/// What the next base is called; a leftover of that name is passed over.
pub fn next_base(layout: &Layout, manifest: &Manifest, is_rdb: bool) -> Listed {
    let mut seq = manifest.next_base();
    let last = seq.saturating_add(LEFTOVERS_MAX);
    loop {
        let name = layout.base_name(seq, is_rdb);
        if seq >= last || layout.path(&name).symlink_metadata().is_err() {
            return Listed { name, seq };
        }
        seq += 1;
    }
}

/// The epoch of a log that begins now: later than `last`, and than any that an old image of this
/// disk could have begun.
pub fn next_epoch(last: u64, now_unix_ms: i64) -> u64 {
    last.saturating_add(1).max(u64::try_from(now_unix_ms).unwrap_or(0))
}
