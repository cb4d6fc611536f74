//! The file calls of the C library that the shim takes the place of, each as a bare system call
//! when it is made. `open` takes its mode whether it was given or not: the kernel looks at it only
//! where it must have been.

#![allow(unsafe_code)] // the C library's own signatures, under its own names
#![allow(clippy::missing_safety_doc)] // as POSIX says of each

use std::ffi::CStr;

use libc::{AT_FDCWD, c_char, c_int, c_long, c_uint, c_void, mode_t, off_t, size_t, ssize_t};

use crate::orders::Kind;
use crate::place::Place;
use crate::shim::{Call, Verdict, judge};

fn size_of(fd: c_int) -> u64 {
    // SAFETY: all-zero bytes are a valid `stat`, and the kernel fills it.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        libc::syscall(libc::SYS_fstat, fd, &raw mut found);
        u64::try_from(found.st_size).unwrap_or(0)
    }
}

fn end(call: Option<Call>, result: c_long, size: impl FnOnce() -> u64, old: Option<&CStr>) {
    if let Some(call) = call {
        call.end(result >= 0, size(), old);
    }
}

fn write_at(kind: Kind, fd: c_int, count: size_t, make: impl Fn(size_t) -> c_long) -> ssize_t {
    let (verdict, call) = judge(kind, || Place::of_descriptor(fd));
    let result = match verdict {
        Verdict::Failed => return -1,
        Verdict::Short if count > 1 => make(count / 2),
        Verdict::Short | Verdict::Make => make(count),
    };
    end(call, result, || size_of(fd), None);
    result as ssize_t
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's own call.
    write_at(Kind::Write, fd, count, |count| unsafe {
        libc::syscall(libc::SYS_write, fd, bytes, count)
    })
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's own call.
    write_at(Kind::Pwrite, fd, count, |count| unsafe {
        libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset)
    })
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the caller's own call; both have the same signature here.
    unsafe { pwrite64(fd, bytes, count, offset) }
}

fn sync(kind: Kind, number: c_long, fd: c_int) -> c_int {
    let (verdict, call) = judge(kind, || Place::of_descriptor(fd));
    if verdict == Verdict::Failed {
        return -1;
    }
    let size = if call.is_some() { size_of(fd) } else { 0 };
    // SAFETY: the caller's own call, no memory involved.
    let result = unsafe { libc::syscall(number, fd) };
    end(call, result, || size, None);
    result as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync(Kind::Fsync, libc::SYS_fsync, fd)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(Kind::Fdatasync, libc::SYS_fdatasync, fd)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    let (verdict, call) = judge(Kind::Truncate, || Place::of_descriptor(fd));
    if verdict == Verdict::Failed {
        return -1;
    }
    // SAFETY: the caller's own call, no memory involved.
    let result = unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) };
    end(call, result, || size_of(fd), None);
    result as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the caller's own call; both have the same signature here.
    unsafe { ftruncate64(fd, length) }
}

/// A call about a name. `old` is the other one, of a rename or link.
///
/// # Safety
/// Both are C strings, as the kernel wants them.
unsafe fn named(
    kind: Kind,
    name: *const c_char,
    old: *const c_char,
    make: impl FnOnce() -> c_long,
) -> c_int {
    // SAFETY: a C string, or null: then there is none.
    let text = |name: *const c_char| (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) });
    let (verdict, call) = judge(kind, || Place::of_name(text(name).unwrap_or(c"")));
    if verdict == Verdict::Failed {
        return -1;
    }
    let result = make();
    end(call, result, || 0, text(old));
    result as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn rename(old: *const c_char, new: *const c_char) -> c_int {
    // SAFETY: the caller's own call.
    unsafe {
        named(Kind::Rename, new, old, || {
            libc::syscall(libc::SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0)
        })
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn renameat2(
    old_at: c_int,
    old: *const c_char,
    new_at: c_int,
    new: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's own call.
    unsafe {
        named(Kind::Rename, new, old, || {
            libc::syscall(libc::SYS_renameat2, old_at, old, new_at, new, flags)
        })
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn link(old: *const c_char, new: *const c_char) -> c_int {
    // SAFETY: the caller's own call.
    unsafe {
        named(Kind::Link, new, old, || {
            libc::syscall(libc::SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0)
        })
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller's own call.
    unsafe {
        named(Kind::Unlink, name, std::ptr::null(), || {
            libc::syscall(libc::SYS_unlinkat, AT_FDCWD, name, 0)
        })
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's own call.
    unsafe {
        named(Kind::Open, name, std::ptr::null(), || {
            libc::syscall(libc::SYS_openat, AT_FDCWD, name, flags, mode)
        })
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's own call; both have the same signature here.
    unsafe { open(name, flags, mode) }
}
