//! The buffer between the encoder and the file: bytes in, large `write` calls out, one checksum
//! pass over the buffer. Runs in the fork child: no allocation, no lock, no panic (I1). Errors are
//! error numbers: the child has no text.

#![allow(unsafe_code)] // write, sync_file_range

use std::io;
use std::os::fd::RawFd;

use super::crc::Crc64;

/// The kernel is asked to begin writing back after so many bytes, so that the final fsync does not
/// wait for the whole file.
const WRITE_BACK_BYTES: u64 = 16 * 1024 * 1024;

/// Writes to a descriptor through a buffer that the caller lends.
pub(super) struct Writer<'a> {
    fd: RawFd,
    buffer: &'a mut [u8],
    used: usize,
    /// Bytes of the buffer that the checksum has seen.
    summed: usize,
    crc: Option<Crc64>,
    written: u64,
    written_back: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(fd: RawFd, buffer: &'a mut [u8], is_checksummed: bool) -> Self {
        let crc = is_checksummed.then(Crc64::new);
        Self { fd, buffer, used: 0, summed: 0, crc, written: 0, written_back: 0 }
    }

    /// Bytes put so far, those still in the buffer included.
    pub(super) fn size_bytes(&self) -> u64 {
        self.written + self.used as u64
    }

    /// Add bytes. More than a buffer of them goes to the file directly.
    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), i32> {
        let end = self.used + bytes.len();
        if let Some(place) = self.buffer.get_mut(self.used..end) {
            place.copy_from_slice(bytes);
            self.used = end;
            return Ok(());
        }
        self.put_slowly(bytes)
    }

    #[cold]
    fn put_slowly(&mut self, bytes: &[u8]) -> Result<(), i32> {
        self.flush()?;
        if let Some(place) = self.buffer.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.used = bytes.len();
            return Ok(());
        }
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        self.written += bytes.len() as u64;
        write_all(self.fd, bytes)
    }

    /// The checksum of everything put so far; 0 when none is kept.
    pub(super) fn checksum(&mut self) -> u64 {
        let Some(crc) = &mut self.crc else { return 0 };
        crc.update(self.buffer.get(self.summed..self.used).unwrap_or(&[]));
        self.summed = self.used;
        crc.value()
    }

    /// Hand the buffer to the kernel.
    pub(super) fn flush(&mut self) -> Result<(), i32> {
        self.checksum();
        let filled = self.buffer.get(..self.used).ok_or(libc::EOVERFLOW)?;
        write_all(self.fd, filled)?;
        self.written += self.used as u64;
        self.used = 0;
        self.summed = 0;
        self.start_write_back();
        Ok(())
    }

    /// Only a hint: what it answers does not matter, the final fsync is what counts.
    fn start_write_back(&mut self) {
        if self.written - self.written_back < WRITE_BACK_BYTES {
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
