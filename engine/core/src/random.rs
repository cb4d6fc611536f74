//! Bytes that nobody can guess, from the kernel. Random choices that only have to be even are their
//! callers' business.

#![allow(unsafe_code)] // a system call that fills a buffer

/// Fill a short buffer (at most 256 bytes: those are given whole once the kernel's pool is ready).
pub fn fill_random(bytes: &mut [u8]) {
    debug_assert!(bytes.len() <= 256);
    // SAFETY: bounded by the buffer's length.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
}
