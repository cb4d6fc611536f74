//! Writing the ring: one record a group, each behind the one before. File calls go through the C
//! library, so that a fault-injection shim sees them. Who has a ring is the only one to write it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{BLOCK_BYTES, HEAD_BYTES, Nonce, RING_BYTES, Record, first_block};
use crate::durable;
use crate::error::{EngineError, Result};
use crate::failpoint;
use crate::random::fill_random;

/// As every file of the data dir: the group may read.
const FILE_MODE: u32 = 0o640;

/// A ring that is written to.
#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    file: File,
    nonce: Nonce,
    /// Where the next record begins.
    at: usize,
    buffer: Vec<u8>,
}

impl Ring {
    /// Make the ring, or take the one that is there: what it held counts no more. So what a start
    /// needs of it must be durable elsewhere. Blocks on the disk, for a file that is new some
    /// milliseconds.
    ///
    /// # Errors
    /// I/O codes. What is there then is no ring, or an old one, or this one.
    pub fn open(path: &Path) -> Result<Self> {
        let wrap = |error| EngineError::from_io("open", path, &error);
        let (file, is_new) = Self::open_file(path).map_err(wrap)?;
        if is_new {
            durable::fsync_directory(path)?;
        }
        let mut nonce = Nonce::default();
        fill_random(&mut nonce);
        file.write_all_at(&first_block(nonce), 0).map_err(wrap)?;
        file.sync_all().map_err(wrap)?;
        Ok(Self { path: path.to_owned(), file, nonce, at: BLOCK_BYTES, buffer: Vec::new() })
    }

    /// A file of a ring's length, and whether it was not there.
    fn open_file(path: &Path) -> io::Result<(File, bool)> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(path)?;
        let is_new = file.metadata()?.len() != RING_BYTES as u64;
        if is_new {
            file.set_len(0)?;
            file.write_all_at(&vec![0; RING_BYTES], 0)?; // a hole would have no blocks
        }
        Ok((file, is_new))
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a group of so many bytes has room.
    pub fn has_room(&self, payload_bytes: usize) -> bool {
        payload_bytes <= RING_BYTES - HEAD_BYTES
            && self.at + HEAD_BYTES + payload_bytes <= RING_BYTES
    }

    /// Write a record that has room, and fsync. After an error this ring is to be used no more; what
    /// it held stays valid.
    ///
    /// # Errors
    /// The operating system's.
    pub fn commit(&mut self, record: &Record<'_>) -> io::Result<()> {
        failpoint::hit("aof.ring_write")?;
        self.buffer.clear();
        record.write(self.nonce, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.at as u64)?;
        failpoint::hit("aof.ring_written")?;
        self.file.sync_data()?;
        self.at += self.buffer.len().next_multiple_of(BLOCK_BYTES);
        failpoint::hit("aof.ring_fsynced")
    }

    /// All that the ring holds is durable in the log's file: begin again.
    pub fn restart(&mut self) {
        self.at = BLOCK_BYTES;
    }
}

/// The ring at `path`, if one is there, holds nothing any more, durably: what it held is in the log's
/// files and on the disk. One that takes no bytes is deleted.
///
/// # Errors
/// I/O codes: it may still count.
pub fn forget(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    if clear(path).is_ok() {
        return Ok(());
    }
    std::fs::remove_file(path).map_err(|error| EngineError::from_io("delete", path, &error))?;
    durable::fsync_directory(path)
}

fn clear(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[0; BLOCK_BYTES], 0)?;
    file.sync_all()
}
