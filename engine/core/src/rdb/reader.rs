//! The file as the parser sees it: bytes with an offset and a checksum, in blocks that are read
//! ahead (`read_ahead`). It knows lengths only as far as the file goes on (I7): a claim past the
//! file's end is `RDB_TRUNCATED`, not memory. What the bytes mean stands in `strings` and `parse`.

#![allow(unsafe_code)] // posix_fadvise

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::crc::Crc64;
use crate::error::{EngineError, Result};
use crate::read_ahead::{Block, Blocks, HEADROOM_BYTES};

/// Progress is told so often.
const PROGRESS_BYTES: u64 = 1024 * 1024;

/// Bytes read and bytes in all; `false` cancels.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// What is read comes from the disk, not from the page cache (the file is fsynced first).
    pub(super) is_past_cache: bool,
    /// The SHA-256 of the whole file is wanted.
    pub(super) is_digested: bool,
}

/// A file being read from its beginning to its end.
pub(super) struct Reader<'a> {
    blocks: Blocks,
    path: &'a Path,
    progress: Progress<'a>,
    told_bytes: u64,
    /// Length of the file when it was opened.
    size_bytes: u64,
    is_digested: bool,
    buffer: Vec<u8>,
    /// The next byte to give out, in the buffer.
    at: usize,
    /// The end of what was read, in the buffer.
    end: usize,
    /// Where that end stands in the file.
    read_bytes: u64,
    /// The checksum of everything before `summed` in the buffer; never beyond `at`.
    crc: Crc64,
    summed: usize,
}

impl<'a> Reader<'a> {
    /// Open a regular file.
    pub(super) fn open(path: &'a Path, manner: Manner, progress: Progress<'a>) -> Result<Self> {
        let wrap = |error: std::io::Error| EngineError::from_io("read", path, &error);
        // Without O_NONBLOCK a named pipe would hold the open until somebody writes.
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(wrap)?;
        let found = file.metadata().map_err(wrap)?;
        if !found.is_file() {
            return Err(alien(path, "it is not a regular file"));
        }
        if manner.is_past_cache {
            // Only clean pages can be dropped, so they go to the disk first.
            file.sync_all().map_err(wrap)?;
            advise(&file, libc::POSIX_FADV_DONTNEED);
        }
        advise(&file, libc::POSIX_FADV_SEQUENTIAL);
        Ok(Self {
            blocks: Blocks::of(file, found.len(), manner.is_digested).map_err(wrap)?,
            path,
            progress,
            told_bytes: 0,
            size_bytes: found.len(),
            is_digested: manner.is_digested,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            read_bytes: 0,
            crc: Crc64::new(),
            summed: 0,
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where the next byte stands in the file.
    pub(super) fn offset(&self) -> u64 {
        self.read_bytes - (self.end - self.at) as u64
    }

    /// The next byte.
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8> {
        match self.take(1)? {
            [byte, ..] => Ok(*byte),
            [] => Err(self.truncated(1)),
        }
    }

    /// The next `N` bytes.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.take(N)?.first_chunk() {
            Some(bytes) => Ok(*bytes),
            None => Err(self.truncated(N)),
        }
    }

    /// The next `size` bytes, borrowed from the buffer.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> Result<&[u8]> {
        if self.end - self.at < size {
            self.fill(size)?;
        }
        let from = self.at;
        self.at += size;
        Ok(&self.buffer[from..from + size])
    }

    /// Whether `size` more bytes are there.
    pub(super) fn has(&self, size: usize) -> bool {
        self.size_bytes.saturating_sub(self.offset()) >= size as u64
    }

    /// The checksum of everything given out so far.
    pub(super) fn checksum(&mut self) -> u64 {
        self.crc.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.crc.value()
    }

    /// End the reading. Gives how many bytes were left and the SHA-256 of the whole file, for whose
    /// sake they are read (empty if it was not wanted).
    pub(super) fn finish(mut self) -> Result<(u64, String)> {
        let left = self.size_bytes - self.offset();
        while self.is_digested && self.read_bytes < self.size_bytes {
            self.at = self.end;
            self.fill(1)?;
        }
        self.tell_progress()?;
        let wrap = |error| EngineError::from_io("read", self.path, &error);
        Ok((left, self.blocks.sha256().map_err(wrap)?))
    }

    /// Make `size` bytes available behind `at`.
    #[cold]
    fn fill(&mut self, size: usize) -> Result<()> {
        if !self.has(size) {
            return Err(self.truncated(size));
        }
        while self.end - self.at < size {
            match self.blocks.next() {
                Ok(Some(block)) => self.adopt(block, size),
                Ok(None) => return Err(self.truncated(size)),
                Err(error) => return Err(EngineError::from_io("read", self.path, &error)),
            }
        }
        if self.read_bytes - self.told_bytes >= PROGRESS_BYTES {
            self.tell_progress()?;
        }
        Ok(())
    }

    /// Go on in `block`, after what is left of the one before; `size` bytes are wanted in one
    /// piece.
    fn adopt(&mut self, mut block: Block, size: usize) {
        let left = self.end - self.at;
        self.read_bytes += block.len as u64;
        self.crc = block.crc_before;
        if left <= HEADROOM_BYTES {
            let start = HEADROOM_BYTES - left;
            block.bytes[start..HEADROOM_BYTES].copy_from_slice(&self.buffer[self.at..self.end]);
            let spent = std::mem::replace(&mut self.buffer, block.bytes);
            self.blocks.give_back(spent);
            (self.at, self.summed, self.end) = (start, HEADROOM_BYTES, HEADROOM_BYTES + block.len);
            return;
        }
        // A long string: gathered. The file has so many bytes, so the memory is warranted.
        let read = &block.bytes[HEADROOM_BYTES..HEADROOM_BYTES + block.len];
        self.buffer.copy_within(self.at..self.end, 0);
        self.buffer.truncate(left);
        self.buffer.reserve_exact(size.max(left + read.len()) - left);
        self.buffer.extend_from_slice(read);
        (self.at, self.summed, self.end) = (0, left, self.buffer.len());
        self.blocks.give_back(block.bytes);
    }

    fn tell_progress(&mut self) -> Result<()> {
        self.told_bytes = self.read_bytes;
        if (self.progress)(self.read_bytes, self.size_bytes) {
            return Ok(());
        }
        let text = format!("reading {} was cancelled", self.path.display());
        Err(EngineError::new("CANCELLED", text, "Start it again when it is wanted.")
            .with("path", self.path.display().to_string()))
    }

    /// `RDB_CORRUPT` here.
    #[cold]
    pub(super) fn corrupt(&self, reason: &str) -> EngineError {
        let hint =
            "Restore from another snapshot; `redis-check-rdb FILE` looks at the file itself.";
        self.refuse("RDB_CORRUPT", reason, hint).with("reason", reason)
    }

    /// `RDB_TRUNCATED`: `size` bytes should stand here.
    #[cold]
    fn truncated(&self, size: usize) -> EngineError {
        let left = self.size_bytes.saturating_sub(self.offset());
        let missing = (size as u64).saturating_sub(left);
        let reason = match (self.size_bytes, missing) {
            (0, _) => "the file is empty".to_owned(),
            (_, 0) => "the file was cut while it was read".to_owned(),
            (_, 1) => "the file ends too soon: at least one byte is missing".to_owned(),
            _ => format!("the file ends too soon: at least {missing} bytes are missing"),
        };
        let hint = "The file was not written to its end: copy it again, or use another snapshot.";
        self.refuse("RDB_TRUNCATED", &reason, hint).with("reason", reason)
    }

    /// An error with this place in the file.
    #[cold]
    pub(super) fn refuse(&self, code: &'static str, reason: &str, hint: &str) -> EngineError {
        let (path, offset) = (self.path.display(), self.offset());
        EngineError::new(code, format!("{path}, offset {offset}: {reason}"), hint)
            .with("path", path.to_string())
            .with("offset", offset.to_string())
    }

    /// `RDB_ALIEN`: no RDB file at all.
    #[cold]
    pub(super) fn alien(&self, reason: &str) -> EngineError {
        alien(self.path, reason).with("offset", "0")
    }
}

fn alien(path: &Path, reason: &str) -> EngineError {
    let text = format!("{} is not an RDB file: {reason}", path.display());
    EngineError::new("RDB_ALIEN", text, "Check the path: this is not what a Redis server saves.")
        .with("path", path.display().to_string())
        .with("reason", reason)
}

/// Only a hint to the kernel: its answer does not matter.
fn advise(file: &File, advice: libc::c_int) {
    // SAFETY: a system call on a descriptor, no memory involved.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) };
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
