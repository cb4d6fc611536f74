//! The file as the parser sees it: bytes with an offset, read in large blocks, with checksum and
//! SHA-256 in the same pass. It knows lengths only as far as the file goes on (I7): a claim past
//! the file's end is `RDB_TRUNCATED`, not memory. What the bytes mean stands in `strings` and
//! `parse`.

#![allow(unsafe_code)] // posix_fadvise, fsync

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::crc::Crc64;
use crate::error::{EngineError, Result};

/// One read call asks for so much; progress is told as often.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Bytes read and bytes in all; `false` cancels.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// A file being read from its beginning to its end.
pub(super) struct Reader<'a> {
    file: File,
    path: &'a Path,
    progress: Progress<'a>,
    /// Length of the file when it was opened.
    size_bytes: u64,
    buffer: Vec<u8>,
    /// The next byte to give out, in the buffer.
    at: usize,
    /// The end of what was read, in the buffer.
    end: usize,
    /// Where the buffer's first byte stands in the file.
    buffer_offset: u64,
    /// Bytes of the buffer that the checksum has seen.
    summed: usize,
    crc: Crc64,
    sha256: Sha256,
}

impl<'a> Reader<'a> {
    /// Open a regular file. `is_past_cache`: what is read comes from the disk, not from memory.
    pub(super) fn open(
        path: &'a Path,
        is_past_cache: bool,
        progress: Progress<'a>,
    ) -> Result<Self> {
        let wrap = |error: std::io::Error| EngineError::from_io("read", path, &error);
        // Without O_NONBLOCK a named pipe would hold the open until somebody writes.
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(wrap)?;
        let found = file.metadata().map_err(wrap)?;
        if !found.is_file() {
            return Err(alien(path, "it is not a regular file"));
        }
        if is_past_cache {
            // Only clean pages can be dropped, so they go to the disk first.
            file.sync_all().map_err(wrap)?;
            advise(&file, libc::POSIX_FADV_DONTNEED);
        }
        advise(&file, libc::POSIX_FADV_SEQUENTIAL);
        Ok(Self {
            file,
            path,
            progress,
            size_bytes: found.len(),
            buffer: vec![0; BLOCK_BYTES.min(usize::try_from(found.len()).unwrap_or(BLOCK_BYTES))],
            at: 0,
            end: 0,
            buffer_offset: 0,
            summed: 0,
            crc: Crc64::new(),
            sha256: Sha256::new(),
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where the next byte stands in the file.
    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
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

    /// Read whatever is left, for the SHA-256's sake; gives how many bytes that was and the SHA-256
    /// of the whole file.
    pub(super) fn finish(mut self) -> Result<(u64, String)> {
        let from = self.offset();
        while self.offset() < self.size_bytes {
            let left = self.size_bytes - self.offset();
            self.take(usize::try_from(left).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES))?;
        }
        self.tell_progress()?;
        let digest = self.sha256.finalize();
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((self.size_bytes - from, hex))
    }

    /// Make `size` bytes available behind `at`.
    #[cold]
    fn fill(&mut self, size: usize) -> Result<()> {
        if !self.has(size) {
            return Err(self.truncated(size));
        }
        self.checksum();
        self.buffer.copy_within(self.at..self.end, 0);
        self.buffer_offset += self.at as u64;
        (self.end, self.at, self.summed) = (self.end - self.at, 0, 0);
        if self.buffer.len() < size {
            // The file has so many bytes, so the memory is warranted.
            self.buffer.resize(size, 0);
        }
        while self.end < size {
            self.read_block(size)?;
        }
        self.tell_progress()
    }

    fn read_block(&mut self, size: usize) -> Result<()> {
        // What is appended after the opening is not looked at.
        let left = self.size_bytes - self.buffer_offset - self.end as u64;
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len() - self.end);
        match self.file.read(&mut self.buffer[self.end..self.end + room]) {
            // Shorter than when it was opened: somebody cut it meanwhile.
            Ok(0) => Err(self.truncated(size)),
            Ok(read) => {
                self.sha256.update(&self.buffer[self.end..self.end + read]);
                self.end += read;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(EngineError::from_io("read", self.path, &error)),
        }
    }

    fn tell_progress(&mut self) -> Result<()> {
        let read = self.buffer_offset + self.end as u64;
        if (self.progress)(read, self.size_bytes) {
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
        let reason = format!("the file ends: {size} bytes are needed and {left} are left");
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
