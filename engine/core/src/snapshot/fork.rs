//! `_Fork`, and nothing else: glibc's fork without atfork handlers. Plain `fork` would run the
//! handlers of gRPC and of Python in a child that must know neither (I1). Signals are blocked
//! around it, so that a handler of the host process (Python's writes to a socket that parent and
//! child share) never runs in the child.

use std::time::{Duration, Instant};

#[allow(unsafe_code)] // libc's crate does not declare it
unsafe extern "C" {
    /// glibc 2.34 or newer; POSIX.1-2024. Async-signal-safe.
    fn _Fork() -> libc::pid_t;
}

/// Which side of the fork this is.
pub enum Side {
    /// The parent: the child's pid and how long the call took.
    Parent {
        /// The child's process number; only its owner waits for it.
        pid: libc::pid_t,
        /// Duration of the call.
        duration: Duration,
    },
    /// The child, with all signals blocked: only `child::run` may follow.
    Child,
}

/// Fork. In the child nothing may be done but to enter `child::run`.
///
/// # Errors
/// The operating system's error number (`EAGAIN`, `ENOMEM`).
#[allow(unsafe_code)] // the fork itself
pub fn fork() -> Result<Side, i32> {
    let before = block_signals();
    let started = Instant::now();
    // SAFETY: no arguments. In the child only `child::run` follows, which keeps to I1.
    let pid = unsafe { _Fork() };
    if pid == 0 {
        return Ok(Side::Child);
    }
    let duration = started.elapsed();
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN);
    restore_signals(&before);
    if pid < 0 { Err(error) } else { Ok(Side::Parent { pid, duration }) }
}

#[allow(unsafe_code)] // signal masks live in C structures
fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are valid memory of ours; all-zero is a valid sigset_t; the calls only fill
    // them.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

#[allow(unsafe_code)] // signal masks live in C structures
fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: `before` was filled by `block_signals` on this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}
