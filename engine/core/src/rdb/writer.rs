//! The buffer between the encoder and the file: bytes in, large `write` calls out. The checksum is
//! taken of each stretch right after it was written, while the nearest cache still holds it. Runs
//! in the fork child: no allocation, no lock, no panic (I1). Errors are error numbers: the child
//! has no text.

#![allow(unsafe_code)] // write, sync_file_range

use std::io;
use std::os::fd::RawFd;

use super::crc::Crc64;

/// The kernel is asked to begin writing back after so many bytes, so that the final fsync does not
/// wait for the whole file.
const WRITE_BACK_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of a stretch: half of a first-level cache.
const STRETCH_BYTES: usize = 16 * 1024;

/// Writes to a descriptor through a buffer that the caller lends.
pub(crate) struct Writer<'a> {
    fd: RawFd,
    buffer: &'a mut [u8],
    used: usize,
    /// Where the stretch ends: what goes beyond is put slowly.
    stretch_end: usize,
    /// Bytes of the buffer that the checksum has seen.
    summed: usize,
    crc: Option<Crc64>,
    written: u64,
    /// Up to where the kernel was asked to write back; all of it when it shall not be asked.
    written_back: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        fd: RawFd,
        buffer: &'a mut [u8],
        is_checksummed: bool,
        is_written_back: bool,
    ) -> Self {
        let crc = is_checksummed.then(Crc64::new);
        let stretch_end = STRETCH_BYTES.min(buffer.len());
        let written_back = if is_written_back { 0 } else { u64::MAX };
        Self { fd, buffer, used: 0, stretch_end, summed: 0, crc, written: 0, written_back }
    }

    /// Bytes put so far, those still in the buffer included.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.written + self.used as u64
    }

    /// Add bytes. More than a buffer of them goes to the file directly.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), i32> {
        let end = self.used + bytes.len();
        if end <= self.stretch_end
            && let Some(place) = self.buffer.get_mut(self.used..end)
        {
            place.copy_from_slice(bytes);
            self.used = end;
            return Ok(());
        }
        self.put_slowly(bytes)
    }

    #[cold]
    fn put_slowly(&mut self, bytes: &[u8]) -> Result<(), i32> {
        if self.used + bytes.len() > self.buffer.len() {
            self.flush()?;
        }
        let end = self.used + bytes.len();
        if let Some(place) = self.buffer.get_mut(self.used..end) {
            place.copy_from_slice(bytes);
            self.used = end;
            self.checksum();
            self.stretch_end = (end + STRETCH_BYTES).min(self.buffer.len());
            return Ok(());
        }
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        self.written += bytes.len() as u64;
        write_all(self.fd, bytes)
    }

    /// The checksum of everything put so far; 0 when none is kept.
    pub(crate) fn checksum(&mut self) -> u64 {
        let Some(crc) = &mut self.crc else { return 0 };
        crc.update(self.buffer.get(self.summed..self.used).unwrap_or(&[]));
        self.summed = self.used;
        crc.value()
    }

    /// Hand the buffer to the kernel.
    pub(crate) fn flush(&mut self) -> Result<(), i32> {
        self.checksum();
        let filled = self.buffer.get(..self.used).ok_or(libc::EOVERFLOW)?;
        write_all(self.fd, filled)?;
        self.written += self.used as u64;
        (self.used, self.summed) = (0, 0);
        self.stretch_end = STRETCH_BYTES.min(self.buffer.len());
        self.start_write_back();
        Ok(())
    }

    /// Only a hint: what it answers does not matter, the final fsync is what counts.
    fn start_write_back(&mut self) {
        if self.written.saturating_sub(self.written_back) < WRITE_BACK_BYTES {
            return;
        }
        let (from, size) = (self.written_back, self.written - self.written_back);
        self.written_back = self.written;
        // SAFETY: a system call on a descriptor, no memory involved.
        unsafe {
            libc::sync_file_range(self.fd, from as i64, size as i64, libc::SYNC_FILE_RANGE_WRITE)
        };
    }
}

/// Write all of `bytes`: interrupted and short writes go on, a write of nothing is an I/O error.
fn write_all(fd: RawFd, mut bytes: &[u8]) -> Result<(), i32> {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads `bytes.len()` bytes of a live slice.
        let wrote = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(wrote) {
            Ok(0) => return Err(libc::EIO),
            Ok(size) => bytes = bytes.get(size..).unwrap_or(&[]),
            Err(_) => match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                errno => return Err(errno.unwrap_or(libc::EIO)),
            },
        }
    }
    Ok(())
}
